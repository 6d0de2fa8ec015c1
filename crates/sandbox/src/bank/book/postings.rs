//! What is booked on which day. A day's bookings follow from the seed, the account and the days before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil;

use super::Book;
use super::ledger::{Habit, HabitAmount, HabitSchedule, Kind, Ledger, Loan};
use super::securities::{last_business_day, next_business_day};

/// The first day of the books; what a customer may see begins later.
pub(super) const BOOKS_START: civil::Date = civil::date(2023, 1, 1);

/// One booking.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bank) struct Posting {
    pub(super) day: civil::Date,
    pub(super) nth: usize,
    /// The day that it is no longer pending.
    pub(super) posted_on: civil::Date,
    /// The minute of the day, in UTC.
    pub(super) minute: i64,
    /// What the balance grows by.
    pub(super) cents: i64,
    /// What is shown: for a debt interest is a part of it.
    pub(super) displayed_cents: i64,
    pub(super) kind: Option<&'static str>,
    pub(super) description: String,
    pub(super) category: &'static str,
    /// Whether the owner's other account shows its other side.
    pub(super) is_mirrored: bool,
    pub(super) detail: Detail,
}

/// What only some bookings have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Detail {
    #[default]
    None,
    /// Cents of another currency, and the rate in ten-thousandths.
    ForeignCurrency {
        cents: i64,
        currency: &'static str,
        rate: i64,
    },
    /// Cents of a payment to a debt.
    Split {
        principal: i64,
        interest: i64,
    },
    /// Ten-thousandths of a unit for so many cents each, and the commission.
    Trade {
        symbol: &'static str,
        units: i64,
        price: i64,
        commission: i64,
    },
    Cheque(i64),
}

/// The days of a ledger, one after the other.
pub(super) struct PostingRun<'a> {
    pub(super) book: &'a Book<'a>,
    pub(super) ledger: &'a Ledger,
    pub(super) balance: i64,
    /// The debt of a card's last statement.
    statement: i64,
    cheque_count: i64,
    mirrors: Vec<Option<BTreeMap<civil::Date, i64>>>,
    pub(super) postings: Vec<Posting>,
}

impl Book<'_> {
    /// Everything that was booked up to today.
    pub(super) fn postings(&self, ledger: &Ledger) -> Arc<Vec<Posting>> {
        if let Some(cached) = self.cache.get(ledger.id, self.today) {
            return cached;
        }
        let postings = Arc::new(if ledger.closed { Vec::new() } else { self.generate_postings(ledger) });
        self.cache.insert(ledger.id, self.today, &postings);
        postings
    }

    fn generate_postings(&self, ledger: &Ledger) -> Vec<Posting> {
        let mirrors = ledger.habits.iter().map(|habit| self.mirrored_amounts(habit)).collect();
        let (balance, booked) = (ledger.opening, Vec::new());
        let mut run = PostingRun {
            book: self,
            ledger,
            balance,
            statement: 0,
            cheque_count: 0,
            mirrors,
            postings: booked,
        };
        let first = match &ledger.kind {
            Kind::Loan { terms, .. } => terms.start_date.min(BOOKS_START),
            _ => BOOKS_START,
        };
        for day in first.series(1.day()).take_while(|day| *day <= self.today) {
            run.post_day(day);
        }
        run.postings
    }

    /// What another ledger booked with this one, by day.
    fn mirrored_amounts(&self, habit: &Habit) -> Option<BTreeMap<civil::Date, i64>> {
        let HabitAmount::Mirror(of) = habit.amount else { return None };
        let other = self.find_ledger(of)?;
        let theirs = self.postings(other);
        let mut days = BTreeMap::new();
        for booking in theirs.iter().filter(|b| b.is_mirrored) {
            *days.entry(booking.day).or_default() -= booking.displayed_cents;
        }
        Some(days)
    }
}

