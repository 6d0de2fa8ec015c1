//! What investment accounts do: contributions, trades, dividends, fees.

use std::collections::BTreeMap;

use jiff::civil;

use super::ledger::InvestmentPlan;
use super::postings::{Detail, Posting, PostingRun};
use super::securities::{Security, find_security, next_business_day};

/// Cents that a trade of shares costs.
const TRADE_COMMISSION_CENTS: i64 = 995;

/// What is held of a security, in ten-thousandths of a unit and in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PositionBalance {
    pub(super) units: i64,
    pub(super) cost: i64,
}

/// What is held after some bookings, by symbol.
pub(super) fn compute_position_balances(
    plan: &InvestmentPlan,
    booked: &[Posting],
) -> BTreeMap<&'static str, PositionBalance> {
    let mut balances: BTreeMap<&'static str, PositionBalance> = BTreeMap::new();
    for position in plan.positions {
        let cost = position.units * position.unit_cost / 10_000;
        balances.insert(position.symbol, PositionBalance { units: position.units, cost });
    }
    for booking in booked {
        if let Detail::Trade { symbol, units, price, .. } = booking.detail {
            let balance = balances.entry(symbol).or_default();
            if units > 0 {
                balance.cost += units * price / 10_000;
            } else if balance.units > 0 {
                balance.cost += balance.cost * units / balance.units;
            }
            balance.units += units;
        }
    }
    balances
}

impl PostingRun<'_> {
    pub(super) fn post_plan(&mut self, day: civil::Date, plan: &InvestmentPlan) {
        if let Some((number, cents, symbol)) = plan.monthly_contribution {
            if day.day() == number {
                self.post_contribution(day, cents, plan);
            }
            if let Some(fund) = find_security(symbol).filter(|_| is_business_day(day, number + 1)) {
                let granted = plan.grant.map_or(0, |(percent, _)| cents * percent / 100);
                let price = self.book.market().price(fund, day);
                self.post_trade(day, fund, (cents + granted) * 10_000 / price, plan);
            }
        }
        for (month, number, symbol, units) in plan.trades {
            let due = day.month() == *month && is_business_day(day, *number);
            if let Some(security) = find_security(symbol).filter(|_| due) {
                self.post_trade(day, security, units * 10_000, plan);
            }
        }
        if day.month() % 3 == 0 && is_business_day(day, 28) {
            self.post_payouts(day, plan);
        }
        if (day.month(), day.day()) == (12, 15) && plan.fee > 0 {
            let fee = cash_posting(day, -plan.fee, "FEE");
            self.post(Posting { description: plan.wording.fee.into(), ..fee });
        }
    }

    fn post_contribution(&mut self, day: civil::Date, cents: i64, plan: &InvestmentPlan) {
        let contribution = Posting { is_mirrored: true, ..cash_posting(day, cents, "CONTRIBUTION") };
        self.post(Posting { description: plan.wording.contribution.into(), ..contribution });
        if let Some((percent, says)) = plan.grant {
            let grant = cash_posting(day, cents * percent / 100, "CONTRIBUTION");
            self.post(Posting { description: says.into(), ..grant });
        }
    }

    /// Buys, or sells if the units are negative. It settles on the next day of business.
    fn post_trade(
        &mut self,
        day: civil::Date,
        security: &'static Security,
        units: i64,
        plan: &InvestmentPlan,
    ) {
        let price = self.book.market().price(security, day);
        let commission = if security.kind == "STOCK" { TRADE_COMMISSION_CENTS } else { 0 };
        let cents = -(units * price / 10_000) - commission;
        if units == 0 {
            return;
        }
        let (kind, verb) =
            if units > 0 { ("PURCHASED", plan.wording.bought) } else { ("SOLD", plan.wording.sold) };
        let trade = cash_posting(day, cents, kind);
        self.post(Posting {
            description: format!("{verb} {}", security.name),
            posted_on: next_business_day(day.tomorrow().unwrap_or(day)),
            detail: Detail::Trade { symbol: security.symbol, units, price, commission },
            ..trade
        });
    }

    /// Dividends of shares in cash, those of funds in units, interest of bonds.
    fn post_payouts(&mut self, day: civil::Date, plan: &InvestmentPlan) {
        for (symbol, balance) in compute_position_balances(plan, &self.postings) {
            let Some(security) = find_security(symbol) else { continue };
            let cents = balance.units * security.quarterly_payout / 1_000_000;
            if cents <= 0 {
                continue;
            }
            let (kind, verb) = match security.kind {
                "BOND" => ("INTEREST", plan.wording.interest),
                "MUTUALFUND" => ("DIVIDENDREINVEST", plan.wording.reinvested),
                _ => ("DIVIDEND", plan.wording.dividend),
            };
            let mut payout = Posting {
                description: format!("{verb} {}", security.name),
                ..cash_posting(day, cents, kind)
            };
            if security.kind == "MUTUALFUND" {
                let price = self.book.market().price(security, day);
                let units = cents * 10_000 / price;
                payout.cents = 0;
                payout.detail = Detail::Trade { symbol: security.symbol, units, price, commission: 0 };
            }
            self.post(payout);
        }
    }
}

/// Whether a day is that of a month's number, or the Monday after it if that was on a weekend.
fn is_business_day(day: civil::Date, number: i8) -> bool {
    day == next_business_day(civil::date(day.year(), day.month(), number))
}

/// A booking that changes the cash of an account.
fn cash_posting(day: civil::Date, cents: i64, kind: &'static str) -> Posting {
    Posting { kind: Some(kind), category: "investment", ..Posting::new(day, cents, "") }
}
