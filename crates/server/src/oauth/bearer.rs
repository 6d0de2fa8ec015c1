//! The bearer of a request (RFC 6750 §2.1).

use domain::Secret;
use domain::error::{OAuthCode, OAuthError};
use domain::jose::TokenError;
use domain::model::access_token::Claims;

use crate::context::RequestContext;

/// A token that was presented in the header, not yet looked at.
#[derive(Clone, Debug)]
pub struct Bearer(pub Secret<String>);

/// What a missing, malformed, forged or expired token is told.
pub const INVALID_BEARER: OAuthError =
    OAuthError::new(OAuthCode::InvalidRequest, "The access token is missing, malformed or expired");

/// The claims of an authentic, unexpired token.
pub fn verify_bearer(ctx: &RequestContext, bearer: Option<&Bearer>) -> Result<Claims, TokenError> {
    let bearer = bearer.ok_or(TokenError::Forged)?;
    ctx.app().access_keys().verify(bearer.0.expose(), ctx.now())
}
