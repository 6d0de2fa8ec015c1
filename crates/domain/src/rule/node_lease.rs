//! The lease of a node, without which it must not use rows that it has read from PostgreSQL.
//!
//! After a fail-over, the demoted primary still returns rows, but they lack the commits of the new one. A commit that waits for
//! the synchronous standby cannot succeed there. Each node therefore commits a row of its own every second, its lease: while the
//! newest acknowledged renewal is young, no end can have been acknowledged elsewhere. A node that meets a new primary waits
//! until the leases of all other nodes have expired.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The maximum duration of a lease. A stored row with a longer one counts as this long.
pub const MAX_LEASE: Duration = Duration::from_mins(1);

/// A part of a lease that is added to the wait, because two clocks do not run equally fast.
const DRIFT_DIVISOR: u32 = 10;

/// A timeline of PostgreSQL: the log of one primary from its promotion on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeline {
    /// The identifier of the database system, which all standbys share with their primary.
    pub system: u64,
    /// The number, which increases with each promotion.
    pub number: u32,
}

impl Timeline {
    const fn is_older_than(self, other: Self) -> bool {
        self.system == other.system && self.number < other.number
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.system, self.number)
    }
}

/// A text that is no timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a system identifier and a number, as in 7713878349545450958/1")]
pub struct TimelineError;

impl FromStr for Timeline {
    type Err = TimelineError;

    fn from_str(text: &str) -> Result<Self, TimelineError> {
        let (system, number) = text.split_once('/').ok_or(TimelineError)?;
        let (system, number) = (system.parse(), number.parse());
        Ok(Self { system: system.map_err(|_| TimelineError)?, number: number.map_err(|_| TimelineError)? })
    }
}

/// A lease that a node has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredLease {
    /// The timeline on which the node has renewed it.
    pub timeline: Timeline,
    /// The period for which a renewal of that node is valid.
    pub duration: Duration,
}

/// The purpose for which a node may use a session with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// Everything.
    Serving,
    /// Renewals only: the node has not accepted the timeline of the server yet.
    Renewal,
    /// Nothing: the node knows a newer primary.
    Nothing,
}

/// The lease of this node. All times are uptimes: the time since the machine was started, including the time for which it was
/// suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeLease {
    duration: Duration,
    /// The timeline on which the node serves, or has served last.
    accepted: Option<Timeline>,
    /// A timeline that the node has met and not accepted, and the time at which it met it.
    met: Option<(Timeline, Duration)>,
    /// The time at which the newest acknowledged renewal was sent.
    renewed_at: Option<Duration>,
}

impl NodeLease {
    /// Creates a lease that was never renewed.
    pub const fn new(duration: Duration) -> Self {
        Self { duration, accepted: None, met: None, renewed_at: None }
    }

    /// Returns the period for which a renewal is valid.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Records that a session with the primary of a timeline was opened. If the timeline is not that on which the node serves,
    /// the lease ends: the sessions with the former server may return outdated rows from now on.
    pub fn meet(&mut self, timeline: Timeline, uptime: Duration) -> SessionUse {
        let session_use = self.session_use(timeline);
        let is_met = self.met.is_some_and(|(met, _)| met == timeline);
        if session_use == SessionUse::Renewal && !is_met {
            self.met = Some((timeline, uptime));
            self.renewed_at = None;
        }
        session_use
    }

    /// Returns the purpose for which a session with the primary of a timeline may be used.
    pub fn session_use(&self, timeline: Timeline) -> SessionUse {
        let known = [self.accepted, self.met.map(|(met, _)| met)];
        if known.into_iter().flatten().any(|known| timeline.is_older_than(known)) {
            return SessionUse::Nothing;
        }
        if self.has_accepted(timeline) { SessionUse::Serving } else { SessionUse::Renewal }
    }

    /// Returns whether this is the timeline on which the node serves.
    pub fn has_accepted(&self, timeline: Timeline) -> bool {
        self.accepted == Some(timeline) && self.met.is_none()
    }

    /// Returns the time that must pass before the lease may be renewed on a timeline that the node has met, given the leases in
    /// the store. It is zero if another node has waited there before, or if no node has ever used the store.
    pub fn remaining_wait(&self, timeline: Timeline, stored: &[StoredLease], uptime: Duration) -> Duration {
        let is_accepted = stored.iter().any(|lease| lease.timeline == timeline);
        if self.has_accepted(timeline) || is_accepted || stored.is_empty() {
            return Duration::ZERO;
        }
        // A lease that was acknowledged before the promotion is in the store of the new primary, and was sent before this node
        // met it. Rows that are missing because they were old cannot shorten the wait below the own lease.
        let longest =
            stored.iter().map(|lease| lease.duration.min(MAX_LEASE)).fold(self.duration, Duration::max);
        let wait = longest + longest / DRIFT_DIVISOR;
        match self.met {
            Some((met, met_at)) if met == timeline => (met_at + wait).saturating_sub(uptime),
            _ => wait,
        }
    }

    /// Records that the server of a timeline has acknowledged a renewal. `sent_at` is a time before it was sent.
    pub fn renew(&mut self, timeline: Timeline, sent_at: Duration) {
        // Another session may have met a newer timeline since.
        let is_met = self.met.is_some_and(|(met, _)| met == timeline);
        if !is_met && !self.has_accepted(timeline) {
            return;
        }
        if is_met {
            (self.accepted, self.met, self.renewed_at) = (Some(timeline), None, None);
        }
        self.renewed_at = self.renewed_at.max(Some(sent_at));
    }