impl PostingRun<'_> {
    fn post_day(&mut self, day: civil::Date) {
        self.apply_habits(day);
        let ledger = self.ledger;
        match &ledger.kind {
            Kind::Deposit { term: None, .. } => self.post_savings_interest(day),
            Kind::Deposit { term: Some(term), .. } => {
                let months = months_between(term.start_date, day);
                if months > 0 && months % term.months == 0 && is_same_day_of_month(term.start_date, day) {
                    let cents = self.balance * ledger.rate * term.months / 120_000;
                    self.post_bank_entry(day, cents, "INTEREST", "interest");
                }
            }
            Kind::Card { pays_in_full: in_full, .. } => self.post_card(day, *in_full),
            Kind::Line { .. } => self.post_credit_line(day),
            Kind::Loan { terms, .. } => self.post_loan(day, terms),
            Kind::Plan(plan) => self.post_plan(day, plan),
        }
    }

    fn apply_habits(&mut self, day: civil::Date) {
        if self.ledger.habits.is_empty() {
            return;
        }
        let draw = crate::random::compute_mac(self.book.seed, &format!("day/{}/{day}", self.ledger.id));
        let mut slot = 0;
        for (nth, habit) in self.ledger.habits.iter().enumerate() {
            let bytes = [draw[slot * 3 % 30], draw[slot * 3 % 30 + 1], draw[slot * 3 % 30 + 2]];
            slot += usize::from(habit.needs_draw());
            if is_due(habit.schedule, day, bytes[0]) {
                self.apply_habit(nth, habit, day, bytes);
            }
        }
    }

    fn apply_habit(&mut self, nth: usize, habit: &Habit, day: civil::Date, [_, high, low]: [u8; 3]) {
        let number = i64::from(high) << 8 | i64::from(low);
        let cents = match habit.amount {
            HabitAmount::Between(from, to) => from + number * (to - from) / 65_535,
            HabitAmount::Mirror(_) => {
                let days = self.mirrors.get(nth).and_then(Option::as_ref);
                days.and_then(|days| days.get(&day)).copied().unwrap_or_default()
            }
            HabitAmount::ExcessOver(limit) => -((self.balance - limit).max(0) / 5_000 * 5_000),
        };
        if cents == 0 {
            return;
        }
        let says = habit
            .descriptions
            .get(usize::from(low) % habit.descriptions.len().max(1))
            .copied()
            .unwrap_or_default();
        let mut booking = Posting {
            minute: 780 + i64::from(high) * 2,
            kind: habit.kind,
            category: habit.category,
            is_mirrored: matches!(habit.amount, HabitAmount::ExcessOver(_)),
            ..Posting::new(day, cents, says)
        };
        if let Some(currency) = habit.foreign_currency {
            let rate = self.book.market().rate(currency, day) * 1_025 / 1_000;
            booking.cents = cents * rate / 10_000;
            booking.displayed_cents = booking.cents;
            booking.detail = Detail::ForeignCurrency { cents: cents.abs(), currency, rate };
        }
        if habit.kind == Some("CHECK") {
            self.cheque_count += 1;
            booking.detail = Detail::Cheque(100 + self.cheque_count);
        }
        if matches!(habit.kind, None | Some("POSDEBIT" | "POSCREDIT")) {
            booking.posted_on = next_business_day(day.tomorrow().unwrap_or(day));
        }
        self.post(booking);
    }

    pub(super) fn post(&mut self, mut booking: Posting) {
        booking.nth = self.postings.iter().rev().take_while(|b| b.day == booking.day).count();
        self.balance += booking.cents;
        self.postings.push(booking);
    }

    /// A booking of the bank's own, in its own words.
    fn post_bank_entry(&mut self, day: civil::Date, cents: i64, kind: &'static str, category: &'static str) {
        if cents != 0 {
            let says = self.book.wording().posting_description(kind, cents > 0);
            self.post(Posting { kind: Some(kind), category, ..Posting::new(day, cents, says) });
        }
    }

    fn post_savings_interest(&mut self, day: civil::Date) {
        if day == day.last_of_month() && self.balance > 0 {
            self.post_bank_entry(day, self.balance * self.ledger.rate / 120_000, "INTEREST", "interest");
        }
    }

    /// A statement on the 25th, paid on the 20th: in full, or half of it with interest on the rest.
    fn post_card(&mut self, day: civil::Date, in_full: bool) {
        if day.day() == 25 {
            let carried = self.postings.iter().rev().take_while(|b| b.day > day.saturating_sub(1.month()));
            let spent: i64 = carried.filter(|b| b.cents < 0).map(|b| b.cents).sum();
            if !in_full && self.balance < spent {
                self.post_bank_entry(
                    day,
                    (self.balance - spent) * self.ledger.rate / 120_000,
                    "INTEREST",
                    "interest",
                );
            }
            self.statement = -self.balance;
        }
        if day.day() == 20 && self.statement > 0 {
            let due =
                if in_full { self.statement } else { (self.statement / 2).max(self.statement.min(5_000)) };
            self.post_payment(day, due, Detail::None);
        }
    }

    /// Interest on the last of the month, a tenth paid back on the 15th.
    fn post_credit_line(&mut self, day: civil::Date) {
        let debt = -self.balance;
        if debt <= 0 {
            return;
        }
        if day == day.last_of_month() {
            self.post_bank_entry(day, -(debt * self.ledger.rate / 120_000), "INTEREST", "interest");
        } else if day.day() == 15 {
            self.post_payment(day, (debt / 10 / 1_000 * 1_000 + 5_000).min(debt), Detail::None);
        }
    }

    fn post_loan(&mut self, day: civil::Date, terms: &Loan) {
        let debt = -self.balance;
        if debt <= 0 || !is_same_day_of_month(terms.start_date, day) || day <= terms.start_date {
            return;
        }
        let interest = debt * terms.monthly_rate_billionths / 1_000_000_000;
        let principal = (terms.payment - interest).min(debt);
        self.post_payment(day, principal + interest, Detail::Split { principal, interest });
    }

    fn post_payment(&mut self, day: civil::Date, cents: i64, detail: Detail) {
        let principal = if let Detail::Split { principal, .. } = &detail { *principal } else { cents };
        let says = match &self.ledger.kind {
            Kind::Loan { terms, .. } => terms.payment_description,
            _ => self.book.wording().posting_description("PAYMENT", true),
        };
        self.post(Posting {
            cents: principal,
            kind: Some("PAYMENT"),
            category: "transfer",
            is_mirrored: true,
            detail,
            ..Posting::new(day, cents, says)
        });
    }
}

