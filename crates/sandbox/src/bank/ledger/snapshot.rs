//! The ledger of a bank as of one day, and the cache of its postings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil;

use super::account_spec::AccountSpec;
use super::catalog::{AccountCatalog, StatementWording};
use super::posting::Posting;
use super::securities::Market;

/// The accounts of a bank with all postings up to and including the day `today`.
pub(crate) struct Ledger<'a> {
    pub(crate) catalog: &'static AccountCatalog,
    pub(crate) seed: &'a [u8],
    pub(crate) today: civil::Date,
    pub(crate) cache: &'a PostingCache,
}

/// The postings of each account for the last day that was requested.
///
/// Generating them again would give the same result, so an entry is only ever replaced when the day changes.
#[derive(Default)]
pub(crate) struct PostingCache(Mutex<BTreeMap<&'static str, CachedPostings>>);

type CachedPostings = (civil::Date, Arc<Vec<Posting>>);

impl PostingCache {
    pub(super) fn get(&self, id: &str, today: civil::Date) -> Option<Arc<Vec<Posting>>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.get(id).filter(|(day, _)| *day == today).map(|(_, postings)| Arc::clone(postings))
    }

    pub(super) fn insert(&self, id: &'static str, today: civil::Date, postings: &Arc<Vec<Posting>>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.insert(id, (today, Arc::clone(postings)));
    }
}

impl Ledger<'_> {
    pub(super) fn find_spec(&self, id: &str) -> Option<&'static AccountSpec> {
        self.catalog.accounts.iter().find(|spec| spec.id == id)
    }

    pub(crate) fn wording(&self) -> &'static StatementWording {
        &self.catalog.wording
    }

    pub(super) fn market(&self) -> Market<'_> {
        Market(self.seed)
    }

    /// Derives an account number of nine digits from the seed.
    pub(super) fn number(&self, spec: &AccountSpec) -> String {
        let bytes = crate::random::compute_mac(self.seed, &format!("number/{}", spec.id));
        bytes.iter().take(9).map(|b| char::from(b'0' + b % 10)).collect()
    }
}

/// Hides all but the last four digits of an account number.
pub(super) fn mask_number(number: &str) -> String {
    format!("****{}", &number[number.len() - 4..])
}
