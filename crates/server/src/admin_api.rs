//! The admin API (`/admin/v1`), with which operators manage the hub. Each resource has one module for its use cases.

pub mod audit_log;
pub mod auth;
pub mod connections;
pub mod jobs;
pub mod operators;
pub mod partners;
pub mod provider_changes;
pub mod providers;
pub mod recipients;
pub mod registrations;

mod clients;
mod error;
mod http;
mod identity_client;
mod observed_responses;
pub(crate) mod operations;
mod page;
mod params;

pub use clients::SecretIssued;
pub use error::AdminError;
pub use page::AdminPage;
pub use params::Params;
