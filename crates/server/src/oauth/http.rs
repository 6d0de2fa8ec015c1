//! HTTP handlers of the OAuth endpoints: read the request, call the use case, render the response.

use std::borrow::Cow;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::id::AuthorizationRequestId;
use domain::rule::client_auth::{ClientCredentials, select_credentials};
use domain::rule::revoke::TokenRevocationRequest;
use domain::rule::token::TokenRequestFields;
use schemars::JsonSchema;
use serde::Serialize;

use super::bearer::parse_authorization;
use super::metadata::build_metadata;
use super::{
    AUTHORIZE_PARAMETERS, AuthorizeError, AuthorizeOutcome, AuthzError, Bearer, IssuedTokens, ProviderPicker,
};
use crate::app::App;
use crate::context::RequestContext;
use crate::http::{
    BodyError, BoundedBody, FormField, PageLocale, RequestState, build_flow_cookies, is_speculative,
    json_response, render_oauth_error, set_retry_after,
};
use crate::pages::{self, PageFrame};
use crate::rate_limit::{LoginStep, RateLimitError};
use crate::upstream::load_key_set;

pub(super) async fn authorize(
    State(state): State<RequestState>,
    ctx: RequestContext,
    method: Method,
    headers: HeaderMap,
    locale: PageLocale,
) -> Response {
    if is_speculative(&method, &headers) {
        return pages::render_unavailable(&locale);
    }
    let (app, network) = (state.app(), state.caller_network(&headers));
    if let Err(error) = app.limits().ensure_login_step_allowed(LoginStep::Authorize, network) {
        return pages::render_rate_limit_error(error, &locale.keep_in_link(&AUTHORIZE_PARAMETERS));
    }
    match super::begin_authorization(&ctx, locale.query(), locale.language()).await {
        Ok(AuthorizeOutcome::PickProvider(picker)) => render_picker(app, picker, locale),
        Ok(AuthorizeOutcome::Consent { id, cookie }) => redirect_to_consent(app, &headers, &id, &cookie),
        Err(AuthorizeError::Redirect(url)) => pages::redirect_found(&url),
        Err(AuthorizeError::Page(error)) => {
            // The result is the same page without the other parameters.
            pages::render_notice(StatusCode::BAD_REQUEST, error.into(), &locale.keep_in_link(&["client_id"]))
        }
        Err(AuthorizeError::Internal(error)) => pages::render_internal_error(&error, &locale),
    }
}

/// The page on which the customer chooses a provider.
#[derive(Template)]
#[template(path = "picker.html")]
struct PickerTemplate {
    frame: PageFrame,
    picker: ProviderPicker,
}

fn render_picker(app: &App, picker: ProviderPicker, locale: PageLocale) -> Response {
    let frame = PageFrame::new(&locale.with_link_parameters(picker.parameters.clone()));
    let page = PickerTemplate { frame, picker };
    pages::render_flow_page(StatusCode::OK, &page, app.is_https())
}

fn redirect_to_consent(
    app: &App,
    headers: &HeaderMap,
    id: &AuthorizationRequestId,
    cookie: &Secret<String>,
) -> Response {
    let cookies = build_flow_cookies(app, headers, id, cookie);
    let mut response = pages::redirect_see_other(&format!("/consent/{id}"));
    let values = cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok());
    response.headers_mut().extend(values.map(|value| (header::SET_COOKIE, value)));
    response
}

pub(super) async fn create_token(
    State(state): State<RequestState>,
    ctx: RequestContext,
    request: Request<Body>,
) -> Response {
    if let Err(error) = reject_secrets_in_query(request.uri().query()) {
        return render_error(&error.into());
    }
    let basic = parse_basic_credentials(request.headers());
    let attempt = state.attempt(request.method(), request.headers());
    let body = BoundedBody::read(state.app(), request).await;
    let fields = match body.as_ref().map(|body| body.fields(&TokenRequestFields::ALL_NAMES)) {
        Ok(Ok(fields)) => fields,
        Ok(Err(error)) => return render_body_error(&error),
        Err(error) => return render_body_error(error),
    };
    let issued = match parse_token_request(basic, fields) {
        Ok((credentials, fields)) => super::issue_tokens(&ctx, &attempt, credentials, &fields).await,
        Err(error) => Err(error.into()),
    };
    issued.map_or_else(|error| render_error(&error), |tokens| render_tokens(&tokens))
}

