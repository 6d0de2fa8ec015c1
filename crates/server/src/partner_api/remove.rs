//! Removing a recipient: closed at once, its connections end in batches behind it.

use std::sync::Arc;

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{ClientSelector, EndConnection, FinishClientRemoval, RemoveClient, RemoveClientOutcome};
use store::query::{ClientRemoval, ListClientRemovals, ListLiveConnections};

use super::access::AuthenticatedPartner;
use super::error::{ManageError, NO_RECIPIENT};
use crate::context::RequestContext;
use crate::error::InternalError;

/// Connections a round.
const CONNECTIONS_PER_ROUND: u32 = 200;
/// Ends that are under way at once: they share commits, and leave room for those of others.
const MAX_CONCURRENT_ENDS: usize = 16;
/// Removals that are looked at in one round.
const MAX_REMOVALS_PER_ROUND: u32 = 20;

/// Removes a recipient of a partner. When this is over nothing of it is served or minted any more, however many
/// connections it has.
pub async fn remove_recipient(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<(), ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    match remove_client(ctx, ClientSelector::for_partner(partner.id().clone(), client_id), partner.actor())
        .await?
    {
        RemoveClientOutcome::Removed | RemoveClientOutcome::AlreadyRemoved => Ok(()),
        RemoveClientOutcome::NotFound => Err(NO_RECIPIENT),
    }
}

/// Removes a client, whoever says so.
pub(crate) async fn remove_client(
    ctx: &RequestContext,
    selector: ClientSelector,
    actor: Actor,
) -> Result<RemoveClientOutcome, InternalError> {
    let client_id = selector.client_id.clone();
    let removed = ctx.run(RemoveClient { moment: ctx.new_moment()?, selector, actor }).await?;
    if removed == RemoveClientOutcome::Removed {
        tracing::info!(client = %client_id, "client removed");
        ctx.app().removal_notify().notify_one();
    }
    Ok(removed)
}

/// Ends connections of recipients that were removed; says whether there may be more.
pub async fn process_removals(ctx: &RequestContext) -> Result<bool, InternalError> {
    let mut more = false;
    for removal in ctx.ask(&ListClientRemovals { limit: MAX_REMOVALS_PER_ROUND }).await? {
        more |= process_removal(ctx, &removal).await?;
    }
    Ok(more)
}

async fn process_removal(ctx: &RequestContext, removal: &ClientRemoval) -> Result<bool, InternalError> {
    let client_id = removal.client_id.clone();
    let live =
        ctx.ask(&ListLiveConnections { client_id: client_id.clone(), limit: CONNECTIONS_PER_ROUND }).await?;
    if live.is_empty() {
        ctx.run(FinishClientRemoval { moment: ctx.new_moment()?, client_id }).await?;
        return Ok(false);
    }
    // Each end is recorded as of the exchange that removed the recipient.
    let removal_ctx = RequestContext::new(ctx.app().clone(), Arc::from(removal.correlation_id.as_str()))?;
    let ends = live.into_iter().map(|connection_id| {
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
