//! Tests of the commands and queries on both databases, and of random histories against a model.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod access_denials;
mod access_map;
mod admin_setup;
mod authorization_request;
mod connection;
mod crash;
mod credential;
mod durable;
mod end_set;
mod former_settings;
mod invalid_grant;
mod job;
mod job_counts;
mod management;
mod measurement;
mod model;
mod node_lease;
mod operator;
mod purge;
mod race;
mod read_barrier;
mod recovery;
mod round_trips;
mod schema;
mod search;
mod shared_grant;
mod support;
mod upstream_client;
mod write_amplification;
