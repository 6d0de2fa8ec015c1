//! Accounts as FDX shows them, with their balances of today.

use fdx::{
    Account, Amount, Currency, Date, DepositAccount, Domicile, Holding, InvestmentAccount, LoanAccount,
    LocAccount, Portion,
};
use jiff::ToSpan;
use jiff::civil;
use rust_decimal::Decimal;

use super::ledger::{InvestmentPlan, Kind, Ledger, Loan, Term};
use super::plan::{PositionBalance, compute_position_balances};
use super::postings::{Posting, months_between};
use super::securities::{find_security, last_business_day};
use super::{Book, customers, mask_number, money, noon, units};

/// The fields that every kind has.
macro_rules! fdx_account {
    ($name:ident, $book:ident, $ledger:ident, $category:literal, $word:expr, $balance:literal { $($field:ident: $value:expr),* $(,)? }) => {
        Box::new($name {
            account_id: Some($ledger.id.into()),
            account_category: Some($category.into()),
            account_type: Some($word.into()),
            account_number_display: Some(mask_number(&$book.number($ledger))),
            account_number: Some($book.number($ledger)),
            product_name: Some($ledger.name.into()),
            nickname: $ledger.nickname.map(str::to_owned),
            status: Some($book.status($ledger).into()),
            currency: Some($book.currency($ledger)),
            line_of_business: Some($ledger.line_of_business().into()),
            balance_type: Some($balance.into()),
            interest_rate: $ledger.displayed_rate().map(percent),
            interest_rate_type: $ledger.displayed_rate().map(|_| $ledger.rate_type().into()),
            last_activity_date: $book.postings($ledger).last().map(|b| Date(b.day)),
            balance_as_of: Some(noon($book.today)),
            transactions_included: Some(false),
            domicile: domicile($ledger),
            $($field: $value,)*
            ..$name::default()
        })
    };
}

/// What has been booked so far, and what of it is not pending any more.
struct Balances {
    /// Everything.
    total: i64,
    /// What is posted.
    posted: i64,
    /// What was posted before today.
    posted_before_today: i64,
}

