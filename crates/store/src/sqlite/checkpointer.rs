//! A thread that copies the write-ahead log into the database file while the writer goes on.
//!
//! A passive checkpoint takes no lock that a command needs, so commands do not wait for the copy. Only the writer empties
//! the log, which then has few pages left to copy.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::connection;
use crate::error::{Result, StoreError};

/// The number of pages that a checkpoint copies if it is the last one for a request. About as many were committed in the
/// meantime.
pub(super) const MAX_PAGES_OF_LAST_ROUND: i32 = 200;
/// The maximum number of checkpoints for one request. Each copies what was committed during the one before it, so the
/// third usually copies few pages. A writer that is faster than the disk would keep the thread busy forever.
const MAX_ROUNDS: usize = 6;

/// The number of pages in the log when a checkpoint began, and how many of them are in the database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyProgress {
    pub(super) pages: i32,
    pub(super) copied: i32,
}

impl CopyProgress {
    /// Returns whether everything was copied that was in the log when the checkpoint began. A reader or another process
    /// may prevent that.
    pub(super) const fn is_complete(self) -> bool {
        self.copied >= self.pages
    }
}

pub(super) struct Checkpointer {
    /// Requests a copy. `None` after `stop`.
    requests: Option<SyncSender<()>>,
    state: Arc<Mutex<CopyState>>,
    thread: Option<JoinHandle<()>>,
}

/// The state of the copy. It is locked while a copy runs.
#[derive(Default)]
struct CopyState {
    /// The result of the last request, until the writer takes it.
    result: Option<Result<CopyProgress>>,
    /// The reason why the files must not be used any more.
    failure: Option<String>,
}

/// Proof that no copy is running, and that none has failed to read or write the files.
pub(super) struct PausedCopy<'a> {
    _state: MutexGuard<'a, CopyState>,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own. `file` is the database file, opened for reading.
    pub(super) fn start(path: &Path, file: Arc<File>) -> Result<Self> {
        let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let state = Arc::new(Mutex::new(CopyState::default()));
        // The writer waits for the result of a request before it sends the next one.
        let (requests, received) = sync_channel(1);
        let copy = LogCopy { connection, file, state: Arc::clone(&state) };
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || copy.run(&received))
            .map_err(StoreError::internal)?;
        Ok(Self { requests: Some(requests), state, thread: Some(thread) })
    }

    /// Requests a copy of the log and does not wait for it.
    pub(super) fn request(&self) {
        if let Some(requests) = &self.requests {
            // A full channel contains a request already. A closed one belongs to a thread that has failed, which every
            // other method reports.
            let _ = requests.try_send(());
        }
    }

    /// Returns the result of the last request once. Fails if a copy has failed to read or write the files.
    pub(super) fn take_result(&self) -> Result<Option<CopyProgress>> {
        match self.state.try_lock() {
            Ok(mut state) => state.take_result(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take_result(),
            Err(TryLockError::WouldBlock) => Ok(None),
        }
    }

    /// Prevents that a copy starts, as long as the result exists. Returns `None` if one is running.
    pub(super) fn try_pause(&self) -> Result<Option<PausedCopy<'_>>> {
        match self.state.try_lock() {
            Ok(state) => PausedCopy::new(state).map(Some),
            Err(TryLockError::Poisoned(poisoned)) => PausedCopy::new(poisoned.into_inner()).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
        }
    }

    /// Waits for the end of a running copy, and prevents that another one starts as long as the result exists.
    pub(super) fn pause(&self) -> Result<PausedCopy<'_>> {
        PausedCopy::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn record_failure(&self, reason: &str) {
        self.state.lock().unwrap().failure = Some(reason.into());
    }

    /// Stops the thread after the copy that is running.
    pub(super) fn stop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl CopyState {
    fn ensure_working(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(StoreError::FileFailed(reason.clone())),
        }
    }

    fn take_result(&mut self) -> Result<Option<CopyProgress>> {
        self.ensure_working()?;
        self.result.take().transpose()
    }
}

impl<'a> PausedCopy<'a> {
    fn new(state: MutexGuard<'a, CopyState>) -> Result<Self> {
        state.ensure_working()?;
        Ok(Self { _state: state })
    }
}

