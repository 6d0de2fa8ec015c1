//! The SQLite backend: one writer thread with group commit, and a fixed set of readers.

mod connection;
mod migration;
mod queue;
mod reader;
mod transaction;
mod write_ahead_log;
mod write_check;
mod writer;

use std::path::Path;

use domain::model::audit_event::AuditKey;
use rusqlite::OpenFlags;

use crate::error::Result;
use crate::migrate;
use crate::operation::{Command, Query};
use crate::settings::StoreSettings;
use crate::sql::Sql;
use crate::tx::Tx;
use crate::value::Value;

pub(crate) use migration::migrate;
pub(crate) use transaction::SqliteTx;

pub(crate) struct Sqlite {
    writer: writer::Writer,
    readers: reader::Readers,
    write_check: write_check::WriteCheck,
    audit_key: AuditKey,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, settings: &StoreSettings) -> Result<Self> {
        connection::ensure_supported_version(rusqlite::version_number())?;
        let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // The writer needs a large cache, because the commands of a batch change pages all over the file. Pages that do
        // not fit into the cache are written to the log before the commit, some of them several times.
        connection.execute_batch("PRAGMA cache_size = -32768")?;
        let applied = migration::load_applied_migrations(&connection)?;
        migrate::ensure_up_to_date(migrate::SQLITE_MIGRATIONS, &applied)?;
        let writer = writer::Writer::start(connection, settings)?;
        let readers = reader::Readers::open(path, settings.connections.clamp(1, 8))?;
        let write_check = write_check::WriteCheck::default();
        Ok(Self { writer, readers, write_check, audit_key: settings.audit_key.clone() })
    }

    pub(crate) async fn run<C: Command>(&self, command: C) -> Result<C::Reply> {
        self.writer.run(command).await
    }

    pub(crate) async fn is_writable(&self) -> bool {
        self.write_check.run(&self.writer).await
    }

    pub(crate) fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        self.readers.with_connection(|connection| {
            let mut tx = Tx::for_query(SqliteTx::new(connection), &self.audit_key);
            transaction::poll_ready(query.run(&mut tx))
        })
    }

    pub(crate) fn explain(&self, sql: &'static Sql) -> Result<String> {
        self.readers.with_connection(|connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.sqlite))?;
            let nulls = vec![Value::Null; sql.params];
            let lines = statement
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>("detail"))?;
            Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
        })
    }
}
