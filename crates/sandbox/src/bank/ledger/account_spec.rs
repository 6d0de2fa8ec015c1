//! The static description of accounts: products, owners, and the recurring events that postings are generated from.
//!
//! Each bank has a table of accounts (`maple.rs`, `rideau.rs`, `prairie.rs`).

use jiff::civil::{Date, Weekday};

/// The static description of an account: product, owners and terms, without postings.
#[derive(Clone, Copy)]
pub(crate) struct AccountSpec {
    pub(crate) id: &'static str,
    /// User names; the first is the primary holder.
    pub(crate) owners: &'static [&'static str],
    /// The name of the bank's product, such as a savings account.
    pub(crate) name: &'static str,
    pub(super) nickname: Option<&'static str>,
    pub(crate) closed: bool,
    pub(super) currency: &'static str,
    /// The annual interest rate in hundredths of a percent: paid on deposits, charged on debts.
    pub(super) rate: i64,
    /// The balance in cents before the first day of the ledger.
    pub(super) opening: i64,
    pub(super) kind: AccountKind,
    pub(super) habits: &'static [Habit],
}

/// The kind of an account with the data that only this kind has. `account_type` is the FDX account type.
#[derive(Clone, Copy)]
pub(super) enum AccountKind {
    Deposit { account_type: &'static str, term: Option<DepositTerm> },
    Card { network: &'static str, credit_limit: i64, pays_in_full: bool },
    CreditLine { account_type: &'static str, credit_limit: i64 },
    Loan { account_type: &'static str, terms: LoanTerms },
    Investment(&'static InvestmentPlan),
}

/// The term of a fixed-term deposit, which is renewed when it matures.
#[derive(Clone, Copy)]
pub(super) struct DepositTerm {
    pub(super) months: i64,
    pub(super) start_date: Date,
}

/// The terms of a loan with monthly payments.
#[derive(Clone, Copy)]
pub(super) struct LoanTerms {
    pub(super) start_date: Date,
    pub(super) months: i64,
    pub(super) original_principal: i64,
    pub(super) payment: i64,
    /// The interest of one month in billionths. It cannot be computed from the annual rate without the compounding
    /// period: Canadian mortgages compound semi-annually.
    pub(super) monthly_rate_billionths: i64,
    pub(super) compounding: &'static str,
    /// The number of months after which the interest rate is renegotiated.
    pub(super) renewal_months: Option<i64>,
    pub(super) payment_description: &'static str,
}

/// The positions and recurring transactions of an investment account.
pub(super) struct InvestmentPlan {
    pub(super) account_type: &'static str,
    pub(super) positions: &'static [Position],
    /// A monthly contribution: day of the month, cents, and the symbol of the fund that it buys.
    pub(super) monthly_contribution: Option<(i8, i64, &'static str)>,
    /// A government grant in percent of each contribution, and its description.
    pub(super) grant: Option<(i64, &'static str)>,
    /// Trades of every year: month, day, symbol, units (negative for a sale).
    pub(super) trades: &'static [(i8, i8, &'static str, i64)],
    /// The annual fee in cents, charged in December.
    pub(super) fee: i64,
    pub(super) wording: PlanWording,
}

/// A position on the first day of the ledger.
pub(super) struct Position {
    pub(super) symbol: &'static str,
    /// The number of units, in ten-thousandths.
    pub(super) units: i64,
    /// The price that was paid for one unit, in cents.
    pub(super) unit_cost: i64,
    pub(super) acquired_on: Date,
}

/// The descriptions of an investment account's transactions.
pub(super) struct PlanWording {
    pub(super) contribution: &'static str,
    pub(super) bought: &'static str,
    pub(super) sold: &'static str,
    pub(super) dividend: &'static str,
    pub(super) reinvested: &'static str,
    pub(super) interest: &'static str,
    pub(super) fee: &'static str,
}

/// A recurring event of an account, such as a salary, rent or groceries.
#[derive(Clone, Copy)]
pub(super) struct Habit {
    pub(super) schedule: HabitSchedule,
    pub(super) amount: HabitAmount,
    /// The FDX transaction type of the postings, if FDX defines one.
    pub(super) kind: Option<&'static str>,
    /// The possible descriptions; one is drawn for each posting.
    pub(super) descriptions: &'static [&'static str],
    pub(super) category: &'static str,
    /// The currency of the amount, if it is not the currency of the account.
    pub(super) foreign_currency: Option<&'static str>,
}

/// The days on which a habit occurs.
#[derive(Clone, Copy)]
pub(super) enum HabitSchedule {
    Daily,
    /// Every month, on the day with this number.
    MonthDay(i8),
    /// The 15th and the last day of the month, or the Friday before if that is on a weekend.
    Payday,
    /// Every year, in this month on this day.
    Yearly(i8, i8),
    /// A day of the week, with a probability in 256ths.
    Weekly(Weekday, u8),
    /// Any day, with a probability in 256ths.
    Chance(u8),
}

/// The amount of a habit in cents; a positive amount increases the balance.
#[derive(Clone, Copy)]
pub(super) enum HabitAmount {
    /// A pseudorandom amount in cents between these bounds.
    Between(i64, i64),
    /// The opposite of the amount that the account with this id posts on the same day with `is_mirrored`, such as a
    /// card payment.
    Mirror(&'static str),
    /// The part of the balance above a limit, rounded down to a multiple of 50 dollars.
    ExcessOver(i64),
}

/// Creates a habit in the currency of the account.
pub(super) const fn habit(
    schedule: HabitSchedule,
    (from, to): (i64, i64),
    kind: &'static str,
    descriptions: &'static [&'static str],
    category: &'static str,
) -> Habit {
    let amount = HabitAmount::Between(from, to);
    Habit { schedule, amount, kind: Some(kind), descriptions, category, foreign_currency: None }
}

/// Creates a habit that posts the opposite of another account's mirrored postings (`HabitAmount::Mirror`).
pub(super) const fn mirror(
    source: &'static str,
    kind: &'static str,
    descriptions: &'static [&'static str],
    category: &'static str,
) -> Habit {
    let (schedule, amount) = (HabitSchedule::Daily, HabitAmount::Mirror(source));
    Habit { schedule, amount, kind: Some(kind), descriptions, category, foreign_currency: None }
}

/// Creates a habit that transfers the excess over a limit to another account on the 26th, so that a balance does not grow
/// without bound.
pub(super) const fn sweep(limit: i64, descriptions: &'static [&'static str]) -> Habit {
    let (schedule, amount) = (HabitSchedule::MonthDay(26), HabitAmount::ExcessOver(limit));
    let (kind, category) = (Some("TRANSFER"), "transfer");
    Habit { schedule, amount, kind, descriptions, category, foreign_currency: None }
}

/// Creates a habit of card purchases. They have no type, because FDX 5.2 defines none for purchases.
pub(super) const fn purchase(
    schedule: HabitSchedule,
    (from, to): (i64, i64),
    descriptions: &'static [&'static str],
    category: &'static str,
) -> Habit {
    let amount = HabitAmount::Between(from, to);
    Habit { schedule, amount, kind: None, descriptions, category, foreign_currency: None }
}

impl Habit {
    pub(super) const fn in_currency(mut self, currency: &'static str) -> Self {
        self.foreign_currency = Some(currency);
        self
    }

