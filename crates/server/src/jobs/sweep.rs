//! The sweep: ends connections that have expired, and recovers interrupted code exchanges.

use store::command::{EndOutcome, ExpireConnection, RecoverExchange};
use store::query::{ListDueConnections, ListInterruptedExchanges};

use crate::connections::record_end;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of connections that one sweep ends, and of exchanges that it recovers.
const BATCH_SIZE: u32 = 200;

/// Ends connections whose code was not redeemed in time, whose consent has expired or whose refresh token was not used
/// for the configured time. Returns the number of connections that were ended.
pub async fn sweep(ctx: &RequestContext) -> Result<usize, InternalError> {
    let idle_timeout = ctx.app().config().token.refresh_idle.duration();
    let due = ctx.ask(&ListDueConnections { now: ctx.now(), idle_timeout, limit: BATCH_SIZE }).await?;
    let mut ended = 0;
    for connection_id in due {
        // The list was read without locks, so the refresh token of a connection may have been used in the meantime. The
        // command locks the connection and checks again that it is due.
        let expire = ExpireConnection { moment: ctx.new_moment()?, connection_id, idle_timeout };
        if let (EndOutcome::Ended, Some(cause)) = ctx.run(expire).await? {
            record_end(ctx, cause);
            ended += 1;
        }
    }
    Ok(ended)
}

/// Queues a recovery job for each interrupted exchange of a provider's authorization code. Returns the number of jobs.
///
/// If a process dies during an exchange, the outcome is unknown: the provider may have issued tokens that the hub never
/// received. The job sends the code again and revokes the tokens that it receives.
pub async fn recover_exchanges(ctx: &RequestContext) -> Result<usize, InternalError> {
    let interrupted = ctx.ask(&ListInterruptedExchanges { now: ctx.now(), limit: BATCH_SIZE }).await?;
    let mut recovered = 0;
    for request_id in interrupted {
        let recover = RecoverExchange { moment: ctx.new_moment()?, request_id: request_id.clone() };
        // The command returns false if another node has queued the job or the exchange was completed.
        if ctx.run(recover).await? {
            tracing::warn!(request = %request_id, "interrupted code exchange: its grant will be revoked");
            ctx.app().job_notify().notify_one();
            recovered += 1;
        }
    }
    Ok(recovered)
}
