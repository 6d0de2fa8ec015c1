//! Discovers the endpoints of providers: requests the metadata of their issuers (OpenID Connect Discovery, RFC 8414) and stores
//! them. The last accepted metadata are used until others are accepted, also after a restart.

use std::time::Duration;

use domain::error::OAuthError;
use domain::model::provider::{EndpointError, Provider, ProviderMetadata};
use domain::rule::authorization_failure::{METADATA_REJECTED, UNAVAILABLE};
use domain::rule::provider_metadata::{MAX_METADATA_BYTES, metadata_urls};
use futures_util::{StreamExt, stream};
use http::header;
use store::command::{StoreMetadataOutcome, StoreProviderMetadata};
use store::query::{GetProvider, ListProviders};
use url::Url;

use super::transport::outbound_for;
use crate::context::RequestContext;
use crate::discovery_attempts::{DiscoveryError, LastAttempt, Occasion};
use crate::error::InternalError;
use crate::outbound::Outbound;

/// The maximum duration of the requests for the metadata of one issuer. A customer may wait for them.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of issuers that are requested concurrently.
const CONCURRENT_REQUESTS: usize = 4;

/// Requests the metadata of an issuer. Returns the first acceptable document with its URL. With `allow_http`, URLs may use plain
/// http, for servers on the same machine.
pub(crate) async fn request_metadata(
    outbound: &Outbound,
    issuer: &str,
    allow_http: bool,
) -> Result<(ProviderMetadata, Url), DiscoveryError> {
    let urls = metadata_urls(issuer)
        .ok_or_else(|| DiscoveryError::new("the issuer is not a URL without query and fragment"))?;
    let find = async {
        let mut errors = Vec::new();
        for url in urls {
            match request_document(outbound, &url, issuer, allow_http).await {
                Ok(metadata) => return Ok((metadata, url)),
                Err(error) => errors.push((url, error)),
            }
        }
        Err(DiscoveryError::for_urls(&errors))
    };
    let result = tokio::time::timeout(DISCOVERY_TIMEOUT, find).await;
    result.unwrap_or_else(|_| Err(DiscoveryError::new("the metadata did not arrive in time")))
}

async fn request_document(
    outbound: &Outbound,
    url: &Url,
    issuer: &str,
    allow_http: bool,
) -> Result<ProviderMetadata, DiscoveryError> {
    let request = outbound.get(url)?.header(header::ACCEPT, "application/json");
    let response = outbound.open(request).await?;
    // A redirect is not followed: the document of another address need not be that of the issuer.
    if response.status.as_u16() != 200 {
        return Err(DiscoveryError::new(&format_args!("HTTP {}", response.status.as_u16())));
    }
    let body = response.read_body(MAX_METADATA_BYTES).await?.body;
    Ok(ProviderMetadata::parse(&body, issuer, allow_http)?)
}

/// Requests the metadata of a provider's issuer and stores them, unless this node has done so recently.
async fn discover(
    ctx: &RequestContext,
    provider: &Provider,
    occasion: Occasion,
) -> Result<Result<(), DiscoveryError>, InternalError> {
    let attempt = ctx.app().discovery_attempts().of_provider(provider.id);
    let mut last = attempt.lock().await;
    // The lock may have been waited for.
    let now = ctx.app().now()?;
    if let Some(result) = last.find_recent_result(provider, occasion, now) {
        return Ok(result);
    }
    let result = match request_usable_metadata(ctx, provider).await {
        Ok(metadata) => store_metadata(ctx, provider, metadata).await?,
        Err(error) => Err(error),
    };
    let error = result.as_ref().err();
    if let Some(error) = error.filter(|_| last.error() != error) {
        report_failure(provider, error);
    }
    *last = LastAttempt::new(provider, now, error.cloned());
    Ok(result)
}

