//! The SQLite backend: one writer thread with group commit, and fixed sets of connections for each kind of query.

mod change_tracker;
mod checkpointer;
mod commit_watch;
mod connection;
mod map_updates;
mod migration;
mod query_pool;
mod queue;
mod reader;
mod transaction;
mod write_ahead_log;
mod write_check;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::access_map::{AccessMap, AccessMapStats, BarrierNumber, Fill};
use crate::error::{Result, StoreError};
use crate::migrate;
use crate::operation::{Query, QueryKind};
use crate::settings::{StoreKeys, StoreSettings};
use crate::sql::Sql;
use crate::tx::Tx;
use crate::value::Value;
use crate::waiting_command::BoxedCommand;

use query_pool::{QueryPool, QueryPoolLimits};

#[cfg(test)]
pub(crate) use change_tracker::is_tracked_table;
pub(crate) use migration::{check_purpose, migrate};
pub(crate) use transaction::SqliteTx;

/// The limits of searches and lists.
const SEARCH_LIMITS: QueryPoolLimits =
    QueryPoolLimits { connections: 2, waiting: 32, time: Duration::from_secs(15) };
/// The limits of what workers read.
const BACKGROUND_LIMITS: QueryPoolLimits =
    QueryPoolLimits { connections: 1, waiting: 8, time: Duration::from_secs(10) };
/// The limits of queries for probes and metrics.
const MONITORING_LIMITS: QueryPoolLimits =
    QueryPoolLimits { connections: 2, waiting: 8, time: Duration::from_secs(2) };

pub(crate) struct Sqlite {
    writer: writer::Writer,
    readers: reader::Readers,
    searches: QueryPool,
    background: QueryPool,
    monitoring: QueryPool,
    write_check: write_check::WriteCheck,
    keys: StoreKeys,
    map: Arc<AccessMap>,
    /// The last fields close their files, which must happen after all connections are closed: when a process closes a
    /// file, it loses the locks that SQLite has on it.
    watch: Arc<commit_watch::CommitWatch>,
    /// The database file, for syncs.
    _file: Arc<File>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, settings: &StoreSettings) -> Result<Self> {
        connection::ensure_supported_version(rusqlite::version_number())?;
        let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // The commands of a batch change pages all over the file. Only if these have more than 32 MiB are they written to the log
        // before the commit, some of them several times. The cache itself is smaller: SQLite searches all of it for removed pages at
        // each commit that has split a page, which took an eighth of the writer's time in a cache of 32 MiB.
        connection.execute_batch("PRAGMA cache_size = -8192; PRAGMA cache_spill = 16384")?;
        let applied = migration::load_applied_migrations(&connection)?;
        migrate::ensure_up_to_date(migrate::SQLITE_MIGRATIONS, &applied)?;
        let file =
            File::open(path).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
        let file = Arc::new(file);
        let checkpointer = checkpointer::Checkpointer::start(path, Arc::clone(&file))?;
        let map = Arc::new(AccessMap::for_writer(settings.access_map_bytes));
        let watch = Arc::new(commit_watch::CommitWatch::start(path, &connection)?);
        let updates = map_updates::MapUpdates::start(Arc::clone(&map), Arc::clone(&watch), &connection)?;
        let writer = writer::Writer::start(connection, checkpointer, updates, settings)?;
        let readers = reader::Readers::open(path, settings.connections.clamp(1, 8))?;
        Ok(Self {
            writer,
            readers,
            searches: QueryPool::open(path, &SEARCH_LIMITS)?,
            background: QueryPool::open(path, &BACKGROUND_LIMITS)?,
            monitoring: QueryPool::open(path, &MONITORING_LIMITS)?,
            write_check: write_check::WriteCheck::default(),
            keys: settings.keys.clone(),
            map,
            watch,
            _file: file,
        })
    }

    /// Queues a command, which runs even if its reply is not awaited.
    pub(crate) fn start(&self, command: BoxedCommand) -> Result<()> {
        self.writer.submit(command)
    }

    pub(crate) async fn is_writable(&self) -> bool {
        self.write_check.run(&self.writer).await
    }

    /// Runs a query. A lookup runs on the thread of its caller, because it takes only about ten microseconds.
    pub(crate) async fn query<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        let pool = match Q::KIND {
            QueryKind::Lookup if Q::USES_ACCESS_MAP => return self.answer(query),
            QueryKind::Lookup => {
                return self
                    .readers
                    .with_connection(|connection| run_query(query, connection, &self.keys, None));
            }
            QueryKind::Search => &self.searches,
            QueryKind::Background => &self.background,
            QueryKind::Monitoring => &self.monitoring,
        };
        let (query, keys) = (query.clone(), self.keys.clone());
        pool.run(move |connection| run_query(&query, connection, &keys, None)).await
    }

    /// Answers a query from memory, or else from the database, whose rows are then inserted into the map.
    fn answer<Q: Query>(&self, query: &Q) -> Result<Q::Reply> {
        let is_current = self.watch.is_current(&self.map);
        // SQLite announces each commit, so the question needs no barrier.
        let answer = || self.map.answer(BarrierNumber::LAST, |map| query.find_in_memory(map));
        let found = if is_current { answer() } else { None };
        if Q::IS_COUNTED_QUESTION {
            self.map.count_question(found.is_some());
        }
        if let Some(reply) = found {
            return Ok(reply);
        }
        let fill = self.map.start_fill();
        self.readers.with_connection(|connection| run_query(query, connection, &self.keys, Some(fill)))
    }

    pub(crate) fn access_map_stats(&self) -> AccessMapStats {
        self.map.stats()
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

fn run_query<Q: Query>(
    query: &Q,
    connection: &mut Connection,
    keys: &StoreKeys,
    fill: Option<Fill<'_>>,
) -> Result<Q::Reply> {
    let mut tx = Tx::for_query(SqliteTx::new(connection), keys).with_fill(fill);
    transaction::poll_ready(query.run(&mut tx))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::StorePurpose;
    use crate::query::GetMetadata;
    use crate::settings::Location;
    use crate::sql::sql;

    /// A search for tests that counts to some millions, and so takes long.
    #[derive(Clone)]
    struct CountToMillions;

    impl Query for CountToMillions {
        type Reply = i64;
        const KIND: QueryKind = QueryKind::Search;

        async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
            let count = sql!(
                "-- count to millions
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
                SELECT count(*) AS rows FROM n"
            );
            Ok(tx.fetch_value(count, &[], "rows").await?.unwrap_or_default())
        }
    }

    /// On a runtime with one thread, a search that ran inline would be complete before any lookup.
    #[tokio::test(flavor = "current_thread")]
    async fn sqlite_lookups_complete_while_a_search_is_running() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        migrate(&path, StorePurpose::Hub).unwrap();
        let settings = StoreSettings {
            location: Location::Sqlite(path.clone()),
            connections: 1,
            queue_capacity: 1,
            access_map_bytes: 0,
            node_lease: Duration::ZERO,
            uptime: crate::settings::UptimeClock::for_tests(),
            keys: StoreKeys::for_tests(),
        };
        let store = Arc::new(Sqlite::open(&path, &settings).unwrap());
        let searching = Arc::clone(&store);
        let search = tokio::spawn(async move { searching.query(&CountToMillions).await });
        tokio::task::yield_now().await;

        let found = store.query(&GetMetadata { name: "keys" }).await.unwrap();

        assert!(!search.is_finished(), "the lookup waited for the search");
        assert_eq!(found, None);
        assert_eq!(search.await.unwrap().unwrap(), 3_000_000);
    }
}
