//! The HTTP client for the calls to one provider.

use std::collections::BTreeMap;

use domain::model::provider::{Provider, ProviderSettings, SecretSource, TransportSettings};
use domain::rule::provider::is_pem;
use store::query::{ListFormerSettings, ListProviders};

use super::grant_secret::with_former_settings;
use super::hub_secrets::load_hub_secret;
use super::provider_client::build_outbound;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::outbound::{FileStamp, Outbound, OutboundError, ProviderClient};

/// Returns the HTTP client for the calls to a provider. If the provider has settings for its calls, the client is kept until
/// one of their files changes.
pub(super) async fn outbound_for(
    ctx: &RequestContext,
    provider: &Provider,
) -> Result<Outbound, OutboundError> {
    let (app, settings, id) = (ctx.app(), &provider.settings, provider.id);
    if !settings.has_own_transport() {
        return Ok(app.outbound().clone());
    }
    // The files are read after their stamps: a file that changes in between has another stamp at the next call.
    let stamps = FileStamp::read_all(list_files(settings).into_iter());
    let known = app.provider_clients().find(provider);
    if let Some(client) = known.as_ref().filter(|client| client.stamps == stamps) {
        return Ok(client.outbound.clone());
    }
    let client = match load(ctx, provider).await {
        Ok(outbound) => {
            tracing::info!(provider = %id, "the certificates, keys and headers of the provider were loaded");
            ProviderClient {
                transport: TransportSettings::from_settings(settings),
                version: provider.version,
                stamps,
                failed: None,
                outbound,
            }
        }
        Err(reason) => {
            // The files of a certificate and its key are replaced one after the other.
            let Some(client) = known else {
                tracing::error!(provider = %id, reason,
                    "a certificate, key or header of the provider cannot be used");
                return Err(OutboundError::Credentials);
            };
            if client.failed.as_ref() != Some(&stamps) {
                tracing::warn!(provider = %id, reason,
                    "a certificate, key or header of the provider cannot be used: the previous ones remain in use");
            }
            // The client keeps its stamps, so that the next call reads the files again: a repair does not always change a stamp.
            ProviderClient { failed: Some(stamps), ..client }
        }
    };
    let outbound = client.outbound.clone();
    app.provider_clients().insert(provider, client);
    Ok(outbound)
}

/// Drops the HTTP clients of settings that no longer exist, so that certificates and keys do not stay in memory longer than in the
/// store.
pub async fn drop_unused_clients(ctx: &RequestContext) -> Result<(), InternalError> {
    let clients = ctx.app().provider_clients();
    if clients.is_empty() {
        return Ok(());
    }
    let mut used = ctx.ask(&ListProviders).await?.rows;
    for former in ctx.ask(&ListFormerSettings).await? {
        let current = used.iter().find(|provider| provider.id == former.provider_id).cloned();
        used.extend(current.map(|provider| with_former_settings(provider, former)));
    }
    used.retain(|provider| provider.settings.has_own_transport());
    // A call that began before these lists were read may add its client again. The next round drops it.
    clients.retain_fitting(&used);
    Ok(())
}

async fn load(ctx: &RequestContext, provider: &Provider) -> Result<Outbound, String> {
    let mut secrets = BTreeMap::new();
    for (name, source) in provider.settings.transport_secrets() {
        let secret = load_hub_secret(ctx, provider, (&name, source)).await;
        let secret = secret.map_err(|error| format!("{name}: {error}"))?;
        secrets.insert(name, secret);
    }
    build_outbound(&ctx.app().config().upstream, &provider.settings, secrets)
}

/// Returns the paths of the files that the settings of the calls name.
fn list_files(settings: &ProviderSettings) -> Vec<&str> {
    let tls = settings.tls.as_ref();
    let certificates = tls.map(|tls| [&tls.ca, &tls.certificate]).into_iter().flatten().flatten();
    let certificates = certificates.map(String::as_str).filter(|text| !is_pem(text));
    let secrets = settings.transport_secrets().into_iter().filter_map(|(_, source)| match source {
        SecretSource::File(path) => Some(path.as_str()),
        SecretSource::Env(_) | SecretSource::Sealed => None,
    });
    certificates.chain(secrets).collect()
}
