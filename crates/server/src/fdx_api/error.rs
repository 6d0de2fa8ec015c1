//! The errors of the FDX API with their codes and HTTP statuses, and their conversions from other errors.

use std::time::Duration;

use domain::model::connection::EndCause;
use domain::rule::access::{DataAccessError, PauseReason};
use fdx::{ErrorBody, ErrorCode};

use crate::document_slots::NoDocumentSlot;
use crate::error::InternalError;
use crate::paging::PagingError;
use crate::rate_limit::RateLimitError;
use crate::upstream::{ReadError, UpstreamError};

/// The reason why a request to the FDX API failed, which determines the response.
#[derive(Debug)]
pub enum DataError {
    /// The access token is missing, malformed, forged or expired: 401 without an FDX code.
    InvalidToken,
    /// The access token belongs to a client, not to a connection: 401 without an FDX code.
    ClientToken,
    /// The connection has ended: FDX error code 602. The value is the cause, if it is known.
    ConnectionEnded(Option<EndCause>),
    /// Any other documented FDX error, with a message for the developer of the client.
    Fdx(ErrorCode, &'static str),
    /// The provider is not available: code 503, with the time to wait.
    ProviderUnavailable(Duration),
    /// The provider cannot be called, or does not respond, for a reason that is not its maintenance, or the hub is at a limit
    /// of its own: code 500 with the status 503, and the time to wait. The message names the reason.
    TemporarilyUnavailable(Duration, &'static str),
    /// The provider limits the rate of requests, or the hub limits the requests to it: code 1207.
    ProviderRateLimited(Duration),
    /// The recipient or the connection sends too many requests: code 1207.
    RateLimited(Duration),
    Internal(InternalError),
}

/// Error for an account that does not exist or is outside of the consent. Both look the same, so that a recipient
/// cannot find out which accounts exist.
pub(super) const NO_ACCOUNT: DataError =
    DataError::Fdx(ErrorCode::AccountNotFound, "accountId is not an account of this consent");

/// Error for a response of the provider that the hub cannot use.
const PROVIDER_FAILED: DataError =
    DataError::Fdx(ErrorCode::Internal, "The data provider did not return a valid response");

impl DataError {
    /// Creates the error for an FDX code that the provider sent.
    fn from_provider_code(code: ErrorCode) -> Self {
        match code {
            ErrorCode::CustomerNotFound => Self::Fdx(code, "The data provider does not find this customer"),
            ErrorCode::AccountNotFound => NO_ACCOUNT,
            ErrorCode::SubsystemUnavailable => Self::Fdx(code, "The data provider does not offer this"),
            ErrorCode::AccountClosed | ErrorCode::AccountTypeNotSupported | ErrorCode::NotAuthorized => {
                Self::Fdx(code, "The data provider reported this error")
            }
            // Other codes are about the hub's own request, such as an invalid parameter: the recipient did not cause them
            // and could not correct them.
            _ => PROVIDER_FAILED,
        }
    }

    /// Creates the error for an invalid query parameter: the FDX code for invalid input, with a message for developers.
    pub const fn invalid(message: &'static str) -> Self {
        Self::Fdx(ErrorCode::InvalidInput, message)
    }

    /// Converts the error of a failed read. The provider's error 1107 (data not found), or 404 and 410 without an FDX code,
    /// become `not_found`.
    pub(super) fn from_read_error(error: ReadError, not_found: Self) -> Self {
        match error {
            ReadError::Upstream(
                UpstreamError::FdxError(ErrorCode::DataNotFound) | UpstreamError::NotFound,
            ) => not_found,
            error => error.into(),
        }
    }

    /// Returns the FDX error code; `None` for an unsuitable token, for which FDX defines none.
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::InvalidToken | Self::ClientToken => None,
            Self::ConnectionEnded(_) => Some(ErrorCode::NotAuthorized),
            Self::Fdx(code, _) => Some(*code),
            Self::ProviderUnavailable(_) => Some(ErrorCode::Maintenance),
            Self::ProviderRateLimited(_) | Self::RateLimited(_) => Some(ErrorCode::TooManyRequests),
            Self::Internal(error) if error.is_transient() => Some(ErrorCode::Maintenance),
            // The documented message of the code 503 is "Scheduled maintenance", which would be wrong.
            Self::TemporarilyUnavailable(..) | Self::Internal(_) => Some(ErrorCode::Internal),
        }
    }

    /// Returns the HTTP status of the response.
    pub fn status(&self) -> u16 {
        match self {
            Self::TemporarilyUnavailable(..) => 503,
            error => error.code().map_or(401, ErrorCode::status),
        }
    }

