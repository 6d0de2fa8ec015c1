//! FDX reads at a provider.

use bytes::Bytes;
use domain::Secret;
use domain::model::provider::{FdxVersion, Provider};
use domain::rule::access::Access;
use fdx::ErrorCode;
use fdx::v6::{self, InBoth};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::header;
use store::query::ProviderById;
use url::Url;

use super::own_client::Whom;
use super::provider::{Endpoint, Upstream};
use super::refresh::access_token;
use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::limit::TooMany;
use crate::outbound::OutboundError;

/// Why there is nothing to serve.
#[derive(Debug)]
pub enum ReadError {
    /// The connection ended meanwhile.
    Over,
    /// The provider is held meanwhile.
    Held,
    /// The provider's trouble.
    Upstream(Upstream),
    /// Our own trouble.
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Reads a resource with the connection's token, in whichever version the provider speaks. Parameters are named as
/// 5.x has them.
pub async fn fetch<T: InBoth>(
    ctx: &Ctx,
    access: &Access,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<T, ReadError> {
    let source = Source::of(ctx, access).await?;
    let url = source.resource(path, query)?;
    let endpoint = source.endpoint();
    let read = |token: Secret<String>| {
        let (endpoint, url) = (&endpoint, &url);
        async move { endpoint.read(url, token.expose()).await }
    };
    let answer = source.ask(read).await?;
    let provider = source.provider.id;
    let parsed = match source.provider.settings.fdx.version {
        FdxVersion::V5 => fdx::parse::<T>(&answer.body),
        FdxVersion::V6 => v6::parse::<T>(&answer.body),
    };
    let parsed = parsed.map_err(|error| {
        tracing::warn!(%provider, %error, "a provider's answer cannot be read");
        ReadError::Upstream(Upstream::Failed)
    })?;
    if parsed.dropped > 0 {
        let labels = [("provider", provider.to_string())];
        ctx.app().telemetry().count_many("bowline_fdx_dropped_fields_total", &labels, parsed.dropped as u64);
    }
    Ok(parsed.value)
}

/// A document on its way through the hub.
pub struct Document {
    /// Its type.
    pub kind: &'static str,
    /// How long it is.
    pub length: u64,
    /// What comes of it, bit by bit.
    pub body: BoxStream<'static, Result<Bytes, OutboundError>>,
}

/// Opens a document of a type, up to the configured size.
pub async fn document(
    ctx: &Ctx,
    access: &Access,
    path: &[&str],
    kind: &'static str,
) -> Result<Document, ReadError> {
    let source = Source::of(ctx, access).await?;
    let (base, url) = (source.resource(&[], &[])?, source.resource(path, &[])?);
    let endpoint = source.endpoint();
    let open = |token: Secret<String>| {
        let (endpoint, base, url) = (&endpoint, &base, &url);
        async move { endpoint.open(base, url, token.expose(), kind).await }
    };
    let opened = source.ask(open).await?;
    let said = opened.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let said = said.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !said.eq_ignore_ascii_case(kind) {
        return Err(ReadError::Upstream(Upstream::Failed));
    }
    let most = ctx.app().config().upstream.max_statement.bytes();
    let document = match opened.length() {
        Some(length) if length > most as u64 => Err(OutboundError::TooLarge),
        Some(length) => Ok(Document { kind, length, body: opened.chunks() }),
        // A length that nobody states is known at the end: until then nothing may be sent.
        None => opened.whole(most).await.map(|answer| Document {
            kind,
            length: answer.body.len() as u64,
            body: stream::once(async { Ok(answer.body) }).boxed(),
        }),
    };
    document.map_err(|error| {
        ReadError::Upstream(match error {
            OutboundError::TooLarge => Upstream::Said(ErrorCode::TooLarge),
            _ => Upstream::Silent,
        })
    })
}

/// The provider of a connection, to be asked with the connection's token.
struct Source<'a> {
    ctx: &'a Ctx,
    access: &'a Access,
    provider: Provider,
}

impl<'a> Source<'a> {
    async fn of(ctx: &'a Ctx, access: &'a Access) -> Result<Self, ReadError> {
        let provider = ctx.ask(&ProviderById { id: access.provider_id() }).await?;
        let provider = provider.ok_or(Fault::new("a connection has lost its provider"))?;
        Ok(Self { ctx, access, provider })
    }

    fn resource(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, ReadError> {
        let fdx = &self.provider.settings.fdx;
        let named = |(name, value): &(&str, &str)| match fdx.version {
            FdxVersion::V5 => ((*name).to_owned(), (*value).to_owned()),
            FdxVersion::V6 => (v6::parameter(name).to_owned(), (*value).to_owned()),
        };
        let query: Vec<(String, String)> = query.iter().map(named).collect();
        let url = resource(&fdx.base_url, path, &query);
        Ok(url.ok_or(Fault::new("a provider's FDX base is no URL"))?)
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::new(self.ctx, &self.provider, Whom::Of(self.access.connection_id().clone()))
    }

    /// Asks with a usable token. One that is refused is refreshed once.
    async fn ask<A, F>(&self, call: impl Fn(Secret<String>) -> F) -> Result<A, ReadError>
    where
        F: Future<Output = Result<A, Upstream>>,
    {
        let within = self.ctx.app().limits().ask(self.access);
        within.map_err(|TooMany(wait)| ReadError::Upstream(Upstream::RateLimited(wait)))?;
        let id = self.access.connection_id();
        let usable = access_token(self.ctx, &self.provider, id, None).await?;
        let mut answer = call(usable.token).await;
        if answer.as_ref().is_err_and(|error| *error == Upstream::TokenRefused) {
            let usable = access_token(self.ctx, &self.provider, id, Some(usable.version)).await?;
            answer = call(usable.token).await;
        }
        answer.map_err(|error| match error {
            Upstream::TokenRefused => ReadError::Upstream(Upstream::Said(ErrorCode::NotAuthorized)),
            other => ReadError::Upstream(other),
        })
    }
}

/// A resource below the configured base; path segments are encoded.
fn resource(base: &str, path: &[&str], query: &[(String, String)]) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let url =
            |id| resource("https://bank.example.org/fdx/v5", &["accounts", id], &[]).unwrap().to_string();
        assert_eq!(url("a1"), "https://bank.example.org/fdx/v5/accounts/a1");
        assert_eq!(url("../x?y#z"), "https://bank.example.org/fdx/v5/accounts/..%2Fx%3Fy%23z");
        assert_eq!(url(".."), "https://bank.example.org/fdx/v5/accounts");
    }
}
