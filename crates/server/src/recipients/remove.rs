//! Removes recipients: the recipient is closed immediately, its connections end in batches afterwards.

use std::sync::Arc;

use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{ClientSelector, EndConnection, FinishClientRemoval, RemoveClient, RemoveClientOutcome};
use store::query::{ClientRemoval, ListClientRemovals, ListLiveConnections};

use crate::context::RequestContext;
use crate::error::InternalError;

/// Connections of one recipient that end in one round.
const CONNECTIONS_PER_ROUND: u32 = 200;
/// Ends that run concurrently: enough to share commits, few enough to leave room for ends that customers request.
const MAX_CONCURRENT_ENDS: usize = 16;
/// Removals that one round works on.
const MAX_REMOVALS_PER_ROUND: u32 = 20;

/// Removes a client. As soon as this returns, its tokens are rejected and none is issued, whatever the number
/// of its connections: the access check reads the state of the client.
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

/// Ends a batch of connections of removed recipients. Returns `true` if more may be left.
pub async fn process_removals(ctx: &RequestContext) -> Result<bool, InternalError> {
    let mut has_more = false;
    for removal in ctx.ask(&ListClientRemovals { limit: MAX_REMOVALS_PER_ROUND }).await? {
        has_more |= process_removal(ctx, &removal).await?;
    }
    Ok(has_more)
}

async fn process_removal(ctx: &RequestContext, removal: &ClientRemoval) -> Result<bool, InternalError> {
    let client_id = removal.client_id.clone();
    let connections =
        ctx.ask(&ListLiveConnections { client_id: client_id.clone(), limit: CONNECTIONS_PER_ROUND }).await?;
    if connections.is_empty() {
        ctx.run(FinishClientRemoval { moment: ctx.new_moment()?, client_id }).await?;
        return Ok(false);
    }
    // The audit event of each end carries the correlation id of the request that removed the recipient.
    let removal_ctx = RequestContext::new(ctx.app().clone(), Arc::from(removal.correlation_id.as_str()))?;
    let ends = connections.into_iter().map(|connection_id| {
        let removal_ctx = &removal_ctx;
        async move {
            let end = EndConnection {
                moment: removal_ctx.new_moment()?,
                connection_id,
                cause: EndCause::ClientRemoved,
                actor: removal.actor.clone(),
                fence: None,
            };
            crate::connections::end(removal_ctx, end).await?;
            Ok::<_, InternalError>(())
        }
    });
    stream::iter(ends).buffer_unordered(MAX_CONCURRENT_ENDS).try_collect::<()>().await?;
    Ok(true)
}
