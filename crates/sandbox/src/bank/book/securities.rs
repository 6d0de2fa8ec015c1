//! Prices and exchange rates: a pure function of the seed, the name and the day.

use jiff::civil::{self, Weekday};
use jiff::{ToSpan, Unit};

/// Something that can be held.
pub(super) struct Security {
    pub(super) symbol: &'static str,
    pub(super) cusip: &'static str,
    pub(super) name: &'static str,
    /// The standard's word: STOCK, MUTUALFUND or BOND.
    pub(super) kind: &'static str,
    pub(super) asset_class: &'static str,
    /// Cents in 2020.
    base: i64,
    /// Hundredths of a percent that it gains in a year.
    drift: i64,
    /// Hundredths of a percent that it swings.
    swing: i64,
    /// Hundredths of a cent that a unit pays in a quarter.
    pub(super) quarterly_payout: i64,
}

macro_rules! securities {
    ($($symbol:literal $cusip:literal $kind:literal $class:literal $name:literal: $base:literal $drift:literal $swing:literal $pays:literal;)+) => {
        &[$(Security {
            symbol: $symbol, cusip: $cusip, name: $name, kind: $kind, asset_class: $class,
            base: $base, drift: $drift, swing: $swing, quarterly_payout: $pays,
        }),+]
    };
}

/// None of these exists.
const SECURITIES: &[Security] = securities! {
    "NRW" "66500R108" "STOCK" "LARGESTOCK" "Northern Railway Company": 8_420 650 1_400 4_200;
    "MPL" "56500M204" "STOCK" "LARGESTOCK" "Maple Power & Light Inc.": 3_315 380 900 3_150;
    "ARX" "04270A101" "STOCK" "SMALLSTOCK" "Arctic Robotics Corp.": 1_240 1_150 2_900 0;
    "BALF" "05800F333" "MUTUALFUND" "OTHER" "Balanced Growth Fund": 1_512 520 600 1_100;
    "EQIX" "29400Q777" "MUTUALFUND" "LARGESTOCK" "Canadian Equity Index Fund": 2_206 690 1_100 1_400;
    "FERV" "31500V119" "MUTUALFUND" "OTHER" "Fonds équilibré Érablière": 1_087 480 550 900;
    "OBLQ" "67400Q224" "MUTUALFUND" "DOMESTICBOND" "Fonds obligataire Outaouais": 998 210 240 700;
    "MAN33" "563469VK7" "BOND" "DOMESTICBOND" "Province of Manitou 3.10% 1 June 2033": 9_790 30 380 7_750;
};

/// The security of a symbol.
pub(super) fn find_security(symbol: &str) -> Option<&'static Security> {
    SECURITIES.iter().find(|s| s.symbol == symbol)
}

/// The market as a seed makes it.
#[derive(Clone, Copy)]
pub(super) struct Market<'a>(pub(super) &'a [u8]);

impl Market<'_> {
    /// Cents for a unit on the last day of business.
    pub(super) fn price(self, security: &Security, day: civil::Date) -> i64 {
        let day = last_business_day(day);
        let swing = security.swing;
        let moved = security.drift * days_since_2020(day) / 365
            + self.wave(security.symbol, day, (190, swing))
            + self.wave(security.symbol, day, (23, swing / 3))
            + self.wave(security.symbol, day, (3, swing / 9));
        (security.base * (10_000 + moved) / 10_000).max(1)
    }

    /// Canadian dollars for one of another currency, in ten-thousandths.
    pub(super) fn rate(self, currency: &str, day: civil::Date) -> i64 {
        let base = match currency {
            "USD" => 13_680,
            "EUR" => 14_910,
            "GBP" => 17_440,
            _ => return 10_000,
        };
        let day = last_business_day(day);
        base + base * (self.wave(currency, day, (160, 260)) + self.wave(currency, day, (11, 70))) / 10_000
    }

    /// A line through points that are drawn every so many days, in hundredths of a percent.
    fn wave(self, name: &str, day: civil::Date, (period, swing): (i64, i64)) -> i64 {
        let point = |nth: i64| {
            let drawn = crate::random::compute_mac(self.0, &format!("market/{name}/{period}/{nth}"));
            let number = i64::from(drawn[0]) << 8 | i64::from(drawn[1]);
            number * 2 * swing / 65_535 - swing
        };
        let (nth, into) = (days_since_2020(day).div_euclid(period), days_since_2020(day).rem_euclid(period));
        (point(nth) * (period - into) + point(nth + 1) * into) / period
    }
}

/// The day itself, or the Friday before a weekend.
pub(super) fn last_business_day(day: civil::Date) -> civil::Date {
    let back = match day.weekday() {
        Weekday::Saturday => 1,
        Weekday::Sunday => 2,
        _ => 0,
    };
    day.checked_sub(back.days()).unwrap_or(day)
}

/// The day itself, or the Monday after a weekend.
pub(super) fn next_business_day(day: civil::Date) -> civil::Date {
    let on = match day.weekday() {
        Weekday::Saturday => 2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    day.checked_add(on.days()).unwrap_or(day)
}

fn days_since_2020(day: civil::Date) -> i64 {
    let days = civil::date(2020, 1, 1).until((Unit::Day, day));
    days.map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_price_changes_on_business_days_only() {
        let market = Market(b"seed");
        let stock = find_security("NRW").unwrap();
        let friday = civil::date(2026, 11, 20);
        let at = |days: i64| market.price(stock, friday.checked_add(days.days()).unwrap());
        assert_eq!((at(0), at(1)), (at(2), at(2)));
        let moves: Vec<i64> = (3..60).map(|d| (at(d + 1) - at(d)).abs()).collect();
        assert!(moves.iter().filter(|m| **m > 0).count() > 30, "{moves:?}");
        assert!(moves.iter().all(|m| *m < at(0) / 12), "{moves:?}");
        assert_ne!(Market(b"other").price(stock, friday), at(0));
    }

    #[test]
    fn exchange_rate_stays_near_its_base() {
        for days in 0..1_000 {
            let day = civil::date(2025, 1, 1).checked_add(days.days()).unwrap();
            assert!((13_000..14_400).contains(&Market(b"seed").rate("USD", day)));
        }
    }
}