pub(super) async fn revoke(
    State(state): State<RequestState>,
    ctx: RequestContext,
    request: Request<Body>,
) -> Response {
    if let Err(error) = reject_secrets_in_query(request.uri().query()) {
        return render_error(&error.into());
    }
    let (bearer, basic) =
        (Bearer::from_headers(request.headers()), parse_basic_credentials(request.headers()));
    let attempt = state.attempt(request.method(), request.headers());
    // RFC 7009 §2.1 knows only POST. A DELETE without a bearer token is an incomplete call of the Flinks API.
    let is_token_revocation = bearer.is_none() && request.method() == Method::POST;
    let body = match BoundedBody::read(state.app(), request).await {
        Ok(body) => body,
        Err(error) => return render_body_error(&error),
    };
    if is_token_revocation && has_credentials_or_token(&basic, &body) {
        let request = match parse_token_revocation(basic, &body) {
            Ok(request) => request,
            Err(error) => return render_body_error(&error),
        };
        let revoked = super::revoke_by_client(&ctx, &attempt, &request).await;
        return revoked.map_or_else(|error| render_error(&error), |()| render_revoked());
    }
    let other_token = match find_other_token(&body, bearer.as_ref()) {
        Ok(token) => token,
        Err(error) => return render_error(&error.into()),
    };
    match super::revoke_by_bearer(&ctx, &attempt, bearer.as_ref(), other_token.as_ref()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => render_error(&error),
    }
}

pub(super) async fn show_metadata(State(app): State<App>) -> Response {
    let document = build_metadata(&app.config().server.public_url).to_string();
    pages::serve_asset("application/json", document)
}

