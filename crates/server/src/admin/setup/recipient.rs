//! Recipients: made, looked at, changed, held, removed.

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use domain::rule::recipient::Invalid;
use domain::{DataCluster, Secret};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{RemovedClient, Whose};
use store::query::{ClientSeen, ClientSeenById, Clients, EndsWith};

use super::SecretIssued;
use super::client::{self, id_of, key, nobody, read_key, seen};
use crate::admin::page::{Asked, dry_run};
use crate::admin::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::manage::{Members, create_for, remove_client, replace_uris};
use crate::wire::{Time, Word, exposed};

/// A recipient: an app that receives data with the customer's consent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Recipient")]
pub struct RecipientBody {
    /// Its id.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// Its name, as customers see it.
    name: String,
    /// Why it reads data, in English, as customers see it.
    purpose_en: String,
    /// Why it reads data, in French, as customers see it.
    purpose_fr: String,
    /// Where answers may go: compared as exact strings (RFC 9700 §2.1).
    redirect_uris: Vec<String>,
    /// The most it may ask for.
    scope: Vec<DataCluster>,
    /// The partner that manages it; absent if operators alone do.
    #[schemars(with = "Option<String>")]
    partner: Option<ClientId>,
    /// Whether it is served.
    state: Word<ClientState>,
    /// Whether PKCE (RFC 7636) is required of it.
    require_pkce: bool,
    /// The longest consent it asks for, in days; the hub's own maximum if absent.
    max_duration_days: Option<u16>,
    /// What it does.
    description: Option<String>,
    /// Where it is registered: `CA` or `US`.
    country: Option<String>,
    /// Its logo.
    logo_uri: Option<String>,
    /// The terms between it and its customers.
    terms_uri: Option<String>,
    /// Its site.
    client_uri: Option<String>,
    /// The e-mail addresses of those who answer for it.
    contacts: Vec<String>,
    /// When it was made.
    created_at: Time,
}

impl RecipientBody {
    fn of(seen: ClientSeen) -> Self {
        let (client, about) = (seen.recipient.client, seen.recipient.about);
        Self {
            client_id: client.id,
            name: client.name,
            purpose_en: client.purpose.en,
            purpose_fr: client.purpose.fr,
            redirect_uris: client.redirect_uris,
            scope: client.scope.iter().collect(),
            partner: client.owner_id,
            state: Word(client.state),
            require_pkce: client.require_pkce,
            max_duration_days: client.max_duration_days,
            description: about.description,
            country: about.country,
            logo_uri: about.logo_uri,
            terms_uri: about.terms_uri,
            client_uri: about.client_uri,
            contacts: about.contacts,
            created_at: seen.created_at.into(),
        }
    }
}

/// A recipient that was made, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientCreated {
    /// The recipient.
    recipient: RecipientBody,
    /// Its secret, shown this once: it is not kept.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

/// What came of a removal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientRemoved {
    /// How many connections the removal ends, those that it has ended already included. None of them is served any more
    /// once this is answered; each ends behind it.
    connections: i64,
    /// What happened, or would.
    outcome: RemovedWord,
}

/// What a removal comes to.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovedWord {
    /// It was removed now.
    Removed,
    /// It was removed before; nothing has changed.
    AlreadyRemoved,
    /// A dry run: it is there, and would be removed.
    WouldRemove,
}

const KIND: ClientKind = ClientKind::Recipient;

/// Recipients that a query looks for, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<RecipientBody>, AdminError> {
    let params = Params::query(query, &["partner", "state", "limit", "after"])?;
    let asked = Asked::of(ctx, "recipients", &params)?;
    let search = Clients {
        kind: KIND,
        partner: params.client("partner")?,
        state: params.word("state", ClientState::ALL, ClientState::as_str)?,
        after: asked.after(read_key)?,
        limit: asked.rows(),
    };
    asked.page(ctx, ctx.ask(&search).await?, key, RecipientBody::of)
}

/// One recipient, removed or not.
pub async fn show(ctx: &Ctx, id: &str) -> Result<RecipientBody, AdminError> {
    of(ctx, id_of(KIND, id)?).await
}

