//! Generates the postings of investment accounts: contributions, trades, dividends and fees.

use std::collections::BTreeMap;

use jiff::civil;

use super::account_spec::InvestmentPlan;
use super::posting::{Posting, PostingDetail};
use super::posting_generator::PostingGenerator;
use super::securities::{Security, find_security, next_business_day};

/// The commission on a trade of shares. Funds and bonds are traded without one.
const TRADE_COMMISSION_CENTS: i64 = 995;

/// The current units (in ten-thousandths) and the total cost (in cents) of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PositionBalance {
    pub(super) units: i64,
    pub(super) cost: i64,
}

/// Computes the positions of an investment account after `postings`, with the symbol of the security as key.
pub(super) fn compute_position_balances(
    plan: &InvestmentPlan,
    postings: &[Posting],
) -> BTreeMap<&'static str, PositionBalance> {
    let mut balances: BTreeMap<&'static str, PositionBalance> = BTreeMap::new();
    for position in plan.positions {
        let cost = position.units * position.unit_cost / 10_000;
        balances.insert(position.symbol, PositionBalance { units: position.units, cost });
    }
    for posting in postings {
        if let PostingDetail::Trade { symbol, units, price, .. } = posting.detail {
            let balance = balances.entry(symbol).or_default();
            if units > 0 {
                balance.cost += units * price / 10_000;
            } else if balance.units > 0 {
                // A sale removes its share of the cost, so the average cost of a unit stays the same.
                balance.cost += balance.cost * units / balance.units;
            }
            balance.units += units;
        }
    }
    balances
}

impl PostingGenerator<'_> {
    pub(super) fn post_plan(&mut self, day: civil::Date, plan: &InvestmentPlan) {
        if let Some((number, cents, symbol)) = plan.monthly_contribution {
            if day.day() == number {
                self.post_contribution(day, cents, plan);
            }
            // A contribution is posted on its day and invested on the next business day.
            if let Some(fund) = find_security(symbol).filter(|_| is_trading_day(day, number + 1)) {
                let grant_cents = plan.grant.map_or(0, |(percent, _)| cents * percent / 100);
                let price = self.ledger.market().price(fund, day);
                self.post_trade(day, fund, (cents + grant_cents) * 10_000 / price, plan);
            }
        }
        for (month, number, symbol, units) in plan.trades {
            let is_due = day.month() == *month && is_trading_day(day, *number);
            if let Some(security) = find_security(symbol).filter(|_| is_due) {
                self.post_trade(day, security, units * 10_000, plan);
            }
        }
        if day.month() % 3 == 0 && is_trading_day(day, 28) {
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
        if let Some((percent, description)) = plan.grant {
            let grant = cash_posting(day, cents * percent / 100, "CONTRIBUTION");
            self.post(Posting { description: description.into(), ..grant });
        }
    }

    /// Posts a purchase, or a sale if the units are negative, that settles on the next business day.
    fn post_trade(
        &mut self,
        day: civil::Date,
        security: &'static Security,
        units: i64,
        plan: &InvestmentPlan,
    ) {
        let price = self.ledger.market().price(security, day);
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
            detail: PostingDetail::Trade { symbol: security.symbol, units, price, commission },
            ..trade
        });
    }

    /// Posts the quarterly dividends and interest: of shares and bonds in cash, of funds in units.
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
            // A reinvested dividend buys units and leaves the cash of the account unchanged.
            if security.kind == "MUTUALFUND" {
                let price = self.ledger.market().price(security, day);
                let units = cents * 10_000 / price;
                payout.cents = 0;
                payout.detail = PostingDetail::Trade { symbol: security.symbol, units, price, commission: 0 };
            }
            self.post(payout);
        }
    }
}

/// Returns true if a day is the given day of its month, or the Monday after if that is on a weekend.
fn is_trading_day(day: civil::Date, number: i8) -> bool {
    day == next_business_day(civil::date(day.year(), day.month(), number))
}

/// Creates a posting that changes the cash of an investment account.
fn cash_posting(day: civil::Date, cents: i64, kind: &'static str) -> Posting {
    Posting { kind: Some(kind), category: "investment", ..Posting::new(day, cents, "") }
}
