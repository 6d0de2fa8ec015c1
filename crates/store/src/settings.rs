//! The settings of a store: its database, limits and keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::Secret;
use domain::model::audit_event::AuditKey;

use crate::account_list::AccountListOpener;
use crate::row_mac::RowAuthenticator;

/// The database of a store: an SQLite file or a PostgreSQL database.
#[derive(Clone, Debug)]
pub enum Location {
    /// The path of an SQLite file.
    Sqlite(PathBuf),
    Postgres(PostgresSettings),
}

/// The address of a PostgreSQL database, and how to connect to it.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// The URL, with the parameters of libpq. It is secret, because it may contain a password.
    pub url: Secret<String>,
    /// The file that contains the password. It is read for each new connection, so that the password can be changed
    /// without a restart.
    pub password_file: Option<PathBuf>,
    /// Allows a connection without TLS to a server on another machine.
    pub allow_plaintext: bool,
    pub synchronous_commit: SynchronousCommit,
}

/// The point at which PostgreSQL confirms a commit, if it has synchronous standbys. Every value makes the commit durable
/// on the primary first. The values `off` and `local` do not exist here, because they can lose confirmed commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum SynchronousCommit {
    /// A standby has written the commit to its operating system, so it survives a crash of the standby's process.
    RemoteWrite,
    /// A standby has the commit on disk, so it survives a crash of the standby's machine.
    #[default]
    On,
    /// A standby shows the commit to queries that it serves.
    RemoteApply,
}

impl PostgresSettings {
    /// Creates the settings for a URL, with the defaults of the configuration for all others.
    pub fn new(url: impl Into<Secret<String>>) -> Self {
        Self {
            url: url.into(),
            password_file: None,
            allow_plaintext: false,
            synchronous_commit: SynchronousCommit::default(),
        }
    }
}

impl Location {
    /// Parses a URL of the form `sqlite:PATH`, `postgres://…` or `postgresql://…`; `None` for any other text.
    pub fn parse(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty()).then(|| Self::Sqlite(PathBuf::from(path)));
        }
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        is_postgres.then(|| Self::Postgres(PostgresSettings::new(url)))
    }
}

/// The settings with which a store is opened.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub location: Location,
    /// The number of connections to the database. SQLite uses at most eight, for lookups. PostgreSQL uses a third each
    /// for lookups, ends and other commands, at least two.
    pub connections: usize,
    /// The number of commands that may wait for the SQLite writer or for a connection to PostgreSQL, counted for each
    /// kind of command. Further ones fail with `Busy`.
    pub queue_capacity: usize,
    /// The maximum size of the rows that are kept in memory for the access check, in bytes. With 0 every check reads the
    /// database.
    pub access_map_bytes: u64,
    /// The period after its newest renewal in which a node may use what it reads from PostgreSQL.
    pub node_lease: Duration,
    pub uptime: UptimeClock,
    pub keys: StoreKeys,
}

/// A function that returns the time since the machine was started, including the time for which it was suspended.
#[derive(Clone)]
pub struct UptimeClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl UptimeClock {
    pub fn new(read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Reads the clock.
    pub fn read(&self) -> Duration {
        (self.0)()
    }
}

impl std::fmt::Debug for UptimeClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UptimeClock")
    }
}

#[cfg(test)]
impl UptimeClock {
    /// Returns a clock that begins at zero.
    pub(crate) fn for_tests() -> Self {
        let start = tokio::time::Instant::now();
        Self::new(move || start.elapsed())
    }
}

/// The keys with which the store authenticates what it writes, and opens the lists of accounts.
#[derive(Clone, Debug)]
pub struct StoreKeys {
    /// The key of the audit chains.
    pub audit: AuditKey,
    /// The key of the MACs of rows.
    pub rows: RowAuthenticator,
    pub accounts: AccountListOpener,
}

#[cfg(test)]
impl StoreKeys {
    pub(crate) fn for_tests() -> Self {
        Self {
            audit: AuditKey::new(1, &[1; 32]),
            rows: RowAuthenticator::new(&[1; 32]),
            accounts: AccountListOpener::without_keys(),
        }
    }
}

/// The minimum number of sessions of a pool. With a single session, one slow operation would delay all others.
pub(crate) const MIN_SESSIONS: usize = 2;

impl StoreSettings {
    /// Returns the number of PostgreSQL sessions each for lookups, ends and other commands.
    pub(crate) fn sessions_per_pool(&self) -> usize {
        (self.connections / 3).max(MIN_SESSIONS)
    }
}
