//! The end of a connection whose provider limits the lifetime of its refresh token.

use std::time::Duration;

use crate::time::Timestamp;

/// A difference that the duration of a call, rounding and the clock of the provider explain.
const TOLERANCE: Duration = Duration::from_mins(1);

/// The part of the remaining lifetime that an extension must gain. Many providers extend the lifetime at each refresh, and without a
/// minimum each refresh would write the row of the connection.
const MIN_GAIN_DIVISOR: u32 = 4;

/// The end of the refresh token that the hub has after a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokenEnd {
    /// The token is the same, and the response announces nothing.
    Unchanged,
    /// The response announces this end.
    Announced(Timestamp),
    /// The token is a new one, and the response does not announce its end. That of the former token does not apply to it.
    Unknown,
}

/// Returns the end of a connection after a refresh; `None` if it stays.
///
/// A connection that has reached its end stays ended, also if a refresh was under way then.
/// An earlier end applies immediately, because the hub cannot read any more then. A later one extends the connection, at most to
/// the end of the consent: `consent_ends_at`.
pub fn renew_end(
    current: Timestamp,
    consent_ends_at: Timestamp,
    token: RefreshTokenEnd,
    now: Timestamp,
) -> Option<Timestamp> {
    if current <= now {
        return None;
    }
    let end = match token {
        RefreshTokenEnd::Unchanged => return None,
        RefreshTokenEnd::Announced(announced) => announced.min(consent_ends_at),
        RefreshTokenEnd::Unknown => consent_ends_at,
    };
    if end < current {
        return (current.since(end) > TOLERANCE).then_some(end);
    }
    let gained = end.since(current);
    (!gained.is_zero() && gained >= end.since(now) / MIN_GAIN_DIVISOR).then_some(end)
}

/// Returns whether a refresh may change the end of a connection, whatever the end of the consent is.
pub fn may_renew_end(current: Timestamp, token: RefreshTokenEnd, now: Timestamp) -> bool {
    match token {
        RefreshTokenEnd::Unchanged => false,
        RefreshTokenEnd::Announced(announced) => renew_end(current, announced, token, now).is_some(),
        RefreshTokenEnd::Unknown => current > now,
    }
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

    /// Returns the end of a connection that ends at `current`, after a refresh that announces an end.
    fn renew(current: Timestamp, consent: Timestamp, announced: Timestamp) -> Option<Timestamp> {
        renew_end(current, consent, RefreshTokenEnd::Announced(announced), NOW)
    }

    #[test]
    fn connection_that_reached_its_end_is_not_extended() {
        for token in [RefreshTokenEnd::Announced(at(30)), RefreshTokenEnd::Unknown] {
            assert_eq!(renew_end(NOW, at(90), token, NOW), None, "{token:?}");
            assert!(!may_renew_end(NOW, token, NOW), "{token:?}");
            assert_eq!(renew_end(at(1), at(90), token, NOW).is_some(), may_renew_end(at(1), token, NOW));
        }
    }

    #[test]
    fn earlier_end_shortens_connection() {
        assert_eq!(renew(at(30), at(90), at(10)), Some(at(10)));
        assert_eq!(renew(at(30), at(20), at(90)), Some(at(20)), "the consent ends before");
    }

    #[test]
    fn later_end_extends_connection_up_to_consent() {
        assert_eq!(renew(at(10), at(90), at(30)), Some(at(30)));
        assert_eq!(renew(at(10), at(20), at(30)), Some(at(20)));
        assert_eq!(renew(at(20), at(20), at(30)), None);
    }

    #[test]
    fn small_differences_change_nothing() {
        assert_eq!(renew(at(30), at(90), at(30)), None);
        assert_eq!(renew(at(30), at(90), at(30).minus(TOLERANCE)), None, "a fixed end, rounded");
        let earlier = at(30).minus(TOLERANCE + Duration::from_millis(1));
        assert_eq!(renew(at(30), at(90), earlier), Some(earlier));
        assert_eq!(renew(at(28), at(90), at(32)), None, "less than a quarter is gained");
        assert_eq!(renew(at(24), at(90), at(32)), Some(at(32)));
    }

    #[test]
    fn connection_in_use_outlives_its_refresh_tokens() {
        // Tokens of one hour, refreshed every five minutes, and a consent of one day.
        let (hour, step) = (Duration::from_hours(1), Duration::from_mins(5));
        let (mut end, mut now, mut writes) = (NOW.plus(hour), NOW, 0);
        while now < at(1) {
            assert!(now < end, "the connection ended while it was in use");
            now = now.plus(step);
            if let Some(renewed) = renew_end(end, at(1), RefreshTokenEnd::Announced(now.plus(hour)), now) {
                (end, writes) = (renewed, writes + 1);
            }
        }
        assert_eq!(end, at(1));
        assert!(writes <= 110, "{writes} of 288 refreshes have written");
    }

    #[test]
    fn end_of_former_token_does_not_limit_new_one() {
        let renew = |token| renew_end(at(1), at(90), token, NOW);

        assert_eq!(renew(RefreshTokenEnd::Unknown), Some(at(90)));
        assert_eq!(renew(RefreshTokenEnd::Unchanged), None);
        assert_eq!(renew_end(at(90), at(90), RefreshTokenEnd::Unknown, NOW), None);
        assert!(may_renew_end(at(1), RefreshTokenEnd::Unknown, NOW));
        assert!(!may_renew_end(at(1), RefreshTokenEnd::Unchanged, NOW));
    }

    proptest! {
        #[test]
        fn end_never_exceeds_consent_and_announcement(current in 0_i64..1000, consent in 0_i64..1000, announced in 0_i64..1000) {
            let at = |minutes: i64| NOW.plus(Duration::from_mins(minutes.unsigned_abs()));
            let token = RefreshTokenEnd::Announced(at(announced));
            let renewed = renew_end(at(current), at(consent), token, NOW);
            if let Some(end) = renewed {
                prop_assert!(end <= at(consent) && end <= at(announced));
                let is_earlier = end < at(current);
                prop_assert!(is_earlier || may_renew_end(at(current), token, NOW));
            }
        }
    }
}
