//! Converts the ledger's integers and days to the value types of FDX.

use fdx::{Amount, DateTime};
use jiff::ToSpan;
use jiff::civil;
use rust_decimal::Decimal;

pub(super) fn money(cents: i64) -> Amount {
    Amount(Decimal::new(cents, 2))
}

/// Converts ten-thousandths of a unit to units.
pub(super) fn units(ten_thousandths: i64) -> Amount {
    Amount(Decimal::new(ten_thousandths, 4))
}

/// Converts hundredths of a percent to a percentage.
pub(super) fn percent(hundredths: i64) -> Amount {
    Amount(Decimal::new(hundredths, 2))
}

pub(super) fn timestamp_at(day: civil::Date, minute: i64) -> DateTime {
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
    let midnight = midnight.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    DateTime(midnight.checked_add(minute.minutes()).unwrap_or(midnight))
}

pub(super) fn noon(day: civil::Date) -> DateTime {
    timestamp_at(day, 720)
}
