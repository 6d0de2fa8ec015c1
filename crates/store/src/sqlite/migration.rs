//! Applies pending migrations to the SQLite file, which is created if necessary.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::connection::{ensure_supported_version, open};
use crate::error::{Result, StoreError};
use crate::migrate::{
    CREATE_MIGRATIONS_TABLE, DatabaseContent, Migration, SANDBOX_MARK, SQLITE_MIGRATIONS, StorePurpose,
    list_pending_migrations,
};

/// Checks that a file may be used for a purpose, and returns whether it has no schema yet. Changes nothing; a file that does not
/// exist may be used for any.
pub(crate) fn check_purpose(path: &Path, purpose: StorePurpose) -> Result<bool> {
    if !path.exists() {
        return Ok(true);
    }
    let content = load_content(&open_unchanged(path)?)?;
    content.ensure_purpose(purpose)?;
    Ok(content.is_new())
}

/// Opens a file for reading. A file without a log is complete, and is opened as immutable, because SQLite would otherwise
/// create a log and shared memory next to it.
fn open_unchanged(path: &Path) -> Result<Connection> {
    let unavailable = |e| StoreError::Unavailable(format!("{}: {e}", path.display()));
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unavailable);
    }
    // These characters separate the parts of the URI.
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags).map_err(unavailable)
}

/// Applies pending migrations, and creates the file and its folder if they do not exist.
pub(crate) fn migrate(path: &Path, purpose: StorePurpose) -> Result<Vec<Migration>> {
    ensure_supported_version(rusqlite::version_number())?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.map_err(|e| StoreError::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    create_file(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    // The exclusive transaction makes two processes that migrate the same file run one after the other.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let content = load_content(&tx)?;
    content.ensure_purpose(purpose)?;
    tx.execute_batch(CREATE_MIGRATIONS_TABLE)?;
    let pending = list_pending_migrations(SQLITE_MIGRATIONS, &content.applied)?;
    for migration in &pending {
        tx.execute_batch(migration.sql)?;
        tx.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES (?1, ?2, ?3)",
            (migration.version, migration.name, migration.digest()),
        )?;
    }
    if content.is_new() && purpose == StorePurpose::Sandbox {
        tx.execute("INSERT INTO store_metadata (name, value) VALUES (?1, 'yes')", [SANDBOX_MARK])?;
    }
    tx.commit()?;
    Ok(pending)
}

fn load_content(connection: &Connection) -> Result<DatabaseContent> {
    let applied = load_applied_migrations(connection)?;
    if applied.is_empty() {
        let count_tables = "SELECT count(*) FROM sqlite_schema WHERE name <> 'schema_migrations'";
        let tables: i64 = connection.query_row(count_tables, (), |row| row.get(0))?;
        return Ok(DatabaseContent { has_foreign_tables: tables > 0, ..DatabaseContent::default() });
    }
    let find_mark = "SELECT EXISTS (SELECT 1 FROM store_metadata WHERE name = ?1)";
    let has_sandbox_mark = connection.query_row(find_mark, [SANDBOX_MARK], |row| row.get(0))?;
    Ok(DatabaseContent { applied, has_sandbox_mark, has_foreign_tables: false })
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
