//! The brake of the sweep, which ends connections that have expired.
//!
//! An end is final and revokes the grant at the provider. If a clock is wrong, many connections seem to have expired. When the
//! time may have been wrong, only a few connections of each provider end; more wait for an operator.

use std::time::Duration;

use crate::time::Timestamp;

/// The time without a sweep after which the time of day is doubted.
const MAX_SWEEP_GAP: Duration = Duration::from_hours(24);

crate::str_enum! {
    /// The state of the ends by expiry at one provider.
    pub enum ExpiryState {
        /// Expired connections end.
        Running = "running",
        /// No connection ends by expiry until an operator releases the provider.
        Braked = "braked",
        /// An operator has released the provider: the next sweep ends every expired connection.
        Released = "released",
    }
}

/// The treatment of the expired connections of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryDecision {
    /// End them.
    End,
    /// Brake the provider, and end none.
    Brake,
    /// End none.
    Wait,
}

/// Returns whether the time of day may be, or may have been, wrong. `last_sweep` is the time of the last complete sweep of any
/// node, and `has_jumped` is true if a clock has jumped since the last complete sweep of this node.
pub fn is_time_doubtful(last_sweep: Option<Timestamp>, has_jumped: bool, now: Timestamp) -> bool {
    // A sweep in the future shows that the clock was wrong then, or is wrong now.
    let is_gap = |last: Timestamp| now.since(last).max(last.since(now)) > MAX_SWEEP_GAP;
    has_jumped || last_sweep.is_some_and(is_gap)
}

/// Decides on the connections of a provider that have expired, of which there are `due`.
pub fn decide_expiry(state: ExpiryState, is_time_doubtful: bool, due: u64, limit: u64) -> ExpiryDecision {
    match state {
        ExpiryState::Braked => ExpiryDecision::Wait,
        ExpiryState::Running if is_time_doubtful && due > limit => ExpiryDecision::Brake,
        ExpiryState::Running | ExpiryState::Released => ExpiryDecision::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn time_is_doubtful_after_jump_or_gap_of_over_a_day() {
        let now = Timestamp::from_millis(100 * DAY_MS);
        let is_doubtful = |last_sweep: Option<i64>, has_jumped| {
            let last_sweep = last_sweep.map(|millis| Timestamp::from_millis(100 * DAY_MS + millis));
            is_time_doubtful(last_sweep, has_jumped, now)
        };

        for last_sweep in [None, Some(0), Some(-DAY_MS), Some(DAY_MS)] {
            assert!(!is_doubtful(last_sweep, false), "{last_sweep:?}");
            assert!(is_doubtful(last_sweep, true), "{last_sweep:?}");
        }
        assert!(is_doubtful(Some(-DAY_MS - 1), false) && is_doubtful(Some(DAY_MS + 1), false));
    }

    #[test]
    fn many_expired_connections_at_doubtful_time_wait_for_release() {
        for (state, is_doubtful, due, expected) in [
            (ExpiryState::Running, true, 20, ExpiryDecision::End),
            (ExpiryState::Running, true, 21, ExpiryDecision::Brake),
            (ExpiryState::Running, false, 21, ExpiryDecision::End),
            (ExpiryState::Braked, false, 1, ExpiryDecision::Wait),
            (ExpiryState::Braked, true, 21, ExpiryDecision::Wait),
            (ExpiryState::Released, true, 21, ExpiryDecision::End),
        ] {
            assert_eq!(decide_expiry(state, is_doubtful, due, 20), expected, "{state} {is_doubtful} {due}");
        }
    }
}
