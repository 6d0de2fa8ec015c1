//! Points in time, in milliseconds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Seed;

/// A point in time: milliseconds since the Unix epoch, UTC.
///
/// It is always handed in. Arithmetic saturates, because a far future is as good as any other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The epoch itself; older than anything the hub stores.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the epoch (the unit of JWT times).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From RFC 3339, as in `2026-11-24T04:16:52Z`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_millis(duration)))
    }

    /// This much earlier.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration_millis(duration)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The civil date in UTC.
    pub fn date(self) -> jiff::civil::Date {
        self.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// RFC 3339 in UTC with seven fraction digits, as the documented API writes when something was asked for.
    pub fn to_rfc3339_seven_digits(self) -> String {
        format!("{:.7}", self.to_jiff())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// When a request or job happens, with the entropy and the name it has: read and drawn once, at its edge.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The time, on the database's clock.
    pub now: Timestamp,
    /// What ids derive from.
    pub seed: Seed,
    /// The correlation id of the exchange.
    pub correlation_id: Arc<str>,
}

fn duration_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, as in `2026-11-24T04:16:52.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_display_is_rfc3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_709_147_034_007).to_string(), "2024-02-28T19:03:54.007Z");
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        let timestamp = Timestamp::from_millis(1_709_216_682_605);
        assert_eq!(timestamp.to_rfc3339_seven_digits(), "2024-02-29T14:24:42.6050000Z");
    }

    #[test]
    fn timestamp_parse_round_trips_and_requires_time_zone() {
        let time = Timestamp::from_millis(1_709_147_034_007);
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert_eq!(Timestamp::parse("2024-02-28T14:03:54.007-05:00"), Some(time));
        for bad in ["", "2024-02-28", "2024-02-28T19:03:54", "yesterday", "1709147034007"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn timestamp_arithmetic_saturates() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Timestamp::EPOCH.since(end), Duration::ZERO);
        assert_eq!(Timestamp::EPOCH.plus(Duration::MAX), end);
    }

    #[test]
    fn timestamp_seconds_round_down_before_epoch() {
        assert_eq!(Timestamp::from_millis(1_999).seconds(), 1);
        assert_eq!(Timestamp::from_millis(-1).seconds(), -1);
    }
}
