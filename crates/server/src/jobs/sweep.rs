//! The sweep: ends connections that have expired, and recovers interrupted code exchanges.

use domain::id::AuthorizationRequestId;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::StoreError;
use store::command::{EndOutcome, ExpireConnection, RecoverExchange, RecoveryCause};
use store::query::{DueConnections, ListDueConnections, ListInterruptedExchanges};

use crate::connections::skip_unverified;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of rows that one query of a sweep reads for each cause, and of exchanges that it recovers.
const BATCH_SIZE: u32 = 200;
/// The number of connections that end concurrently. The store combines them in one transaction.
const MAX_CONCURRENT_ENDS: usize = 64;

/// Ends connections whose code was not redeemed in time, whose consent has expired or whose refresh token was not used
/// for the configured time. Returns the number of connections that were ended.
pub async fn sweep(ctx: &RequestContext) -> Result<usize, InternalError> {
    let idle_timeout = ctx.app().config().token.refresh_idle.duration();
    let mut after = ctx.app().sweep_progress().lock().await.begin(ctx.now());
    let mut ended = 0;
    loop {
        let list = ListDueConnections { now: ctx.now(), idle_timeout, after, limit: BATCH_SIZE };
        let DueConnections { ids, position, has_more } = ctx.ask(&list).await?;
        let ends = ids.into_iter().map(|connection_id| async move {
            // The list was read without locks, so the refresh token of a connection may have been used in the meantime. The
            // store decides under the lock of the connection whether it is due.
            let expire = ExpireConnection { moment: ctx.new_moment()?, connection_id, idle_timeout };
            Ok::<_, InternalError>(skip_unverified(crate::connections::expire(ctx, expire).await)?)
        });
        let outcomes: Vec<_> = stream::iter(ends).buffer_unordered(MAX_CONCURRENT_ENDS).try_collect().await?;
        ended += outcomes.iter().filter(|outcome| matches!(outcome, Some(EndOutcome::Ended(_)))).count();
        let has_skipped = outcomes.iter().any(Option::is_none);
        // The position is kept only after the ends of the connections before it: a failed end returns above.
        let skipped_at = has_skipped.then(|| ctx.now());
        ctx.app().sweep_progress().lock().await.advance(list.after, position.clone(), skipped_at);
        if !has_more {
            return Ok(ended);
        }
        after = position;
    }
}

/// Queues a recovery job for each interrupted exchange of a provider's authorization code. Returns the number of jobs.
///
/// If a process dies during an exchange, the outcome is unknown: the provider may have issued tokens that the hub never
/// received. The job sends the code again and revokes the tokens that it receives.
pub async fn recover_exchanges(ctx: &RequestContext) -> Result<usize, InternalError> {
    let (mut recovered, mut skipped) = (0, 0);
    loop {
        // A recovered exchange leaves the list. Those that could not be recovered stay at its beginning, and must not keep the
        // others from being recovered.
        let list = ListInterruptedExchanges { now: ctx.now(), skip: skipped, limit: BATCH_SIZE };
        let interrupted = ctx.ask(&list).await?;
        let has_more = interrupted.len() >= BATCH_SIZE as usize;
        for request_id in interrupted {
            if recover_exchange(ctx, request_id).await? {
                recovered += 1;
            } else {
                skipped += 1;
            }
        }
        if !has_more {
            return Ok(recovered);
        }
    }
}

/// Queues a recovery job for an interrupted exchange. Returns `false` if another node has queued it, if the exchange was
/// completed, or if another program has changed the request.
async fn recover_exchange(
    ctx: &RequestContext,
    request_id: AuthorizationRequestId,
) -> Result<bool, InternalError> {
    let cause = RecoveryCause::LeaseExpired;
    let recover = RecoverExchange { moment: ctx.new_moment()?, request_id: request_id.clone(), cause };
    let is_recovered = match ctx.run(recover).await {
        Err(StoreError::UnverifiedRow { .. }) => false,
        result => result?,
    };
    if is_recovered {
        tracing::warn!(request = %request_id, "interrupted code exchange: its grant will be revoked");
        ctx.app().job_notify().notify_one();
    }
    Ok(is_recovered)
}
