//! Lists, creates, changes and removes recipients for operators. The module `clients` contains the operations that
//! recipients share with partners.

use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientProfile, ClientState, LocalizedText};
use domain::rule::validation::ValidationError;
use domain::{DataCluster, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use store::command::{ClientSelector, RemoveClientOutcome};
use store::query::{
    ClientSummary, CountConnectionsEndedByRemoval, GetClientSummary, ListClients, SEARCH_WINDOW,
};

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
    /// The redirect URIs, which are compared as exact strings (RFC 9700 §2.1).
    redirect_uris: Vec<String>,
    /// The data clusters that the recipient may request.
    scope: Vec<DataCluster>,
    /// The id of the partner that manages the recipient; `null` if only operators manage it.
    #[schemars(with = "Option<String>")]
    partner: Option<ClientId>,
    state: EnumValue<ClientState>,
    /// Whether authorization requests must use PKCE (RFC 7636).
    require_pkce: bool,
    /// The longest consent that the recipient requests, in days; `null` for the maximum of the hub.
    max_duration_days: Option<u16>,
    description: Option<String>,
    /// The country of registration: `CA` or `US`.
    country: Option<String>,
    /// The URL of the recipient's logo.
    logo_uri: Option<String>,
    /// The URL of the recipient's terms of service.
    terms_uri: Option<String>,
    /// The URL of the recipient's website.
    client_uri: Option<String>,
    /// The e-mail addresses of the recipient's contact persons.
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

/// The response to the creation of a recipient: the recipient and its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientCreated {
    recipient: AdminRecipientBody,
    /// The client secret, returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

/// The result of a request to remove a recipient.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecipientRemoved {
    /// The number of connections that the removal ends or has already ended. They end in the background, but after this
    /// response their tokens are rejected.
    connections: i64,
    outcome: RemoveRecipientOutcome,
}

/// The outcome of a request to remove a recipient.
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

/// The request to create a recipient.
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
    /// The redirect URIs: HTTPS without a fragment; in a sandbox also HTTP on loopback. They are compared as exact
    /// strings.
    #[schemars(schema_with = "redirect_uris_schema")]
    redirect_uris: StringList,
    /// The data clusters that the recipient may request.
    #[schemars(schema_with = "scope_schema")]
    scope: StringList,
    /// The id of the partner that manages the recipient; absent if only operators manage it.
    partner: Option<String>,
    /// Whether authorization requests must use PKCE (RFC 7636).
    require_pkce: Option<bool>,
    /// The longest consent that the recipient requests, in days; absent for the maximum of the hub.
    #[schemars(range(min = 1, max = 366))]
    max_duration_days: Option<u64>,
    #[schemars(length(max = 512))]
    description: Option<String>,
    #[schemars(extend("enum" = ["CA", "US", "", null]))]
    country: Option<String>,
    /// The URL of the recipient's logo.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    logo_uri: Option<String>,
    /// The URL of the recipient's terms of service.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    terms_uri: Option<String>,
    /// The URL of the recipient's website.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    client_uri: Option<String>,
    /// The e-mail addresses of the recipient's contact persons.
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
    /// Converts the request to a draft, which [`recipients::create_recipient`] validates.
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
            // A number that does not fit into the type becomes the maximum, which the validation rejects with the same
            // error as every number above the limit.
            max_duration_days: self.max_duration_days.map(|days| u16::try_from(days).unwrap_or(u16::MAX)),
        }
    }
}

/// The request to replace the redirect URIs of a recipient.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRecipientRequest {
    /// The redirect URIs: HTTPS without a fragment; in a sandbox also HTTP on loopback. They are compared as exact
    /// strings.
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
        window: SEARCH_WINDOW,
    };
    page.build_page(ctx, ctx.ask(&search).await?, cursor_key, AdminRecipientBody::from_summary)
}

/// Creates a recipient that is managed by a partner or only by operators. It is not registered with any provider yet.
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

/// Replaces the redirect URIs of a recipient. The previous ones are rejected from then on.
pub async fn update(
    ctx: &RequestContext,
    [id]: &[String; 1],
    request: UpdateRecipientRequest,
    actor: Actor,
) -> Result<AdminRecipientBody, AdminError> {
    let client_id = parse_id::<AdminRecipientBody>(id)?;
    // The recipient is loaded before the redirect URIs are validated, because an unknown recipient is the more useful
    // error.
    load::<AdminRecipientBody>(ctx, client_id.clone()).await?;
    let selector = ClientSelector::for_kind(KIND, client_id.clone());
    if recipients::replace_redirect_uris(ctx, selector, request.redirect_uris.0, actor).await? {
        load(ctx, client_id).await
    } else {
        Err(not_found::<AdminRecipientBody>())
    }
}

/// Removes a recipient; its connections end in the background. With `dry_run=true` in the query, only returns what
/// would happen.
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
    // The connections are counted after the transaction of the removal, because reading many rows would make it slow.
    // The count is still exact, because a removed recipient gets no new connections.
    Ok(RecipientRemoved { connections: ctx.ask(&count_connections).await?, outcome })
}
