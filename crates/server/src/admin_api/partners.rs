//! Partners: created, read, suspended, reinstated, and given new secrets.

use domain::Secret;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::query::{ClientSummary, ListClients};

use super::clients::{self, SecretIssued, cursor_key, load_client, parse_id, parse_key};
use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::context::RequestContext;
use crate::recipients;
use crate::request::RequestBody;
use crate::response::{EnumValue, Time, exposed};

const KIND: ClientKind = ClientKind::Partner;

/// A partner: a client that manages recipients and never receives data itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Partner")]
pub struct PartnerBody {
    #[schemars(with = "String")]
    client_id: ClientId,
    name: String,
    state: EnumValue<ClientState>,
    created_at: Time,
}

impl PartnerBody {
    fn from_summary(summary: ClientSummary) -> Self {
        let client = summary.recipient.client;
        Self {
            client_id: client.id,
            name: client.name,
            state: EnumValue(client.state),
            created_at: summary.created_at.into(),
        }
    }
}

/// A new partner, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartnerCreated {
    partner: PartnerBody,
    /// The secret, returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

/// A partner to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePartnerRequest {
    #[schemars(length(min = 1, max = 256))]
    name: String,
}

impl RequestBody for CreatePartnerRequest {}

/// Lists partners, newest first.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<PartnerBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page = PageRequest::from_params(ctx, "partners", &params)?;
    let (after, limit) = (page.parse_after(parse_key)?, page.row_limit());
    let rows = ctx.ask(&ListClients { kind: KIND, partner: None, state: None, after, limit }).await?;
    page.build_page(ctx, rows, cursor_key, PartnerBody::from_summary)
}

/// Returns one partner.
pub async fn show(ctx: &RequestContext, [id]: &[String; 1]) -> Result<PartnerBody, AdminError> {
    load_partner(ctx, parse_id(KIND, id)?).await
}

async fn load_partner(ctx: &RequestContext, id: ClientId) -> Result<PartnerBody, AdminError> {
    load_client(ctx, KIND, id).await.map(PartnerBody::from_summary)
}

/// Creates a partner.
pub async fn create(
    ctx: &RequestContext,
    request: CreatePartnerRequest,
    actor: Actor,
) -> Result<PartnerCreated, AdminError> {
    let credentials = recipients::create_partner(ctx, request.name, None, &actor).await?;
    Ok(PartnerCreated {
        partner: load_partner(ctx, credentials.client_id).await?,
        client_secret: credentials.client_secret,
    })
}

/// Replaces the secret of a partner.
pub async fn rotate_secret(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    clients::rotate_secret(ctx, KIND, id, actor).await
}

/// Suspends a partner. Its recipients and their connections are not affected.
pub async fn suspend(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<PartnerBody, AdminError> {
    clients::set_suspended(ctx, KIND, id, true, actor).await.map(PartnerBody::from_summary)
}

/// Makes a suspended partner active again.
pub async fn reinstate(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<PartnerBody, AdminError> {
    clients::set_suspended(ctx, KIND, id, false, actor).await.map(PartnerBody::from_summary)
}
