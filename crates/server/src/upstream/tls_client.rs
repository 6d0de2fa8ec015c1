//! Builds the HTTP client for a provider with TLS settings.

use domain::Secret;
use domain::model::provider::TlsSettings;
use domain::rule::provider::is_pem;

use crate::config::UpstreamSection;
use crate::outbound::{Outbound, TlsMaterial};

/// Builds the HTTP client for a provider with TLS settings. `key` is the value of `tls.key`. The error names the setting.
pub(crate) fn build_outbound(
    section: &UpstreamSection,
    tls: &TlsSettings,
    key: Option<Secret<String>>,
) -> Result<Outbound, String> {
    let read = |field: &str, text: &Option<String>| match text {
        Some(text) if is_pem(text) => Ok(Some(text.clone())),
        Some(path) => {
            std::fs::read_to_string(path).map(Some).map_err(|error| format!("{field}: {path}: {error}"))
        }
        None => Ok(None),
    };
    let (ca, certificate) = (read("tls.ca", &tls.ca)?, read("tls.certificate", &tls.certificate)?);
    Outbound::with_tls(section, &TlsMaterial { ca, certificate, key })
}
