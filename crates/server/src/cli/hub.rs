//! The hub as commands open it: lock, store, keys and app.

use store::command::{SetMetadata, UpsertProvider};
use store::query::GetMetadata;
use store::{Location, Store};

use super::data_lock::DataLock;
use super::error::CliError;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::jobs;
use crate::server::KEYS_METADATA_NAME;
use crate::vault::{KeyFile, Vault};

/// What is found out about the one who operates from the command line.
pub(super) use domain::rule::operator::LOCAL_ACTOR_ID as ACTOR;

/// The mark of a store whose world is not real.
pub(super) use crate::recipients::SANDBOX_METADATA_NAME;

/// The store's place.
pub(super) fn parse_store_location(config: &Config) -> Result<Location, CliError> {
    Location::parse(&config.store.url).ok_or_else(|| CliError::Usage("store.url is no store".into()))
}

/// Takes the lock of the configured store, brings one that is locked so up to date, and builds the app on it. The
/// lock comes first, so that it is given back last.
pub(super) async fn open_app(config: Config) -> Result<(DataLock, App), CliError> {
    let lock = DataLock::acquire(&parse_store_location(&config)?)?;
    let app = open_app_with_lock(&lock, config).await?;
    Ok((lock, app))
}

/// The same under a lock that was taken already.
pub(super) async fn open_app_with_lock(lock: &DataLock, config: Config) -> Result<App, CliError> {
    if lock.is_locked() {
        migrate(&parse_store_location(&config)?).await?;
    }
    build_app(config, Clock::system()).await
}

/// Builds the app on a store that is of this program's schema and of this key file.
pub(super) async fn build_app(config: Config, clock: Clock) -> Result<App, CliError> {
    let keys = KeyFile::open_or_create(&config.keys.file, || {
        let mut bytes = [0; 32];
        crate::context::fill_random(&mut bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    })?;
    let app = App::build(config, Vault::new(keys), clock).await?;
    let ctx = jobs::new_job_context(&app, ACTOR)?;
    let moment = ctx.new_moment()?;
    let own = app.vault().fingerprint();
    let stored = ctx.run(SetMetadata { moment, name: KEYS_METADATA_NAME, value: own.clone() }).await?;
    if stored != own {
        let keys = app.config().keys.file.display().to_string();
        return Err(CliError::Usage(format!("the store belongs to another key file than {keys}")));
    }
    Ok(app)
}

/// Writes the providers of the configuration.
pub(super) async fn upsert_providers(app: &App) -> Result<(), CliError> {
    let ctx = jobs::new_job_context(app, ACTOR)?;
    for entry in &app.config().provider {
        let moment = ctx.new_moment()?;
        let actor = domain::model::audit_event::Actor::system("configuration");
        ctx.run(UpsertProvider { moment, provider: entry.to_provider(), actor }).await?;
    }
    Ok(())
}

/// Whether the store is a sandbox's.
pub(super) async fn read_sandbox_flag(app: &App) -> Result<bool, CliError> {
    Ok(app.store().query(&GetMetadata { name: SANDBOX_METADATA_NAME }).await?.is_some())
}

/// Brings the schema up to date.
pub(super) async fn migrate(location: &Location) -> Result<Vec<store::Migration>, CliError> {
    Ok(Store::migrate(location).await?)
}
