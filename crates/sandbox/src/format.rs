//! Formats amounts, numbers and dates in the notation of each language. Amounts stay decimals; nothing is converted to
//! floats.

use fdx::{Amount, Date};
use rust_decimal::Decimal;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::language::SandboxLanguage;

const NO_BREAK_SPACE: &str = "\u{a0}";
const MINUS_SIGN: &str = "\u{2212}";

impl SandboxLanguage {
    /// Formats an amount of money: `$1,234.50`, `1 234,50 $`. Currencies other than the Canadian dollar are named.
    pub(crate) fn format_money(self, amount: Amount, currency: &str) -> String {
        // These currencies have no minor unit (ISO 4217).
        let min_decimals = if matches!(currency, "JPY" | "KRW" | "CLP" | "VND") { 0 } else { 2 };
        let number = self.group_digits(amount.0, min_decimals);
        let formatted = match (self, currency) {
            (Self::En, "CAD") => format!("${number}"),
            (Self::En, "USD") => format!("US${number}"),
            (Self::En, code) => format!("{code}{NO_BREAK_SPACE}{number}"),
            (Self::Fr, "CAD") => format!("{number}{NO_BREAK_SPACE}$"),
            (Self::Fr, "USD") => format!("{number}{NO_BREAK_SPACE}$ US"),
            (Self::Fr, code) => format!("{number}{NO_BREAK_SPACE}{code}"),
        };
        if amount.0 < Decimal::ZERO { format!("{MINUS_SIGN}{formatted}") } else { formatted }
    }

    /// Formats a number, such as units of a security, with all its decimals.
    pub(crate) fn format_number(self, amount: Amount) -> String {
        let minus = if amount.0 < Decimal::ZERO { MINUS_SIGN } else { "" };
        format!("{minus}{}", self.group_digits(amount.0, 0))
    }

    /// Formats an interest rate in percent, with the separator of the language.
    pub(crate) fn format_rate(self, rate: Amount) -> String {
        let space = if self == Self::Fr { NO_BREAK_SPACE } else { "" };
        format!("{}{space}%", self.format_number(rate))
    }

    /// Formats a day with a short month: `Nov 24, 2026`, `24 nov. 2026`.
    pub(crate) fn format_day(self, date: Date) -> String {
        self.format_date("month-short", date)
    }

    /// Formats a day with the full month: `November 24, 2026`, `24 novembre 2026`.
    pub(crate) fn format_long_day(self, date: Date) -> String {
        self.format_date("month", date)
    }

    fn format_date(self, month_prefix: &str, Date(date): Date) -> String {
        // French uses an ordinal for the first day of a month.
        let is_french_first = self == Self::Fr && date.day() == 1;
        let day = if is_french_first { "1er".to_owned() } else { date.day().to_string() };
        self.texts().format_date(month_prefix, &day, date.month(), date.year())
    }

    /// Formats a month from `2026-11` to `November 2026`.
    pub(crate) fn format_month(self, month: &str) -> String {
        let (year, number) = month.split_once('-').unwrap_or((month, ""));
        format!("{} {year}", self.t(&format!("month-{}", number.trim_start_matches('0'))))
    }

    /// Formats the absolute value with digits in groups of three and at least the given decimals. Never rounds.
    fn group_digits(self, amount: Decimal, min_decimals: usize) -> String {
        let (separator, point) = if self == Self::Fr { (NO_BREAK_SPACE, ",") } else { (",", ".") };
        let digits = amount.abs().normalize().to_string();
        let (integer, decimals) = digits.split_once('.').unwrap_or((&digits, ""));
        let mut grouped = String::new();
        for (nth, digit) in integer.chars().enumerate() {
            if nth > 0 && (integer.len() - nth).is_multiple_of(3) {
                grouped.push_str(separator);
            }
            grouped.push(digit);
        }
        if decimals.is_empty() && min_decimals == 0 {
            grouped
        } else {
            format!("{grouped}{point}{decimals:0<min_decimals$}")
        }
    }
}

/// Normalizes a text for searching: lower case without accents.
pub(crate) fn fold_for_search(text: &str) -> String {
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
    fn amounts_are_formatted_per_language() {
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
            assert_eq!(SandboxLanguage::En.format_money(amount(text), currency), en);
            assert_eq!(SandboxLanguage::Fr.format_money(amount(text), currency), fr);
        }
    }

    #[test]
    fn rates_numbers_and_dates_are_formatted_per_language() {
        assert_eq!(
            (
                SandboxLanguage::En.format_rate(amount("19.990")),
                SandboxLanguage::Fr.format_rate(amount("19.99"))
            ),
            ("19.99%".into(), "19,99\u{a0}%".into())
        );
        assert_eq!(SandboxLanguage::Fr.format_number(amount("-1200.125")), "\u{2212}1\u{a0}200,125");

        let day = |y, m, d| Date(jiff::civil::date(y, m, d));
        assert_eq!(SandboxLanguage::En.format_day(day(2026, 11, 24)), "Nov 24, 2026");
        assert_eq!(SandboxLanguage::Fr.format_day(day(2026, 11, 24)), "24 nov. 2026");
        assert_eq!(SandboxLanguage::Fr.format_day(day(2026, 3, 1)), "1er mars 2026");
        assert_eq!(SandboxLanguage::En.format_long_day(day(2026, 11, 24)), "November 24, 2026");
        assert_eq!(SandboxLanguage::Fr.format_long_day(day(2026, 11, 1)), "1er novembre 2026");
        assert_eq!(
            (SandboxLanguage::En.format_month("2026-02"), SandboxLanguage::Fr.format_month("2026-12")),
            ("February 2026".into(), "décembre 2026".into())
        );
    }
}
