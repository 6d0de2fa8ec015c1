//! The hub and its command line: the APIs, the pages, the calls to providers and the background jobs.
// The futures of a read from a provider are nested deeper than the default allows.
#![recursion_limit = "256"]

pub mod access_attempt;
mod access_denials;
mod account_list;
pub mod admin_api;
mod api_docs;
pub mod app;
pub mod breaker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod context;
mod discovery_attempts;
pub mod document_slots;
mod dpop_nonces;
pub mod error;
pub mod fdx_api;
pub mod http;
pub mod jobs;
pub mod oauth;
pub mod opaque_ids;
pub mod openapi;
mod operation;
pub mod outbound;
pub mod pages;
pub mod paging;
pub mod partner_api;
mod provider_keys;
mod published_keys;
pub mod rate_limit;
mod read_diagnostics;
mod read_failure_records;
pub mod recipients;
pub mod request;
pub mod response;
mod response_guard;
mod response_memory;
pub mod router;
pub mod server;
pub mod stats;
mod sweep_progress;
pub mod telemetry;
pub mod upstream;
pub mod vault;
