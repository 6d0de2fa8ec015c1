//! Generates the postings of an account, day by day.
//!
//! The postings of a day follow from the seed, the account and the days before.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil;

use super::account_spec::{AccountKind, AccountSpec, Habit, HabitAmount, HabitSchedule, LoanTerms};
use super::posting::{LEDGER_START, Posting, PostingDetail};
use super::securities::{last_business_day, next_business_day};
use super::snapshot::Ledger;

/// The state of one account while its postings are generated day by day.
pub(super) struct PostingGenerator<'a> {
    pub(super) ledger: &'a Ledger<'a>,
    pub(super) spec: &'a AccountSpec,
    pub(super) balance: i64,
    /// The debt on a card's last statement.
    statement_balance: i64,
    cheque_count: i64,
    /// For each habit, the amounts by day if it mirrors another account, and `None` otherwise.
    mirrors: Vec<Option<BTreeMap<civil::Date, i64>>>,
    pub(super) postings: Vec<Posting>,
}

impl Ledger<'_> {
    /// Returns all postings of an account up to and including today.
    pub(super) fn postings(&self, spec: &AccountSpec) -> Arc<Vec<Posting>> {
        if let Some(cached) = self.cache.get(spec.id, self.today) {
            return cached;
        }
        let postings = Arc::new(if spec.closed { Vec::new() } else { self.generate_postings(spec) });
        self.cache.insert(spec.id, self.today, &postings);
        postings
    }

    fn generate_postings(&self, spec: &AccountSpec) -> Vec<Posting> {
        let mirrors = spec.habits.iter().map(|habit| self.mirrored_amounts(habit)).collect();
        let mut generator = PostingGenerator {
            ledger: self,
            spec,
            balance: spec.opening,
            statement_balance: 0,
            cheque_count: 0,
            mirrors,
            postings: Vec::new(),
        };
        // A loan begins with its full principal, so every payment since its start has to be generated.
        let first = match &spec.kind {
            AccountKind::Loan { terms, .. } => terms.start_date.min(LEDGER_START),
            _ => LEDGER_START,
        };
        for day in first.series(1.day()).take_while(|day| *day <= self.today) {
            generator.post_day(day);
        }
        generator.postings
    }

    /// Returns, by day, the amounts of a habit that repeats the postings of another account, such as the payment of a
    /// credit card from a checking account: the other account's amounts with the opposite sign. `None` for other
    /// habits.
    fn mirrored_amounts(&self, habit: &Habit) -> Option<BTreeMap<civil::Date, i64>> {
        let HabitAmount::Mirror(source) = habit.amount else { return None };
        let source = self.find_spec(source)?;
        let postings = self.postings(source);
        let mut amounts = BTreeMap::new();
        for posting in postings.iter().filter(|posting| posting.is_mirrored) {
            *amounts.entry(posting.day).or_default() -= posting.displayed_cents;
        }
        Some(amounts)
    }
}

