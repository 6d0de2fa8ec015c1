//! What goes for partners and recipients alike: they are found, paged, held, and given other secrets.

use domain::Timestamp;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::ClientKind;
use store::command::{ClientSelector, ClientUpdate};
use store::query::{ClientSummary, GetClientSummary};

use super::SecretIssued;
use crate::admin_api::AdminError;
use crate::context::RequestContext;
use crate::partner_api::{rotate_secret, update_client};

/// What is told where no client of a kind is.
pub(super) const fn not_found(kind: ClientKind) -> AdminError {
    AdminError::NotFound(kind.as_str())
}

/// The id of a client of a kind.
pub(super) fn parse_id(kind: ClientKind, text: &str) -> Result<ClientId, AdminError> {
    ClientId::parse(text).map_err(|_| not_found(kind))
}

/// A client of a kind, removed or not.
pub(super) async fn load_client(
    ctx: &RequestContext,
    kind: ClientKind,
    id: ClientId,
) -> Result<ClientSummary, AdminError> {
    ctx.ask(&GetClientSummary { kind, id }).await?.ok_or(not_found(kind))
}

/// Where a list of clients goes on: the time and id of the last.
pub(super) fn cursor_key(summary: &ClientSummary) -> String {
    format!("{}|{}", summary.created_at.millis(), summary.recipient.client.id)
}

pub(super) fn parse_key(text: &str) -> Option<(Timestamp, ClientId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ClientId::parse(id).ok()?))
}

/// Gives a client another secret: the old one and the client's own tokens end.
pub(super) async fn regenerate_secret(
    ctx: &RequestContext,
    kind: ClientKind,
    id: &str,
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    let client_id = parse_id(kind, id)?;
    let client_secret = rotate_secret(ctx, ClientSelector::for_kind(kind, client_id.clone()), actor).await?;
    Ok(SecretIssued { client_id, client_secret: client_secret.ok_or(not_found(kind))? })
}

/// Holds a client or lets it go on.
pub(super) async fn set_suspended(
    ctx: &RequestContext,
    kind: ClientKind,
    id: &str,
    suspended: bool,
    actor: Actor,
) -> Result<ClientSummary, AdminError> {
    let client_id = parse_id(kind, id)?;
    let selector = ClientSelector::for_kind(kind, client_id.clone());
    if update_client(ctx, selector, ClientUpdate::Suspended(suspended), actor).await? {
        load_client(ctx, kind, client_id).await
    } else {
        Err(not_found(kind))
    }
}
