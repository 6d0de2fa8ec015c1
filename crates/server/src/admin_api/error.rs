//! The errors of the admin API with their HTTP statuses, and their conversions from other errors.

use domain::model::operator::Role;
use domain::rule::authority::AuthorityError;
use domain::rule::operator::OperatorAuthError;
use domain::rule::validation::ValidationError;
use store::StoreError;
use store::command::{PairRejection, RejectedPair};

use crate::error::InternalError;
use crate::rate_limit::RateLimitError;
use crate::recipients::{RecipientError, RegistrationPair, RegistrationStepError};

/// The maximum length in characters of the message for an invalid field. It is limited, because the message may repeat
/// the caller's input.
const MAX_EXPECTED_CHARS: usize = 300;

/// The reason why a request of an operator failed, for the response of the admin API.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("The operator token is missing, unknown, expired or removed")]
    Unauthorized,
    /// The role of the operator does not cover the required role.
    #[error("This operation needs the role {0}")]
    Role(Role),
    /// The bootstrap token was presented for an operation other than adding the first admin.
    #[error("The bootstrap token can only add the first admin")]
    Bootstrap,
    #[error("{field}: {expected}")]
    Invalid { field: String, expected: String },
    #[error("There is no such {0}")]
    NotFound(&'static str),
    /// The operation conflicts with the current state.
    #[error("{0}")]
    Conflict(String),
    /// Pairs in a request for registrations were rejected. Nothing has changed.
    #[error("No registration was requested, because pairs were rejected (rejected pairs: {})", .pairs.len())]
    Pairs {
        /// Whether the recipient or the provider of at least one pair does not exist.
        missing: bool,
        /// The rejected pairs, each with the message for the operator.
        pairs: Vec<(RegistrationPair, String)>,
    },
    /// The operator sent too many requests.
    #[error("Too many requests of this operator, please try again later")]
    RateLimited(RateLimitError),
    #[error(transparent)]
    Internal(InternalError),
}

impl From<RateLimitError> for AdminError {
    fn from(error: RateLimitError) -> Self {
        Self::RateLimited(error)
    }
}

impl AdminError {
    /// Creates the error for an invalid field. `expected` describes the valid values.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), expected: expected.into() }
    }
}

impl From<OperatorAuthError> for AdminError {
    fn from(error: OperatorAuthError) -> Self {
        match error {
            OperatorAuthError::Unknown | OperatorAuthError::OtherLocalUser => Self::Unauthorized,
            OperatorAuthError::InsufficientRole(required) => Self::Role(required),
            OperatorAuthError::BootstrapTokenOnly => Self::Bootstrap,
        }
    }
}

impl From<ValidationError> for AdminError {
    fn from(error: ValidationError) -> Self {
        let expected = error.expected.chars().take(MAX_EXPECTED_CHARS).collect::<String>();
        Self::Invalid { field: error.field, expected }
    }
}

impl From<Vec<RejectedPair>> for AdminError {
    fn from(rejected: Vec<RejectedPair>) -> Self {
        let missing = rejected.iter().any(|pair| !matches!(pair.reason, PairRejection::Duplicate(_)));
        let describe = |reason: PairRejection| match reason {
            PairRejection::RecipientNotFound => "The recipient does not exist".to_owned(),
            PairRejection::ProviderNotAvailable => "There is no such provider, or it is retired".to_owned(),
            PairRejection::Duplicate(state) => {
                format!("This registration was requested before and is {state}")
            }
        };
        let to_pair = |RejectedPair { client_id, provider_id, reason }| {
            (RegistrationPair { client_id, provider_id }, describe(reason))
        };
        Self::Pairs { missing, pairs: rejected.into_iter().map(to_pair).collect() }
    }
}

impl From<RecipientError> for AdminError {
    fn from(error: RecipientError) -> Self {
        match error {
            RecipientError::Invalid(error) => error.into(),
            RecipientError::TooManyRecipients => Self::Conflict(error.to_string()),
            RecipientError::IdTaken => InternalError::new("a generated client id is taken").into(),
            RecipientError::Internal(error) => error.into(),
        }
    }
}

impl From<RegistrationStepError> for AdminError {
    fn from(error: RegistrationStepError) -> Self {
        match error {
            RegistrationStepError::Unknown => Self::NotFound("registration"),
            RegistrationStepError::WrongState(message) => Self::Conflict(message),
            RegistrationStepError::Retired(error) => Self::Conflict(error.to_string()),
            RegistrationStepError::Invalid(error) => error.into(),
            RegistrationStepError::Internal(error) => error.into(),
        }
    }
}

impl<E: Into<InternalError>> From<E> for AdminError {
    fn from(error: E) -> Self {
        let error: InternalError = error.into();
        match error {
            // The operator was removed after the authentication.
            InternalError::Store(StoreError::CallerRefused(AuthorityError::Operator(error))) => error.into(),
            error => Self::Internal(error),
        }
    }
}
