//! Types for durations such as `"10s"` and sizes such as `"64KiB"` in the configuration.
//!
//! Both keep the text of the configuration, so that `config show` prints what the operator wrote. Crates for sizes and
//! durations do not fit: `bytesize` prints a rounded value and accepts a number without a unit, which is a frequent
//! mistake; `humantime` has no calendar units, which `connection.history` needs. Durations are parsed by `jiff`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration, written as `"300s"`, `"30d"` or `"24 months"`. Days have 24 hours.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration {
    text: String,
    span: jiff::Span,
    duration: Duration,
}

impl HumanDuration {
    /// Returns the duration in exact units, with days of 24 hours.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns the duration in calendar units, for calculations with dates.
    pub const fn span(&self) -> jiff::Span {
        self.span
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let invalid =
            |_| format!("{text:?} is not a duration: expected one as in \"10s\", \"30d\" or \"24 months\"");
        let span: jiff::Span = text.parse().map_err(invalid)?;
        // A month has no fixed length, so it is measured from an arbitrary fixed day. Calculations with dates use
        // `span` instead.
        let reference = jiff::civil::date(2001, 1, 1);
        let exact = span.to_duration(reference).map_err(invalid)?;
        let duration = exact.try_into().map_err(invalid)?;
        Ok(Self { text, span, duration })
    }
}

impl From<HumanDuration> for String {
    fn from(duration: HumanDuration) -> Self {
        duration.text
    }
}

/// A size in bytes, written as `"64KiB"` or `"4MiB"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize {
    text: String,
    bytes: usize,
}

impl ByteSize {
    /// Returns the size as a number of bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let units = [("KiB", 1024), ("MiB", 1024 * 1024), ("B", 1)];
        let bytes = units.iter().find_map(|(unit, factor)| {
            let number: usize = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*factor)
        });
        match bytes {
            Some(bytes) => Ok(Self { text, bytes }),
            None => Err(format!("{text:?} is not a size: expected one as in \"64KiB\" or \"4MiB\"")),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.text
    }
}

/// The number of reverse proxies in front of the hub, or `"unstated"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ProxyCountText", into = "ProxyCountText")]
pub struct ProxyCount(Option<usize>);

impl ProxyCount {
    /// Returns whether the number is stated. A hub that is reached by https must know it.
    pub const fn is_stated(self) -> bool {
        self.0.is_some()
    }

    /// Returns the number of proxies; 0 if it is not stated.
    pub fn get(self) -> usize {
        self.0.unwrap_or(0)
    }
}

impl From<usize> for ProxyCount {
    fn from(count: usize) -> Self {
        Self(Some(count))
    }
}

/// A number of proxies in the configuration. Environment variables contain it as text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ProxyCountText {
    Number(usize),
    Text(String),
}

impl TryFrom<ProxyCountText> for ProxyCount {
    type Error = String;
    fn try_from(value: ProxyCountText) -> Result<Self, String> {
        match value {
            ProxyCountText::Number(count) => Ok(Self(Some(count))),
            ProxyCountText::Text(text) if text == "unstated" => Ok(Self(None)),
            ProxyCountText::Text(text) => match text.parse() {
                Ok(count) => Ok(Self(Some(count))),
                Err(_) => Err(format!("{text:?}: expected a number of reverse proxies, or \"unstated\"")),
            },
        }
    }
}

impl From<ProxyCount> for ProxyCountText {
    fn from(count: ProxyCount) -> Self {
        count.0.map_or_else(|| Self::Text("unstated".to_owned()), Self::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_duration_or_size_text_is_parsed_or_rejected(text in prop_oneof![".*", "-?[0-9]{1,25}( ?(ns|ms|s|m|h|d|w|y|month|months|years))?", "[0-9]{1,25}(B|KiB|MiB)"]) {
            if let Ok(duration) = HumanDuration::try_from(text.clone()) {
                prop_assert_eq!(String::from(duration.clone()), text.clone());
                prop_assert!(domain::Timestamp::EPOCH.plus(duration.duration()) >= domain::Timestamp::EPOCH);
                let _ = jiff::civil::date(2026, 11, 24).checked_sub(duration.span());
            }
            if let Ok(size) = ByteSize::try_from(text.clone()) {
                prop_assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '+'), "{}", size.bytes());
                prop_assert_eq!(String::from(size), text);
            }
        }
    }

    #[test]
    fn duration_and_size_parse_to_exact_values() {
        let seconds = |text: &str| HumanDuration::try_from(text.to_owned()).map(|l| l.duration().as_secs());
        assert_eq!(seconds("300s"), Ok(300));
        assert_eq!(seconds("30d"), Ok(30 * 86_400));
        assert_eq!(seconds("24 months"), Ok(730 * 86_400));
        assert!(seconds("-5s").is_err() && seconds("5").is_err() && seconds("").is_err());
        let bytes = |text: &str| ByteSize::try_from(text.to_owned()).map(|s| s.bytes());
        assert_eq!((bytes("64KiB"), bytes("10B"), bytes("4MiB")), (Ok(65_536), Ok(10), Ok(4_194_304)));
        assert!(bytes("64").is_err() && bytes("KiB").is_err() && bytes("-1B").is_err());
    }
}
