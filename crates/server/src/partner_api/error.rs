//! The errors of the partner API with their HTTP statuses, and their conversions from other errors.

use domain::error::{OAuthCode, OAuthError};
use domain::rule::validation::ValidationError;
use store::command::RejectedPair;

use crate::error::InternalError;
use crate::oauth::AuthzError;
use crate::paging::PagingError;
use crate::recipients::{RecipientError, TOO_MANY_RECIPIENTS};

/// The reason why a request of a partner or recipient failed. A failed request has changed nothing.
#[derive(Debug)]
pub enum PartnerApiError {
    /// The token or the state of the client does not allow the operation, or an internal error occurred.
    Authz(AuthzError),
    Invalid(ValidationError),
    /// The object in the path does not exist or belongs to another client. The message is the same in both cases, so
    /// that it does not disclose which ids exist.
    NotFound(&'static str),
    /// Pairs in a request for registrations were rejected.
    Pairs(Vec<RejectedPair>),
}

/// The error for the id of a recipient that does not exist or belongs to another partner.
pub(super) const NO_RECIPIENT: PartnerApiError =
    PartnerApiError::NotFound("client_id names no data recipient of this partner");

impl<E: Into<AuthzError>> From<E> for PartnerApiError {
    fn from(error: E) -> Self {
        Self::Authz(error.into())
    }
}

impl From<PagingError> for PartnerApiError {
    fn from(error: PagingError) -> Self {
        match error {
            PagingError::Invalid(message) => OAuthError::new(OAuthCode::InvalidRequest, message).into(),
            // The cursors of this API contain only ids of the hub, which always fit.
            PagingError::CursorTooLong => InternalError::new("an id does not fit into a cursor").into(),
            PagingError::Internal(error) => error.into(),
        }
    }
}

impl From<ValidationError> for PartnerApiError {
    fn from(error: ValidationError) -> Self {
        Self::Invalid(error)
    }
}

impl From<RecipientError> for PartnerApiError {
    fn from(error: RecipientError) -> Self {
        match error {
            RecipientError::Invalid(error) => error.into(),
            RecipientError::TooManyRecipients => {
                OAuthError::new(OAuthCode::InvalidRequest, TOO_MANY_RECIPIENTS).into()
            }
            RecipientError::IdTaken => InternalError::new("a generated client id is taken").into(),
            RecipientError::Internal(error) => error.into(),
        }
    }
}
