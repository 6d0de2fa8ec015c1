//! Points in time, in milliseconds since 1970 (UTC).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC.
///
/// Callers pass it as an argument; nothing in this crate reads a clock. Arithmetic saturates: a time outside of the range
/// has the same effect as the far future or past, and a request must not fail because of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Error for a text that is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in the form of RFC 3339, with a time zone")]
pub struct ParseTimestampError;

impl Timestamp {
    /// The Unix epoch, which is earlier than every stored time.
    pub const EPOCH: Self = Self(0);

    /// Creates a timestamp from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Creates a timestamp from whole seconds since the epoch, the unit of JWT (RFC 7519 §2, `NumericDate`).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Parses a timestamp; the same as `FromStr`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// Returns the milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the time that is later by a duration.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_millis(duration)))
    }

    /// Returns the time that is earlier by a duration.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration_millis(duration)))
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the date of this time in UTC.
    pub fn date(self) -> jiff::civil::Date {
        self.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// Formats the time as RFC 3339 in UTC with seven fraction digits, as the Flinks API shows the time of a request.
    pub fn to_rfc3339_seven_digits(self) -> String {
        format!("{:.7}", self.to_jiff())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let (first, last) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
        let millis = self.0.clamp(first.as_millisecond(), last.as_millisecond());
        jiff::Timestamp::from_millisecond(millis).unwrap_or(last)
    }
}

fn duration_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Parses RFC 3339, as in `2026-11-24T04:16:52Z`.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| ParseTimestampError)?;
        Ok(Self(time.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    /// Formats the time as RFC 3339 in UTC with milliseconds, as in `2026-11-24T04:16:52.000Z`.
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
        assert_eq!(time.to_string().parse::<Timestamp>().ok(), Some(time));
        assert_eq!("2024-02-28T14:03:54.007-05:00".parse::<Timestamp>().ok(), Some(time));
        for bad in ["", "2024-02-28", "2024-02-28T19:03:54", "yesterday", "1709147034007"] {
            assert_eq!(bad.parse::<Timestamp>().ok(), None, "{bad}");
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

    #[test]
    fn timestamp_parse_returns_time_or_nothing() {
        assert_eq!(Timestamp::parse("1970-01-01T00:00:01Z"), Some(Timestamp::from_seconds(1)));
        assert_eq!(Timestamp::parse("1970-01-01T00:00:01"), None);
    }

    #[test]
    fn timestamp_debug_output_is_its_text() {
        assert_eq!(format!("{:?}", Timestamp::EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn timestamp_date_changes_at_midnight_in_utc() {
        let midnight = Timestamp::from_seconds(1_709_164_800);
        let one = Duration::from_millis(1);

        assert_eq!(midnight.date(), jiff::civil::date(2024, 2, 29));
        assert_eq!(midnight.minus(one).date(), jiff::civil::date(2024, 2, 28));
        assert_eq!(midnight.since(midnight.minus(one)), one);
    }

    #[test]
    fn time_out_of_range_is_shown_as_first_or_last_one() {
        for (millis, text, year) in [
            (i64::MIN, "-009999-01-02T01:59:59.000Z", -9999),
            (-62_135_596_800_000, "0001-01-01T00:00:00.000Z", 1),
            (i64::MAX, "9999-12-30T22:00:00.999Z", 9999),
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!((time.to_string().as_str(), time.date().year()), (text, year));
        }
    }
}
