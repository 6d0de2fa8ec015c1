//! The commit barrier: proves that everything that was visible before is as durable as a new commit.
//!
//! A commit whose caller got an error may be visible although the synchronous standby does not have it. A caller that then
//! finds its work done must not confirm it before the standby has it too. The log is replicated in order: when the standby
//! has the commit of a barrier, it has every earlier commit.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::Moment;
use tokio::sync::Mutex;

use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::sql::sql;
use crate::tx::Tx;

/// A command that changes nothing, but whose commit waits for the standby.
#[derive(Debug)]
pub(super) struct WriteBarrier {
    pub(super) moment: Moment,
}

impl Command for WriteBarrier {
    type Reply = ();
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        // PostgreSQL writes a row lock to its log, and a commit that has written to the log waits for the standby.
        let lock = sql!(
            "-- lock a row that nothing else locks\nSELECT name FROM store_metadata WHERE name = 'keys' FOR UPDATE"
        );
        if tx.exists(lock, &[]).await? {
            Ok(())
        } else {
            Err(StoreError::Internal("the store does not name its key file".into()))
        }
    }
}

/// Runs the commit barriers of a node. Callers that wait at the same time share a barrier, so that repeated requests cannot
/// use up the database sessions with which connections are ended.
#[derive(Default)]
pub(super) struct CommitBarrier {
    /// The number of callers so far.
    tickets: AtomicU64,
    /// The last ticket that the last barrier covers, and the error of that barrier.
    last: Mutex<(u64, Option<String>)>,
}

impl CommitBarrier {
    /// Waits for a barrier that began after this call. `write` writes one.
    pub(super) async fn wait<F: Future<Output = Result<()>>>(&self, write: impl FnOnce() -> F) -> Result<()> {
        let ticket = self.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.0 < ticket {
            // This barrier also covers the callers that wait for the lock now.
            let covered = self.tickets.load(Ordering::SeqCst);
            let error = write().await.err().map(|error| error.to_string());
            *last = (covered, error);
        }
        match &last.1 {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable(reason.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn concurrent_callers_share_barriers_that_begin_after_them() {
        let (barrier, written) = (CommitBarrier::default(), AtomicUsize::new(0));
        let write = async || {
            written.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(())
        };

        let results = join_all((0..100).map(|_| barrier.wait(write))).await;

        assert!(results.iter().all(Result::is_ok));
        // The first barrier begins before the other callers arrive, and a second one covers all of them.
        assert_eq!(written.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn failed_barrier_is_an_error_for_every_caller_it_covers() {
        let barrier = CommitBarrier::default();
        let fail = async || Err(StoreError::Unavailable("no standby".into()));

        let results = join_all((0..10).map(|_| barrier.wait(fail))).await;

        assert!(results.iter().all(Result::is_err));
        assert!(barrier.wait(async || Ok(())).await.is_ok(), "a later barrier is independent");
    }
}
