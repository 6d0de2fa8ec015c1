//! What is booked on which day. A day's bookings follow from the seed, the account and the days before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil;

use super::Book;
use super::ledger::{Cents, Habit, Kind, Ledger, Loan, When};
use super::market::{last_business_day, next_business_day};

/// The first day of the books; what a customer may see begins later.
pub(super) const BEGINNING: civil::Date = civil::date(2023, 1, 1);

/// One booking.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::bank) struct Booking {
    pub(super) day: civil::Date,
    pub(super) nth: usize,
    /// The day that it is no longer pending.
    pub(super) posts: civil::Date,
    /// The minute of the day, in UTC.
    pub(super) minute: i64,
    /// What the balance grows by.
    pub(super) cents: i64,
    /// What is shown: for a debt interest is a part of it.
    pub(super) shown: i64,
    pub(super) kind: Option<&'static str>,
    pub(super) says: String,
    pub(super) category: &'static str,
    /// Whether the owner's other account shows its other side.
    pub(super) mirrored: bool,
    pub(super) detail: Detail,
}

/// What only some bookings have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Detail {
    #[default]
    None,
    /// Cents of another currency, and the rate in ten-thousandths.
    Abroad {
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
pub(super) struct Run<'a> {
    pub(super) book: &'a Book<'a>,
    pub(super) ledger: &'a Ledger,
    pub(super) balance: i64,
    /// The debt of a card's last statement.
    statement: i64,
    cheques: i64,
    mirrors: Vec<Option<BTreeMap<civil::Date, i64>>>,
    pub(super) booked: Vec<Booking>,
}

impl Book<'_> {
    /// Everything that was booked up to today.
    pub(super) fn bookings(&self, ledger: &Ledger) -> Arc<Vec<Booking>> {
        if let Some(kept) = self.memo.get(ledger.id, self.today) {
            return kept;
        }
        let made = Arc::new(if ledger.closed { Vec::new() } else { self.run(ledger) });
        self.memo.keep(ledger.id, self.today, &made);
        made
    }

    fn run(&self, ledger: &Ledger) -> Vec<Booking> {
        let mirrors = ledger.habits.iter().map(|habit| self.mirror(habit)).collect();
        let (balance, booked) = (ledger.opening, Vec::new());
        let mut run = Run { book: self, ledger, balance, statement: 0, cheques: 0, mirrors, booked };
        let first = match &ledger.kind {
            Kind::Loan { terms, .. } => terms.since.min(BEGINNING),
            _ => BEGINNING,
        };
        for day in first.series(1.day()).take_while(|day| *day <= self.today) {
            run.on(day);
        }
        run.booked
    }

    /// What another ledger booked with this one, by day.
    fn mirror(&self, habit: &Habit) -> Option<BTreeMap<civil::Date, i64>> {
        let Cents::Mirror(of) = habit.cents else { return None };
        let other = self.ledger(of)?;
        let theirs = self.bookings(other);
        let mut days = BTreeMap::new();
        for booking in theirs.iter().filter(|b| b.mirrored) {
            *days.entry(booking.day).or_default() -= booking.shown;
        }
        Some(days)
    }
}

