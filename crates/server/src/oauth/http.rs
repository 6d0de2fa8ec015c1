//! The Flinks face of the authorization server: parse, call, render.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::rule::authorize::AuthorizeQuery;
use domain::rule::client_auth::{ClientCredentials, select_credentials};
use domain::rule::token::TokenRequestFields;
use schemars::JsonSchema;
use serde::Serialize;

use super::{AuthorizeError, AuthorizeOutcome, AuthzError, Bearer, IssuedTokens, REQUEST_TTL};
use crate::app::App;
use crate::context::RequestContext;
use crate::http::{
    ApiSurface, BodyError, BoundedBody, Route, build_flow_cookie, caller_network,
    expire_surplus_flow_cookies, render_oauth_error, set_retry_after,
};
use crate::pages;
use crate::rate_limit::RateLimitError;

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let revoke_path = "/api/v1/revoke";
    vec![
        Route::new(ApiSurface::Flinks, Method::GET, "/api/v1/authorize", get(authorize)),
        Route::new(ApiSurface::Flinks, Method::POST, "/api/v1/token", post(handle_token_request)),
        Route::new(ApiSurface::Flinks, Method::DELETE, revoke_path, delete(revoke)),
        Route::new(ApiSurface::Flinks, Method::POST, revoke_path, post(revoke)),
    ]
}

async fn authorize(
    State(app): State<App>,
    ctx: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    match super::begin_authorization(&ctx, &AuthorizeQuery(pairs)).await {
        Ok(AuthorizeOutcome::Pick(picker)) => pages::render_picker(picker, app.is_https()),
        Ok(AuthorizeOutcome::Consent { id, cookie }) => {
            let mut cookies = expire_surplus_flow_cookies(&app, &headers);
            cookies.push(build_flow_cookie(&app, &id, &cookie, REQUEST_TTL));
            let mut response = pages::redirect_see_other(&format!("/consent/{id}"));
            let cookies = cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok());
            response.headers_mut().extend(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
            response
        }
        Err(AuthorizeError::Redirect(url)) => pages::redirect_found(&url),
        Err(AuthorizeError::Page(refusal)) => pages::render_notice(StatusCode::BAD_REQUEST, refusal.into()),
        Err(AuthorizeError::Internal(fault)) => pages::render_internal_error(&fault),
    }
}

async fn handle_token_request(
    State(app): State<App>,
    ctx: RequestContext,
    request: Request<Body>,
) -> Response {
    if let Err(refused) = reject_secrets_in_query(request.uri().query()) {
        return render_error(&AuthzError::Refused(refused));
    }
    let (basic, from) = (parse_basic_credentials(request.headers()), caller_network(&app, &request));
    let fields = match BoundedBody::read(&app, request)
        .await
        .and_then(|body| body.fields(&TokenRequestFields::ALL_NAMES))
    {
        Ok(fields) => fields,
        Err(error) => return render_body_error(&error),
    };
    match parse_token_request(basic, fields) {
        Err(refused) => render_error(&refused.into()),
        Ok((credentials, fields)) => match super::issue_tokens(&ctx, from, credentials, &fields).await {
            Ok(issued) => render_tokens(&issued),
            Err(error) => render_error(&error),
        },
    }
}

async fn revoke(State(app): State<App>, ctx: RequestContext, request: Request<Body>) -> Response {
    if let Err(refused) = reject_secrets_in_query(request.uri().query()) {
        return render_error(&AuthzError::Refused(refused));
    }
    let bearer = parse_bearer(request.headers());
    let body = match BoundedBody::read(&app, request).await {
        Ok(body) => body,
        Err(error) => return render_body_error(&error),
    };
    if let Err(refused) = ensure_token_matches_bearer(&body, bearer.as_ref()) {
        return render_error(&AuthzError::Refused(refused));
    }
    match super::revoke(&ctx, bearer.as_ref()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => render_error(&error),
    }
}

fn parse_token_request(
    basic: Result<Option<ClientCredentials>, OAuthError>,
    fields: Vec<(String, String)>,
) -> Result<(ClientCredentials, TokenRequestFields), OAuthError> {
    let fields = TokenRequestFields::collect(fields)?;
    let credentials = select_credentials(basic?, fields.get("client_id"), fields.get("client_secret"))?;
    Ok((credentials, fields))
}

/// Secrets in a URL end up in logs and histories: such a request is refused, so that the mistake is seen.
fn reject_secrets_in_query(query: Option<&str>) -> Result<(), OAuthError> {
    let secrets = ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"];
    let mut names = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).map(|(name, _)| name);
    match names.find(|name| secrets.contains(&&**name)) {
        None => Ok(()),
        Some(name) => Err(OAuthError::with_description(
            OAuthCode::InvalidRequest,
            format_args!("{name} must not stand in the query: send it in the body or a header"),
        )),
    }
}

