//! What time ends: codes that were never redeemed, consents that are over, tokens that idle; and exchanges
//! that broke off.

use store::command::{EndOutcome, ExpireConnection, RecoverExchange};
use store::query::{DueEnds, DueRecoveries};

use crate::ctx::Ctx;
use crate::fault::Fault;

/// Connections, and exchanges, a round.
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

/// Hands the codes of exchanges that broke off to the outbox; says how many.
pub async fn recover(ctx: &Ctx) -> Result<usize, Fault> {
    let due = ctx.ask(&DueRecoveries { now: ctx.now(), limit: ROUND }).await?;
    let mut recovered = 0;
    for request_id in due {
        let recover = RecoverExchange { moment: ctx.moment()?, request_id: request_id.clone() };
        if ctx.run(recover).await? {
            tracing::warn!(request = %request_id, "an exchange broke off: its code is tried again and revoked");
            ctx.app().jobs().notify_one();
            recovered += 1;
        }
    }
    Ok(recovered)
}
