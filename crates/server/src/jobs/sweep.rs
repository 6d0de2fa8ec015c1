//! What time ends: codes that were never redeemed, consents that are over, tokens that idle; and exchanges
//! that broke off.

use store::command::{EndOutcome, ExpireConnection, RecoverExchange};
use store::query::{ListDueConnections, ListInterruptedExchanges};

use crate::context::RequestContext;
use crate::error::InternalError;

/// Connections, and exchanges, a round.
const BATCH_SIZE: u32 = 200;

/// Ends what is due, through the kill path; says how many ended.
pub async fn sweep(ctx: &RequestContext) -> Result<usize, InternalError> {
    let idle = ctx.app().config().token.refresh_idle.duration();
    let due = ctx.ask(&ListDueConnections { now: ctx.now(), idle_timeout: idle, limit: BATCH_SIZE }).await?;
    let mut ended = 0;
    for connection_id in due {
        let expire = ExpireConnection { moment: ctx.new_moment()?, connection_id, idle_timeout: idle };
        if let (EndOutcome::Ended, Some(cause)) = ctx.run(expire).await? {
            crate::connections::record_end(ctx, cause);
            ended += 1;
        }
    }
    Ok(ended)
}

/// Hands the codes of exchanges that broke off to the outbox; says how many.
pub async fn recover_exchanges(ctx: &RequestContext) -> Result<usize, InternalError> {
    let due = ctx.ask(&ListInterruptedExchanges { now: ctx.now(), limit: BATCH_SIZE }).await?;
    let mut recovered = 0;
    for request_id in due {
        let recover = RecoverExchange { moment: ctx.new_moment()?, request_id: request_id.clone() };
        if ctx.run(recover).await? {
            tracing::warn!(request = %request_id, "an exchange broke off: its code is tried again and revoked");
            ctx.app().job_notify().notify_one();
            recovered += 1;
        }
    }
    Ok(recovered)
}
