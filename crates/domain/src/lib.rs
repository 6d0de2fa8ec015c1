//! The types, state transitions and protocol rules of the hub.
//!
//! This crate does no I/O, reads no clock and generates no random numbers. Time and seeds are arguments, so that every
//! rule can be tested without a store or a server, and a command that is repeated writes the same rows.

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
