//! The two bounded lanes in front of the writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Lane;
use crate::error::{Result, StoreError};

/// Ends and everything else, each with its bound.
pub(super) struct Queue<T> {
    lanes: Mutex<Lanes<T>>,
    filled: Condvar,
    bound: usize,
}

struct Lanes<T> {
    end: VecDeque<T>,
    common: VecDeque<T>,
    /// Ends taken since the last common command: after so many, one of those has its turn.
    ends_in_a_row: usize,
    closed: bool,
}

/// A common command has its turn after this many ends.
const SHARE: usize = 8;

impl<T> Queue<T> {
    pub(super) fn new(bound: usize) -> Self {
        let lanes = Lanes { end: VecDeque::new(), common: VecDeque::new(), ends_in_a_row: 0, closed: false };
        Self { lanes: Mutex::new(lanes), filled: Condvar::new(), bound }
    }

    /// Waits in a lane; a full lane is busy, a closed queue is gone.
    pub(super) fn push(&self, lane: Lane, item: T) -> Result<()> {
        let mut lanes = self.lock();
        if lanes.closed {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        let queue = if lane == Lane::End { &mut lanes.end } else { &mut lanes.common };
        if queue.len() >= self.bound {
            return Err(StoreError::Busy);
        }
        queue.push_back(item);
        drop(lanes);
        self.filled.notify_one();
        Ok(())
    }

    /// The next item without waiting.
    pub(super) fn pop(&self) -> Option<T> {
        self.lock().pop()
    }

    /// The next item, or none after `patience`, or the end of the queue.
    pub(super) fn wait(&self, patience: Duration) -> Next<T> {
        let mut lanes = self.lock();
        if lanes.is_empty() && !lanes.closed {
            lanes = self.filled.wait_timeout(lanes, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        match lanes.pop() {
            Some(item) => Next::Item(item),
            None if lanes.closed => Next::Closed,
            None => Next::Idle,
        }
    }

    /// Takes nothing more; what waits is still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let lanes = self.lock();
        lanes.end.len() + lanes.common.len()
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waiting brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    Item(T),
    Idle,
    Closed,
}

impl<T> Lanes<T> {
    fn is_empty(&self) -> bool {
        self.end.is_empty() && self.common.is_empty()
    }

    fn pop(&mut self) -> Option<T> {
        if (self.ends_in_a_row < SHARE || self.common.is_empty())
            && let Some(item) = self.end.pop_front()
        {
            self.ends_in_a_row += 1;
            return Some(item);
        }
        self.ends_in_a_row = 0;
        self.common.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_LONG: Duration = Duration::from_millis(1);

    fn filled(ends: usize, common: usize) -> Queue<&'static str> {
        let queue = Queue::new(64);
        (0..common).for_each(|_| queue.push(Lane::Common, "common").unwrap());
        (0..ends).for_each(|_| queue.push(Lane::End, "end").unwrap());
        queue
    }

    #[test]
    fn ends_go_first_and_the_rest_has_a_share() {
        let queue = filled(20, 2);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order.iter().position(|x| *x == "common"), Some(SHARE));
        assert_eq!(order.iter().rposition(|x| *x == "common"), Some(2 * SHARE + 1));
        assert_eq!(order.len(), 22);
    }

    #[test]
    fn a_full_lane_is_busy_and_leaves_the_other_open() {
        let queue = Queue::new(1);
        queue.push(Lane::Common, 1).unwrap();
        assert!(matches!(queue.push(Lane::Common, 2), Err(StoreError::Busy)));
        assert!(queue.push(Lane::End, 3).is_ok());
    }

    #[test]
    fn a_closed_queue_hands_out_what_waits_and_takes_nothing() {
        let queue = filled(1, 0);
        queue.close();
        assert!(queue.push(Lane::End, "late").is_err());
        assert_eq!(queue.wait(NOT_LONG), Next::Item("end"));
        assert_eq!(queue.wait(NOT_LONG), Next::Closed);
        assert_eq!(filled(0, 0).wait(NOT_LONG), Next::Idle);
    }
}
