//! A queue whose items are processed in sets: what waits at the same time shares one operation of the database.
//!
//! The queue adds no delay of a fixed length: an item that finds few sets running starts one immediately, and those that arrive in the meantime
//! form the next set.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::FutureExt;

use crate::error::{Result, StoreError};

/// The default of the maximum number of sets of a queue that run at the same time. While the database responds to one set, the next
/// one can be sent.
const MAX_RUNNING_SETS: usize = 2;

pub(crate) struct SetQueue<T> {
    state: Mutex<QueueState<T>>,
    /// The maximum number of items that wait; further ones are rejected with `Busy`.
    capacity: usize,
    max_set_size: usize,
    max_running_sets: usize,
    /// True if a set starts only after the tasks that are ready now have run: they may add items to it.
    lets_tasks_join: bool,
}

struct QueueState<T> {
    waiting: Vec<T>,
    running_sets: usize,
}

impl<T: Send + 'static> SetQueue<T> {
    pub(crate) const fn new(capacity: usize, max_set_size: usize) -> Self {
        let state = QueueState { waiting: Vec::new(), running_sets: 0 };
        Self {
            state: Mutex::new(state),
            capacity,
            max_set_size,
            max_running_sets: MAX_RUNNING_SETS,
            lets_tasks_join: false,
        }
    }

    /// Creates a queue of which one set runs at a time, with everything that waits when it starts, and with what the tasks that are
    /// ready now add.
    pub(crate) fn one_at_a_time(capacity: usize) -> Self {
        Self { max_running_sets: 1, lets_tasks_join: true, ..Self::new(capacity, usize::MAX) }
    }

    /// Adds an item. Starts a task that processes sets with `run_set`, if few are running.
    ///
    /// The task is not that of a caller: if the caller went away, the other items would get no response.
    pub(crate) fn push<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        item: T,
        run_set: impl Fn(Vec<T>) -> F + Send + 'static,
    ) -> Result<()> {
        let mut state = self.lock();
        if state.waiting.len() >= self.capacity {
            return Err(StoreError::Busy);
        }
        state.waiting.push(item);
        if state.running_sets < self.max_running_sets {
            state.running_sets += 1;
            tokio::spawn(Arc::clone(self).run(run_set));
        }
        Ok(())
    }

    async fn run<F: Future<Output = ()> + Send + 'static>(
        self: Arc<Self>,
        run_set: impl Fn(Vec<T>) -> F + Send,
    ) {
        loop {
            if self.lets_tasks_join {
                // The tasks whose items the previous set has processed are ready, and others whose requests have arrived.
                tokio::task::yield_now().await;
            }
            let Some(set) = self.take_set() else { return };
            // After a panic, the items of the set are dropped, which their callers notice. The number of running sets must stay
            // correct, or nothing would run after a few panics.
            let _ = AssertUnwindSafe(run_set(set)).catch_unwind().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next set. Returns `None` if nothing waits; the task that called must then end.
    fn take_set(&self) -> Option<Vec<T>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.running_sets -= 1;
            return None;
        }
        let count = state.waiting.len().min(self.max_set_size);
        Some(state.waiting.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn queue_processes_items_after_panics() {
        let queue: Arc<SetQueue<(bool, oneshot::Sender<()>)>> = Arc::new(SetQueue::new(10, 10));
        let run_set = |set: Vec<(bool, oneshot::Sender<()>)>| async move {
            for (panics, reply) in set {
                assert!(!panics, "the test's panic");
                let _ = reply.send(());
            }
        };

        for panics in [true, true, true, false] {
            let (sender, receiver) = oneshot::channel();
            queue.push((panics, sender), run_set).unwrap();
            assert_eq!(receiver.await.is_err(), panics);
        }
    }

    type Reply = oneshot::Sender<()>;

    /// The sizes of the sets that were processed, and the test's wish to know when the first one starts.
    #[derive(Default)]
    struct Processed {
        sizes: Mutex<Vec<usize>>,
        started: tokio::sync::Notify,
    }

    impl Processed {
        /// Adds an item, and waits until its set was processed.
        async fn push(self: &Arc<Self>, queue: &Arc<SetQueue<Reply>>) {
            let (sender, receiver) = oneshot::channel();
            let processed = Arc::clone(self);
            let run_set = move |set: Vec<Reply>| {
                let processed = Arc::clone(&processed);
                async move {
                    processed.sizes.lock().unwrap().push(set.len());
                    processed.started.notify_one();
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                    for reply in set {
                        reply.send(()).unwrap();
                    }
                }
            };
            queue.push(sender, run_set).unwrap();
            receiver.await.unwrap();
        }
    }

    #[tokio::test]
    async fn next_set_contains_items_of_tasks_that_are_ready() {
        let queue = Arc::new(SetQueue::one_at_a_time(10));
        let processed = Arc::new(Processed::default());
        let twice = async {
            processed.push(&queue).await;
            processed.push(&queue).await;
        };
        let during_first_set = async {
            processed.started.notified().await;
            processed.push(&queue).await;
        };

        tokio::join!(twice, during_first_set);

        assert_eq!(*processed.sizes.lock().unwrap(), [1, 2]);
    }
}