impl PostingGenerator<'_> {
    fn post_day(&mut self, day: civil::Date) {
        self.apply_habits(day);
        let spec = self.spec;
        match &spec.kind {
            AccountKind::Deposit { term: None, .. } => self.post_savings_interest(day),
            AccountKind::Deposit { term: Some(term), .. } => {
                let months = months_between(term.start_date, day);
                if months > 0 && months % term.months == 0 && is_same_day_of_month(term.start_date, day) {
                    let cents = self.balance * spec.rate * term.months / 120_000;
                    self.post_bank_entry(day, cents, "INTEREST", "interest");
                }
            }
            AccountKind::Card { pays_in_full, .. } => self.post_card(day, *pays_in_full),
            AccountKind::CreditLine { .. } => self.post_credit_line(day),
            AccountKind::Loan { terms, .. } => self.post_loan(day, terms),
            AccountKind::Investment(plan) => self.post_plan(day, plan),
        }
    }

    fn apply_habits(&mut self, day: civil::Date) {
        if self.spec.habits.is_empty() {
            return;
        }
        let random = crate::random::compute_mac(self.ledger.seed, &format!("day/{}/{day}", self.spec.id));
        // A MAC has 32 bytes, which is enough for ten random habits with three bytes each. Further habits reuse these
        // bytes.
        let mut slot = 0;
        for (nth, habit) in self.spec.habits.iter().enumerate() {
            let bytes = [random[slot * 3 % 30], random[slot * 3 % 30 + 1], random[slot * 3 % 30 + 2]];
            slot += usize::from(habit.needs_random_bytes());
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
                let amounts = self.mirrors.get(nth).and_then(Option::as_ref);
                amounts.and_then(|amounts| amounts.get(&day)).copied().unwrap_or_default()
            }
            HabitAmount::ExcessOver(limit) => -((self.balance - limit).max(0) / 5_000 * 5_000),
        };
        // A mirroring habit is due every day, but has an amount only if the other account has a mirrored posting on
        // that day.
        if cents == 0 {
            return;
        }
        let description = habit.descriptions.get(usize::from(low) % habit.descriptions.len().max(1));
        let mut posting = Posting {
            minute: 780 + i64::from(high) * 2,
            kind: habit.kind,
            category: habit.category,
            is_mirrored: matches!(habit.amount, HabitAmount::ExcessOver(_)),
            ..Posting::new(day, cents, description.copied().unwrap_or_default())
        };
        if let Some(currency) = habit.foreign_currency {
            // Card networks add a conversion fee of 2.5 percent to the market rate.
            let rate = self.ledger.market().rate(currency, day) * 1_025 / 1_000;
            posting.cents = cents * rate / 10_000;
            posting.displayed_cents = posting.cents;
            posting.detail = PostingDetail::ForeignCurrency { cents: cents.abs(), currency, rate };
        }
        if habit.kind == Some("CHECK") {
            self.cheque_count += 1;
            posting.detail = PostingDetail::Cheque(100 + self.cheque_count);
        }
        // Purchases and point-of-sale postings are pending until the next business day.
        if matches!(habit.kind, None | Some("POSDEBIT" | "POSCREDIT")) {
            posting.posted_on = next_business_day(day.tomorrow().unwrap_or(day));
        }
        self.post(posting);
    }

    pub(super) fn post(&mut self, mut posting: Posting) {
        posting.nth = self.postings.iter().rev().take_while(|p| p.day == posting.day).count();
        self.balance += posting.cents;
        self.postings.push(posting);
    }

    /// Adds a posting that the bank initiates, such as interest or a fee, with the bank's own description.
    fn post_bank_entry(&mut self, day: civil::Date, cents: i64, kind: &'static str, category: &'static str) {
        if cents != 0 {
            let description = self.ledger.wording().posting_description(kind, cents > 0);
            self.post(Posting { kind: Some(kind), category, ..Posting::new(day, cents, description) });
        }
    }

    fn post_savings_interest(&mut self, day: civil::Date) {
        if day == day.last_of_month() && self.balance > 0 {
            self.post_bank_entry(day, self.balance * self.spec.rate / 120_000, "INTEREST", "interest");
        }
    }

    /// Closes a card statement on the 25th and pays it on the 20th: in full, or half of it with interest on the
    /// rest.
    fn post_card(&mut self, day: civil::Date, pays_in_full: bool) {
        if day.day() == 25 {
            let cycle = self.postings.iter().rev().take_while(|p| p.day > day.saturating_sub(1.month()));
            let spent: i64 = cycle.filter(|p| p.cents < 0).map(|p| p.cents).sum();
            // Interest is charged only on the debt carried over from earlier cycles, not on this cycle's purchases.
            if !pays_in_full && self.balance < spent {
                let cents = (self.balance - spent) * self.spec.rate / 120_000;
                self.post_bank_entry(day, cents, "INTEREST", "interest");
            }
            self.statement_balance = -self.balance;
        }
        if day.day() == 20 && self.statement_balance > 0 {
            let debt = self.statement_balance;
            let payment = if pays_in_full { debt } else { (debt / 2).max(debt.min(5_000)) };
            self.post_payment(day, payment, PostingDetail::None);
        }
    }

    /// Charges interest on the last day of the month and pays back a tenth of the debt on the 15th.
    fn post_credit_line(&mut self, day: civil::Date) {
        let debt = -self.balance;
        if debt <= 0 {
            return;
        }
        if day == day.last_of_month() {
            self.post_bank_entry(day, -(debt * self.spec.rate / 120_000), "INTEREST", "interest");
        } else if day.day() == 15 {
            self.post_payment(day, (debt / 10 / 1_000 * 1_000 + 5_000).min(debt), PostingDetail::None);
        }
    }

    fn post_loan(&mut self, day: civil::Date, terms: &LoanTerms) {
        let debt = -self.balance;
        if debt <= 0 || !is_same_day_of_month(terms.start_date, day) || day <= terms.start_date {
            return;
        }
        let interest = debt * terms.monthly_rate_billionths / 1_000_000_000;
        let principal = (terms.payment - interest).min(debt);
        self.post_payment(day, principal + interest, PostingDetail::Split { principal, interest });
    }

    fn post_payment(&mut self, day: civil::Date, cents: i64, detail: PostingDetail) {
        // Only the principal reduces the debt. The interest is part of the displayed payment, but not of the balance.
        let principal = if let PostingDetail::Split { principal, .. } = &detail { *principal } else { cents };
        let description = match &self.spec.kind {
            AccountKind::Loan { terms, .. } => terms.payment_description,
            _ => self.ledger.wording().posting_description("PAYMENT", true),
        };
        self.post(Posting {
            cents: principal,
            kind: Some("PAYMENT"),
            category: "transfer",
            is_mirrored: true,
            detail,
            ..Posting::new(day, cents, description)
        });
    }
}

fn is_due(schedule: HabitSchedule, day: civil::Date, random: u8) -> bool {
    match schedule {
        HabitSchedule::Daily => true,
        HabitSchedule::MonthDay(number) => day.day() == number,
        HabitSchedule::Payday => {
            let middle = civil::date(day.year(), day.month(), 15);
            day == last_business_day(middle) || day == last_business_day(day.last_of_month())
        }
        HabitSchedule::Yearly(month, number) => (day.month(), day.day()) == (month, number),
        HabitSchedule::Weekly(weekday, probability) => day.weekday() == weekday && random < probability,
        HabitSchedule::Chance(probability) => random < probability,
    }
}

/// Counts the months from the month of one day to the month of another.
pub(super) fn months_between(from: civil::Date, to: civil::Date) -> i64 {
    (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month()) - i64::from(from.month())
}

/// Returns true if `day` is a monthly anniversary of `first`: it has the same number, or is the last day of a month
/// that is too short for that number.
fn is_same_day_of_month(first: civil::Date, day: civil::Date) -> bool {
    day.day() == first.day().min(day.days_in_month())
}
