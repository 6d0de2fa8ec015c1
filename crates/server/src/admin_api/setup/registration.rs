//! Registrations: looked at, asked for, and the steps that an operator takes.

use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::registration::RegistrationState;
use domain::rule::validation::ValidationError;
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::query::{GetRegistrationSummary, ListRegistrations, RegistrationSummary};

use crate::admin_api::page::PageRequest;
use crate::admin_api::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::partner_api::{
    JsonMembers, RegistrationPair, UpstreamClientDetails, activate, approve, ensure_pair_limit, reinstate,
    reject, submit_registrations, suspend,
};
use crate::response::{EnumValue, Time};

/// A recipient's admission to a provider.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
pub struct AdminRegistrationBody {
    /// The recipient.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// The recipient's name.
    client_name: String,
    /// The provider.
    #[schemars(with = "i64")]
    provider_id: ProviderId,
    /// The provider's name.
    provider_name: String,
    /// The partner that manages the recipient.
    #[schemars(with = "Option<String>")]
    partner: Option<ClientId>,
    /// Where it stands.
    state: EnumValue<RegistrationState>,
    /// Why it was turned down or is held.
    reason: Option<String>,
    /// When it was asked for.
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

/// The registrations that were asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestedRegistrations {
    /// One for each pair.
    items: Vec<AdminRegistrationBody>,
}

const NOT_FOUND: AdminError = AdminError::NotFound("registration");

fn parse_pair(client_id: &str, provider_id: &str) -> Result<RegistrationPair, AdminError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NOT_FOUND)?;
    Ok(RegistrationPair { client_id, provider_id: ProviderId::parse(provider_id).ok_or(NOT_FOUND)? })
}

fn cursor_key(summary: &RegistrationSummary) -> String {
    let registration = &summary.named_registration.registration;
    format!("{}|{}|{}", registration.requested_at.millis(), registration.provider_id, registration.client_id)
}

fn parse_key(text: &str) -> Option<(Timestamp, ClientId, ProviderId)> {
    let mut parts = text.splitn(3, '|');
    let time = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let provider_id = ProviderId::parse(parts.next()?)?;
    Some((time, ClientId::parse(parts.next()?).ok()?, provider_id))
}

/// Registrations that a query looks for, the newest first.
pub async fn list(
    ctx: &RequestContext,
    query: Option<&str>,
) -> Result<AdminPage<AdminRegistrationBody>, AdminError> {
    let params =
        Params::from_query(query, &["client_id", "provider_id", "partner", "state", "limit", "after"])?;
    let page_request = PageRequest::from_params(ctx, "registrations", &params)?;
    let search = ListRegistrations {
        client_id: params.client_id("client_id")?,
        provider_id: params.provider_id()?,
        partner: params.client_id("partner")?,
        state: params.parse_enum("state", RegistrationState::ALL, RegistrationState::as_str)?,
        after: page_request.parse_after(parse_key)?,
        limit: page_request.row_limit(),
    };
    page_request.build_page(ctx, ctx.ask(&search).await?, cursor_key, AdminRegistrationBody::from_summary)
}

/// One registration.
pub async fn show(
    ctx: &RequestContext,
    [client_id, provider_id]: &[String; 2],
) -> Result<AdminRegistrationBody, AdminError> {
    load_registration(ctx, &parse_pair(client_id, provider_id)?).await
}

async fn load_registration(
    ctx: &RequestContext,
    pair: &RegistrationPair,
) -> Result<AdminRegistrationBody, AdminError> {
    let RegistrationPair { client_id, provider_id } = pair.clone();
    let summary = ctx.ask(&GetRegistrationSummary { client_id, provider_id }).await?;
    summary.map(AdminRegistrationBody::from_summary).ok_or(NOT_FOUND)
}

/// The fields of a request for registrations.
pub const FIELDS: [&str; 2] = ["client_ids", "provider_ids"];

