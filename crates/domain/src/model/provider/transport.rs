//! The settings of the HTTP calls to a provider: TLS, headers, proxy, duration and amount of data.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ProviderSettings, SecretSource};

/// TLS settings of the connections to a provider. Certificates are paths of PEM files, or the PEM text itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificates of the authorities that sign the provider's certificate, instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Certificate of the hub, followed by those of its intermediate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Location of the private key of `certificate`, in PEM form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretSource>,
    /// Private address ranges in which the provider may be, such as `10.8.0.0/16`. All others are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_private: Vec<String>,
}

/// Value that the hub computes for a header of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComputedHeader {
    /// IP address of the customer, in calls of a login while the customer waits. Other calls do not have the header.
    CustomerIp,
    /// The UUID of `x-fapi-interaction-id`, for providers that expect it in another header too.
    InteractionId,
}

/// Proxy for the calls to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// URL of the proxy. It connects to the provider (`CONNECT`), and does not read the calls.
    pub url: String,
    /// Location of the credentials, as `user:password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretSource>,
}

/// The settings that the HTTP client of a provider is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    tls: Option<TlsSettings>,
    headers: BTreeMap<String, String>,
    secret_headers: BTreeMap<String, SecretSource>,
    proxy: Option<ProxySettings>,
    timeout: Option<String>,
}

impl TransportSettings {
    /// Copies the settings of a provider.
    pub fn from_settings(settings: &ProviderSettings) -> Self {
        Self {
            tls: settings.tls.clone(),
            headers: settings.headers.clone(),
            secret_headers: settings.secret_headers.clone(),
            proxy: settings.proxy.clone(),
            timeout: settings.timeout.clone(),
        }
    }

    /// Returns whether a provider still has these settings.
    pub fn equals_settings_of(&self, settings: &ProviderSettings) -> bool {
        // All fields are named, so that a new one must be compared too.
        let Self { tls, headers, secret_headers, proxy, timeout } = self;
        *tls == settings.tls
            && *headers == settings.headers
            && *secret_headers == settings.secret_headers
            && *proxy == settings.proxy
            && *timeout == settings.timeout
    }
}

impl ProviderSettings {
    /// Returns whether the provider needs an HTTP client of its own.
    pub fn has_own_transport(&self) -> bool {
        self.tls.is_some()
            || !self.headers.is_empty()
            || !self.secret_headers.is_empty()
            || self.proxy.is_some()
            || self.timeout.is_some()
    }

    /// Returns the names and locations of the secrets that the provider's HTTP client needs.
    pub fn transport_secrets(&self) -> Vec<(String, &SecretSource)> {
        let key = self.tls.as_ref().and_then(|tls| tls.key.as_ref());
        let credentials = self.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref());
        let single = [("tls.key", key), ("proxy.credentials", credentials)];
        let single = single.into_iter().filter_map(|(name, source)| Some((name.to_owned(), source?)));
        let headers =
            self.secret_headers.iter().map(|(name, source)| (format!("secret_headers.{name}"), source));
        single.chain(headers).collect()
    }

    /// Returns the maximum duration of a call, if the provider has one of its own that is valid.
    pub fn call_timeout(&self) -> Option<Duration> {
        let timeout: jiff::SignedDuration = self.timeout.as_ref()?.parse().ok()?;
        Duration::try_from(timeout).ok().filter(|timeout| !timeout.is_zero())
    }

    /// Returns the history that the provider has, in calendar units, if it is configured and valid.
    pub fn history_span(&self) -> Option<jiff::Span> {
        self.history.as_ref()?.parse().ok().filter(|span: &jiff::Span| span.is_positive())
    }

    /// Returns the private address ranges in which the provider may be. Invalid ones are left out.
    pub fn private_ranges(&self) -> Vec<IpNet> {
        let ranges = self.tls.iter().flat_map(|tls| &tls.allow_private);
        ranges.filter_map(|range| range.parse().ok()).collect()
    }
}
