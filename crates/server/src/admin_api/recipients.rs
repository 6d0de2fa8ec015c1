//! Recipients: listed, created, changed and removed. The other operations are those of every client.

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientProfile, ClientState, LocalizedText};
use domain::rule::validation::ValidationError;
use domain::{DataCluster, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use store::command::{ClientSelector, RemoveClientOutcome};
use store::query::{ClientSummary, CountConnectionsEndedByRemoval, GetClientSummary, ListClients};

use super::clients::{ClientBody, cursor_key, load, not_found, parse_id, parse_key};
use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::{Params, parse_dry_run};
use crate::context::RequestContext;
use crate::recipients::{self, RecipientDraft, redirect_uris_schema};
use crate::request::{RequestBody, StringList};
use crate::response::{EnumValue, Time, exposed};

const KIND: ClientKind = ClientKind::Recipient;

/// A recipient: an app that receives data with the consent of the customer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Recipient")]
pub struct AdminRecipientBody {
    #[schemars(with = "String")]
    client_id: ClientId,
    /// The name that customers see.
    name: String,
    /// The purpose of reading data, in English, as customers see it.
    purpose_en: String,
    /// The purpose of reading data, in French, as customers see it.
    purpose_fr: String,
    /// The redirect URIs, compared as exact strings (RFC 9700 §2.1).
    redirect_uris: Vec<String>,
    /// The data clusters that it may request.
    scope: Vec<DataCluster>,
    /// The partner that manages it; `null` if only operators manage it.
    #[schemars(with = "Option<String>")]
    partner: Option<ClientId>,
    state: EnumValue<ClientState>,
    /// Whether authorization requests must use PKCE (RFC 7636).
    require_pkce: bool,
    /// The longest consent that it requests, in days; `null` for the maximum of the hub.
    max_duration_days: Option<u16>,
    description: Option<String>,
    /// The country of registration: `CA` or `US`.
    country: Option<String>,
    /// The URL of its logo.
    logo_uri: Option<String>,
    /// The URL of its terms of service.
    terms_uri: Option<String>,
    /// The URL of its website.
    client_uri: Option<String>,
    /// The e-mail addresses of its contact persons.
    contacts: Vec<String>,
    created_at: Time,
}

impl ClientBody for AdminRecipientBody {
    const KIND: ClientKind = KIND;

    fn from_summary(summary: ClientSummary) -> Self {
        let (client, profile) = (summary.recipient.client, summary.recipient.client_profile);
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
            description: profile.description,
            country: profile.country,
            logo_uri: profile.logo_uri,
            terms_uri: profile.terms_uri,
            client_uri: profile.client_uri,
            contacts: profile.contacts,
            created_at: summary.created_at.into(),
        }
    }
}

/// A new recipient, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientCreated {
    recipient: AdminRecipientBody,
    /// The secret, returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

/// The result of a removal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientRemoved {
    /// The number of connections that the removal ends, including those that it has ended already. None of them is
    /// served after this response; each of them ends in the background.
    connections: i64,
    outcome: RemoveRecipientOutcome,
}

/// The outcome of a removal.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoveRecipientOutcome {
    /// The recipient was removed by this request.
    Removed,
    /// The recipient was removed before; nothing has changed.
    AlreadyRemoved,
    /// Dry run: the recipient exists and would be removed.
    WouldRemove,
}

/// A recipient to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRecipientRequest {
    #[schemars(length(min = 1, max = 256))]
    name: String,
    /// The purpose of reading data, in English, as customers see it.
    #[schemars(length(min = 1, max = 300))]
    purpose_en: String,
    /// The purpose of reading data, in French, as customers see it.
    #[schemars(length(min = 1, max = 300))]
    purpose_fr: String,
    /// HTTPS without a fragment; HTTP on loopback in a sandbox. Compared as exact strings.
    #[schemars(schema_with = "redirect_uris_schema")]
    redirect_uris: StringList,
    /// The data clusters that it may request.
    #[schemars(schema_with = "scope_schema")]
    scope: StringList,
    /// The partner that manages it.
    partner: Option<String>,
    /// Whether authorization requests must use PKCE (RFC 7636).
    require_pkce: Option<bool>,
    /// The longest consent that it requests, in days.
    #[schemars(range(min = 1, max = 366))]
    max_duration_days: Option<u64>,
    #[schemars(length(max = 512))]
    description: Option<String>,
    #[schemars(extend("enum" = ["CA", "US", "", null]))]
    country: Option<String>,
    /// The URL of its logo.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    logo_uri: Option<String>,
    /// The URL of its terms of service.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    terms_uri: Option<String>,
    /// The URL of its website.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    client_uri: Option<String>,
    /// The e-mail addresses of its contact persons.
    #[schemars(length(max = 20), extend("items" = {"type": "string", "format": "email"}))]
    contacts: Option<StringList>,
}

impl RequestBody for CreateRecipientRequest {}

fn scope_schema(_: &mut SchemaGenerator) -> Schema {
    let clusters: Vec<_> = DataCluster::ALL.iter().map(|cluster| cluster.as_str()).collect();
    json_schema!({"type": "array", "items": {"type": "string", "enum": clusters},
        "contains": {"const": "ACCOUNT_BASIC"}})
}

