//! Opens the hub for commands: data lock, store, key file and app.
//!
//! Commands that start a hub create a missing SQLite store and key file. All other commands require both and create
//! neither: in the wrong folder they would otherwise leave an empty store and a new key file.

use anyhow::Context;
use domain::id::ProviderId;
use domain::model::audit_event::{Actor, AuditKey};
use domain::model::provider::Provider;
use store::command::{FormerSettingsPlan, SetMetadata, UpsertOutcome, UpsertProvider};
use store::query::{GetMetadata, GetProvider};
use store::{
    AccountListOpener, Location, RowAuthenticator, Store, StoreError, StoreKeys, StorePurpose, StoreSettings,
    UptimeClock,
};

use super::data_lock::DataLock;
use super::error::CliError;
use super::process_protection::protect_memory;
use crate::app::App;
use crate::clock::{Clock, uptime};
use crate::config::{Config, ProviderEntry};
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::jobs;
use crate::server::KEYS_METADATA_NAME;
use crate::upstream::{HubSecrets, plan_former_settings};
use crate::vault::{KeyFile, Vault};

/// The actor id, in the audit log, of commands that use the store without a running hub.
pub(super) use domain::rule::operator::LOCAL_ACTOR_ID as ACTOR;

pub(super) fn parse_store_location(config: &Config) -> Result<Location, CliError> {
    config.store_location().map_err(CliError::Usage)
}

/// Locks and opens the configured hub, and creates a missing SQLite store and key file.
pub(super) async fn create_or_open_hub(config: Config) -> Result<(DataLock, App), CliError> {
    let location = parse_store_location(&config)?;
    // Checked first, so that nothing is written into the folder of a sandbox.
    Store::check_purpose(&location, StorePurpose::Hub).await?;
    let lock = DataLock::acquire(&location)?;
    // Only one process can open a SQLite store, so it migrates the schema. Several nodes can share a PostgreSQL store,
    // so the operator decides when to migrate it, with `bowline migrate`.
    if matches!(location, Location::Sqlite(_)) {
        migrate(&location, StorePurpose::Hub).await?;
    }
    let app = create_or_open_app(config, Clock::system()).await?;
    Ok((lock, app))
}

