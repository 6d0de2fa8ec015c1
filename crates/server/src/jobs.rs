//! Deferred work: the outbox, what time ends, and what is of no more use.

mod clock;
mod context;
mod outbox;
mod purge;
mod removal;
mod schedule;
mod sweep;
mod upstream_client;
mod worker;

pub use context::new_job_context;
pub use outbox::{run_next_job, update_job_gauges};
pub use purge::{PurgeOutcome, purge};
pub use sweep::{recover_exchanges, sweep};
pub use worker::start;
