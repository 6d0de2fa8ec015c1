//! Values, states and protocol rules of the hub.
//!
//! Nothing here does IO, reads a clock or draws randomness: time and seeds are arguments, so that every
//! rule can be tested in milliseconds and a command that runs twice writes the same rows.

#![deny(missing_docs)]

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
mod strangers_tests;

pub use error::{OAuthCode, OAuthError};
pub use scope::{Clusters, DataCluster};
pub use secret::Secret;
pub use time::{Moment, Timestamp};