    /// Returns true if the schedule, the amount or the description depends on random bytes.
    pub(super) const fn needs_random_bytes(&self) -> bool {
        let is_random_day = matches!(self.schedule, HabitSchedule::Weekly(..) | HabitSchedule::Chance(_));
        let is_random_amount = match self.amount {
            HabitAmount::Between(from, to) => from != to,
            HabitAmount::Mirror(_) | HabitAmount::ExcessOver(_) => false,
        };
        is_random_day || is_random_amount || self.descriptions.len() > 1
    }
}

impl AccountSpec {
    const fn new(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        kind: AccountKind,
    ) -> Self {
        let (nickname, currency) = (None, "CAD");
        Self { id, owners, name, nickname, closed: false, currency, rate: 0, opening: 0, kind, habits: &[] }
    }

    pub(super) const fn deposit(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        account_type: &'static str,
    ) -> Self {
        Self::new(id, owners, name, AccountKind::Deposit { account_type, term: None })
    }

    pub(super) const fn term_deposit(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        term: DepositTerm,
    ) -> Self {
        Self::new(id, owners, name, AccountKind::Deposit { account_type: "CD", term: Some(term) })
    }

    pub(super) const fn card(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        (network, credit_limit, pays_in_full): (&'static str, i64, bool),
    ) -> Self {
        Self::new(id, owners, name, AccountKind::Card { network, credit_limit, pays_in_full })
    }

    pub(super) const fn credit_line(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        (account_type, credit_limit): (&'static str, i64),
    ) -> Self {
        Self::new(id, owners, name, AccountKind::CreditLine { account_type, credit_limit })
    }

    pub(super) const fn loan(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        (account_type, terms): (&'static str, LoanTerms),
    ) -> Self {
        Self::new(id, owners, name, AccountKind::Loan { account_type, terms })
            .opening(-terms.original_principal)
    }

    pub(super) const fn investment(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        plan: &'static InvestmentPlan,
    ) -> Self {
        Self::new(id, owners, name, AccountKind::Investment(plan))
    }

    /// Returns true if transfers to and from the account are possible: an open deposit account without a term.
    pub(super) const fn is_payable(&self) -> bool {
        !self.closed && matches!(self.kind, AccountKind::Deposit { term: None, .. })
    }

    pub(super) const fn habits(mut self, habits: &'static [Habit]) -> Self {
        self.habits = habits;
        self
    }

    pub(super) const fn opening(mut self, cents: i64) -> Self {
        self.opening = cents;
        self
    }

    pub(super) const fn rate(mut self, hundredths: i64) -> Self {
        self.rate = hundredths;
        self
    }

    pub(super) const fn nickname(mut self, nickname: &'static str) -> Self {
        self.nickname = Some(nickname);
        self
    }

    pub(super) const fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    pub(super) const fn currency(mut self, currency: &'static str) -> Self {
        self.currency = currency;
        self
    }
}
