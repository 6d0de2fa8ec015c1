//! The hub: everything with IO that is not the store.

pub mod admin_api;
pub mod app;
pub mod cli;
pub mod config;
pub mod connections;
pub mod context;
pub mod error;
pub mod fdx_api;
pub mod http;
pub mod jobs;
pub mod oauth;
pub mod openapi;
pub mod outbound;
pub mod pages;
pub mod partner_api;
pub mod rate_limit;
pub mod ready;
pub mod response;
pub mod server;
pub mod telemetry;
pub mod upstream;
pub mod vault;
