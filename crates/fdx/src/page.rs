//! Pages of lists.

use serde::{Deserialize, Serialize};

use crate::entity::entity;
use crate::{Account, Transaction};

entity! {
    /// Where a page stands. `next_offset` is absent on the last page; it is opaque.
    PageMetadata { next_offset: String, prev_offset: String, total_elements: u64 }
}
entity! {
    /// A link.
    HateoasLink { href: String, action: String, rel: String, description: String, types: Vec<String> }
}
entity! {
    /// The links of a page.
    PageLinks { next: HateoasLink, prev: HateoasLink }
}

/// A page of accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounts {
    /// Where the page stands.
    pub page: PageMetadata,
    /// Where the others are.
    pub links: PageLinks,
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// A page of transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transactions {
    /// Where the page stands.
    pub page: PageMetadata,
    /// Where the others are.
    pub links: PageLinks,
    /// The transactions.
    pub transactions: Vec<Transaction>,
}
