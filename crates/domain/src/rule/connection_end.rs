//! The end of a connection whose provider limits the lifetime of its refresh token.

use std::time::Duration;

use crate::time::Timestamp;

/// A difference that the duration of a call, rounding and the clock of the provider explain.
const TOLERANCE: Duration = Duration::from_mins(1);

/// The part of the remaining lifetime that an extension must gain. Many providers extend the lifetime at each refresh, and without a
/// minimum each refresh would write the row of the connection.
const MIN_GAIN_DIVISOR: u32 = 4;

/// Returns the end of a connection after a refresh whose response announces the end of the refresh token; `None` if it stays.
///
/// An earlier end applies immediately, because the hub cannot read any more then. A later one extends the connection, at most to
/// the end of the consent: `consent_ends_at`.
pub fn renew_end(
    current: Timestamp,
    consent_ends_at: Timestamp,
    announced: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let end = announced.min(consent_ends_at);
    if end < current {
        return (current.since(end) > TOLERANCE).then_some(end);
    }
    let gained = end.since(current);
    (!gained.is_zero() && gained >= end.since(now) / MIN_GAIN_DIVISOR).then_some(end)
}

/// Returns whether the announced end of a refresh token may change the end of a connection, whatever the end of the consent is.
pub fn may_renew_end(current: Timestamp, announced: Timestamp, now: Timestamp) -> bool {
    renew_end(current, announced, announced, now).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn at(days: u32) -> Timestamp {
        NOW.plus(DAY * days)
    }

    #[test]
    fn earlier_end_shortens_connection() {
        assert_eq!(renew_end(at(30), at(90), at(10), NOW), Some(at(10)));
        assert_eq!(renew_end(at(30), at(20), at(90), NOW), Some(at(20)), "the consent ends before");
    }

    #[test]
    fn later_end_extends_connection_up_to_consent() {
        assert_eq!(renew_end(at(10), at(90), at(30), NOW), Some(at(30)));
        assert_eq!(renew_end(at(10), at(20), at(30), NOW), Some(at(20)));
        assert_eq!(renew_end(at(20), at(20), at(30), NOW), None);
    }

    #[test]
    fn small_differences_change_nothing() {
        assert_eq!(renew_end(at(30), at(90), at(30), NOW), None);
        assert_eq!(renew_end(at(30), at(90), at(30).minus(TOLERANCE), NOW), None, "a fixed end, rounded");
        let earlier = at(30).minus(TOLERANCE + Duration::from_millis(1));
        assert_eq!(renew_end(at(30), at(90), earlier, NOW), Some(earlier));
        assert_eq!(renew_end(at(28), at(90), at(32), NOW), None, "less than a quarter is gained");
        assert_eq!(renew_end(at(24), at(90), at(32), NOW), Some(at(32)));
    }

    #[test]
    fn connection_in_use_outlives_its_refresh_tokens() {
        // Tokens of one hour, refreshed every five minutes, and a consent of one day.
        let (hour, step) = (Duration::from_hours(1), Duration::from_mins(5));
        let (mut end, mut now, mut writes) = (NOW.plus(hour), NOW, 0);
        while now < at(1) {
            assert!(now < end, "the connection ended while it was in use");
            now = now.plus(step);
            if let Some(renewed) = renew_end(end, at(1), now.plus(hour), now) {
                (end, writes) = (renewed, writes + 1);
            }
        }
        assert_eq!(end, at(1));
        assert!(writes <= 110, "{writes} of 288 refreshes have written");
    }

    proptest! {
        #[test]
        fn end_never_exceeds_consent_and_announcement(current in 0_i64..1000, consent in 0_i64..1000, announced in 0_i64..1000) {
            let at = |minutes: i64| NOW.plus(Duration::from_mins(minutes.unsigned_abs()));
            let renewed = renew_end(at(current), at(consent), at(announced), NOW);
            if let Some(end) = renewed {
                prop_assert!(end <= at(consent) && end <= at(announced));
                let is_earlier = end < at(current);
                prop_assert!(is_earlier || may_renew_end(at(current), at(announced), NOW));
            }
        }
    }
}
