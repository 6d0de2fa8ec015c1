//! A bank's books: a pure function of seed, account and day. Yesterday never changes.

mod account;
mod customers;
mod ledger;
mod maple;
mod plan;
mod postings;
mod prairie;
mod rideau;
mod securities;
mod statement;
mod transaction;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fdx::{Account, Amount, DateTime, PaymentNetwork, Transaction};
use jiff::ToSpan;
use jiff::civil;
use rust_decimal::Decimal;

use ledger::Ledger;
use postings::{BOOKS_START, Posting};
use securities::Market;

pub(super) use customers::Person;
pub(super) use statement::{MonthlyStatement, StatementRow};
pub(super) use transaction::transaction_date;

/// What a bank's books consist of: everything that differs from one bank to another.
pub(super) struct Books {
    /// The accounts, in the order in which they are shown.
    pub(super) ledgers: &'static [Ledger],
    /// What ids of customers begin with.
    pub(super) prefix: &'static str,
    /// What ids of customers are drawn from.
    pub(super) label: &'static str,
    /// Institution and transit, as electronic payments write them.
    pub(super) routing: &'static str,
    pub(super) wording: StatementWording,
}

/// The bank's own words on a statement.
pub(super) struct StatementWording {
    interest_paid: &'static str,
    interest_charged: &'static str,
    payment: &'static str,
    pub(super) statement: &'static str,
    /// What stands above the columns of a statement: day, booking, amount, balance.
    pub(super) columns: [&'static str; 4],
    pub(super) opening: &'static str,
    pub(super) closing: &'static str,
    /// Between dollars and cents, and between thousands.
    pub(super) separators: [char; 2],
}

impl StatementWording {
    fn posting_description(&self, kind: &str, grows: bool) -> &'static str {
        match (kind, grows) {
            ("INTEREST", true) => self.interest_paid,
            ("INTEREST", false) => self.interest_charged,
            _ => self.payment,
        }
    }
}

pub(super) const MAPLE: Books = Books {
    ledgers: maple::LEDGERS,
    prefix: "mtc-",
    label: "customer",
    routing: "098700114",
    wording: ENGLISH_WORDING,
};
pub(super) const RIDEAU: Books = Books {
    ledgers: rideau::LEDGERS,
    prefix: "crc-",
    label: "customer/rideau",
    routing: "098610207",
    wording: StatementWording {
        interest_paid: "INTÉRÊTS VERSÉS",
        interest_charged: "INTÉRÊTS FACTURÉS",
        payment: "PAIEMENT REÇU - MERCI",
        statement: "Relevé de compte",
        columns: ["Date", "Opération", "Montant", "Solde"],
        opening: "Solde d'ouverture",
        closing: "Solde de fermeture",
        separators: [',', '\u{a0}'],
    },
};
pub(super) const PRAIRIE: Books = Books {
    ledgers: prairie::LEDGERS,
    prefix: "pcc-",
    label: "customer/prairie",
    routing: "098530031",
    wording: ENGLISH_WORDING,
};
const ENGLISH_WORDING: StatementWording = StatementWording {
    interest_paid: "INTEREST PAID",
    interest_charged: "INTEREST CHARGED",
    payment: "PAYMENT RECEIVED - THANK YOU",
    statement: "Account statement",
    columns: ["Date", "Description", "Amount", "Balance"],
    opening: "Opening balance",
    closing: "Closing balance",
    separators: ['.', ','],
};

impl Books {
    /// Everybody who has an account here.
    pub(super) fn customers(&self) -> impl Iterator<Item = &'static Person> {
        customers::PEOPLE.iter().filter(|person| self.ledgers_of(person).next().is_some())
    }

    /// The customer of a user name.
    pub(super) fn find_customer(&self, username: &str) -> Option<&'static Person> {
        self.customers().find(|person| person.username == username)
    }

    /// The accounts of a customer.
    fn ledgers_of(&self, person: &Person) -> impl Iterator<Item = &'static Ledger> {
        self.ledgers.iter().filter(|ledger| ledger.owners.contains(&person.username))
    }
}

/// Bookings of a day that were worked out before. They would come out the same.
#[derive(Default)]
pub(super) struct PostingCache(Mutex<BTreeMap<&'static str, CachedPostings>>);

type CachedPostings = (civil::Date, Arc<Vec<Posting>>);

impl PostingCache {
    fn get(&self, id: &str, today: civil::Date) -> Option<Arc<Vec<Posting>>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.get(id).filter(|(day, _)| *day == today).map(|(_, booked)| Arc::clone(booked))
    }

    fn insert(&self, id: &'static str, today: civil::Date, booked: &Arc<Vec<Posting>>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.insert(id, (today, Arc::clone(booked)));
    }
}

