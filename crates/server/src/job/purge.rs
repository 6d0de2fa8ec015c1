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

/// Removes batch after batch while there is more and time remains; says how many rows.
pub async fn purge(ctx: &Ctx) -> Result<u64, Fault> {
    let began = stopwatch();
    let mut removed = 0;
    loop {
        let batch = ctx.run(Purge { moment: ctx.moment()?, limit: BATCH }).await?;
        removed += u64::from(batch);
        if batch < BATCH || began.elapsed() >= ROUND {
            break;
        }
    }
    if removed > 0 {
        tracing::debug!(removed, "purged");
    }
    Ok(removed)
}
