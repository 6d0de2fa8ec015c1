//! The operators' API: use cases, one a file, and their edge.

pub mod audit;
pub mod connection;
pub mod job;
pub mod operator;
pub mod provider;
pub mod setup;

mod error;
pub(crate) mod http;
mod page;

pub use error::AdminError;
pub use page::{AdminPage, Params};