struct LogCopy {
    connection: Connection,
    file: Arc<File>,
    state: Arc<Mutex<CopyState>>,
}

impl LogCopy {
    fn run(&self, requests: &Receiver<()>) {
        while requests.recv().is_ok() {
            // The lock makes the writer see a failure before it can empty the log.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match self.copy_log() {
                // After a failed sync of the database file its content is unknown, and a later sync may report success.
                // The log must not be emptied any more, so the writer ends the process.
                Err(StoreError::FileFailed(reason)) => {
                    state.failure = Some(reason);
                    return;
                }
                result => state.result = Some(result),
            }
        }
    }

    fn copy_log(&self) -> Result<CopyProgress> {
        let mut copied_before = 0;
        let mut rounds = 0;
        loop {
            let progress = run_checkpoint(&self.connection)?;
            // SQLite syncs the database file only in a checkpoint during which nothing was committed. Without this sync
            // the writer would have to wait for all of these pages.
            self.file
                .sync_data()
                .map_err(|e| StoreError::FileFailed(format!("sync of the database file: {e}")))?;
            rounds += 1;
            let copied_now = progress.copied - copied_before;
            if copied_now <= MAX_PAGES_OF_LAST_ROUND || !progress.is_complete() || rounds == MAX_ROUNDS {
                return Ok(progress);
            }
            copied_before = progress.copied;
        }
    }
}

/// Runs a passive checkpoint, which waits for nothing.
pub(super) fn run_checkpoint(connection: &Connection) -> Result<CopyProgress> {
    let progress = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>("busy")?, row.get("log")?, row.get("checkpointed")?))
    });
    match progress {
        Ok((0, pages, copied)) => Ok(CopyProgress { pages, copied }),
        // Another process runs a checkpoint.
        Ok(_) => Ok(CopyProgress { pages: i32::MAX, copied: 0 }),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Ok(CopyProgress { pages: i32::MAX, copied: 0 })
        }
        Err(error) => Err(StoreError::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_store(folder: &tempfile::TempDir) -> (Connection, Checkpointer) {
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
        let connection = connection::open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        connection.execute_batch("CREATE TABLE pages (bytes BLOB)").unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        (connection, Checkpointer::start(&path, file).unwrap())
    }

    /// Writes a row that needs this number of pages.
    fn write_pages(connection: &Connection, count: i64) {
        connection.execute("INSERT INTO pages VALUES (zeroblob(?1))", [count * 2048]).unwrap();
    }

    fn request_copy(checkpointer: &Checkpointer) -> CopyProgress {
        checkpointer.request();
        loop {
            if let Some(progress) = checkpointer.take_result().unwrap() {
                return progress;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn copy_leaves_nothing_for_the_writer_if_it_is_idle() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, checkpointer) = open_store(&folder);
        write_pages(&connection, 1_000);

        let progress = request_copy(&checkpointer);

        assert!(progress.is_complete() && progress.pages > 1_000, "{progress:?}");
        assert_eq!(run_checkpoint(&connection).unwrap(), progress, "nothing is left to copy");
        assert!(checkpointer.take_result().unwrap().is_none(), "a result is taken once");
    }

    #[test]
    fn copy_is_incomplete_while_a_reader_uses_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, checkpointer) = open_store(&folder);
        let reader =
            connection::open(&folder.path().join("hub.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM pages").unwrap();
        write_pages(&connection, 100);

        let during = request_copy(&checkpointer);
        reader.execute_batch("COMMIT").unwrap();
        let after = request_copy(&checkpointer);

        assert!(!during.is_complete(), "{during:?}");
        assert!(after.is_complete(), "{after:?}");
    }

    #[test]
    fn failed_copy_is_reported_by_every_later_call() {
        let folder = tempfile::tempdir().unwrap();
        let (_connection, checkpointer) = open_store(&folder);
        checkpointer.record_failure("the test's failure");

        let result = checkpointer.take_result();
        let pauses = [checkpointer.pause().is_err(), checkpointer.try_pause().is_err()];

        assert!(matches!(result, Err(StoreError::FileFailed(_))));
        assert_eq!(pauses, [true, true]);
    }
}
