//! The entities of the hub, one in each module, with their states and state transitions.

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
pub mod undecided_request;
