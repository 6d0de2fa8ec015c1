//! A thread that copies the write-ahead log into the database file while the writer goes on.
//!
//! A passive checkpoint takes no lock that a command needs, so commands do not wait for the copy. Only the writer truncates
//! the log, which then has few pages left to copy.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::connection;
use crate::error::{Result, StoreError};

pub(super) struct Checkpointer {
    /// Requests a checkpoint. `None` after `stop`.
    request: Option<SyncSender<()>>,
    failure: Arc<OnceLock<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own.
    pub(super) fn start(path: &Path) -> Result<Self> {
        let connection = connection::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // One waiting request is enough: it copies everything that was committed before it runs.
        let (request, requests) = sync_channel(1);
        let failure = Arc::new(OnceLock::new());
        let recorded = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || copy_log(&connection, &requests, &recorded))
            .map_err(StoreError::internal)?;
        Ok(Self { request: Some(request), failure, thread: Some(thread) })
    }

    /// Requests a checkpoint and does not wait for it.
    pub(super) fn request(&self) {
        // A full channel contains a request that will copy these commits too. Without a receiver the thread has failed,
        // which `ensure_working` reports.
        if let Some(request) = &self.request {
            let _: Result<(), TrySendError<()>> = request.try_send(());
        }
    }

    /// Fails if a checkpoint has failed to read or write the files.
    pub(super) fn ensure_working(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::FileFailed(reason.clone())),
        }
    }
}

impl Checkpointer {
    /// Stops the thread after the checkpoint in progress.
    pub(super) fn stop(&mut self) {
        drop(self.request.take());
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

fn copy_log(connection: &Connection, requests: &Receiver<()>, failure: &OnceLock<String>) {
    while requests.recv().is_ok() {
        let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match result.map_err(StoreError::from) {
            Ok(()) => {}
            // After a failed sync of the database file, its content is unknown, and a later sync may report success. The
            // log must not be emptied any more, so the writer ends the process.
            Err(StoreError::FileFailed(reason)) => {
                let _ = failure.set(reason);
                return;
            }
            // Another checkpoint is running, or the disk is full: the commits stay in the log until the next request.
            Err(error) => tracing::warn!(%error, "a checkpoint was not possible"),
        }
    }
}
