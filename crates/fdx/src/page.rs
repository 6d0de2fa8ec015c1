//! FDX responses that contain one page of a list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::common::HateoasLink;
use crate::entity::entity;
use crate::payment::PaymentNetwork;
use crate::shape::{Shape, Shaped, field};
use crate::statement::Statement;
use crate::transaction::Transaction;

entity! {
    /// The position of a page in its list. `nextOffset` is opaque, and absent on the last page.
    PageMetadata { next_offset: String, prev_offset: String, total_elements: u64 }
}
entity! {
    /// The links from a page to the next and the previous one.
    PageLinks { next: HateoasLink, prev: HateoasLink }
}

/// Declares the type of a response that contains one page of a list.
macro_rules! list_page {
    ($(#[$meta:meta])* $name:ident { $(#[$items_meta:meta])* $items:ident: $item:ty }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        // `default`: a provider may omit `page` and `links` if the list is short.
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            /// The position of the page in the list.
            pub page: PageMetadata,
            /// Links to the next and the previous page.
            pub links: PageLinks,
            $(#[$items_meta])*
            pub $items: Vec<$item>,
        }

        impl Shaped for $name {
            const SHAPE: &'static Shape = &Shape::Object(&[
                field!(page: PageMetadata),
                field!(links: PageLinks),
                field!($items: Vec<$item>),
            ]);
        }
    };
}

list_page! {
    /// A page of accounts.
    Accounts {
        /// The accounts on this page.
        accounts: Account
    }
}
list_page! {
    /// A page of transactions.
    Transactions {
        /// The transactions on this page.
        transactions: Transaction
    }
}
list_page! {
    /// A page of the payment networks of an account.
    PaymentNetworks {
        /// The payment networks on this page.
        payment_networks: PaymentNetwork
    }
}
list_page! {
    /// A page of an account's statements.
    Statements {
        /// The statements on this page.
        statements: Statement
    }
}
