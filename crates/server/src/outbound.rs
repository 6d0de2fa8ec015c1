//! The only place that builds an HTTP client: no redirects, no proxy, bounded answers, guarded addresses.

mod guard;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, StatusCode};
use reqwest::RequestBuilder;
use url::Url;

use crate::config::UpstreamSection;

/// Calls other parties.
pub struct Outbound {
    client: reqwest::Client,
    max_body: usize,
    allow_loopback: bool,
}

/// A whole answer. It may hold tokens, and is never printed.
pub struct UpstreamResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, within the limit.
    pub body: Bytes,
}

/// An answer whose body is not read yet.
pub struct StreamingResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
}

impl StreamingResponse {
    /// How long the body is, if that was said.
    pub fn content_length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The whole answer, up to a limit.
    pub async fn read_body(mut self, max_bytes: usize) -> Result<UpstreamResponse, OutboundError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.response.chunk().await.map_err(|e| classify_error(&e))? {
            if body.len() + chunk.len() > max_bytes {
                return Err(OutboundError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(UpstreamResponse { status: self.status, headers: self.headers, body: body.into() })
    }

    /// The body as it comes.
    pub fn into_chunks(self) -> BoxStream<'static, Result<Bytes, OutboundError>> {
        let next = |mut response: reqwest::Response| async move {
            let chunk = response.chunk().await.map_err(|e| classify_error(&e)).transpose()?;
            Some((chunk, response))
        };
        stream::unfold(self.response, next).boxed()
    }
}

/// Why there is no answer. Nothing of an answer's body is in it.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address is not one that the hub may call.
    #[error("the address is not allowed")]
    Forbidden,
    /// Nobody listens, or TLS failed.
    #[error("no connection")]
    Connect,
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The answer is larger than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer broke off.
    #[error("the answer broke off")]
    Interrupted,
}

impl Outbound {
    /// A client with the configured limits.
    pub fn new(section: &UpstreamSection) -> reqwest::Result<Self> {
        let builder = reqwest::Client::builder()
            .connect_timeout(section.connect_timeout.duration())
            .timeout(section.timeout.duration())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(guard::GuardedResolver { allow_loopback: section.allow_loopback }));
        Ok(Self {
            client: builder.build()?,
            max_body: section.max_body.bytes(),
            allow_loopback: section.allow_loopback,
        })
    }

    /// A `GET` with a bearer.
    pub fn get(&self, url: &Url, bearer: &str) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.get(url.clone()).bearer_auth(bearer))
    }

    /// A `GET` without credentials, to see whether anybody answers.
    pub fn get_unauthenticated(&self, url: &Url) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.get(url.clone()))
    }

    /// A `POST` of form fields.
    pub fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.post(url.clone()).form(fields))
    }

    /// A `POST` of JSON, with a bearer if there is one.
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

    /// A `DELETE` with a bearer.
    pub fn delete(&self, url: &Url, bearer: &str) -> Result<RequestBuilder, OutboundError> {
        self.ensure_url_allowed(url)?;
        Ok(self.client.delete(url.clone()).bearer_auth(bearer))
    }

    /// Sends a request and reads the whole answer, up to the limit.
    pub async fn send(&self, request: RequestBuilder) -> Result<UpstreamResponse, OutboundError> {
        self.open(request).await?.read_body(self.max_body).await
    }

    /// Sends a request and reads the head of the answer.
    pub async fn open(&self, request: RequestBuilder) -> Result<StreamingResponse, OutboundError> {
        let response = request.send().await.map_err(|e| classify_error(&e))?;
        Ok(StreamingResponse { status: response.status(), headers: response.headers().clone(), response })
    }

    fn ensure_url_allowed(&self, url: &Url) -> Result<(), OutboundError> {
        guard::is_url_allowed(url, self.allow_loopback).then_some(()).ok_or(OutboundError::Forbidden)
    }
}

fn classify_error(error: &reqwest::Error) -> OutboundError {
    if error.is_connect() {
        OutboundError::Connect
    } else if error.is_timeout() {
        OutboundError::Timeout
    } else {
        OutboundError::Interrupted
    }
}
