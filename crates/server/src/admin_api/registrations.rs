//! Requests, lists, reads, approves, activates, rejects, suspends and reinstates registrations of recipients with
//! providers.

use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::registration::RegistrationState;
use domain::rule::validation::ValidationError;
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::query::{GetRegistrationSummary, ListRegistrations, RegistrationSummary, SEARCH_WINDOW};

use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::context::RequestContext;
use crate::recipients::{self, RegistrationPair, UpstreamClientDetails, ensure_pair_limit};
use crate::request::{DUPLICATE_FIELD, IntegerList, RequestBody, StringList};
use crate::response::{EnumValue, Time};

const NOT_FOUND: AdminError = AdminError::NotFound("registration");

/// The registration of a recipient with a provider.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
pub struct AdminRegistrationBody {
    /// The id of the recipient.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// The name of the recipient that customers see.
    client_name: String,
    #[schemars(with = "i64")]
    provider_id: ProviderId,
    provider_name: String,
    /// The id of the partner that manages the recipient, if there is one.
    #[schemars(with = "Option<String>")]
    partner: Option<ClientId>,
    state: EnumValue<RegistrationState>,
    /// The reason for the rejection or suspension.
    reason: Option<String>,
    requested_at: Time,
}

impl AdminRegistrationBody {
    fn from_summary(summary: RegistrationSummary) -> Self {
        let (named, partner) = (summary.named_registration, summary.partner);
        let registration = named.registration;
        Self {
            client_id: registration.client_id,
            client_name: named.client_name,
            provider_id: registration.provider_id,
            provider_name: named.provider.name,
            partner,
            state: EnumValue(registration.state),
            reason: registration.reason,
            requested_at: registration.requested_at.into(),
        }
    }
}

/// The response to a request for registrations: the registrations that were created.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestedRegistrations {
    /// The registrations, one for each pair of a recipient and a provider.
    items: Vec<AdminRegistrationBody>,
}

/// A request for the registration of each recipient with each provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestRegistrationsRequest {
    /// The ids of the recipients. A request may have at most 1,000 pairs of a recipient and a provider.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    client_ids: StringList,
    /// The ids of the providers. A request may have at most 1,000 pairs of a recipient and a provider.
    #[schemars(length(min = 1), extend("uniqueItems" = true, "items" = {"type": "integer", "minimum": 1}))]
    provider_ids: IntegerList,
}

impl RequestBody for RequestRegistrationsRequest {}

impl RequestRegistrationsRequest {
    fn validate(self) -> Result<(Vec<ClientId>, Vec<ProviderId>), ValidationError> {
        let client_id = |text: String| ClientId::parse(&text).ok();
        let clients = parse_items("client_ids", "must be a client's id", self.client_ids.0, client_id)?;
        let provider_id = |id: i64| (id > 0).then(|| ProviderId::new(id));
        let expected = "must be a positive integer";
        let providers = parse_items("provider_ids", expected, self.provider_ids.0, provider_id)?;
        ensure_pair_limit("client_ids", clients.len(), providers.len())?;
        Ok((clients, providers))
    }
}

/// Parses the items of a list. An empty list, an invalid item or a duplicate item is an error.
fn parse_items<F, T: PartialEq>(
    field: &str,
    expected: &str,
    items: Vec<F>,
    parse: impl Fn(F) -> Option<T>,
) -> Result<Vec<T>, ValidationError> {
    if items.is_empty() {
        return Err(ValidationError::for_missing_field(field));
    }
    let mut parsed = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = || format!("{field}[{index}]");
        let item = parse(item).ok_or_else(|| ValidationError::new(path(), expected))?;
        if parsed.contains(&item) {
            return Err(ValidationError::new(path(), DUPLICATE_FIELD));
        }
        parsed.push(item);
    }
    Ok(parsed)
}

/// The request to activate a registration. The client id is required if the provider has a client for each registration, and must be
/// absent otherwise.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateRegistrationRequest {
    /// The client id that the provider issued for this recipient.
    #[schemars(regex(pattern = "^[ -~]*$"), length(max = 2048))]
    upstream_client_id: Option<String>,
    /// The secret of that client, if the hub authenticates with it (`upstream_client` `registration`). It is encrypted before it
    /// is stored.
    #[schemars(regex(pattern = "^[ -~]*$"), length(max = 2048))]
    upstream_client_secret: Option<String>,
}

impl RequestBody for ActivateRegistrationRequest {
    const REQUIRED: bool = false;
}

impl ActivateRegistrationRequest {
    /// Ensures that a secret is given only together with an id.
    fn validate(self) -> Result<Option<UpstreamClientDetails>, ValidationError> {
        match (self.upstream_client_id, self.upstream_client_secret) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ValidationError::for_missing_field("upstream_client_id")),
            (Some(id), secret) => {
                Ok(Some(UpstreamClientDetails { id, secret: secret.map(Secret::new), management: None }))
            }
        }
    }
}

/// The request to reject a registration, with the reason.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectRegistrationRequest {
    #[schemars(length(min = 1, max = 500))]
    reason: String,
}

impl RequestBody for RejectRegistrationRequest {}

/// The request to suspend a registration, with an optional reason.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendRegistrationRequest {
    #[schemars(length(max = 500))]
    reason: Option<String>,
}

