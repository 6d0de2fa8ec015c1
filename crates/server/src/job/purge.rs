//! What is of no more use is removed: in small batches, with no pause for anybody else.

use std::time::Duration;

use store::command::Purge;

use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::telemetry::stopwatch;

/// Rows a batch.
const BATCH: u32 = 500;
/// How long a round may take; what is left waits for the next.
const ROUND: Duration = Duration::from_millis(50);

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Rows that were removed.
    pub removed: u64,
    /// Whether there may be more: the next round follows soon, or strangers could add faster than it removes.
    pub more: bool,
}

/// Removes batch after batch while there is more and time remains.
pub async fn purge(ctx: &Ctx) -> Result<Purged, Fault> {
    round(ctx, BATCH, ROUND).await
}

async fn round(ctx: &Ctx, limit: u32, time: Duration) -> Result<Purged, Fault> {
    let began = stopwatch();
    let mut purged = Purged { removed: 0, more: true };
    while purged.more {
        let batch = ctx.run(Purge { moment: ctx.moment()?, limit }).await?;
        purged.removed += u64::from(batch);
        purged.more = batch == limit;
        if began.elapsed() >= time {
            break;
        }
    }
    if purged.removed > 0 {
        tracing::debug!(purged.removed, "purged");
    }
    Ok(purged)
}
