//! A partner's recipients: created, looked at, given other redirect URIs and secrets.

use domain::Secret;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState, Recipient};
use store::command::{ClientSelector, ClientUpdate, UpdateClient};
use store::query::{GetRecipient, ListRecipients};

use super::access::AuthenticatedPartner;
use super::described::{RecipientDraft, load_loopback_policy, parse_redirect_uris};
use super::error::{ManageError, NO_RECIPIENT};
use super::member::JsonMembers;
use super::register::RegisterClientError;
use crate::context::RequestContext;
use crate::error::InternalError;

/// Creates a recipient. Its secret is not kept and cannot be shown again.
pub async fn create_recipient(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    members: &JsonMembers,
) -> Result<(Recipient, Secret<String>), ManageError> {
    let draft = RecipientDraft::from_partner_request(
        members,
        partner.id().clone(),
        load_loopback_policy(ctx).await?,
    )?;
    Ok(draft.register(ctx, None, &partner.actor()).await?)
}

/// Creates a recipient as an operator describes it, of a partner or of nobody.
pub(crate) async fn create_recipient_as_operator(
    ctx: &RequestContext,
    partner: Option<ClientId>,
    members: &JsonMembers,
    actor: &Actor,
) -> Result<(Recipient, Secret<String>), RegisterClientError> {
    let draft = RecipientDraft::from_operator_request(members, load_loopback_policy(ctx).await?)?;
    RecipientDraft { partner, ..draft }.register(ctx, None, actor).await
}

/// Replaces the redirect URIs of whatever recipient it is; whether there is such a recipient.
pub(crate) async fn replace_uris(
    ctx: &RequestContext,
    client_id: ClientId,
    members: &JsonMembers,
    actor: Actor,
) -> Result<bool, RegisterClientError> {
    let uris = parse_redirect_uris(members.string_list("redirect_uris")?, load_loopback_policy(ctx).await?)?;
    let selector = ClientSelector::for_kind(ClientKind::Recipient, client_id);
    Ok(update_client(ctx, selector, ClientUpdate::RedirectUris(uris), actor).await?)
}

/// A recipient of this partner.
pub async fn find_active_recipient(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<Recipient, ManageError> {
    let recipient = find_recipient(ctx, partner, client_id).await?;
    if recipient.client.state == ClientState::Closed { Err(NO_RECIPIENT) } else { Ok(recipient) }
}

/// A recipient of this partner, one that was removed included.
pub(super) async fn find_recipient(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<Recipient, ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    ctx.ask(&GetRecipient { partner: partner.id().clone(), client_id }).await?.ok_or(NO_RECIPIENT)
}

/// Every recipient of this partner.
pub async fn list_recipients(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
) -> Result<Vec<Recipient>, ManageError> {
    Ok(ctx.ask(&ListRecipients { partner: partner.id().clone() }).await?)
}

/// Replaces the redirect URIs of a recipient. Nothing else of it can be changed here.
pub async fn replace_own_redirect_uris(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    members: &JsonMembers,
) -> Result<Recipient, ManageError> {
    let id = find_active_recipient(ctx, partner, client_id).await?.client.id;
    let uris = parse_redirect_uris(
        members.space_delimited_list("redirect_uris")?,
        load_loopback_policy(ctx).await?,
    )?;
    let selector = ClientSelector::for_partner(partner.id().clone(), id);
    if update_client(ctx, selector, ClientUpdate::RedirectUris(uris), partner.actor()).await? {
        find_active_recipient(ctx, partner, client_id).await
    } else {
        Err(NO_RECIPIENT)
    }
}

/// Gives a recipient another secret: the old one and the recipient's own tokens end, its connections live on.
pub async fn regenerate_secret(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<(ClientId, Secret<String>), ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    let selector = ClientSelector::for_partner(partner.id().clone(), client_id.clone());
    let secret = rotate_secret(ctx, selector, partner.actor()).await?.ok_or(NO_RECIPIENT)?;
    Ok((client_id, secret))
}

/// Gives a client another secret, whoever says so; none if there is no such client.
pub(crate) async fn rotate_secret(
    ctx: &RequestContext,
    selector: ClientSelector,
    actor: Actor,
) -> Result<Option<Secret<String>>, InternalError> {
    let secret = ctx.random_secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    Ok(update_client(ctx, selector, ClientUpdate::Secret(hash), actor).await?.then_some(secret))
}

/// Changes a client, whoever says so; whether there is such a client.
pub(crate) async fn update_client(
    ctx: &RequestContext,
    selector: ClientSelector,
    change: ClientUpdate,
    actor: Actor,
) -> Result<bool, InternalError> {
    Ok(ctx.run(UpdateClient { moment: ctx.new_moment()?, selector, update: change, actor }).await?)
}
