//! A recipient's connections: listed, looked at and ended, by itself or by its partner. Nothing of the customer.

use domain::id::{ClientId, ConnectionId};
use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use store::command::{EndConnection, EndOutcome};
use store::query::{GetRecipientConnection, ListRecipientConnections, RecipientConnection};

use super::access::AuthenticatedPartner;
use super::error::ManageError;
use super::recipient::find_recipient;
use crate::context::RequestContext;
use crate::paging::{self, ListQuery, PageQuery};

const NO_CONNECTION: ManageError =
    ManageError::NotFound("connection_id names no connection of this data recipient");

/// A page of connections, the newest first.
#[derive(Debug)]
pub(super) struct ConnectionsPage {
    pub(super) connections: Vec<RecipientConnection>,
    /// The cursor of the next page, and its URL.
    pub(super) next: Option<(String, String)>,
}

/// A page of a recipient's connections, as it is found at `path`.
pub(super) async fn list(
    ctx: &RequestContext,
    client_id: &ClientId,
    path: &str,
    query: &ListQuery,
) -> Result<ConnectionsPage, ManageError> {
    let page = PageQuery::parse(query, &ctx.app().config().page)?;
    let bound_to = format!("{client_id}\n{path}");
    let before =
        paging::open_page_cursor(ctx, &bound_to, &page)?.and_then(|id| ConnectionId::parse(&id).ok());
    let client_id = client_id.clone();
    let mut connections =
        ctx.ask(&ListRecipientConnections { client_id, before, limit: page.limit + 1 }).await?;
    let last = paging::truncate_page(&mut connections, page.limit);
    let next = last.map(|last| paging::seal_page_cursor(ctx, &bound_to, last.id.as_str())).transpose()?;
    let next = next.map(|cursor| {
        let url = format!("{}{path}?limit={}&offset={cursor}", ctx.app().public_url(), page.limit);
        (cursor, url)
    });
    Ok(ConnectionsPage { connections, next })
}

/// One connection of a recipient.
pub(super) async fn find_connection(
    ctx: &RequestContext,
    client_id: &ClientId,
    id: &str,
) -> Result<RecipientConnection, ManageError> {
    let id = ConnectionId::parse(id).map_err(|_| NO_CONNECTION)?;
    ctx.ask(&GetRecipientConnection { client_id: client_id.clone(), id }).await?.ok_or(NO_CONNECTION)
}

/// Ends a connection of a recipient. Repeating it is harmless.
pub(super) async fn end(
    ctx: &RequestContext,
    client_id: &ClientId,
    id: &str,
    cause: EndCause,
    actor: Actor,
) -> Result<(), ManageError> {
    let connection_id = find_connection(ctx, client_id, id).await?.id;
    let end = EndConnection { moment: ctx.new_moment()?, connection_id, cause, actor, fence: None };
    match crate::connections::end(ctx, end).await? {
        EndOutcome::Ended | EndOutcome::AlreadyEnded(_) => Ok(()),
        EndOutcome::NotFound | EndOutcome::Fenced => Err(NO_CONNECTION),
    }
}

/// The recipient whose connections a partner looks at, removed or not: ends go on behind a removal.
async fn resolve_recipient_id(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<ClientId, ManageError> {
    Ok(find_recipient(ctx, partner, client_id).await?.client.id)
}

/// A page of the connections of a partner's recipient.
pub(super) async fn list_recipient_connections(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    query: &ListQuery,
) -> Result<ConnectionsPage, ManageError> {
    let client_id = resolve_recipient_id(ctx, partner, client_id).await?;
    list(ctx, &client_id, &format!("/api/v1/recipients/{client_id}/connections"), query).await
}

/// One connection of a partner's recipient.
pub(super) async fn find_recipient_connection(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    id: &str,
) -> Result<RecipientConnection, ManageError> {
    let client_id = resolve_recipient_id(ctx, partner, client_id).await?;
    find_connection(ctx, &client_id, id).await
}

/// A partner ends a connection of its recipient.
pub(super) async fn end_recipient_connection(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    id: &str,
) -> Result<(), ManageError> {
    let client_id = resolve_recipient_id(ctx, partner, client_id).await?;
    end(ctx, &client_id, id, EndCause::Partner, partner.actor()).await
}