    /// Returns whether rows that were read on a session of a timeline before `uptime` may be used.
    pub fn is_valid(&self, timeline: Timeline, uptime: Duration) -> bool {
        let is_young = |sent_at| uptime.saturating_sub(sent_at) < self.duration;
        self.has_accepted(timeline) && self.renewed_at.is_some_and(is_young)
    }

    /// Returns whether rows may be used that were read on a session of the timeline on which the node serves.
    pub fn is_valid_now(&self, uptime: Duration) -> bool {
        self.accepted.is_some_and(|timeline| self.is_valid(timeline, uptime))
    }
}

#[cfg(test)]
#[path = "node_lease_model.rs"]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Timeline = Timeline { system: 7, number: 1 };
    const SECOND: Timeline = Timeline { system: 7, number: 2 };
    const OTHER_SYSTEM: Timeline = Timeline { system: 8, number: 1 };
    const LEASE: Duration = Duration::from_secs(3);

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn stored(timeline: Timeline, seconds: u64) -> StoredLease {
        StoredLease { timeline, duration: secs(seconds) }
    }

    /// A lease on the first timeline that was renewed at 10 s.
    fn renewed_lease() -> NodeLease {
        let mut lease = NodeLease::new(LEASE);
        assert_eq!(lease.meet(FIRST, secs(9)), SessionUse::Renewal);
        lease.renew(FIRST, secs(10));
        lease
    }

    #[test]
    fn lease_is_valid_from_when_its_renewal_was_sent() {
        let mut lease = renewed_lease();

        let before_end = secs(13).saturating_sub(Duration::from_nanos(1));
        assert!(lease.is_valid(FIRST, before_end) && lease.is_valid_now(before_end));
        assert!(!lease.is_valid(FIRST, secs(13)) && !lease.is_valid_now(secs(13)));
        lease.renew(FIRST, secs(12));
        lease.renew(FIRST, secs(11));

        assert!(lease.is_valid(FIRST, secs(14)), "a renewal that is acknowledged late shortens nothing");
        assert!(!lease.is_valid(FIRST, secs(15)));
        assert_eq!(lease.duration(), LEASE);
    }

    #[test]
    fn lease_without_renewal_is_invalid() {
        let mut lease = NodeLease::new(LEASE);
        lease.renew(FIRST, secs(1));
        lease.meet(FIRST, secs(1));

        assert!(!lease.is_valid(FIRST, secs(1)) && !lease.is_valid_now(secs(1)));
    }

    #[test]
    fn new_timeline_ends_lease_until_it_is_renewed_there() {
        let mut lease = renewed_lease();
        assert_eq!(lease.meet(FIRST, secs(10)), SessionUse::Serving);

        assert_eq!(lease.meet(SECOND, secs(11)), SessionUse::Renewal);
        lease.renew(FIRST, secs(11));

        assert!(!lease.is_valid(FIRST, secs(11)) && !lease.is_valid(SECOND, secs(11)));
        assert_eq!(lease.session_use(FIRST), SessionUse::Nothing, "it was demoted");
        lease.renew(SECOND, secs(12));
        assert!(lease.is_valid(SECOND, secs(12)) && !lease.is_valid(FIRST, secs(12)));
        assert_eq!(lease.meet(FIRST, secs(12)), SessionUse::Nothing);
        assert_eq!(lease.meet(SECOND, secs(12)), SessionUse::Serving);
        assert_eq!(lease.meet(OTHER_SYSTEM, secs(12)), SessionUse::Renewal, "it has another history");
    }

    #[test]
    fn wait_on_new_timeline_covers_longest_lease_with_drift() {
        let mut lease = renewed_lease();
        lease.meet(SECOND, secs(20));
        lease.meet(SECOND, secs(21));
        let wait = |stored: &[StoredLease], uptime| lease.remaining_wait(SECOND, stored, uptime);

        assert_eq!(wait(&[stored(FIRST, 1)], secs(21)), Duration::from_millis(2_300), "the own lease");
        assert_eq!(wait(&[stored(FIRST, 1), stored(FIRST, 10)], secs(21)), secs(10));
        assert_eq!(wait(&[stored(FIRST, 10)], secs(30)), secs(1));
        assert_eq!(wait(&[stored(FIRST, 10)], secs(31)), Duration::ZERO);
        assert_eq!(wait(&[stored(FIRST, 600)], secs(20)), secs(66), "a lease has a maximum");
        assert_eq!(lease.remaining_wait(OTHER_SYSTEM, &[stored(FIRST, 3)], secs(90)).as_millis(), 3_300);
    }

    #[test]
    fn no_wait_in_new_store_or_where_a_node_has_waited() {
        let mut lease = renewed_lease();
        assert_eq!(lease.remaining_wait(FIRST, &[stored(SECOND, 9)], secs(20)), Duration::ZERO);
        lease.meet(SECOND, secs(20));

        assert_eq!(lease.remaining_wait(SECOND, &[], secs(20)), Duration::ZERO);
        let leases = [stored(FIRST, 9), stored(SECOND, 9)];
        assert_eq!(lease.remaining_wait(SECOND, &leases, secs(20)), Duration::ZERO);
    }

    #[test]
    fn timeline_text_is_parsed() {
        assert_eq!(FIRST.to_string().parse(), Ok(FIRST));
        for invalid in ["", "7", "7/", "/1", "7/x", "-7/1", "7/1/2"] {
            assert_eq!(invalid.parse::<Timeline>(), Err(TimelineError), "{invalid}");
        }
    }
}
