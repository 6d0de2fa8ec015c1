//! The parts that the HTTP client of a provider is built from.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use reqwest::{Certificate, ClientBuilder, Identity, Proxy};

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
    pub(super) fn apply_to(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, String> {
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
            builder = builder.proxy(self.build_proxy(url)?);
        }
        Ok(builder.default_headers(self.build_headers()?))
    }

    fn build_proxy(&self, url: &str) -> Result<Proxy, String> {
        let proxy = Proxy::all(url).map_err(|_| "proxy.url: expected a URL".to_owned())?;
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