async fn of(ctx: &Ctx, id: ClientId) -> Result<RecipientBody, AdminError> {
    seen(ctx, KIND, id).await.map(RecipientBody::of)
}

/// The fields of a recipient to be made.
pub const FIELDS: [&str; 14] = [
    "name",
    "purpose_en",
    "purpose_fr",
    "redirect_uris",
    "scope",
    "partner",
    "require_pkce",
    "max_duration_days",
    "description",
    "country",
    "logo_uri",
    "terms_uri",
    "client_uri",
    "contacts",
];

/// Makes a recipient, of a partner or of nobody. It is registered with no provider yet.
pub async fn create(ctx: &Ctx, members: Members, actor: &Actor) -> Result<RecipientCreated, AdminError> {
    let members = members.known(&FIELDS)?;
    let partner = match members.text("partner")? {
        None => None,
        Some(id) => Some(partner(ctx, &id).await?),
    };
    let (recipient, client_secret) = create_for(ctx, partner, &members, actor).await?;
    Ok(RecipientCreated { recipient: of(ctx, recipient.client.id).await?, client_secret })
}

async fn partner(ctx: &Ctx, id: &str) -> Result<ClientId, AdminError> {
    let none = || AdminError::from(Invalid::new("partner", "names no partner"));
    let id = ClientId::parse(id).map_err(|_| none())?;
    let seen = ctx.ask(&ClientSeenById { kind: ClientKind::Partner, id }).await?;
    seen.map(|seen| seen.recipient.client.id).ok_or_else(none)
}

/// What may be changed of a recipient.
pub const CHANGES: [&str; 1] = ["redirect_uris"];

/// Replaces the redirect URIs of a recipient.
pub async fn update(
    ctx: &Ctx,
    id: &str,
    members: Members,
    actor: Actor,
) -> Result<RecipientBody, AdminError> {
    let client_id = id_of(KIND, id)?;
    of(ctx, client_id.clone()).await?;
    let members = members.known(&CHANGES)?;
    if replace_uris(ctx, client_id.clone(), &members, actor).await? {
        of(ctx, client_id).await
    } else {
        Err(nobody(KIND))
    }
}

/// Gives a recipient another secret: the old one and the recipient's own tokens end, its connections live on.
pub async fn regenerate(ctx: &Ctx, id: &str, actor: Actor) -> Result<SecretIssued, AdminError> {
    client::regenerate(ctx, KIND, id, actor).await
}

/// Holds a recipient or lets it go on: tokens and data are refused, nothing is destroyed.
pub async fn hold(ctx: &Ctx, id: &str, held: bool, actor: Actor) -> Result<RecipientBody, AdminError> {
    client::hold(ctx, KIND, id, held, actor).await.map(RecipientBody::of)
}

/// Removes a recipient with all that it has, or says what that would come to.
pub async fn remove(
    ctx: &Ctx,
    id: &str,
    query: Option<&str>,
    actor: Actor,
) -> Result<RecipientRemoved, AdminError> {
    let dry = dry_run(query)?;
    let before = of(ctx, id_of(KIND, id)?).await?;
    let client_id = before.client_id;
    let ends_with = EndsWith { client_id: client_id.clone() };
    if dry {
        let closed = before.state.0 == ClientState::Closed;
        let outcome = if closed { RemovedWord::AlreadyRemoved } else { RemovedWord::WouldRemove };
        return Ok(RecipientRemoved { connections: ctx.ask(&ends_with).await?, outcome });
    }
    let outcome = match remove_client(ctx, Whose::any(KIND, client_id), actor).await? {
        RemovedClient::Removed => RemovedWord::Removed,
        RemovedClient::Already => RemovedWord::AlreadyRemoved,
        RemovedClient::Unknown => return Err(nobody(KIND)),
    };
    // Behind the removal, which does not wait for so many rows: nothing can come to be any more.
    Ok(RecipientRemoved { connections: ctx.ask(&ends_with).await?, outcome })
}
