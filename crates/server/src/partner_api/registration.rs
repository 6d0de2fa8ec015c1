//! Registrations: asked for by partners; approved, activated, turned down and held by an operator.

use domain::Secret;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::provider::ProviderRetiredError;
use domain::model::registration::{RegistrationState, RegistrationStep};
use domain::rule::client_registration::ClientManagement;
use domain::rule::validation::{ValidationError, validate_credential, validate_text};
use store::command::{
    PairRejection, RejectedPair, RequestRegistrations, SealedUpstreamClient, StepRejected,
    TakeRegistrationStep,
};
use store::query::{ListPartnerRegistrations, NamedRegistration};

use super::access::AuthenticatedPartner;
use super::error::ManageError;
use super::recipient::find_active_recipient;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::upstream::seal_client;

/// Pairs of one request.
const MAX_PAIRS: usize = 1000;
const MAX_REASON_CHARS: usize = 500;

const NO_REGISTRATION: ManageError =
    ManageError::NotFound("This data recipient has no registration with the provider");

/// Asks for a registration of each recipient with each provider, all or none.
pub(super) async fn request_registrations(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    recipient_ids: &str,
    provider_ids: &str,
) -> Result<Vec<NamedRegistration>, ManageError> {
    let id = |text: &str| ClientId::parse(text).ok();
    let clients = parse_list("recipient_ids", "an id of a data recipient", recipient_ids, id)?;
    let providers = parse_list("provider_ids", "a positive integer", provider_ids, ProviderId::parse)?;
    ensure_pair_limit("recipient_ids", clients.len(), providers.len())?;
    let (partner_id, pairs) = (Some(partner.id().clone()), (clients.clone(), providers.clone()));
    submit_registrations(ctx, partner_id, pairs, partner.actor()).await?.map_err(ManageError::Pairs)?;
    let is_requested = |r: &NamedRegistration| {
        clients.contains(&r.registration.client_id) && providers.contains(&r.registration.provider_id)
    };
    let mut registrations = list_partner_registrations(ctx, partner).await?;
    registrations.retain(is_requested);
    Ok(registrations)
}

/// Refuses more pairs than one request may ask for.
pub(crate) fn ensure_pair_limit(
    field: &str,
    clients: usize,
    providers: usize,
) -> Result<(), ValidationError> {
    if clients.saturating_mul(providers) > MAX_PAIRS {
        let expected = format_args!("and provider_ids must make at most {MAX_PAIRS} pairs");
        return Err(ValidationError::new(field, expected));
    }
    Ok(())
}

/// Asks for a registration of each recipient with each provider, all or none, whoever says so. The recipients must be
/// `partner`'s, if one is named.
pub(crate) async fn submit_registrations(
    ctx: &RequestContext,
    partner: Option<ClientId>,
    (clients, providers): (Vec<ClientId>, Vec<ProviderId>),
    actor: Actor,
) -> Result<Result<(), Vec<RejectedPair>>, InternalError> {
    Ok(ctx
        .run(RequestRegistrations { moment: ctx.new_moment()?, partner, clients, providers, actor })
        .await?)
}

