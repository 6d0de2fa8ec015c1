//! The only SQL of the hub: commands and queries of the domain, on SQLite and PostgreSQL.
//!
//! A [`Command`] is one transaction that never leaves the store; a [`AuthorizeQuery`] only reads. Both have one body
//! for both databases. The store has no clock: a command carries its [`domain::Moment`].

mod commit_effect;
mod error;
mod migrate;
mod postgres;
mod record;
mod sql;
mod sqlite;
mod tx;
mod value;

pub mod command;
pub mod query;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use domain::Moment;
use domain::model::audit_event::AuditKey;

pub use commit_effect::CommitEffect;
pub use error::{Result, StoreError};
pub use migrate::{Migration, SCHEMA_VERSION};
pub use tx::Tx;

/// Which queue of the SQLite writer a command waits in; PostgreSQL has no queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandPriority {
    /// Ends: looked at before every other command.
    High,
    /// Everything else.
    Normal,
}

/// One transaction.
///
/// A body loads rows, asks a rule of the domain, writes with the expected state in the `WHERE` and awaits
/// nothing but its [`Tx`]. `Err` rolls back; every `Ok` commits, refusals that must leave a trace included.
/// A command that writes children of a connection locks the connection's row first.
pub trait Command: Send + Sync + 'static {
    /// What the caller learns after the commit.
    type Reply: Send + 'static;
    /// Its queue.
    const PRIORITY: CommandPriority = CommandPriority::Normal;

    /// When it happens; its ids derive from this.
    fn moment(&self) -> &Moment;

    /// The body. It may run more than once.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// A read.
pub trait Query: Send + Sync {
    /// What is read.
    type Reply: Send;

    /// The body.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// Where the store is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL.
    Postgres(domain::Secret<String>),
}

impl Location {
    /// From `sqlite:ACCOUNTS_PATH` or `postgres://…`.
    pub fn parse(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty()).then(|| Self::Sqlite(PathBuf::from(path)));
        }
        let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        postgres.then(|| Self::Postgres(url.into()))
    }
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where it is.
    pub location: Location,
    /// Connections: readers on SQLite, all on PostgreSQL.
    pub connections: usize,
    /// Commands that may wait in each of SQLite's queues; one more is refused as busy.
    pub queue_capacity: usize,
    /// The key of the audit chains.
    pub audit_key: AuditKey,
}

/// The store: runs commands and answers queries.
#[derive(Clone)]
pub struct Store(Arc<Backend>);

enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the store and checks that it is durable and of the schema that this code knows.
    pub async fn open(settings: StoreSettings) -> Result<Self> {
        let backend = match settings.location.clone() {
            Location::Sqlite(path) => Backend::Sqlite(sqlite::Sqlite::open(&path, &settings)?),
            Location::Postgres(url) => Backend::Postgres(postgres::Postgres::open(&url, &settings).await?),
        };
        Ok(Self(Arc::new(backend)))
    }

    /// Brings the schema up to date; says which migrations were applied.
    pub async fn migrate(location: &Location) -> Result<Vec<Migration>> {
        match location {
            Location::Sqlite(path) => sqlite::migrate(path),
            Location::Postgres(url) => postgres::migrate(url).await,
        }
    }

    /// Runs a command and waits until it is durable.
    pub async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.run(command).await,
            Backend::Postgres(postgres) => postgres.run(command).await,
        }
    }

    /// Answers a query from the state as it is now.
    pub async fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.query(query),
            Backend::Postgres(postgres) => postgres.query(query).await,
        }
    }

    /// How far the database's clock is ahead of the given time, in milliseconds; zero where it is our own.
    pub async fn clock_offset_ms(&self, now: domain::Timestamp) -> Result<i64> {
        match &*self.0 {
            Backend::Sqlite(_) => Ok(0),
            Backend::Postgres(postgres) => postgres.clock_offset_ms(now).await,
        }
    }

    /// How the database plans a statement of this crate, for the tests that want an index used.
    #[doc(hidden)]
    pub async fn explain(&self, statement: &Statement) -> Result<String> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.explain(statement.0),
            Backend::Postgres(postgres) => postgres.explain(statement.0).await,
        }
    }
}

/// A statement of this crate, opaque outside.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Statement(pub(crate) &'static sql::Sql);
