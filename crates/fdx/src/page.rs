//! Pages of lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::entity;
use crate::{Account, PaymentNetwork, Statement, Transaction};

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

/// A page of a list.
macro_rules! list_page {
    ($(#[$meta:meta])* $name:ident { $(#[$items_meta:meta])* $items:ident: $item:ty }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            /// Where the page stands.
            pub page: PageMetadata,
            /// Where the others are.
            pub links: PageLinks,
            $(#[$items_meta])*
            pub $items: Vec<$item>,
        }
    };
}

list_page! {
    /// A page of accounts.
    Accounts {
        /// The accounts.
        accounts: Account
    }
}
list_page! {
    /// A page of transactions.
    Transactions {
        /// The transactions.
        transactions: Transaction
    }
}
list_page! {
    /// A page of the networks that an account can be paid by.
    PaymentNetworks {
        /// The networks.
        payment_networks: PaymentNetwork
    }
}
list_page! {
    /// A page of an account's statements.
    Statements {
        /// The statements.
        statements: Statement
    }
}
