//! A recipient's connections: listed, looked at and ended, by itself or by its partner. Nothing of the customer.

use domain::id::{ClientId, ConnectionId};
use domain::model::audit_event::Actor;
use domain::model::connection::Cause;
use store::command::{EndConnection, EndOutcome};
use store::query::{ConnectionOf, ConnectionsOf, ListedConnection};

use super::access::Partner;
use super::error::ManageError;
use super::recipient::known;
use crate::ctx::Ctx;
use crate::gateway::cursor;
use crate::gateway::page::{ListQuery, PageQuery};

const NO_CONNECTION: ManageError =
    ManageError::NotFound("connection_id names no connection of this data recipient");

/// A page of connections, the newest first.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) connections: Vec<ListedConnection>,
    /// The cursor of the next page, and its URL.
    pub(super) next: Option<(String, String)>,
}

/// A page of a recipient's connections, as it is found at `path`.
pub(super) async fn list(
    ctx: &Ctx,
    client_id: &ClientId,
    path: &str,
    query: &ListQuery,
) -> Result<Page, ManageError> {
    let page = PageQuery::parse(query, &ctx.app().config().page)?;
    let bound_to = format!("{client_id}\n{path}");
    let before = cursor::open(ctx, &bound_to, &page)?.and_then(|id| ConnectionId::parse(&id).ok());
    let client_id = client_id.clone();
    let mut connections = ctx.ask(&ConnectionsOf { client_id, before, limit: page.limit + 1 }).await?;
    let last = cursor::cut(&mut connections, page.limit);
    let next = last.map(|last| cursor::seal(ctx, &bound_to, last.id.as_str())).transpose()?;
    let next = next.map(|cursor| {
        let url = format!("{}{path}?limit={}&offset={cursor}", ctx.app().public_url(), page.limit);
        (cursor, url)
    });
    Ok(Page { connections, next })
}

/// One connection of a recipient.
pub(super) async fn one(ctx: &Ctx, client_id: &ClientId, id: &str) -> Result<ListedConnection, ManageError> {
    let id = ConnectionId::parse(id).map_err(|_| NO_CONNECTION)?;
    ctx.ask(&ConnectionOf { client_id: client_id.clone(), id }).await?.ok_or(NO_CONNECTION)
}

/// Ends a connection of a recipient. Repeating it is harmless.
pub(super) async fn end(
    ctx: &Ctx,
    client_id: &ClientId,
    id: &str,
    cause: Cause,
    actor: Actor,
) -> Result<(), ManageError> {
    let connection_id = one(ctx, client_id, id).await?.id;
    let end = EndConnection { moment: ctx.moment()?, connection_id, cause, actor, fence: None };
    match crate::connection::end(ctx, end).await? {
        EndOutcome::Ended | EndOutcome::Already(_) => Ok(()),
        EndOutcome::Unknown | EndOutcome::Fenced => Err(NO_CONNECTION),
    }
}

/// The recipient whose connections a partner looks at, removed or not: ends go on behind a removal.
async fn under(ctx: &Ctx, partner: &Partner, client_id: &str) -> Result<ClientId, ManageError> {
    Ok(known(ctx, partner, client_id).await?.client.id)
}

/// A page of the connections of a partner's recipient.
pub(super) async fn list_under(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
    query: &ListQuery,
) -> Result<Page, ManageError> {
    let client_id = under(ctx, partner, client_id).await?;
    list(ctx, &client_id, &format!("/api/v1/recipients/{client_id}/connections"), query).await
}

/// One connection of a partner's recipient.
pub(super) async fn one_under(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
    id: &str,
) -> Result<ListedConnection, ManageError> {
    let client_id = under(ctx, partner, client_id).await?;
    one(ctx, &client_id, id).await
}

/// A partner ends a connection of its recipient.
pub(super) async fn end_under(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
    id: &str,
) -> Result<(), ManageError> {
    let client_id = under(ctx, partner, client_id).await?;
    end(ctx, &client_id, id, Cause::Partner, partner.actor()).await
}
