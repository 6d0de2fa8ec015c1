//! The results of checks whose calls returned no response, with what to change.

use domain::rule::provider_check::CheckResult;

use crate::outbound::{OutboundError, TlsFailure};

/// Returns the result of a check whose call failed. `setting` is the one with the URL.
pub(super) fn report_failed_call(name: &'static str, setting: &str, error: &OutboundError) -> CheckResult {
    let change = match error {
        OutboundError::Forbidden => format!(
            "correct {setting}; private addresses need tls.allow_private, and those of this machine upstream.allow_loopback"
        ),
        OutboundError::Connect => {
            format!("check the host and port of {setting}, its DNS name, the firewall and proxy.url")
        }
        OutboundError::Tls(failure) => suggest_tls_change(*failure, setting),
        OutboundError::Credentials => {
            "correct client_secret, auth_key and tls.key; the log has the reason".to_owned()
        }
        OutboundError::NoEndpoint(_) => format!("set {setting}, or correct issuer"),
        OutboundError::Timeout => "set a longer timeout, or ask the provider".to_owned(),
        OutboundError::TooLarge | OutboundError::Interrupted => {
            format!("correct {setting}, or ask the provider")
        }
    };
    CheckResult::failed(name, error.to_string(), change)
}

/// Returns what to change after a failed TLS handshake with the server that a setting names.
pub(super) fn suggest_tls_change(failure: TlsFailure, setting: &str) -> String {
    match failure {
        TlsFailure::UnknownAuthority => {
            "set tls.ca to a file with the certificate of the provider's authority".to_owned()
        }
        TlsFailure::Expired => "ask the provider to renew its certificate".to_owned(),
        TlsFailure::NotYetValid => "correct the clock of this machine, or ask the provider".to_owned(),
        TlsFailure::OtherName => format!("correct the host of {setting} to the name in the certificate"),
        TlsFailure::CertificateRejected | TlsFailure::CertificateDenied => {
            "set tls.certificate and tls.key to the certificate that the provider knows".to_owned()
        }
        TlsFailure::Other => format!("check the port of {setting}, and the TLS version of the provider"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_handshake_names_reason_and_setting() {
        for (failure, detail, change) in [
            (TlsFailure::UnknownAuthority, "signed by an unknown authority", "set tls.ca"),
            (TlsFailure::Expired, "has expired", "ask the provider to renew"),
            (TlsFailure::OtherName, "is for another name", "correct the host of token_endpoint"),
            (TlsFailure::CertificateRejected, "another certificate of the hub", "set tls.certificate"),
        ] {
            let result = report_failed_call("token", "token_endpoint", &OutboundError::Tls(failure));

            assert!(!result.ok && result.detail.contains(detail), "{result:?}");
            assert!(result.change.as_ref().is_some_and(|found| found.starts_with(change)), "{result:?}");
        }
    }

    #[test]
    fn forbidden_address_names_the_settings_that_allow_it() {
        let result = report_failed_call("data", "fdx.base_url", &OutboundError::Forbidden);

        assert_eq!(result.detail, "the address is not allowed");
        assert!(result.change.is_some_and(|change| change.contains("tls.allow_private")));
    }
}
