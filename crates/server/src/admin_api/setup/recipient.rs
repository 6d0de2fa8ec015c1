//! Recipients: made, looked at, changed, held, removed.

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use domain::rule::validation::ValidationError;
use domain::{DataCluster, Secret};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{ClientSelector, RemoveClientOutcome};
use store::query::{ClientSummary, CountConnectionsEndedByRemoval, GetClientSummary, ListClients};

use super::SecretIssued;
use super::client::{self, cursor_key, load_client, not_found, parse_id, parse_key};
use crate::admin_api::page::{PageRequest, parse_dry_run};
use crate::admin_api::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::partner_api::{JsonMembers, create_recipient_as_operator, remove_client, replace_uris};
use crate::response::{EnumValue, Time, exposed};

/// A recipient: an app that receives data with the customer's consent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Recipient")]
pub struct AdminRecipientBody {
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
    state: EnumValue<ClientState>,
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

impl AdminRecipientBody {
    fn from_summary(summary: ClientSummary) -> Self {
        let (client, about) = (summary.recipient.client, summary.recipient.client_profile);
        Self {
            client_id: client.id,
            name: client.name,
            purpose_en: client.purpose.en,
            purpose_fr: client.purpose.fr,
            redirect_uris: client.redirect_uris,
            scope: client.scope.iter().collect(),
            partner: client.owner_id,
            state: EnumValue(client.state),
            require_pkce: client.require_pkce,
            max_duration_days: client.max_duration_days,
            description: about.description,
            country: about.country,
            logo_uri: about.logo_uri,
            terms_uri: about.terms_uri,
            client_uri: about.client_uri,
            contacts: about.contacts,
            created_at: summary.created_at.into(),
        }
    }
}

/// A recipient that was made, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientCreated {
    /// The recipient.
    recipient: AdminRecipientBody,
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
    outcome: RemoveRecipientOutcome,
}

/// What a removal comes to.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoveRecipientOutcome {
    /// It was removed now.
    Removed,
    /// It was removed before; nothing has changed.
    AlreadyRemoved,
    /// A dry run: it is there, and would be removed.
    WouldRemove,
}

const KIND: ClientKind = ClientKind::Recipient;

/// Recipients that a query looks for, the newest first.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminRecipientBody>, AdminError> {
    let params = Params::from_query(query, &["partner", "state", "limit", "after"])?;
    let page_request = PageRequest::from_params(ctx, "recipients", &params)?;
    let search = ListClients {
        kind: KIND,
        partner: params.client_id("partner")?,
        state: params.parse_enum("state", ClientState::ALL, ClientState::as_str)?,
        after: page_request.parse_after(parse_key)?,
        limit: page_request.row_limit(),
    };
    page_request.build_page(ctx, ctx.ask(&search).await?, cursor_key, AdminRecipientBody::from_summary)
}

/// One recipient, removed or not.
pub async fn show(ctx: &RequestContext, id: &str) -> Result<AdminRecipientBody, AdminError> {
    load_recipient(ctx, parse_id(KIND, id)?).await
}

async fn load_recipient(ctx: &RequestContext, id: ClientId) -> Result<AdminRecipientBody, AdminError> {
    load_client(ctx, KIND, id).await.map(AdminRecipientBody::from_summary)
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
pub async fn create(
    ctx: &RequestContext,
    members: JsonMembers,
    actor: &Actor,
) -> Result<RecipientCreated, AdminError> {
    let members = members.reject_unknown(&FIELDS)?;
    let partner = match members.optional_string("partner")? {
        None => None,
        Some(id) => Some(resolve_partner(ctx, &id).await?),
    };
    let (recipient, client_secret) = create_recipient_as_operator(ctx, partner, &members, actor).await?;
    Ok(RecipientCreated { recipient: load_recipient(ctx, recipient.client.id).await?, client_secret })
}

async fn resolve_partner(ctx: &RequestContext, id: &str) -> Result<ClientId, AdminError> {
    let none = || AdminError::from(ValidationError::new("partner", "names no partner"));
    let id = ClientId::parse(id).map_err(|_| none())?;
    let summary = ctx.ask(&GetClientSummary { kind: ClientKind::Partner, id }).await?;
    summary.map(|seen| seen.recipient.client.id).ok_or_else(none)
}

/// What may be changed of a recipient.
pub const UPDATABLE_FIELDS: [&str; 1] = ["redirect_uris"];

/// Replaces the redirect URIs of a recipient.
pub async fn update(
    ctx: &RequestContext,
    id: &str,
    members: JsonMembers,
    actor: Actor,
) -> Result<AdminRecipientBody, AdminError> {
    let client_id = parse_id(KIND, id)?;
    load_recipient(ctx, client_id.clone()).await?;
    let members = members.reject_unknown(&UPDATABLE_FIELDS)?;
    if replace_uris(ctx, client_id.clone(), &members, actor).await? {
        load_recipient(ctx, client_id).await
    } else {
        Err(not_found(KIND))
    }
}

/// Gives a recipient another secret: the old one and the recipient's own tokens end, its connections live on.
pub async fn regenerate_secret(
    ctx: &RequestContext,
    id: &str,
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    client::regenerate_secret(ctx, KIND, id, actor).await
}

/// Holds a recipient or lets it go on: tokens and data are refused, nothing is destroyed.
pub async fn set_suspended(
    ctx: &RequestContext,
    id: &str,
    suspended: bool,
    actor: Actor,
) -> Result<AdminRecipientBody, AdminError> {
    client::set_suspended(ctx, KIND, id, suspended, actor).await.map(AdminRecipientBody::from_summary)
}

/// Removes a recipient with all that it has, or says what that would come to.
pub async fn remove(
    ctx: &RequestContext,
    id: &str,
    query: Option<&str>,
    actor: Actor,
) -> Result<RecipientRemoved, AdminError> {
    let dry = parse_dry_run(query)?;
    let before = load_recipient(ctx, parse_id(KIND, id)?).await?;
    let client_id = before.client_id;
    let count_connections = CountConnectionsEndedByRemoval { client_id: client_id.clone() };
    if dry {
        let closed = before.state.0 == ClientState::Closed;
        let outcome =
            if closed { RemoveRecipientOutcome::AlreadyRemoved } else { RemoveRecipientOutcome::WouldRemove };
        return Ok(RecipientRemoved { connections: ctx.ask(&count_connections).await?, outcome });
    }
    let outcome = match remove_client(ctx, ClientSelector::for_kind(KIND, client_id), actor).await? {
        RemoveClientOutcome::Removed => RemoveRecipientOutcome::Removed,
        RemoveClientOutcome::AlreadyRemoved => RemoveRecipientOutcome::AlreadyRemoved,
        RemoveClientOutcome::NotFound => return Err(not_found(KIND)),
    };
    // Behind the removal, which does not wait for so many rows: nothing can come to be any more.
    Ok(RecipientRemoved { connections: ctx.ask(&count_connections).await?, outcome })
}
