//! The reload of the configuration by SIGHUP, which applies the providers of the file.

use domain::model::provider::{Provider, ProviderSource, ProviderState};
use store::query::ListProviders;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::{ACTOR, upsert_providers};
use crate::app::App;
use crate::config::Config;
use crate::jobs;

/// Loads the configuration again and applies its providers. A configuration that is invalid changes nothing.
pub(super) async fn reload(globals: &GlobalArgs, flags: &[(&str, String)], app: &App) {
    let config = match globals.load_config(flags) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(%error, "the configuration was not reloaded: it is invalid, and the former one remains in use");
            return;
        }
    };
    // Settings of `[upstream]` need a restart, so the providers must be valid with those in use.
    let limits = app.config().upstream.provider_limits();
    if let Err(error) = config.check_provider_settings(limits) {
        tracing::error!(%error,
            "the configuration was not reloaded: a provider needs settings of `upstream` that only a restart applies");
        return;
    }
    let keys = config.list_changed_keys(app.config());
    if !keys.is_empty() {
        tracing::warn!(keys = keys.join(" "), "settings have changed that only a restart of the hub applies");
    }
    match apply(app, &config).await {
        Ok(changed) => tracing::info!(changed, "configuration reloaded"),
        Err(error) => {
            tracing::error!(%error, "the providers of the configuration were not all applied: reload it again");
        }
    }
}

/// Applies the providers of a configuration. Returns the ids of those that have changed.
async fn apply(app: &App, config: &Config) -> Result<String, CliError> {
    let changed = upsert_providers(app, &config.provider).await?;
    let ctx = jobs::new_job_context(app, ACTOR)?;
    let is_missing = |provider: &Provider| {
        provider.source == ProviderSource::Config
            && provider.state == ProviderState::Active
            && config.provider.iter().all(|entry| entry.id != provider.id.number())
    };
    for provider in ctx.ask(&ListProviders).await?.rows.iter().filter(|provider| is_missing(provider)) {
        tracing::warn!(provider = %provider.id,
            "the configuration contains a provider no longer, but it stays in use: pause or retire it");
    }
    let changed: Vec<String> = changed.iter().map(ToString::to_string).collect();
    Ok(changed.join(" "))
}
