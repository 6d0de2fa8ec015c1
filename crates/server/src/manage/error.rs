//! What management says no with.

use domain::error::{OAuthCode, OAuthError};
use domain::rule::recipient::Invalid;
use store::command::BadPair;

use super::register::NotRegistered;
use crate::authz::AuthzError;
use crate::fault::Fault;
use crate::gateway::DataError;

/// Why an operation of a partner or a recipient is not done. Nothing is done by halves.
#[derive(Debug)]
pub enum ManageError {
    /// The bearer, the client's state, or our own trouble.
    Authz(AuthzError),
    /// A field is not what it should be.
    Invalid(Invalid),
    /// What the path names is not there, or is another's.
    NotFound(&'static str),
    /// Pairs of a request for registrations that are in the way.
    Pairs(Vec<BadPair>),
}

/// What is told of a recipient that is not this partner's.
pub(super) const NO_RECIPIENT: ManageError =
    ManageError::NotFound("client_id names no data recipient of this partner");

macro_rules! from {
    ($($type:ty),+) => {$(
        impl From<$type> for ManageError {
            fn from(error: $type) -> Self {
                Self::Authz(error.into())
            }
        }
    )+};
}
from!(AuthzError, OAuthError, Fault, store::StoreError, crate::ctx::Unfit, crate::vault::Unsealable);

/// What the kit of lists says no with.
impl From<DataError> for ManageError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Fault(fault) => fault.into(),
            DataError::Fdx(_, what) => OAuthError::new(OAuthCode::InvalidRequest, what).into(),
            _ => Fault::new("a list of ours failed as those of a provider do").into(),
        }
    }
}

impl From<Invalid> for ManageError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<NotRegistered> for ManageError {
    fn from(why: NotRegistered) -> Self {
        match why {
            NotRegistered::Invalid(invalid) => invalid.into(),
            NotRegistered::Taken => Fault::new("a fresh client id is taken").into(),
            NotRegistered::Fault(fault) => fault.into(),
        }
    }
}
