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
use domain::rule::authorize::Query;
use domain::rule::client_auth::{Credentials, credentials};
use domain::rule::token::Fields;
use schemars::JsonSchema;
use serde::Serialize;

use super::{AuthzError, Bearer, Begun, Issued, NotBegun};
use crate::app::App;
use crate::ctx::Ctx;
use crate::limit::TooMany;
use crate::pages;
use crate::web::{
    BodyError, Face, Limited, Route, flow_cookie, network, oauth_error, surplus_flow_cookies, whole_seconds,
};

/// The routes of this face.
pub(crate) fn routes() -> Vec<Route> {
    let revoke_path = "/api/v1/revoke";
    vec![
        Route::new(Face::Flinks, Method::GET, "/api/v1/authorize", get(authorize)),
        Route::new(Face::Flinks, Method::POST, "/api/v1/token", post(token)),
        Route::new(Face::Flinks, Method::DELETE, revoke_path, delete(revoke)),
        Route::new(Face::Flinks, Method::POST, revoke_path, post(revoke)),
    ]
}

async fn authorize(
    State(app): State<App>,
    ctx: Ctx,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    match super::begin(&ctx, &Query(pairs)).await {
        Ok(Begun::Pick(picker)) => pages::picker(picker, app.is_https()),
        Ok(Begun::Consent { id, cookie }) => {
            let mut cookies = surplus_flow_cookies(&app, &headers);
            cookies.push(flow_cookie(&app, &id, &cookie));
            let mut response = pages::see_other(&format!("/consent/{id}"));
            let cookies = cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok());
            response.headers_mut().extend(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
            response
        }
        Err(NotBegun::Redirect(url)) => pages::found(&url),
        Err(NotBegun::Page(refusal)) => pages::message(StatusCode::BAD_REQUEST, refusal.into()),
        Err(NotBegun::Fault(fault)) => pages::fault(&fault),
    }
}

async fn token(State(app): State<App>, ctx: Ctx, request: Request<Body>) -> Response {
    if let Err(refused) = no_secret_in(request.uri().query()) {
        return render(&AuthzError::Refused(refused));
    }
    let (basic, from) = (basic(request.headers()), network(&app, &request));
    let fields = match Limited::read(&app, request).await.and_then(|body| body.fields(&Fields::KNOWN)) {
        Ok(fields) => fields,
        Err(error) => return render_body(&error),
    };
    match asked(basic, fields) {
        Err(refused) => render(&refused.into()),
        Ok((credentials, fields)) => match super::token(&ctx, from, credentials, &fields).await {
            Ok(issued) => render_issued(&issued),
            Err(error) => render(&error),
        },
    }
}

async fn revoke(State(app): State<App>, ctx: Ctx, request: Request<Body>) -> Response {
    if let Err(refused) = no_secret_in(request.uri().query()) {
        return render(&AuthzError::Refused(refused));
    }
    let bearer = bearer(request.headers());
    let body = match Limited::read(&app, request).await {
        Ok(body) => body,
        Err(error) => return render_body(&error),
    };
    if let Err(refused) = same_token(&body, bearer.as_ref()) {
        return render(&AuthzError::Refused(refused));
    }
    match super::revoke(&ctx, bearer.as_ref()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => render(&error),
    }
}

fn asked(
    basic: Result<Option<Credentials>, OAuthError>,
    fields: Vec<(String, String)>,
) -> Result<(Credentials, Fields), OAuthError> {
    let fields = Fields::collect(fields)?;
    let credentials = credentials(basic?, fields.get("client_id"), fields.get("client_secret"))?;
    Ok((credentials, fields))
}

/// Secrets in a URL end up in logs and histories: such a request is refused, so that the mistake is seen.
fn no_secret_in(query: Option<&str>) -> Result<(), OAuthError> {
    let secrets = ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"];
    let mut names = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).map(|(name, _)| name);
    match names.find(|name| secrets.contains(&&**name)) {
        None => Ok(()),
        Some(name) => Err(OAuthError::about(
            OAuthCode::InvalidRequest,
            format_args!("{name} must not stand in the query: send it in the body or a header"),
        )),
    }
}

/// A form field `token` that is not the bearer is a mistake that must not end another connection.
fn same_token(body: &Limited, bearer: Option<&Bearer>) -> Result<(), OAuthError> {
    const DIFFERS: OAuthError =
        OAuthError::new(OAuthCode::InvalidRequest, "token differs from the Authorization header");
    if !body.is_form() {
        return Ok(());
    }
    let is_bearer = |token: &str| bearer.is_some_and(|b| b.0 == Secret::from(token));
    let differs = body.form().iter().any(|(name, value)| name == "token" && !is_bearer(value));
    if differs { Err(DIFFERS) } else { Ok(()) }
}