impl CreateRecipientRequest {
    /// Returns a draft that [`recipients::create_recipient`] validates.
    fn into_draft(self, partner: Option<ClientId>) -> RecipientDraft {
        RecipientDraft {
            name: self.name,
            purpose: Some(LocalizedText { en: self.purpose_en, fr: self.purpose_fr }),
            scope: self.scope.0.join(" "),
            redirect_uris: self.redirect_uris.0,
            profile: ClientProfile {
                description: self.description,
                country: self.country,
                logo_uri: self.logo_uri,
                terms_uri: self.terms_uri,
                client_uri: self.client_uri,
                contacts: self.contacts.map(|list| list.0).unwrap_or_default(),
            },
            partner,
            require_pkce: self.require_pkce.unwrap_or(false),
            // Every number above the limit gets the same error, even one that does not fit into the type.
            max_duration_days: self.max_duration_days.map(|days| u16::try_from(days).unwrap_or(u16::MAX)),
        }
    }
}

/// The redirect URIs that replace those of a recipient.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRecipientRequest {
    /// HTTPS without a fragment; HTTP on loopback in a sandbox. Compared as exact strings.
    #[schemars(schema_with = "redirect_uris_schema")]
    redirect_uris: StringList,
}

impl RequestBody for UpdateRecipientRequest {}

/// Lists the recipients that match a query, newest first.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminRecipientBody>, AdminError> {
    let params = Params::from_query(query, &["partner", "state", "limit", "after"])?;
    let page = PageRequest::from_params(ctx, "recipients", &params)?;
    let search = ListClients {
        kind: KIND,
        partner: params.client_id("partner")?,
        state: params.parse_enum("state", ClientState::ALL, ClientState::as_str)?,
        after: page.parse_after(parse_key)?,
        limit: page.row_limit(),
    };
    page.build_page(ctx, ctx.ask(&search).await?, cursor_key, AdminRecipientBody::from_summary)
}

/// Creates a recipient, managed by a partner or only by operators. It is not registered with any provider yet.
pub async fn create(
    ctx: &RequestContext,
    request: CreateRecipientRequest,
    actor: Actor,
) -> Result<RecipientCreated, AdminError> {
    let partner = match &request.partner {
        None => None,
        Some(id) => Some(resolve_partner(ctx, id).await?),
    };
    let draft = request.into_draft(partner);
    let (recipient, client_secret) = recipients::create_recipient(ctx, draft, None, &actor).await?;
    Ok(RecipientCreated { recipient: load(ctx, recipient.client.id).await?, client_secret })
}

async fn resolve_partner(ctx: &RequestContext, id: &str) -> Result<ClientId, AdminError> {
    let unknown = || AdminError::from(ValidationError::new("partner", "names no partner"));
    let id = ClientId::parse(id).map_err(|_| unknown())?;
    let summary = ctx.ask(&GetClientSummary { kind: ClientKind::Partner, id }).await?;
    summary.map(|summary| summary.recipient.client.id).ok_or_else(unknown)
}

/// Replaces the redirect URIs of a recipient.
pub async fn update(
    ctx: &RequestContext,
    [id]: &[String; 1],
    request: UpdateRecipientRequest,
    actor: Actor,
) -> Result<AdminRecipientBody, AdminError> {
    let client_id = parse_id::<AdminRecipientBody>(id)?;
    // Before the redirect URIs are validated: an unknown recipient is the more useful error.
    load::<AdminRecipientBody>(ctx, client_id.clone()).await?;
    let selector = ClientSelector::for_kind(KIND, client_id.clone());
    if recipients::replace_redirect_uris(ctx, selector, request.redirect_uris.0, actor).await? {
        load(ctx, client_id).await
    } else {
        Err(not_found::<AdminRecipientBody>())
    }
}

/// Removes a recipient and ends its connections; a dry run only reports what would happen.
pub async fn remove(
    ctx: &RequestContext,
    id: &str,
    query: Option<&str>,
    actor: Actor,
) -> Result<RecipientRemoved, AdminError> {
    let dry_run = parse_dry_run(query)?;
    let recipient: AdminRecipientBody = load(ctx, parse_id::<AdminRecipientBody>(id)?).await?;
    let client_id = recipient.client_id;
    let count_connections = CountConnectionsEndedByRemoval { client_id: client_id.clone() };
    let outcome = if dry_run {
        match recipient.state.0 {
            ClientState::Closed => RemoveRecipientOutcome::AlreadyRemoved,
            ClientState::Active | ClientState::Suspended => RemoveRecipientOutcome::WouldRemove,
        }
    } else {
        match recipients::remove_client(ctx, ClientSelector::for_kind(KIND, client_id), actor).await? {
            RemoveClientOutcome::Removed => RemoveRecipientOutcome::Removed,
            RemoveClientOutcome::AlreadyRemoved => RemoveRecipientOutcome::AlreadyRemoved,
            RemoveClientOutcome::NotFound => return Err(not_found::<AdminRecipientBody>()),
        }
    };
    // Counted after the removal and outside of its transaction, which must not wait for so many rows. The count is
    // still exact: a removed recipient gets no new connections.
    Ok(RecipientRemoved { connections: ctx.ask(&count_connections).await?, outcome })
}
