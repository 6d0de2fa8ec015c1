//! SQLite: one writer thread with group commit, and a fixed set of readers.

mod queue;
mod reader;
mod writer;

use std::future::Future;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use domain::Moment;
use domain::model::audit_event::AuditKey;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Result, StoreError};
use crate::migrate::{self, Migration};
use crate::sql::Sql;
use crate::value::{Row, Value};
use crate::{Command, Query, StoreSettings};

/// SQLite before this version can lose committed transactions when a write races a checkpoint.
const MIN_SQLITE_VERSION: i32 = 3_051_003;

pub(crate) struct Sqlite {
    writer: writer::Writer,
    readers: reader::Readers,
    audit_key: AuditKey,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, settings: &StoreSettings) -> Result<Self> {
        validate_version(rusqlite::version_number())?;
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // A batch changes pages all over the file: with too small a cache they are written more than once.
        connection.execute_batch("PRAGMA cache_size = -32768")?;
        migrate::ensure_up_to_date(migrate::SQLITE_MIGRATIONS, &load_applied_migrations(&connection)?)?;
        let writer = writer::Writer::start(connection, settings)?;
        let readers = reader::Readers::open(path, settings.connections.clamp(1, 8))?;
        Ok(Self { writer, readers, audit_key: settings.audit_key.clone() })
    }

    pub(crate) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        self.writer.run(command).await
    }

    pub(crate) fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        self.readers.with_connection(|connection| {
            let moment = Moment {
                now: domain::Timestamp::EPOCH,
                seed: domain::id::Seed::new([0; 16]),
                correlation_id: "".into(),
            };
            let mut tx = crate::Tx::for_sqlite(SqliteTx(connection), &self.audit_key, &moment);
            block_on_ready(query.run(&mut tx))
        })
    }

    pub(crate) fn explain(&self, sql: &'static Sql) -> Result<String> {
        self.readers.with_connection(|connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.sqlite))?;
            let nulls = vec![Value::Null; sql.params];
            let lines =
                statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3))?;
            Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
        })
    }
}

fn validate_version(version: i32) -> Result<()> {
    if version < MIN_SQLITE_VERSION {
        return Err(StoreError::Incompatible(format!(
            "SQLite {version} can lose commits; {MIN_SQLITE_VERSION} or newer is needed"
        )));
    }
    Ok(())
}

/// Makes the file for its owner alone; SQLite gives its log and its index the same mode.
fn create_file(path: &Path) -> Result<()> {
    let created = std::fs::File::options().create(true).append(true).mode(0o600).open(path);
    created.map(drop).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))
}

/// Brings a file's schema up to date; makes the file if there is none.
pub(crate) fn migrate(path: &Path) -> Result<Vec<Migration>> {
    validate_version(rusqlite::version_number())?;
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.map_err(|e| StoreError::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    create_file(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    tx.execute_batch(migrate::CREATE_MIGRATIONS_TABLE)?;
    let pending =
        migrate::list_pending_migrations(migrate::SQLITE_MIGRATIONS, &load_applied_migrations(&tx)?)?;
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

fn load_applied_migrations(connection: &Connection) -> Result<Vec<(i64, String)>> {
    if !connection.table_exists(None, "schema_migrations")? {
        return Ok(Vec::new());
    }
    let mut statement =
        connection.prepare("SELECT version, digest FROM schema_migrations ORDER BY version")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A connection with the settings that durability and the removal of secrets rest on.
fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    connection.execute_batch(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192;",
    )?;
    // A plan depends on the statement alone: else a statement that compares with a partial index's words is
    // parsed and planned anew at each use, which costs ten times the read itself.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(512);
    Ok(connection)
}

/// The value of a future that awaits nothing but SQLite, and so is ready when first asked.
fn block_on_ready<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => {
            Err(StoreError::Internal("a body awaited something other than its transaction".into()))
        }
    }
}

/// SQLite's side of a transaction.
pub(crate) struct SqliteTx<'a>(&'a mut Connection);

impl SqliteTx<'_> {
    pub(crate) fn query(&mut self, sql: &'static Sql, params: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(sql.sqlite)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(Row::new((0..columns).map(|n| row.get(n)).collect::<Result<_, _>>()?));
        }
        Ok(out)
    }

    pub(crate) fn execute(&mut self, sql: &'static Sql, params: &[Value]) -> Result<u64> {
        let count = self.0.prepare_cached(sql.sqlite)?.execute(rusqlite::params_from_iter(params))?;
        Ok(count as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_version_that_can_lose_commits_is_rejected() {
        assert!(validate_version(3_051_002).is_err());
        assert!(validate_version(3_051_003).is_ok());
        assert!(validate_version(rusqlite::version_number()).is_ok(), "the bundled one is new enough");
    }

    #[test]
    fn command_body_awaiting_foreign_future_fails() {
        assert!(matches!(block_on_ready(std::future::pending::<Result<()>>()), Err(StoreError::Internal(_))));
    }
}
