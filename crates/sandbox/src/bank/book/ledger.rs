//! How a bank's accounts are described: kinds, habits, plans. Banks are tables of these.

use jiff::civil::{Date, Weekday};

/// An account as the bank keeps it.
#[derive(Clone, Copy)]
pub(in crate::bank) struct Ledger {
    pub(in crate::bank) id: &'static str,
    /// User names; the first is the primary holder.
    pub(in crate::bank) owners: &'static [&'static str],
    /// The product.
    pub(in crate::bank) name: &'static str,
    pub(super) nickname: Option<&'static str>,
    pub(in crate::bank) closed: bool,
    pub(super) currency: &'static str,
    /// Hundredths of a percent a year: paid on deposits, asked for debts.
    pub(super) rate: i64,
    /// Cents before the first day of the books.
    pub(super) opening: i64,
    pub(super) kind: Kind,
    pub(super) habits: &'static [Habit],
}

/// What kind of account a ledger is for. `word` is the standard's account type.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Deposit { account_type: &'static str, term: Option<Term> },
    Card { network: &'static str, credit_limit: i64, pays_in_full: bool },
    Line { account_type: &'static str, limit: i64 },
    Loan { account_type: &'static str, terms: Loan },
    Plan(&'static InvestmentPlan),
}

/// A deposit for a fixed time, renewed at its end.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) months: i64,
    pub(super) start_date: Date,
}

/// A loan that is paid back monthly.
#[derive(Clone, Copy)]
pub(super) struct Loan {
    pub(super) start_date: Date,
    pub(super) months: i64,
    pub(super) original_principal: i64,
    pub(super) payment: i64,
    /// Interest of a month, in billionths: it depends on how often interest is compounded.
    pub(super) monthly_rate_billionths: i64,
    pub(super) compounding: &'static str,
    /// A term after which the rate is agreed anew, in months.
    pub(super) renewal_months: Option<i64>,
    pub(super) payment_description: &'static str,
}

/// What an investment account does.
pub(super) struct InvestmentPlan {
    pub(super) account_type: &'static str,
    pub(super) positions: &'static [Position],
    /// Put in every month: day, cents, what is bought of it.
    pub(super) monthly_contribution: Option<(i8, i64, &'static str)>,
    /// A government's grant on top, in percent of what was put in.
    pub(super) grant: Option<(i64, &'static str)>,
    /// Trades of every year: month, day, symbol, units.
    pub(super) trades: &'static [(i8, i8, &'static str, i64)],
    /// A fee in December, in cents.
    pub(super) fee: i64,
    pub(super) wording: PlanWording,
}

/// What was held on the first day: symbol, ten-thousandths of a unit, cents paid for one, since when.
pub(super) struct Position {
    pub(super) symbol: &'static str,
    pub(super) units: i64,
    pub(super) unit_cost: i64,
    pub(super) acquired_on: Date,
}

/// How an investment account words its transactions.
pub(super) struct PlanWording {
    pub(super) contribution: &'static str,
    pub(super) bought: &'static str,
    pub(super) sold: &'static str,
    pub(super) dividend: &'static str,
    pub(super) reinvested: &'static str,
    pub(super) interest: &'static str,
    pub(super) fee: &'static str,
}

/// Something that happens again and again.
#[derive(Clone, Copy)]
pub(super) struct Habit {
    pub(super) schedule: HabitSchedule,
    pub(super) amount: HabitAmount,
    pub(super) kind: Option<&'static str>,
    /// One of these is printed.
    pub(super) descriptions: &'static [&'static str],
    pub(super) category: &'static str,
    /// Another currency, which the cents are in.
    pub(super) foreign_currency: Option<&'static str>,
}

/// On which days.
#[derive(Clone, Copy)]
pub(super) enum HabitSchedule {
    Daily,
    Day(i8),
    /// The 15th and the last of the month, or the Friday before.
    Payday,
    /// Once a year: month, day.
    Yearly(i8, i8),
    /// A day of the week, and how often of 256 times.
    Weekly(Weekday, u8),
    /// Any day, and how often of 256 times.
    Chance(u8),
}

/// How much: positive if the balance grows.
#[derive(Clone, Copy)]
pub(super) enum HabitAmount {
    /// Drawn between two bounds.
    Between(i64, i64),
    /// The other side of what another ledger booked with its owner.
    Mirror(&'static str),
    /// What is above a limit, in steps of 50 dollars.
    ExcessOver(i64),
}

/// Something that happens again and again in the account's own currency.
pub(super) const fn habit(
    when: HabitSchedule,
    (from, to): (i64, i64),
    kind: &'static str,
    says: &'static [&'static str],
    category: &'static str,
) -> Habit {
    Habit {
        schedule: when,
        amount: HabitAmount::Between(from, to),
        kind: Some(kind),
        descriptions: says,
        category,
        foreign_currency: None,
    }
}

/// The other side of another ledger's payments.
pub(super) const fn mirror(
    source: &'static str,
    kind: &'static str,
    says: &'static [&'static str],
    category: &'static str,
) -> Habit {
    Habit {
        schedule: HabitSchedule::Daily,
        amount: HabitAmount::Mirror(source),
        kind: Some(kind),
        descriptions: says,
        category,
        foreign_currency: None,
    }
}

