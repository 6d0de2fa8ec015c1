//! The only SQL of the hub: its commands and queries, on SQLite and PostgreSQL.
//!
//! A [`Command`] is one transaction that never leaves the store; a [`Query`] only reads. Both have one body for both
//! databases. The store reads no clock: a command carries its [`domain::Moment`].

mod commit_effect;
mod entity;
mod error;
mod keyset_search;
mod migrate;
mod operation;
mod postgres;
mod row;
mod settings;
mod sql;
mod sqlite;
mod store;
mod tx;
mod value;

pub mod command;
pub mod query;

pub use error::{Result, StoreError};
pub use migrate::{Migration, SCHEMA_VERSION};
pub use operation::{Command, CommandPriority, Query};
pub use settings::{Location, StoreSettings};
pub use sql::Statement;
pub use store::Store;
pub use tx::Tx;
