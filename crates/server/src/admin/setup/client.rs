//! What goes for partners and recipients alike: they are found, paged, held, and given other secrets.

use domain::Timestamp;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::ClientKind;
use store::command::{ClientChange, Whose};
use store::query::{ClientSeen, ClientSeenById};

use super::SecretIssued;
use crate::admin::AdminError;
use crate::ctx::Ctx;
use crate::manage::{another_secret, change};

/// What is told where no client of a kind is.
pub(super) const fn nobody(kind: ClientKind) -> AdminError {
    AdminError::NotFound(kind.as_str())
}

/// The id of a client of a kind.
pub(super) fn id_of(kind: ClientKind, text: &str) -> Result<ClientId, AdminError> {
    ClientId::parse(text).map_err(|_| nobody(kind))
}

/// A client of a kind, removed or not.
pub(super) async fn seen(ctx: &Ctx, kind: ClientKind, id: ClientId) -> Result<ClientSeen, AdminError> {
    ctx.ask(&ClientSeenById { kind, id }).await?.ok_or(nobody(kind))
}

/// Where a list of clients goes on: the time and id of the last.
pub(super) fn key(seen: &ClientSeen) -> String {
    format!("{}|{}", seen.created_at.millis(), seen.recipient.client.id)
}

pub(super) fn read_key(text: &str) -> Option<(Timestamp, ClientId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ClientId::parse(id).ok()?))
}

/// Gives a client another secret: the old one and the client's own tokens end.
pub(super) async fn regenerate(
    ctx: &Ctx,
    kind: ClientKind,
    id: &str,
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    let client_id = id_of(kind, id)?;
    let client_secret = another_secret(ctx, Whose::any(kind, client_id.clone()), actor).await?;
    Ok(SecretIssued { client_id, client_secret: client_secret.ok_or(nobody(kind))? })
}

/// Holds a client or lets it go on.
pub(super) async fn hold(
    ctx: &Ctx,
    kind: ClientKind,
    id: &str,
    held: bool,
    actor: Actor,
) -> Result<ClientSeen, AdminError> {
    let client_id = id_of(kind, id)?;
    let whose = Whose::any(kind, client_id.clone());
    if change(ctx, whose, ClientChange::Held(held), actor).await? {
        seen(ctx, kind, client_id).await
    } else {
        Err(nobody(kind))
    }
}
