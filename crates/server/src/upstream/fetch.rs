//! FDX reads at a provider.

use bytes::Bytes;
use domain::Secret;
use domain::model::provider::{FdxVersion, Provider};
use domain::rule::access::GrantedAccess;
use fdx::ErrorCode;
use fdx::v6::{self, CrossVersion};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::header;
use store::query::GetProvider;
use url::Url;

use super::client::OnBehalfOf;
use super::endpoints::ProviderEndpoints;
use super::error::{ReadError, UpstreamError};
use super::refresh::obtain_access_token;
use super::urls::build_resource_url;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::OutboundError;
use crate::rate_limit::RateLimitError;

/// Reads a resource with the connection's token, in whichever version the provider speaks. Parameters are named as
/// 5.x has them.
pub async fn fetch<T: CrossVersion>(
    ctx: &RequestContext,
    access: &GrantedAccess,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<T, ReadError> {
    let source = ConnectionSource::load(ctx, access).await?;
    let url = source.resource_url(path, query)?;
    let endpoint = source.endpoint();
    let read = |token: Secret<String>| {
        let (endpoint, url) = (&endpoint, &url);
        async move { endpoint.read_resource(url, token.expose()).await }
    };
    let response = source.call_with_token(read).await?;
    let provider = source.provider.id;
    let parsed = match source.provider.settings.fdx.version {
        FdxVersion::V5 => fdx::parse::<T>(&response.body),
        FdxVersion::V6 => v6::parse::<T>(&response.body),
    };
    let parsed = parsed.map_err(|error| {
        tracing::warn!(%provider, %error, "a provider's answer cannot be read");
        ReadError::Upstream(UpstreamError::Failed)
    })?;
    if parsed.dropped > 0 {
        let labels = [("provider", provider.to_string())];
        ctx.app().telemetry().count_many("bowline_fdx_dropped_fields_total", &labels, parsed.dropped as u64);
    }
    Ok(parsed.value)
}

/// A document on its way through the hub.
pub struct StreamedDocument {
    /// Its type.
    pub kind: &'static str,
    /// How long it is.
    pub length: u64,
    /// What comes of it, bit by bit.
    pub body: BoxStream<'static, Result<Bytes, OutboundError>>,
}

/// Opens a document of a type, up to the configured size.
pub async fn open_document(
    ctx: &RequestContext,
    access: &GrantedAccess,
    path: &[&str],
    kind: &'static str,
) -> Result<StreamedDocument, ReadError> {
    let source = ConnectionSource::load(ctx, access).await?;
    let (base, url) = (source.resource_url(&[], &[])?, source.resource_url(path, &[])?);
    let endpoint = source.endpoint();
    let open = |token: Secret<String>| {
        let (endpoint, base, url) = (&endpoint, &base, &url);
        async move { endpoint.open_document(base, url, token.expose(), kind).await }
    };
    let opened = source.call_with_token(open).await?;
    let content_type = opened.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !content_type.eq_ignore_ascii_case(kind) {
        return Err(ReadError::Upstream(UpstreamError::Failed));
    }
    let max_bytes = ctx.app().config().upstream.max_statement.bytes();
    let document = match opened.content_length() {
        Some(length) if length > max_bytes as u64 => Err(OutboundError::TooLarge),
        Some(length) => Ok(StreamedDocument { kind, length, body: opened.into_chunks() }),
        // A length that nobody states is known at the end: until then nothing may be sent.
        None => opened.read_body(max_bytes).await.map(|answer| StreamedDocument {
            kind,
            length: answer.body.len() as u64,
            body: stream::once(async { Ok(answer.body) }).boxed(),
        }),
    };
    document.map_err(|error| {
        ReadError::Upstream(match error {
            OutboundError::TooLarge => UpstreamError::FdxError(ErrorCode::TooLarge),
            _ => UpstreamError::NoResponse,
        })
    })
}

/// The provider of a connection, to be asked with the connection's token.
struct ConnectionSource<'a> {
    ctx: &'a RequestContext,
    access: &'a GrantedAccess,
    provider: Provider,
}

impl<'a> ConnectionSource<'a> {
    async fn load(ctx: &'a RequestContext, access: &'a GrantedAccess) -> Result<Self, ReadError> {
        let provider = ctx.ask(&GetProvider { id: access.provider_id() }).await?;
        let provider = provider.ok_or(InternalError::new("a connection has lost its provider"))?;
        Ok(Self { ctx, access, provider })
    }

    fn resource_url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, ReadError> {
        let fdx = &self.provider.settings.fdx;
        let named = |(name, value): &(&str, &str)| match fdx.version {
            FdxVersion::V5 => ((*name).to_owned(), (*value).to_owned()),
            FdxVersion::V6 => (v6::v6_parameter_name(name).to_owned(), (*value).to_owned()),
        };
        let query: Vec<(String, String)> = query.iter().map(named).collect();
        let url = build_resource_url(&fdx.base_url, path, &query);
        Ok(url.ok_or(InternalError::new("a provider's FDX base is no URL"))?)
    }

    fn endpoint(&self) -> ProviderEndpoints<'_> {
        ProviderEndpoints::new(
            self.ctx,
            &self.provider,
            OnBehalfOf::Connection(self.access.connection_id().clone()),
        )
    }

    /// Asks with a usable token. One that is refused is refreshed once.
    async fn call_with_token<A, F>(&self, call: impl Fn(Secret<String>) -> F) -> Result<A, ReadError>
    where
        F: Future<Output = Result<A, UpstreamError>>,
    {
        let permit = self.ctx.app().limits().ensure_provider_call_allowed(self.access);
        permit.map_err(|RateLimitError(wait)| ReadError::Upstream(UpstreamError::RateLimited(wait)))?;
        let id = self.access.connection_id();
        let usable = obtain_access_token(self.ctx, &self.provider, id, None).await?;
        let mut response = call(usable.token).await;
        if response.as_ref().is_err_and(|error| *error == UpstreamError::TokenRefused) {
            let usable = obtain_access_token(self.ctx, &self.provider, id, Some(usable.version)).await?;
            response = call(usable.token).await;
        }
        response.map_err(|error| match error {
            UpstreamError::TokenRefused => {
                ReadError::Upstream(UpstreamError::FdxError(ErrorCode::NotAuthorized))
            }
            other => ReadError::Upstream(other),
        })
    }
}
