//! Statements: one for each whole month of the last two years, out of what was posted in it.

use jiff::ToSpan;
use jiff::civil::Date;

use super::ledger::Ledger;
use super::postings::{BOOKS_START, Posting};
use super::{Book, mask_number};

/// How many days after its month a statement is still being made.
const PROCESSING_DAYS: i8 = 2;

/// A month's statement. Amounts are cents in the customer's favour.
pub(in crate::bank) struct MonthlyStatement {
    pub(in crate::bank) id: String,
    pub(in crate::bank) account: &'static str,
    pub(in crate::bank) number: String,
    /// The owners, the primary holder first.
    pub(in crate::bank) owners: &'static [&'static str],
    pub(in crate::bank) currency: &'static str,
    pub(in crate::bank) first: Date,
    pub(in crate::bank) last: Date,
    /// Whether it is ready.
    pub(in crate::bank) is_ready: bool,
    pub(in crate::bank) opening: i64,
    pub(in crate::bank) closing: i64,
    pub(in crate::bank) rows: Vec<StatementRow>,
}

/// What was posted, and the balance after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bank) struct StatementRow {
    pub(in crate::bank) day: Date,
    pub(in crate::bank) description: String,
    pub(in crate::bank) cents: i64,
    pub(in crate::bank) balance: i64,
}

impl Book<'_> {
    /// An account's statements, the newest first. A closed account has none.
    pub(in crate::bank) fn statements(&self, account: &str) -> Vec<MonthlyStatement> {
        let Some(ledger) = self.find_ledger(account).filter(|ledger| !ledger.closed) else {
            return Vec::new();
        };
        let beginning = self.today.checked_sub(24.months()).unwrap_or(BOOKS_START);
        let ends = self.today.first_of_month().series(-1.month()).map(Date::yesterday);
        let ends = ends.map_while(Result::ok).take_while(|last| *last >= beginning && *last >= BOOKS_START);
        let bookings = self.postings(ledger);
        ends.map(|last| self.build_statement(ledger, &bookings, last)).collect()
    }

    fn build_statement(&self, ledger: &'static Ledger, bookings: &[Posting], last: Date) -> MonthlyStatement {
        let first = last.first_of_month();
        let before: i64 = bookings.iter().filter(|b| b.posted_on < first).map(|b| b.cents).sum();
        let opening = ledger.opening + before;
        let mut posted: Vec<&Posting> =
            bookings.iter().filter(|b| (first..=last).contains(&b.posted_on) && b.cents != 0).collect();
        posted.sort_by_key(|b| (b.posted_on, b.day, b.minute, b.nth));
        let mut balance = opening;
        let rows = posted.into_iter().map(|booking| {
            balance += booking.cents;
            StatementRow {
                day: booking.posted_on,
                description: booking.description.clone(),
                cents: booking.cents,
                balance,
            }
        });
        let rows: Vec<StatementRow> = rows.collect();
        MonthlyStatement {
            id: format!("{}-{}", ledger.id, first.strftime("%Y-%m")),
            account: ledger.name,
            number: mask_number(&self.number(ledger)),
            owners: ledger.owners,
            currency: ledger.currency,
            first,
            last,
            is_ready: last.saturating_add(i64::from(PROCESSING_DAYS).days()) < self.today,
            opening,
            closing: balance,
            rows,
        }
    }
}
