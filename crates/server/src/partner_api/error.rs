//! What management says no with.

use domain::error::{OAuthCode, OAuthError};
use domain::rule::validation::ValidationError;
use store::command::RejectedPair;

use super::register::RegisterClientError;
use crate::error::InternalError;
use crate::oauth::AuthzError;
use crate::paging::PagingError;

/// Why an operation of a partner or a recipient is not done. Nothing is done by halves.
#[derive(Debug)]
pub enum ManageError {
    /// The bearer, the client's state, or our own trouble.
    Authz(AuthzError),
    /// A field is not what it should be.
    Invalid(ValidationError),
    /// What the path names is not there, or is another's.
    NotFound(&'static str),
    /// Pairs of a request for registrations that are in the way.
    Pairs(Vec<RejectedPair>),
}

/// What is told of a recipient that is not this partner's.
pub(super) const NO_RECIPIENT: ManageError =
    ManageError::NotFound("client_id names no data recipient of this partner");

impl<E: Into<AuthzError>> From<E> for ManageError {
    fn from(error: E) -> Self {
        Self::Authz(error.into())
    }
}

impl From<PagingError> for ManageError {
    fn from(error: PagingError) -> Self {
        match error {
            PagingError::Invalid(message) => OAuthError::new(OAuthCode::InvalidRequest, message).into(),
            // Positions in lists of ours are ids, which always fit into a cursor.
            PagingError::CursorTooLong => InternalError::new("an id does not fit into a cursor").into(),
            PagingError::Internal(error) => error.into(),
        }
    }
}

impl From<ValidationError> for ManageError {
    fn from(invalid: ValidationError) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<RegisterClientError> for ManageError {
    fn from(error: RegisterClientError) -> Self {
        match error {
            RegisterClientError::Invalid(invalid) => invalid.into(),
            RegisterClientError::IdTaken => InternalError::new("a fresh client id is taken").into(),
            RegisterClientError::Internal(fault) => fault.into(),
        }
    }
}
