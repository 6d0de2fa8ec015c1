//! A partner's recipients: created, looked at, given other redirect URIs and secrets.

use domain::Secret;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState, Recipient};
use store::command::{ChangeClient, ClientChange, Whose};
use store::query::{RecipientOf, RecipientsOf};

use super::access::Partner;
use super::described::{Described, loopback, redirect_uris};
use super::error::{ManageError, NO_RECIPIENT};
use super::member::Members;
use super::register::NotRegistered;
use crate::ctx::Ctx;
use crate::fault::Fault;

/// Creates a recipient. Its secret is not kept and cannot be shown again.
pub async fn create(
    ctx: &Ctx,
    partner: &Partner,
    members: &Members,
) -> Result<(Recipient, Secret<String>), ManageError> {
    let described = Described::by_partner(members, partner.id().clone(), loopback(ctx).await?)?;
    Ok(described.keep(ctx, None, &partner.actor()).await?)
}

/// Creates a recipient as an operator describes it, of a partner or of nobody.
pub(crate) async fn create_for(
    ctx: &Ctx,
    partner: Option<ClientId>,
    members: &Members,
    actor: &Actor,
) -> Result<(Recipient, Secret<String>), NotRegistered> {
    let described = Described::by_operator(members, loopback(ctx).await?)?;
    Described { partner, ..described }.keep(ctx, None, actor).await
}

/// Replaces the redirect URIs of whatever recipient it is; whether there is such a recipient.
pub(crate) async fn replace_uris(
    ctx: &Ctx,
    client_id: ClientId,
    members: &Members,
    actor: Actor,
) -> Result<bool, NotRegistered> {
    let uris = redirect_uris(members.texts("redirect_uris")?, loopback(ctx).await?)?;
    let whose = Whose::any(ClientKind::Recipient, client_id);
    Ok(change(ctx, whose, ClientChange::RedirectUris(uris), actor).await?)
}

/// A recipient of this partner.
pub async fn one(ctx: &Ctx, partner: &Partner, client_id: &str) -> Result<Recipient, ManageError> {
    let recipient = known(ctx, partner, client_id).await?;
    if recipient.client.state == ClientState::Closed { Err(NO_RECIPIENT) } else { Ok(recipient) }
}

/// A recipient of this partner, one that was removed included.
pub(super) async fn known(ctx: &Ctx, partner: &Partner, client_id: &str) -> Result<Recipient, ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    ctx.ask(&RecipientOf { partner: partner.id().clone(), client_id }).await?.ok_or(NO_RECIPIENT)
}

/// Every recipient of this partner.
pub async fn under(ctx: &Ctx, partner: &Partner) -> Result<Vec<Recipient>, ManageError> {
    Ok(ctx.ask(&RecipientsOf { partner: partner.id().clone() }).await?)
}

/// Replaces the redirect URIs of a recipient. Nothing else of it can be changed here.
pub async fn replace_own_redirect_uris(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
    members: &Members,
) -> Result<Recipient, ManageError> {
    let id = one(ctx, partner, client_id).await?.client.id;
    let uris = redirect_uris(members.words("redirect_uris")?, loopback(ctx).await?)?;
    let whose = Whose::of(partner.id().clone(), id);
    if change(ctx, whose, ClientChange::RedirectUris(uris), partner.actor()).await? {
        one(ctx, partner, client_id).await
    } else {
        Err(NO_RECIPIENT)
    }
}

/// Gives a recipient another secret: the old one and the recipient's own tokens end, its connections live on.
pub async fn regenerate_secret(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
) -> Result<(ClientId, Secret<String>), ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    let whose = Whose::of(partner.id().clone(), client_id.clone());
    let secret = another_secret(ctx, whose, partner.actor()).await?.ok_or(NO_RECIPIENT)?;
    Ok((client_id, secret))
}

/// Gives a client another secret, whoever says so; none if there is no such client.
pub(crate) async fn another_secret(
    ctx: &Ctx,
    whose: Whose,
    actor: Actor,
) -> Result<Option<Secret<String>>, Fault> {
    let secret = ctx.secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    Ok(change(ctx, whose, ClientChange::Secret(hash), actor).await?.then_some(secret))
}

/// Changes a client, whoever says so; whether there is such a client.
pub(crate) async fn change(
    ctx: &Ctx,
    whose: Whose,
    change: ClientChange,
    actor: Actor,
) -> Result<bool, Fault> {
    Ok(ctx.run(ChangeClient { moment: ctx.moment()?, whose, change, actor }).await?)
}
