//! The HTTP client for calls to providers. Nothing else in the hub builds one.
//!
//! It follows no redirect, uses only a proxy of the provider's settings, limits time and size, and calls no address of an
//! internal network that the settings do not allow. It uses HTTP/2 with servers that offer it, and decodes `gzip` and `br`: every
//! limit counts decoded bytes, which arrive in small chunks, so that a small response cannot become a large one in memory. The
//! encoded bytes have the same limit.

mod content;
mod error;
mod guard;
mod provider_clients;
mod tls;
mod transport_material;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::RequestBuilder;
use url::Url;

use content::{ACCEPTED_ENCODINGS, Content};
pub use error::OutboundError;
use error::classify_error;
use guard::AddressPolicy;
pub use provider_clients::{FileStamp, ProviderClient, ProviderClients};
pub use tls::TlsFailure;
pub use transport_material::TransportMaterial;

use crate::config::UpstreamSection;

/// The interval at which an HTTP/2 connection with open requests is checked.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(5);
/// The time in which the server must respond to the check.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The HTTP client for calls to providers, with its limits of time and size. Clones share their connections.
#[derive(Clone)]
pub struct Outbound {
    client: reqwest::Client,
    max_body: usize,
    timeout: Duration,
    policy: AddressPolicy,
}

/// A complete response of a provider. It may contain tokens, so it implements neither `Debug` nor `Display`.
pub struct UpstreamResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The part of a response that was received. Like [`UpstreamResponse`], it may contain tokens.
pub struct PartialResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub end: BodyEnd,
}

impl PartialResponse {
    /// Returns the status of a response that arrived completely, as far as the limit permitted. A provider that does not send
    /// its bodies is as unavailable as one that sends nothing.
    pub fn complete_status(&self) -> Result<StatusCode, &OutboundError> {
        static INTERRUPTED: OutboundError = OutboundError::Interrupted;
        match self.end {
            BodyEnd::Complete | BodyEnd::TooLarge => Ok(self.status),
            BodyEnd::Interrupted => Err(&INTERRUPTED),
        }
    }
}

/// The way in which the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// The body is complete.
    Complete,
    /// The body is larger than the limit, and the rest was not read.
    TooLarge,
    /// The connection was closed, or the timeout passed, before the end of the body.
    Interrupted,
}

/// A response of a provider whose body has not been read yet.
pub struct StreamingResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    content: Content,
}

impl StreamingResponse {
    /// Returns the declared length of the body, if any.
    pub fn content_length(&self) -> Option<u64> {
        self.content.length()
    }

    /// Reads the body. A body of more than `max_bytes` is an error.
    pub async fn read_body(mut self, max_bytes: usize) -> Result<UpstreamResponse, OutboundError> {
        self.content.limit_encoded_bytes(max_bytes);
        let (mut first, mut rest) = (Bytes::new(), Vec::new());
        while let Some(chunk) = self.content.read_chunk().await? {
            // Counted while reading: `Content-Length` may be absent or wrong.
            if first.len() + rest.len() + chunk.len() > max_bytes {
                return Err(OutboundError::TooLarge);
            }
            // A short body usually arrives in one chunk, which needs no copy.
            if first.is_empty() {
                first = chunk;
            } else {
                rest.extend_from_slice(&chunk);
            }
        }
        let body = if rest.is_empty() { first } else { [&first[..], &rest].concat().into() };
        Ok(UpstreamResponse { status: self.status, headers: self.headers, body })
    }

    /// Reads the body up to `max_bytes`, and keeps what was received if the body is larger or interrupted.
    pub async fn read_available(mut self, max_bytes: usize) -> PartialResponse {
        self.content.limit_encoded_bytes(max_bytes);
        let mut body = Vec::new();
        let end = loop {
            match self.content.read_chunk().await {
                Ok(None) => break BodyEnd::Complete,
                Ok(Some(chunk)) => {
                    let free = max_bytes - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(free)]);
                    if chunk.len() > free {
                        break BodyEnd::TooLarge;
                    }
                }
                Err(OutboundError::TooLarge) => break BodyEnd::TooLarge,
                Err(_) => break BodyEnd::Interrupted,
            }
        };
        PartialResponse { status: self.status, headers: self.headers, body: body.into(), end }
    }

    /// Returns the body as a stream of chunks. Only its encoded bytes are limited.
    pub fn into_chunks(
        mut self,
        max_encoded_bytes: usize,
    ) -> BoxStream<'static, Result<Bytes, OutboundError>> {
        self.content.limit_encoded_bytes(max_encoded_bytes);
        let next = |mut content: Content| async move {
            let chunk = content.read_chunk().await.transpose()?;
            Some((chunk, content))
        };
        stream::unfold(self.content, next).boxed()
    }
}

