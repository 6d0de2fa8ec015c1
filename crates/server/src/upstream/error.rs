//! Errors of calls to providers and of reads of a connection's data.

use std::time::Duration;

use crate::breaker::BreakerOpenError;
use crate::error::InternalError;
use crate::outbound::OutboundError;

/// What went wrong with a provider. Its own words are never kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It cannot be reached, or says that it is not there for now.
    #[error("the provider is not available")]
    Unavailable,
    /// It was asked and nothing came back: what it did is not known.
    #[error("the provider did not answer")]
    NoResponse,
    /// It failed, or its answer cannot be read.
    #[error("the provider failed")]
    Failed,
    /// It says that these are too many requests; when to come back.
    #[error("the provider limits our rate")]
    RateLimited(Duration),
    /// It refuses the token of the request.
    #[error("the provider refuses the token")]
    TokenRefused,
    /// It says no in a documented way.
    #[error("the provider says {0:?}")]
    FdxError(fdx::ErrorCode),
    /// Its grant is over (`invalid_grant`).
    #[error("the provider's grant is over")]
    GrantEnded,
}

impl From<BreakerOpenError> for UpstreamError {
    fn from(_: BreakerOpenError) -> Self {
        Self::Unavailable
    }
}

impl From<OutboundError> for UpstreamError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Connect => Self::Unavailable,
            OutboundError::Timeout | OutboundError::Interrupted => Self::NoResponse,
            OutboundError::Forbidden | OutboundError::TooLarge => Self::Failed,
        }
    }
}

/// Why there is nothing to serve.
#[derive(Debug)]
pub enum ReadError {
    /// The connection ended meanwhile.
    ConnectionEnded,
    /// The provider is held meanwhile.
    ProviderPaused,
    /// The provider's trouble.
    Upstream(UpstreamError),
    /// Our own trouble.
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}
