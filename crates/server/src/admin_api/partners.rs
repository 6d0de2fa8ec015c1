//! Lists and creates partners. The module `clients` contains the operations that partners share with recipients.

use domain::Secret;
use domain::id::ClientId;
use domain::model::audit_event::Actor;
use domain::model::client::{ClientKind, ClientState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::query::{ClientSummary, ListClients, SEARCH_WINDOW};

use super::clients::{ClientBody, cursor_key, load, parse_key};
use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::context::RequestContext;
use crate::recipients;
use crate::request::RequestBody;
use crate::response::{EnumValue, Time, exposed};

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

impl ClientBody for PartnerBody {
    const KIND: ClientKind = ClientKind::Partner;

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

/// The response to the creation of a partner: the partner and its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartnerCreated {
    partner: PartnerBody,
    /// The client secret, returned only once.
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}

/// The request to create a partner.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePartnerRequest {
    #[schemars(length(min = 1, max = 256))]
    name: String,
}

impl RequestBody for CreatePartnerRequest {}

/// Lists all partners, newest first, including suspended ones.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<PartnerBody>, AdminError> {
    let params = Params::from_query(query, &["limit", "after"])?;
    let page = PageRequest::from_params(ctx, "partners", &params)?;
    let (after, limit) = (page.parse_after(parse_key)?, page.row_limit());
    let kind = PartnerBody::KIND;
    let search = ListClients { kind, partner: None, state: None, after, limit, window: SEARCH_WINDOW };
    let rows = ctx.ask(&search).await?;
    page.build_page(ctx, rows, cursor_key, PartnerBody::from_summary)
}

/// Creates a partner. Returns its secret, which cannot be read again.
pub async fn create(
    ctx: &RequestContext,
    request: CreatePartnerRequest,
    actor: Actor,
) -> Result<PartnerCreated, AdminError> {
    let credentials = recipients::create_partner(ctx, request.name, None, &actor).await?;
    Ok(PartnerCreated {
        partner: load(ctx, credentials.client_id).await?,
        client_secret: credentials.client_secret,
    })
}
