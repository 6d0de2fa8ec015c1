//! SQLite connections for queries that may take long: searches, lists, and what metrics show.
//!
//! Such a query runs on a thread for blocking work and never on the thread of its caller, which also serves requests.
//! Both the number of connections and the number of waiting queries are limited. A query is interrupted at its time
//! limit, and when its caller no longer waits.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::connection;
use crate::error::{Result, StoreError};

/// The number of instructions of SQLite's virtual machine between two checks for an interruption; about 0.1 ms.
const INSTRUCTIONS_BETWEEN_CHECKS: i32 = 4_000;

pub(super) struct QueryPool {
    idle: Arc<Mutex<Vec<Connection>>>,
    /// A semaphore with one permit for each connection.
    connections: Arc<Semaphore>,
    /// A semaphore with one permit for each query that may run or wait. If none is left, a query fails with `Busy`.
    slots: Arc<Semaphore>,
    time_limit: Duration,
}

/// The limits of a pool: its connections, its waiting queries, and the time of a query.
pub(super) struct QueryPoolLimits {
    pub(super) connections: usize,
    /// The number of queries that may wait for a connection; further ones fail with `Busy`.
    pub(super) waiting: usize,
    /// The maximum time of a query, including the time that it waits for a connection.
    pub(super) time: Duration,
}

impl QueryPool {
    pub(super) fn open(path: &Path, limits: &QueryPoolLimits) -> Result<Self> {
        let open = |_| connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let idle = (0..limits.connections).map(open).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            slots: Arc::new(Semaphore::new(limits.connections + limits.waiting)),
            time_limit: limits.time,
        })
    }

    /// Calls `read` with a connection on another thread. Interrupts it when the future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let deadline = Instant::now() + self.time_limit;
        let (sender, receiver) = oneshot::channel();
        // An error of `send` means that the caller has gone.
        self.run_boxed(deadline, Box::new(|connection| drop(sender.send(read(connection))))).await?;
        match receiver.await {
            Ok(Err(StoreError::Unavailable(_))) if Instant::now() >= deadline => {
                Err(StoreError::Unavailable("the query exceeded its time limit".into()))
            }
            Ok(result) => result,
            Err(_) => Err(StoreError::Internal("a query has no result".into())),
        }
    }

    /// Runs a query whose result has any type, so that this code is compiled once.
    async fn run_boxed(&self, deadline: Instant, read: BoxedRead) -> Result<()> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| StoreError::Busy)?;
        let permit = tokio::time::timeout_at(deadline, Arc::clone(&self.connections).acquire_owned()).await;
        let permit = permit.map_err(|_| StoreError::Busy)?.map_err(StoreError::internal)?;
        let caller = CallerGuard::default();
        let is_abandoned = Arc::clone(&caller.0);
        let idle = Arc::clone(&self.idle);
        let task = tokio::task::spawn_blocking(move || {
            // The permits are moved to this thread, because the connection stays in use after the caller has gone.
            let mut leased = LeasedConnection::take(idle, [slot, permit])?;
            read(leased.start(deadline, is_abandoned)?);
            Ok(())
        });
        let result = task.await.unwrap_or_else(|_| Err(StoreError::Internal("a query panicked".into())));
        drop(caller);
        result
    }

    #[cfg(test)]
    fn idle_connections(&self) -> usize {
        self.idle.lock().unwrap().len()
    }
}

/// A query that sends its result to its caller.
type BoxedRead = Box<dyn FnOnce(&mut Connection) + Send>;

/// Sets its flag when the future of the caller is dropped.
#[derive(Default)]
struct CallerGuard(Arc<AtomicBool>);

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection in use. It returns to the pool even if the query panics: a query changes nothing, so its connection stays
/// usable.
struct LeasedConnection {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl LeasedConnection {
    fn take(idle: Arc<Mutex<Vec<Connection>>>, permits: [OwnedSemaphorePermit; 2]) -> Result<Self> {
        let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if connection.is_none() {
            return Err(StoreError::Internal("no connection belongs to the permit".into()));
        }
        Ok(Self { connection, idle, _permits: permits })
    }