impl Book<'_> {
    pub(super) fn build_account(&self, ledger: &Ledger) -> Account {
        match &ledger.kind {
            Kind::Deposit { account_type: word, term } => {
                Account::DepositAccount(self.build_deposit(ledger, word, *term))
            }
            Kind::Card { network, credit_limit: line, .. } => {
                let mut card = self.build_credit(ledger, "CREDITCARD", *line);
                card.card_network = Some((*network).into());
                Account::LocAccount(card)
            }
            Kind::Line { account_type: word, limit } => {
                Account::LocAccount(self.build_credit(ledger, word, *limit))
            }
            Kind::Loan { account_type: word, terms } => {
                Account::LoanAccount(self.build_loan(ledger, word, terms))
            }
            Kind::Plan(plan) => Account::InvestmentAccount(self.build_investment(ledger, plan)),
        }
    }

    fn build_deposit(&self, ledger: &Ledger, word: &str, term: Option<Term>) -> Box<DepositAccount> {
        let balances = self.compute_balances(ledger);
        let movable = ledger.is_payable();
        let year = civil::date(self.today.year(), 1, 1);
        let bookings = self.postings(ledger);
        let interest = bookings.iter().filter(|b| b.kind == Some("INTEREST") && b.day >= year);
        fdx_account!(DepositAccount, self, ledger, "DEPOSIT_ACCOUNT", word, "ASSET" {
            routing_transit_number: Some(self.books.routing.into()),
            transfer_in: Some(movable),
            transfer_out: Some(movable),
            bill_pay_status: Some(if movable { "ACTIVE" } else { "NOT_AVAILABLE" }.into()),
            current_balance: Some(money(balances.posted)),
            available_balance: Some(money(if term.is_some() { 0 } else { balances.total })),
            opening_day_balance: Some(money(balances.posted_before_today)),
            annual_percentage_yield: ledger.displayed_rate().map(percent),
            interest_ytd: ledger.displayed_rate().map(|_| money(interest.map(|b| b.cents).sum())),
            term: term.map(|term| term.months),
            maturity_date: term.map(|term| Date(next_due_date(term.start_date, term.months, self.today))),
        })
    }

    fn build_credit(&self, ledger: &Ledger, word: &str, line: i64) -> Box<LocAccount> {
        let balances = self.compute_balances(ledger);
        let bookings = self.postings(ledger);
        let payment = bookings.iter().rev().find(|b| b.kind == Some("PAYMENT"));
        let closing = last_monthly_date(25, self.today);
        let statement = -(ledger.opening + sum_cents(&bookings, |b| b.day <= closing));
        let paid = sum_cents(&bookings, |b| b.day > closing && b.kind == Some("PAYMENT"));
        let owed = (statement - paid).max(0);
        let minimum = owed.min((owed / 20).max(1_000));
        let card = matches!(ledger.kind, Kind::Card { .. });
        let due = next_monthly_date(if card { 20 } else { 15 }, self.today);
        fdx_account!(LocAccount, self, ledger, "LOC_ACCOUNT", word, "LIABILITY" {
            transfer_in: Some(false),
            transfer_out: Some(!card),
            credit_line: Some(money(line)),
            available_credit: Some(money((line + balances.total).max(0))),
            principal_balance: Some(money(-balances.posted)),
            current_balance: Some(money(-balances.posted)),
            next_payment_amount: Some(money(minimum)),
            next_payment_date: Some(Date(due)),
            minimum_payment_amount: Some(money(minimum)),
            last_payment_amount: payment.map(|b| money(b.displayed_cents)),
            last_payment_date: payment.map(|b| Date(b.day)),
            past_due_amount: Some(money(0)),
            last_stmt_balance: Some(money(statement)),
            last_stmt_date: Some(Date(closing)),
            purchases_apr: Some(percent(ledger.rate)),
            advances_apr: card.then(|| percent(2_299)),
            cash_advance_limit: card.then(|| money(line / 5)),
            available_cash: card.then(|| money((line + balances.total).clamp(0, line / 5))),
            finance_charges: Some(money(0)),
        })
    }

    fn build_loan(&self, ledger: &Ledger, word: &str, terms: &Loan) -> Box<LoanAccount> {
        let owed = -self.compute_balances(ledger).posted;
        let bookings = self.postings(ledger);
        let last = bookings.last();
        let next = next_due_date(terms.start_date, 1, self.today);
        let interest = owed * terms.monthly_rate_billionths / 1_000_000_000;
        let year = civil::date(self.today.year(), 1, 1);
        let interest_paid: i64 =
            bookings.iter().filter(|b| b.day >= year).map(|b| b.displayed_cents - b.cents).sum();
        let ends = terms.start_date.saturating_add(terms.months.months());
        let renewed = terms.renewal_months.map(|months| next_due_date(terms.start_date, months, self.today));
        let elapsed = i64::from(self.today.day()) * interest / 30;
        let due = (owed > 0).then_some((owed + interest).min(terms.payment));
        fdx_account!(LoanAccount, self, ledger, "LOAN_ACCOUNT", word, "LIABILITY" {
            transfer_in: Some(false),
            transfer_out: Some(false),
            principal_balance: Some(money(owed)),
            original_principal: Some(money(terms.original_principal)),
            originating_date: Some(Date(terms.start_date)),
            loan_term: Some(terms.months),
            total_number_of_payments: Some(terms.months),
            next_payment_amount: due.map(money),
            next_payment_date: due.map(|_| Date(next)),
            payment_frequency: Some("MONTHLY".into()),
            compounding_period: Some(terms.compounding.into()),
            pay_off_amount: Some(money(owed + elapsed)),
            last_payment_amount: last.map(|b| money(b.displayed_cents)),
            last_payment_date: last.map(|b| Date(b.day)),
            maturity_date: Some(Date(renewed.unwrap_or(ends))),
            interest_paid_year_to_date: Some(money(interest_paid)),
        })
    }

    fn build_investment(&self, ledger: &Ledger, plan: &InvestmentPlan) -> Box<InvestmentAccount> {
        let cash = self.compute_balances(ledger).total;
        let bookings = self.postings(ledger);
        let mut holdings = Vec::new();
        let (mut value, mut change) = (cash, 0);
        for (symbol, balance) in compute_position_balances(plan, &bookings) {
            if let Some((holding, worth, moved)) = self.build_holding(ledger, plan, symbol, balance) {
                holdings.push(holding);
                value += worth;
                change += moved;
            }
        }
        holdings.push(cash_holding(ledger, cash));
        let moved = Decimal::from(change) * Decimal::ONE_HUNDRED / Decimal::from((value - change).max(1));
        fdx_account!(InvestmentAccount, self, ledger, "INVESTMENT_ACCOUNT", plan.account_type, "ASSET" {
            transfer_in: Some(true),
            transfer_out: Some(false),
            allowed_check_writing: Some(false),
            allowed_option_trade: Some(false),
            current_value: Some(money(value)),
            available_cash_balance: Some(money(cash)),
            margin: Some(false),
            daily_change: Some(money(change)),
            percentage_change: Some(Amount(moved.round_dp(2))),
            holdings: Some(holdings),
        })
    }

    /// A position, what it is worth, and how much that moved since the day before, in cents.
    fn build_holding(
        &self,
        ledger: &Ledger,
        plan: &InvestmentPlan,
        symbol: &str,
        balance: PositionBalance,
    ) -> Option<(Holding, i64, i64)> {
        let security = find_security(symbol).filter(|_| balance.units > 0)?;
        let market = self.market();
        let (price, before) = (
            market.price(security, self.today),
            market.price(security, self.today.yesterday().unwrap_or(self.today)),
        );
        let worth = balance.units * price / 10_000;
        let first = plan.positions.iter().find(|position| position.symbol == symbol);
        let text = |text: &str| Some(text.to_owned());
        let holding = Holding {
            holding_id: Some(format!("{}-{}", ledger.id, symbol.to_lowercase())),
            security_id: text(security.cusip),
            security_id_type: text("CUSIP"),
            holding_name: text(security.name),
            holding_type: text(security.kind),
            position_type: text("LONG"),
            held_in_account: text("CASH"),
            symbol: text(symbol),
            original_purchase_date: first.map(|position| Date(position.acquired_on)),
            purchased_price: Some(money(balance.cost * 10_000 / balance.units)),
            current_unit_price: Some(money(price)),
            change_in_price: Some(money(price - before)),
            current_unit_price_date: Some(Date(last_business_day(self.today))),
            units: Some(units(balance.units)),
            market_value: Some(money(worth)),
            face_value: (security.kind == "BOND").then(|| money(balance.units / 10_000 * 10_000)),
            average_cost: Some(true),
            cash_account: Some(false),
            rate: (security.kind == "BOND").then(|| percent(310)),
            expiration_date: (security.kind == "BOND").then(|| Date(civil::date(2033, 6, 1))),
            currency: Some(self.currency(ledger)),
            asset_classes: Some(vec![Portion {
                asset_class: text(security.asset_class),
                percent: Some(Amount(Decimal::ONE_HUNDRED)),
            }]),
            ..Holding::default()
        };
        Some((holding, worth, balance.units * (price - before) / 10_000))
    }

    fn compute_balances(&self, ledger: &Ledger) -> Balances {
        let bookings = self.postings(ledger);
        let opening = if ledger.closed { 0 } else { ledger.opening };
        Balances {
            total: opening + sum_cents(&bookings, |_| true),
            posted: opening + sum_cents(&bookings, |b| b.posted_on <= self.today),
            posted_before_today: opening + sum_cents(&bookings, |b| b.posted_on < self.today),
        }
    }

    fn status(&self, ledger: &Ledger) -> &'static str {
        match &ledger.kind {
            _ if ledger.closed => "CLOSED",
            Kind::Loan { .. } if self.compute_balances(ledger).posted == 0 => "PAID",
            _ => "OPEN",
        }
    }

    /// The account's currency; another than the bank's own comes with its rate of the day.
    fn currency(&self, ledger: &Ledger) -> Currency {
        let foreign = ledger.currency != "CAD";
        Currency {
            currency_code: Some(ledger.currency.into()),
            currency_rate: foreign.then(|| units(self.market().rate(ledger.currency, self.today))),
            original_currency_code: foreign.then(|| "CAD".into()),
        }
    }
}

