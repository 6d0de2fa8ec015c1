//! Migrates the schema of a database to the version of this program.
//!
//! Both databases have the same migrations, by version and name. A released migration never changes: its digest is stored
//! when it is applied and compared at every start.

use crate::error::{Result, StoreError};
use crate::hex::digest_hex;

/// A versioned change of the schema, as an SQL script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The number of the migration; the first one is 1.
    pub version: i64,
    pub name: &'static str,
    pub(crate) sql: &'static str,
}

/// The purpose of a store. It is decided when the store is created, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePurpose {
    /// The store of a hub with real customers.
    Hub,
    /// The store of a sandbox, whose customers have public passwords and whose apps may use HTTP.
    Sandbox,
}

/// The metadata entry that marks the store of a sandbox. It is written together with the schema.
pub(crate) const SANDBOX_MARK: &str = "sandbox";

/// The content of a database before it is migrated.
#[derive(Clone, Debug, Default)]
pub(crate) struct DatabaseContent {
    /// The version and digest of each applied migration.
    pub(crate) applied: Vec<(i64, String)>,
    /// True if a sandbox created the schema.
    pub(crate) has_sandbox_mark: bool,
    /// True if the database has no schema of the hub yet, but contains tables or views.
    pub(crate) has_foreign_tables: bool,
}

impl DatabaseContent {
    /// Returns whether the database has no schema yet, so that its purpose can still be decided.
    pub(crate) const fn is_new(&self) -> bool {
        self.applied.is_empty()
    }

    /// Checks that the database may be used for this purpose. A sandbox uses only a store that a sandbox created, because
    /// it would add clients and operators to it.
    pub(crate) fn ensure_purpose(&self, purpose: StorePurpose) -> Result<()> {
        let problem = match purpose {
            StorePurpose::Hub if self.has_sandbox_mark => {
                "the store belongs to a sandbox, whose customers have public passwords; use another store"
            }
            StorePurpose::Sandbox if !self.is_new() && !self.has_sandbox_mark => {
                "the store was not created by `bowline sandbox`; use another store"
            }
            StorePurpose::Sandbox if self.has_foreign_tables => {
                "the database contains tables of another program; use an empty database"
            }
            StorePurpose::Hub | StorePurpose::Sandbox => return Ok(()),
        };
        Err(StoreError::Incompatible(problem.into()))
    }
}

macro_rules! migrations {
    ($dialect:literal) => {
        &[Migration {
            version: 1,
            name: "baseline",
            sql: include_str!(concat!("../../../migrations/", $dialect, "/0001_baseline.sql")),
        }]
    };
}

pub(crate) const SQLITE_MIGRATIONS: &[Migration] = migrations!("sqlite");
pub(crate) const POSTGRES_MIGRATIONS: &[Migration] = migrations!("postgres");

/// The version of the schema that this program needs. It also runs on the next version, so that the nodes of a cluster can
/// be replaced one by one after a migration.
pub const SCHEMA_VERSION: i64 = 1;

pub(crate) const CREATE_MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL)";

impl Migration {
    /// Returns the SHA-256 digest of the SQL text, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        digest_hex(self.sql.as_bytes())
    }
}

/// Returns the migrations that were not applied yet. Fails if an applied migration differs from that of this program,
/// or is newer than the next version.
pub(crate) fn list_pending_migrations(
    all: &'static [Migration],
    applied: &[(i64, String)],
) -> Result<Vec<Migration>> {
    for (version, digest) in applied {
        match all.iter().find(|migration| migration.version == *version) {
            None if *version == SCHEMA_VERSION + 1 => {}
            None => {
                return Err(StoreError::Incompatible(format!(
                    "the database has schema version {version}, and this program supports version {SCHEMA_VERSION}: \
                    use a newer version of the program"
                )));
            }
            Some(known) if known.digest() != *digest => {
                return Err(StoreError::Incompatible(format!(
                    "migration {version} of the database differs from migration {version} of this program"
                )));
            }
            Some(_) => {}
        }
    }
    let is_pending =
        |migration: &&Migration| applied.iter().all(|(version, _)| *version != migration.version);
    Ok(all.iter().filter(is_pending).cloned().collect())
}

