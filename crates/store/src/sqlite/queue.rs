//! The bounded queues of the SQLite writer, one for each kind of command.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Result, StoreError};
use crate::operation::CommandKind;

/// Two queues with the same capacity, one for each kind of command. A full queue of other commands does not prevent a command
/// that ends a connection from being queued.
pub(super) struct PriorityQueue<T> {
    state: Mutex<QueueState<T>>,
    not_empty: Condvar,
    capacity: usize,
}

struct QueueState<T> {
    high: VecDeque<T>,
    normal: VecDeque<T>,
    /// The number of items of high priority that were taken since the last one of normal priority.
    high_in_a_row: usize,
    closed: bool,
}

/// The number of items of high priority in a row after which one of normal priority is taken, so that none waits
/// forever.
const MAX_HIGH_IN_A_ROW: usize = 8;

impl<T> PriorityQueue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state =
            QueueState { high: VecDeque::new(), normal: VecDeque::new(), high_in_a_row: 0, closed: false };
        Self { state: Mutex::new(state), not_empty: Condvar::new(), capacity }
    }

    /// Adds an item. Fails if the queue of its kind is full, or after `close`.
    pub(super) fn push(&self, kind: CommandKind, item: T) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        let queue = if kind == CommandKind::End { &mut state.high } else { &mut state.normal };
        if queue.len() >= self.capacity {
            return Err(StoreError::Busy);
        }
        queue.push_back(item);
        drop(state);
        self.not_empty.notify_one();
        Ok(())
    }

    /// Takes the next item without waiting.
    pub(super) fn pop(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Waits for the next item until `timeout` has elapsed.
    pub(super) fn wait(&self, timeout: Duration) -> WaitOutcome<T> {
        let mut state = self.lock();
        if state.is_empty() && !state.closed {
            state = self.not_empty.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
        match state.pop() {
            Some(item) => WaitOutcome::Item(item),
            None if state.closed => WaitOutcome::Closed,
            None => WaitOutcome::Idle,
        }
    }

    /// Closes the queue: further items are rejected, and items that wait can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.not_empty.notify_all();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.high.len() + state.normal.len()
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum WaitOutcome<T> {
    Item(T),
    Idle,
    Closed,
}

impl<T> QueueState<T> {
    fn is_empty(&self) -> bool {
        self.high.is_empty() && self.normal.is_empty()
    }

    fn pop(&mut self) -> Option<T> {
        if (self.high_in_a_row < MAX_HIGH_IN_A_ROW || self.normal.is_empty())
            && let Some(item) = self.high.pop_front()
        {
            self.high_in_a_row += 1;
            return Some(item);
        }
        self.high_in_a_row = 0;
        self.normal.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT_TIMEOUT: Duration = Duration::from_millis(1);

    fn build_queue(high: usize, normal: usize) -> PriorityQueue<&'static str> {
        let queue = PriorityQueue::new(64);
        (0..normal).for_each(|_| queue.push(CommandKind::Other, "normal").unwrap());
        (0..high).for_each(|_| queue.push(CommandKind::End, "high").unwrap());
        queue
    }

    #[test]
    fn high_priority_runs_first_without_starving_normal() {
        let queue = build_queue(20, 2);

        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();

        assert_eq!(order.iter().position(|item| *item == "normal"), Some(MAX_HIGH_IN_A_ROW));
        assert_eq!(order.iter().rposition(|item| *item == "normal"), Some(2 * MAX_HIGH_IN_A_ROW + 1));
        assert_eq!(order.len(), 22);
    }

    #[test]
    fn full_priority_queue_is_busy_and_other_stays_open() {
        let queue = PriorityQueue::new(1);
        queue.push(CommandKind::Other, 1).unwrap();

        assert!(matches!(queue.push(CommandKind::Other, 2), Err(StoreError::Busy)));
        assert!(queue.push(CommandKind::End, 3).is_ok());
    }

    #[test]
    fn closed_queue_drains_items_and_rejects_new_ones() {
        let queue = build_queue(1, 0);
        queue.close();

        assert!(queue.push(CommandKind::End, "late").is_err());
        assert_eq!(queue.wait(SHORT_TIMEOUT), WaitOutcome::Item("high"));
        assert_eq!(queue.wait(SHORT_TIMEOUT), WaitOutcome::Closed);
        assert_eq!(build_queue(0, 0).wait(SHORT_TIMEOUT), WaitOutcome::Idle);
    }
}
