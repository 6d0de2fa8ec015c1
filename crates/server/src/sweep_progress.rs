//! The progress of the sweeps that end expired connections.

use std::time::Duration;

use domain::Timestamp;
use store::query::ExpiryPosition;

/// The interval after which a sweep examines every connection whose consent has expired, and not only those that have expired
/// since the sweep before.
const FULL_SWEEP_INTERVAL: Duration = Duration::from_hours(24);

/// The progress of the sweeps of this node through the connections whose consent has expired.
#[derive(Debug, Default)]
pub(crate) struct SweepProgress {
    /// The position up to which all of these connections have ended.
    position: Option<ExpiryPosition>,
    /// The time of the sweep that began at the first connection.
    begun_at: Option<Timestamp>,
}

impl SweepProgress {
    /// Returns the position at which a sweep begins.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Option<ExpiryPosition> {
        if self.begun_at.is_none_or(|begun| now.since(begun) >= FULL_SWEEP_INTERVAL) {
            *self = Self { position: None, begun_at: Some(now) };
        }
        self.position.clone()
    }

    /// Records that every connection up to a position has ended.
    pub(crate) fn set_position(&mut self, position: Option<ExpiryPosition>) {
        self.position = position;
    }
}