/// Checks that every migration was applied.
pub(crate) fn ensure_up_to_date(all: &'static [Migration], applied: &[(i64, String)]) -> Result<()> {
    match list_pending_migrations(all, applied)?.first() {
        None => Ok(()),
        Some(missing) => Err(StoreError::Incompatible(format!(
            "the database lacks migration {} ({}): run `bowline migrate`",
            missing.version, missing.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TWO_MIGRATIONS: &[Migration] = &[
        Migration { version: 1, name: "first", sql: "CREATE TABLE a (id TEXT)" },
        Migration { version: 2, name: "second", sql: "CREATE TABLE b (id TEXT)" },
    ];

    fn build_first_applied(digest: &str) -> Vec<(i64, String)> {
        vec![(1, digest.to_owned())]
    }

    fn build_all_applied() -> Vec<(i64, String)> {
        SQLITE_MIGRATIONS.iter().map(|m| (m.version, m.digest())).collect()
    }

    #[test]
    fn pending_migrations_exclude_applied_ones() {
        let first = build_first_applied(&TWO_MIGRATIONS[0].digest());

        assert_eq!(list_pending_migrations(SQLITE_MIGRATIONS, &[]).unwrap(), SQLITE_MIGRATIONS);
        assert_eq!(list_pending_migrations(TWO_MIGRATIONS, &first).unwrap(), TWO_MIGRATIONS[1..]);
        assert_eq!(list_pending_migrations(SQLITE_MIGRATIONS, &build_all_applied()).unwrap(), []);
    }

    #[test]
    fn store_that_lacks_a_migration_is_not_up_to_date() {
        let first = build_first_applied(&TWO_MIGRATIONS[0].digest());

        let error = ensure_up_to_date(TWO_MIGRATIONS, &first).unwrap_err().to_string();

        assert!(error.contains("migration 2 (second)"), "{error}");
    }

    #[test]
    fn changed_or_too_new_schema_is_rejected() {
        assert!(matches!(
            list_pending_migrations(SQLITE_MIGRATIONS, &build_first_applied("other")),
            Err(StoreError::Incompatible(_))
        ));
        let mut newer = build_all_applied();
        newer.push((SCHEMA_VERSION + 1, "next".into()));
        assert!(ensure_up_to_date(SQLITE_MIGRATIONS, &newer).is_ok(), "the next version is supported");
        newer.push((SCHEMA_VERSION + 2, "after".into()));
        assert!(ensure_up_to_date(SQLITE_MIGRATIONS, &newer).is_err());
        assert!(ensure_up_to_date(SQLITE_MIGRATIONS, &[]).is_err());
    }

    #[test]
    fn store_is_used_only_for_the_purpose_it_was_created_for() {
        let empty = DatabaseContent::default();
        let hub = DatabaseContent { applied: build_all_applied(), ..DatabaseContent::default() };
        let sandbox = DatabaseContent { has_sandbox_mark: true, ..hub.clone() };
        let foreign = DatabaseContent { has_foreign_tables: true, ..DatabaseContent::default() };

        let is_allowed = [StorePurpose::Hub, StorePurpose::Sandbox].map(|purpose| {
            [&empty, &hub, &sandbox, &foreign].map(|content| content.ensure_purpose(purpose).is_ok())
        });

        assert_eq!(is_allowed, [[true, true, false, true], [true, false, true, false]]);
    }

    #[test]
    fn migrations_have_same_versions_for_both_databases() {
        let versions = |all: &[Migration]| all.iter().map(|m| (m.version, m.name)).collect::<Vec<_>>();

        assert_eq!(versions(SQLITE_MIGRATIONS), versions(POSTGRES_MIGRATIONS));
        assert_eq!(SQLITE_MIGRATIONS.last().map(|m| m.version), Some(SCHEMA_VERSION));
    }
}
