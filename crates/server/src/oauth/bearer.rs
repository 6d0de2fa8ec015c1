//! Extracts the bearer token of a request from the `Authorization` header (RFC 6750 §2.1).

use std::fmt;
use std::ops::Range;

use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::jose::TokenError;
use domain::model::access_token::Claims;
use http::{HeaderMap, HeaderValue, header};

use crate::context::RequestContext;

/// A token from the `Authorization` header that is not verified yet.
// It is not copied into a `Secret`, because it stays in the buffer of the connection in any case. To copy and to wipe it took an
// eighth of the time of an access check.
#[derive(Clone)]
pub struct Bearer {
    header: HeaderValue,
    /// The place of the token in the value of the header.
    token: Range<usize>,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

/// Error for a missing, malformed, forged or expired access token.
pub const INVALID_BEARER: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "The access token is missing, malformed or expired");

impl Bearer {
    /// Reads the token from the `Authorization` header; `None` if the header is repeated or has another scheme. A token
    /// in the query or the body is never read.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let token = parse_authorization(headers, "bearer")?;
        let header = headers.get(header::AUTHORIZATION)?;
        // The token is a part of the value.
        let start = token.as_ptr().addr().checked_sub(header.as_bytes().as_ptr().addr())?;
        (!token.is_empty()).then(|| Self { header: header.clone(), token: start..start + token.len() })
    }

    /// Returns the token.
    pub fn expose(&self) -> &str {
        let token = self.header.as_bytes().get(self.token.clone()).unwrap_or_default();
        // The value was read as text before.
        std::str::from_utf8(token).unwrap_or_default()
    }

    /// Returns a copy of the token that is wiped from memory when it is dropped.
    pub fn to_secret(&self) -> Secret<String> {
        self.expose().into()
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
    ctx.app().access_keys().verify(bearer.expose(), ctx.now())
}
