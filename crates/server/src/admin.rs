//! The operators' API: use cases, one a file, and their edge.

pub mod operator;

mod error;
pub(crate) mod http;
mod page;

pub use error::AdminError;
pub use page::{Page, Params};
