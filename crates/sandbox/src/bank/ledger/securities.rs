//! Computes the prices of securities and exchange rates from the seed, the name and the day only.

use jiff::civil::{self, Weekday};
use jiff::{ToSpan, Unit};

/// A security of the sandbox market.
pub(super) struct Security {
    pub(super) symbol: &'static str,
    pub(super) cusip: &'static str,
    pub(super) name: &'static str,
    /// The FDX security type: STOCK, MUTUALFUND or BOND.
    pub(super) kind: &'static str,
    pub(super) asset_class: &'static str,
    /// The price of a unit at the beginning of 2020, in cents.
    base: i64,
    /// The average gain of a year, in hundredths of a percent.
    drift: i64,
    /// The largest deviation from the average, in hundredths of a percent.
    swing: i64,
    /// The dividend or interest of one unit in a quarter, in hundredths of a cent.
    pub(super) quarterly_payout: i64,
}

macro_rules! securities {
    ($($symbol:literal $cusip:literal $kind:literal $class:literal $name:literal: $base:literal $drift:literal $swing:literal $payout:literal;)+) => {
        &[$(Security {
            symbol: $symbol, cusip: $cusip, name: $name, kind: $kind, asset_class: $class,
            base: $base, drift: $drift, swing: $swing, quarterly_payout: $payout,
        }),+]
    };
}

/// The securities of the sandbox. All of them are invented.
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

pub(super) fn find_security(symbol: &str) -> Option<&'static Security> {
    SECURITIES.iter().find(|s| s.symbol == symbol)
}

/// The prices and exchange rates that follow from the contained seed.
#[derive(Clone, Copy)]
pub(super) struct Market<'a>(pub(super) &'a [u8]);

impl Market<'_> {
    /// Returns the price of a unit in cents. A weekend has the price of the Friday before.
    pub(super) fn price(self, security: &Security, day: civil::Date) -> i64 {
        let day = last_business_day(day);
        let swing = security.swing;
        // A yearly trend plus three waves of different length, so that a chart looks like that of a real security.
        let change = security.drift * days_since_2020(day) / 365
            + self.wave(security.symbol, day, (190, swing))
            + self.wave(security.symbol, day, (23, swing / 3))
            + self.wave(security.symbol, day, (3, swing / 9));
        // Prices are divisors elsewhere, so they must stay positive.
        (security.base * (10_000 + change) / 10_000).max(1)
    }

    /// Returns the price of one unit of a foreign currency in ten-thousandths of a Canadian dollar.
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

    /// Interpolates between pseudorandom values at points that are `period` days apart; the result is in hundredths of
    /// a percent.
    fn wave(self, name: &str, day: civil::Date, (period, swing): (i64, i64)) -> i64 {
        let point = |nth: i64| {
            let random = crate::random::compute_mac(self.0, &format!("market/{name}/{period}/{nth}"));
            let number = i64::from(random[0]) << 8 | i64::from(random[1]);
            number * 2 * swing / 65_535 - swing
        };
        let days = days_since_2020(day);
        let (nth, offset) = (days.div_euclid(period), days.rem_euclid(period));
        (point(nth) * (period - offset) + point(nth + 1) * offset) / period
    }
}

/// Returns the day itself, or the Friday before if it is on a weekend.
pub(super) fn last_business_day(day: civil::Date) -> civil::Date {
    let days_back = match day.weekday() {
        Weekday::Saturday => 1,
        Weekday::Sunday => 2,
        _ => 0,
    };
    day.checked_sub(days_back.days()).unwrap_or(day)
}

/// Returns the day itself, or the Monday after if it is on a weekend.
pub(super) fn next_business_day(day: civil::Date) -> civil::Date {
    let days_forward = match day.weekday() {
        Weekday::Saturday => 2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    day.checked_add(days_forward.days()).unwrap_or(day)
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
    fn usd_exchange_rate_stays_between_1_30_and_1_44() {
        for days in 0..1_000 {
            let day = civil::date(2025, 1, 1).checked_add(days.days()).unwrap();
            assert!((13_000..14_400).contains(&Market(b"seed").rate("USD", day)));
        }
    }
}
