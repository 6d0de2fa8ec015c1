//! What the authorization server says no with.

use domain::error::{OAuthCode, OAuthError};

use crate::error::InternalError;
use crate::rate_limit::RateLimitError;

/// A refusal for the caller, or our own trouble.
#[derive(Debug)]
pub enum AuthzError {
    /// The caller or a policy.
    Refused(OAuthError),
    /// The bearer is missing, forged, expired or foreign.
    Bearer(OAuthError),
    /// The bearer is authentic, and for something else.
    Scope(OAuthError),
    /// Too often: `temporarily_unavailable`, never 429 on this face.
    TooMany(RateLimitError),
    /// Our own trouble: `to_server_error`, or `temporarily_unavailable` where trying again may help.
    Internal(InternalError),
}

impl From<OAuthError> for AuthzError {
    fn from(error: OAuthError) -> Self {
        Self::Refused(error)
    }
}

impl From<RateLimitError> for AuthzError {
    fn from(too_many: RateLimitError) -> Self {
        Self::TooMany(too_many)
    }
}

impl<E: Into<InternalError>> From<E> for AuthzError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

impl AuthzError {
    /// The error as the caller sees it. Faults are logged where they are rendered, and say nothing.
    pub fn to_oauth_error(&self) -> OAuthError {
        match self {
            Self::Refused(error) | Self::Bearer(error) | Self::Scope(error) => error.clone(),
            Self::TooMany(_) => OAuthError::new(
                OAuthCode::TemporarilyUnavailable,
                "Too many requests, please try again later",
            ),
            Self::Internal(fault) if fault.is_transient() => OAuthError::new(
                OAuthCode::TemporarilyUnavailable,
                "The hub cannot answer now, please try again",
            ),
            Self::Internal(_) => {
                OAuthError::new(OAuthCode::ServerError, "An unhandled error occurred on the server")
            }
        }
    }
}
