//! What the operators' API says no with.

use domain::model::operator::Role;
use domain::rule::operator::NotAdmitted;
use domain::rule::recipient::Invalid;
use store::command::{BadPair, WhyNot};

use crate::fault::Fault;
use crate::manage::{NotRegistered, Pair, StepRefused};

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
        pairs: Vec<(Pair, String)>,
    },
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
            NotAdmitted::Unknown | NotAdmitted::Stranger => Self::Unauthorized,
            NotAdmitted::Role(least) => Self::Role(least),
            NotAdmitted::Bootstrap => Self::Bootstrap,
        }
    }
}

impl From<Invalid> for AdminError {
    fn from(invalid: Invalid) -> Self {
        // What a caller sent may be in it.
        let expected = invalid.expected.chars().take(300).collect::<String>();
        Self::Invalid { field: invalid.field, expected }
    }
}

impl From<Vec<BadPair>> for AdminError {
    fn from(bad: Vec<BadPair>) -> Self {
        let missing = bad.iter().any(|pair| !matches!(pair.why, WhyNot::Duplicate(_)));
        let told = |why: WhyNot| match why {
            WhyNot::NoRecipient => "There is no such recipient".to_owned(),
            WhyNot::NoProvider => "There is no such provider, or it takes nobody any more".to_owned(),
            WhyNot::Duplicate(state) => format!("This registration was asked for before and is {state}"),
        };
        let pair =
            |bad: BadPair| (Pair { client_id: bad.client_id, provider_id: bad.provider_id }, told(bad.why));
        Self::Pairs { missing, pairs: bad.into_iter().map(pair).collect() }
    }
}

impl From<NotRegistered> for AdminError {
    fn from(why: NotRegistered) -> Self {
        match why {
            NotRegistered::Invalid(invalid) => invalid.into(),
            NotRegistered::Taken => Self::Fault(Fault::new("a fresh client id is taken")),
            NotRegistered::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<StepRefused> for AdminError {
    fn from(why: StepRefused) -> Self {
        match why {
            StepRefused::Unknown => Self::NotFound("registration"),
            StepRefused::NotTaken(why) => Self::Conflict(why),
            StepRefused::Retired(retired) => Self::Conflict(retired.to_string()),
            StepRefused::Invalid(invalid) => invalid.into(),
            StepRefused::Fault(fault) => Self::Fault(fault),
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
