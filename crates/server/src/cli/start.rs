//! What commands have in common: configuration, lock, keys, store.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use store::command::{SetMark, UpsertProvider};
use store::query::MarkOf;
use store::{Location, Store, StoreError};
use tokio::net::TcpListener;

use super::{Failure, Globals};
use crate::app::{App, BuildError, Clock};
use crate::config::{Config, folder_of};
use crate::job;
use crate::ready::KEYS_MARK;
use crate::vault::{KeyFile, Vault};
use crate::web::{LocalSocket, NotBound};

/// What is found out about the one who operates from the command line.
pub(super) use domain::rule::operator::LOCAL as ACTOR;

/// The mark of a store whose world is not real.
pub(super) use crate::manage::SANDBOX_MARK;

/// Loads the configuration: defaults, file, environment, flags.
pub(super) fn load(globals: &Globals, flags: &[(&str, String)]) -> Result<Config, Failure> {
    let here = PathBuf::from("bowline.toml");
    let file = globals.config.clone().or_else(|| here.exists().then_some(here));
    // What is no text is not ours, and must not be shown by a panic.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    Config::load(file.as_deref(), environment, flags).map_err(|error| Failure::Usage(error.to_string()))
}

/// Makes a folder, and those above it, for its owner alone. One that is there stays as it is.
pub(super) fn owned_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a folder that goes again, for its owner alone. Where others may write too, as in the system's temporary
/// folder, one that is there already is somebody else's.
pub(super) fn passing_folder(place: &Path, name: &str) -> Result<PathBuf, Failure> {
    let folder = place.join(format!("bowline-{name}-{}", std::process::id()));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    made.map(|()| folder.clone()).map_err(|e| Failure::Usage(format!("{}: {e}", folder.display())))
}

/// The lock on the folder of a SQLite store; held as long as the value lives.
pub(super) struct DataLock(Option<File>);

impl DataLock {
    /// Takes the lock; a PostgreSQL store needs none.
    pub(super) fn take(location: &Location) -> Result<Self, Failure> {
        let Location::Sqlite(path) = location else { return Ok(Self(None)) };
        let folder = folder_of(path);
        let lock = folder.join("bowline.lock");
        let open = || {
            owned_folder(&folder)?;
            File::options().create(true).append(true).mode(0o600).open(&lock)
        };
        let file = open().map_err(|error| Failure::Usage(format!("{}: {error}", lock.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(Failure::Unreachable(format!(
                "{} is in use by another bowline: stop it first, or use another data directory",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(Failure::Usage(format!("{}: {error}", lock.display()))),
        }
    }

    /// Whether there is a lock file at all.
    pub(super) const fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

/// The store's place.
pub(super) fn location(config: &Config) -> Result<Location, Failure> {
    Location::parse(&config.store.url).ok_or_else(|| Failure::Usage("store.url is no store".into()))
}

/// Takes the lock of the configured store, brings one that is locked so up to date, and builds the app on it. The
/// lock comes first, so that it is given back last.
pub(super) async fn opened(config: Config) -> Result<(DataLock, App), Failure> {
    let lock = DataLock::take(&location(&config)?)?;
    let app = opened_under(&lock, config).await?;
    Ok((lock, app))
}

/// The same under a lock that was taken already.
pub(super) async fn opened_under(lock: &DataLock, config: Config) -> Result<App, Failure> {
    if lock.is_held() {
        migrate(&location(&config)?).await?;
    }
    build(config, Clock::system()).await
}

/// Builds the app on a store that is of this program's schema and of this key file.
pub(super) async fn build(config: Config, clock: Clock) -> Result<App, Failure> {
    let keys = KeyFile::open_or_make(&config.keys.file, || {
        let mut bytes = [0; 32];
        crate::ctx::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    });
    let keys = keys.map_err(|error| Failure::Usage(error.to_string()))?;
    let app = App::build(config, Vault::new(keys), clock).await.map_err(built)?;
    let ctx = job::context(&app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let moment = ctx.moment().map_err(|e| Failure::Fault(e.into()))?;
    let own = app.vault().fingerprint();
    let stands = ctx.run(SetMark { moment, name: KEYS_MARK, value: own.clone() }).await.map_err(stored)?;
    if stands != own {
        let keys = app.config().keys.file.display().to_string();
        return Err(Failure::Usage(format!("the store belongs to another key file than {keys}")));
    }
    Ok(app)
}

/// Writes the providers of the configuration.
pub(super) async fn upsert_providers(app: &App) -> Result<(), Failure> {
    let ctx = job::context(app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    for entry in &app.config().provider {
        let moment = ctx.moment().map_err(|e| Failure::Fault(e.into()))?;
        let actor = domain::model::audit_event::Actor::system("configuration");
        ctx.run(UpsertProvider { moment, provider: entry.provider(), actor }).await.map_err(stored)?;
    }
    Ok(())
}

/// Whether the store is a sandbox's.
pub(super) async fn is_sandbox(app: &App) -> Result<bool, Failure> {
    let mark = app.store().ask(&MarkOf { name: SANDBOX_MARK }).await.map_err(stored)?;
    Ok(mark.is_some())
}

/// Brings the schema up to date.
pub(super) async fn migrate(location: &Location) -> Result<Vec<store::Migration>, Failure> {
    Store::migrate(location).await.map_err(stored)
}

/// Binds a listener; an error names the address and the flag.
pub(super) async fn bind(address: &str, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Unreachable(format!("cannot listen on {address}: {error} (choose another with {flag})"))
    })
}

/// Makes the socket for operators on this machine, if there is to be one.
pub(super) fn bind_local(config: &Config) -> Result<Option<LocalSocket>, Failure> {
    let Some(path) = config.admin_socket() else { return Ok(None) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), owned_folder).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
    LocalSocket::bind(&path).map(Some).map_err(|error| match error {
        NotBound::InUse(_) => Failure::Unreachable(error.to_string()),
        error => Failure::Usage(error.to_string()),
    })
}

/// A store's error, by who should act.
pub(super) fn stored(error: StoreError) -> Failure {
    match error {
        StoreError::Unfit(why) => Failure::Usage(format!("store: {why}")),
        StoreError::Unavailable(why) => Failure::Unreachable(format!("store: {why}")),
        other => Failure::Fault(other.into()),
    }
}

fn built(error: BuildError) -> Failure {
    match error {
        BuildError::Store(error) => stored(error),
        other => Failure::Fault(other.into()),
    }
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn stop_signal() {
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
    fn a_passing_folder_is_ours_alone_or_refused() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let folder = passing_folder(place.path(), "test").unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let again = passing_folder(place.path(), "test").unwrap_err();
        assert!(again.to_string().contains(&folder.display().to_string()), "{again}");
    }

    #[test]
    fn a_store_is_locked_under_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        std::fs::write(one.join("hub.db"), "").unwrap();
        std::os::unix::fs::symlink(one.join("hub.db"), two.join("link.db")).unwrap();
        let _held = DataLock::take(&Location::Sqlite(one.join("hub.db"))).unwrap();
        let again = DataLock::take(&Location::Sqlite(two.join("link.db")));
        assert!(matches!(again, Err(Failure::Unreachable(_))));
    }
}