/// On the 26th, what is above a limit goes elsewhere.
pub(super) const fn sweep(limit: i64, says: &'static [&'static str]) -> Habit {
    let cents = HabitAmount::ExcessOver(limit);
    Habit {
        schedule: HabitSchedule::Day(26),
        amount: cents,
        kind: Some("TRANSFER"),
        descriptions: says,
        category: "transfer",
        foreign_currency: None,
    }
}

/// A purchase by card. It has no type: FDX 5.2 has no word for it.
pub(super) const fn purchase(
    when: HabitSchedule,
    (from, to): (i64, i64),
    says: &'static [&'static str],
    category: &'static str,
) -> Habit {
    Habit {
        schedule: when,
        amount: HabitAmount::Between(from, to),
        kind: None,
        descriptions: says,
        category,
        foreign_currency: None,
    }
}

impl Habit {
    pub(super) const fn in_currency(mut self, currency: &'static str) -> Self {
        self.foreign_currency = Some(currency);
        self
    }

    /// Whether it needs a draw of its own.
    pub(super) const fn needs_draw(&self) -> bool {
        let by_chance = matches!(self.schedule, HabitSchedule::Weekly(..) | HabitSchedule::Chance(_));
        let between = match self.amount {
            HabitAmount::Between(from, to) => from != to,
            HabitAmount::Mirror(_) | HabitAmount::ExcessOver(_) => false,
        };
        by_chance || between || self.descriptions.len() > 1
    }
}

impl Ledger {
    const fn new(id: &'static str, owners: &'static [&'static str], name: &'static str, kind: Kind) -> Self {
        let (nickname, currency) = (None, "CAD");
        Self { id, owners, name, nickname, closed: false, currency, rate: 0, opening: 0, kind, habits: &[] }
    }

    pub(super) const fn deposit(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        word: &'static str,
    ) -> Self {
        Self::new(id, owners, name, Kind::Deposit { account_type: word, term: None })
    }

    /// A deposit for a fixed time.
    pub(super) const fn term_deposit(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        term: Term,
    ) -> Self {
        Self::new(id, owners, name, Kind::Deposit { account_type: "CD", term: Some(term) })
    }

    pub(super) const fn card(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        (network, line, in_full): (&'static str, i64, bool),
    ) -> Self {
        Self::new(id, owners, name, Kind::Card { network, credit_limit: line, pays_in_full: in_full })
    }

    pub(super) const fn line(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        (word, limit): (&'static str, i64),
    ) -> Self {
        Self::new(id, owners, name, Kind::Line { account_type: word, limit })
    }

    pub(super) const fn loan(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        (word, terms): (&'static str, Loan),
    ) -> Self {
        Self::new(id, owners, name, Kind::Loan { account_type: word, terms })
            .opening(-terms.original_principal)
    }

    pub(super) const fn plan(
        id: &'static str,
        owners: &'static [&'static str],
        name: &'static str,
        plan: &'static InvestmentPlan,
    ) -> Self {
        Self::new(id, owners, name, Kind::Plan(plan))
    }

    /// Whether money can come and go: a deposit that is open, and not for a fixed time.
    pub(super) const fn is_payable(&self) -> bool {
        !self.closed && matches!(self.kind, Kind::Deposit { term: None, .. })
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
