//! The errors of calls to providers and of reads of a connection's data. None of them contains text from the provider.

use std::time::Duration;

use domain::model::connection::EndCause;

use crate::breaker::BreakerOpenError;
use crate::error::InternalError;
use crate::outbound::OutboundError;

/// The reason why a call to a provider failed. It never contains text from the provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connection to the provider could be established. Nothing was sent.
    #[error("no connection to the provider")]
    NotConnected,
    /// The hub sent nothing, because its settings for the provider cannot be used. An operator must correct them.
    #[error("the settings of the provider cannot be used")]
    NotSent,
    /// The circuit breaker is open: the hub sends nothing for some time, because many calls failed.
    #[error("the circuit breaker of the provider is open")]
    CircuitOpen,
    /// A gateway in front of the provider reports that the provider does not respond (502, 504).
    #[error("a gateway reports that the provider does not respond")]
    GatewayFailed,
    /// Another request has not finished its refresh in time.
    #[error("another refresh is running")]
    RefreshRunning,
    /// The provider's token endpoint failed (5xx), so that the hub has no access token.
    #[error("the token endpoint of the provider failed")]
    TokenEndpointFailed,
    /// The provider reports that it is unavailable. The value is the time to wait before the next request.
    #[error("the provider is not available for some time")]
    UnavailableFor(Duration),
    /// The provider reports that the requested resource does not exist, without an FDX error code.
    #[error("the provider does not find the resource")]
    NotFound,
    /// The request was sent, but no complete response arrived. The provider may have processed the request.
    #[error("the provider did not respond")]
    NoResponse,
    /// The TLS handshake with the provider failed. Nothing was sent.
    #[error("the TLS handshake with the provider failed")]
    TlsFailed,
    /// The provider rejects the hub's client, which an operator must correct. It says nothing about the grant.
    #[error("the provider rejects the hub's client")]
    ClientRejected,
    /// The provider rejected the grant once, which a second refresh must confirm. The value is the time until then.
    #[error("the provider has rejected the grant once")]
    GrantUnconfirmed(Duration),
    /// The response has the form of another version of FDX than the configured one.
    #[error("the provider responded in another version of FDX")]
    OtherFdxVersion,
    /// The provider returned an error without a documented meaning, or a response that cannot be read.
    #[error("the provider returned an unexpected response")]
    Failed,
    /// The rate limit of the provider or the hub is exceeded. The value is the time to wait before the next request.
    #[error("the provider limits the rate of requests")]
    RateLimited(Duration),
    /// The provider rejects the access token, or the hub has no refresh token to obtain a new one.
    #[error("the provider rejects the access token")]
    TokenRefused,
    /// The provider demands a proof of possession (DPoP), and the access token is a bearer token.
    #[error("the provider demands a proof of possession")]
    ProofDemanded,
    /// The provider returned an error with an FDX code that Flinks documents.
    #[error("the provider returned the FDX error {0:?}")]
    FdxError(fdx::ErrorCode),
    /// The grant is expired, revoked or unknown (`invalid_grant`, RFC 6749 §5.2).
    #[error("the grant is no longer valid at the provider")]
    GrantEnded,
}

impl From<BreakerOpenError> for UpstreamError {
    fn from(_: BreakerOpenError) -> Self {
        Self::CircuitOpen
    }
}

impl From<OutboundError> for UpstreamError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Connect => Self::NotConnected,
            OutboundError::Forbidden | OutboundError::Credentials | OutboundError::NoEndpoint(_) => {
                Self::NotSent
            }
            OutboundError::Tls(_) => Self::TlsFailed,
            OutboundError::Timeout | OutboundError::Interrupted => Self::NoResponse,
            OutboundError::TooLarge => Self::Failed,
        }
    }
}

/// The reason why a read of a connection's data failed.
#[derive(Debug)]
pub enum ReadError {
    /// The connection ended after access had been granted. The value is the cause, if it is known.
    ConnectionEnded(Option<EndCause>),
    /// The provider was paused after access had been granted.
    ProviderPaused,
    /// The call to the provider failed.
    Upstream(UpstreamError),
    /// The hub or its store failed.
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}
