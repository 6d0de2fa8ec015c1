//! Every command and query, on both databases and against a model.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

mod crash;
mod credential;
mod durable;
mod job;
mod kit;
mod life;
mod manage;
mod model;
mod operator;
mod own_client;
mod purge;
mod race;
mod recovery;
mod request;
mod schema;
mod search;
mod set_up;
mod shared_grant;
mod size;
mod trip;
