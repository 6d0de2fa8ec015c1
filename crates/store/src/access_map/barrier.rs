//! The numbers of barriers, for a map whose changes are read from the database instead of announced by a writer.
//!
//! A barrier reads the changes of rows since the previous one, in a snapshot of the database. Applying them makes the map equal
//! to that snapshot: an entry that was read before the barrier was sent, and whose row has not changed since, has the value that
//! the row has in the snapshot. An entry that was read later may be newer, so only later barriers may use it.

use std::sync::atomic::Ordering;

use super::sync::AtomicU64;

/// The number of a barrier, in the order in which barriers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BarrierNumber(u64);

impl BarrierNumber {
    /// The number since which the entries of a map without barriers may be used.
    pub(super) const FIRST: Self = Self(0);
    /// A number that is higher than that of every barrier.
    pub(crate) const LAST: Self = Self(u64::MAX);
}

/// The number of barriers that were sent.
pub(super) struct SentBarriers(AtomicU64);

impl SentBarriers {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the number of a barrier that is sent after this call.
    pub(super) fn start(&self) -> BarrierNumber {
        BarrierNumber(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Returns how many barriers were sent.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns the number of the first barrier that is certainly sent after this call.
    pub(super) fn next(&self) -> BarrierNumber {
        BarrierNumber(self.0.load(Ordering::SeqCst) + 1)
    }
}
