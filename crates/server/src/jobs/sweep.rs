//! Expiry of connections and recovery of interrupted code exchanges.

use store::command::{EndOutcome, ExpireConnection, RecoverExchange};
use store::query::{ListDueConnections, ListInterruptedExchanges};

use crate::connections::record_end;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of connections, and of exchanges, that one sweep processes.
const BATCH_SIZE: u32 = 200;

/// Ends connections whose code was not redeemed in time, whose consent has expired or whose refresh token was unused
/// for too long. Returns the number of connections that ended.
pub async fn sweep(ctx: &RequestContext) -> Result<usize, InternalError> {
    let idle_timeout = ctx.app().config().token.refresh_idle.duration();
    let due = ctx.ask(&ListDueConnections { now: ctx.now(), idle_timeout, limit: BATCH_SIZE }).await?;
    let mut ended = 0;
    for connection_id in due {
        // The list is a snapshot without locks. The command checks again, with the connection locked, that it is due:
        // its refresh token may have been used in the meantime.
        let expire = ExpireConnection { moment: ctx.new_moment()?, connection_id, idle_timeout };
        if let (EndOutcome::Ended, Some(cause)) = ctx.run(expire).await? {
            record_end(ctx, cause);
            ended += 1;
        }
    }
    Ok(ended)
}

/// Queues a job for each exchange of an authorization code that was interrupted. Returns the number of exchanges.
///
/// A process that dies during an exchange leaves an unknown outcome: the provider may have issued tokens that the hub
/// never received. The job sends the code again and revokes the tokens that it gets.
pub async fn recover_exchanges(ctx: &RequestContext) -> Result<usize, InternalError> {
    let interrupted = ctx.ask(&ListInterruptedExchanges { now: ctx.now(), limit: BATCH_SIZE }).await?;
    let mut recovered = 0;
    for request_id in interrupted {
        let recover = RecoverExchange { moment: ctx.new_moment()?, request_id: request_id.clone() };
        // False if another node was faster.
        if ctx.run(recover).await? {
            tracing::warn!(request = %request_id, "interrupted code exchange: its grant will be revoked");
            ctx.app().job_notify().notify_one();
            recovered += 1;
        }
    }
    Ok(recovered)
}
