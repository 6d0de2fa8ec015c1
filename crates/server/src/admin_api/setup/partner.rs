//! Partners: made, looked at, held, given other secrets.

use domain::Secret;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use schemars::JsonSchema;
use serde::Serialize;
use store::query::{ClientSummary, ListClients};

use super::SecretIssued;
use super::client::{self, cursor_key, load_client, parse_id, parse_key};
use crate::admin_api::page::PageRequest;
use crate::admin_api::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::partner_api::{JsonMembers, NewPartner, register_partner};
use crate::response::{EnumValue, Time, exposed};

/// A partner: it manages recipients and never receives data itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Partner")]
pub struct PartnerBody {
    /// Its id.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// Its name.
    name: String,
    /// Whether it is served.
    state: EnumValue<ClientState>,
    /// When it was made.
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

/// A partner that was made, with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartnerCreated {
    /// The partner.
    partner: PartnerBody,
    /// Its secret, shown this once: it is not kept.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

const KIND: ClientKind = ClientKind::Partner;

/// Partners, the newest first.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<PartnerBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page_request = PageRequest::from_params(ctx, "partners", &params)?;
    let after = page_request.parse_after(parse_key)?;
    let rows = ctx
        .ask(&ListClients { kind: KIND, partner: None, state: None, after, limit: page_request.row_limit() })
        .await?;
    page_request.build_page(ctx, rows, cursor_key, PartnerBody::from_summary)
}

/// One partner.
pub async fn show(ctx: &RequestContext, id: &str) -> Result<PartnerBody, AdminError> {
    load_partner(ctx, parse_id(KIND, id)?).await
}

async fn load_partner(ctx: &RequestContext, id: ClientId) -> Result<PartnerBody, AdminError> {
    load_client(ctx, KIND, id).await.map(PartnerBody::from_summary)
}

/// The fields of a partner to be made.
pub const FIELDS: [&str; 1] = ["name"];

/// Makes a partner.
pub async fn create(
    ctx: &RequestContext,
    members: JsonMembers,
    actor: &Actor,
) -> Result<PartnerCreated, AdminError> {
    let name = members.reject_unknown(&FIELDS)?.required_string("name")?;
    let registered = register_partner(ctx, NewPartner { credentials: None, name }, actor).await?;
    Ok(PartnerCreated {
        partner: load_partner(ctx, registered.client_id).await?,
        client_secret: registered.client_secret,
    })
}

/// Gives a partner another secret: the old one and the partner's tokens end.
pub async fn regenerate_secret(
    ctx: &RequestContext,
    id: &str,
    actor: Actor,
) -> Result<SecretIssued, AdminError> {
    client::regenerate_secret(ctx, KIND, id, actor).await
}

/// Holds a partner or lets it go on. Its recipients and their connections are not touched.
pub async fn set_suspended(
    ctx: &RequestContext,
    id: &str,
    suspended: bool,
    actor: Actor,
) -> Result<PartnerBody, AdminError> {
    client::set_suspended(ctx, KIND, id, suspended, actor).await.map(PartnerBody::from_summary)
}
