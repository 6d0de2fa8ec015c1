//! Decides when the pages of SQLite's write-ahead log are copied into the database file, and when the log is emptied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::checkpointer::{Checkpointer, CopyProgress, MAX_PAGES_OF_LAST_ROUND, run_checkpoint};
use crate::commit_effect::CommitEffect;
use crate::error::{Result, StoreError};

/// The longest time that sealed tokens of an ended connection may stay in the log while commands keep coming.
const WAL_SECRET_TTL: Duration = Duration::from_secs(55);
/// The time after an end at which a copy is requested, so that the log has few pages left when it is due to be emptied.
const SECRET_COPY_DELAY: Duration = Duration::from_secs(45);
/// The time that emptying the log waits for readers. All commands wait in the meantime.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(50);
/// The time until the next attempt to empty the log after readers or another process prevented it.
const CHECKPOINT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The sizes of the log, in pages of 2 KiB, at which it is copied while commands keep coming.
struct LogLimits {
    /// The size after which a copy is requested.
    copy: i32,
    /// The growth after which another copy is requested, if one did not copy enough.
    step: i32,
    /// The number of pages that the writer copies itself after a copy. Copying them takes about a millisecond.
    handover: i32,
    /// The size after which the writer waits for the copy and completes it. The log reaches this size only if commands
    /// write faster than the disk copies, or if a reader prevents the copy. Without a limit, fast commands would fill the
    /// disk, and finding a page in the log would take ever longer.
    max: i32,
}

/// A copy is requested at 31 MiB, and the writer completes it itself at 125 MiB.
const LOG_LIMITS: LogLimits =
    LogLimits { copy: 16_000, step: 4_000, handover: 2 * MAX_PAGES_OF_LAST_ROUND, max: 64_000 };

/// The write-ahead log. It is copied into the database file by a thread of its own and emptied by the writer, usually when
/// the writer is idle. After a connection has ended, this happens within a minute even if the writer is busy, because the
/// log may contain the sealed tokens of that connection.
pub(super) struct WriteAheadLog {
    checkpointer: Checkpointer,
    counters: Arc<LogCounters>,
    limits: LogLimits,
    /// The number of the last commit that is known to be in the database file.
    copied_commit: u64,
    /// The number of the last commit when the log was emptied.
    emptied_commit: u64,
    /// The number of the last commit before the requested copy whose result is awaited.
    requested_commit: Option<u64>,
    /// The time of the first end of a connection since the log was last emptied. The log may contain its sealed tokens.
    secret_since: Option<Instant>,
    /// Whether a copy was requested because of `secret_since`.
    is_secret_copy_requested: bool,
    /// The number of pages at which the next copy is requested.
    next_copy_pages: i32,
    /// The number of pages at which the writer itself copies the log.
    next_own_copy_pages: i32,
    /// The time before which the log is not emptied again, because the last attempt did not complete.
    retry_at: Option<Instant>,
}

/// The counters that SQLite updates after each commit that writes a page.
struct LogCounters {
    /// The number of such commits. The content of the log at the start counts as the first one, because it may be that of
    /// a process that was killed.
    commits: AtomicU64,
    /// The number of pages in the log.
    pages: AtomicI32,
}

