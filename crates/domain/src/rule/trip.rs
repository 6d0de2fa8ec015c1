//! When a provider that answers `invalid_grant` to many is not believed any more.
//!
//! One such answer means that a customer has ended a grant there. Many at once mean that the provider has lost
//! its grants, or us: nobody's connection must end by that before a person has looked.

use std::time::Duration;

use crate::model::provider::ProviderState;
use crate::time::Timestamp;

/// How far back refreshes are counted.
const WINDOW: Duration = Duration::from_mins(10);
/// So many are always believed.
const FEW: i64 = 20;
/// Above that one in so many: two of a hundred.
const ONE_IN: i64 = 50;

/// Refreshes at a provider within the window, the one that is judged included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refreshes {
    /// All that the provider answered.
    pub answered: i64,
    /// Those that it answered with `invalid_grant`.
    pub invalid: i64,
}

impl Refreshes {
    /// Whether there are too many that failed.
    const fn are_too_many(self) -> bool {
        self.invalid > FEW && self.invalid.saturating_mul(ONE_IN) > self.answered
    }
}

/// What an `invalid_grant` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The grant is over, and so is its connection.
    End,
    /// The provider is not believed from now on; nothing ends.
    Trip,
    /// The provider is held already; nothing ends.
    Held,
}

/// Judges an `invalid_grant` of a provider in a state.
pub const fn heed(state: ProviderState, refreshes: Refreshes) -> Verdict {
    match state {
        ProviderState::Paused | ProviderState::Retired | ProviderState::Tripped => Verdict::Held,
        ProviderState::Active if refreshes.are_too_many() => Verdict::Trip,
        ProviderState::Active => Verdict::End,
    }
}

/// The minute that a refresh is counted in.
pub const fn minute(at: Timestamp) -> i64 {
    at.seconds().div_euclid(60)
}

/// The first minute that is looked at: the running one and those before it make up the window.
pub fn first_minute(now: Timestamp) -> i64 {
    minute(now.minus(WINDOW)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn refreshes(answered: i64, invalid: i64) -> Refreshes {
        Refreshes { answered, invalid }
    }

    #[test]
    fn twenty_are_believed_and_the_next_is_not() {
        assert!(!refreshes(20, 20).are_too_many());
        assert!(refreshes(21, 21).are_too_many());
    }

    #[test]
    fn of_many_refreshes_two_in_a_hundred_are_believed() {
        assert!(!refreshes(5_000, 100).are_too_many());
        assert!(refreshes(5_000, 101).are_too_many());
        assert!(refreshes(4_999, 100).are_too_many());
    }

    #[test]
    fn only_an_active_provider_is_judged() {
        let (few, many) = (refreshes(1, 1), refreshes(30, 30));
        assert_eq!(heed(ProviderState::Active, few), Verdict::End);
        assert_eq!(heed(ProviderState::Active, many), Verdict::Trip);
        for held in [ProviderState::Paused, ProviderState::Retired, ProviderState::Tripped] {
            assert_eq!([heed(held, few), heed(held, many)], [Verdict::Held; 2]);
        }
    }

    #[test]
    fn the_window_is_the_running_minute_and_nine_before() {
        let now = Timestamp::from_seconds(60 * 100 + 59);
        assert_eq!((minute(now), first_minute(now)), (100, 91));
        assert_eq!(first_minute(Timestamp::from_seconds(60 * 100)), 91);
        assert_eq!(minute(Timestamp::from_seconds(-1)), -1);
    }

    proptest! {
        #[test]
        fn more_failures_never_help_and_more_successes_never_hurt(answered in 0..100_000_i64, invalid in 0..2_000_i64) {
            let these = refreshes(answered.max(invalid), invalid);
            let worse = refreshes(these.answered + 1, invalid + 1);
            let better = refreshes(these.answered + 1, invalid);
            prop_assert!(!these.are_too_many() || worse.are_too_many());
            prop_assert!(these.are_too_many() || !better.are_too_many());
            prop_assert_eq!(these.are_too_many(), invalid > 20.max(these.answered / 50));
        }
    }
}
