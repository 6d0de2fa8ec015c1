//! When a provider that answers `invalid_grant` to many is not believed any more.
//!
//! One such answer means that a customer has ended a grant there. Many at once mean that the provider has lost
//! its grants, or us: nobody's connection must end by that before a person has looked.

use std::time::Duration;

use crate::model::provider::ProviderState;
use crate::time::Timestamp;

/// How far back refreshes are counted.
const REFRESH_WINDOW: Duration = Duration::from_mins(10);
/// So many are always believed.
const TRUSTED_FAILURES: i64 = 20;
/// Above that one in so many: two of a hundred.
const MIN_REFRESHES_PER_FAILURE: i64 = 50;

/// Refreshes at a provider within the window, the one that is judged included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshStats {
    /// All that the provider answered.
    pub completed: i64,
    /// Those that it answered with `invalid_grant`.
    pub invalid_grants: i64,
}

impl RefreshStats {
    /// Whether there are too many that failed.
    const fn has_too_many_failures(self) -> bool {
        self.invalid_grants > TRUSTED_FAILURES
            && self.invalid_grants.saturating_mul(MIN_REFRESHES_PER_FAILURE) > self.completed
    }
}

/// What an `invalid_grant` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGrantDecision {
    /// The grant is over, and so is its connection.
    EndConnection,
    /// The provider is not believed from now on; nothing ends.
    PauseProvider,
    /// The provider is held already; nothing ends.
    ProviderPaused,
}

/// Judges an `invalid_grant` of a provider in a state.
pub const fn evaluate_invalid_grant(state: ProviderState, stats: RefreshStats) -> InvalidGrantDecision {
    match state {
        ProviderState::Paused | ProviderState::Retired | ProviderState::AutoPaused => {
            InvalidGrantDecision::ProviderPaused
        }
        ProviderState::Active if stats.has_too_many_failures() => InvalidGrantDecision::PauseProvider,
        ProviderState::Active => InvalidGrantDecision::EndConnection,
    }
}

/// The minute that a refresh is counted in.
pub const fn epoch_minute(at: Timestamp) -> i64 {
    at.seconds().div_euclid(60)
}

/// The first minute that is looked at: the running one and those before it make up the window.
pub fn first_window_minute(now: Timestamp) -> i64 {
    epoch_minute(now.minus(REFRESH_WINDOW)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn stats(completed: i64, invalid_grants: i64) -> RefreshStats {
        RefreshStats { completed, invalid_grants }
    }

    #[test]
    fn twenty_first_invalid_grant_trips_provider() {
        assert!(!stats(20, 20).has_too_many_failures());
        assert!(stats(21, 21).has_too_many_failures());
    }

    #[test]
    fn two_percent_of_invalid_grants_are_trusted() {
        assert!(!stats(5_000, 100).has_too_many_failures());
        assert!(stats(5_000, 101).has_too_many_failures());
        assert!(stats(4_999, 100).has_too_many_failures());
    }

    #[test]
    fn invalid_grant_is_evaluated_for_active_provider_only() {
        let (few, many) = (stats(1, 1), stats(30, 30));
        assert_eq!(evaluate_invalid_grant(ProviderState::Active, few), InvalidGrantDecision::EndConnection);
        assert_eq!(evaluate_invalid_grant(ProviderState::Active, many), InvalidGrantDecision::PauseProvider);
        for paused in [ProviderState::Paused, ProviderState::Retired, ProviderState::AutoPaused] {
            assert_eq!(
                [evaluate_invalid_grant(paused, few), evaluate_invalid_grant(paused, many)],
                [InvalidGrantDecision::ProviderPaused; 2]
            );
        }
    }

    #[test]
    fn refresh_window_spans_current_and_nine_previous_minutes() {
        let now = Timestamp::from_seconds(60 * 100 + 59);
        assert_eq!((epoch_minute(now), first_window_minute(now)), (100, 91));
        assert_eq!(first_window_minute(Timestamp::from_seconds(60 * 100)), 91);
        assert_eq!(epoch_minute(Timestamp::from_seconds(-1)), -1);
    }

    proptest! {
        #[test]
        fn failure_check_is_monotonic_in_failures_and_successes(answered in 0..100_000_i64, invalid in 0..2_000_i64) {
            let these = stats(answered.max(invalid), invalid);
            let worse = stats(these.completed + 1, invalid + 1);
            let better = stats(these.completed + 1, invalid);
            prop_assert!(!these.has_too_many_failures() || worse.has_too_many_failures());
            prop_assert!(these.has_too_many_failures() || !better.has_too_many_failures());
            prop_assert_eq!(these.has_too_many_failures(), invalid > 20.max(these.completed / 50));
        }
    }
}
