//! The type of a posting, which is one change of an account's balance.

use jiff::civil;

/// The first day of the ledger. Customers see only the last two years.
pub(super) const LEDGER_START: civil::Date = civil::date(2023, 1, 1);

/// One change of an account's balance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Posting {
    pub(super) day: civil::Date,
    /// The position among the postings of the same day.
    pub(super) nth: usize,
    /// The day from which the posting is no longer pending.
    pub(super) posted_on: civil::Date,
    /// The time as a number of minutes since midnight UTC.
    pub(super) minute: i64,
    /// The change of the balance, in cents.
    pub(super) cents: i64,
    /// The amount of the transaction, in cents. For a loan payment it includes the interest, which does not change the
    /// debt.
    pub(super) displayed_cents: i64,
    pub(super) kind: Option<&'static str>,
    pub(super) description: String,
    pub(super) category: &'static str,
    /// Another account of the same owner may post the opposite amount (`HabitAmount::Mirror`).
    pub(super) is_mirrored: bool,
    pub(super) detail: PostingDetail,
}

/// Data that only some kinds of postings have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum PostingDetail {
    #[default]
    None,
    /// The amount in cents of a foreign currency, and the exchange rate in ten-thousandths.
    ForeignCurrency {
        cents: i64,
        currency: &'static str,
        rate: i64,
    },
    /// The parts of a loan payment, in cents.
    Split {
        principal: i64,
        interest: i64,
    },
    /// The number of units in ten-thousandths, the price of one unit in cents, and the commission in cents.
    Trade {
        symbol: &'static str,
        units: i64,
        price: i64,
        commission: i64,
    },
    Cheque(i64),
}

impl Posting {
    /// Creates a posting that is never pending: its day is also the day on which it is posted.
    pub(super) fn new(day: civil::Date, cents: i64, description: &str) -> Self {
        Self {
            day,
            posted_on: day,
            minute: 720,
            cents,
            displayed_cents: cents,
            description: description.to_owned(),
            ..Self::default()
        }
    }
}
