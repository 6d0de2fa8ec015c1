//! Extracts the bearer token of a request from the `Authorization` header (RFC 6750 §2.1).

use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::jose::TokenError;
use domain::model::access_token::Claims;
use http::{HeaderMap, header};

use crate::context::RequestContext;

/// A token from the `Authorization` header that is not verified yet.
#[derive(Clone, Debug)]
pub struct Bearer(pub Secret<String>);

/// Error for a missing, malformed, forged or expired access token.
pub const INVALID_BEARER: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "The access token is missing, malformed or expired");

impl Bearer {
    /// Reads the token from the `Authorization` header; `None` if the header is repeated or has another scheme. A token
    /// in the query or the body is never read.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let token = parse_authorization(headers, "bearer")?;
        (!token.is_empty()).then(|| Self(Secret::from(token)))
    }
}

/// Returns the credentials in the `Authorization` header; `None` if the header is absent, repeated or has another
/// scheme.
pub(super) fn parse_authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?,
        // With two headers, a proxy and the hub might each trust a different one.
        _ => return None,
    };
    let (actual_scheme, credentials) = value.split_once(' ')?;
    // Schemes are case-insensitive (RFC 9110 §11.1).
    actual_scheme.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

/// Verifies the signature and the lifetime of a token and returns its claims.
///
/// The claims do not prove that the connection or the client is still active: callers check that next.
pub fn verify_bearer(ctx: &RequestContext, bearer: Option<&Bearer>) -> Result<Claims, TokenError> {
    let bearer = bearer.ok_or(TokenError::Forged)?;
    ctx.app().access_keys().verify(bearer.0.expose(), ctx.now())
}