/// The items of a comma-separated list, each of its kind and named once.
fn parse_list<T: PartialEq>(
    field: &str,
    expected: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ValidationError> {
    let mut items = Vec::new();
    for (nth, item) in text.split(',').enumerate() {
        if nth == MAX_PAIRS {
            return Err(ValidationError::new(field, format_args!("must be at most {MAX_PAIRS} items")));
        }
        let item = parse(item).ok_or_else(|| {
            ValidationError::new(format!("{field}[{nth}]"), format_args!("must be {expected}"))
        })?;
        if items.contains(&item) {
            return Err(ValidationError::new(format!("{field}[{nth}]"), "is given twice"));
        }
        items.push(item);
    }
    Ok(items)
}

/// The registrations of every recipient of a partner.
pub(super) async fn list_partner_registrations(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
) -> Result<Vec<NamedRegistration>, ManageError> {
    Ok(ctx.ask(&ListPartnerRegistrations { partner: partner.id().clone(), client_id: None }).await?)
}

/// The registrations of one recipient of a partner.
pub(super) async fn list_recipient_registrations(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<Vec<NamedRegistration>, ManageError> {
    let client_id = Some(find_active_recipient(ctx, partner, client_id).await?.client.id);
    Ok(ctx.ask(&ListPartnerRegistrations { partner: partner.id().clone(), client_id }).await?)
}

/// The registration of one recipient with one provider.
pub(super) async fn find_registration(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    provider_id: &str,
) -> Result<NamedRegistration, ManageError> {
    let registrations = list_recipient_registrations(ctx, partner, client_id).await?;
    let provider_id = ProviderId::parse(provider_id);
    let found = registrations.into_iter().find(|r| Some(r.registration.provider_id) == provider_id);
    found.ok_or(NO_REGISTRATION)
}

/// The word of the first version of the API.
pub(super) fn v1_status(state: RegistrationState) -> String {
    state.as_str().to_uppercase()
}

/// What a bad pair is told.
pub(super) fn rejection_message(pair: &RejectedPair) -> String {
    match pair.reason {
        PairRejection::RecipientNotFound => "client_id names no data recipient of this partner".into(),
        PairRejection::ProviderNotAvailable => "provider_id names no provider of this hub".into(),
        PairRejection::Duplicate(state) => {
            format!("This registration was requested before and is {}", v1_status(state))
        }
    }
}

/// A recipient and a provider.
#[derive(Clone, Debug)]
pub struct RegistrationPair {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
}

/// A recipient's own client at a provider.
#[derive(Clone, Debug)]
pub struct UpstreamClientDetails {
    /// Its id there.
    pub id: String,
    /// Its secret there.
    pub secret: Secret<String>,
    /// How it is deleted there, if the provider said so.
    pub management: Option<ClientManagement>,
}

/// Why a step of a registration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationStepError {
    /// There is no such registration.
    #[error("there is no such registration")]
    Unknown,
    /// It stands elsewhere, or the provider works another way.
    #[error("{0}")]
    WrongState(String),
    /// The provider takes nobody any more.
    #[error(transparent)]
    Retired(#[from] ProviderRetiredError),
    /// A field is not what it should be.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// Our own trouble.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

/// The operator agrees, and sends it to the provider.
pub async fn approve(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    let state = run_step(ctx, pair, RegistrationStep::Approve, StepDetails::default(), actor).await?;
    // There is a job now if the provider registers clients by itself.
    ctx.app().job_notify().notify_one();
    Ok(state)
}

/// The provider has set the recipient up; with a client of its own where the provider has one for each.
pub async fn activate(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    client: Option<UpstreamClientDetails>,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    let mut upstream = None;
    if let Some(UpstreamClientDetails { id, secret, management }) = client {
        validate_credential("upstream_client_id", &id)?;
        validate_credential("upstream_client_secret", secret.expose())?;
        let own = (id, &secret);
        upstream = Some(seal_client(ctx, &pair.client_id, pair.provider_id, own, management.as_ref())?);
    }
    run_step(ctx, pair, RegistrationStep::Activate, StepDetails { upstream, reason: None }, actor).await
}

/// It is turned down, and the partner reads why.
pub async fn reject(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    reason: String,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    validate_text("reason", &reason, MAX_REASON_CHARS)?;
    let details = StepDetails { reason: Some(reason), upstream: None };
    run_step(ctx, pair, RegistrationStep::Reject, details, actor).await
}

/// The operator holds it: tokens and data are refused, nothing is destroyed.
pub async fn suspend(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    reason: Option<String>,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    if let Some(reason) = &reason {
        validate_text("reason", reason, MAX_REASON_CHARS)?;
    }
    run_step(ctx, pair, RegistrationStep::Suspend, StepDetails { reason, upstream: None }, actor).await
}

/// The operator lets it go on.
pub async fn reinstate(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    run_step(ctx, pair, RegistrationStep::Reinstate, StepDetails::default(), actor).await
}

/// What goes with a step.
#[derive(Default)]
struct StepDetails {
    reason: Option<String>,
    upstream: Option<SealedUpstreamClient>,
}

async fn run_step(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    step: RegistrationStep,
    StepDetails { reason, upstream }: StepDetails,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    let command = TakeRegistrationStep {
        moment: ctx.new_moment().map_err(InternalError::from)?,
        client_id: pair.client_id.clone(),
        provider_id: pair.provider_id,
        step,
        reason,
        upstream_client: upstream,
        actor: actor.clone(),
    };
    let state =
        ctx.run(command).await.map_err(InternalError::from)?.map_err(|not_taken| match not_taken {
            StepRejected::RegistrationNotFound => RegistrationStepError::Unknown,
            StepRejected::WrongState(wrong) => RegistrationStepError::WrongState(wrong.to_string()),
            StepRejected::ProviderRetired(retired) => retired.into(),
            StepRejected::UpstreamClientRequired => {
                ValidationError::for_missing_field("upstream_client_id").into()
            }
            StepRejected::UpstreamClientNotAccepted => ValidationError::new(
                "upstream_client_id",
                "must be absent: the provider knows the hub's own client",
            )
            .into(),
        })?;
    tracing::info!(client = %pair.client_id, provider = %pair.provider_id, %step, %state, "registration");
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_separated_list_is_parsed_and_duplicates_rejected() {
        let read = |text: &str| {
            parse_list("provider_ids", "a positive integer", text, ProviderId::parse)
                .map_err(|e| e.to_string())
        };
        let number = |n: i64| ProviderId::new(n);
        assert_eq!(read("1000"), Ok(vec![number(1000)]));
        assert_eq!(read("1000,2000"), Ok(vec![number(1000), number(2000)]));
        let error_message = |text: &str| read(text).unwrap_err();
        assert_eq!(error_message(""), "provider_ids[0] must be a positive integer");
        assert_eq!(error_message("1000,"), "provider_ids[1] must be a positive integer");
        assert_eq!(error_message("1000, 2000"), "provider_ids[1] must be a positive integer");
        assert_eq!(error_message("1,2,1"), "provider_ids[2] is given twice");
        let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(error_message(&many), "provider_ids must be at most 1000 items");
    }
}
