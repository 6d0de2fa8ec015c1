//! Reads FDX resources and documents of a connection from its provider, with the connection's access token.

use bytes::Bytes;
use domain::Secret;
use domain::model::provider::{FdxVersion, Provider};
use domain::rule::access::GrantedAccess;
use fdx::v6::{self, CrossVersion, Form};
use fdx::{ErrorCode, ParseError, Parsed};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, header};
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

/// Reads an FDX resource of a connection, and converts it to FDX 5 if the provider uses FDX 6.
///
/// `path` consists of the segments below the provider's FDX base URL. The names in `query` are those of FDX 5; they are
/// translated for FDX 6.
pub async fn fetch<T: CrossVersion>(
    ctx: &RequestContext,
    access: &GrantedAccess,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<T, ReadError> {
    fetch_with(ctx, access, path, query, T::FORM, fdx::parse::<T>).await
}

/// Reads an FDX resource of a connection in the form of FDX 5, as [`fetch`] does, and passes its text to `parse`. `form`
/// is its form in FDX 6.
pub async fn fetch_with<T>(
    ctx: &RequestContext,
    access: &GrantedAccess,
    path: &[&str],
    query: &[(&str, &str)],
    form: Form,
    parse: impl FnOnce(&[u8]) -> Result<Parsed<T>, ParseError>,
) -> Result<T, ReadError> {
    let source = ConnectionSource::load(ctx, access).await?;
    let url = source.resource_url(path, query)?;
    let endpoints = source.endpoints();
    let read = |token: Secret<String>| {
        let (endpoints, url) = (&endpoints, &url);
        async move { endpoints.read_resource(url, token.expose()).await }
    };
    let response = source.call_with_token(read).await?;
    let provider = source.provider.id;
    let parsed = match source.provider.settings.fdx.version {
        FdxVersion::V5 => parse(&response.body),
        FdxVersion::V6 => v6::convert_to_v5(form, &response.body).and_then(|converted| {
            let parsed = parse(&converted.value)?;
            Ok(Parsed { dropped: parsed.dropped + converted.dropped, ..parsed })
        }),
    };
    let parsed = parsed.map_err(|error| {
        tracing::warn!(%provider, %error, "response of the provider could not be parsed");
        ReadError::Upstream(UpstreamError::Failed)
    })?;
    // Only fields that the hub knows are passed on. If this count grows, the provider has extended its API.
    if parsed.dropped > 0 {
        let labels = [("provider", provider.to_string())];
        ctx.app().telemetry().count_many("bowline_fdx_dropped_fields_total", &labels, parsed.dropped as u64);
    }
    Ok(parsed.value)
}

/// A document that is passed on to the recipient while it is read from the provider.
pub struct StreamedDocument {
    /// The media type, which the response to the recipient has in `Content-Type`.
    pub kind: &'static str,
    /// The length of the content in bytes, for `Content-Length`.
    pub length: u64,
    /// The content in chunks. An error means that the document is incomplete.
    pub body: BoxStream<'static, Result<Bytes, OutboundError>>,
}

/// Requests a document of a connection with the media type `kind`. Returns an error if the document is larger than the
/// configured maximum.
pub async fn open_document(
    ctx: &RequestContext,
    access: &GrantedAccess,
    path: &[&str],
    kind: &'static str,
) -> Result<StreamedDocument, ReadError> {
    let source = ConnectionSource::load(ctx, access).await?;
    let (base, url) = (source.resource_url(&[], &[])?, source.resource_url(path, &[])?);
    let endpoints = source.endpoints();
    let open = |token: Secret<String>| {
        let (endpoints, base, url) = (&endpoints, &base, &url);
        async move { endpoints.open_document(base, url, token.expose(), kind).await }
    };
    let response = source.call_with_token(open).await?;
    // The hub labels the document with the media type `kind`, so a document of another type, such as HTML, is rejected.
    if !has_media_type(&response.headers, kind) {
        return Err(ReadError::Upstream(UpstreamError::Failed));
    }
    let max_bytes = ctx.app().config().upstream.max_statement.bytes();
    let document = match response.content_length() {
        Some(length) if length > max_bytes as u64 => Err(OutboundError::TooLarge),
        Some(length) => Ok(StreamedDocument { kind, length, body: response.into_chunks() }),
        // Without `Content-Length`, the document must be read completely before the first byte is sent. Otherwise a
        // document that is too large or incomplete would be noticed too late.
        None => response.read_body(max_bytes).await.map(|response| StreamedDocument {
            kind,
            length: response.body.len() as u64,
            body: stream::once(async { Ok(response.body) }).boxed(),
        }),
    };
    document.map_err(|error| {
        ReadError::Upstream(match error {
            OutboundError::TooLarge => UpstreamError::FdxError(ErrorCode::TooLarge),
            _ => UpstreamError::NoResponse,
        })
    })
}

/// Returns whether the media type in `Content-Type` is `kind`. Parameters such as `charset` are ignored.
fn has_media_type(headers: &HeaderMap, kind: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(kind)
}

/// A connection's provider, from which the hub reads with the connection's access token.
struct ConnectionSource<'a> {
    ctx: &'a RequestContext,
    access: &'a GrantedAccess,
    provider: Provider,
}