/// Asks for a registration of each recipient with each provider, all or none.
pub async fn request(
    ctx: &RequestContext,
    members: JsonMembers,
    actor: Actor,
) -> Result<RequestedRegistrations, AdminError> {
    let members = members.reject_unknown(&FIELDS)?;
    let client = |text: String| ClientId::parse(&text).ok();
    let clients = parse_unique_items(
        "client_ids",
        "must be a client's id",
        members.string_list("client_ids")?,
        client,
    )?;
    let provider = |id: i64| (id > 0).then(|| ProviderId::new(id));
    let expected = "must be a positive integer";
    let providers =
        parse_unique_items("provider_ids", expected, members.integer_list("provider_ids")?, provider)?;
    ensure_pair_limit("client_ids", clients.len(), providers.len())?;
    submit_registrations(ctx, None, (clients.clone(), providers.clone()), actor)
        .await?
        .map_err(AdminError::from)?;
    let mut items = Vec::new();
    for client_id in &clients {
        for provider_id in &providers {
            items.push(
                load_registration(
                    ctx,
                    &RegistrationPair { client_id: client_id.clone(), provider_id: *provider_id },
                )
                .await?,
            );
        }
    }
    Ok(RequestedRegistrations { items })
}

/// Items of a list, each of its kind and named once.
fn parse_unique_items<F, T: PartialEq>(
    field: &str,
    expected: &str,
    items: Vec<F>,
    read: impl Fn(F) -> Option<T>,
) -> Result<Vec<T>, ValidationError> {
    if items.is_empty() {
        return Err(ValidationError::for_missing_field(field));
    }
    let mut all = Vec::new();
    for (nth, item) in items.into_iter().enumerate() {
        let nth = || format!("{field}[{nth}]");
        let item = read(item).ok_or_else(|| ValidationError::new(nth(), expected))?;
        if all.contains(&item) {
            return Err(ValidationError::new(nth(), "is given twice"));
        }
        all.push(item);
    }
    Ok(all)
}

/// A step of a registration, as it stands in a path.
#[derive(Clone, Copy, Debug)]
pub enum RegistrationAction {
    /// The operator agrees and sends it to the provider.
    Approve,
    /// The provider has set the recipient up.
    Activate,
    /// It is turned down.
    Reject,
    /// It is held.
    Suspend,
    /// It goes on.
    Reinstate,
}

impl RegistrationAction {
    /// The fields that go with it.
    pub(crate) const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Approve | Self::Reinstate => &[],
            Self::Activate => &["upstream_client_id", "upstream_client_secret"],
            Self::Reject | Self::Suspend => &["reason"],
        }
    }
}

/// Takes a step of a registration.
pub async fn take_step(
    ctx: &RequestContext,
    [client_id, provider_id]: &[String; 2],
    (step, members): (RegistrationAction, JsonMembers),
    actor: &Actor,
) -> Result<AdminRegistrationBody, AdminError> {
    let pair = parse_pair(client_id, provider_id)?;
    let members = members.reject_unknown(step.fields())?;
    match step {
        RegistrationAction::Approve => approve(ctx, &pair, actor).await?,
        RegistrationAction::Activate => activate(ctx, &pair, parse_upstream_client(&members)?, actor).await?,
        RegistrationAction::Reject => reject(ctx, &pair, members.required_string("reason")?, actor).await?,
        RegistrationAction::Suspend => suspend(ctx, &pair, members.optional_string("reason")?, actor).await?,
        RegistrationAction::Reinstate => reinstate(ctx, &pair, actor).await?,
    };
    load_registration(ctx, &pair).await
}

/// The recipient's own client at the provider: both halves, or none.
fn parse_upstream_client(members: &JsonMembers) -> Result<Option<UpstreamClientDetails>, ValidationError> {
    match (members.optional_string("upstream_client_id")?, members.optional_string("upstream_client_secret")?)
    {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ValidationError::for_missing_field("upstream_client_id")),
        (Some(_), None) => Err(ValidationError::for_missing_field("upstream_client_secret")),
        (Some(id), Some(secret)) => {
            Ok(Some(UpstreamClientDetails { id, secret: Secret::new(secret), management: None }))
        }
    }
}
