//! The accounts, customer identifiers and statement wording in which one bank differs from another.

use super::account_spec::AccountSpec;
use super::customers::{BankCustomer, CUSTOMERS};
use super::{maple, prairie, rideau};

/// The static description of everything in which the ledger of one bank differs from that of another.
pub(crate) struct AccountCatalog {
    /// The accounts, in the order in which pages and lists show them.
    pub(crate) accounts: &'static [AccountSpec],
    pub(super) customer_id_prefix: &'static str,
    /// The label from which customer identifiers are derived, together with the bank's seed.
    pub(super) customer_id_label: &'static str,
    /// Institution and transit number in the format of electronic payments: `0YYYXXXXX`.
    pub(super) routing_number: &'static str,
    pub(crate) wording: StatementWording,
}

/// The bank's own texts on postings and statements.
pub(crate) struct StatementWording {
    interest_paid: &'static str,
    interest_charged: &'static str,
    payment: &'static str,
    pub(crate) title: &'static str,
    /// The headings of the statement's columns: day, description, amount, balance.
    pub(crate) columns: [&'static str; 4],
    pub(crate) opening: &'static str,
    pub(crate) closing: &'static str,
    /// The decimal separator and the thousands separator of amounts.
    pub(crate) separators: [char; 2],
}

impl StatementWording {
    pub(super) fn posting_description(&self, kind: &str, is_credit: bool) -> &'static str {
        match (kind, is_credit) {
            ("INTEREST", true) => self.interest_paid,
            ("INTEREST", false) => self.interest_charged,
            _ => self.payment,
        }
    }
}

pub(crate) const MAPLE: AccountCatalog = AccountCatalog {
    accounts: maple::ACCOUNTS,
    customer_id_prefix: "mtc-",
    customer_id_label: "customer",
    routing_number: "098700114",
    wording: ENGLISH_WORDING,
};

pub(crate) const RIDEAU: AccountCatalog = AccountCatalog {
    accounts: rideau::ACCOUNTS,
    customer_id_prefix: "crc-",
    customer_id_label: "customer/rideau",
    routing_number: "098610207",
    wording: StatementWording {
        interest_paid: "INTÉRÊTS VERSÉS",
        interest_charged: "INTÉRÊTS FACTURÉS",
        payment: "PAIEMENT REÇU - MERCI",
        title: "Relevé de compte",
        columns: ["Date", "Opération", "Montant", "Solde"],
        opening: "Solde d'ouverture",
        closing: "Solde de fermeture",
        separators: [',', '\u{a0}'],
    },
};

pub(crate) const PRAIRIE: AccountCatalog = AccountCatalog {
    accounts: prairie::ACCOUNTS,
    customer_id_prefix: "pcc-",
    customer_id_label: "customer/prairie",
    routing_number: "098530031",
    wording: ENGLISH_WORDING,
};

const ENGLISH_WORDING: StatementWording = StatementWording {
    interest_paid: "INTEREST PAID",
    interest_charged: "INTEREST CHARGED",
    payment: "PAYMENT RECEIVED - THANK YOU",
    title: "Account statement",
    columns: ["Date", "Description", "Amount", "Balance"],
    opening: "Opening balance",
    closing: "Closing balance",
    separators: ['.', ','],
};

impl AccountCatalog {
    /// Returns every customer with at least one account at the bank.
    pub(crate) fn customers(&self) -> impl Iterator<Item = &'static BankCustomer> {
        CUSTOMERS.iter().filter(|customer| self.accounts_of(customer).next().is_some())
    }

    pub(crate) fn find_customer(&self, username: &str) -> Option<&'static BankCustomer> {
        self.customers().find(|customer| customer.username == username)
    }

    pub(super) fn accounts_of(&self, customer: &BankCustomer) -> impl Iterator<Item = &'static AccountSpec> {
        self.accounts.iter().filter(|spec| spec.owners.contains(&customer.username))
    }
}
