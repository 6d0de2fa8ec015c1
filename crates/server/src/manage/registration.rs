//! Registrations: asked for by partners; approved, activated, turned down and held by an operator.

use domain::Secret;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::provider::Retired;
use domain::model::registration::{RegistrationState, RegistrationStep};
use domain::rule::client_registration::Management;
use domain::rule::recipient::{Invalid, is_credential, is_text};
use store::command::{BadPair, NotTaken, RequestRegistrations, SealedClient, StepRegistration, WhyNot};
use store::query::{NamedRegistration, RegistrationsUnder};

use super::access::Partner;
use super::error::ManageError;
use super::recipient::one;
use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::hub::seal_client;

/// Pairs of one request.
const MOST_PAIRS: usize = 1000;
const LONGEST_REASON: usize = 500;

const NO_REGISTRATION: ManageError =
    ManageError::NotFound("This data recipient has no registration with the provider");

/// Asks for a registration of each recipient with each provider, all or none.
pub(super) async fn request(
    ctx: &Ctx,
    partner: &Partner,
    recipient_ids: &str,
    provider_ids: &str,
) -> Result<Vec<NamedRegistration>, ManageError> {
    let id = |text: &str| ClientId::parse(text).ok();
    let clients = list("recipient_ids", "an id of a data recipient", recipient_ids, id)?;
    let providers = list("provider_ids", "a positive integer", provider_ids, ProviderId::parse)?;
    few("recipient_ids", clients.len(), providers.len())?;
    let (whose, pairs) = (Some(partner.id().clone()), (clients.clone(), providers.clone()));
    ask(ctx, whose, pairs, partner.actor()).await?.map_err(ManageError::Pairs)?;
    let asked = |r: &NamedRegistration| {
        clients.contains(&r.registration.client_id) && providers.contains(&r.registration.provider_id)
    };
    let mut under = all(ctx, partner).await?;
    under.retain(asked);
    Ok(under)
}

/// Refuses more pairs than one request may ask for.
pub(crate) fn few(field: &str, clients: usize, providers: usize) -> Result<(), Invalid> {
    if clients.saturating_mul(providers) > MOST_PAIRS {
        let most = format_args!("and provider_ids must make at most {MOST_PAIRS} pairs");
        return Err(Invalid::new(field, most));
    }
    Ok(())
}

/// Asks for a registration of each recipient with each provider, all or none, whoever says so. The recipients must be
/// `partner`'s, if one is named.
pub(crate) async fn ask(
    ctx: &Ctx,
    partner: Option<ClientId>,
    (clients, providers): (Vec<ClientId>, Vec<ProviderId>),
    actor: Actor,
) -> Result<Result<(), Vec<BadPair>>, Fault> {
    Ok(ctx.run(RequestRegistrations { moment: ctx.moment()?, partner, clients, providers, actor }).await?)
}