async fn request_usable_metadata(
    ctx: &RequestContext,
    provider: &Provider,
) -> Result<ProviderMetadata, DiscoveryError> {
    let settings = &provider.settings;
    let outbound = outbound_for(ctx, provider).await?;
    let issuer = settings.issuer.as_deref().unwrap_or_default();
    let allow_http = ctx.app().config().upstream.allow_loopback;
    let (metadata, _) = request_metadata(&outbound, issuer, allow_http).await?;
    metadata.ensure_usable(settings)?;
    Ok(metadata)
}

async fn store_metadata(
    ctx: &RequestContext,
    provider: &Provider,
    metadata: ProviderMetadata,
) -> Result<Result<(), DiscoveryError>, InternalError> {
    let store = StoreProviderMetadata { moment: ctx.new_moment()?, provider_id: provider.id, metadata };
    let changed = match ctx.run(store).await? {
        StoreMetadataOutcome::Unchanged => return Ok(Ok(())),
        StoreMetadataOutcome::TooManyFormerSettings => return Ok(Err(DiscoveryError::too_many_changes())),
        StoreMetadataOutcome::Stored(changed) => changed,
    };
    let members = changed.join(" ");
    if provider.discovered.is_some() {
        tracing::warn!(provider = %provider.id, members, "the metadata of a provider's issuer have changed");
    } else {
        tracing::info!(provider = %provider.id, members, "the metadata of a provider's issuer are known");
    }
    Ok(Ok(()))
}

fn report_failure(provider: &Provider, error: &DiscoveryError) {
    let (id, has_previous) = (provider.id, provider.metadata().is_some());
    if provider.settings.needs_metadata() || error.is_rejected() {
        tracing::warn!(provider = %id, reason = %error, has_previous,
            "the metadata of a provider's issuer cannot be used; the previous ones remain in use if there are any");
    } else {
        tracing::debug!(provider = %id, reason = %error, "the issuer of a provider publishes no metadata");
    }
}

/// Returns the provider with every endpoint that a login needs. The metadata are requested if they are not known yet.
pub(super) async fn ensure_endpoints(
    ctx: &RequestContext,
    provider: Provider,
) -> Result<Result<Provider, OAuthError>, InternalError> {
    let find_error = |provider: &Provider| provider.settings.find_endpoint_problem(provider.metadata());
    let reject = |reason: &dyn std::fmt::Display, error: OAuthError| {
        tracing::warn!(provider = %provider.id, %reason, "a login cannot continue: an endpoint of the provider is not known");
        Ok(Err(error))
    };
    match find_error(&provider) {
        None => return Ok(Ok(provider)),
        Some(EndpointError::NotDiscovered(_)) => {}
        Some(error @ (EndpointError::Missing(_) | EndpointError::OtherHost(_))) => {
            return reject(&error, METADATA_REJECTED);
        }
    }
    match discover(ctx, &provider, Occasion::Login).await? {
        Err(error) if error.is_rejected() => return reject(&error, METADATA_REJECTED),
        Err(error) => return reject(&error, UNAVAILABLE),
        Ok(()) => {}
    }
    let stored = ctx.ask(&GetProvider { id: provider.id }).await?;
    let stored = stored.ok_or(InternalError::new("the provider of a login does not exist"))?;
    match find_error(&stored) {
        None => Ok(Ok(stored)),
        Some(error) => reject(&error, METADATA_REJECTED),
    }
}

/// Requests the metadata of all issuers that are due, and stores those that have changed.
pub async fn refresh_metadata(ctx: &RequestContext) -> Result<(), InternalError> {
    let providers = ctx.ask(&ListProviders).await?.rows;
    let discovered = providers.into_iter().filter(|provider| provider.settings.issuer.is_some());
    stream::iter(discovered)
        .for_each_concurrent(CONCURRENT_REQUESTS, async |provider: Provider| {
            if let Err(error) = discover(ctx, &provider, Occasion::Background).await {
                tracing::error!(%error, provider = %provider.id, "the metadata of a provider's issuer could not be stored");
            }
        })
        .await;
    Ok(())
}
