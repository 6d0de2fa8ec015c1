//! Opens connections to the SQLite file, with the settings that durability and the deletion of secrets depend on.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Result, StoreError};

/// The oldest supported SQLite version. Earlier ones can lose committed transactions when a write and a checkpoint run
/// concurrently.
const MIN_SQLITE_VERSION: i32 = 3_051_003;

/// The maximum number of prepared statements that a connection keeps. It exceeds the number of statements in this
/// crate, so that each of them is prepared once.
const STATEMENT_CACHE_CAPACITY: usize = 512;

pub(super) fn ensure_supported_version(version: i32) -> Result<()> {
    if version < MIN_SQLITE_VERSION {
        return Err(StoreError::Incompatible(format!(
            "SQLite {version} can lose commits; version {MIN_SQLITE_VERSION} or newer is required"
        )));
    }
    Ok(())
}

/// Opens the file and sets everything that durability and the deletion of secrets depend on.
pub(super) fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    // `synchronous = FULL` syncs the log at each commit; `NORMAL` would lose acknowledged commits at a power failure.
    // `secure_delete` overwrites deleted tokens in the file. The writer itself decides when to checkpoint, because a
    // checkpoint during a burst of commits would delay them. The cache of pages holds the inner pages of the B-trees; the
    // operating system caches the others. Most of the log consists of pages in which one row has changed, so pages of half
    // the usual size halve it. The size applies to a new file only and must precede the journal mode.
    connection.execute_batch(
        "PRAGMA page_size = 2048; PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -2048;",
    )?;
    // This enables the query planner stability guarantee: a plan depends only on the statement. Without it, the plan
    // also depends on the bound values, and SQLite prepares a statement again at each use if a bound value
    // decides whether a partial index applies; that takes ten times as long as the read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_version_that_can_lose_commits_is_rejected() {
        assert!(ensure_supported_version(3_051_002).is_err());
        assert!(ensure_supported_version(3_051_003).is_ok());
        assert!(
            ensure_supported_version(rusqlite::version_number()).is_ok(),
            "the bundled version is supported"
        );
    }

    /// The options are those of `.cargo/config.toml`.
    #[test]
    fn bundled_sqlite_has_no_unused_parts_and_no_statistics() {
        let connection = Connection::open_in_memory().unwrap();
        let is_set = |option: &str| -> bool {
            let query = "SELECT sqlite_compileoption_used(?1) AS is_set";
            connection.query_row(query, [option], |row| row.get("is_set")).unwrap()
        };

        assert!(is_set("DEFAULT_MEMSTATUS=0"), "each allocation takes a lock");
        for part in ["ENABLE_FTS3", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_LOAD_EXTENSION"] {
            assert!(!is_set(part), "{part}");
        }
    }
}
