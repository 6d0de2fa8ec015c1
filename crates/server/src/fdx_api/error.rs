//! Data errors: the documented list, and the two that lie outside of it.

use std::time::Duration;

use domain::rule::access::{DataAccessError, PauseReason};
use fdx::{ErrorBody, ErrorCode};

use crate::error::InternalError;
use crate::paging::PagingError;
use crate::rate_limit::RateLimitError;
use crate::upstream::{ReadError, UpstreamError};

/// Why no data is served.
#[derive(Debug)]
pub enum DataError {
    /// The token is missing, malformed, forged, expired or without a connection: 401, a message only.
    InvalidToken,
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
    Internal(InternalError),
}

/// What an account outside of the consent is told: it does not exist.
pub(super) const NO_ACCOUNT: DataError =
    DataError::Fdx(ErrorCode::AccountNotFound, "accountId names no account of this consent");

impl DataError {
    /// A parameter that cannot be used.
    pub const fn invalid(message: &'static str) -> Self {
        Self::Fdx(ErrorCode::InvalidInput, message)
    }

    /// The documented code, if there is one.
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::InvalidToken => None,
            Self::Ended => Some(ErrorCode::NotAuthorized),
            Self::Fdx(code, _) => Some(*code),
            Self::Unavailable(_) => Some(ErrorCode::Maintenance),
            Self::RateLimited(_) | Self::TooMany(_) => Some(ErrorCode::TooManyRequests),
            Self::Internal(fault) if fault.is_transient() => Some(ErrorCode::Maintenance),
            Self::Internal(_) => Some(ErrorCode::Internal),
        }
    }

    /// When to come back, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(after) | Self::RateLimited(after) | Self::TooMany(after) => Some(*after),
            Self::Internal(fault) if fault.is_transient() => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The body. A provider's own words are never in it.
    pub fn body(&self) -> ErrorBody {
        let message = match self {
            Self::InvalidToken => {
                let message = Some("The access token is missing, malformed or expired".to_owned());
                return ErrorBody { message, ..ErrorBody::default() };
            }
            Self::Ended => "The customer's consent has ended: a new authorization is needed",
            Self::Fdx(_, message) => message,
            Self::Unavailable(_) => "The data provider is not available at present",
            Self::RateLimited(_) => "The data provider limits requests at present",
            Self::TooMany(_) => "This recipient or this connection asks too often",
            Self::Internal(_) => "The hub cannot answer at present",
        };
        self.code().map_or_else(ErrorBody::default, |code| ErrorBody::new(code, message))
    }
}

impl From<PagingError> for DataError {
    fn from(error: PagingError) -> Self {
        match error {
            PagingError::Invalid(message) => Self::invalid(message),
            PagingError::CursorTooLong => {
                Self::Fdx(ErrorCode::Internal, "The data provider's pages cannot be followed")
            }
            PagingError::Internal(error) => Self::Internal(error),
        }
    }
}

impl From<RateLimitError> for DataError {
    fn from(RateLimitError(wait): RateLimitError) -> Self {
        Self::TooMany(wait)
    }
}

impl From<DataAccessError> for DataError {
    fn from(refusal: DataAccessError) -> Self {
        match refusal {
            DataAccessError::Paused(PauseReason::RecipientSuspended) => {
                Self::Fdx(ErrorCode::SubscriptionNotFound, "This recipient is suspended with the provider")
            }
            DataAccessError::Paused(PauseReason::ProviderPaused) => Self::Unavailable(Duration::from_mins(1)),
            DataAccessError::NotConsented => {
                Self::Fdx(ErrorCode::NotAuthorized, "The customer did not consent to this data")
            }
        }
    }
}

impl From<ReadError> for DataError {
    fn from(error: ReadError) -> Self {
        const RETRY_AFTER: Duration = Duration::from_secs(5);
        match error {
            ReadError::ConnectionEnded => Self::Ended,
            ReadError::ProviderPaused => DataAccessError::Paused(PauseReason::ProviderPaused).into(),
            ReadError::Internal(fault) => Self::Internal(fault),
            ReadError::Upstream(upstream) => match upstream {
                UpstreamError::Unavailable | UpstreamError::NoResponse => Self::Unavailable(RETRY_AFTER),
                UpstreamError::RateLimited(after) => Self::RateLimited(after),
                UpstreamError::FdxError(ErrorCode::CustomerNotFound) => {
                    Self::Fdx(ErrorCode::CustomerNotFound, "The data provider does not find this customer")
                }
                UpstreamError::FdxError(ErrorCode::AccountNotFound) => NO_ACCOUNT,
                UpstreamError::FdxError(code @ ErrorCode::SubsystemUnavailable) => {
                    Self::Fdx(code, "The data provider does not offer this")
                }
                UpstreamError::FdxError(
                    code @ (ErrorCode::AccountClosed
                    | ErrorCode::AccountTypeNotSupported
                    | ErrorCode::NotAuthorized),
                ) => Self::Fdx(code, "The data provider says so"),
                UpstreamError::TokenRefused | UpstreamError::GrantEnded => {
                    Self::Fdx(ErrorCode::NotAuthorized, "The data provider says so")
                }
                UpstreamError::FdxError(_) | UpstreamError::Failed => {
                    Self::Fdx(ErrorCode::Internal, "The data provider failed to answer as it should")
                }
            },
        }
    }
}

impl<E: Into<InternalError>> From<E> for DataError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}
