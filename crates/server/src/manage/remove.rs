//! Removing a recipient: closed at once, its connections end in batches behind it.

use std::sync::Arc;

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::connection::Cause;
use futures_util::{StreamExt, TryStreamExt, stream};
use store::command::{EndConnection, FinishRemoval, RemoveClient, RemovedClient, Whose};
use store::query::{LiveOf, Removal, Removals};

use super::access::Partner;
use super::error::{ManageError, NO_RECIPIENT};
use crate::ctx::Ctx;
use crate::fault::Fault;

/// Connections a round.
const ROUND: u32 = 200;
/// Ends that are under way at once: they share commits, and leave room for those of others.
const AT_ONCE: usize = 16;
/// Removals that are looked at in one round.
const MOST: u32 = 20;

/// Removes a recipient of a partner. When this is over nothing of it is served or minted any more, however many
/// connections it has.
pub async fn remove(ctx: &Ctx, partner: &Partner, client_id: &str) -> Result<(), ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    match remove_client(ctx, Whose::of(partner.id().clone(), client_id), partner.actor()).await? {
        RemovedClient::Removed | RemovedClient::Already => Ok(()),
        RemovedClient::Unknown => Err(NO_RECIPIENT),
    }
}

/// Removes a client, whoever says so.
pub(crate) async fn remove_client(ctx: &Ctx, whose: Whose, actor: Actor) -> Result<RemovedClient, Fault> {
    let client_id = whose.client_id.clone();
    let removed = ctx.run(RemoveClient { moment: ctx.moment()?, whose, actor }).await?;
    if removed == RemovedClient::Removed {
        tracing::info!(client = %client_id, "client removed");
        ctx.app().removals().notify_one();
    }
    Ok(removed)
}

/// Ends connections of recipients that were removed; says whether there may be more.
pub async fn work_on_removals(ctx: &Ctx) -> Result<bool, Fault> {
    let mut more = false;
    for removal in ctx.ask(&Removals { limit: MOST }).await? {
        more |= work_on(ctx, &removal).await?;
    }
    Ok(more)
}

async fn work_on(ctx: &Ctx, removal: &Removal) -> Result<bool, Fault> {
    let client_id = removal.client_id.clone();
    let live = ctx.ask(&LiveOf { client_id: client_id.clone(), limit: ROUND }).await?;
    if live.is_empty() {
        ctx.run(FinishRemoval { moment: ctx.moment()?, client_id }).await?;
        return Ok(false);
    }
    // Each end is recorded as of the exchange that removed the recipient.
    let of = Ctx::new(ctx.app().clone(), Arc::from(removal.correlation_id.as_str()))?;
    let ends = live.into_iter().map(|connection_id| {
        let of = &of;
        async move {
            let end = EndConnection {
                moment: of.moment()?,
                connection_id,
                cause: Cause::ClientRemoved,
                actor: removal.actor.clone(),
                fence: None,
            };
            crate::connection::end(of, end).await?;
            Ok::<_, Fault>(())
        }
    });
    stream::iter(ends).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(true)
}