/// The bearer of the one `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Bearer> {
    let token = authorization(headers, "bearer")?;
    (!token.is_empty()).then(|| Bearer(Secret::from(token)))
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?,
        _ => return None,
    };
    let (named, rest) = value.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// HTTP Basic credentials, form-decoded (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<Credentials>, OAuthError> {
    const MALFORMED: OAuthError =
        OAuthError::new(OAuthCode::InvalidRequest, "The Authorization header is malformed");
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(MALFORMED);
    }
    let Some(encoded) = authorization(headers, "basic") else { return Ok(None) };
    let text =
        STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(MALFORMED)?;
    let (id, secret) = text.split_once(':').ok_or(MALFORMED)?;
    let decode = |part: &str| {
        let plain = part.replace('+', " ");
        percent_encoding::percent_decode_str(&plain).decode_utf8().map(std::borrow::Cow::into_owned)
    };
    let (client_id, secret) = (decode(id).map_err(|_| MALFORMED)?, decode(secret).map_err(|_| MALFORMED)?);
    Ok(Some(Credentials { client_id, secret: Secret::new(secret) }))
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

fn render_issued(issued: &Issued) -> Response {
    let body = TokenBody {
        access_token: issued.access_token.expose(),
        token_type: "Bearer",
        expires_in: issued.expires_in,
        scope: &issued.scope,
        refresh_token: issued.refresh_token.as_ref().map(|token| token.expose().as_str()),
    };
    ([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(body)).into_response()
}

pub(crate) fn render_body(error: &BodyError) -> Response {
    let (status, error) = error.shown();
    oauth_error(status, &error)
}

/// The one rendering of what the authorization server says no with.
pub(crate) fn render(error: &AuthzError) -> Response {
    let shown = error.shown();
    let status = StatusCode::from_u16(shown.code.flinks_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = oauth_error(status, &shown);
    match error {
        AuthzError::Fault(fault) => tracing::error!(%fault, "an authorization request failed"),
        AuthzError::Bearer(_) => challenge(&mut response, r#"Bearer error="invalid_token""#),
        AuthzError::Scope(_) => challenge(&mut response, r#"Bearer error="insufficient_scope""#),
        AuthzError::TooMany(TooMany(wait)) => {
            let after = HeaderValue::from(whole_seconds(*wait));
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        AuthzError::Refused(error) => tracing::info!(%error, "refused"),
    }
    response
}

fn challenge(response: &mut Response, challenge: &'static str) {
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(value: &[u8]) -> HeaderMap {
        HeaderValue::from_bytes(value).into_iter().map(|value| (header::AUTHORIZATION, value)).collect()
    }

    proptest! {
        #[test]
        fn any_authorization_is_read_or_refused(bytes: Vec<u8>, text: String) {
            let encoded = STANDARD.encode(&bytes);
            let values = [bytes, format!("Bearer {text}").into(), format!("Basic {text}").into(), format!("basic {encoded}").into()];
            for value in values {
                let headers = sent(&value);
                let bearer = bearer(&headers);
                prop_assert!(bearer.is_none_or(|b| !b.0.expose().is_empty()));
                let _ = basic(&headers);
            }
        }

        #[test]
        fn basic_credentials_are_read_as_libraries_write_them(id in "[ -~é]{1,20}", secret: String) {
            let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", form(&id), form(&secret))));
            let read = basic(&sent(header.as_bytes())).unwrap().unwrap();
            prop_assert_eq!((read.client_id, read.secret.expose()), (id, &secret));
        }

        #[test]
        fn our_own_credentials_need_no_encoding(id in "[A-Za-z0-9._~-]{1,40}", secret in "[A-Za-z0-9._~-]{1,60}") {
            let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            let read = basic(&sent(header.as_bytes())).unwrap().unwrap();
            prop_assert_eq!((read.client_id, read.secret.expose()), (id, &secret));
        }

        #[test]
        fn a_secret_in_the_query_is_seen(query: String, value: String) {
            let _ = no_secret_in(Some(&query));
            let value = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
            for name in ["client_secret", "code", "refresh%5Ftoken", "token"] {
                let named = format!("a=b&{name}={value}");
                prop_assert!(no_secret_in(Some(&named)).is_err());
            }
        }
    }

    #[test]
    fn two_authorizations_are_none() {
        let value = || HeaderValue::from_static("Bearer a");
        let headers: HeaderMap = [(header::AUTHORIZATION, value()), (header::AUTHORIZATION, value())]
            .into_iter()
            .fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            });
        assert!(bearer(&headers).is_none() && basic(&headers).is_err());
    }
}
