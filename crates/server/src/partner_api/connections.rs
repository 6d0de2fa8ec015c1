//! Lists, reads and ends the connections of a recipient, on behalf of the recipient or its partner. The results contain
//! no data about the customer.

use domain::id::{ClientId, ConnectionId};
use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;
use store::command::{EndConnection, EndOutcome};
use store::query::{GetRecipientConnection, ListRecipientConnections, RecipientConnection};

use super::access::AuthenticatedPartner;
use super::error::PartnerApiError;
use super::recipients;
use crate::context::RequestContext;
use crate::paging::{self, ListQuery, PageQuery};

const NO_CONNECTION: PartnerApiError =
    PartnerApiError::NotFound("connection_id names no connection of this data recipient");

/// A page of connections, newest first.
#[derive(Debug)]
pub(super) struct ConnectionsPage {
    pub(super) connections: Vec<RecipientConnection>,
    /// The cursor and the URL of the next page; `None` on the last page.
    pub(super) next: Option<(String, String)>,
}

/// Lists the connections of a recipient. `path` is the URL path of the list.
pub(super) async fn list(
    ctx: &RequestContext,
    client_id: &ClientId,
    path: &str,
    query: &ListQuery,
) -> Result<ConnectionsPage, PartnerApiError> {
    let page = PageQuery::parse(query, &ctx.app().config().page)?;
    // A cursor is valid only for the same recipient and the same list.
    let bound_to = format!("{client_id}\n{path}");
    let before =
        paging::open_page_cursor(ctx, &bound_to, &page)?.and_then(|id| ConnectionId::parse(&id).ok());
    let client_id = client_id.clone();
    let mut connections =
        ctx.ask(&ListRecipientConnections { client_id, before, limit: page.limit + 1 }).await?;
    let last = paging::truncate_page(&mut connections, page.limit);
    let cursor = last.map(|last| paging::seal_page_cursor(ctx, &bound_to, last.id.as_str())).transpose()?;
    let next = cursor.map(|cursor| {
        let url = format!("{}{path}?limit={}&offset={cursor}", ctx.app().public_url(), page.limit);
        (cursor, url)
    });
    Ok(ConnectionsPage { connections, next })
}

/// Returns one connection of a recipient, even if the connection has ended.
pub(super) async fn find(
    ctx: &RequestContext,
    client_id: &ClientId,
    id: &str,
) -> Result<RecipientConnection, PartnerApiError> {
    let id = ConnectionId::parse(id).map_err(|_| NO_CONNECTION)?;
    ctx.ask(&GetRecipientConnection { client_id: client_id.clone(), id }).await?.ok_or(NO_CONNECTION)
}

/// Ends a connection of a recipient. Ending it again has no effect.
pub(super) async fn end(
    ctx: &RequestContext,
    client_id: &ClientId,
    id: &str,
    cause: EndCause,
    actor: Actor,
) -> Result<(), PartnerApiError> {
    let connection_id = find(ctx, client_id, id).await?.id;
    let command = EndConnection { moment: ctx.new_moment()?, connection_id, cause, actor, fence: None };
    match crate::connections::end(ctx, command).await? {
        EndOutcome::Ended(_) | EndOutcome::AlreadyEnded(_) => Ok(()),
        EndOutcome::NotFound | EndOutcome::Fenced => Err(NO_CONNECTION),
    }
}

/// Parses the id of a recipient and ensures that the partner manages it. A removed recipient is accepted.
async fn resolve_recipient_id(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<ClientId, PartnerApiError> {
    // The connections of a removed recipient end in batches after the removal, and remain readable.
    Ok(recipients::find(ctx, partner, client_id).await?.client.id)
}

/// Lists the connections of a recipient that the partner manages.
pub(super) async fn list_for_partner(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    query: &ListQuery,
) -> Result<ConnectionsPage, PartnerApiError> {
    let client_id = resolve_recipient_id(ctx, partner, client_id).await?;
    list(ctx, &client_id, &format!("/api/v1/recipients/{client_id}/connections"), query).await
}

/// Returns one connection of a recipient that the partner manages.
pub(super) async fn find_for_partner(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    id: &str,
) -> Result<RecipientConnection, PartnerApiError> {
    let client_id = resolve_recipient_id(ctx, partner, client_id).await?;
    find(ctx, &client_id, id).await
}

/// Ends a connection of a recipient that the partner manages.
pub(super) async fn end_for_partner(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    id: &str,
) -> Result<(), PartnerApiError> {
    let client_id = resolve_recipient_id(ctx, partner, client_id).await?;
    end(ctx, &client_id, id, EndCause::Partner, partner.actor()).await
}
