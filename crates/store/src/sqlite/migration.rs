//! Applies pending migrations to the SQLite file, which is created if necessary.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::connection::{ensure_supported_version, open};
use crate::error::{Result, StoreError};
use crate::migrate::{CREATE_MIGRATIONS_TABLE, Migration, SQLITE_MIGRATIONS, list_pending_migrations};

/// Applies pending migrations, and creates the file and its folder if they do not exist.
pub(crate) fn migrate(path: &Path) -> Result<Vec<Migration>> {
    ensure_supported_version(rusqlite::version_number())?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.map_err(|e| StoreError::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    create_file(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    // The exclusive transaction makes two processes that migrate the same file run one after the other.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    tx.execute_batch(CREATE_MIGRATIONS_TABLE)?;
    let pending = list_pending_migrations(SQLITE_MIGRATIONS, &load_applied_migrations(&tx)?)?;
    for migration in &pending {
        tx.execute_batch(migration.sql)?;
        tx.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES (?1, ?2, ?3)",
            (migration.version, migration.name, migration.digest()),
        )?;
    }
    tx.commit()?;
    Ok(pending)
}

/// Creates the file with mode 0600. SQLite uses the same mode for its log and shared memory.
fn create_file(path: &Path) -> Result<()> {
    let created = File::options().create(true).append(true).mode(0o600).open(path);
    created.map(drop).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))
}

/// Returns the version and digest of each applied migration, or an empty list if the file has no schema yet.
pub(super) fn load_applied_migrations(connection: &Connection) -> Result<Vec<(i64, String)>> {
    if !connection.table_exists(None, "schema_migrations")? {
        return Ok(Vec::new());
    }
    let mut statement =
        connection.prepare("SELECT version, digest FROM schema_migrations ORDER BY version")?;
    let rows = statement.query_map([], |row| Ok((row.get("version")?, row.get("digest")?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
