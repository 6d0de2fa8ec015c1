//! Accounts as FDX shows them, with their balances of today.

use fdx::{
    Account, Amount, Currency, Date, DepositAccount, Domicile, Holding, InvestmentAccount, LoanAccount,
    LocAccount, Portion,
};
use jiff::ToSpan;
use jiff::civil;
use rust_decimal::Decimal;

use super::bookings::{Booking, months_between};
use super::ledger::{Kind, Ledger, Loan, Plan, Term};
use super::market::{last_business_day, security};
use super::plan::{Held, held};
use super::{Book, masked, money, noon, people, units};

/// The fields that every kind has.
macro_rules! common {
    ($name:ident, $book:ident, $ledger:ident, $category:literal, $word:expr, $balance:literal { $($field:ident: $value:expr),* $(,)? }) => {
        Box::new($name {
            account_id: Some($ledger.id.into()),
            account_category: Some($category.into()),
            account_type: Some($word.into()),
            account_number_display: Some(masked(&$book.number($ledger))),
            account_number: Some($book.number($ledger)),
            product_name: Some($ledger.name.into()),
            nickname: $ledger.nickname.map(str::to_owned),
            status: Some($book.status($ledger).into()),
            currency: Some($book.currency($ledger)),
            line_of_business: Some($ledger.line_of_business().into()),
            balance_type: Some($balance.into()),
            interest_rate: $ledger.rate_shown().map(percent),
            interest_rate_type: $ledger.rate_shown().map(|_| $ledger.rate_type().into()),
            last_activity_date: $book.bookings($ledger).last().map(|b| Date(b.day)),
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
    all: i64,
    /// What is posted.
    posted: i64,
    /// What was posted before today.
    before: i64,
}

impl Book<'_> {
    pub(super) fn account(&self, ledger: &Ledger) -> Account {
        match &ledger.kind {
            Kind::Deposit { word, term } => Account::DepositAccount(self.deposit(ledger, word, *term)),
            Kind::Card { network, line, .. } => {
                let mut card = self.credit(ledger, "CREDITCARD", *line);
                card.card_network = Some((*network).into());
                Account::LocAccount(card)
            }
            Kind::Line { word, limit } => Account::LocAccount(self.credit(ledger, word, *limit)),
            Kind::Loan { word, terms } => Account::LoanAccount(self.loan(ledger, word, terms)),
            Kind::Plan(plan) => Account::InvestmentAccount(self.investment(ledger, plan)),
        }
    }

    fn deposit(&self, ledger: &Ledger, word: &str, term: Option<Term>) -> Box<DepositAccount> {
        let balances = self.balances(ledger);
        let movable = ledger.is_payable();
        let year = civil::date(self.today.year(), 1, 1);
        let bookings = self.bookings(ledger);
        let interest = bookings.iter().filter(|b| b.kind == Some("INTEREST") && b.day >= year);
        common!(DepositAccount, self, ledger, "DEPOSIT_ACCOUNT", word, "ASSET" {
            routing_transit_number: Some(self.books.routing.into()),
            transfer_in: Some(movable),
            transfer_out: Some(movable),
            bill_pay_status: Some(if movable { "ACTIVE" } else { "NOT_AVAILABLE" }.into()),
            current_balance: Some(money(balances.posted)),
            available_balance: Some(money(if term.is_some() { 0 } else { balances.all })),
            opening_day_balance: Some(money(balances.before)),
            annual_percentage_yield: ledger.rate_shown().map(percent),
            interest_ytd: ledger.rate_shown().map(|_| money(interest.map(|b| b.cents).sum())),
            term: term.map(|term| term.months),
            maturity_date: term.map(|term| Date(next_after(term.since, term.months, self.today))),
        })
    }

    fn credit(&self, ledger: &Ledger, word: &str, line: i64) -> Box<LocAccount> {
        let balances = self.balances(ledger);
        let bookings = self.bookings(ledger);
        let payment = bookings.iter().rev().find(|b| b.kind == Some("PAYMENT"));
        let closing = last_day_numbered(25, self.today);
        let statement = -(ledger.opening + sum(&bookings, |b| b.day <= closing));
        let paid = sum(&bookings, |b| b.day > closing && b.kind == Some("PAYMENT"));
        let owed = (statement - paid).max(0);
        let minimum = owed.min((owed / 20).max(1_000));
        let card = matches!(ledger.kind, Kind::Card { .. });
        let due = next_day_numbered(if card { 20 } else { 15 }, self.today);
        common!(LocAccount, self, ledger, "LOC_ACCOUNT", word, "LIABILITY" {
            transfer_in: Some(false),
            transfer_out: Some(!card),
            credit_line: Some(money(line)),
            available_credit: Some(money((line + balances.all).max(0))),
            principal_balance: Some(money(-balances.posted)),
            current_balance: Some(money(-balances.posted)),
            next_payment_amount: Some(money(minimum)),
            next_payment_date: Some(Date(due)),
            minimum_payment_amount: Some(money(minimum)),
            last_payment_amount: payment.map(|b| money(b.shown)),
            last_payment_date: payment.map(|b| Date(b.day)),
            past_due_amount: Some(money(0)),
            last_stmt_balance: Some(money(statement)),
            last_stmt_date: Some(Date(closing)),
            purchases_apr: Some(percent(ledger.rate)),
            advances_apr: card.then(|| percent(2_299)),
            cash_advance_limit: card.then(|| money(line / 5)),
            available_cash: card.then(|| money((line + balances.all).clamp(0, line / 5))),
            finance_charges: Some(money(0)),
        })
    }

    fn loan(&self, ledger: &Ledger, word: &str, terms: &Loan) -> Box<LoanAccount> {
        let owed = -self.balances(ledger).posted;
        let bookings = self.bookings(ledger);
        let last = bookings.last();
        let next = next_after(terms.since, 1, self.today);
        let interest = owed * terms.monthly / 1_000_000_000;
        let year = civil::date(self.today.year(), 1, 1);
        let interest_paid: i64 = bookings.iter().filter(|b| b.day >= year).map(|b| b.shown - b.cents).sum();
        let ends = terms.since.saturating_add(terms.months.months());
        let renewed = terms.renewed_every.map(|months| next_after(terms.since, months, self.today));
        let elapsed = i64::from(self.today.day()) * interest / 30;
        let due = (owed > 0).then_some((owed + interest).min(terms.payment));
        common!(LoanAccount, self, ledger, "LOAN_ACCOUNT", word, "LIABILITY" {
            transfer_in: Some(false),
            transfer_out: Some(false),
            principal_balance: Some(money(owed)),
            original_principal: Some(money(terms.original)),
            originating_date: Some(Date(terms.since)),
            loan_term: Some(terms.months),
            total_number_of_payments: Some(terms.months),
            next_payment_amount: due.map(money),
            next_payment_date: due.map(|_| Date(next)),
            payment_frequency: Some("MONTHLY".into()),
            compounding_period: Some(terms.compounding.into()),
            pay_off_amount: Some(money(owed + elapsed)),
            last_payment_amount: last.map(|b| money(b.shown)),
            last_payment_date: last.map(|b| Date(b.day)),
            maturity_date: Some(Date(renewed.unwrap_or(ends))),
            interest_paid_year_to_date: Some(money(interest_paid)),
        })
    }

    fn investment(&self, ledger: &Ledger, plan: &Plan) -> Box<InvestmentAccount> {
        let cash = self.balances(ledger).all;
        let bookings = self.bookings(ledger);
        let mut holdings = Vec::new();
        let (mut value, mut change) = (cash, 0);
        for (symbol, held) in held(plan, &bookings) {
            if let Some((holding, worth, moved)) = self.holding(ledger, plan, symbol, held) {
                holdings.push(holding);
                value += worth;
                change += moved;
            }
        }
        holdings.push(cash_holding(ledger, cash));
        let moved = Decimal::from(change) * Decimal::ONE_HUNDRED / Decimal::from((value - change).max(1));
        common!(InvestmentAccount, self, ledger, "INVESTMENT_ACCOUNT", plan.word, "ASSET" {
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
    fn holding(&self, ledger: &Ledger, plan: &Plan, symbol: &str, held: Held) -> Option<(Holding, i64, i64)> {
        let security = security(symbol).filter(|_| held.units > 0)?;
        let market = self.market();
        let (price, before) = (
            market.price(security, self.today),
            market.price(security, self.today.yesterday().unwrap_or(self.today)),
        );
        let worth = held.units * price / 10_000;
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
            original_purchase_date: first.map(|position| Date(position.since)),
            purchased_price: Some(money(held.cost * 10_000 / held.units)),
            current_unit_price: Some(money(price)),
            change_in_price: Some(money(price - before)),
            current_unit_price_date: Some(Date(last_business_day(self.today))),
            units: Some(units(held.units)),
            market_value: Some(money(worth)),
            face_value: (security.kind == "BOND").then(|| money(held.units / 10_000 * 10_000)),
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
        Some((holding, worth, held.units * (price - before) / 10_000))
    }

    fn balances(&self, ledger: &Ledger) -> Balances {
        let bookings = self.bookings(ledger);
        let opening = if ledger.closed { 0 } else { ledger.opening };
        Balances {
            all: opening + sum(&bookings, |_| true),
            posted: opening + sum(&bookings, |b| b.posts <= self.today),
            before: opening + sum(&bookings, |b| b.posts < self.today),
        }
    }

    fn status(&self, ledger: &Ledger) -> &'static str {
        match &ledger.kind {
            _ if ledger.closed => "CLOSED",
            Kind::Loan { .. } if self.balances(ledger).posted == 0 => "PAID",
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
            Kind::Deposit { word, .. } | Kind::Line { word, .. } if word.starts_with("COMMERCIAL") => {
                "COMMERCIAL"
            }
            Kind::Plan(_) => "WEALTH",
            _ => "RETAIL",
        }
    }

    /// The rate, where there is one.
    fn rate_shown(&self) -> Option<i64> {
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
    let owner = people::PEOPLE.iter().find(|person| ledger.owners.first() == Some(&person.username))?;
    Some(Domicile { region: Some(owner.region().into()), country: Some("CA".into()) })
}

fn sum(bookings: &[Booking], counts: impl Fn(&Booking) -> bool) -> i64 {
    bookings.iter().filter(|b| counts(b)).map(|b| b.cents).sum()
}

/// Hundredths of a percent as a percentage.
fn percent(hundredths: i64) -> Amount {
    Amount(Decimal::new(hundredths, 2))
}

/// The first day after today that is a whole number of periods after a first day.
fn next_after(first: civil::Date, months: i64, today: civil::Date) -> civil::Date {
    let periods = (months_between(first, today) / months).max(0);
    let nth = |n: i64| first.saturating_add((n * months).months());
    let day = nth(periods);
    if day > today { day } else { nth(periods + 1) }
}

fn last_day_numbered(number: i8, today: civil::Date) -> civil::Date {
    let month = if today.day() >= number { today } else { today.saturating_sub(1.month()) };
    civil::date(month.year(), month.month(), number)
}

fn next_day_numbered(number: i8, today: civil::Date) -> civil::Date {
    last_day_numbered(number, today).saturating_add(1.month())
}
