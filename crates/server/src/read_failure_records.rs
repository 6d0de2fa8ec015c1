//! Selects the failed reads that are added to the audit log, so that a flood of failing reads does not become a flood of
//! writes.
//!
//! The store records a failure once a day for each connection and reason. This memory of the node answers the same question
//! without a transaction, for as many failures as it can remember.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ConnectionId;
use domain::rule::provider_response::{FailureReason, REPEATED_FAILURE_INTERVAL};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of failures that are remembered. When it is reached, all are forgotten, and the store decides again.
const MAX_REMEMBERED: usize = 16_384;
/// The number of failures that wait to be written. Further ones are written when they occur again.
const MAX_WAITING: usize = 1024;
/// The time after a failed write in which the same failure is not written again.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// The memory of this node, and the queue of failures that it writes one after the other.
pub(crate) struct ReadFailureRecords {
    /// The time from which each failure may be written again.
    next_writes: Mutex<HashMap<(ConnectionId, FailureReason), Timestamp>>,
    waiting: Arc<Semaphore>,
    writer: tokio::sync::Mutex<()>,
}

impl Default for ReadFailureRecords {
    fn default() -> Self {
        Self {
            next_writes: Mutex::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            writer: tokio::sync::Mutex::default(),
        }
    }
}

impl ReadFailureRecords {
    /// Reserves a place in the queue for a failure. Returns `None` if the failure is written already, or if the queue is
    /// full.
    pub(crate) fn reserve(
        &self,
        connection: &ConnectionId,
        reason: FailureReason,
        now: Timestamp,
    ) -> Option<OwnedSemaphorePermit> {
        let mut next_writes = self.lock();
        let key = (connection.clone(), reason);
        if next_writes.get(&key).is_some_and(|next| now < *next) {
            return None;
        }
        let place = Arc::clone(&self.waiting).try_acquire_owned().ok()?;
        if next_writes.len() >= MAX_REMEMBERED {
            next_writes.clear();
        }
        next_writes.insert(key, now.plus(REPEATED_FAILURE_INTERVAL));
        Some(place)
    }

    /// Waits until no other failure is being written.
    pub(crate) async fn wait_for_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.writer.lock().await
    }

    /// Allows that a failure is written again soon, because it could not be written.
    pub(crate) fn allow_retry(&self, connection: ConnectionId, reason: FailureReason, now: Timestamp) {
        self.lock().insert((connection, reason), now.plus(RETRY_INTERVAL));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ConnectionId, FailureReason), Timestamp>> {
        self.next_writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(number: usize) -> ConnectionId {
        ConnectionId::parse(&format!("con_{number}")).unwrap()
    }

    #[test]
    fn failure_is_written_once_a_day_for_each_reason() {
        let records = ReadFailureRecords::default();
        let reserve = |number, reason, hours: u64| {
            let now = Timestamp::EPOCH.plus(Duration::from_hours(hours));
            records.reserve(&connection(number), reason, now).is_some()
        };

        assert!(reserve(1, FailureReason::Unreadable, 0));
        assert!(!reserve(1, FailureReason::Unreadable, 23));
        assert!(reserve(1, FailureReason::Redirected, 23), "another reason");
        assert!(reserve(2, FailureReason::Unreadable, 23), "another connection");
        assert!(reserve(1, FailureReason::Unreadable, 24));
    }

    #[test]
    fn full_queue_leaves_failure_for_its_next_occurrence() {
        let records = ReadFailureRecords::default();
        let reserve =
            |number| records.reserve(&connection(number), FailureReason::Unreadable, Timestamp::EPOCH);
        let mut places: Vec<_> = (0..MAX_WAITING).map(|number| reserve(number).unwrap()).collect();

        assert!(reserve(MAX_WAITING).is_none(), "the queue is full");
        places.pop();

        assert!(reserve(MAX_WAITING).is_some(), "it was not remembered as written");
    }

    #[test]
    fn remembered_failures_are_limited() {
        let records = ReadFailureRecords::default();

        for number in 0..=MAX_REMEMBERED {
            assert!(
                records.reserve(&connection(number), FailureReason::Unreadable, Timestamp::EPOCH).is_some()
            );
        }

        assert_eq!(records.lock().len(), 1);
    }

    #[test]
    fn failure_that_could_not_be_written_is_written_later() {
        let records = ReadFailureRecords::default();
        let reserve = |seconds| {
            let now = Timestamp::EPOCH.plus(Duration::from_secs(seconds));
            records.reserve(&connection(1), FailureReason::Unreadable, now).is_some()
        };
        assert!(reserve(0));

        records.allow_retry(connection(1), FailureReason::Unreadable, Timestamp::EPOCH);

        assert!(!reserve(59));
        assert!(reserve(60));
    }
}
