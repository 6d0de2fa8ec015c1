//! What the operators' API says no with.

use domain::model::operator::Role;
use domain::rule::operator::NotAdmitted;

use crate::fault::Fault;

/// A refusal for the operator, or our own trouble.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The token is missing, unknown, expired, removed or spent.
    #[error("The operator token is missing, unknown, expired or removed")]
    Unauthorized,
    /// The role is too small.
    #[error("This needs the role {0}")]
    Role(Role),
    /// The token makes the first admin, and nothing else.
    #[error("This token makes the first admin and may do nothing else")]
    Bootstrap,
    /// A field is not what it should be.
    #[error("{field}: {expected}")]
    Invalid {
        /// Which.
        field: String,
        /// What was expected.
        expected: String,
    },
    /// There is no such thing.
    #[error("There is no such {0}")]
    NotFound(&'static str),
    /// It does not fit to how things stand.
    #[error("{0}")]
    Conflict(String),
    /// Our own trouble.
    #[error(transparent)]
    Fault(Fault),
}

impl AdminError {
    /// A field that is not what it should be.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), expected: expected.into() }
    }
}

impl From<NotAdmitted> for AdminError {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Unknown => Self::Unauthorized,
            NotAdmitted::Role(least) => Self::Role(least),
            NotAdmitted::Bootstrap => Self::Bootstrap,
        }
    }
}

macro_rules! faults {
    ($($type:ty),+) => {$(
        impl From<$type> for AdminError {
            fn from(error: $type) -> Self {
                Self::Fault(error.into())
            }
        }
    )+};
}
faults!(Fault, store::StoreError, crate::ctx::Unfit, crate::vault::Unsealable);
