//! Read-only SQLite connections for lookups, which run on the thread of their caller.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::connection;
use crate::error::Result;

/// The time that a lookup waits for a lock. Another process locks readers out only while it repairs the log, and the
/// caller's thread serves other requests too.
const READ_LOCK_TIMEOUT: Duration = Duration::from_millis(250);

pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    next_index: AtomicUsize,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize) -> Result<Self> {
        let open = |_| {
            let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(READ_LOCK_TIMEOUT)?;
            Ok(Mutex::new(connection))
        };
        Ok(Self {
            connections: (0..count).map(open).collect::<Result<_>>()?,
            next_index: AtomicUsize::new(0),
        })
    }

    /// Calls `read` with the first free connection. Waits if all of them are in use.
    pub(super) fn with_connection<T>(&self, read: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        read(&mut self.lock_connection())
    }

    fn lock_connection(&self) -> MutexGuard<'_, Connection> {
        let count = self.connections.len();
        // Callers start at different connections, so that they rarely try one that is in use.
        let start = self.next_index.fetch_add(1, Ordering::Relaxed);
        for n in 0..count {
            match self.connections[(start + n) % count].try_lock() {
                Ok(connection) => return connection,
                // A query changes nothing, so its connection is usable after a panic.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.connections[start % count].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
