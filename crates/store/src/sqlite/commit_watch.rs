//! Detects commits of other processes, or of other connections of this one, after which the access map is emptied.
//!
//! Each commit increments a counter at the beginning of the index of the log (`-shm`), which SQLite shares between
//! processes. The format is documented at <https://sqlite.org/walformat.html>, section 2.1. A question reads the counter
//! with one system call. `PRAGMA data_version` returns the same information, but takes six times as long, because
//! it begins and ends a read transaction; only the writer uses it, to distinguish its own commits from those of others.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::access_map::AccessMap;
use crate::error::{Result, StoreError};

/// The version of the index's format, in its first four bytes.
const INDEX_FORMAT: u32 = 3_007_000;
/// The place of the counter in the index.
const COUNTER_OFFSET: usize = 8;
/// A value that no counter has.
const UNKNOWN: u64 = u64::MAX;

pub(super) struct CommitWatch {
    /// The index of the log. It must be closed after all connections to the database: when a process closes a file, it
    /// loses the locks that SQLite has on it.
    index: File,
    /// The counter after the last commit that the map takes into account.
    known_commit: AtomicU64,
    state: Mutex<WatchState>,
}

struct WatchState {
    /// True while the writer commits, so that a changed counter may be its own.
    is_committing: bool,
    /// The data version of the writer's connection, which only commits of others change.
    data_version: i64,
}

impl CommitWatch {
    /// Starts to watch. `writer` is the connection that makes all commits of this store.
    pub(super) fn start(path: &Path, writer: &Connection) -> Result<Self> {
        let unavailable = |e| StoreError::Unavailable(format!("{}-shm: {e}", path.display()));
        // SQLite resolves symbolic links too.
        let mut index = path.canonicalize().map_err(unavailable)?.into_os_string();
        index.push("-shm");
        let watch = Self {
            index: File::open(index).map_err(unavailable)?,
            known_commit: AtomicU64::new(UNKNOWN),
            state: Mutex::new(WatchState { is_committing: false, data_version: read_data_version(writer)? }),
        };
        watch.known_commit.store(watch.read_counter(), Ordering::SeqCst);
        Ok(watch)
    }

    /// Returns whether the map takes all commits into account. Empties it after a commit of another connection.
    pub(super) fn is_current(&self, map: &AccessMap) -> bool {
        let is_known = |counter| counter != UNKNOWN && counter == self.known_commit.load(Ordering::SeqCst);
        if is_known(self.read_counter()) {
            return true;
        }
        // While this lock is held, the writer's commits are either finished or marked, so a change is not mistaken.
        let state = self.lock();
        let counter = self.read_counter();
        if is_known(counter) {
            return true;
        }
        if !state.is_committing {
            // The counter was read before the map is emptied, so a commit in between changes it again.
            map.clear();
            self.known_commit.store(counter, Ordering::SeqCst);
        }
        false
    }

    /// Marks the begin of a commit of the writer. Until `finish_commit`, questions are answered from the database as soon
    /// as the counter changes.
    pub(super) fn start_commit(&self) {
        self.lock().is_committing = true;
    }

    /// Takes the writer's commit into account, and empties the map if others have committed too.
    pub(super) fn finish_commit(&self, map: &AccessMap, writer: &Connection) {
        let mut state = self.lock();
        let counter = self.read_counter();
        // The data version is read after the counter: if it is unchanged, the counter includes no commit of others.
        match read_data_version(writer) {
            Ok(version) if version == state.data_version => {}
            Ok(version) => {
                state.data_version = version;
                map.clear();
            }
            // The next batch reports the error to its callers.
            Err(_) => map.clear(),
        }
        self.known_commit.store(counter, Ordering::SeqCst);
        state.is_committing = false;
    }

