//! The errors of the authorization server, and their conversions from other errors.

use domain::error::{OAuthCode, OAuthError};
use domain::rule::authority::AuthorityError;
use domain::rule::client_auth::CLIENT_SUSPENDED;
use store::StoreError;

use super::bearer::INVALID_BEARER;
use crate::error::InternalError;
use crate::rate_limit::RateLimitError;

/// A rejected request to the authorization server, or an internal error.
#[derive(Debug)]
pub enum AuthzError {
    /// The request is invalid or not allowed.
    Rejected(OAuthError),
    /// The access token is missing, forged, expired or revoked: the challenge reports `invalid_token`.
    InvalidToken(OAuthError),
    /// The access token is valid, but was issued for something else: the challenge reports `insufficient_scope`.
    InsufficientScope(OAuthError),
    /// Too many requests: `temporarily_unavailable`, because the Flinks API does not use the status 429.
    RateLimited(RateLimitError),
    /// An internal error: `server_error`, or `temporarily_unavailable` if a retry may succeed.
    Internal(InternalError),
}

impl From<OAuthError> for AuthzError {
    fn from(error: OAuthError) -> Self {
        Self::Rejected(error)
    }
}

impl From<RateLimitError> for AuthzError {
    fn from(error: RateLimitError) -> Self {
        Self::RateLimited(error)
    }
}

impl<E: Into<InternalError>> From<E> for AuthzError {
    fn from(error: E) -> Self {
        match error.into() {
            // The partner was removed or suspended after its authentication.
            InternalError::Store(StoreError::CallerRefused(AuthorityError::PartnerEnded)) => {
                Self::InvalidToken(INVALID_BEARER)
            }
            InternalError::Store(StoreError::CallerRefused(AuthorityError::PartnerSuspended)) => {
                Self::Rejected(CLIENT_SUSPENDED)
            }
            error => Self::Internal(error),
        }
    }
}

impl AuthzError {
    /// Returns the error as the client sees it. An internal error reveals no detail; the renderer logs it.
    pub fn to_oauth_error(&self) -> OAuthError {
        match self {
            Self::Rejected(error) | Self::InvalidToken(error) | Self::InsufficientScope(error) => {
                error.clone()
            }
            Self::RateLimited(_) => OAuthError::new(
                OAuthCode::TemporarilyUnavailable,
                "Too many requests, please try again later",
            ),
            Self::Internal(error) if error.is_transient() => OAuthError::new(
                OAuthCode::TemporarilyUnavailable,
                "The hub is temporarily unavailable, please try again",
            ),
            Self::Internal(_) => {
                OAuthError::new(OAuthCode::ServerError, "An unhandled error occurred on the server")
            }
        }
    }
}
