//! The hub: everything with IO that is not the store.

pub mod admin;
pub mod app;
pub mod authz;
pub mod cli;
pub mod config;
pub mod connection;
pub mod ctx;
pub mod fault;
pub mod gateway;
pub mod hub;
pub mod job;
pub mod limit;
pub mod manage;
pub mod node;
pub mod openapi;
pub mod outbound;
pub mod pages;
pub mod ready;
pub mod telemetry;
pub mod vault;
pub mod web;
pub mod wire;
