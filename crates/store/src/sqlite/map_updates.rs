//! Applies the commits of the writer to the access map.

use std::sync::Arc;

use rusqlite::Connection;

use super::change_tracker::ChangeTracker;
use super::commit_watch::CommitWatch;
use crate::access_map::AccessMap;
use crate::error::Result;

pub(super) struct MapUpdates {
    map: Arc<AccessMap>,
    watch: Arc<CommitWatch>,
    tracker: ChangeTracker,
}

impl MapUpdates {
    /// Starts to track the changes that are made with the writer's connection.
    pub(super) fn start(map: Arc<AccessMap>, watch: Arc<CommitWatch>, writer: &Connection) -> Result<Self> {
        Ok(Self { map, watch, tracker: ChangeTracker::install(writer)? })
    }

    /// Forgets the changes of a transaction that was rolled back.
    pub(super) fn discard(&self) {
        self.tracker.discard();
    }

    /// Runs `commit`, before and after which the changed rows are closed and reopened in the map.
    pub(super) fn apply_commit(
        &self,
        writer: &Connection,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.watch.start_commit();
        let closed = self.map.close(self.tracker.take());
        let result = commit();
        // The rows are reopened after an error too: what readers see of the database is right in either case.
        drop(closed);
        self.watch.finish_commit(&self.map, writer);
        result
    }
}