/// The items of a comma-separated list, each of its kind and named once.
fn list<T: PartialEq>(
    field: &str,
    what: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Invalid> {
    let mut items = Vec::new();
    for (nth, item) in text.split(',').enumerate() {
        if nth == MOST_PAIRS {
            return Err(Invalid::new(field, format_args!("must be at most {MOST_PAIRS} items")));
        }
        let item = parse(item)
            .ok_or_else(|| Invalid::new(format!("{field}[{nth}]"), format_args!("must be {what}")))?;
        if items.contains(&item) {
            return Err(Invalid::new(format!("{field}[{nth}]"), "is given twice"));
        }
        items.push(item);
    }
    Ok(items)
}

/// The registrations of every recipient of a partner.
pub(super) async fn all(ctx: &Ctx, partner: &Partner) -> Result<Vec<NamedRegistration>, ManageError> {
    Ok(ctx.ask(&RegistrationsUnder { partner: partner.id().clone(), client_id: None }).await?)
}

/// The registrations of one recipient of a partner.
pub(super) async fn of(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
) -> Result<Vec<NamedRegistration>, ManageError> {
    let client_id = Some(one(ctx, partner, client_id).await?.client.id);
    Ok(ctx.ask(&RegistrationsUnder { partner: partner.id().clone(), client_id }).await?)
}

/// The registration of one recipient with one provider.
pub(super) async fn with(
    ctx: &Ctx,
    partner: &Partner,
    client_id: &str,
    provider_id: &str,
) -> Result<NamedRegistration, ManageError> {
    let registrations = of(ctx, partner, client_id).await?;
    let provider_id = ProviderId::parse(provider_id);
    let found = registrations.into_iter().find(|r| Some(r.registration.provider_id) == provider_id);
    found.ok_or(NO_REGISTRATION)
}

/// The word of the first version of the API.
pub(super) fn first(state: RegistrationState) -> String {
    state.as_str().to_uppercase()
}

/// What a bad pair is told.
pub(super) fn why(pair: &BadPair) -> String {
    match pair.why {
        WhyNot::NoRecipient => "client_id names no data recipient of this partner".into(),
        WhyNot::NoProvider => "provider_id names no provider of this hub".into(),
        WhyNot::Duplicate(state) => format!("This registration was requested before and is {}", first(state)),
    }
}

/// A recipient and a provider.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

/// A recipient's own client at a provider.
#[derive(Clone, Debug)]
pub struct ClientThere {
    /// Its id there.
    pub id: String,
    /// Its secret there.
    pub secret: Secret<String>,
    /// How it is deleted there, if the provider said so.
    pub management: Option<Management>,
}

/// Why a step of a registration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepRefused {
    /// There is no such registration.
    #[error("there is no such registration")]
    Unknown,
    /// It stands elsewhere, or the provider works another way.
    #[error("{0}")]
    NotTaken(String),
    /// The provider takes nobody any more.
    #[error(transparent)]
    Retired(#[from] Retired),
    /// A field is not what it should be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Our own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The operator agrees, and sends it to the provider.
pub async fn approve(ctx: &Ctx, pair: &Pair, actor: &Actor) -> Result<RegistrationState, StepRefused> {
    let state = step(ctx, pair, RegistrationStep::Approve, Particulars::default(), actor).await?;
    // There is a job now if the provider registers clients by itself.
    ctx.app().jobs().notify_one();
    Ok(state)
}

/// The provider has set the recipient up; with a client of its own where the provider has one for each.
pub async fn activate(
    ctx: &Ctx,
    pair: &Pair,
    client: Option<ClientThere>,
    actor: &Actor,
) -> Result<RegistrationState, StepRefused> {
    let mut upstream = None;
    if let Some(ClientThere { id, secret, management }) = client {
        is_credential("upstream_client_id", &id)?;
        is_credential("upstream_client_secret", secret.expose())?;
        let own = (id, &secret);
        upstream = Some(seal_client(ctx, &pair.client_id, pair.provider_id, own, management.as_ref())?);
    }
    step(ctx, pair, RegistrationStep::Activate, Particulars { upstream, reason: None }, actor).await
}

/// It is turned down, and the partner reads why.
pub async fn reject(
    ctx: &Ctx,
    pair: &Pair,
    reason: String,
    actor: &Actor,
) -> Result<RegistrationState, StepRefused> {
    is_text("reason", &reason, LONGEST_REASON)?;
    let particulars = Particulars { reason: Some(reason), upstream: None };
    step(ctx, pair, RegistrationStep::Reject, particulars, actor).await
}

/// The operator holds it: tokens and data are refused, nothing is destroyed.
pub async fn suspend(
    ctx: &Ctx,
    pair: &Pair,
    reason: Option<String>,
    actor: &Actor,
) -> Result<RegistrationState, StepRefused> {
    if let Some(reason) = &reason {
        is_text("reason", reason, LONGEST_REASON)?;
    }
    step(ctx, pair, RegistrationStep::Suspend, Particulars { reason, upstream: None }, actor).await
}

/// The operator lets it go on.
pub async fn reinstate(ctx: &Ctx, pair: &Pair, actor: &Actor) -> Result<RegistrationState, StepRefused> {
    step(ctx, pair, RegistrationStep::Reinstate, Particulars::default(), actor).await
}

/// What goes with a step.
#[derive(Default)]
struct Particulars {
    reason: Option<String>,
    upstream: Option<SealedClient>,
}

async fn step(
    ctx: &Ctx,
    pair: &Pair,
    step: RegistrationStep,
    Particulars { reason, upstream }: Particulars,
    actor: &Actor,
) -> Result<RegistrationState, StepRefused> {
    let taken = StepRegistration {
        moment: ctx.moment().map_err(Fault::from)?,
        client_id: pair.client_id.clone(),
        provider_id: pair.provider_id,
        step,
        reason,
        upstream,
        actor: actor.clone(),
    };
    let state = ctx.run(taken).await.map_err(Fault::from)?.map_err(|not_taken| match not_taken {
        NotTaken::Unknown => StepRefused::Unknown,
        NotTaken::WrongState(wrong) => StepRefused::NotTaken(wrong.to_string()),
        NotTaken::Retired(retired) => retired.into(),
        NotTaken::NeedsClient => Invalid::missing("upstream_client_id").into(),
        NotTaken::TakesNoClient => {
            Invalid::new("upstream_client_id", "must be absent: the provider knows the hub's own client")
                .into()
        }
    })?;
    tracing::info!(client = %pair.client_id, provider = %pair.provider_id, %step, %state, "registration");
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_item_by_item() {
        let read = |text: &str| {
            list("provider_ids", "a positive integer", text, ProviderId::parse).map_err(|e| e.to_string())
        };
        let number = |n: i64| ProviderId::new(n);
        assert_eq!(read("1000"), Ok(vec![number(1000)]));
        assert_eq!(read("1000,2000"), Ok(vec![number(1000), number(2000)]));
        let said = |text: &str| read(text).unwrap_err();
        assert_eq!(said(""), "provider_ids[0] must be a positive integer");
        assert_eq!(said("1000,"), "provider_ids[1] must be a positive integer");
        assert_eq!(said("1000, 2000"), "provider_ids[1] must be a positive integer");
        assert_eq!(said("1,2,1"), "provider_ids[2] is given twice");
        let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(said(&many), "provider_ids must be at most 1000 items");
    }
}
