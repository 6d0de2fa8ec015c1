//! The FDX resource server: the customer's data, as far as the consent goes.

mod access;
mod accounts;
mod contact;
mod customers;
mod dates;
mod error;
pub(crate) mod filter;
mod meta;
mod page;
mod payment_networks;
mod statements;
mod transactions;

pub(crate) mod http;

pub use access::{ConfirmedResponse, DataReader};
pub use error::DataError;
