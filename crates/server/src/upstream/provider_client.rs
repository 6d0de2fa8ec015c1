//! Builds the HTTP client of a provider that has settings for its HTTP calls.

use std::collections::BTreeMap;

use domain::Secret;
use domain::model::provider::ProviderSettings;
use domain::rule::provider::is_pem;

use crate::config::UpstreamSection;
use crate::outbound::{Outbound, TransportMaterial};

/// Builds the HTTP client of a provider. `secrets` are the values of the settings that
/// `ProviderSettings::transport_secrets` returns, by their names. The error names the setting.
pub(crate) fn build_outbound(
    section: &UpstreamSection,
    settings: &ProviderSettings,
    mut secrets: BTreeMap<String, Secret<String>>,
) -> Result<Outbound, String> {
    let tls = settings.tls.clone().unwrap_or_default();
    let constant = settings.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone())));
    let secret = settings.secret_headers.keys().filter_map(|name| {
        let value = secrets.remove(&format!("secret_headers.{name}"))?;
        Some((name.clone(), value))
    });
    let headers = constant.chain(secret).collect();
    Outbound::for_provider(
        section,
        &TransportMaterial {
            ca: read_certificates("tls.ca", tls.ca)?,
            certificate: read_certificates("tls.certificate", tls.certificate)?,
            key: secrets.remove("tls.key"),
            private_ranges: settings.private_ranges(),
            headers,
            proxy: settings.proxy.as_ref().map(|proxy| proxy.url.clone()),
            proxy_credentials: secrets.remove("proxy.credentials"),
            timeout: settings.call_timeout(),
        },
    )
}

/// Returns certificates in PEM form, which a setting contains or names a file of.
fn read_certificates(field: &str, setting: Option<String>) -> Result<Option<String>, String> {
    match setting {
        Some(path) if !is_pem(&path) => {
            std::fs::read_to_string(&path).map(Some).map_err(|error| format!("{field}: {path}: {error}"))
        }
        pem => Ok(pem),
    }
}
