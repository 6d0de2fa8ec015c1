//! The decision to pause a provider that rejects too many refreshes with `invalid_grant`.
//!
//! A single `invalid_grant` means that the customer has ended the grant at the provider. Many of them within a short time
//! mean that the provider has lost its grants or does not recognize the hub. No connection may end because of that, so
//! the hub pauses the provider until an operator releases it.

use std::time::Duration;

use crate::model::provider::ProviderState;
use crate::time::Timestamp;

/// The period in which refreshes are counted.
const REFRESH_WINDOW: Duration = Duration::from_mins(10);
/// The number of failures within the period that never pause a provider, because single customers may have caused them.
const TRUSTED_FAILURES: i64 = 20;
/// The percentage of failed refreshes within the period above which a provider is paused.
const MAX_FAILURE_PERCENT: i64 = 2;

/// Counts of refreshes at a provider within the period, including the refresh that is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshStats {
    /// Refreshes to which the provider responded.
    pub completed: i64,
    /// Refreshes that were rejected with `invalid_grant`.
    pub invalid_grants: i64,
}

impl RefreshStats {
    const fn has_too_many_failures(self) -> bool {
        // A limit in percent only would pause a small provider after its first failure.
        self.invalid_grants > TRUSTED_FAILURES
            && self.invalid_grants.saturating_mul(100) > self.completed.saturating_mul(MAX_FAILURE_PERCENT)
    }
}

/// The consequence of an `invalid_grant` response to a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGrantDecision {
    /// The grant has ended, and the connection ends too.
    EndConnection,
    /// The provider is paused; no connection ends.
    PauseProvider,
    /// The provider was already paused; no connection ends.
    ProviderPaused,
}

/// Decides the consequence of an `invalid_grant`.
pub const fn evaluate_invalid_grant(state: ProviderState, refreshes: RefreshStats) -> InvalidGrantDecision {
    match state {
        ProviderState::Paused | ProviderState::Retired | ProviderState::AutoPaused => {
            InvalidGrantDecision::ProviderPaused
        }
        ProviderState::Active if refreshes.has_too_many_failures() => InvalidGrantDecision::PauseProvider,
        ProviderState::Active => InvalidGrantDecision::EndConnection,
    }
}

/// Returns the number of whole minutes since the Unix epoch. Refreshes are counted for each minute.
pub const fn epoch_minute(at: Timestamp) -> i64 {
    at.seconds().div_euclid(60)
}

/// Returns the first minute of the ten minutes that end with the current one, in the unit of [`epoch_minute`].
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
    fn twenty_first_invalid_grant_exceeds_limit() {
        assert!(!stats(20, 20).has_too_many_failures());
        assert!(stats(21, 21).has_too_many_failures());
    }

    #[test]
    fn invalid_grants_up_to_two_percent_are_within_limit() {
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
        fn invalid_grant_limit_is_exceeded_only_by_further_failures(completed in 0..100_000_i64, invalid in 0..2_000_i64) {
            let these = stats(completed.max(invalid), invalid);
            let worse = stats(these.completed + 1, invalid + 1);
            let better = stats(these.completed + 1, invalid);
            prop_assert!(!these.has_too_many_failures() || worse.has_too_many_failures());
            prop_assert!(these.has_too_many_failures() || !better.has_too_many_failures());
            prop_assert_eq!(these.has_too_many_failures(), invalid > 20.max(these.completed / 50));
        }
    }
}