impl WriteAheadLog {
    /// Starts to count the pages of the log. Each commit that writes a page resets `is_failing`.
    pub(super) fn new(
        connection: &mut Connection,
        checkpointer: Checkpointer,
        is_failing: Arc<AtomicBool>,
    ) -> Result<Self> {
        let counters = Arc::new(LogCounters { commits: AtomicU64::new(1), pages: AtomicI32::new(0) });
        let counted = Arc::clone(&counters);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.pages.store(pages, Ordering::Relaxed);
            counted.commits.fetch_add(1, Ordering::Relaxed);
            is_failing.store(false, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            checkpointer,
            counters,
            limits: LOG_LIMITS,
            copied_commit: 0,
            emptied_commit: 0,
            requested_commit: None,
            secret_since: None,
            is_secret_copy_requested: false,
            next_copy_pages: LOG_LIMITS.copy,
            next_own_copy_pages: LOG_LIMITS.max,
            retry_at: None,
        })
    }

    /// Records the effects of a commit, and copies or empties the log if that is due.
    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
    pub(super) fn record_commit(&mut self, effects: &[CommitEffect], connection: &Connection) -> Result<()> {
        if effects.contains(&CommitEffect::SecretsDeleted) && self.secret_since.is_none() {
            self.secret_since = Some(Instant::now());
        }
        let progress = self.take_progress()?;
        let secret_age = self.secret_since.map_or(Duration::ZERO, |since| since.elapsed());
        if secret_age >= SECRET_COPY_DELAY && !self.is_secret_copy_requested {
            self.is_secret_copy_requested = true;
            self.request_copy();
        }
        if secret_age >= WAL_SECRET_TTL {
            self.empty(connection)?;
        }
        self.limit_size(progress, connection)
    }

    /// Copies the log while the writer is idle, and empties it once the copy is complete.
    pub(super) fn handle_idle(&mut self, connection: &Connection) -> Result<()> {
        self.take_progress()?;
        let last_commit = self.counters.commits.load(Ordering::Relaxed);
        if self.emptied_commit == last_commit {
            return Ok(());
        }
        if self.copied_commit == last_commit {
            return self.empty(connection);
        }
        // A command that arrives during the copy does not wait for it, as it would if the writer copied the log.
        self.request_copy();
        Ok(())
    }

    /// Stops the copying thread, copies the rest of the log and empties it.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<()> {
        self.checkpointer.stop();
        let last_commit = self.counters.commits.load(Ordering::Relaxed);
        // A process that committed nothing leaves the log to the one that serves.
        if last_commit == 1 || last_commit == self.emptied_commit {
            return Ok(());
        }
        // A failed copy is reported here, because emptying the log would lose what was not copied.
        self.truncate(connection).map(drop)
    }

    /// Keeps the log from growing without limit while commands keep coming.
    fn limit_size(&mut self, progress: Option<CopyProgress>, connection: &Connection) -> Result<()> {
        let pages = self.counters.pages.load(Ordering::Relaxed);
        let limits = &self.limits;
        if pages < limits.copy {
            self.next_copy_pages = limits.copy;
            self.next_own_copy_pages = limits.max;
            return Ok(());
        }
        if pages >= self.next_own_copy_pages {
            self.next_own_copy_pages = pages.saturating_add(limits.copy);
            let _paused = self.checkpointer.pause()?;
            if !run_checkpoint(connection)?.is_complete() {
                tracing::warn!(
                    pages,
                    "a reader or another process prevents that the log of the store is emptied"
                );
            }
            return Ok(());
        }
        match progress {
            // SQLite continues at the beginning of the log only if a write begins when every page is copied. Only the
            // writer can bring this about while commands keep coming.
            Some(progress) if pages - progress.copied <= limits.handover => {
                if let Some(_paused) = self.checkpointer.try_pause()? {
                    run_checkpoint(connection)?;
                }
                // If a reader uses the log, it grows on until the reader has ended.
                self.next_copy_pages = pages.saturating_add(limits.step);
            }
            Some(_) => self.next_copy_pages = pages.saturating_add(limits.step),
            None if pages >= self.next_copy_pages => self.request_copy(),
            None => {}
        }
        Ok(())
    }

    /// Requests a copy unless one is requested already.
    fn request_copy(&mut self) {
        if self.requested_commit.is_none() {
            self.requested_commit = Some(self.counters.commits.load(Ordering::Relaxed));
            self.checkpointer.request();
        }
    }

    /// Takes the result of a requested copy, if there is one.
    fn take_progress(&mut self) -> Result<Option<CopyProgress>> {
        let progress = self.checkpointer.take_result();
        if matches!(progress, Ok(None)) {
            return Ok(None);
        }
        let requested_commit = self.requested_commit.take();
        let progress = progress?;
        if let Some(commit) = requested_commit
            && progress.is_some_and(CopyProgress::is_complete)
        {
            self.copied_commit = commit;
        }
        Ok(progress)
    }

    /// Empties the log, unless an attempt failed a moment ago.
    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
    fn empty(&mut self, connection: &Connection) -> Result<()> {
        let now = Instant::now();
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return Ok(());
        }
        // The delay also follows an error, for example while the disk is full.
        self.retry_at = Some(now + CHECKPOINT_RETRY_DELAY);
        if self.truncate(connection)? {
            self.retry_at = None;
        }
        Ok(())
    }

    /// Copies what is left of the log and empties it. Returns false if a copy, a reader or another process prevents that.
    fn truncate(&mut self, connection: &Connection) -> Result<bool> {
        let Some(_paused) = self.checkpointer.try_pause()? else { return Ok(false) };
        if !run_truncation(connection)? {
            return Ok(false);
        }
        // The writer is the only one that commits, and it is here.
        self.emptied_commit = self.counters.commits.load(Ordering::Relaxed);
        self.copied_commit = self.emptied_commit;
        self.counters.pages.store(0, Ordering::Relaxed);
        self.secret_since = None;
        self.is_secret_copy_requested = false;
        Ok(true)
    }
}