/// A form field `token` that is not the bearer is a mistake that must not end another connection.
fn ensure_token_matches_bearer(body: &BoundedBody, bearer: Option<&Bearer>) -> Result<(), OAuthError> {
    const TOKEN_MISMATCH: OAuthError =
        OAuthError::new(OAuthCode::InvalidRequest, "token differs from the Authorization header");
    if !body.is_form() {
        return Ok(());
    }
    let is_bearer = |token: &str| bearer.is_some_and(|b| b.0 == Secret::from(token));
    let differs = body.form_fields().iter().any(|(name, value)| name == "token" && !is_bearer(value));
    if differs { Err(TOKEN_MISMATCH) } else { Ok(()) }
}

/// The bearer of the one `Authorization` header.
pub(crate) fn parse_bearer(headers: &HeaderMap) -> Option<Bearer> {
    let token = parse_authorization(headers, "bearer")?;
    (!token.is_empty()).then(|| Bearer(Secret::from(token)))
}

fn parse_authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?,
        _ => return None,
    };
    let (named, rest) = value.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// HTTP Basic credentials, form-decoded (RFC 6749 §2.3.1).
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
    let decode = |part: &str| {
        let plain = part.replace('+', " ");
        percent_encoding::percent_decode_str(&plain).decode_utf8().map(std::borrow::Cow::into_owned)
    };
    let (client_id, secret) = (decode(id).map_err(|_| MALFORMED)?, decode(secret).map_err(|_| MALFORMED)?);
    Ok(Some(ClientCredentials { client_id, secret: Secret::new(secret) }))
}

/// Tokens (RFC 6749 §5.1).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub(crate) struct TokenBody<'a> {
    access_token: &'a str,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
    /// Seconds that the access token is good for.
    expires_in: i64,
    /// What it is good for: words that spaces part.
    scope: &'a str,
    /// With a new connection alone: it stays the same until the connection ends or idles out.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

fn render_tokens(issued: &IssuedTokens) -> Response {
    let body = TokenBody {
        access_token: issued.access_token.expose(),
        token_type: "Bearer",
        expires_in: issued.expires_in,
        scope: &issued.scope,
        refresh_token: issued.refresh_token.as_ref().map(|token| token.expose().as_str()),
    };
    ([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(body)).into_response()
}

pub(crate) fn render_body_error(error: &BodyError) -> Response {
    let (status, error) = error.to_status_and_error();
    render_oauth_error(status, &error)
}

/// The one rendering of what the authorization server says no with.
pub(crate) fn render_error(error: &AuthzError) -> Response {
    let shown = error.to_oauth_error();
    let status = StatusCode::from_u16(shown.code.flinks_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = render_oauth_error(status, &shown);
    match error {
        AuthzError::Internal(fault) => tracing::error!(%fault, "an authorization request failed"),
        AuthzError::Bearer(_) => add_challenge(&mut response, r#"Bearer error="invalid_token""#),
        AuthzError::Scope(_) => add_challenge(&mut response, r#"Bearer error="insufficient_scope""#),
        AuthzError::TooMany(RateLimitError(wait)) => set_retry_after(&mut response, *wait),
        AuthzError::Refused(error) => tracing::info!(%error, "refused"),
    }
    response
}

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
        fn authorization_header_with_any_bytes_never_panics(bytes: Vec<u8>, text: String) {
            let encoded = STANDARD.encode(&bytes);
            let values = [bytes, format!("Bearer {text}").into(), format!("Basic {text}").into(), format!("basic {encoded}").into()];
            for value in values {
                let headers = authorization_headers(&value);
                let bearer = parse_bearer(&headers);
                prop_assert!(bearer.is_none_or(|b| !b.0.expose().is_empty()));
                let _ = parse_basic_credentials(&headers);
            }
        }

        #[test]
        fn rfc6749_s2_3_1_basic_header_is_form_decoded(id in "[ -~é]{1,20}", secret: String) {
            let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", form(&id), form(&secret))));
            let read = parse_basic_credentials(&authorization_headers(header.as_bytes())).unwrap().unwrap();
            prop_assert_eq!((read.client_id, read.secret.expose()), (id, &secret));
        }

        #[test]
        fn basic_credentials_of_hub_need_no_encoding(id in "[A-Za-z0-9._~-]{1,40}", secret in "[A-Za-z0-9._~-]{1,60}") {
            let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            let read = parse_basic_credentials(&authorization_headers(header.as_bytes())).unwrap().unwrap();
            prop_assert_eq!((read.client_id, read.secret.expose()), (id, &secret));
        }

        #[test]
        fn secret_in_query_is_rejected(query: String, value: String) {
            let _ = reject_secrets_in_query(Some(&query));
            let value = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
            for name in ["client_secret", "code", "refresh%5Ftoken", "token"] {
                let named = format!("a=b&{name}={value}");
                prop_assert!(reject_secrets_in_query(Some(&named)).is_err());
            }
        }
    }

    #[test]
    fn repeated_authorization_header_is_rejected() {
        let value = || HeaderValue::from_static("Bearer a");
        let headers: HeaderMap = [(header::AUTHORIZATION, value()), (header::AUTHORIZATION, value())]
            .into_iter()
            .fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            });
        assert!(parse_bearer(&headers).is_none() && parse_basic_credentials(&headers).is_err());
    }
}