/// The books as they stand on a day.
pub(super) struct Book<'a> {
    pub(super) books: &'static Books,
    pub(super) seed: &'a [u8],
    pub(super) today: civil::Date,
    pub(super) cache: &'a PostingCache,
}

/// How an account is called on the bank's own pages.
pub(super) struct AccountChoice {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) number: String,
    pub(super) closed: bool,
    pub(super) joint: bool,
}

impl Book<'_> {
    /// A customer's accounts for the bank's own pages.
    pub(super) fn choices(&self, person: &Person) -> Vec<AccountChoice> {
        let choice = |ledger: &Ledger| AccountChoice {
            id: ledger.id,
            name: ledger.name,
            number: mask_number(&self.number(ledger)).replace("****", "••••\u{a0}"),
            closed: ledger.closed,
            joint: ledger.owners.len() > 1,
        };
        self.books.ledgers_of(person).map(choice).collect()
    }

    /// Those of a customer's accounts that are named, whole.
    pub(super) fn accounts(&self, person: &Person, ids: &[String]) -> Vec<Account> {
        let selected = self.books.ledgers_of(person).filter(|ledger| ids.iter().any(|id| id == ledger.id));
        selected.map(|ledger| self.build_account(ledger)).collect()
    }

    /// Whether an account is closed.
    pub(super) fn is_closed(&self, account: &str) -> bool {
        self.find_ledger(account).is_some_and(|ledger| ledger.closed)
    }

    /// Two years of an account's transactions, the newest first.
    pub(super) fn transactions(&self, account: &str) -> Vec<Transaction> {
        let Some(ledger) = self.find_ledger(account) else {
            return Vec::new();
        };
        let since = self.today.checked_sub(24.months()).unwrap_or(BOOKS_START);
        let bookings = self.postings(ledger);
        let mut visible: Vec<&Posting> = bookings.iter().filter(|booking| booking.day >= since).collect();
        visible.sort_by_key(|booking| Reverse((booking.day, booking.minute, booking.nth)));
        visible.into_iter().map(|booking| self.build_transaction(ledger, booking)).collect()
    }

    /// The networks that an account can be paid by: the clearing of cheques and pre-authorized debits, for
    /// whoever has a deposit account that is open.
    pub(super) fn payment_networks(&self, account: &str) -> Vec<PaymentNetwork> {
        let payable = self.find_ledger(account).filter(|ledger| ledger.is_payable());
        let network = |ledger| PaymentNetwork {
            // Electronic payments write a zero before the institution.
            bank_id: Some(self.books.routing[1..].to_owned()),
            identifier: Some(self.number(ledger)),
            identifier_type: Some("ACCOUNT_NUMBER".into()),
            r#type: Some("CA_ACSS".into()),
            transfer_in: Some(true),
            transfer_out: Some(true),
        };
        payable.into_iter().map(network).collect()
    }

    fn find_ledger(&self, id: &str) -> Option<&'static Ledger> {
        self.books.ledgers.iter().find(|ledger| ledger.id == id)
    }

    pub(super) fn wording(&self) -> &'static StatementWording {
        &self.books.wording
    }

    fn market(&self) -> Market<'_> {
        Market(self.seed)
    }

    fn number(&self, ledger: &Ledger) -> String {
        let bytes = crate::random::compute_mac(self.seed, &format!("number/{}", ledger.id));
        bytes.iter().take(9).map(|b| char::from(b'0' + b % 10)).collect()
    }
}

fn mask_number(number: &str) -> String {
    format!("****{}", &number[number.len() - 4..])
}

fn money(cents: i64) -> Amount {
    Amount(Decimal::new(cents, 2))
}

/// A number of units that is kept in ten-thousandths.
fn units(number: i64) -> Amount {
    Amount(Decimal::new(number, 4))
}

fn timestamp_at(day: civil::Date, minute: i64) -> DateTime {
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp());
    let midnight = midnight.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    DateTime(midnight.checked_add(minute.minutes()).unwrap_or(midnight))
}

fn noon(day: civil::Date) -> DateTime {
    timestamp_at(day, 720)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
