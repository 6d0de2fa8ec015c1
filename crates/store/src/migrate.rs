//! Migrations: append-only, equal in number and name for both databases, checked by their digest.

use crate::error::{Result, StoreError};

/// One step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from one on.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    pub(crate) sql: &'static str,
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

/// The schema that this code is written for. It also runs on one that is a step ahead, so that nodes can be
/// replaced one by one after a migration.
pub const SCHEMA_VERSION: i64 = 1;

pub(crate) const CREATE_MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL)";

impl Migration {
    /// SHA-256 of the text, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        use std::fmt::Write as _;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.sql.as_bytes());
        digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Those that are still to be applied, if what was applied is what this code knows.
pub(crate) fn list_pending_migrations(
    all: &'static [Migration],
    applied: &[(i64, String)],
) -> Result<Vec<Migration>> {
    for (version, digest) in applied {
        let known = all.iter().find(|m| m.version == *version);
        match known {
            None if *version == SCHEMA_VERSION + 1 => {}
            None => {
                return Err(StoreError::Incompatible(format!(
                    "the database has schema {version}, this program knows schema {SCHEMA_VERSION}: use a newer program"
                )));
            }
            Some(known) if known.digest() != *digest => {
                return Err(StoreError::Incompatible(format!(
                    "migration {version} of the database is not the one that this program knows"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(all.iter().filter(|m| applied.iter().all(|(version, _)| *version != m.version)).cloned().collect())
}

/// Refuses a schema that this code cannot run on.
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
        assert_eq!(list_pending_migrations(SQLITE_MIGRATIONS, &[]).unwrap(), SQLITE_MIGRATIONS);
        let first = build_first_applied(&TWO_MIGRATIONS[0].digest());
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
        assert!(ensure_up_to_date(SQLITE_MIGRATIONS, &newer).is_ok(), "one newer is fine");
        newer.push((SCHEMA_VERSION + 2, "after".into()));
        assert!(ensure_up_to_date(SQLITE_MIGRATIONS, &newer).is_err());
        assert!(ensure_up_to_date(SQLITE_MIGRATIONS, &[]).is_err());
    }

    #[test]
    fn migrations_have_same_versions_for_both_databases() {
        let steps = |all: &[Migration]| all.iter().map(|m| (m.version, m.name)).collect::<Vec<_>>();
        assert_eq!(steps(SQLITE_MIGRATIONS), steps(POSTGRES_MIGRATIONS));
        assert_eq!(SQLITE_MIGRATIONS.last().map(|m| m.version), Some(SCHEMA_VERSION));
    }
}