/// Shows the public keys with which providers verify the hub's signatures (RFC 7517).
pub(super) async fn show_key_set(ctx: RequestContext) -> Response {
    match load_key_set(&ctx).await {
        Ok(document) => {
            let headers = [
                (header::CONTENT_TYPE, "application/jwk-set+json"),
                // A provider must find a new key soon after it was added.
                (header::CACHE_CONTROL, "max-age=60"),
            ];
            (headers, document.to_string()).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the published keys could not be loaded");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn parse_token_request(
    basic: Result<Option<ClientCredentials>, OAuthError>,
    fields: Vec<FormField<'_>>,
) -> Result<(ClientCredentials, TokenRequestFields<'_>), OAuthError> {
    let fields = TokenRequestFields::collect(fields)?;
    let credentials = select_credentials(basic?, fields.get("client_id"), fields.get("client_secret"))?;
    Ok((credentials, fields))
}

/// Rejects a request whose query contains a secret, a code or a token.
fn reject_secrets_in_query(query: Option<&str>) -> Result<(), OAuthError> {
    // URLs are written to access logs and browser histories. The request is rejected instead of ignoring the
    // parameter, so that the developer of the client notices the leak (RFC 6749 §2.3.1, RFC 6750 §2.3).
    let secrets = ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"];
    let mut names = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).map(|(name, _)| name);
    match names.find(|name| secrets.contains(&&**name)) {
        None => Ok(()),
        Some(name) => Err(OAuthError::with_description(
            OAuthCode::InvalidRequest,
            format_args!("{name} must not be sent in the query: use the body or a header"),
        )),
    }
}

/// Returns whether a request without a bearer token contains anything that RFC 7009 defines. All others are Flinks' call
/// without its token.
fn has_credentials_or_token(
    basic: &Result<Option<ClientCredentials>, OAuthError>,
    body: &BoundedBody,
) -> bool {
    let is_field = |name: &str| TokenRevocationRequest::ALL_NAMES.contains(&name);
    matches!(basic, Ok(Some(_))) || read_lenient_fields(body).iter().any(|(name, _)| is_field(name))
}

fn parse_token_revocation(
    basic: Result<Option<ClientCredentials>, OAuthError>,
    body: &BoundedBody,
) -> Result<TokenRevocationRequest, BodyError> {
    let fields = match body.fields(&TokenRevocationRequest::ALL_NAMES) {
        // The missing token is reported, not the media type of an empty body.
        Err(_) if body.bytes.is_empty() => Vec::new(),
        fields => fields?,
    };
    TokenRequestFields::collect(fields)
        .and_then(|fields| TokenRevocationRequest::parse(basic?, &fields))
        .map_err(BodyError::Malformed)
}

/// Returns the field `token` of the body of Flinks' call, if it differs from the bearer token. All other fields, and bodies
/// that cannot be read, are ignored.
fn find_other_token(
    body: &BoundedBody,
    bearer: Option<&Bearer>,
) -> Result<Option<Secret<String>>, OAuthError> {
    // RFC 7009 §2.1 sends the token to revoke in the body. If it belongs to another connection than the bearer token, the
    // hub would end another connection than the client means, and an end cannot be undone.
    let is_bearer = |token: &Secret<String>| bearer.is_some_and(|bearer| bearer.to_secret() == *token);
    let fields = read_lenient_fields(body);
    let mut tokens =
        fields.iter().filter(|(name, _)| name == "token").map(|(_, value)| Secret::from(&**value));
    match (tokens.next(), tokens.next()) {
        (_, Some(_)) => Err(OAuthError::for_repeated_field("token")),
        (token, None) => Ok(token.filter(|token| !is_bearer(token))),
    }
}

/// Returns the fields of a body that may be ignored: none if it is neither a form nor a JSON object.
fn read_lenient_fields(body: &BoundedBody) -> Vec<FormField<'_>> {
    body.fields(&[]).unwrap_or_default()
}

/// Reads HTTP Basic credentials, whose parts are form-encoded (RFC 6749 §2.3.1).
fn parse_basic_credentials(headers: &HeaderMap) -> Result<Option<ClientCredentials>, OAuthError> {
    const MALFORMED: OAuthError =
        OAuthError::new(OAuthCode::InvalidRequest, "The Authorization header is malformed");
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(MALFORMED);
    }
    let Some(encoded) = parse_authorization(headers, "basic") else { return Ok(None) };
    let text =
        STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(MALFORMED)?;
    let (id, secret) = text.split_once(':').ok_or(MALFORMED)?;
    let form_decode = |part: &str| {
        let without_plus = part.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&without_plus).decode_utf8();
        decoded.map(Cow::into_owned).map_err(|_| MALFORMED)
    };
    Ok(Some(ClientCredentials { client_id: form_decode(id)?, secret: Secret::new(form_decode(secret)?) }))
}

/// The response of the token endpoint (RFC 6749 §5.1).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub(crate) struct TokenBody<'a> {
    access_token: &'a str,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    expires_in: i64,
    /// Granted scope, space-delimited.
    scope: &'a str,
    /// Returned only with a new connection. It stays valid until the connection ends, or until it has not been used for
    /// the configured time.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// The response to a revocation with client credentials.
// RFC 7009 §2.2 lets clients ignore the body. Some libraries fail if it is not JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenRevoked")]
pub(crate) struct TokenRevokedBody {}

fn render_revoked() -> Response {
    json_response(StatusCode::OK, &TokenRevokedBody {})
}

