//! Money and dates as each language writes them. An amount is a decimal from the wire to the page.

use fdx::{Amount, Date};
use rust_decimal::Decimal;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::text::Text;

const SPACE: &str = "\u{a0}";

impl Text {
    /// `$1,234.50`, `1 234,50 $`; a currency other than the Canadian dollar is named.
    pub(crate) fn money(self, amount: Amount, currency: &str) -> String {
        let digits = if matches!(currency, "JPY" | "KRW" | "CLP" | "VND") { 0 } else { 2 };
        let number = self.digits(amount.0, digits);
        let written = match (self, currency) {
            (Self::En, "CAD") => format!("${number}"),
            (Self::En, "USD") => format!("US${number}"),
            (Self::En, code) => format!("{code}{SPACE}{number}"),
            (Self::Fr, "CAD") => format!("{number}{SPACE}$"),
            (Self::Fr, "USD") => format!("{number}{SPACE}$ US"),
            (Self::Fr, code) => format!("{number}{SPACE}{code}"),
        };
        if amount.0 < Decimal::ZERO { format!("\u{2212}{written}") } else { written }
    }

    /// A number of units, or a price of any precision.
    pub(crate) fn number(self, amount: Amount) -> String {
        let minus = if amount.0 < Decimal::ZERO { "\u{2212}" } else { "" };
        format!("{minus}{}", self.digits(amount.0, 0))
    }

    /// A rate in percent.
    pub(crate) fn rate(self, rate: Amount) -> String {
        let space = if self == Self::Fr { SPACE } else { "" };
        format!("{}{space}%", self.number(rate))
    }

    /// `Nov 24, 2026`, `24 nov. 2026`.
    pub(crate) fn day(self, date: Date) -> String {
        self.dated("month-short", date)
    }

    /// `November 24, 2026`, `24 novembre 2026`.
    pub(crate) fn long_day(self, date: Date) -> String {
        self.dated("month", date)
    }

    fn dated(self, months: &str, Date(date): Date) -> String {
        let first = self == Self::Fr && date.day() == 1;
        let day = if first { "1er".to_owned() } else { date.day().to_string() };
        let (month, year) = (self.t(&format!("{months}-{}", date.month())), date.year().to_string());
        self.fill("day", &[("day", &day), ("month", &month), ("year", &year)])
    }

    /// `November 2026`, from `2026-11`.
    pub(crate) fn month(self, month: &str) -> String {
        let (year, number) = month.split_once('-').unwrap_or((month, ""));
        format!("{} {year}", self.t(&format!("month-{}", number.trim_start_matches('0'))))
    }

    /// The amount without its sign: grouped by three, with at least so many decimals, and never rounded.
    fn digits(self, amount: Decimal, least: usize) -> String {
        let (group, point) = if self == Self::Fr { (SPACE, ",") } else { (",", ".") };
        let plain = amount.abs().normalize().to_string();
        let (whole, rest) = plain.split_once('.').unwrap_or((&plain, ""));
        let mut grouped = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                grouped.push_str(group);
            }
            grouped.push(digit);
        }
        if rest.is_empty() && least == 0 { grouped } else { format!("{grouped}{point}{rest:0<least$}") }
    }
}

/// A text as it is searched: small letters without their accents.
pub(crate) fn plain(text: &str) -> String {
    let letters = text.nfd().filter(|letter| !is_combining_mark(*letter));
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount(text.parse().unwrap())
    }

    #[test]
    fn money_is_written_for_its_reader() {
        for (text, currency, en, fr) in [
            ("1234.5", "CAD", "$1,234.50", "1\u{a0}234,50\u{a0}$"),
            ("-0.10", "CAD", "\u{2212}$0.10", "\u{2212}0,10\u{a0}$"),
            ("0", "CAD", "$0.00", "0,00\u{a0}$"),
            ("-0.00", "CAD", "$0.00", "0,00\u{a0}$"),
            ("999", "USD", "US$999.00", "999,00\u{a0}$ US"),
            ("1000", "EUR", "EUR\u{a0}1,000.00", "1\u{a0}000,00\u{a0}EUR"),
            ("125000", "JPY", "JPY\u{a0}125,000", "125\u{a0}000\u{a0}JPY"),
            (
                "12345678901234567890.123456",
                "CAD",
                "$12,345,678,901,234,567,890.123456",
                "12\u{a0}345\u{a0}678\u{a0}901\u{a0}234\u{a0}567\u{a0}890,123456\u{a0}$",
            ),
        ] {
            assert_eq!(Text::En.money(amount(text), currency), en);
            assert_eq!(Text::Fr.money(amount(text), currency), fr);
        }
    }

    #[test]
    fn rates_numbers_and_days_too() {
        assert_eq!(
            (Text::En.rate(amount("19.990")), Text::Fr.rate(amount("19.99"))),
            ("19.99%".into(), "19,99\u{a0}%".into())
        );
        assert_eq!(Text::Fr.number(amount("-1200.125")), "\u{2212}1\u{a0}200,125");
        let day = |y, m, d| Date(jiff::civil::date(y, m, d));
        assert_eq!(Text::En.day(day(2026, 11, 24)), "Nov 24, 2026");
        assert_eq!(Text::Fr.day(day(2026, 11, 24)), "24 nov. 2026");
        assert_eq!(Text::Fr.day(day(2026, 3, 1)), "1er mars 2026");
        assert_eq!(Text::En.long_day(day(2026, 11, 24)), "November 24, 2026");
        assert_eq!(Text::Fr.long_day(day(2026, 11, 1)), "1er novembre 2026");
        assert_eq!(
            (Text::En.month("2026-02"), Text::Fr.month("2026-12")),
            ("February 2026".into(), "décembre 2026".into())
        );
    }
}
