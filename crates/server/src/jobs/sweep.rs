//! The sweep: ends connections that have expired, and recovers interrupted code exchanges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::Timestamp;
use domain::id::{AuthorizationRequestId, ProviderId};
use domain::rule::expiry_brake::{ExpiryDecision, ExpiryState, decide_expiry, is_time_doubtful};
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{
    BrakeExpiry, EndOutcome, ExpireConnection, RecordSweep, RecoverExchange, RecoveryCause,
};
use store::query::{
    DueConnections, GetSweepStatus, ListDueConnections, ListInterruptedExchanges, SweepPosition, SweepStatus,
};

use crate::connections::skip_unverified;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of rows that one query of a sweep reads for each cause, and of exchanges that it recovers.
const BATCH_SIZE: u32 = 200;
/// The age of the stored time of the last sweep at which a sweep stores its own.
const RECORD_INTERVAL: Duration = Duration::from_mins(1);
/// The number of connections that end concurrently. The store combines them in one transaction.
const MAX_CONCURRENT_ENDS: usize = 64;

/// Ends connections whose code was not redeemed in time, whose consent has expired or whose refresh token was not used
/// for the configured time. Returns the number of connections that were ended.
///
/// If the time may have been wrong, and many connections of a provider seem to have expired, none of them ends until an operator
/// releases the provider.
pub async fn sweep(ctx: &RequestContext) -> Result<usize, InternalError> {
    let jumps = ctx.app().clock_jumps();
    let mut status = ctx.ask(&GetSweepStatus).await?;
    let has_jumped = ctx.app().sweep_progress().lock().await.has_jumped(jumps);
    if is_time_doubtful(status.last_sweep, has_jumped, ctx.now()) {
        brake_providers(ctx, &status).await?;
        status = ctx.ask(&GetSweepStatus).await?;
    }
    let braked: BTreeSet<_> = status.list(ExpiryState::Braked).collect();
    let ended = end_due_connections(ctx, jumps, &braked).await?;
    let released: Vec<_> = status.list(ExpiryState::Released).collect();
    let is_recorded = |last: Timestamp| last <= ctx.now() && ctx.now().since(last) < RECORD_INTERVAL;
    if !released.is_empty() || !status.last_sweep.is_some_and(is_recorded) {
        ctx.run(RecordSweep { moment: ctx.new_moment()?, released }).await?;
    }
    ctx.app().sweep_progress().lock().await.complete(jumps);
    Ok(ended)
}

/// Brakes each provider of which more connections have expired than may end while the time is doubtful.
async fn brake_providers(ctx: &RequestContext, status: &SweepStatus) -> Result<(), InternalError> {
    let idle_timeout = ctx.app().config().token.refresh_idle.duration();
    let limit = u64::from(ctx.app().config().connection.doubtful_ends);
    let mut counts: BTreeMap<ProviderId, u64> = BTreeMap::new();
    let mut after = SweepPosition::default();
    loop {
        let list = ListDueConnections { now: ctx.now(), idle_timeout, after, limit: BATCH_SIZE };
        let due = ctx.ask(&list).await?;
        for provider_id in due.connections.into_values() {
            *counts.entry(provider_id).or_default() += 1;
        }
        if !due.has_more {
            break;
        }
        after = due.position;
    }
    for (provider_id, due) in counts {
        if decide_expiry(status.expiry_state(provider_id), true, due, limit) != ExpiryDecision::Brake {
            continue;
        }
        let brake = BrakeExpiry { moment: ctx.new_moment()?, provider_id, due };
        // No connection of a provider whose row another program has changed can end, so it needs no brake.
        if skip_unverified(ctx.run(brake).await)?.unwrap_or(false) {
            tracing::error!(
                provider = %provider_id, due,
                "expired connections do not end: many have expired after a clock jumped or the hub was stopped; check the \
                 clocks, then release the provider"
            );
        }
    }
    Ok(())
}

/// Ends the expired connections of all providers that are not braked.
async fn end_due_connections(
    ctx: &RequestContext,
    jumps: u64,
    braked: &BTreeSet<ProviderId>,
) -> Result<usize, InternalError> {
    let idle_timeout = ctx.app().config().token.refresh_idle.duration();
    let mut after = ctx.app().sweep_progress().lock().await.begin(ctx.now(), jumps, braked);
    let mut ended = 0;
    loop {
        let list = ListDueConnections { now: ctx.now(), idle_timeout, after, limit: BATCH_SIZE };
        let DueConnections { connections, position, has_more } = ctx.ask(&list).await?;
        let due = connections.into_iter().filter(|(_, provider_id)| !braked.contains(provider_id));
        let ends = due.map(|(connection_id, _)| async move {
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
    let is_recovered = skip_unverified(ctx.run(recover).await)?.unwrap_or(false);
    if is_recovered {
        tracing::warn!(request = %request_id, "interrupted code exchange: its grant will be revoked");
        ctx.app().job_notify().notify_one();
    }
    Ok(is_recovered)
}