impl Outbound {
    /// Builds a client with the configured limits.
    pub fn new(section: &UpstreamSection) -> reqwest::Result<Self> {
        let policy = AddressPolicy::new(section.allow_loopback);
        let timeout = section.timeout.duration();
        Self::build(section, Self::configure(section, timeout, &policy), timeout, policy)
    }

    /// Builds the client of a provider that has settings for its HTTP calls. The error names the setting.
    pub fn for_provider(section: &UpstreamSection, material: &TransportMaterial) -> Result<Self, String> {
        let policy = AddressPolicy {
            allow_loopback: section.allow_loopback,
            private: material.private_ranges.as_slice().into(),
            has_proxy: material.proxy.is_some(),
        };
        let timeout = material.timeout.unwrap_or(section.timeout.duration());
        let builder =
            material.apply_to(Self::configure(section, timeout, &policy), section.allow_loopback)?;
        // The client is built from valid parts, so only the combination of certificate and key can be wrong.
        Self::build(section, builder, timeout, policy)
            .map_err(|_| "tls.certificate and tls.key: the key is not that of the certificate".to_owned())
    }

    fn configure(
        section: &UpstreamSection,
        timeout: Duration,
        policy: &AddressPolicy,
    ) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .connect_timeout(section.connect_timeout.duration().min(timeout))
            .timeout(timeout)
            // A redirect would send a bearer token to an address that the operator has not configured (RFC 6750,
            // section 5.3), and could lead into an internal network.
            .redirect(reqwest::redirect::Policy::none())
            // A proxy that is set in the environment would resolve names itself and bypass the guard.
            .no_proxy()
            // All requests to an HTTP/2 server share one connection. One that is lost must not delay them until their timeouts.
            .http2_keep_alive_interval(Some(HTTP2_PING_INTERVAL))
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .default_headers(HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(ACCEPTED_ENCODINGS),
            )]))
            .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(guard::GuardedResolver(policy.clone())))
    }

    fn build(
        section: &UpstreamSection,
        builder: reqwest::ClientBuilder,
        timeout: Duration,
        policy: AddressPolicy,
    ) -> reqwest::Result<Self> {
        Ok(Self { client: builder.build()?, max_body: section.max_body.bytes(), timeout, policy })
    }

    /// Returns the time within which a provider must respond.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Creates a `GET` request without credentials.
    pub fn get(&self, url: &Url) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.get(url.clone()))
    }

    /// Creates a `POST` request with form fields.
    pub fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.post(url.clone()).form(fields))
    }

    /// Creates a `POST` request with JSON, and with a bearer token if there is one.
    pub fn post_json(
        &self,
        url: &Url,
        body: &impl serde::Serialize,
        bearer: Option<&str>,
    ) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        let request = self.client.post(url.clone()).json(body);
        Ok(match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        })
    }

    /// Creates a `PUT` request with JSON and without credentials.
    pub fn put_json(&self, url: &Url, body: &impl serde::Serialize) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.put(url.clone()).json(body))
    }

    /// Creates a `DELETE` request without credentials.
    pub fn delete(&self, url: &Url) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.delete(url.clone()))
    }

    /// Sends a request and reads the response, up to the configured size.
    pub async fn send(&self, request: RequestBuilder) -> Result<UpstreamResponse, OutboundError> {
        self.open(request).await?.read_body(self.max_body).await
    }

    /// Sends a request and reads the response, up to the configured size. A response that is larger or interrupted is
    /// returned as far as it was received.
    pub async fn send_and_read_available(
        &self,
        request: RequestBuilder,
    ) -> Result<PartialResponse, OutboundError> {
        Ok(self.open(request).await?.read_available(self.max_body).await)
    }

    /// Sends a request and reads the status and headers of the response, but not the body.
    pub async fn open(&self, request: RequestBuilder) -> Result<StreamingResponse, OutboundError> {
        let mut response = request.send().await.map_err(|e| classify_error(&e))?;
        let (status, mut headers) = (response.status(), std::mem::take(response.headers_mut()));
        let content = Content::new(&mut headers, response);
        Ok(StreamingResponse { status, headers, content })
    }

    fn ensure_url_allowed(&self, url: &Url) -> Result<(), OutboundError> {
        guard::is_url_allowed(url, &self.policy).then_some(()).ok_or(OutboundError::Forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_with_interrupted_body_has_no_complete_status() {
        let response = |end| PartialResponse {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            end,
        };

        assert_eq!(response(BodyEnd::Complete).complete_status().ok(), Some(StatusCode::OK));
        assert_eq!(response(BodyEnd::TooLarge).complete_status().ok(), Some(StatusCode::OK));
        assert!(matches!(response(BodyEnd::Interrupted).complete_status(), Err(OutboundError::Interrupted)));
    }
}
