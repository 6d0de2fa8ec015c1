//! The parts that the HTTP client of a provider is built from.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Secret;
use domain::rule::provider::is_allowed_proxy;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use reqwest::{Certificate, ClientBuilder, Identity, Proxy};
use url::Url;

/// Certificates and a key in PEM form, headers, a proxy and limits.
#[derive(Default)]
pub struct TransportMaterial {
    /// The authorities that are trusted instead of the public ones.
    pub ca: Option<String>,
    /// The certificate of the hub, followed by those of its intermediate authorities.
    pub certificate: Option<String>,
    /// The private key of the certificate.
    pub key: Option<Secret<String>>,
    /// The private addresses that may be called.
    pub private_ranges: Vec<IpNet>,
    pub headers: BTreeMap<String, Secret<String>>,
    /// The URL of the proxy.
    pub proxy: Option<String>,
    /// The user name and the password for the proxy, separated by a colon.
    pub proxy_credentials: Option<Secret<String>>,
    /// The maximum duration of a call.
    pub timeout: Option<Duration>,
}

impl TransportMaterial {
    /// Adds the parts to a client. The error names the setting.
    pub(super) fn apply_to(
        &self,
        mut builder: ClientBuilder,
        allow_loopback: bool,
    ) -> Result<ClientBuilder, String> {
        if let Some(ca) = &self.ca {
            let trusted = Certificate::from_pem_bundle(ca.as_bytes()).unwrap_or_default();
            if trusted.is_empty() {
                return Err("tls.ca: expected certificates in PEM form".to_owned());
            }
            builder = builder.tls_certs_only(trusted);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let pair = Secret::new(format!("{certificate}\n{}", key.expose()));
            let identity = Identity::from_pem(pair.expose().as_bytes()).map_err(|_| {
                "tls.certificate and tls.key: expected a certificate and its private key in PEM form"
                    .to_owned()
            })?;
            builder = builder.identity(identity);
        }
        if let Some(url) = &self.proxy {
            builder = builder.proxy(self.build_proxy(url, allow_loopback)?);
        }
        Ok(builder.default_headers(self.build_headers()?))
    }

    fn build_proxy(&self, url: &str, allow_loopback: bool) -> Result<Proxy, String> {
        let invalid = || "proxy.url: expected a URL with an allowed address".to_owned();
        let url = Url::parse(url).map_err(|_| invalid())?;
        // Checked again, because `upstream.allow_loopback` may have changed since the settings were stored. The resolver never
        // sees an address in the URL.
        if !is_allowed_proxy(&url, allow_loopback) {
            return Err(invalid());
        }
        let proxy = Proxy::all(url).map_err(|_| invalid())?;
        let Some(credentials) = &self.proxy_credentials else { return Ok(proxy) };
        let (user, password) = credentials
            .expose()
            .split_once(':')
            .ok_or_else(|| "proxy.credentials: expected user:password".to_owned())?;
        Ok(proxy.basic_auth(user, password))
    }

    fn build_headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let invalid = || format!("secret_headers.{name}: expected printable characters of ASCII");
            let name: HeaderName = name.parse().map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| invalid())?;
            // The value is then left out of debug output.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_proxy_with_forbidden_address_is_not_used() {
        let material = TransportMaterial::default();

        assert!(material.build_proxy("http://127.0.0.1:3128", false).is_err());
        assert!(material.build_proxy("http://169.254.169.254", true).is_err());
        assert!(material.build_proxy("http://127.0.0.1:3128", true).is_ok());
        assert!(material.build_proxy("http://egress.example:3128", false).is_ok());
    }
}
