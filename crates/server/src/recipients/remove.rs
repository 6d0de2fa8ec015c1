//! Removes recipients. The recipient is closed immediately; a background task ends its connections in batches.

use std::sync::Arc;

use domain::id::ConnectionId;
use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{ClientSelector, EndConnection, FinishClientRemoval, RemoveClient, RemoveClientOutcome};
use store::query::{ClientRemoval, ListClientRemovals, ListLiveConnections, LiveConnections};

use crate::connections::skip_unverified;
use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of connections of one recipient that one query reads.
const CONNECTIONS_PER_ROUND: u32 = 1_000;
/// The number of connections that end concurrently: enough for the store to combine them in one transaction, but few enough
/// that requests to end other connections need not wait.
const MAX_CONCURRENT_ENDS: usize = 64;
/// The maximum number of removed recipients that one round processes.
const MAX_REMOVALS_PER_ROUND: u32 = 20;

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

/// Ends the connections of each removed recipient. Returns `true` if more removals may be waiting.
pub async fn process_removals(ctx: &RequestContext) -> Result<bool, InternalError> {
    let removals = ctx.ask(&ListClientRemovals { limit: MAX_REMOVALS_PER_ROUND }).await?;
    for removal in &removals {
        process_removal(ctx, removal).await?;
    }
    Ok(!removals.is_empty())
}

/// Ends all connections of a removed recipient and finishes the removal. After an error, the next round reads the
/// connections from the beginning; no new ones can have been opened, because the recipient is closed.
async fn process_removal(ctx: &RequestContext, removal: &ClientRemoval) -> Result<(), InternalError> {
    let client_id = &removal.client_id;
    // The audit event of each ended connection contains the correlation id of the request that removed the recipient.
    let removal_ctx = RequestContext::new(ctx.app().clone(), Arc::from(removal.correlation_id.as_str()))?;
    let mut after = None;
    loop {
        let list = ListLiveConnections { client_id: client_id.clone(), after, limit: CONNECTIONS_PER_ROUND };
        let LiveConnections { ids, next } = ctx.ask(&list).await?;
        let ends = ids.into_iter().map(|id| end_for_removal(&removal_ctx, removal, id));
        stream::iter(ends).buffer_unordered(MAX_CONCURRENT_ENDS).try_collect::<()>().await?;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    ctx.run(FinishClientRemoval { moment: ctx.new_moment()?, client_id: client_id.clone() }).await?;
    Ok(())
}

async fn end_for_removal(
    ctx: &RequestContext,
    removal: &ClientRemoval,
    connection_id: ConnectionId,
) -> Result<(), InternalError> {
    let end = EndConnection {
        moment: ctx.refreshed()?.new_moment()?,
        connection_id,
        cause: EndCause::ClientRemoved,
        actor: removal.actor.clone(),
        fence: None,
    };
    skip_unverified(crate::connections::end(ctx, end).await)?;
    Ok(())
}
