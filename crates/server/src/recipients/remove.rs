//! Removes recipients. The recipient is closed immediately; a background task ends its connections in batches.

use std::sync::Arc;

use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{ClientSelector, EndConnection, FinishClientRemoval, RemoveClient, RemoveClientOutcome};
use store::query::{ClientRemoval, ListClientRemovals, ListLiveConnections};

use crate::context::RequestContext;
use crate::error::InternalError;

/// The maximum number of connections of one recipient that end in one round.
const CONNECTIONS_PER_ROUND: u32 = 200;
/// The number of connections that end concurrently: enough for the store to combine commits, but few enough that
/// requests to end other connections need not wait.
const MAX_CONCURRENT_ENDS: usize = 16;
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

/// Ends a batch of connections of each removed recipient. Returns `true` if more connections may be left.
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
    // The audit event of each ended connection contains the correlation id of the request that removed the recipient.
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