    /// Returns the connection for a query that is interrupted at the deadline, or when its caller has gone.
    fn start(&mut self, deadline: Instant, is_abandoned: Arc<AtomicBool>) -> Result<&mut Connection> {
        let connection =
            self.connection.as_mut().ok_or_else(|| StoreError::Internal("no connection is leased".into()))?;
        let must_stop = move || is_abandoned.load(Ordering::Relaxed) || Instant::now() >= deadline;
        // The caller may have gone while the query waited for a thread.
        if must_stop() {
            return Err(StoreError::Unavailable("the query was cancelled".into()));
        }
        connection.progress_handler(INSTRUCTIONS_BETWEEN_CHECKS, Some(must_stop))?;
        Ok(connection)
    }
}

impl Drop for LeasedConnection {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // The next query sets a handler of its own, so an error has no effect.
            let _ = connection.progress_handler(0, None::<fn() -> bool>);
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A statement that runs until it is interrupted.
    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS rows FROM n";

    fn open_pool(folder: &tempfile::TempDir, limits: &QueryPoolLimits) -> Arc<QueryPool> {
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
        Arc::new(QueryPool::open(&path, limits).unwrap())
    }

    async fn run_endless_query(pool: Arc<QueryPool>) -> Result<i64> {
        pool.run(|connection| Ok(connection.query_row(ENDLESS, [], |row| row.get("rows"))?)).await
    }

    /// Returns limits whose time no test reaches.
    const fn hours(connections: usize, waiting: usize) -> QueryPoolLimits {
        QueryPoolLimits { connections, waiting, time: Duration::from_hours(9) }
    }

    async fn wait_until(happened: impl Fn() -> bool) {
        while !happened() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn query_is_interrupted_when_its_caller_has_gone_away() {
        let folder = tempfile::tempdir().unwrap();
        let pool = open_pool(&folder, &hours(1, 0));
        let caller = tokio::spawn(run_endless_query(Arc::clone(&pool)));
        wait_until(|| pool.idle_connections() == 0).await;

        caller.abort();

        // The slot is released after the connection.
        wait_until(|| pool.slots.available_permits() == 1).await;
        let one = pool.run(|connection| {
            Ok(connection.query_row("SELECT 1 AS one", [], |row| row.get::<_, i64>("one"))?)
        });
        assert_eq!(one.await.unwrap(), 1, "the connection is usable again");
    }

    #[tokio::test]
    async fn query_beyond_time_limit_fails_with_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let limits = QueryPoolLimits { time: Duration::from_millis(50), ..hours(1, 0) };
        let pool = open_pool(&folder, &limits);

        let error = run_endless_query(Arc::clone(&pool)).await.unwrap_err();

        assert!(
            matches!(&error, StoreError::Unavailable(reason) if reason.contains("time limit")),
            "{error}"
        );
        assert!(error.is_transient(), "the caller gets 503");
        wait_until(|| pool.idle_connections() == 1).await;
    }

    #[tokio::test]
    async fn queries_beyond_waiting_limit_fail_with_busy() {
        let folder = tempfile::tempdir().unwrap();
        let pool = open_pool(&folder, &hours(1, 1));
        let running = tokio::spawn(run_endless_query(Arc::clone(&pool)));
        wait_until(|| pool.idle_connections() == 0).await;
        let waiting = tokio::spawn(run_endless_query(Arc::clone(&pool)));
        wait_until(|| pool.slots.available_permits() == 0).await;

        assert!(matches!(run_endless_query(Arc::clone(&pool)).await, Err(StoreError::Busy)));

        waiting.abort();
        running.abort();
        wait_until(|| pool.slots.available_permits() == 2).await;
        assert_eq!(pool.idle_connections(), 1);
    }

    #[tokio::test]
    async fn sqlite_connection_is_reused_after_query_panics() {
        let folder = tempfile::tempdir().unwrap();
        let pool = open_pool(&folder, &hours(1, 0));

        let result = pool.run(|_| -> Result<()> { panic!("the test's panic") }).await;

        assert!(matches!(result, Err(StoreError::Internal(_))));
        assert_eq!(pool.idle_connections(), 1);
        assert_eq!(pool.slots.available_permits(), 1);
    }
}
