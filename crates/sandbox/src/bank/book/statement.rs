//! Statements: one for each whole month of the last two years, out of what was posted in it.

use jiff::ToSpan;
use jiff::civil::Date;

use super::bookings::{BEGINNING, Booking};
use super::ledger::Ledger;
use super::{Book, masked};

/// How many days after its month a statement is still being made.
const MAKING: i8 = 2;

/// A month's statement. Amounts are cents in the customer's favour.
pub(in crate::bank) struct Sheet {
    pub(in crate::bank) id: String,
    pub(in crate::bank) account: &'static str,
    pub(in crate::bank) number: String,
    /// The owners, the primary holder first.
    pub(in crate::bank) owners: &'static [&'static str],
    pub(in crate::bank) currency: &'static str,
    pub(in crate::bank) first: Date,
    pub(in crate::bank) last: Date,
    /// Whether it is ready.
    pub(in crate::bank) is_made: bool,
    pub(in crate::bank) opening: i64,
    pub(in crate::bank) closing: i64,
    pub(in crate::bank) rows: Vec<Row>,
}

/// What was posted, and the balance after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bank) struct Row {
    pub(in crate::bank) day: Date,
    pub(in crate::bank) says: String,
    pub(in crate::bank) cents: i64,
    pub(in crate::bank) balance: i64,
}

impl Book<'_> {
    /// An account's statements, the newest first. A closed account has none.
    pub(in crate::bank) fn statements(&self, account: &str) -> Vec<Sheet> {
        let Some(ledger) = self.ledger(account).filter(|ledger| !ledger.closed) else {
            return Vec::new();
        };
        let beginning = self.today.checked_sub(24.months()).unwrap_or(BEGINNING);
        let ends = self.today.first_of_month().series(-1.month()).map(Date::yesterday);
        let ends = ends.map_while(Result::ok).take_while(|last| *last >= beginning && *last >= BEGINNING);
        let bookings = self.bookings(ledger);
        ends.map(|last| self.sheet(ledger, &bookings, last)).collect()
    }

    fn sheet(&self, ledger: &'static Ledger, bookings: &[Booking], last: Date) -> Sheet {
        let first = last.first_of_month();
        let before: i64 = bookings.iter().filter(|b| b.posts < first).map(|b| b.cents).sum();
        let opening = ledger.opening + before;
        let mut posted: Vec<&Booking> =
            bookings.iter().filter(|b| (first..=last).contains(&b.posts) && b.cents != 0).collect();
        posted.sort_by_key(|b| (b.posts, b.day, b.minute, b.nth));
        let mut balance = opening;
        let rows = posted.into_iter().map(|booking| {
            balance += booking.cents;
            Row { day: booking.posts, says: booking.says.clone(), cents: booking.cents, balance }
        });
        let rows: Vec<Row> = rows.collect();
        Sheet {
            id: format!("{}-{}", ledger.id, first.strftime("%Y-%m")),
            account: ledger.name,
            number: masked(&self.number(ledger)),
            owners: ledger.owners,
            currency: ledger.currency,
            first,
            last,
            is_made: last.saturating_add(i64::from(MAKING).days()) < self.today,
            opening,
            closing: balance,
            rows,
        }
    }
}
