//! The background work of a node: the job queue, expiry, recovery of interrupted exchanges, removals of recipients, and
//! the purge.

mod access_denials;
mod clock;
mod context;
mod delete_tokens;
mod dispatcher;
mod gauges;
mod outbox;
mod purge;
mod schedule;
mod sweep;
mod upstream_client;
mod worker;

pub(crate) use access_denials::record_remaining_denials;
pub use context::new_job_context;
pub use gauges::update_gauges;
pub use purge::{PurgeOutcome, purge};
pub use sweep::{recover_exchanges, sweep};
pub use worker::start;
