//! The progress of the sweeps that end expired connections.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;
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
    /// The number of clock jumps before the last sweep, and before the last complete one.
    jumps: u64,
    completed_jumps: u64,
    /// The providers whose connections the last sweep has left out.
    braked: BTreeSet<ProviderId>,
}

impl SweepProgress {
    /// Returns whether a clock has jumped since the last complete sweep, given the number of jumps so far.
    pub(crate) const fn has_jumped(&self, jumps: u64) -> bool {
        jumps != self.completed_jumps
    }

    /// Records that the sweep has ended every connection that it should.
    pub(crate) const fn complete(&mut self, jumps: u64) {
        self.completed_jumps = jumps;
    }

    /// Returns the position at which a sweep begins that leaves out the connections of some providers.
    pub(crate) fn begin(
        &mut self,
        now: Timestamp,
        jumps: u64,
        braked: &BTreeSet<ProviderId>,
    ) -> SweepPosition {
        // A position from before a jump may lie in the future, and connections of a released provider lie before it.
        let is_outdated = jumps != self.jumps || !self.braked.is_subset(braked);
        if is_outdated || self.begun_at.is_none_or(|begun| now.since(begun) >= FULL_SWEEP_INTERVAL) {
            let completed_jumps = self.completed_jumps;
            *self = Self { begun_at: Some(now), completed_jumps, ..Self::default() };
        }
        self.jumps = jumps;
        self.braked.clone_from(braked);
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
        let begin = |progress: &mut SweepProgress, now| progress.begin(now, 0, &BTreeSet::new());
        begin(&mut progress, now);
        progress.advance(at(0), at(1), None);
        progress.advance(at(1), at(2), Some(now));
        progress.advance(at(2), at(3), Some(now));

        let next = begin(&mut progress, now.plus(RETRY_INTERVAL.saturating_sub(Duration::from_millis(1))));
        let retry = begin(&mut progress, now.plus(RETRY_INTERVAL));
        progress.advance(at(1), at(3), None);
        let last = begin(&mut progress, now.plus(RETRY_INTERVAL * 2));

        assert_eq!([next, retry, last], [at(3), at(1), at(3)]);
    }

    #[test]
    fn sweep_restarts_after_jump_and_after_release() {
        let mut progress = SweepProgress::default();
        let (now, braked) = (Timestamp::from_millis(1_000_000), BTreeSet::from([ProviderId::new(1)]));
        progress.begin(now, 0, &BTreeSet::new());
        progress.advance(at(0), at(1), None);

        let positions = [(0, true), (1, true), (1, false), (1, false)].map(|(jumps, is_braked)| {
            let braked = if is_braked { braked.clone() } else { BTreeSet::new() };
            let begin = progress.begin(now, jumps, &braked);
            progress.advance(begin.clone(), at(1), None);
            begin
        });

        assert_eq!(positions, [at(1), SweepPosition::default(), SweepPosition::default(), at(1)]);
        assert!(progress.has_jumped(1));
        progress.complete(1);
        progress.begin(now, 1, &braked);
        assert!(!progress.has_jumped(1) && progress.has_jumped(2));
    }
}
