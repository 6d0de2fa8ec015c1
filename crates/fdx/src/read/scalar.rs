//! The accepted spellings of texts, numbers, dates, points in time and ids.

use std::borrow::Cow;
use std::io::Write;
use std::str::FromStr;

use jiff::{Timestamp, civil, tz};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::shape::Shape;

/// The maximum length of the id of an account or statement. Sealed, it must fit the 256 characters that FDX allows: four
/// characters of prefix, and the base64 of the id with a tag of 16 bytes.
pub const MAX_ID_BYTES: usize = 172;

/// Copies a value that is neither an object nor a list. Returns false if it has none of the accepted spellings.
pub(super) fn copy_scalar(shape: &Shape, json: &str, out: &mut Vec<u8>) -> bool {
    match shape {
        Shape::Text => copy_text(json, out),
        Shape::Boolean => matches!(json, "true" | "false") && append(json, out),
        Shape::Integer => write_optional(read_integer(json).and_then(|number| number.to_i64()), out),
        Shape::Count => write_optional(parse_count(json), out),
        Shape::Amount => write_optional(read_number(json), out),
        Shape::ErrorCode => {
            let code = json.parse::<u16>().ok();
            write_optional(code.or_else(|| read_text(json)?.parse::<u16>().ok()), out)
        }
        Shape::Date => match read_text(json).and_then(|text| parse_date(&text)) {
            Some(date) => write!(out, "\"{date}\"").is_ok(),
            None => false,
        },
        Shape::DateTime => match read_text(json).and_then(|text| parse_time(&text)) {
            Some(time) => write!(out, "\"{time}\"").is_ok(),
            None => false,
        },
        Shape::Omitted(_) | Shape::List(_) | Shape::Object(_) | Shape::Currency(_) | Shape::Element(_) => {
            false
        }
    }
}

fn append(json: &str, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(json.as_bytes());
    true
}

fn write_optional(value: Option<impl std::fmt::Display>, out: &mut Vec<u8>) -> bool {
    value.is_some_and(|value| write!(out, "{value}").is_ok())
}

/// Copies a text. A number or a boolean becomes a text with its spelling.
fn copy_text(json: &str, out: &mut Vec<u8>) -> bool {
    match json.as_bytes().first() {
        Some(b'"') if !json.contains('\\') => append(json, out),
        Some(b'"') => read_text(json).is_some_and(|text| serde_json::to_writer(out, &text).is_ok()),
        Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
            out.push(b'"');
            append(json, out);
            out.push(b'"');
            true
        }
        _ => false,
    }
}

/// Returns the content of a JSON string; `None` for other values, and for half a surrogate pair.
pub(crate) fn read_text(json: &str) -> Option<Cow<'_, str>> {
    let content = json.strip_prefix('"')?.strip_suffix('"')?;
    if content.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(content.into())
    }
}

/// Reads a number, or a text in the grammar of JSON numbers. `None` if it does not fit a decimal number.
fn read_number(json: &str) -> Option<Decimal> {
    let number = match json.as_bytes().first()? {
        // The grammar excludes texts whose meaning is uncertain, such as `1,000` and `0012`.
        b'"' => read_text(json).filter(|text| serde_json::Number::from_str(text).is_ok())?,
        b'-' | b'0'..=b'9' => Cow::Borrowed(json),
        _ => return None,
    };
    Decimal::from_str(&number).or_else(|_| Decimal::from_scientific(&number)).ok()
}

fn read_integer(json: &str) -> Option<Decimal> {
    read_number(json).filter(Decimal::is_integer)
}

/// Reads a whole number that is not negative.
pub(crate) fn parse_count(json: &str) -> Option<u64> {
    read_integer(json)?.to_u64()
}

/// Parses a date, or the first ten characters of a date-time. The date is never converted to another time zone: the
/// provider means the day that it wrote.
fn parse_date(text: &str) -> Option<civil::Date> {
    let day = text.get(..10)?;
    let has_form = day.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let date = day.parse().ok().filter(|_| has_form)?;
    let is_date = text.len() == 10 || parse_instant(text).is_some();
    Some(date).filter(|_| is_date)
}

