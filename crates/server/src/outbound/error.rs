//! The reasons why calls to providers return no response.

use domain::model::provider::EndpointError;

use super::tls::TlsFailure;

/// The reason why a call returned no response. It contains nothing of a response body.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL leads to an address that the hub must not call, such as one of an internal network.
    #[error("the address is not allowed")]
    Forbidden,
    /// No connection could be established. The request was not sent.
    #[error("no connection")]
    Connect,
    /// The TLS handshake failed. The request was not sent, or the server rejected it before it read the request.
    #[error("the TLS handshake failed: {0}")]
    Tls(TlsFailure),
    /// The secrets, keys or certificates with which the hub authenticates cannot be used. The request was not sent.
    #[error("the hub's own secret, key or certificate cannot be used")]
    Credentials,
    /// The endpoint is not known. The request was not sent.
    #[error("{0}")]
    NoEndpoint(EndpointError),
    /// The timeout passed. The request may have been processed.
    #[error("no response in time")]
    Timeout,
    /// The response is larger than the limit for its kind.
    #[error("the response is too large")]
    TooLarge,
    /// The connection was closed before the end of the response.
    #[error("the response was interrupted")]
    Interrupted,
}

impl OutboundError {
    /// Returns the name of the reason in logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Forbidden => "address_not_allowed",
            Self::Connect => "no_connection",
            Self::Tls(_) => "tls_failed",
            Self::Credentials => "credentials_not_usable",
            Self::NoEndpoint(_) => "endpoint_not_known",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Interrupted => "interrupted",
        }
    }
}

pub(super) fn classify_error(error: &reqwest::Error) -> OutboundError {
    classify_failure(TlsFailure::find(error), error.is_connect(), error.is_timeout())
}

/// Returns the reason of a failed call, given whether it failed while connecting and whether it took too long.
fn classify_failure(tls: Option<TlsFailure>, is_connect: bool, is_timeout: bool) -> OutboundError {
    match tls {
        // The server cannot have read the request. After the handshake, other failures of TLS say nothing about that: the
        // connection may have been used before.
        Some(failure) if is_connect || failure == TlsFailure::CertificateRejected => {
            OutboundError::Tls(failure)
        }
        // A timeout while connecting counts as a failed connection, because the request was not sent.
        _ if is_connect => OutboundError::Connect,
        _ if is_timeout => OutboundError::Timeout,
        _ => OutboundError::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_failure_after_the_handshake_may_follow_a_request() {
        let reason = |tls, is_connect| classify_failure(Some(tls), is_connect, false).reason();

        assert_eq!(reason(TlsFailure::CertificateRejected, false), "tls_failed");
        for failure in [TlsFailure::CertificateDenied, TlsFailure::Other] {
            assert_eq!((reason(failure, true), reason(failure, false)), ("tls_failed", "interrupted"));
        }
    }
}
