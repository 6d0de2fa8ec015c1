//! The settings of a store: its database, limits and audit key.

use std::path::PathBuf;

use domain::Secret;
use domain::model::audit_event::AuditKey;

/// The location of the database.
#[derive(Clone, Debug)]
pub enum Location {
    /// The path of an SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL; secret, because it may contain a password.
    Postgres(Secret<String>),
}

impl Location {
    /// Parses `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    pub fn parse(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty()).then(|| Self::Sqlite(PathBuf::from(path)));
        }
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        is_postgres.then(|| Self::Postgres(url.into()))
    }
}

/// The settings that a store is opened with.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub location: Location,
    /// The number of connections to the database: on SQLite for queries only, on PostgreSQL for queries and commands.
    pub connections: usize,
    /// The number of commands that may wait in each queue of the SQLite writer; further ones fail with `Busy`.
    pub queue_capacity: usize,
    pub audit_key: AuditKey,
}