/// Builds the app on a migrated store, and creates a missing key file.
pub(super) async fn create_or_open_app(config: Config, clock: Clock) -> Result<App, CliError> {
    protect_keys(&config)?;
    // A store that belongs to a key file cannot be read with a new one, so none is created.
    if !config.keys.file.exists() && has_keys(&config).await? {
        return Err(missing_key_file_error(&config));
    }
    let keys = KeyFile::open_or_create(&config.keys.file, || {
        let mut bytes = [0; 32];
        crate::context::fill_random(&mut bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    })?;
    build_app(config, keys, clock).await
}

/// Builds the app on an existing store and key file. The caller must have acquired the data lock.
pub(super) async fn open_existing_app(config: Config) -> Result<App, CliError> {
    protect_keys(&config)?;
    if !config.keys.file.exists() {
        // The store is opened first, so that a more important problem, such as a database that was never migrated, is
        // reported instead of the missing key file.
        return Err(if has_keys(&config).await? {
            missing_key_file_error(&config)
        } else {
            CliError::Usage(format!(
                "keys.file: {} does not exist; the first start of `bowline serve` creates it",
                config.keys.file.display()
            ))
        });
    }
    let keys = KeyFile::open(&config.keys.file)?;
    build_app(config, keys, Clock::system()).await
}

/// Protects the memory of this process before it contains keys, unless the configuration permits core dumps.
pub(super) fn protect_keys(config: &Config) -> Result<(), CliError> {
    if config.keys.allow_core_dumps {
        return Ok(());
    }
    Ok(protect_memory().context("cannot disable core dumps")?)
}

fn missing_key_file_error(config: &Config) -> CliError {
    CliError::Usage(format!(
        "keys.file: {} does not exist, but the store belongs to a key file: restore it from a backup, or correct \
         keys.file",
        config.keys.file.display()
    ))
}

/// Returns whether the store contains the fingerprint of a key file, without which its secrets cannot be read.
async fn has_keys(config: &Config) -> Result<bool, CliError> {
    let location = parse_store_location(config)?;
    // The row that is read below has no MAC.
    let store = Store::open(minimal_store_settings(config, location)).await?;
    Ok(store.query(&GetMetadata { name: KEYS_METADATA_NAME }).await?.is_some())
}

/// Returns the settings of a store of which only rows without a MAC are read, so that no key file is needed.
pub(super) fn minimal_store_settings(config: &Config, location: Location) -> StoreSettings {
    let keys = StoreKeys {
        audit: AuditKey::new(0, &[0; 32]),
        rows: RowAuthenticator::new(&[0; 32]),
        accounts: AccountListOpener::without_keys(),
    };
    StoreSettings {
        location,
        connections: 2,
        queue_capacity: 1,
        access_map_bytes: 0,
        node_lease: config.store.lease.duration(),
        uptime: UptimeClock::new(uptime),
        keys,
    }
}

/// Builds the app, and ensures that store and key file belong together.
async fn build_app(config: Config, keys: KeyFile, clock: Clock) -> Result<App, CliError> {
    let app = App::build(config, Vault::new(keys), clock).await?;
    let ctx = jobs::new_job_context(&app, ACTOR)?;
    let moment = ctx.new_moment()?;
    let fingerprint = app.vault().fingerprint();
    // `SetMetadata` does not overwrite an existing entry, so the store keeps the fingerprint of the first key file that
    // it was opened with.
    let stored =
        ctx.run(SetMetadata { moment, name: KEYS_METADATA_NAME, value: fingerprint.clone() }).await?;
    if stored != fingerprint {
        let keys = app.config().keys.file.display().to_string();
        return Err(CliError::Usage(format!("keys.file: the store belongs to another key file than {keys}")));
    }
    Ok(app)
}

/// Writes the providers of a configuration to the store, except for those whose rows or secrets there cannot be used. Returns the ids
/// of those that were not stored with the same settings.
pub(super) async fn upsert_providers(
    app: &App,
    providers: &[ProviderEntry],
) -> Result<Vec<ProviderId>, CliError> {
    let ctx = jobs::new_job_context(app, ACTOR)?;
    let mut changed = Vec::new();
    for entry in providers {
        let provider = entry.to_provider();
        let id = provider.id;
        match upsert_provider(&ctx, provider).await {
            Ok(UpsertOutcome::Rejected(reason)) => {
                tracing::error!(provider = %id, %reason, "the configuration of a provider was not applied");
            }
            Ok(UpsertOutcome::Outdated) => {
                tracing::error!(provider = %id,
                    "the configuration of a provider was not applied: another node changes it; reload it again");
            }
            Ok(UpsertOutcome::Unchanged) => {}
            Ok(UpsertOutcome::Written) => changed.push(id),
            // Requests for this provider fail. It must not keep the hub from serving the others.
            Err(error) if is_fault_of_provider(&error) => {
                tracing::error!(provider = %id, %error, "the configuration of a provider was not applied");
            }
            Err(InternalError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(changed)
}

/// Returns whether the row or the secrets of one provider cause an error: another program has changed them, or they cannot be opened.
const fn is_fault_of_provider(error: &InternalError) -> bool {
    match error {
        InternalError::Store(error) => matches!(error, StoreError::UnverifiedRow { .. }),
        InternalError::Unseal(_) | InternalError::InvariantViolated(_) => true,
        InternalError::Context(_) => false,
    }
}

/// The number of attempts to write a provider that other nodes change at the same time.
const UPSERT_ATTEMPTS: usize = 5;

async fn upsert_provider(ctx: &RequestContext, provider: Provider) -> Result<UpsertOutcome, InternalError> {
    for _ in 0..UPSERT_ATTEMPTS {
        let stored = ctx.ask(&GetProvider { id: provider.id }).await?;
        let seen_version = stored.as_ref().map(|stored| stored.version.number);
        let updates = match stored {
            Some(stored) if stored.settings != provider.settings => {
                let wanted = Provider { settings: provider.settings.clone(), ..stored.clone() };
                plan_former_settings(ctx, &stored, (&wanted, &HubSecrets::default())).await?
            }
            _ => Vec::new(),
        };
        let plan = Some(FormerSettingsPlan { seen_version, updates });
        let (moment, actor) = (ctx.new_moment()?, Actor::system("configuration"));
        match ctx.run(UpsertProvider { moment, provider: provider.clone(), actor, plan }).await? {
            UpsertOutcome::Outdated => {}
            outcome => return Ok(outcome),
        }
    }
    Ok(UpsertOutcome::Outdated)
}

/// Migrates the schema of a store and creates a missing SQLite file.
pub(super) async fn migrate(
    location: &Location,
    purpose: StorePurpose,
) -> Result<Vec<store::Migration>, CliError> {
    Ok(Store::migrate(location, purpose).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ContextError;

    #[test]
    fn only_faults_of_one_provider_are_skipped() {
        let changed_row = StoreError::UnverifiedRow { table: "providers", id: String::new() };

        assert!(is_fault_of_provider(&changed_row.into()));
        assert!(is_fault_of_provider(&InternalError::new("the store has no secrets of a provider")));
        assert!(!is_fault_of_provider(&ContextError("the clock is not available").into()));
        assert!(!is_fault_of_provider(&StoreError::Busy.into()));
    }
}
