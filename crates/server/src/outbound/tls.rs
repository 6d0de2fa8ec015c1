//! The reasons why a TLS handshake fails.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// The reason why a TLS handshake failed, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    #[error("the provider's certificate is signed by an unknown authority; set tls.ca")]
    UnknownAuthority,
    #[error("the provider's certificate has expired")]
    Expired,
    #[error("the provider's certificate is not valid yet")]
    NotYetValid,
    #[error("the provider's certificate is for another name")]
    OtherName,
    #[error("the provider requires another certificate of the hub; check tls.certificate")]
    CertificateRejected,
    #[error(
        "the provider denies access to the hub's certificate, which may have expired or been revoked; check tls.certificate"
    )]
    CertificateDenied,
    #[error("no common protocol, or the certificate is not valid")]
    Other,
}

impl TlsFailure {
    /// Returns the failure of TLS that an error, or one of its causes, reports.
    pub(super) fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(Self::from_error(error));
        }
        // An error of an HTTP/2 connection names no source.
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.get_io().and_then(|error| Self::find(error));
        }
        // An I/O error hides the error that it wraps: its source is the source of that error.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.and_then(|inner| Self::find(inner)).or_else(|| error.source().and_then(Self::find))
    }

    fn from_error(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(reason) => match reason {
                // The second one is another authority with the name of a known one.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::OtherName
                }
                _ => Self::Other,
            },
            // With TLS 1.3 a client learns that its certificate is rejected after it has sent the request, which the server
            // has not read: servers send these alerts only in the handshake, and the client permits no second one.
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::UnknownCA,
            ) => Self::CertificateRejected,
            // Some servers also send these later, such as when a certificate expires while a connection is open.
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied,
            ) => Self::CertificateDenied,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_of_tls_failure_is_found_below_io_errors() {
        let wrap = |error: rustls::Error| io::Error::other(io::Error::other(error));
        for (error, expected) in [
            (CertificateError::UnknownIssuer.into(), TlsFailure::UnknownAuthority),
            (CertificateError::Expired.into(), TlsFailure::Expired),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                TlsFailure::CertificateRejected,
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateExpired),
                TlsFailure::CertificateDenied,
            ),
            (rustls::Error::AlertReceived(AlertDescription::AccessDenied), TlsFailure::CertificateDenied),
            (rustls::Error::AlertReceived(AlertDescription::HandshakeFailure), TlsFailure::Other),
        ] {
            assert_eq!(TlsFailure::find(&wrap(error)), Some(expected));
        }
        assert_eq!(TlsFailure::find(&io::Error::other("closed")), None);
    }
}
