//! What the operators' API says no with.

use domain::model::operator::Role;
use domain::rule::operator::OperatorAuthError;
use domain::rule::validation::ValidationError;
use store::command::{PairRejection, RejectedPair};

use crate::error::InternalError;
use crate::partner_api::{RegisterClientError, RegistrationPair, RegistrationStepError};

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
    /// Pairs of a request for registrations that are in the way. Nothing was done.
    #[error("Registrations are asked for all or none (bad pairs: {})", .pairs.len())]
    Pairs {
        /// Whether something that was named is not there.
        missing: bool,
        /// Each, and what is in its way.
        pairs: Vec<(RegistrationPair, String)>,
    },
    /// Our own trouble.
    #[error(transparent)]
    Internal(InternalError),
}

impl AdminError {
    /// A field that is not what it should be.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), expected: expected.into() }
    }
}

impl From<OperatorAuthError> for AdminError {
    fn from(error: OperatorAuthError) -> Self {
        match error {
            OperatorAuthError::Unknown | OperatorAuthError::OtherLocalUser => Self::Unauthorized,
            OperatorAuthError::InsufficientRole(least) => Self::Role(least),
            OperatorAuthError::BootstrapTokenOnly => Self::Bootstrap,
        }
    }
}

impl From<ValidationError> for AdminError {
    fn from(invalid: ValidationError) -> Self {
        // What a caller sent may be in it.
        let expected = invalid.expected.chars().take(300).collect::<String>();
        Self::Invalid { field: invalid.field, expected }
    }
}

impl From<Vec<RejectedPair>> for AdminError {
    fn from(bad: Vec<RejectedPair>) -> Self {
        let missing = bad.iter().any(|pair| !matches!(pair.reason, PairRejection::Duplicate(_)));
        let describe = |why: PairRejection| match why {
            PairRejection::RecipientNotFound => "There is no such recipient".to_owned(),
            PairRejection::ProviderNotAvailable => {
                "There is no such provider, or it takes nobody any more".to_owned()
            }
            PairRejection::Duplicate(state) => {
                format!("This registration was asked for before and is {state}")
            }
        };
        let pair = |bad: RejectedPair| {
            (
                RegistrationPair { client_id: bad.client_id, provider_id: bad.provider_id },
                describe(bad.reason),
            )
        };
        Self::Pairs { missing, pairs: bad.into_iter().map(pair).collect() }
    }
}

impl From<RegisterClientError> for AdminError {
    fn from(error: RegisterClientError) -> Self {
        match error {
            RegisterClientError::Invalid(invalid) => invalid.into(),
            RegisterClientError::IdTaken => Self::Internal(InternalError::new("a fresh client id is taken")),
            RegisterClientError::Internal(fault) => Self::Internal(fault),
        }
    }
}

impl From<RegistrationStepError> for AdminError {
    fn from(error: RegistrationStepError) -> Self {
        match error {
            RegistrationStepError::Unknown => Self::NotFound("registration"),
            RegistrationStepError::WrongState(why) => Self::Conflict(why),
            RegistrationStepError::Retired(retired) => Self::Conflict(retired.to_string()),
            RegistrationStepError::Invalid(invalid) => invalid.into(),
            RegistrationStepError::Internal(fault) => Self::Internal(fault),
        }
    }
}

impl<E: Into<InternalError>> From<E> for AdminError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}
