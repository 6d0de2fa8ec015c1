//! Registrations of recipients with providers. Partners or operators request them; operators, or providers with dynamic
//! client registration, activate or reject them.

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

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::upstream::seal_client;

/// The maximum number of pairs of a recipient and a provider in one request. One transaction writes all of them.
pub const MAX_PAIRS: usize = 1000;
const MAX_REASON_CHARS: usize = 500;
const UPSTREAM_SECRET: &str = "upstream_client_secret";

/// The recipient and the provider that identify a registration.
#[derive(Clone, Debug)]
pub struct RegistrationPair {
    pub client_id: ClientId,
    pub provider_id: ProviderId,
}

/// The client that a provider has issued for one registration.
#[derive(Clone, Debug)]
pub struct UpstreamClientDetails {
    pub id: String,
    /// The secret of the client; absent if the hub does not authenticate as this client.
    pub secret: Option<Secret<String>>,
    /// The access to the client's configuration (RFC 7592), with which the client is deleted later.
    pub management: Option<ClientManagement>,
}

/// The reason why a step (approve, activate, reject, suspend or reinstate) of a registration failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationStepError {
    #[error("there is no such registration")]
    Unknown,
    /// The state of the registration, or the settings of the provider, do not allow the step.
    #[error("{0}")]
    WrongState(String),
    #[error(transparent)]
    Retired(#[from] ProviderRetiredError),
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    #[error(transparent)]
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for RegistrationStepError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// Ensures that a request has at most [`MAX_PAIRS`] pairs. `field` is the field that the error names.
pub fn ensure_pair_limit(field: &str, clients: usize, providers: usize) -> Result<(), ValidationError> {
    if clients.saturating_mul(providers) > MAX_PAIRS {
        let expected = format_args!("and provider_ids must make at most {MAX_PAIRS} pairs");
        return Err(ValidationError::new(field, expected));
    }
    Ok(())
}

/// Requests the registration of each recipient with each provider, all-or-nothing. If `partner` is set, it must manage
/// all recipients. The inner error lists the pairs that were rejected.
pub async fn request_registrations(
    ctx: &RequestContext,
    partner: Option<ClientId>,
    (clients, providers): (Vec<ClientId>, Vec<ProviderId>),
    actor: Actor,
) -> Result<Result<(), Vec<RejectedPair>>, InternalError> {
    let moment = ctx.new_moment()?;
    Ok(ctx.run(RequestRegistrations { moment, partner, clients, providers, actor }).await?)
}

/// Requests, approves and activates the registration of a recipient with each provider in one call. Returns an error
/// for a provider that has one client for each registration.
pub async fn activate_with_providers(
    ctx: &RequestContext,
    client_id: &ClientId,
    providers: &[ProviderId],
    actor: &Actor,
) -> Result<(), RegistrationStepError> {
    if providers.is_empty() {
        return Ok(());
    }
    let pairs = (vec![client_id.clone()], providers.to_vec());
    if let Err(rejected) = request_registrations(ctx, None, pairs, actor.clone()).await? {
        let is_duplicate = |pair: &RejectedPair| matches!(pair.reason, PairRejection::Duplicate(_));
        return Err(if rejected.iter().all(is_duplicate) {
            RegistrationStepError::WrongState("the registration was requested before".into())
        } else {
            RegistrationStepError::Unknown
        });
    }
    for provider_id in providers {
        let pair = RegistrationPair { client_id: client_id.clone(), provider_id: *provider_id };
        approve(ctx, &pair, actor).await?;
        activate(ctx, &pair, None, actor).await?;
    }
    Ok(())
}

/// Approves a requested registration. At a provider with dynamic client registration, a job then registers the client.
pub async fn approve(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    let state = run_step(ctx, pair, RegistrationStep::Approve, StepDetails::default(), actor).await?;
    // If the provider registers clients dynamically (RFC 7591), the approval has queued a job. The signal wakes a
    // worker.
    ctx.app().job_notify().notify_one();
    Ok(state)
}

/// Activates an approved registration. `client` is required if the provider has one client for each registration, and
/// must be `None` otherwise. It has a secret exactly if the hub authenticates with it.
pub async fn activate(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    client: Option<UpstreamClientDetails>,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    let mut details = StepDetails::default();
    if let Some(UpstreamClientDetails { id, secret, management }) = client {
        validate_credential("upstream_client_id", &id)?;
        if let Some(secret) = &secret {
            validate_credential(UPSTREAM_SECRET, secret.expose())?;
        }
        // The secret is encrypted here, because the store must never receive it in plain text.
        let credentials = (id, secret.as_ref());
        details.upstream =
            Some(seal_client(ctx, &pair.client_id, pair.provider_id, credentials, management.as_ref())?);
    }
    run_step(ctx, pair, RegistrationStep::Activate, details, actor).await
}

/// Rejects a pending registration. The partner can read the reason.
pub async fn reject(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    reason: String,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    validate_text("reason", &reason, MAX_REASON_CHARS)?;
    let details = StepDetails { reason: Some(reason), ..StepDetails::default() };
    run_step(ctx, pair, RegistrationStep::Reject, details, actor).await
}

/// Suspends an active registration: token requests and reads are rejected, but its connections do not end.
pub async fn suspend(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    reason: Option<String>,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    if let Some(reason) = &reason {
        validate_text("reason", reason, MAX_REASON_CHARS)?;
    }
    let details = StepDetails { reason, ..StepDetails::default() };
    run_step(ctx, pair, RegistrationStep::Suspend, details, actor).await
}

/// Makes a suspended registration active again, so that the recipient can read data from the provider.
pub async fn reinstate(
    ctx: &RequestContext,
    pair: &RegistrationPair,
    actor: &Actor,
) -> Result<RegistrationState, RegistrationStepError> {
    run_step(ctx, pair, RegistrationStep::Reinstate, StepDetails::default(), actor).await
}

/// The input of a step of a registration: the reason of a rejection or suspension, and the client of an activation.
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
        moment: ctx.new_moment()?,
        client_id: pair.client_id.clone(),
        provider_id: pair.provider_id,
        step,
        reason,
        upstream_client: upstream,
        actor: actor.clone(),
    };
    let outcome = ctx.run(command).await?;
    let state = outcome.map_err(|rejected| match rejected {
        StepRejected::RegistrationNotFound => RegistrationStepError::Unknown,
        StepRejected::WrongState(error) => RegistrationStepError::WrongState(error.to_string()),
        StepRejected::ProviderRetired(error) => error.into(),
        StepRejected::UpstreamClientRequired => {
            ValidationError::for_missing_field("upstream_client_id").into()
        }
        StepRejected::UpstreamClientNotAccepted => {
            let expected = "must be absent: the provider knows one client of the hub for all recipients";
            ValidationError::new("upstream_client_id", expected).into()
        }
        StepRejected::UpstreamSecretRequired => ValidationError::for_missing_field(UPSTREAM_SECRET).into(),
        StepRejected::UpstreamSecretNotAccepted => {
            let expected = "must be absent: the hub authenticates with its own client there";
            ValidationError::new(UPSTREAM_SECRET, expected).into()
        }
    })?;
    tracing::info!(client = %pair.client_id, provider = %pair.provider_id, %step, %state, "registration changed");
    Ok(state)
}