    /// Reads the counter, or returns `UNKNOWN`.
    fn read_counter(&self) -> u64 {
        let mut header = [0; COUNTER_OFFSET + 4];
        if self.index.read_exact_at(&mut header, 0).is_err() {
            return UNKNOWN;
        }
        let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        if number(0) == INDEX_FORMAT { u64::from(number(COUNTER_OFFSET)) } else { UNKNOWN }
    }

    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_data_version(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    Ok(statement.query_row([], |row| row.get("data_version"))?)
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::id::{ClientId, ConnectionId};
    use domain::model::refresh_token::RefreshToken;
    use domain::secret::TokenHash;
    use rusqlite::OpenFlags;

    use super::*;
    use crate::sqlite::connection;

    struct TestWatch {
        folder: tempfile::TempDir,
        writer: Connection,
        map: AccessMap,
        watch: CommitWatch,
    }

    impl TestWatch {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hub.db");
            crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
            let writer = connection::open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
            writer.execute_batch("CREATE TABLE numbers (number INTEGER)").unwrap();
            let watch = CommitWatch::start(&path, &writer).unwrap();
            Self { folder, writer, map: AccessMap::for_writer(1024 * 1024), watch }
        }

        fn open_other(&self) -> Connection {
            let path = self.folder.path().join("hub.db");
            connection::open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
        }

        fn hash() -> TokenHash {
            TokenHash::from_bytes(&[7; 36]).unwrap()
        }

        fn insert_row(&self) {
            let token = RefreshToken {
                connection_id: ConnectionId::parse("con_a").unwrap(),
                client_id: ClientId::parse("dc-acme").unwrap(),
                last_used_at: Timestamp::EPOCH,
            };
            self.map.start_fill().insert_refresh_token(Self::hash(), &token);
        }

        fn is_row_in_memory(&self) -> bool {
            self.map.view_any(|map| map.find_refresh_token(&Self::hash()).is_some())
        }

        fn commit_own(&self) {
            self.watch.start_commit();
            commit(&self.writer);
            self.watch.finish_commit(&self.map, &self.writer);
        }
    }

    fn commit(connection: &Connection) {
        connection.execute_batch("INSERT INTO numbers VALUES (1)").unwrap();
    }

    #[test]
    fn commit_of_other_connection_empties_the_map() {
        let test = TestWatch::open();
        test.insert_row();
        assert!(test.watch.is_current(&test.map));

        commit(&test.open_other());
        let first = (test.watch.is_current(&test.map), test.is_row_in_memory());
        let second = test.watch.is_current(&test.map);

        assert_eq!(first, (false, false));
        assert!(second, "the empty map is current");
    }

    #[test]
    fn own_commits_and_copies_of_the_log_keep_the_map() {
        let test = TestWatch::open();
        let other = test.open_other();
        test.insert_row();

        for step in 0..3 {
            test.commit_own();
            other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            // The next commit starts the log again from its beginning, because everything is copied.
            test.commit_own();
            test.writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();

            assert!(test.watch.is_current(&test.map) && test.is_row_in_memory(), "step {step}");
        }
    }

    #[test]
    fn own_commit_in_progress_neither_keeps_nor_empties_the_map() {
        let test = TestWatch::open();
        test.insert_row();
        test.watch.start_commit();
        assert!(test.watch.is_current(&test.map), "the commit is not visible yet");

        commit(&test.writer);
        let during = (test.watch.is_current(&test.map), test.is_row_in_memory());
        test.watch.finish_commit(&test.map, &test.writer);

        assert_eq!(during, (false, true), "the question is answered from the database");
        assert!(test.watch.is_current(&test.map) && test.is_row_in_memory());
    }

    #[test]
    fn commit_of_other_connection_before_own_one_empties_the_map() {
        for is_before in [true, false] {
            let test = TestWatch::open();
            let other = test.open_other();
            test.insert_row();

            if is_before {
                commit(&other);
            }
            test.watch.start_commit();
            commit(&test.writer);
            if !is_before {
                commit(&other);
            }
            test.watch.finish_commit(&test.map, &test.writer);

            assert!(!test.is_row_in_memory(), "{is_before}");
            assert!(test.watch.is_current(&test.map), "{is_before}");
        }
    }
}
