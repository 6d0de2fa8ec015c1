//! The HTTP client for calls to providers. Nothing else in the hub builds one.
//!
//! It follows no redirect, uses only a proxy of the provider's settings, limits time and size, and calls no address of an
//! internal network that the settings do not allow. It uses HTTP/2 with servers that offer it, and decodes `gzip` and `br`: every
//! limit counts decoded bytes, which arrive in small chunks, so that a small response cannot become a large one in memory.

mod guard;
mod provider_clients;
mod tls;
mod transport_material;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::model::provider::EndpointError;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, StatusCode};
use reqwest::RequestBuilder;
use url::Url;

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
    response: reqwest::Response,
}

impl StreamingResponse {
    /// Returns the declared length of the body, if any.
    pub fn content_length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Reads the body. A body of more than `max_bytes` is an error.
    pub async fn read_body(mut self, max_bytes: usize) -> Result<UpstreamResponse, OutboundError> {
        let (mut first, mut rest) = (Bytes::new(), Vec::new());
        while let Some(chunk) = self.response.chunk().await.map_err(|e| classify_error(&e))? {
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
        let mut body = Vec::new();
        let end = loop {
            match self.response.chunk().await {
                Ok(None) => break BodyEnd::Complete,
                Ok(Some(chunk)) => {
                    let free = max_bytes - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(free)]);
                    if chunk.len() > free {
                        break BodyEnd::TooLarge;
                    }
                }
                Err(_) => break BodyEnd::Interrupted,
            }
        };
        PartialResponse { status: self.status, headers: self.headers, body: body.into(), end }
    }

    /// Returns the body as a stream of chunks.
    pub fn into_chunks(self) -> BoxStream<'static, Result<Bytes, OutboundError>> {
        let next = |mut response: reqwest::Response| async move {
            let chunk = response.chunk().await.map_err(|e| classify_error(&e)).transpose()?;
            Some((chunk, response))
        };
        stream::unfold(self.response, next).boxed()
    }
}

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
        let headers = std::mem::take(response.headers_mut());
        Ok(StreamingResponse { status: response.status(), headers, response })
    }

    fn ensure_url_allowed(&self, url: &Url) -> Result<(), OutboundError> {
        guard::is_url_allowed(url, &self.policy).then_some(()).ok_or(OutboundError::Forbidden)
    }
}

fn classify_error(error: &reqwest::Error) -> OutboundError {
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