/// Runs a checkpoint that empties the log, and returns whether it completed.
fn run_truncation(connection: &Connection) -> Result<bool> {
    // A checkpoint must not wait for the end of a long search, because no command runs in the meantime.
    let previous: i64 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get("timeout"))?;
    connection.busy_timeout(CHECKPOINT_TIMEOUT)?;
    let result = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>("busy"));
    connection.busy_timeout(Duration::from_millis(previous.unsigned_abs()))?;
    match result {
        Ok(busy) => Ok(busy == 0),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(StoreError::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;

    use rusqlite::OpenFlags;

    use super::*;
    use crate::sqlite::connection;

    const PAGE_BYTES: u64 = 2048;

    struct TestLog {
        folder: tempfile::TempDir,
        connection: Connection,
        log: WriteAheadLog,
    }

    impl TestLog {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hub.db");
            crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
            let mut connection = connection::open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
            connection.execute_batch("CREATE TABLE pages (bytes BLOB)").unwrap();
            let file = Arc::new(File::open(&path).unwrap());
            let checkpointer = Checkpointer::start(&path, file).unwrap();
            let is_failing = Arc::new(AtomicBool::new(false));
            let mut log = WriteAheadLog::new(&mut connection, checkpointer, is_failing).unwrap();
            log.limits = LogLimits { copy: 200, step: 50, handover: 50, max: 800 };
            Self { folder, connection, log }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("hub.db")
        }

        fn log_pages(&self) -> u64 {
            std::fs::metadata(self.folder.path().join("hub.db-wal")).unwrap().len() / PAGE_BYTES
        }

        fn commit_page(&mut self) {
            self.connection.execute("INSERT INTO pages VALUES (zeroblob(2000))", []).unwrap();
            self.log.record_commit(&[], &self.connection).unwrap();
        }
    }

    #[test]
    fn log_stays_small_while_commands_keep_coming() {
        let mut test = TestLog::open();

        // Each commit adds three pages or more.
        (0..2_000).for_each(|_| test.commit_page());

        assert!(test.log_pages() < 900, "the log has {} pages", test.log_pages());
    }

    #[test]
    fn log_is_limited_if_no_copy_is_ever_complete() {
        let mut test = TestLog::open();
        test.log.checkpointer.stop();

        (0..2_000).for_each(|_| test.commit_page());

        let pages = test.log_pages();
        assert!((800..900).contains(&pages), "the writer copies the log at its limit: {pages} pages");
    }

    #[test]
    fn log_is_emptied_after_a_reader_has_ended() {
        let mut test = TestLog::open();
        let reader = connection::open(&test.path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM pages").unwrap();
        (0..500).for_each(|_| test.commit_page());
        let during = test.log_pages();

        reader.execute_batch("COMMIT").unwrap();
        while test.log_pages() > 0 {
            test.log.handle_idle(&test.connection).unwrap();
            std::thread::yield_now();
        }
        (0..500).for_each(|_| test.commit_page());

        assert!(during > 1_000, "the reader needs the log: {during} pages");
        assert!(test.log_pages() < 900, "the log has {} pages", test.log_pages());
    }

    #[test]
    fn log_of_a_former_process_is_emptied_when_idle() {
        let mut test = TestLog::open();

        // The table was created before the log was observed, as by a process that was killed.
        assert!(test.log_pages() > 0);
        while test.log_pages() > 0 {
            test.log.handle_idle(&test.connection).unwrap();
            std::thread::yield_now();
        }

        assert_eq!(test.log.requested_commit, None, "nothing is left to copy");
    }

    #[test]
    fn copy_failure_prevents_emptying_of_the_log() {
        let mut test = TestLog::open();
        test.commit_page();
        test.log.checkpointer.record_failure("the test's failure");

        let idle = test.log.handle_idle(&test.connection);
        let committed = test.log.record_commit(&[], &test.connection);
        let closed = test.log.close(&test.connection);

        for result in [idle, committed, closed] {
            assert!(matches!(result, Err(StoreError::FileFailed(_))), "{result:?}");
        }
        assert!(test.log_pages() > 0);
    }
}
