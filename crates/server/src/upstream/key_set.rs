//! The public keys of the hub, with which providers verify its signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::jose::{AssertionKeys, PublicKey};
use domain::model::provider::{IdentityClient, Provider, ProviderSettings, SecretSource, SigningAlgorithm};
use serde_json::{Value, json};
use store::query::{ListFormerSettings, ListProviders};

use super::grant_secret::with_former_settings;
use super::hub_secrets::load_hub_secret;
use crate::context::RequestContext;
use crate::error::InternalError;

/// Returns the public keys of the hub at all providers as a JWK set (RFC 7517 §5).
pub async fn load_key_set(ctx: &RequestContext) -> Result<Arc<str>, InternalError> {
    let now = || Ok(ctx.app().now()?);
    ctx.app().published_keys().find_or_build(now, build_key_set(ctx)).await
}

async fn build_key_set(ctx: &RequestContext) -> Result<Arc<str>, InternalError> {
    // Two providers may have the same key. Its id identifies it.
    let mut keys = BTreeMap::new();
    let providers = ctx.ask(&ListProviders).await?.rows;
    // A server that a provider has no longer must still verify the hub, because the grants that it issued are revoked there.
    for former in ctx.ask(&ListFormerSettings).await? {
        let Some(provider) = providers.iter().find(|provider| provider.id == former.provider_id) else {
            continue;
        };
        let former = with_former_settings(provider.clone(), former);
        // The file of a former key may have been deleted. No grant needs that of a former identity client.
        if let Some(setting) = find_main_key(&former.settings) {
            keys.extend(load_keys(ctx, &former, setting).await.unwrap_or_default());
        }
    }
    for provider in providers {
        let settings = &provider.settings;
        for setting in find_main_key(settings).into_iter().chain(find_identity_key(settings)) {
            match load_keys(ctx, &provider, setting).await {
                Ok(found) => keys.extend(found),
                // The other keys are published all the same.
                Err(reason) => {
                    tracing::error!(provider = %provider.id, reason, "the key of the hub at the provider cannot be read");
                }
            }
        }
    }
    let keys: Vec<Value> = keys.into_values().collect();
    Ok(json!({ "keys": keys }).to_string().into())
}

/// A setting with keys of the hub: its path, the location of the keys, and their algorithm.
type KeySetting<'s> = (String, &'s SecretSource, SigningAlgorithm);

fn find_main_key(settings: &ProviderSettings) -> Option<KeySetting<'_>> {
    Some(("auth_key".to_owned(), settings.auth_key.as_ref()?, settings.auth_algorithm?))
}

fn find_identity_key(settings: &ProviderSettings) -> Option<KeySetting<'_>> {
    let client = settings.identity_client.as_ref()?;
    Some((IdentityClient::member_path("auth_key"), client.auth_key.as_ref()?, client.auth_algorithm?))
}

/// Returns the public keys of a setting by their ids.
async fn load_keys(
    ctx: &RequestContext,
    provider: &Provider,
    (path, source, algorithm): KeySetting<'_>,
) -> Result<BTreeMap<Option<String>, Value>, String> {
    let pem = load_hub_secret(ctx, provider, (path.as_str(), source)).await.map_err(|e| e.to_string())?;
    let keys = AssertionKeys::parse(pem.expose(), algorithm).map_err(|e| e.to_string())?;
    let with_id = |key| Some((key_id(key), serde_json::to_value(key).ok()?));
    Ok(keys.public_keys().filter_map(with_id).collect())
}

fn key_id(key: &PublicKey) -> Option<String> {
    key.common.key_id.clone()
}
