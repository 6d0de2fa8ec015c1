//! Generates monthly statements: one for each complete month of the last two years, with the postings of that month.

use jiff::ToSpan;
use jiff::civil::Date;

use super::account_spec::AccountSpec;
use super::posting::{LEDGER_START, Posting};
use super::snapshot::{Ledger, mask_number};

/// The number of days after the end of a month during which its statement is still being prepared.
const PROCESSING_DAYS: i8 = 2;

/// The statement of one month. Amounts are in cents; a positive balance is in the customer's favour.
pub(crate) struct MonthlyStatement {
    pub(crate) id: String,
    /// The product name of the account.
    pub(crate) account: &'static str,
    pub(crate) number: String,
    /// The owners, the primary holder first.
    pub(crate) owners: &'static [&'static str],
    pub(crate) currency: &'static str,
    pub(crate) first_day: Date,
    pub(crate) last_day: Date,
    pub(crate) is_ready: bool,
    pub(crate) opening: i64,
    pub(crate) closing: i64,
    pub(crate) rows: Vec<StatementRow>,
}

/// A posting on a statement, with the balance after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatementRow {
    pub(crate) day: Date,
    pub(crate) description: String,
    pub(crate) cents: i64,
    pub(crate) balance: i64,
}

impl Ledger<'_> {
    /// Returns the statements of an account, the newest first. A closed account has none.
    pub(crate) fn statements(&self, account: &str) -> Vec<MonthlyStatement> {
        let Some(spec) = self.find_spec(account).filter(|spec| !spec.closed) else {
            return Vec::new();
        };
        let oldest = self.today.checked_sub(24.months()).unwrap_or(LEDGER_START);
        let last_days = self.today.first_of_month().series(-1.month()).map(Date::yesterday);
        let last_days =
            last_days.map_while(Result::ok).take_while(|day| *day >= oldest && *day >= LEDGER_START);
        let postings = self.postings(spec);
        last_days.map(|last_day| self.build_statement(spec, &postings, last_day)).collect()
    }

    fn build_statement(
        &self,
        spec: &'static AccountSpec,
        postings: &[Posting],
        last_day: Date,
    ) -> MonthlyStatement {
        let first_day = last_day.first_of_month();
        // A statement counts postings by the day they were posted: a pending one belongs to the next statement.
        let before: i64 = postings.iter().filter(|p| p.posted_on < first_day).map(|p| p.cents).sum();
        let opening = spec.opening + before;
        // A reinvested dividend changes no cash and is not listed.
        let mut posted: Vec<&Posting> = postings
            .iter()
            .filter(|p| (first_day..=last_day).contains(&p.posted_on) && p.cents != 0)
            .collect();
        posted.sort_by_key(|p| (p.posted_on, p.day, p.minute, p.nth));
        let mut balance = opening;
        let rows = posted.into_iter().map(|posting| {
            balance += posting.cents;
            StatementRow {
                day: posting.posted_on,
                description: posting.description.clone(),
                cents: posting.cents,
                balance,
            }
        });
        let rows: Vec<StatementRow> = rows.collect();
        MonthlyStatement {
            id: format!("{}-{}", spec.id, first_day.strftime("%Y-%m")),
            account: spec.name,
            number: mask_number(&self.number(spec)),
            owners: spec.owners,
            currency: spec.currency,
            first_day,
            last_day,
            is_ready: last_day.saturating_add(i64::from(PROCESSING_DAYS).days()) < self.today,
            opening,
            closing: balance,
            rows,
        }
    }
}
