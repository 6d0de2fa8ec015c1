//! Removes recipients. The recipient is closed immediately; a background task ends its connections in batches.

use std::sync::Arc;

use domain::id::ConnectionId;
use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{
    ClientSelector, EndConnection, EndOutcome, FinishClientRemoval, RemoveClient, RemoveClientOutcome,
};
use store::query::{ClientRemoval, ListClientRemovals, ListLiveConnections, LiveConnections};

use crate::connections::skip_unverified;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of connections of one recipient that one query reads.
const CONNECTIONS_PER_ROUND: u32 = 1_000;
/// The number of connections that end concurrently: enough for the store to combine them in one transaction, but few enough
/// that requests to end other connections need not wait.
const MAX_CONCURRENT_ENDS: usize = 64;
/// The maximum number of removals that one query reads.
const REMOVALS_PER_QUERY: u32 = 20;

/// Removes a client. When this function returns, all tokens of the client are rejected and no new ones are issued, even
/// if its connections have not ended yet: the access check reads the state of the client.
pub async fn remove_client(
    ctx: &RequestContext,
    selector: ClientSelector,
    actor: Actor,
) -> Result<RemoveClientOutcome, InternalError> {
    let client_id = selector.client_id.clone();
    let outcome = ctx.run(RemoveClient { moment: ctx.new_moment()?, selector, actor }).await?;
    if outcome == RemoveClientOutcome::Removed {
        tracing::info!(client = %client_id, "client removed");
        ctx.app().removal_notify().notify_one();
    }
    Ok(outcome)
}

/// Ends the connections of each removed recipient. Returns `true` if a removal has finished, and others may have been added in
/// the meantime.
pub async fn process_removals(ctx: &RequestContext) -> Result<bool, InternalError> {
    let (mut after, mut has_finished) = (None, false);
    loop {
        // Each round reads all removals, because those that cannot finish must not keep others from starting.
        let removals = ctx.ask(&ListClientRemovals { after, limit: REMOVALS_PER_QUERY }).await?;
        for removal in &removals {
            has_finished |= process_removal(ctx, removal).await?;
        }
        match removals.into_iter().nth(REMOVALS_PER_QUERY as usize - 1) {
            Some(last) => after = Some(last.client_id),
            None => return Ok(has_finished),
        }
    }
}

/// Ends all connections of a removed recipient, and finishes the removal unless some of them could not be ended. Returns
/// whether it has finished. Otherwise, or after an error, the next round reads the connections from the beginning; no new ones
/// can have been opened, because the recipient is closed.
async fn process_removal(ctx: &RequestContext, removal: &ClientRemoval) -> Result<bool, InternalError> {
    let client_id = &removal.client_id;
    // The audit event of each ended connection contains the correlation id of the request that removed the recipient.
    let removal_ctx = RequestContext::new(ctx.app().clone(), Arc::from(removal.correlation_id.as_str()))?;
    let (mut after, mut skipped) = (None, 0_usize);
    loop {
        let list = ListLiveConnections { client_id: client_id.clone(), after, limit: CONNECTIONS_PER_ROUND };
        let LiveConnections { ids, next } = ctx.ask(&list).await?;
        let ends = ids.into_iter().map(|id| end_for_removal(&removal_ctx, removal, id));
        let ends = stream::iter(ends).buffer_unordered(MAX_CONCURRENT_ENDS);
        let count = async |skipped, outcome: Option<_>| Ok(skipped + usize::from(outcome.is_none()));
        skipped = ends.try_fold(skipped, count).await?;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if skipped > 0 {
        // The grants of these connections can be revoked only with the recipient's clients at the providers, which the end of
        // the removal would delete.
        tracing::warn!(client = %client_id, skipped, "removal is incomplete: connections could not be ended");
        return Ok(false);
    }
    ctx.run(FinishClientRemoval { moment: ctx.new_moment()?, client_id: client_id.clone() }).await?;
    Ok(true)
}

/// Ends a connection of a removed recipient. Returns `None` if its rows were changed by another program.
async fn end_for_removal(
    ctx: &RequestContext,
    removal: &ClientRemoval,
    connection_id: ConnectionId,
) -> Result<Option<EndOutcome>, InternalError> {
    let end = EndConnection {
        moment: ctx.refreshed()?.new_moment()?,
        connection_id,
        cause: EndCause::ClientRemoved,
        actor: removal.actor.clone(),
        fence: None,
    };
    Ok(skip_unverified(crate::connections::end(ctx, end).await)?)
}
