//! The progress of the sweeps that end expired connections.

use std::time::Duration;

use domain::Timestamp;
use store::query::SweepPosition;

/// The interval after which a sweep examines every connection that has expired, and not only those that have expired since the
/// sweep before.
const FULL_SWEEP_INTERVAL: Duration = Duration::from_hours(24);
/// The interval after which a sweep tries to end a skipped connection again. Each attempt is logged.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// The progress of the sweeps of this node through the connections that have expired.
#[derive(Debug, Default)]
pub(crate) struct SweepProgress {
    /// The position up to which each connection has ended or was skipped.
    position: SweepPosition,
    /// The position before the first connection that was skipped, because another program has changed it, and the time.
    first_skipped: Option<(SweepPosition, Timestamp)>,
    /// The time of the sweep that began at the first connection.
    begun_at: Option<Timestamp>,
}

impl SweepProgress {
    /// Returns the position at which a sweep begins.
    pub(crate) fn begin(&mut self, now: Timestamp) -> SweepPosition {
        if self.begun_at.is_none_or(|begun| now.since(begun) >= FULL_SWEEP_INTERVAL) {
            *self = Self { begun_at: Some(now), ..Self::default() };
        }
        let is_due = |(_, skipped_at): &mut (_, Timestamp)| now.since(*skipped_at) >= RETRY_INTERVAL;
        if let Some((position, _)) = self.first_skipped.take_if(is_due) {
            self.position = position;
        }
        // The list of connections whose code was not redeemed contains none that has ended, so it is always read completely.
        SweepPosition { pending: None, ..self.position.clone() }
    }

    /// Records that the connections between two positions have ended, except for some that were skipped at the given time.
    pub(crate) fn advance(&mut self, from: SweepPosition, to: SweepPosition, skipped_at: Option<Timestamp>) {
        self.first_skipped = self.first_skipped.take().or_else(|| skipped_at.map(|at| (from, at)));
        self.position = to;
    }
}

#[cfg(test)]
mod tests {
    use domain::id::ConnectionId;

    use super::*;

    fn at(millis: i64) -> SweepPosition {
        let id = ConnectionId::parse("con_0195a3c07d2e7fffbfffffffffffffff").unwrap();
        SweepPosition { consent: Some((Timestamp::from_millis(millis), id)), ..SweepPosition::default() }
    }

    #[test]
    fn sweep_returns_to_first_skipped_connection_after_interval() {
        let mut progress = SweepProgress::default();
        let now = Timestamp::from_millis(1_000_000);
        progress.begin(now);
        progress.advance(at(0), at(1), None);
        progress.advance(at(1), at(2), Some(now));
        progress.advance(at(2), at(3), Some(now));

        let next = progress.begin(now.plus(RETRY_INTERVAL.saturating_sub(Duration::from_millis(1))));
        let retry = progress.begin(now.plus(RETRY_INTERVAL));
        progress.advance(at(1), at(3), None);
        let last = progress.begin(now.plus(RETRY_INTERVAL * 2));

        assert_eq!([next, retry, last], [at(3), at(1), at(3)]);
    }
}
