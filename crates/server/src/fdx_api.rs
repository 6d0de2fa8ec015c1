//! The FDX API: the resource server from which recipients read the customer's data, limited to the customer's consent.

mod access;
mod accounts;
mod contact;
mod customers;
mod dates;
mod error;
mod filter;
mod guarded_document;
mod meta;
mod page;
mod payment_networks;
mod position;
mod statements;
mod transactions;

mod http;
pub(crate) mod operations;

pub use error::DataError;
pub(crate) use filter::{AccountRules, filter_customer};
