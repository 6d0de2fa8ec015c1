//! What investment accounts do: contributions, trades, dividends, fees.

use std::collections::BTreeMap;

use jiff::civil;

use super::bookings::{Booking, Detail, Run};
use super::ledger::Plan;
use super::market::{Security, next_business_day, security};

/// Cents that a trade of shares costs.
const COMMISSION: i64 = 995;

/// What is held of a security, in ten-thousandths of a unit and in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) units: i64,
    pub(super) cost: i64,
}

/// What is held after some bookings, by symbol.
pub(super) fn held(plan: &Plan, booked: &[Booking]) -> BTreeMap<&'static str, Held> {
    let mut held: BTreeMap<&'static str, Held> = BTreeMap::new();
    for position in plan.positions {
        let cost = position.units * position.paid / 10_000;
        held.insert(position.symbol, Held { units: position.units, cost });
    }
    for booking in booked {
        if let Detail::Trade { symbol, units, price, .. } = booking.detail {
            let held = held.entry(symbol).or_default();
            if units > 0 {
                held.cost += units * price / 10_000;
            } else if held.units > 0 {
                held.cost += held.cost * units / held.units;
            }
            held.units += units;
        }
    }
    held
}

impl Run<'_> {
    pub(super) fn plan(&mut self, day: civil::Date, plan: &Plan) {
        if let Some((number, cents, symbol)) = plan.monthly {
            if day.day() == number {
                self.contribute(day, cents, plan);
            }
            if let Some(fund) = security(symbol).filter(|_| is_business_day(day, number + 1)) {
                let granted = plan.grant.map_or(0, |(percent, _)| cents * percent / 100);
                let price = self.book.market().price(fund, day);
                self.trade(day, fund, (cents + granted) * 10_000 / price, plan);
            }
        }
        for (month, number, symbol, units) in plan.trades {
            let due = day.month() == *month && is_business_day(day, *number);
            if let Some(security) = security(symbol).filter(|_| due) {
                self.trade(day, security, units * 10_000, plan);
            }
        }
        if day.month() % 3 == 0 && is_business_day(day, 28) {
            self.payouts(day, plan);
        }
        if (day.month(), day.day()) == (12, 15) && plan.fee > 0 {
            let fee = cash(day, -plan.fee, "FEE");
            self.book_it(Booking { says: plan.says.fee.into(), ..fee });
        }
    }

    fn contribute(&mut self, day: civil::Date, cents: i64, plan: &Plan) {
        let contribution = Booking { mirrored: true, ..cash(day, cents, "CONTRIBUTION") };
        self.book_it(Booking { says: plan.says.contribution.into(), ..contribution });
        if let Some((percent, says)) = plan.grant {
            let grant = cash(day, cents * percent / 100, "CONTRIBUTION");
            self.book_it(Booking { says: says.into(), ..grant });
        }
    }

    /// Buys, or sells if the units are negative. It settles on the next day of business.
    fn trade(&mut self, day: civil::Date, security: &'static Security, units: i64, plan: &Plan) {
        let price = self.book.market().price(security, day);
        let commission = if security.kind == "STOCK" { COMMISSION } else { 0 };
        let cents = -(units * price / 10_000) - commission;
        if units == 0 {
            return;
        }
        let (kind, verb) = if units > 0 { ("PURCHASED", plan.says.bought) } else { ("SOLD", plan.says.sold) };
        let trade = cash(day, cents, kind);
        self.book_it(Booking {
            says: format!("{verb} {}", security.name),
            posts: next_business_day(day.tomorrow().unwrap_or(day)),
            detail: Detail::Trade { symbol: security.symbol, units, price, commission },
            ..trade
        });
    }

    /// Dividends of shares in cash, those of funds in units, interest of bonds.
    fn payouts(&mut self, day: civil::Date, plan: &Plan) {
        for (symbol, held) in held(plan, &self.booked) {
            let Some(security) = security(symbol) else { continue };
            let cents = held.units * security.pays / 1_000_000;
            if cents <= 0 {
                continue;
            }
            let (kind, verb) = match security.kind {
                "BOND" => ("INTEREST", plan.says.interest),
                "MUTUALFUND" => ("DIVIDENDREINVEST", plan.says.reinvested),
                _ => ("DIVIDEND", plan.says.dividend),
            };
            let mut payout = Booking { says: format!("{verb} {}", security.name), ..cash(day, cents, kind) };
            if security.kind == "MUTUALFUND" {
                let price = self.book.market().price(security, day);
                let units = cents * 10_000 / price;
                payout.cents = 0;
                payout.detail = Detail::Trade { symbol: security.symbol, units, price, commission: 0 };
            }
            self.book_it(payout);
        }
    }
}

/// Whether a day is that of a month's number, or the Monday after it if that was on a weekend.
fn is_business_day(day: civil::Date, number: i8) -> bool {
    day == next_business_day(civil::date(day.year(), day.month(), number))
}

/// A booking that changes the cash of an account.
fn cash(day: civil::Date, cents: i64, kind: &'static str) -> Booking {
    Booking { kind: Some(kind), category: "investment", ..Booking::of(day, cents, "") }
}
