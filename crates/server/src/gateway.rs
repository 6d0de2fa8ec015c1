//! The FDX resource server: the customer's data, as far as the consent goes.

mod access;
mod accounts;
mod cursor;
mod customers;
mod error;
mod filter;
mod ids;
mod page;
mod transactions;

pub(crate) mod http;

pub use access::{Reader, Served};
pub use cursor::{opened as open_cursor, sealed as seal_cursor};
pub use error::DataError;
pub use ids::OpaqueIds;
