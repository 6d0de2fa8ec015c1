//! The two bounded lanes in front of the writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::CommandPriority;
use crate::error::{Result, StoreError};

/// Ends and everything else, each with its bound.
pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    not_empty: Condvar,
    capacity: usize,
}

struct QueueState<T> {
    high: VecDeque<T>,
    normal: VecDeque<T>,
    /// Ends taken since the last common command: after so many, one of those has its turn.
    high_in_a_row: usize,
    closed: bool,
}

/// A common command has its turn after this many ends.
const MAX_HIGH_IN_A_ROW: usize = 8;

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state =
            QueueState { high: VecDeque::new(), normal: VecDeque::new(), high_in_a_row: 0, closed: false };
        Self { state: Mutex::new(state), not_empty: Condvar::new(), capacity }
    }

    /// Waits in a lane; a full lane is busy, a closed queue is gone.
    pub(super) fn push(&self, priority: CommandPriority, item: T) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        let queue = if priority == CommandPriority::High { &mut state.high } else { &mut state.normal };
        if queue.len() >= self.capacity {
            return Err(StoreError::Busy);
        }
        queue.push_back(item);
        drop(state);
        self.not_empty.notify_one();
        Ok(())
    }

    /// The next item without waiting.
    pub(super) fn pop(&self) -> Option<T> {
        self.lock().pop()
    }

    /// The next item, or none after `patience`, or the end of the queue.
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

    /// Takes nothing more; what waits is still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.not_empty.notify_all();
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.high.len() + state.normal.len()
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waiting brought.
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

    fn build_queue(ends: usize, normal: usize) -> Queue<&'static str> {
        let queue = Queue::new(64);
        (0..normal).for_each(|_| queue.push(CommandPriority::Normal, "common").unwrap());
        (0..ends).for_each(|_| queue.push(CommandPriority::High, "end").unwrap());
        queue
    }

    #[test]
    fn high_priority_runs_first_without_starving_normal() {
        let queue = build_queue(20, 2);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order.iter().position(|x| *x == "common"), Some(MAX_HIGH_IN_A_ROW));
        assert_eq!(order.iter().rposition(|x| *x == "common"), Some(2 * MAX_HIGH_IN_A_ROW + 1));
        assert_eq!(order.len(), 22);
    }

    #[test]
    fn full_priority_queue_is_busy_and_other_stays_open() {
        let queue = Queue::new(1);
        queue.push(CommandPriority::Normal, 1).unwrap();
        assert!(matches!(queue.push(CommandPriority::Normal, 2), Err(StoreError::Busy)));
        assert!(queue.push(CommandPriority::High, 3).is_ok());
    }

    #[test]
    fn closed_queue_drains_items_and_rejects_new_ones() {
        let queue = build_queue(1, 0);
        queue.close();
        assert!(queue.push(CommandPriority::High, "late").is_err());
        assert_eq!(queue.wait(SHORT_TIMEOUT), WaitOutcome::Item("end"));
        assert_eq!(queue.wait(SHORT_TIMEOUT), WaitOutcome::Closed);
        assert_eq!(build_queue(0, 0).wait(SHORT_TIMEOUT), WaitOutcome::Idle);
    }
}
