//! The FDX resource server: the customer's data, as far as the consent goes.

mod access;
mod accounts;
mod contact;
pub(crate) mod cursor;
mod customers;
mod dates;
mod error;
pub(crate) mod filter;
mod meta;
mod opaque_ids;
pub(crate) mod page;
mod payment_networks;
mod statements;
mod stats;
mod transactions;

pub(crate) mod http;

pub use access::{ConfirmedResponse, DataReader};
pub use cursor::{open_with_key as open_cursor, seal_with_key as seal_cursor, truncate_page};
pub use error::DataError;
pub use opaque_ids::OpaqueIds;
pub(crate) use stats::OPERATIONS;
pub use stats::OperationStats;
