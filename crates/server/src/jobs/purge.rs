//! Removal of rows that are no longer needed.

use std::time::Duration;

use store::command::Purge;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::telemetry::monotonic_now;

/// The number of rows that one transaction removes. A small batch keeps locks, and the SQLite writer, free for others.
const BATCH_SIZE: u32 = 500;
/// The time after which a round begins no further batch.
const MAX_ROUND_DURATION: Duration = Duration::from_millis(50);

/// The result of one round of the purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeOutcome {
    /// The number of removed rows.
    pub removed: u64,
    /// More rows may be due for removal.
    ///
    /// The next round then follows soon: unauthenticated clients create authorization requests, and must not be able
    /// to do so faster than the purge removes them.
    pub has_more: bool,
}

/// Removes rows that are no longer needed, batch by batch, until none is left or the time of the round is used up.
pub async fn purge(ctx: &RequestContext) -> Result<PurgeOutcome, InternalError> {
    let started_at = monotonic_now();
    let mut outcome = PurgeOutcome { removed: 0, has_more: true };
    while outcome.has_more {
        let batch = ctx.run(Purge { moment: ctx.new_moment()?, limit: BATCH_SIZE }).await?;
        outcome.removed += u64::from(batch);
        outcome.has_more = batch == BATCH_SIZE;
        if started_at.elapsed() >= MAX_ROUND_DURATION {
            break;
        }
    }
    if outcome.removed > 0 {
        tracing::debug!(removed = outcome.removed, "purged");
    }
    Ok(outcome)
}
