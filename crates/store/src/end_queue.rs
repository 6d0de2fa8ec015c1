//! The queue of requests to end connections, which combines those that wait at the same time.
//!
//! One transaction ends a whole set of connections for little more than the cost of one.

use std::sync::Arc;
use std::time::Duration;

use domain::rule::authority::Authority;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

use crate::command::EndOutcome;
use crate::command::end_connection::{EndConnections, EndRequest, EndSingleConnection};
use crate::error::{Result, StoreError};
use crate::set_queue::SetQueue;
use crate::settings::{Location, StoreSettings};

/// The maximum number of connections that one transaction ends.
const MAX_SET_SIZE: usize = 512;
/// The maximum number of requests that run individually at the same time on PostgreSQL, where they may wait for locks.
const MAX_SINGLE_ENDS: usize = 4;
/// The maximum number of requests that run individually at the same time on SQLite.
const MAX_SQLITE_ENDS: usize = 512;
/// The maximum time that a request waits for its turn to run individually.
const MAX_PERMIT_WAIT: Duration = Duration::from_secs(3);

/// A backend that runs the commands which end connections.
pub(crate) trait RunEnds: Send + Sync + 'static {
    fn run_set(&self, ends: EndConnections) -> impl Future<Output = Result<Vec<Option<EndOutcome>>>> + Send;
    fn run_single(&self, end: EndSingleConnection) -> impl Future<Output = Result<EndOutcome>> + Send;
    fn run_authorized(
        &self,
        authority: Authority,
        end: EndSingleConnection,
    ) -> impl Future<Output = Result<EndOutcome>> + Send;
}

pub(crate) struct EndQueue {
    sets: Arc<SetQueue<WaitingEnd>>,
    single_ends: Semaphore,
}

struct WaitingEnd {
    request: EndRequest,
    reply: oneshot::Sender<Result<EndOutcome>>,
}

impl EndQueue {
    /// Creates a queue for the ends of a store.
    pub(crate) fn new(settings: &StoreSettings) -> Self {
        let sets = Arc::new(SetQueue::new(settings.queue_capacity, MAX_SET_SIZE));
        let single_ends = match settings.location {
            Location::Sqlite(_) => limit_sqlite_ends(settings.queue_capacity),
            // Half of the sessions for ends stay free for sets, whatever happens to the requests that wait for locks.
            Location::Postgres(_) => (settings.sessions_per_pool() / 2).clamp(1, MAX_SINGLE_ENDS),
        };
        Self { sets, single_ends: Semaphore::new(single_ends) }
    }

    /// Ends a connection. If the caller goes away, the request is completed unless it waits to run individually.
    pub(crate) async fn run<B: RunEnds>(
        self: &Arc<Self>,
        backend: &Arc<B>,
        request: EndRequest,
    ) -> Result<EndOutcome> {
        let (reply, receiver) = oneshot::channel();
        let (queue, backend) = (Arc::clone(self), Arc::clone(backend));
        self.sets.push(WaitingEnd { request, reply }, move |set| {
            let (queue, backend) = (Arc::clone(&queue), Arc::clone(&backend));
            async move { queue.run_set(&backend, set).await }
        })?;
        receiver.await.unwrap_or_else(|_| Err(StoreError::Internal("an end was abandoned".into())))
    }

    /// Ends a connection at the request of an operator or partner, individually, because the caller is verified in the same
    /// transaction.
    pub(crate) async fn run_authorized<B: RunEnds>(
        &self,
        backend: &B,
        authority: Authority,
        end: EndSingleConnection,
    ) -> Result<EndOutcome> {
        let _permit = self.acquire_single_end().await?;
        backend.run_authorized(authority, end).await
    }

    async fn acquire_single_end(&self) -> Result<SemaphorePermit<'_>> {
        match timeout(MAX_PERMIT_WAIT, self.single_ends.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }

    async fn run_set<B: RunEnds>(self: &Arc<Self>, backend: &Arc<B>, set: Vec<WaitingEnd>) {
        let requests = set.iter().map(|end| end.request.clone()).collect();
        let Some(ends) = EndConnections::new(requests) else { return };
        match backend.run_set(ends).await {
            Ok(outcomes) => {
                for (end, outcome) in set.into_iter().zip(outcomes) {
                    match outcome {
                        // An error means that the caller no longer waits for the reply.
                        Some(outcome) => drop(end.reply.send(Ok(outcome))),
                        None => self.spawn_single(backend, end),
                    }
                }
            }
            // One connection whose rows contradict each other, or were changed, must not keep the others from ending.
            Err(StoreError::Internal(_) | StoreError::UnverifiedRow { .. } | StoreError::Conflict) => {
                for end in set {
                    self.spawn_single(backend, end);
                }
            }
            Err(error) => {
                for end in set {
                    drop(end.reply.send(Err(error.repeat())));
                }
            }
        }
    }

    /// Runs a request individually, in a task of its own: it may wait for a lock, and the next set must not wait with it.
    fn spawn_single<B: RunEnds>(self: &Arc<Self>, backend: &Arc<B>, end: WaitingEnd) {
        let (queue, backend) = (Arc::clone(self), Arc::clone(backend));
        tokio::spawn(async move {
            let WaitingEnd { request, mut reply } = end;
            let permit = tokio::select! {
                permit = queue.acquire_single_end() => permit,
                // Nothing was done for this request yet, and no caller would learn its outcome. If it kept its place, callers that
                // give up and try again would delay each other more and more.
                () = reply.closed() => return,
            };
            let result = match permit {
                Ok(_permit) => backend.run_single(EndSingleConnection(request)).await,
                Err(error) => Err(error),
            };
            drop(reply.send(result));
        });
    }
}

/// Returns how many requests may run individually at the same time on SQLite. They wait only for the writer, which commits
/// together what waits for it. Half of its queue stays free for the sets of customers.
fn limit_sqlite_ends(queue_capacity: usize) -> usize {
    (queue_capacity / 2).clamp(1, MAX_SQLITE_ENDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_ends_of_operators_leave_half_the_queue_free() {
        for capacity in [2, 3, 100, 4096, usize::MAX] {
            let limit = limit_sqlite_ends(capacity);
            assert!(
                (1..=capacity / 2).contains(&limit) && limit <= Semaphore::MAX_PERMITS,
                "{capacity}: {limit}"
            );
        }
        assert_eq!(limit_sqlite_ends(1), 1);
    }
}
