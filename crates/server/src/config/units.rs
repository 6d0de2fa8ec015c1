//! Durations such as `"10s"` and sizes such as `"64KiB"`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration, written as `"300s"`, `"30d"` or `"24 months"`: days have 24 hours, months 30.4375 days.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration {
    written: String,
    span: jiff::Span,
    duration: Duration,
}

impl HumanDuration {
    /// How long.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The same in calendar units, for dates.
    pub const fn span(&self) -> jiff::Span {
        self.span
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = String;
    fn try_from(written: String) -> Result<Self, String> {
        let wrong =
            |_| format!("{written:?} is no duration: expected one as in \"10s\", \"30d\" or \"24 months\"");
        let span: jiff::Span = written.parse().map_err(wrong)?;
        // Calendar units are counted from a fixed day: only `span` is used for dates.
        let from = jiff::civil::date(2001, 1, 1);
        let exact = span.to_duration(from).map_err(wrong)?;
        let duration = exact.try_into().map_err(wrong)?;
        Ok(Self { written, span, duration })
    }
}

impl From<HumanDuration> for String {
    fn from(lasting: HumanDuration) -> Self {
        lasting.written
    }
}

/// A size in bytes, written as `"64KiB"` or `"4MiB"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize {
    written: String,
    bytes: usize,
}

impl ByteSize {
    /// How many bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;
    fn try_from(written: String) -> Result<Self, String> {
        let units = [("KiB", 1024), ("MiB", 1024 * 1024), ("B", 1)];
        let read = units.iter().find_map(|(unit, factor)| {
            let number: usize = written.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*factor)
        });
        match read {
            Some(bytes) => Ok(Self { written, bytes }),
            None => Err(format!("{written:?} is no size: expected one as in \"64KiB\" or \"4MiB\"")),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn duration_and_size_parsers_accept_or_reject_any_text(text in prop_oneof![".*", "-?[0-9]{1,25}( ?(ns|ms|s|m|h|d|w|y|month|months|years))?", "[0-9]{1,25}(B|KiB|MiB)"]) {
            if let Ok(lasting) = HumanDuration::try_from(text.clone()) {
                prop_assert_eq!(String::from(lasting.clone()), text.clone());
                prop_assert!(domain::Timestamp::EPOCH.plus(lasting.duration()) >= domain::Timestamp::EPOCH);
                let _ = jiff::civil::date(2026, 11, 24).checked_sub(lasting.span());
            }
            if let Ok(size) = ByteSize::try_from(text.clone()) {
                prop_assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '+'), "{}", size.bytes());
                prop_assert_eq!(String::from(size), text);
            }
        }
    }

    #[test]
    fn duration_and_size_parse_to_exact_values() {
        let lasts = |text: &str| HumanDuration::try_from(text.to_owned()).map(|l| l.duration().as_secs());
        assert_eq!(lasts("300s"), Ok(300));
        assert_eq!(lasts("30d"), Ok(30 * 86_400));
        assert_eq!(lasts("24 months"), Ok(730 * 86_400));
        assert!(lasts("-5s").is_err() && lasts("5").is_err() && lasts("").is_err());
        let bytes = |text: &str| ByteSize::try_from(text.to_owned()).map(|s| s.bytes());
        assert_eq!((bytes("64KiB"), bytes("10B"), bytes("4MiB")), (Ok(65_536), Ok(10), Ok(4_194_304)));
        assert!(bytes("64").is_err() && bytes("KiB").is_err() && bytes("-1B").is_err());
    }
}
