//! Values, states and protocol rules of the hub.
//!
//! Nothing here does I/O, reads a clock or generates random numbers. Time and seeds are arguments, so every rule can be
//! tested in milliseconds, and a command that is repeated writes the same rows.

#![deny(missing_docs)]

pub mod context;
pub mod error;
pub mod id;
pub mod jose;
pub mod model;
pub mod rule;
pub mod scope;
pub mod secret;
pub mod str_enum;
pub mod time;

#[cfg(test)]
mod stored_value_tests;
#[cfg(test)]
mod untrusted_input_tests;

pub use context::Moment;
pub use error::{OAuthCode, OAuthError};
pub use scope::{Clusters, DataCluster};
pub use secret::Secret;
pub use time::Timestamp;
