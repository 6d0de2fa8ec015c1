//! The stored entities: for each of them the list of its columns, its conversion from a row, and the lookups that
//! several commands and queries use.

pub(crate) mod access_state;
pub(crate) mod audit_event;
pub(crate) mod authorization_code;
pub(crate) mod authorization_request;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod former_settings;
pub(crate) mod job;
pub(crate) mod operator;
pub(crate) mod provider;
pub(crate) mod refresh_token;
pub(crate) mod registration;
