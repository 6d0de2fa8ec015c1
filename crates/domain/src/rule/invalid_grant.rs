//! The decision to pause a provider that rejects too many refreshes with `invalid_grant`.
//!
//! An `invalid_grant` that a second refresh confirms means that the customer has ended the grant at the provider. A single
//! one may come from a node of the provider that does not know the token yet. Many of them within a short time mean that the provider has lost its grants or does not recognize the hub. No connection may end because of that, so
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

/// Counts of refreshes at a provider within the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshStats {
    /// Refreshes to which the provider responded.
    pub completed: i64,
    /// Refreshes that were rejected with `invalid_grant`.
    pub invalid_grants: i64,
}

impl RefreshStats {
    /// Adds the refresh that is being evaluated, which was rejected with `invalid_grant`.
    #[must_use]
    pub const fn with_invalid_grant(self) -> Self {
        Self { completed: self.completed + 1, invalid_grants: self.invalid_grants + 1 }
    }

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
    /// The refresh must be repeated with the same token. A second `invalid_grant` ends the connection.
    AwaitConfirmation,
    /// The provider is paused; no connection ends.
    PauseProvider,
    /// The provider was already paused; no connection ends.
    ProviderPaused,
}

/// The phase of an `invalid_grant` for one version of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGrantPhase {
    /// The first one, which must be confirmed.
    First,
    /// The second one after the delay, or the only one if none must be confirmed.
    Confirmed,
}

/// Determines the phase of an `invalid_grant` at `now`. `first_at` is the time of the first one for the same version of the
/// credential, unless the state of the provider has changed since. Returns `None` if it repeats the first one too early, so
/// that it proves nothing new.
pub fn invalid_grant_phase(
    first_at: Option<Timestamp>,
    delay: Duration,
    now: Timestamp,
) -> Option<InvalidGrantPhase> {
    match first_at {
        _ if delay.is_zero() => Some(InvalidGrantPhase::Confirmed),
        None => Some(InvalidGrantPhase::First),
        Some(first_at) if now >= first_at.plus(delay) => Some(InvalidGrantPhase::Confirmed),
        Some(_) => None,
    }
}

/// Decides the consequence of an `invalid_grant`.
pub const fn evaluate_invalid_grant(
    state: ProviderState,
    refreshes: RefreshStats,
    phase: InvalidGrantPhase,
) -> InvalidGrantDecision {
    match state {
        ProviderState::Paused | ProviderState::Retired | ProviderState::AutoPaused => {
            InvalidGrantDecision::ProviderPaused
        }
        ProviderState::Active if refreshes.has_too_many_failures() => InvalidGrantDecision::PauseProvider,
        ProviderState::Active => match phase {
            InvalidGrantPhase::First => InvalidGrantDecision::AwaitConfirmation,
            InvalidGrantPhase::Confirmed => InvalidGrantDecision::EndConnection,
        },
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
    fn evaluated_refresh_counts_as_completed_and_rejected() {
        assert_eq!(stats(0, 0).with_invalid_grant(), stats(1, 1));
        assert_eq!(stats(40, 20).with_invalid_grant(), stats(41, 21));
        assert!(!stats(20, 19).with_invalid_grant().has_too_many_failures());
        assert!(stats(20, 20).with_invalid_grant().has_too_many_failures());
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
        for (phase, decision) in [
            (InvalidGrantPhase::First, InvalidGrantDecision::AwaitConfirmation),
            (InvalidGrantPhase::Confirmed, InvalidGrantDecision::EndConnection),
        ] {
            let evaluate = |state, stats| evaluate_invalid_grant(state, stats, phase);
            assert_eq!(evaluate(ProviderState::Active, few), decision);
            assert_eq!(evaluate(ProviderState::Active, many), InvalidGrantDecision::PauseProvider);
            for paused in [ProviderState::Paused, ProviderState::Retired, ProviderState::AutoPaused] {
                let decisions = [evaluate(paused, few), evaluate(paused, many)];
                assert_eq!(decisions, [InvalidGrantDecision::ProviderPaused; 2]);
            }
        }
    }

    #[test]
    fn invalid_grant_is_confirmed_by_second_one_after_delay() {
        let (first, delay) = (Timestamp::from_millis(1_000), Duration::from_secs(5));
        let phase = |first_at, delay, now| invalid_grant_phase(first_at, delay, Timestamp::from_millis(now));

        assert_eq!(phase(None, delay, 1_000), Some(InvalidGrantPhase::First));
        assert_eq!(phase(Some(first), delay, 5_999), None);
        assert_eq!(phase(Some(first), delay, 6_000), Some(InvalidGrantPhase::Confirmed));
        assert_eq!(phase(None, Duration::ZERO, 1_000), Some(InvalidGrantPhase::Confirmed));
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