/// Parses a point in time (RFC 3339). Without a zone it is in UTC; without a time it is the begin of the day.
fn parse_time(text: &str) -> Option<Timestamp> {
    let begin_of_day = || parse_date(text)?.to_zoned(tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    if text.len() == 10 { begin_of_day() } else { parse_instant(text) }
}

fn parse_instant(text: &str) -> Option<Timestamp> {
    let with_zone = text.parse::<Timestamp>().ok();
    with_zone.or_else(|| {
        let local = text.parse::<civil::DateTime>().ok()?;
        local.to_zoned(tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// The day of a transaction or statement, as the provider wrote it and in UTC. They differ around midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdxTime {
    /// The day in the time zone of the provider.
    pub written_day: civil::Date,
    /// The day in UTC.
    pub utc_day: civil::Date,
}

/// Reads the days of a point in time.
pub(crate) fn read_time(json: &str) -> Option<FdxTime> {
    let text = read_text(json)?;
    let utc_day = tz::TimeZone::UTC.to_datetime(parse_time(&text)?).date();
    Some(FdxTime { written_day: parse_date(&text).unwrap_or(utc_day), utc_day })
}

/// An id by which the hub finds an element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Id<'t> {
    Readable(Cow<'t, str>),
    TooLong,
    Unreadable,
}

/// Reads an id: a text, or an integer that is not negative.
pub(crate) fn read_id(json: &str) -> Id<'_> {
    let is_integer = json.bytes().all(|byte| byte.is_ascii_digit());
    let id = if is_integer { Some(Cow::Borrowed(json)) } else { read_text(json) };
    match id {
        Some(id) if id.len() > MAX_ID_BYTES => Id::TooLong,
        Some(id) if !id.is_empty() => Id::Readable(id),
        _ => Id::Unreadable,
    }
}

/// Returns whether a transaction with this amount, memo or id must be left out, because the value is not readable.
pub(crate) fn is_unreadable(name: &str, json: &str) -> bool {
    match name {
        "amount" => read_number(json).is_none(),
        // A number or boolean has no meaning as `DEBIT` or `CREDIT`.
        "debitCreditMemo" => read_text(json).is_none(),
        _ => !json.bytes().all(|byte| byte.is_ascii_digit()) && read_text(json).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(shape: &Shape, json: &str) -> Option<String> {
        let mut out = Vec::new();
        copy_scalar(shape, json, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn date_accepts_day_of_date_time_without_conversion() {
        for (json, day) in [
            (r#""2024-01-15""#, "2024-01-15"),
            (r#""2024-01-15T00:00:00Z""#, "2024-01-15"),
            (r#""2024-01-15T23:30:00-05:00""#, "2024-01-15"),
            (r#""2024-01-15T10:30:00""#, "2024-01-15"),
            (r#""2024-01-15T10:30:00.123+02:00""#, "2024-01-15"),
        ] {
            assert_eq!(copy(&Shape::Date, json), Some(format!("\"{day}\"")), "{json}");
        }
        for json in [r#""2024-02-30""#, "20240115", r#""20240115""#, r#""2024-01-15Tx""#, r#""15/01/2024""#] {
            assert_eq!(copy(&Shape::Date, json), None, "{json}");
        }
    }

    #[test]
    fn time_without_zone_is_in_utc() {
        for (json, time) in [
            (r#""2024-01-15T10:30:00Z""#, "2024-01-15T10:30:00Z"),
            (r#""2024-01-15T10:30:00""#, "2024-01-15T10:30:00Z"),
            (r#""2024-01-15""#, "2024-01-15T00:00:00Z"),
            (r#""2024-01-15T10:30:00-05:00""#, "2024-01-15T15:30:00Z"),
        ] {
            assert_eq!(copy(&Shape::DateTime, json), Some(format!("\"{time}\"")), "{json}");
        }
        for json in ["1705314600", r#""yesterday""#, r#""2024-13-01""#, "{}"] {
            assert_eq!(copy(&Shape::DateTime, json), None, "{json}");
        }
    }

    #[test]
    fn number_accepts_text_in_json_grammar_only() {
        for (json, number) in [("12", "12"), (r#""12""#, "12"), (r#""-0.10""#, "-0.10"), ("1e2", "100")] {
            assert_eq!(copy(&Shape::Amount, json).as_deref(), Some(number), "{json}");
        }
        for json in
            [r#""0012""#, r#""1,000""#, r#""+5""#, r#"" 5""#, r#""5 ""#, r#""""#, "true", "1e400", r#"".5""#]
        {
            assert_eq!(copy(&Shape::Amount, json), None, "{json}");
        }
        assert_eq!(copy(&Shape::Integer, r#""12""#).as_deref(), Some("12"));
        assert_eq!(copy(&Shape::Integer, "1.5"), None);
        assert_eq!(copy(&Shape::Count, "-1"), None);
    }

    #[test]
    fn id_is_text_or_whole_number() {
        assert_eq!(read_id("1234567"), Id::Readable("1234567".into()));
        assert_eq!(read_id(r#""a\u00e9""#), Id::Readable("aé".into()));
        for json in [r#""""#, "-1", "1.5", "1e3", "true", "{}", "[]", r#""\ud800""#] {
            assert_eq!(read_id(json), Id::Unreadable, "{json}");
        }
        let fitting = format!("{:?}", "x".repeat(MAX_ID_BYTES));
        let long = format!("{:?}", "x".repeat(MAX_ID_BYTES + 1));
        assert!(matches!(read_id(&fitting), Id::Readable(_)));
        assert_eq!(read_id(&long), Id::TooLong);
    }

    #[test]
    fn text_is_written_with_normal_escapes() {
        for (json, text) in [
            (r#""a""#, r#""a""#),
            (r#""a\/b\u0041""#, r#""a/bA""#),
            (r#""\ud83c\udf41""#, r#""🍁""#),
            (r#""\"\n""#, r#""\"\n""#),
            ("-1.50", r#""-1.50""#),
            ("true", r#""true""#),
        ] {
            assert_eq!(copy(&Shape::Text, json).as_deref(), Some(text), "{json}");
        }
        for json in [r#""\ud800""#, "[]", "{}", "null"] {
            assert_eq!(copy(&Shape::Text, json), None, "{json}");
        }
    }

    #[test]
    fn time_has_day_of_provider_and_of_utc() {
        let day = |text: &str| text.parse::<civil::Date>().unwrap();
        for (json, written, utc) in [
            (r#""2024-01-15""#, "2024-01-15", "2024-01-15"),
            (r#""2024-01-15T23:30:00-05:00""#, "2024-01-15", "2024-01-16"),
            (r#""2024-01-15T00:30:00+02:00""#, "2024-01-15", "2024-01-14"),
            (r#""2024-01-15T10:30:00""#, "2024-01-15", "2024-01-15"),
        ] {
            let expected = FdxTime { written_day: day(written), utc_day: day(utc) };
            assert_eq!(read_time(json), Some(expected), "{json}");
        }
        assert_eq!(read_time(r#""yesterday""#), None);
    }
}
