//! The only SQL of the hub: its commands and queries, on SQLite and PostgreSQL.
//!
//! A [`Command`] runs as one transaction inside the store; a [`Query`] only reads. The code of both is the same for
//! both databases. The store never reads the clock: every command contains its [`domain::Moment`].

mod access_map;
mod account_list;
mod commit_effect;
mod deferred_statement;
mod end_queue;
mod entity;
mod error;
mod hex;
mod keyset_search;
mod migrate;
mod operation;
mod postgres;
mod row;
mod row_mac;
mod set_queue;
mod settings;
mod sql;
mod sqlite;
mod store;
mod tx;
mod value;
mod waiting_command;

pub mod command;
pub mod query;

pub use access_map::{AccessMapStats, MapView};
pub use account_list::{AccountListOpener, AccountListOwner};
pub use error::{Result, StoreError};
pub use migrate::{Migration, SCHEMA_VERSION, StorePurpose};
pub use operation::{Command, CommandKind, Query, QueryKind};
pub use row_mac::RowAuthenticator;
pub use settings::{Location, PostgresSettings, StoreKeys, StoreSettings, SynchronousCommit, UptimeClock};
pub use sql::Statement;
pub use store::Store;
pub use tx::Tx;