impl<'a> ConnectionSource<'a> {
    async fn load(ctx: &'a RequestContext, access: &'a GrantedAccess) -> Result<Self, ReadError> {
        let provider = ctx.ask(&GetProvider { id: access.provider_id() }).await?;
        let provider = provider.ok_or(InternalError::new("the provider of a connection does not exist"))?;
        Ok(Self { ctx, access, provider })
    }

    fn resource_url<'q>(&self, path: &[&str], query: &[(&'q str, &'q str)]) -> Result<Url, ReadError> {
        let fdx = &self.provider.settings.fdx;
        let translate = |(name, value): &(&'q str, &'q str)| match fdx.version {
            FdxVersion::V5 => (*name, *value),
            FdxVersion::V6 => (v6::v6_parameter_name(name), *value),
        };
        let url = build_resource_url(&fdx.base_url, path, query.iter().map(translate));
        Ok(url.ok_or(InternalError::new("the FDX base URL of a provider is not a URL"))?)
    }

    fn endpoints(&self) -> ProviderEndpoints<'_> {
        let on_behalf_of = OnBehalfOf::Connection(self.access.connection_id().clone());
        ProviderEndpoints::new(self.ctx, &self.provider, on_behalf_of)
    }

    /// Calls the provider with a valid access token. If the provider rejects the token, the token is refreshed and the
    /// call is repeated once.
    async fn call_with_token<T, F>(&self, call: impl Fn(Secret<String>) -> F) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        // The rate limit is checked first, so that a recipient that exceeds it cannot cause refreshes either.
        let permit = self.ctx.app().limits().ensure_provider_call_allowed(self.access);
        permit.map_err(|RateLimitError(wait)| ReadError::Upstream(UpstreamError::RateLimited(wait)))?;
        let token = obtain_access_token(self.ctx, &self.provider, self.access, None).await?;
        let mut response = call(token.token).await;
        if response.as_ref().is_err_and(|error| *error == UpstreamError::TokenRefused) {
            // The provider may have revoked the access token before its expiry.
            let rejected = Some(token.version);
            let token = obtain_access_token(self.ctx, &self.provider, self.access, rejected).await?;
            response = call(token.token).await;
        }
        response.map_err(|error| match error {
            // The refreshed token is rejected too, so the customer must authorize again. The connection does not end,
            // because only `invalid_grant` proves that the grant has ended.
            UpstreamError::TokenRefused => {
                ReadError::Upstream(UpstreamError::FdxError(ErrorCode::NotAuthorized))
            }
            error => ReadError::Upstream(error),
        })
    }
}
