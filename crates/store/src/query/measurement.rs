//! Queries for the benchmark: the size of the database, and what its server has written.

use crate::error::Result;
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Reads the size of the database in bytes, without its log.
#[derive(Clone, Debug)]
pub struct GetDatabaseSize;

impl Query for GetDatabaseSize {
    type Reply = i64;
    const KIND: QueryKind = QueryKind::Monitoring;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let size = sql!(
            sqlite: "-- measure the size of the database
            SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()",
            postgres: "-- measure the size of the database
            SELECT pg_database_size(current_database()) AS bytes"
        );
        Ok(tx.fetch_value(size, &[], "bytes").await?.unwrap_or(0))
    }
}

/// The counters of what a PostgreSQL server has written since its statistics were reset. They include all databases of
/// the server, except for the rows.
///
/// A session adds its own numbers at most once a second, and after ten seconds without a statement at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteCounters {
    /// Bytes of the write-ahead log, with its full-page images.
    pub log_bytes: i64,
    /// Full-page images in the log: whole pages that are written at the first change after a checkpoint.
    pub page_images: i64,
    /// Updates of rows of this database.
    pub row_updates: i64,
    /// Updates of rows of this database that changed no index (heap-only tuples).
    pub hot_updates: i64,
    /// The current end of the log, as the number of bytes before it.
    pub log_position: i64,
}

impl FromRow for WriteCounters {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            log_bytes: row.get("log_bytes")?,
            page_images: row.get("page_images")?,
            row_updates: row.get("row_updates")?,
            hot_updates: row.get("hot_updates")?,
            log_position: row.get("log_position")?,
        })
    }
}

/// Reads the counters of a PostgreSQL server; `None` on SQLite, which has none.
#[derive(Clone, Debug)]
pub struct GetWriteCounters;

impl Query for GetWriteCounters {
    type Reply = Option<WriteCounters>;
    const KIND: QueryKind = QueryKind::Monitoring;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<WriteCounters>> {
        let counters = sql!(
            sqlite: "-- read the write counters of the server
            SELECT 0 AS log_bytes, 0 AS page_images, 0 AS row_updates, 0 AS hot_updates, 0 AS log_position WHERE false",
            postgres: "-- read the write counters of the server
            SELECT CAST(w.wal_bytes AS BIGINT) AS log_bytes, CAST(w.wal_fpi AS BIGINT) AS page_images,
                CAST(t.updates AS BIGINT) AS row_updates, CAST(t.hot_updates AS BIGINT) AS hot_updates,
                CAST(pg_current_wal_flush_lsn() - CAST('0/0' AS pg_lsn) AS BIGINT) AS log_position
            FROM pg_stat_wal w,
                (SELECT COALESCE(sum(n_tup_upd), 0) AS updates, COALESCE(sum(n_tup_hot_upd), 0) AS hot_updates
                FROM pg_stat_user_tables) t"
        );
        tx.fetch_optional(counters, &[]).await
    }
}

/// Adds up the full-page images in a part of PostgreSQL's log. Fails without the extension `pg_walinspect`;
/// SQLite has no images.
#[derive(Clone, Debug)]
pub struct GetPageImageBytes {
    /// The begin of the part, as [`WriteCounters::log_position`].
    pub from: i64,
    /// The end of the part, which must be on disk.
    pub to: i64,
}

impl Query for GetPageImageBytes {
    type Reply = i64;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let images = sql!(
            sqlite: "-- add up the page images in the log
            SELECT 0 AS bytes WHERE ?1 > ?2 AND false",
            postgres: "-- add up the page images in the log
            SELECT CAST(COALESCE(sum(fpi_size), 0) AS BIGINT) AS bytes
            FROM pg_get_wal_stats(CAST('0/0' AS pg_lsn) + CAST(CAST(?1 AS BIGINT) AS NUMERIC),
                CAST('0/0' AS pg_lsn) + CAST(CAST(?2 AS BIGINT) AS NUMERIC), false)"
        );
        Ok(tx.fetch_value(images, values![self.from, self.to], "bytes").await?.unwrap_or(0))
    }
}
