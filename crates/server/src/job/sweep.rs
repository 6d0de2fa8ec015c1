//! What time ends: codes that were never redeemed, consents that are over, tokens that idle.

use store::command::{EndOutcome, ExpireConnection};
use store::query::DueEnds;

use crate::ctx::Ctx;
use crate::fault::Fault;

/// Connections a round.
const ROUND: u32 = 200;

/// Ends what is due, through the kill path; says how many ended.
pub async fn sweep(ctx: &Ctx) -> Result<usize, Fault> {
    let idle = ctx.app().config().token.refresh_idle.duration();
    let due = ctx.ask(&DueEnds { now: ctx.now(), idle, limit: ROUND }).await?;
    let mut ended = 0;
    for connection_id in due {
        let expire = ExpireConnection { moment: ctx.moment()?, connection_id, idle };
        if let (EndOutcome::Ended, Some(cause)) = ctx.run(expire).await? {
            crate::connection::ended(ctx, cause);
            ended += 1;
        }
    }
    Ok(ended)
}
