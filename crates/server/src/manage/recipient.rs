//! A partner's recipients: created, looked at, given other redirect URIs and secrets.

use domain::id::ClientId;
use domain::model::audit_event::AuditHead;
use domain::model::client::{About, Client, ClientKind, ClientState, Localized, Profile, Recipient};
use domain::rule::recipient::{
    Invalid, LONGEST_DESCRIPTION, LONGEST_NAME, Loopback, are_contacts, are_redirect_uris, is_country,
    is_link, is_text, scope,
};
use domain::{Clusters, Secret};
use store::command::{ChangeClient, ClientChange, RegisterClient, Whose};
use store::query::{MarkOf, RecipientOf, RecipientsOf};

use super::access::Partner;
use super::error::{ManageError, NO_RECIPIENT};
use super::member::Members;
use crate::ctx::Ctx;
use crate::fault::Fault;

/// A recipient as its partner describes it.
struct Described {
    name: String,
    scope: Clusters,
    redirect_uris: Vec<String>,
    about: About,
}

impl Described {
    fn read(members: &Members, loopback: Loopback) -> Result<Self, Invalid> {
        let need = |name| members.text(name)?.ok_or_else(|| Invalid::missing(name));
        let name = need("name")?;
        is_text("name", &name, LONGEST_NAME)?;
        let words = members.words("scope")?;
        if words.is_empty() {
            return Err(Invalid::missing("scope"));
        }
        let scope = scope("scope", &words.join(" "))?;
        let redirect_uris = redirect_uris(members, loopback)?;
        Ok(Self { name, scope, redirect_uris, about: about(members)? })
    }
}

fn redirect_uris(members: &Members, loopback: Loopback) -> Result<Vec<String>, Invalid> {
    let uris = members.words("redirect_uris")?;
    are_redirect_uris("redirect_uris", &uris, loopback)?;
    Ok(uris)
}

fn about(members: &Members) -> Result<About, Invalid> {
    let text = |name, check: fn(&str, &str) -> Result<(), Invalid>| {
        let text = members.text(name)?;
        text.as_deref().map_or(Ok(()), |text| check(name, text)).map(|()| text)
    };
    let contacts = members.each("contacts", "email")?;
    are_contacts("contacts", &contacts)?;
    Ok(About {
        description: text("description", |name, text| is_text(name, text, LONGEST_DESCRIPTION))?,
        country: text("country", is_country)?,
        logo_uri: text("logo_uri", is_link)?,
        terms_uri: text("terms_uri", is_link)?,
        client_uri: text("client_uri", is_link)?,
        contacts,
    })
}

/// What customers read as the purpose: the recipient's own description, if it has one.
fn purpose(about: &About) -> Localized {
    match &about.description {
        Some(text) => Localized { en: text.clone(), fr: text.clone() },
        None => Localized {
            en: "To provide its service to you.".into(),
            fr: "Pour vous fournir son service.".into(),
        },
    }
}

/// Answers may go to this machine in a sandbox alone.
async fn loopback(ctx: &Ctx) -> Result<Loopback, ManageError> {
    let sandbox = ctx.ask(&MarkOf { name: super::SANDBOX_MARK }).await?;
    Ok(if sandbox.is_some() { Loopback::Allowed } else { Loopback::Refused })
}

/// Creates a recipient. Its secret is not kept and cannot be shown again.
pub async fn create(
    ctx: &Ctx,
    partner: &Partner,
    members: &Members,
) -> Result<(Recipient, Secret<String>), ManageError> {
    let described = Described::read(members, loopback(ctx).await?)?;
    let secret = ctx.secret()?;
    let client = Client {
        id: ctx.ids()?.mint(),
        kind: ClientKind::Recipient,
        owner_id: Some(partner.id().clone()),
        profile: Profile::Flinks,
        state: ClientState::Active,
        name: described.name,
        purpose: purpose(&described.about),
        scope: described.scope,
        redirect_uris: described.redirect_uris,
        secret_hash: ctx.app().vault().hash(secret.expose()),
        credential_generation: 1,
        require_pkce: false,
        max_duration_days: None,
        audit: AuditHead::default(),
    };
    let recipient = Recipient { client, about: described.about };
    let register = RegisterClient {
        moment: ctx.moment()?,
        client: recipient.client.clone(),
        about: recipient.about.clone(),
        actor: partner.actor(),
    };
    if ctx.run(register).await? {
        Ok((recipient, secret))
    } else {
        Err(Fault::new("a fresh client id is taken").into())
    }
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
    let uris = redirect_uris(members, loopback(ctx).await?)?;
    change(ctx, partner, id, ClientChange::RedirectUris(uris)).await?;
    one(ctx, partner, client_id).await
}

/// Gives a recipient another secret: the old one and the recipient's own tokens end, its connections live on.
pub async fn regenerate_secret(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
) -> Result<(ClientId, Secret<String>), ManageError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    let secret = ctx.secret()?;
    let hash = ctx.app().vault().hash(secret.expose());
    change(ctx, partner, client_id.clone(), ClientChange::Secret(hash)).await?;
    Ok((client_id, secret))
}

async fn change(
    ctx: &Ctx,
    partner: &Partner,
    client_id: ClientId,
    change: ClientChange,
) -> Result<(), ManageError> {
    let whose = Whose { client_id, partner: Some(partner.id().clone()) };
    let change = ChangeClient { moment: ctx.moment()?, whose, change, actor: partner.actor() };
    if ctx.run(change).await? { Ok(()) } else { Err(NO_RECIPIENT) }
}
