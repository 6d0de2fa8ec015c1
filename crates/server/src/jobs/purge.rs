//! What is of no more use is removed: in small batches, with no pause for anybody else.

use std::time::Duration;

use store::command::Purge;

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::telemetry::monotonic_now;

/// Rows a batch.
const BATCH_SIZE: u32 = 500;
/// How long a round may take; what is left waits for the next.
const MAX_ROUND_DURATION: Duration = Duration::from_millis(50);

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeOutcome {
    /// Rows that were removed.
    pub removed: u64,
    /// Whether there may be more: the next round follows soon, or strangers could add faster than it removes.
    pub has_more: bool,
}

/// Removes batch after batch while there is more and time remains.
pub async fn purge(ctx: &RequestContext) -> Result<PurgeOutcome, InternalError> {
    run_round(ctx, BATCH_SIZE, MAX_ROUND_DURATION).await
}

async fn run_round(ctx: &RequestContext, limit: u32, time: Duration) -> Result<PurgeOutcome, InternalError> {
    let began = monotonic_now();
    let mut purged = PurgeOutcome { removed: 0, has_more: true };
    while purged.has_more {
        let batch = ctx.run(Purge { moment: ctx.new_moment()?, limit }).await?;
        purged.removed += u64::from(batch);
        purged.has_more = batch == limit;
        if began.elapsed() >= time {
            break;
        }
    }
    if purged.removed > 0 {
        tracing::debug!(purged.removed, "purged");
    }
    Ok(purged)
}