impl Run<'_> {
    fn on(&mut self, day: civil::Date) {
        self.habits(day);
        let ledger = self.ledger;
        match &ledger.kind {
            Kind::Deposit { term: None, .. } => self.savings_interest(day),
            Kind::Deposit { term: Some(term), .. } => {
                let months = months_between(term.since, day);
                if months > 0 && months % term.months == 0 && same_day(term.since, day) {
                    let cents = self.balance * ledger.rate * term.months / 120_000;
                    self.plain(day, cents, "INTEREST", "interest");
                }
            }
            Kind::Card { in_full, .. } => self.card(day, *in_full),
            Kind::Line { .. } => self.line(day),
            Kind::Loan { terms, .. } => self.loan(day, terms),
            Kind::Plan(plan) => self.plan(day, plan),
        }
    }

    fn habits(&mut self, day: civil::Date) {
        if self.ledger.habits.is_empty() {
            return;
        }
        let draw = crate::random::mac(self.book.seed, &format!("day/{}/{day}", self.ledger.id));
        let mut slot = 0;
        for (nth, habit) in self.ledger.habits.iter().enumerate() {
            let bytes = [draw[slot * 3 % 30], draw[slot * 3 % 30 + 1], draw[slot * 3 % 30 + 2]];
            slot += usize::from(habit.is_drawn());
            if happens(habit.when, day, bytes[0]) {
                self.follow(nth, habit, day, bytes);
            }
        }
    }

    fn follow(&mut self, nth: usize, habit: &Habit, day: civil::Date, [_, high, low]: [u8; 3]) {
        let number = i64::from(high) << 8 | i64::from(low);
        let cents = match habit.cents {
            Cents::Between(from, to) => from + number * (to - from) / 65_535,
            Cents::Mirror(_) => {
                let days = self.mirrors.get(nth).and_then(Option::as_ref);
                days.and_then(|days| days.get(&day)).copied().unwrap_or_default()
            }
            Cents::Above(limit) => -((self.balance - limit).max(0) / 5_000 * 5_000),
        };
        if cents == 0 {
            return;
        }
        let says = habit.says.get(usize::from(low) % habit.says.len().max(1)).copied().unwrap_or_default();
        let mut booking = Booking {
            minute: 780 + i64::from(high) * 2,
            kind: habit.kind,
            category: habit.category,
            mirrored: matches!(habit.cents, Cents::Above(_)),
            ..Booking::of(day, cents, says)
        };
        if let Some(currency) = habit.abroad {
            let rate = self.book.market().rate(currency, day) * 1_025 / 1_000;
            booking.cents = cents * rate / 10_000;
            booking.shown = booking.cents;
            booking.detail = Detail::Abroad { cents: cents.abs(), currency, rate };
        }
        if habit.kind == Some("CHECK") {
            self.cheques += 1;
            booking.detail = Detail::Cheque(100 + self.cheques);
        }
        if matches!(habit.kind, None | Some("POSDEBIT" | "POSCREDIT")) {
            booking.posts = next_business_day(day.tomorrow().unwrap_or(day));
        }
        self.book_it(booking);
    }

    pub(super) fn book_it(&mut self, mut booking: Booking) {
        booking.nth = self.booked.iter().rev().take_while(|b| b.day == booking.day).count();
        self.balance += booking.cents;
        self.booked.push(booking);
    }

    /// A booking of the bank's own, in its own words.
    fn plain(&mut self, day: civil::Date, cents: i64, kind: &'static str, category: &'static str) {
        if cents != 0 {
            let says = self.book.words().of(kind, cents > 0);
            self.book_it(Booking { kind: Some(kind), category, ..Booking::of(day, cents, says) });
        }
    }

    fn savings_interest(&mut self, day: civil::Date) {
        if day == day.last_of_month() && self.balance > 0 {
            self.plain(day, self.balance * self.ledger.rate / 120_000, "INTEREST", "interest");
        }
    }

    /// A statement on the 25th, paid on the 20th: in full, or half of it with interest on the rest.
    fn card(&mut self, day: civil::Date, in_full: bool) {
        if day.day() == 25 {
            let carried = self.booked.iter().rev().take_while(|b| b.day > day.saturating_sub(1.month()));
            let spent: i64 = carried.filter(|b| b.cents < 0).map(|b| b.cents).sum();
            if !in_full && self.balance < spent {
                self.plain(day, (self.balance - spent) * self.ledger.rate / 120_000, "INTEREST", "interest");
            }
            self.statement = -self.balance;
        }
        if day.day() == 20 && self.statement > 0 {
            let due =
                if in_full { self.statement } else { (self.statement / 2).max(self.statement.min(5_000)) };
            self.pay(day, due, Detail::None);
        }
    }

    /// Interest on the last of the month, a tenth paid back on the 15th.
    fn line(&mut self, day: civil::Date) {
        let debt = -self.balance;
        if debt <= 0 {
            return;
        }
        if day == day.last_of_month() {
            self.plain(day, -(debt * self.ledger.rate / 120_000), "INTEREST", "interest");
        } else if day.day() == 15 {
            self.pay(day, (debt / 10 / 1_000 * 1_000 + 5_000).min(debt), Detail::None);
        }
    }

    fn loan(&mut self, day: civil::Date, terms: &Loan) {
        let debt = -self.balance;
        if debt <= 0 || !same_day(terms.since, day) || day <= terms.since {
            return;
        }
        let interest = debt * terms.monthly / 1_000_000_000;
        let principal = (terms.payment - interest).min(debt);
        self.pay(day, principal + interest, Detail::Split { principal, interest });
    }

    fn pay(&mut self, day: civil::Date, cents: i64, detail: Detail) {
        let principal = if let Detail::Split { principal, .. } = &detail { *principal } else { cents };
        let says = match &self.ledger.kind {
            Kind::Loan { terms, .. } => terms.says,
            _ => self.book.words().of("PAYMENT", true),
        };
        self.book_it(Booking {
            cents: principal,
            kind: Some("PAYMENT"),
            category: "transfer",
            mirrored: true,
            detail,
            ..Booking::of(day, cents, says)
        });
    }
}

impl Booking {
    /// A booking that posts on its own day.
    pub(super) fn of(day: civil::Date, cents: i64, says: &str) -> Self {
        Self { day, posts: day, minute: 720, cents, shown: cents, says: says.to_owned(), ..Self::default() }
    }
}

fn happens(when: When, day: civil::Date, byte: u8) -> bool {
    match when {
        When::Daily => true,
        When::Day(number) => day.day() == number,
        When::Payday => {
            let middle = civil::date(day.year(), day.month(), 15);
            day == last_business_day(middle) || day == last_business_day(day.last_of_month())
        }
        When::Yearly(month, number) => (day.month(), day.day()) == (month, number),
        When::Weekly(weekday, often) => day.weekday() == weekday && byte < often,
        When::Chance(often) => byte < often,
    }
}

/// Months from one day's month to another's.
pub(super) fn months_between(from: civil::Date, to: civil::Date) -> i64 {
    (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month()) - i64::from(from.month())
}

/// Whether a day is the same of its month as another, or the last of a shorter month.
fn same_day(first: civil::Date, day: civil::Date) -> bool {
    day.day() == first.day().min(day.days_in_month())
}
