//! Decides when the pages of SQLite's write-ahead log are copied into the database file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::commit_effect::CommitEffect;
use crate::error::{Result, StoreError};

/// The longest time that sealed tokens of an ended connection may stay in the log while commands keep coming.
const WAL_SECRET_TTL: Duration = Duration::from_secs(55);
/// The number of pages in the log after which a checkpoint runs even while commands keep coming.
const MAX_WAL_PAGES: i32 = 16_000;
/// The time that a checkpoint waits for readers. All commands wait in the meantime.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(50);
/// The time until the next attempt after a checkpoint that readers or another process prevented.
const CHECKPOINT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The write-ahead log. A checkpoint copies it into the database file and empties it when the writer is idle. After a
/// connection has ended, this happens within a minute even if the writer is busy, because the log may contain the
/// sealed tokens of that connection.
pub(super) struct WriteAheadLog {
    /// Whether the log contains commits that are not in the database file.
    is_dirty: bool,
    /// The time of the first end of a connection since the log was last emptied. The log may contain its sealed tokens.
    secret_since: Option<Instant>,
    /// The number of pages in the log, as SQLite reports it after each commit.
    pages: Arc<AtomicI32>,
    /// The number of pages at which the next checkpoint runs while commands keep coming.
    next_checkpoint_pages: i32,
    /// The time before which the log is not truncated again, because the last attempt did not complete.
    retry_at: Option<Instant>,
}

impl WriteAheadLog {
    /// Starts to count the pages of the log. Each commit that writes a page resets `is_failing`.
    pub(super) fn new(connection: &mut Connection, is_failing: Arc<AtomicBool>) -> Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let page_count = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count| {
            page_count.store(count, Ordering::Relaxed);
            is_failing.store(false, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            is_dirty: false,
            secret_since: None,
            pages,
            next_checkpoint_pages: MAX_WAL_PAGES,
            retry_at: None,
        })
    }

    /// Records the effects of a commit, and runs a checkpoint if one is due.
    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
    pub(super) fn record_commit(&mut self, effects: &[CommitEffect], connection: &Connection) -> Result<()> {
        self.is_dirty = true;
        if effects.contains(&CommitEffect::ConnectionEnded) && self.secret_since.is_none() {
            self.secret_since = Some(Instant::now());
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if self.secret_since.is_some_and(|since| since.elapsed() >= WAL_SECRET_TTL) {
            self.truncate(connection)?;
        } else if pages < MAX_WAL_PAGES {
            self.next_checkpoint_pages = MAX_WAL_PAGES;
        } else if pages >= self.next_checkpoint_pages {
            // A reader may prevent SQLite from starting the log again from its beginning. To avoid copying the same
            // pages again, the next checkpoint waits until the log has grown by as many pages.
            self.next_checkpoint_pages = pages.saturating_add(MAX_WAL_PAGES);
            checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        Ok(())
    }

    /// Truncates the log, unless an attempt failed a moment ago.
    #[expect(clippy::disallowed_methods, reason = "a duration within this process that is not stored")]
    pub(super) fn truncate(&mut self, connection: &Connection) -> Result<()> {
        let now = Instant::now();
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return Ok(());
        }
        // The delay also follows an error, for example while the disk is full.
        self.retry_at = Some(now + CHECKPOINT_RETRY_DELAY);
        if self.truncate_now(connection)? {
            self.retry_at = None;
        }
        Ok(())
    }

    /// Copies the whole log into the file and empties it. Returns false if a reader or another process prevents that.
    pub(super) fn truncate_now(&mut self, connection: &Connection) -> Result<bool> {
        if self.is_dirty && !checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")? {
            return Ok(false);
        }
        self.is_dirty = false;
        self.secret_since = None;
        self.pages.store(0, Ordering::Relaxed);
        Ok(true)
    }
}

/// Runs a checkpoint and returns whether it completed. A reader or another process may prevent that; the next checkpoint
/// then completes the work.
fn checkpoint(connection: &Connection, pragma: &str) -> Result<bool> {
    // A checkpoint must not wait for the end of a long search, because no command runs in the meantime.
    let previous: i64 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get("timeout"))?;
    connection.busy_timeout(CHECKPOINT_TIMEOUT)?;
    let result = connection.query_row(pragma, [], |row| row.get::<_, i64>("busy"));
    connection.busy_timeout(Duration::from_millis(previous.unsigned_abs()))?;
    match result {
        Ok(busy) => Ok(busy == 0),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(StoreError::from(error)),
    }
}