    /// Returns the time to wait before a retry, if it is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ProviderUnavailable(wait)
            | Self::TemporarilyUnavailable(wait, _)
            | Self::ProviderRateLimited(wait)
            | Self::RateLimited(wait) => Some(*wait),
            Self::Internal(error) if error.is_transient() => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Returns the response body of the error. It never contains text of the provider, which might include customer
    /// data.
    pub fn body(&self) -> ErrorBody {
        let message = match self {
            Self::InvalidToken => {
                let message = Some("The access token is missing, malformed or expired".into());
                return ErrorBody { message, ..ErrorBody::default() };
            }
            Self::ClientToken => {
                let message = "This token names no connection: use the token of a connection";
                return ErrorBody { message: Some(message.into()), ..ErrorBody::default() };
            }
            Self::ConnectionEnded(Some(EndCause::AccessTokenEnded)) => {
                "The data provider rejects its access token and issued no refresh token: a new authorization is needed"
            }
            Self::ConnectionEnded(_) => "The customer's consent has ended: a new authorization is needed",
            Self::Fdx(_, message) | Self::TemporarilyUnavailable(_, message) => message,
            Self::ProviderUnavailable(_) => "The data provider is temporarily unavailable",
            Self::ProviderRateLimited(_) => "The data provider limits the number of requests",
            Self::RateLimited(_) => "Too many requests from this recipient or for this connection",
            Self::Internal(_) => "The hub could not process the request",
        };
        self.code().map_or_else(ErrorBody::default, |code| ErrorBody::new(code, message))
    }
}

impl From<PagingError> for DataError {
    fn from(error: PagingError) -> Self {
        match error {
            PagingError::Invalid(message) => Self::invalid(message),
            PagingError::CursorTooLong => {
                Self::Fdx(ErrorCode::Internal, "The data provider's page offset is too long")
            }
            PagingError::Internal(error) => Self::Internal(error),
        }
    }
}

impl From<RateLimitError> for DataError {
    fn from(RateLimitError(wait): RateLimitError) -> Self {
        Self::RateLimited(wait)
    }
}

impl From<NoDocumentSlot> for DataError {
    fn from(error: NoDocumentSlot) -> Self {
        const RETRY_AFTER: Duration = Duration::from_secs(1);
        match error {
            NoDocumentSlot::Recipient => Self::RateLimited(RETRY_AFTER),
            NoDocumentSlot::Total => Self::TemporarilyUnavailable(
                RETRY_AFTER,
                "The hub is sending as many documents as it can at the same time",
            ),
        }
    }
}

impl From<DataAccessError> for DataError {
    fn from(error: DataAccessError) -> Self {
        match error {
            DataAccessError::Paused(PauseReason::RecipientSuspended) => {
                Self::Fdx(ErrorCode::SubscriptionNotFound, "This recipient is suspended with the provider")
            }
            DataAccessError::Paused(PauseReason::ProviderPaused) => {
                Self::ProviderUnavailable(Duration::from_mins(1))
            }
            DataAccessError::NotConsented => {
                Self::Fdx(ErrorCode::NotAuthorized, "The customer did not consent to this data")
            }
        }
    }
}

impl From<ReadError> for DataError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionEnded(cause) => Self::ConnectionEnded(cause),
            ReadError::ProviderPaused => DataAccessError::Paused(PauseReason::ProviderPaused).into(),
            ReadError::Internal(error) => Self::Internal(error),
            ReadError::Upstream(error) => error.into(),
        }
    }
}

impl From<UpstreamError> for DataError {
    fn from(error: UpstreamError) -> Self {
        const RETRY_AFTER: Duration = Duration::from_secs(5);
        // Until an operator has corrected the settings, a retry is of no use.
        const SETTINGS_RETRY_AFTER: Duration = Duration::from_mins(1);
        let unreachable = |message| Self::TemporarilyUnavailable(RETRY_AFTER, message);
        match error {
            UpstreamError::NotConnected => unreachable("The hub cannot connect to the data provider"),
            UpstreamError::TlsFailed => {
                unreachable("The hub cannot establish a secure connection to the data provider")
            }
            UpstreamError::NoResponse => {
                unreachable("The data provider did not send a complete response in time")
            }
            UpstreamError::GatewayFailed => {
                unreachable("A gateway reports that the data provider does not respond")
            }
            UpstreamError::CircuitOpen => {
                unreachable("The hub does not call the data provider for a short time: many calls failed")
            }
            UpstreamError::RefreshRunning => {
                unreachable("The hub is still renewing its access to the data provider")
            }
            UpstreamError::TokenEndpointFailed => {
                unreachable("The data provider failed to renew the hub's access")
            }
            UpstreamError::NotSent => Self::TemporarilyUnavailable(
                SETTINGS_RETRY_AFTER,
                "The hub cannot call the data provider: its operator must correct the settings",
            ),
            UpstreamError::ClientRejected => Self::TemporarilyUnavailable(
                SETTINGS_RETRY_AFTER,
                "The data provider rejects the hub, whose operator must correct its registration there",
            ),
            UpstreamError::GrantUnconfirmed(wait) => Self::TemporarilyUnavailable(
                wait,
                "The data provider rejects the consent; the hub repeats the request before the connection ends",
            ),
            UpstreamError::UnavailableFor(wait) => Self::ProviderUnavailable(wait),
            UpstreamError::RateLimited(wait) => Self::ProviderRateLimited(wait),
            UpstreamError::FdxError(code) => Self::from_provider_code(code),
            UpstreamError::TokenRefused | UpstreamError::GrantEnded => {
                Self::Fdx(ErrorCode::NotAuthorized, "The data provider reported this error")
            }
            UpstreamError::OtherFdxVersion => Self::Fdx(
                ErrorCode::Internal,
                "The data provider responded in another version of FDX than the configured one",
            ),
            UpstreamError::NotFound | UpstreamError::Failed | UpstreamError::ProofDemanded => PROVIDER_FAILED,
        }
    }
}

impl<E: Into<InternalError>> From<E> for DataError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}
