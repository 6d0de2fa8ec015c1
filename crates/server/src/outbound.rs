//! The only place that builds an HTTP client: no redirects, no proxy, bounded answers, guarded addresses.

mod guard;

use std::sync::Arc;

use bytes::Bytes;
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

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, within the limit.
    pub body: Bytes,
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
    Broken,
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
            .dns_resolver(Arc::new(guard::Guarded { allow_loopback: section.allow_loopback }));
        Ok(Self {
            client: builder.build()?,
            max_body: section.max_body.bytes(),
            allow_loopback: section.allow_loopback,
        })
    }

    /// A `GET` with a bearer.
    pub fn get(&self, url: &Url, bearer: &str) -> Result<RequestBuilder, OutboundError> {
        self.check(url)?;
        Ok(self.client.get(url.clone()).bearer_auth(bearer))
    }

    /// A `GET` without credentials, to see whether anybody answers.
    pub fn look(&self, url: &Url) -> Result<RequestBuilder, OutboundError> {
        self.check(url)?;
        Ok(self.client.get(url.clone()))
    }

    /// A `POST` of form fields.
    pub fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<RequestBuilder, OutboundError> {
        self.check(url)?;
        Ok(self.client.post(url.clone()).form(fields))
    }

    /// Sends a request and reads the whole answer, up to the limit.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, OutboundError> {
        let mut response = request.send().await.map_err(|e| kind(&e))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| kind(&e))? {
            if body.len() + chunk.len() > self.max_body {
                return Err(OutboundError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.into() })
    }

    fn check(&self, url: &Url) -> Result<(), OutboundError> {
        guard::allowed(url, self.allow_loopback).then_some(()).ok_or(OutboundError::Forbidden)
    }
}

fn kind(error: &reqwest::Error) -> OutboundError {
    if error.is_connect() {
        OutboundError::Connect
    } else if error.is_timeout() {
        OutboundError::Timeout
    } else {
        OutboundError::Broken
    }
}