impl Posting {
    /// A booking that posts on its own day.
    pub(super) fn new(day: civil::Date, cents: i64, says: &str) -> Self {
        Self {
            day,
            posted_on: day,
            minute: 720,
            cents,
            displayed_cents: cents,
            description: says.to_owned(),
            ..Self::default()
        }
    }
}

fn is_due(when: HabitSchedule, day: civil::Date, byte: u8) -> bool {
    match when {
        HabitSchedule::Daily => true,
        HabitSchedule::Day(number) => day.day() == number,
        HabitSchedule::Payday => {
            let middle = civil::date(day.year(), day.month(), 15);
            day == last_business_day(middle) || day == last_business_day(day.last_of_month())
        }
        HabitSchedule::Yearly(month, number) => (day.month(), day.day()) == (month, number),
        HabitSchedule::Weekly(weekday, often) => day.weekday() == weekday && byte < often,
        HabitSchedule::Chance(often) => byte < often,
    }
}

/// Months from one day's month to another's.
pub(super) fn months_between(from: civil::Date, to: civil::Date) -> i64 {
    (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month()) - i64::from(from.month())
}

/// Whether a day is the same of its month as another, or the last of a shorter month.
fn is_same_day_of_month(first: civil::Date, day: civil::Date) -> bool {
    day.day() == first.day().min(day.days_in_month())
}