impl RequestBody for SuspendRegistrationRequest {
    const REQUIRED: bool = false;
}

fn parse_pair([client_id, provider_id]: &[String; 2]) -> Result<RegistrationPair, AdminError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NOT_FOUND)?;
    Ok(RegistrationPair { client_id, provider_id: ProviderId::parse(provider_id).ok_or(NOT_FOUND)? })
}

fn cursor_key(summary: &RegistrationSummary) -> String {
    let registration = &summary.named_registration.registration;
    format!("{}|{}|{}", registration.requested_at.millis(), registration.provider_id, registration.client_id)
}

/// Parses the sort key of a registration. The separator occurs neither in the numbers nor in an id.
fn parse_key(text: &str) -> Option<(Timestamp, ClientId, ProviderId)> {
    let mut parts = text.splitn(3, '|');
    let time = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let provider_id = ProviderId::parse(parts.next()?)?;
    Some((time, ClientId::parse(parts.next()?).ok()?, provider_id))
}

/// Lists the registrations that match a query, newest first.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminRegistrationBody>, AdminError> {
    let params =
        Params::from_query(query, &["client_id", "provider_id", "partner", "state", "limit", "after"])?;
    let page = PageRequest::from_params(ctx, "registrations", &params)?;
    let search = ListRegistrations {
        client_id: params.client_id("client_id")?,
        provider_id: params.provider_id()?,
        partner: params.client_id("partner")?,
        state: params.parse_enum("state", RegistrationState::ALL, RegistrationState::as_str)?,
        after: page.parse_after(parse_key)?,
        limit: page.row_limit(),
        window: SEARCH_WINDOW,
    };
    page.build_page(ctx, ctx.ask(&search).await?, cursor_key, AdminRegistrationBody::from_summary)
}

/// Returns the registration of one recipient with one provider.
pub async fn show(ctx: &RequestContext, ids: &[String; 2]) -> Result<AdminRegistrationBody, AdminError> {
    load_registration(ctx, parse_pair(ids)?).await
}

async fn load_registration(
    ctx: &RequestContext,
    RegistrationPair { client_id, provider_id }: RegistrationPair,
) -> Result<AdminRegistrationBody, AdminError> {
    let summary = ctx.ask(&GetRegistrationSummary { client_id, provider_id }).await?;
    summary.map(AdminRegistrationBody::from_summary).ok_or(NOT_FOUND)
}

/// Requests the registration of each recipient with each provider, all-or-nothing. Returns the new registrations.
pub async fn request(
    ctx: &RequestContext,
    request: RequestRegistrationsRequest,
    actor: Actor,
) -> Result<RequestedRegistrations, AdminError> {
    let (clients, providers) = request.validate()?;
    let pairs = (clients.clone(), providers.clone());
    recipients::request_registrations(ctx, None, pairs, actor).await??;
    let mut items = Vec::new();
    for client_id in &clients {
        for provider_id in &providers {
            let pair = RegistrationPair { client_id: client_id.clone(), provider_id: *provider_id };
            items.push(load_registration(ctx, pair).await?);
        }
    }
    Ok(RequestedRegistrations { items })
}

/// Approves a registration. It then waits for its activation, or for the provider's response to the dynamic
/// registration.
pub async fn approve(
    ctx: &RequestContext,
    ids: &[String; 2],
    actor: Actor,
) -> Result<AdminRegistrationBody, AdminError> {
    let pair = parse_pair(ids)?;
    recipients::approve(ctx, &pair, &actor).await?;
    load_registration(ctx, pair).await
}

/// Activates a registration. The operator confirms with this that the provider has set up the recipient.
pub async fn activate(
    ctx: &RequestContext,
    ids: &[String; 2],
    request: ActivateRegistrationRequest,
    actor: Actor,
) -> Result<AdminRegistrationBody, AdminError> {
    let pair = parse_pair(ids)?;
    recipients::activate(ctx, &pair, request.validate()?, &actor).await?;
    load_registration(ctx, pair).await
}

/// Rejects a registration. The partner can read the reason.
pub async fn reject(
    ctx: &RequestContext,
    ids: &[String; 2],
    request: RejectRegistrationRequest,
    actor: Actor,
) -> Result<AdminRegistrationBody, AdminError> {
    let pair = parse_pair(ids)?;
    recipients::reject(ctx, &pair, request.reason, &actor).await?;
    load_registration(ctx, pair).await
}

/// Suspends a registration: token requests and reads are rejected, but its connections do not end.
pub async fn suspend(
    ctx: &RequestContext,
    ids: &[String; 2],
    request: SuspendRegistrationRequest,
    actor: Actor,
) -> Result<AdminRegistrationBody, AdminError> {
    let pair = parse_pair(ids)?;
    recipients::suspend(ctx, &pair, request.reason, &actor).await?;
    load_registration(ctx, pair).await
}

/// Makes a suspended registration active again, so that the recipient can read data from the provider.
pub async fn reinstate(
    ctx: &RequestContext,
    ids: &[String; 2],
    actor: Actor,
) -> Result<AdminRegistrationBody, AdminError> {
    let pair = parse_pair(ids)?;
    recipients::reinstate(ctx, &pair, &actor).await?;
    load_registration(ctx, pair).await
}