impl Ledger {
    fn line_of_business(&self) -> &'static str {
        match self.kind {
            Kind::Deposit { account_type: word, .. } | Kind::Line { account_type: word, .. }
                if word.starts_with("COMMERCIAL") =>
            {
                "COMMERCIAL"
            }
            Kind::Plan(_) => "WEALTH",
            _ => "RETAIL",
        }
    }

    /// The rate, where there is one.
    fn displayed_rate(&self) -> Option<i64> {
        Some(self.rate).filter(|rate| *rate > 0)
    }

    const fn rate_type(&self) -> &'static str {
        match self.kind {
            Kind::Deposit { term: None, .. } | Kind::Line { .. } => "VARIABLE",
            _ => "FIXED",
        }
    }
}

/// Cash is a holding as well.
fn cash_holding(ledger: &Ledger, cash: i64) -> Holding {
    Holding {
        holding_id: Some(format!("{}-cash", ledger.id)),
        holding_name: Some(ledger.currency.into()),
        holding_type: Some("OTHER".into()),
        holding_sub_type: Some("CASH".into()),
        position_type: Some("LONG".into()),
        held_in_account: Some("CASH".into()),
        current_unit_price: Some(money(100)),
        units: Some(money(cash)),
        market_value: Some(money(cash)),
        cash_account: Some(true),
        currency: Some(Currency { currency_code: Some(ledger.currency.into()), ..Currency::default() }),
        ..Holding::default()
    }
}

fn domicile(ledger: &Ledger) -> Option<Domicile> {
    let owner = customers::PEOPLE.iter().find(|person| ledger.owners.first() == Some(&person.username))?;
    Some(Domicile { region: Some(owner.region().into()), country: Some("CA".into()) })
}

fn sum_cents(bookings: &[Posting], counts: impl Fn(&Posting) -> bool) -> i64 {
    bookings.iter().filter(|b| counts(b)).map(|b| b.cents).sum()
}

/// Hundredths of a percent as a percentage.
fn percent(hundredths: i64) -> Amount {
    Amount(Decimal::new(hundredths, 2))
}

/// The first day after today that is a whole number of periods after a first day.
fn next_due_date(first: civil::Date, months: i64, today: civil::Date) -> civil::Date {
    let periods = (months_between(first, today) / months).max(0);
    let nth = |n: i64| first.saturating_add((n * months).months());
    let day = nth(periods);
    if day > today { day } else { nth(periods + 1) }
}

fn last_monthly_date(number: i8, today: civil::Date) -> civil::Date {
    let month = if today.day() >= number { today } else { today.saturating_sub(1.month()) };
    civil::date(month.year(), month.month(), number)
}

fn next_monthly_date(number: i8, today: civil::Date) -> civil::Date {
    last_monthly_date(number, today).saturating_add(1.month())
}
