//! The entities: one a file, a value, its state, and the transitions that can refuse.

pub mod access_token;
pub mod audit_event;
pub mod authorization_code;
pub mod authorization_request;
pub mod client;
pub mod connection;
pub mod job;
pub mod operator;
pub mod provider;
pub mod refresh_token;
pub mod registration;
