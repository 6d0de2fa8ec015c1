//! The FDX resource server: the customer's data, as far as the consent goes.

mod access;
mod accounts;
mod contact;
pub(crate) mod cursor;
mod customers;
mod dates;
mod error;
pub(crate) mod filter;
mod ids;
mod measured;
mod meta;
pub(crate) mod page;
mod payment_networks;
mod statements;
mod transactions;

pub(crate) mod http;

pub use access::{Reader, Served};
pub use cursor::{cut, opened as open_cursor, sealed as seal_cursor};
pub use error::DataError;
pub use ids::OpaqueIds;
pub use measured::Measured;
pub(crate) use measured::OPERATIONS;
