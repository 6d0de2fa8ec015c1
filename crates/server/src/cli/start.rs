//! What commands have in common: configuration, lock, keys, store.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use store::command::{SetMetadata, UpsertProvider};
use store::query::GetMetadata;
use store::{Location, Store, StoreError};
use tokio::net::TcpListener;

use super::{CliError, GlobalArgs};
use crate::app::{App, BuildError};
use crate::clock::Clock;
use crate::config::{Config, store_folder};
use crate::jobs;
use crate::server::KEYS_METADATA_NAME;
use crate::server::{BindSocketError, LocalSocket};
use crate::vault::{KeyFile, Vault};

/// What is found out about the one who operates from the command line.
pub(super) use domain::rule::operator::LOCAL_ACTOR_ID as ACTOR;

/// The mark of a store whose world is not real.
pub(super) use crate::recipients::SANDBOX_METADATA_NAME;

/// Loads the configuration: defaults, file, environment, flags.
pub(super) fn load_config(globals: &GlobalArgs, flags: &[(&str, String)]) -> Result<Config, CliError> {
    let here = PathBuf::from("bowline.toml");
    let file = globals.config.clone().or_else(|| here.exists().then_some(here));
    // What is no text is not ours, and must not be shown by a panic.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    Config::load(file.as_deref(), environment, flags).map_err(|error| CliError::Usage(error.to_string()))
}

/// Makes a folder, and those above it, for its owner alone. One that is there stays as it is.
pub(super) fn create_private_dir(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a folder that goes again, for its owner alone. Where others may write too, as in the system's temporary
/// folder, one that is there already is somebody else's.
pub(super) fn create_temp_dir(place: &Path, name: &str) -> Result<PathBuf, CliError> {
    let folder = place.join(format!("bowline-{name}-{}", std::process::id()));
    let created = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    created.map(|()| folder.clone()).map_err(|e| CliError::Usage(format!("{}: {e}", folder.display())))
}

/// The lock on the folder of a SQLite store; held as long as the value lives.
pub(super) struct DataLock(Option<File>);

impl DataLock {
    /// Takes the lock; a PostgreSQL store needs none.
    pub(super) fn acquire(location: &Location) -> Result<Self, CliError> {
        let Location::Sqlite(path) = location else { return Ok(Self(None)) };
        let folder = store_folder(path);
        let lock = folder.join("bowline.lock");
        let open = || {
            create_private_dir(&folder)?;
            File::options().create(true).append(true).mode(0o600).open(&lock)
        };
        let file = open().map_err(|error| CliError::Usage(format!("{}: {error}", lock.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(CliError::Unreachable(format!(
                "{} is in use by another bowline: stop it first, or use another data directory",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(CliError::Usage(format!("{}: {error}", lock.display()))),
        }
    }

    /// Whether there is a lock file at all.
    pub(super) const fn is_locked(&self) -> bool {
        self.0.is_some()
    }
}

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
    });
    let keys = keys.map_err(|error| CliError::Usage(error.to_string()))?;
    let app = App::build(config, Vault::new(keys), clock).await.map_err(map_build_error)?;
    let ctx = jobs::new_job_context(&app, ACTOR).map_err(|e| CliError::Internal(e.into()))?;
    let moment = ctx.new_moment().map_err(|e| CliError::Internal(e.into()))?;
    let own = app.vault().fingerprint();
    let stored_fingerprint = ctx
        .run(SetMetadata { moment, name: KEYS_METADATA_NAME, value: own.clone() })
        .await
        .map_err(map_store_error)?;
    if stored_fingerprint != own {
        let keys = app.config().keys.file.display().to_string();
        return Err(CliError::Usage(format!("the store belongs to another key file than {keys}")));
    }
    Ok(app)
}

/// Writes the providers of the configuration.
pub(super) async fn upsert_providers(app: &App) -> Result<(), CliError> {
    let ctx = jobs::new_job_context(app, ACTOR).map_err(|e| CliError::Internal(e.into()))?;
    for entry in &app.config().provider {
        let moment = ctx.new_moment().map_err(|e| CliError::Internal(e.into()))?;
        let actor = domain::model::audit_event::Actor::system("configuration");
        ctx.run(UpsertProvider { moment, provider: entry.to_provider(), actor })
            .await
            .map_err(map_store_error)?;
    }
    Ok(())
}

/// Whether the store is a sandbox's.
pub(super) async fn read_sandbox_flag(app: &App) -> Result<bool, CliError> {
    let mark =
        app.store().query(&GetMetadata { name: SANDBOX_METADATA_NAME }).await.map_err(map_store_error)?;
    Ok(mark.is_some())
}

/// Brings the schema up to date.
pub(super) async fn migrate(location: &Location) -> Result<Vec<store::Migration>, CliError> {
    Store::migrate(location).await.map_err(map_store_error)
}

/// Binds a listener; an error names the address and the flag.
pub(super) async fn bind(address: &str, flag: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::Unreachable(format!("cannot listen on {address}: {error} (choose another with {flag})"))
    })
}

/// Makes the socket for operators on this machine, if there is to be one.
pub(super) fn bind_local(config: &Config) -> Result<Option<LocalSocket>, CliError> {
    let Some(path) = config.admin_socket() else { return Ok(None) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), create_private_dir)
        .map_err(|e| CliError::Usage(format!("{}: {e}", path.display())))?;
    LocalSocket::bind(&path).map(Some).map_err(|error| match error {
        BindSocketError::InUse(_) => CliError::Unreachable(error.to_string()),
        error => CliError::Usage(error.to_string()),
    })
}

/// A store's error, by who should act.
pub(super) fn map_store_error(error: StoreError) -> CliError {
    match error {
        StoreError::Incompatible(why) => CliError::Usage(format!("store: {why}")),
        StoreError::Unavailable(why) => CliError::Unreachable(format!("store: {why}")),
        other => CliError::Internal(other.into()),
    }
}

fn map_build_error(error: BuildError) -> CliError {
    match error {
        BuildError::Store(error) => map_store_error(error),
        other => CliError::Internal(other.into()),
    }
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn wait_for_stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temp_dir_is_private_and_existing_one_is_rejected() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let folder = create_temp_dir(place.path(), "test").unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let again = create_temp_dir(place.path(), "test").unwrap_err();
        assert!(again.to_string().contains(&folder.display().to_string()), "{again}");
    }

    #[test]
    fn data_lock_applies_to_every_path_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        std::fs::write(one.join("hub.db"), "").unwrap();
        std::os::unix::fs::symlink(one.join("hub.db"), two.join("link.db")).unwrap();
        let _lock = DataLock::acquire(&Location::Sqlite(one.join("hub.db"))).unwrap();
        let again = DataLock::acquire(&Location::Sqlite(two.join("link.db")));
        assert!(matches!(again, Err(CliError::Unreachable(_))));
    }
}
