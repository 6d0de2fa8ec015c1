//! Data errors: the documented list, and the two that lie outside of it.

use std::time::Duration;

use domain::rule::access::{DataRefusal, Hold};
use fdx::{ErrorBody, ErrorCode};

use crate::fault::Fault;
use crate::hub::{ReadError, Upstream};
use crate::limit::TooMany;

/// Why no data is served.
#[derive(Debug)]
pub enum DataError {
    /// The token is missing, malformed, forged, expired or without a connection: 401, a message only.
    BadToken,
    /// The connection has ended: 602, with a challenge.
    Ended,
    /// A documented error, with what a developer should know.
    Fdx(ErrorCode, &'static str),
    /// The provider is not there for now: 503.
    Unavailable(Duration),
    /// The provider limits our rate, or we theirs: 1207.
    RateLimited(Duration),
    /// The caller asks too often: 1207.
    TooMany(Duration),
    /// Our own trouble.
    Fault(Fault),
}

/// What an account outside of the consent is told: it does not exist.
pub(super) const NO_ACCOUNT: DataError =
    DataError::Fdx(ErrorCode::AccountNotFound, "accountId names no account of this consent");

impl DataError {
    /// A parameter that cannot be used.
    pub const fn invalid(what: &'static str) -> Self {
        Self::Fdx(ErrorCode::InvalidInput, what)
    }

    /// The documented code, if there is one.
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::BadToken => None,
            Self::Ended => Some(ErrorCode::NotAuthorized),
            Self::Fdx(code, _) => Some(*code),
            Self::Unavailable(_) => Some(ErrorCode::Maintenance),
            Self::RateLimited(_) | Self::TooMany(_) => Some(ErrorCode::TooManyRequests),
            Self::Fault(fault) if fault.is_transient() => Some(ErrorCode::Maintenance),
            Self::Fault(_) => Some(ErrorCode::Internal),
        }
    }

    /// When to come back, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(after) | Self::RateLimited(after) | Self::TooMany(after) => Some(*after),
            Self::Fault(fault) if fault.is_transient() => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The body. A provider's own words are never in it.
    pub fn body(&self) -> ErrorBody {
        let message = match self {
            Self::BadToken => {
                let message = Some("The access token is missing, malformed or expired".to_owned());
                return ErrorBody { message, ..ErrorBody::default() };
            }
            Self::Ended => "The customer's consent has ended: a new authorization is needed",
            Self::Fdx(_, message) => message,
            Self::Unavailable(_) => "The data provider is not available at present",
            Self::RateLimited(_) => "The data provider limits requests at present",
            Self::TooMany(_) => "This recipient or this connection asks too often",
            Self::Fault(_) => "The hub cannot answer at present",
        };
        self.code().map_or_else(ErrorBody::default, |code| ErrorBody::new(code, message))
    }
}

impl From<TooMany> for DataError {
    fn from(TooMany(wait): TooMany) -> Self {
        Self::TooMany(wait)
    }
}

impl From<DataRefusal> for DataError {
    fn from(refusal: DataRefusal) -> Self {
        match refusal {
            DataRefusal::Held(Hold::Recipient) => {
                Self::Fdx(ErrorCode::SubscriptionNotFound, "This recipient is suspended with the provider")
            }
            DataRefusal::Held(Hold::Provider) => Self::Unavailable(Duration::from_mins(1)),
            DataRefusal::NotConsented => {
                Self::Fdx(ErrorCode::NotAuthorized, "The customer did not consent to this data")
            }
        }
    }
}

impl From<ReadError> for DataError {
    fn from(error: ReadError) -> Self {
        const RETRY: Duration = Duration::from_secs(5);
        match error {
            ReadError::Over => Self::Ended,
            ReadError::Held => DataRefusal::Held(Hold::Provider).into(),
            ReadError::Fault(fault) => Self::Fault(fault),
            ReadError::Upstream(upstream) => match upstream {
                Upstream::Unavailable | Upstream::Silent => Self::Unavailable(RETRY),
                Upstream::RateLimited(after) => Self::RateLimited(after),
                Upstream::Said(ErrorCode::CustomerNotFound) => {
                    Self::Fdx(ErrorCode::CustomerNotFound, "The data provider does not find this customer")
                }
                Upstream::Said(ErrorCode::AccountNotFound) => NO_ACCOUNT,
                Upstream::Said(code @ ErrorCode::SubsystemUnavailable) => {
                    Self::Fdx(code, "The data provider does not offer this")
                }
                Upstream::Said(
                    code @ (ErrorCode::AccountClosed
                    | ErrorCode::AccountTypeNotSupported
                    | ErrorCode::NotAuthorized),
                ) => Self::Fdx(code, "The data provider says so"),
                Upstream::TokenRefused | Upstream::GrantOver => {
                    Self::Fdx(ErrorCode::NotAuthorized, "The data provider says so")
                }
                Upstream::Said(_) | Upstream::Failed => {
                    Self::Fdx(ErrorCode::Internal, "The data provider failed to answer as it should")
                }
            },
        }
    }
}

macro_rules! faults {
    ($($type:ty),+) => {$(
        impl From<$type> for DataError {
            fn from(error: $type) -> Self {
                Self::Fault(error.into())
            }
        }
    )+};
}
faults!(Fault, store::StoreError, crate::ctx::Unfit, crate::vault::Unsealable);
