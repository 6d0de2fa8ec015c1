//! Registrations: looked at, asked for, and the steps that an operator takes.

use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::registration::RegistrationState;
use domain::rule::recipient::Invalid;
use domain::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::query::{RegistrationSeen, RegistrationSeenOf, Registrations};

use crate::admin::page::Asked;
use crate::admin::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::manage::{ClientThere, Members, Pair, activate, approve, ask, few, reinstate, reject, suspend};
use crate::wire::{Time, Word};

/// A recipient's admission to a provider.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
pub struct RegistrationBody {
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
    state: Word<RegistrationState>,
    /// Why it was turned down or is held.
    reason: Option<String>,
    /// When it was asked for.
    requested_at: Time,
}

impl RegistrationBody {
    fn of(seen: RegistrationSeen) -> Self {
        let (named, partner) = (seen.named, seen.partner);
        let registration = named.registration;
        Self {
            client_id: registration.client_id,
            client_name: named.client_name,
            provider_id: registration.provider_id,
            provider_name: named.provider.name,
            partner,
            state: Word(registration.state),
            reason: registration.reason,
            requested_at: registration.requested_at.into(),
        }
    }
}

/// The registrations that were asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegistrationsAsked {
    /// One for each pair.
    items: Vec<RegistrationBody>,
}

const NOBODY: AdminError = AdminError::NotFound("registration");

fn pair_of(client_id: &str, provider_id: &str) -> Result<Pair, AdminError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NOBODY)?;
    Ok(Pair { client_id, provider_id: ProviderId::parse(provider_id).ok_or(NOBODY)? })
}

fn key(seen: &RegistrationSeen) -> String {
    let registration = &seen.named.registration;
    format!("{}|{}|{}", registration.requested_at.millis(), registration.provider_id, registration.client_id)
}

fn read_key(text: &str) -> Option<(Timestamp, ClientId, ProviderId)> {
    let mut parts = text.splitn(3, '|');
    let time = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let provider_id = ProviderId::parse(parts.next()?)?;
    Some((time, ClientId::parse(parts.next()?).ok()?, provider_id))
}

/// Registrations that a query looks for, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<RegistrationBody>, AdminError> {
    let params = Params::query(query, &["client_id", "provider_id", "partner", "state", "limit", "after"])?;
    let asked = Asked::of(ctx, "registrations", &params)?;
    let search = Registrations {
        client_id: params.client("client_id")?,
        provider_id: params.provider()?,
        partner: params.client("partner")?,
        state: params.word("state", RegistrationState::ALL, RegistrationState::as_str)?,
        after: asked.after(read_key)?,
        limit: asked.rows(),
    };
    asked.page(ctx, ctx.ask(&search).await?, key, RegistrationBody::of)
}

/// One registration.
pub async fn show(ctx: &Ctx, [client_id, provider_id]: &[String; 2]) -> Result<RegistrationBody, AdminError> {
    of(ctx, &pair_of(client_id, provider_id)?).await
}

async fn of(ctx: &Ctx, pair: &Pair) -> Result<RegistrationBody, AdminError> {
    let Pair { client_id, provider_id } = pair.clone();
    let seen = ctx.ask(&RegistrationSeenOf { client_id, provider_id }).await?;
    seen.map(RegistrationBody::of).ok_or(NOBODY)
}

/// The fields of a request for registrations.
pub const FIELDS: [&str; 2] = ["client_ids", "provider_ids"];

/// Asks for a registration of each recipient with each provider, all or none.
pub async fn request(ctx: &Ctx, members: Members, actor: Actor) -> Result<RegistrationsAsked, AdminError> {
    let members = members.known(&FIELDS)?;
    let client = |text: String| ClientId::parse(&text).ok();
    let clients = once("client_ids", "must be a client's id", members.texts("client_ids")?, client)?;
    let provider = |id: i64| (id > 0).then(|| ProviderId::new(id));
    let told = "must be a positive integer";
    let providers = once("provider_ids", told, members.numbers("provider_ids")?, provider)?;
    few("client_ids", clients.len(), providers.len())?;
    ask(ctx, None, (clients.clone(), providers.clone()), actor).await?.map_err(AdminError::from)?;
    let mut items = Vec::new();
    for client_id in &clients {
        for provider_id in &providers {
            items.push(of(ctx, &Pair { client_id: client_id.clone(), provider_id: *provider_id }).await?);
        }
    }
    Ok(RegistrationsAsked { items })
}

/// Items of a list, each of its kind and named once.
fn once<F, T: PartialEq>(
    field: &str,
    told: &str,
    items: Vec<F>,
    read: impl Fn(F) -> Option<T>,
) -> Result<Vec<T>, Invalid> {
    if items.is_empty() {
        return Err(Invalid::missing(field));
    }
    let mut all = Vec::new();
    for (nth, item) in items.into_iter().enumerate() {
        let nth = || format!("{field}[{nth}]");
        let item = read(item).ok_or_else(|| Invalid::new(nth(), told))?;
        if all.contains(&item) {
            return Err(Invalid::new(nth(), "is given twice"));
        }
        all.push(item);
    }
    Ok(all)
}

/// A step of a registration, as it stands in a path.
#[derive(Clone, Copy, Debug)]
pub enum Step {
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

impl Step {
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
pub async fn take(
    ctx: &Ctx,
    [client_id, provider_id]: &[String; 2],
    (step, members): (Step, Members),
    actor: &Actor,
) -> Result<RegistrationBody, AdminError> {
    let pair = pair_of(client_id, provider_id)?;
    let members = members.known(step.fields())?;
    match step {
        Step::Approve => approve(ctx, &pair, actor).await?,
        Step::Activate => activate(ctx, &pair, client_there(&members)?, actor).await?,
        Step::Reject => reject(ctx, &pair, members.needed("reason")?, actor).await?,
        Step::Suspend => suspend(ctx, &pair, members.text("reason")?, actor).await?,
        Step::Reinstate => reinstate(ctx, &pair, actor).await?,
    };
    of(ctx, &pair).await
}

/// The recipient's own client at the provider: both halves, or none.
fn client_there(members: &Members) -> Result<Option<ClientThere>, Invalid> {
    match (members.text("upstream_client_id")?, members.text("upstream_client_secret")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Invalid::missing("upstream_client_id")),
        (Some(_), None) => Err(Invalid::missing("upstream_client_secret")),
        (Some(id), Some(secret)) => {
            Ok(Some(ClientThere { id, secret: Secret::new(secret), management: None }))
        }
    }
}
