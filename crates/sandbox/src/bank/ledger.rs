//! The ledger of a bank: accounts, balances, transactions and statements, generated from the seed.
//!
//! The ledger is a pure function of seed, account and day: what was posted on a past day never changes.

mod account_spec;
mod catalog;
mod customer_profile;
mod customers;
mod fdx_account;
mod fdx_transaction;
mod fdx_values;
mod investment;
mod maple;
mod posting;
mod posting_generator;
mod prairie;
mod rideau;
mod securities;
mod snapshot;
mod statement;

use std::cmp::Reverse;

use fdx::{Account, PaymentNetwork, Transaction};
use jiff::ToSpan;

use account_spec::AccountSpec;
use posting::{LEDGER_START, Posting};
use snapshot::mask_number;

pub(super) use catalog::{AccountCatalog, MAPLE, PRAIRIE, RIDEAU, StatementWording};
pub(super) use customers::BankCustomer;
pub(super) use fdx_transaction::transaction_date;
pub(super) use snapshot::{Ledger, PostingCache};
pub(super) use statement::{MonthlyStatement, StatementRow};

/// An account as the bank's pages list it for the customer's choice.
pub(super) struct AccountChoice {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) number: String,
    pub(super) closed: bool,
    pub(super) joint: bool,
}

impl Ledger<'_> {
    /// Lists a customer's accounts for the bank's own pages.
    pub(super) fn choices(&self, customer: &BankCustomer) -> Vec<AccountChoice> {
        let choice = |spec: &AccountSpec| AccountChoice {
            id: spec.id,
            name: spec.name,
            number: mask_number(&self.number(spec)).replace("****", "••••\u{a0}"),
            closed: spec.closed,
            joint: spec.owners.len() > 1,
        };
        self.catalog.accounts_of(customer).map(choice).collect()
    }

    /// Returns the accounts of a customer whose ids are in a list, with all details.
    pub(super) fn accounts(&self, customer: &BankCustomer, ids: &[String]) -> Vec<Account> {
        let selected = self.catalog.accounts_of(customer).filter(|spec| ids.iter().any(|id| id == spec.id));
        selected.map(|spec| self.build_account(spec)).collect()
    }

    pub(super) fn is_closed(&self, account: &str) -> bool {
        self.find_spec(account).is_some_and(|spec| spec.closed)
    }

    /// Returns two years of an account's transactions, the newest first.
    pub(super) fn transactions(&self, account: &str) -> Vec<Transaction> {
        let Some(spec) = self.find_spec(account) else {
            return Vec::new();
        };
        let since = self.today.checked_sub(24.months()).unwrap_or(LEDGER_START);
        let postings = self.postings(spec);
        let mut visible: Vec<&Posting> = postings.iter().filter(|posting| posting.day >= since).collect();
        visible.sort_by_key(|posting| Reverse((posting.day, posting.minute, posting.nth)));
        visible.into_iter().map(|posting| self.build_transaction(spec, posting)).collect()
    }

    /// Returns the payment networks of an account: the Canadian clearing system for an open deposit account, none
    /// for any other.
    pub(super) fn payment_networks(&self, account: &str) -> Vec<PaymentNetwork> {
        let payable = self.find_spec(account).filter(|spec| spec.is_payable());
        let network = |spec| PaymentNetwork {
            // The routing number of electronic payments has a leading zero, which is no part of the bank's id.
            bank_id: Some(self.catalog.routing_number[1..].to_owned()),
            identifier: Some(self.number(spec)),
            identifier_type: Some("ACCOUNT_NUMBER".into()),
            r#type: Some("CA_ACSS".into()),
            transfer_in: Some(true),
            transfer_out: Some(true),
        };
        payable.into_iter().map(network).collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