fn render_tokens(issued: &IssuedTokens) -> Response {
    let body = TokenBody {
        access_token: issued.access_token.expose(),
        token_type: "Bearer",
        expires_in: issued.expires_in,
        scope: &issued.scope,
        refresh_token: issued.refresh_token.as_ref().map(|token| token.expose().as_str()),
    };
    let mut response = json_response(StatusCode::OK, &body);
    // Both headers are required by RFC 6749 §5.1.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Renders, in the format of OAuth, the error for a request body that cannot be read or parsed.
pub(crate) fn render_body_error(error: &BodyError) -> Response {
    let (status, error) = error.to_status_and_error();
    render_oauth_error(status, &error)
}

/// Renders an error of the authorization server, with a challenge for a rejected token or `Retry-After` for a rate
/// limit. Logs internal errors and rejected requests.
pub(crate) fn render_error(error: &AuthzError) -> Response {
    let body = error.to_oauth_error();
    let status = StatusCode::from_u16(body.code.flinks_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = render_oauth_error(status, &body);
    match error {
        AuthzError::Internal(error) => tracing::error!(%error, "OAuth request failed with an internal error"),
        AuthzError::InvalidToken(_) => add_challenge(&mut response, r#"Bearer error="invalid_token""#),
        AuthzError::InsufficientScope(_) => {
            add_challenge(&mut response, r#"Bearer error="insufficient_scope""#);
        }
        AuthzError::RateLimited(RateLimitError(wait)) => set_retry_after(&mut response, *wait),
        AuthzError::Rejected(error) => tracing::info!(%error, "OAuth request rejected"),
    }
    response
}

/// Adds the challenge that RFC 6750 §3 requires. The status is 400 instead of 401, as Flinks documents it.
fn add_challenge(response: &mut Response, challenge: &'static str) {
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authorization_headers(value: &[u8]) -> HeaderMap {
        HeaderValue::from_bytes(value).into_iter().map(|value| (header::AUTHORIZATION, value)).collect()
    }

    proptest! {
        #[test]
        fn authorization_header_with_arbitrary_bytes_never_panics(bytes: Vec<u8>, text: String) {
            let encoded = STANDARD.encode(&bytes);
            let values = [bytes, format!("Bearer {text}").into(), format!("Basic {text}").into(), format!("basic {encoded}").into()];
            for value in values {
                let headers = authorization_headers(&value);

                let bearer = Bearer::from_headers(&headers);
                prop_assert!(bearer.is_none_or(|b| !b.expose().is_empty()));
                let _ = parse_basic_credentials(&headers);
            }
        }

        #[test]
        fn rfc6749_s2_3_1_basic_header_is_form_decoded(id in "[ -~é]{1,20}", secret: String) {
            let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", form(&id), form(&secret))));

            let parsed = parse_basic_credentials(&authorization_headers(header.as_bytes())).unwrap().unwrap();

            prop_assert_eq!((parsed.client_id, parsed.secret.expose()), (id, &secret));
        }

        #[test]
        fn basic_header_with_unencoded_hub_credentials_is_accepted(id in "[A-Za-z0-9._~-]{1,40}", secret in "[A-Za-z0-9._~-]{1,60}") {
            let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));

            let parsed = parse_basic_credentials(&authorization_headers(header.as_bytes())).unwrap().unwrap();

            prop_assert_eq!((parsed.client_id, parsed.secret.expose()), (id, &secret));
        }

        #[test]
        fn secret_in_query_is_rejected(query: String, value: String) {
            let _ = reject_secrets_in_query(Some(&query));
            let value = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
            for name in ["client_secret", "code", "refresh%5Ftoken", "token"] {
                let query = format!("a=b&{name}={value}");
                prop_assert!(reject_secrets_in_query(Some(&query)).is_err());
            }
        }
    }

    #[test]
    fn repeated_authorization_header_is_rejected() {
        let value = || HeaderValue::from_static("Bearer a");
        let headers: HeaderMap = [(header::AUTHORIZATION, value()), (header::AUTHORIZATION, value())]
            .into_iter()
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });

        assert!(Bearer::from_headers(&headers).is_none() && parse_basic_credentials(&headers).is_err());
    }
}
