//! Recipients' own clients at providers that register them by themselves: the provider's answer activates the
//! registration or turns it down, and a client that nobody needs is deleted there.
//!
//! Between the answer and the commit a process may die. Then the next try registers another client, and the first
//! stays at the provider: nobody knows its secret, and its `software_id` is that of the one that is used. The same is so
//! if an answer never arrives.

use domain::id::ClientId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::{ClientKind, ClientState};
use domain::model::job::{AttemptOutcome, Job};
use domain::model::provider::Provider;
use domain::rule::client_registration::{
    ClientManagement, RegisteredClient, RegistrationErrorCode, RegistrationNotDue, RegistrationResponse,
    ensure_due,
};
use store::command::DetachUpstreamClient;
use store::query::{GetClientSummary, GetProvider, GetRegistration, HasPendingRevocations};

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::recipients::{RegistrationPair, RegistrationStepError, UpstreamClientDetails, activate, reject};
use crate::upstream::{self, AttemptReport, RegistrationReport, open_management, seal_management};

const CORRECTION_HINT: &str = "correct the provider's settings and try again, or reject the registration";

/// Has a client registered, and does with the registration what the provider's answer says.
pub(super) async fn register(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, InternalError> {
    let (client_id, provider) = load_client_and_provider(ctx, job).await?;
    let seen = ctx.ask(&GetClientSummary { kind: ClientKind::Recipient, id: client_id.clone() }).await?;
    let open = seen.map(|seen| seen.recipient).filter(|r| r.client.state != ClientState::Closed);
    let registration =
        ctx.ask(&GetRegistration { client_id: client_id.clone(), provider_id: provider.id }).await?;
    let state = registration.map(|registration| registration.state);
    let (recipient, there) = match (open, ensure_due(state, &provider)) {
        (Some(recipient), Ok(there)) => (recipient, there),
        (None, _) => return Ok(report_not_due(RegistrationNotDue::AlreadyDecided)),
        (Some(_), Err(why)) => return Ok(report_not_due(why)),
    };
    if !ctx.app().has_time_left(ctx.now())? {
        return Ok(AttemptReport::retry_later(&"there was no time left under the lease"));
    }
    let RegistrationReport { outcome: answered, description: said, retry_after } =
        upstream::register_upstream_client(ctx, &provider, there, &recipient).await?;
    let waiting = PendingRegistration { ctx, pair: RegistrationPair { client_id, provider_id: provider.id } };
    match answered {
        RegistrationResponse::Registered(client) => waiting.activate(client, &said).await,
        RegistrationResponse::Rejected(refusal) if refusal.rejects_recipient() => {
            waiting.reject(refusal, &said).await
        }
        RegistrationResponse::Rejected(refusal) => {
            Ok(AttemptReport::new(AttemptOutcome::Refused, format!("{said} {refusal}: {CORRECTION_HINT}")))
        }
        RegistrationResponse::Unusable { problem: why, management } => {
            let left = waiting.queue_client_deletion(management).await?;
            Ok(AttemptReport::new(AttemptOutcome::Refused, format!("{said}: {why}; {left}")))
        }
        RegistrationResponse::RetryLater => {
            Ok(AttemptReport::new(AttemptOutcome::RetryLater { retry_after }, said))
        }
    }
}

/// What becomes of a job that must not ask.
fn report_not_due(why: RegistrationNotDue) -> AttemptReport {
    match why {
        RegistrationNotDue::AlreadyDecided => AttemptReport::new(AttemptOutcome::Superseded, why.to_string()),
        RegistrationNotDue::ManualActivation | RegistrationNotDue::Retired(_) => {
            AttemptReport::new(AttemptOutcome::Refused, why.to_string())
        }
        RegistrationNotDue::ProviderPaused(_) => AttemptReport::new(AttemptOutcome::Blocked, why.to_string()),
    }
}

/// Has a client deleted, when nothing more is to be told as that client. Until then it waits: for a code that is being
/// exchanged, for jobs, and for a person where one of them was given up.
pub(super) async fn delete(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, InternalError> {
    let (client_id, provider) = load_client_and_provider(ctx, job).await?;
    let pending = HasPendingRevocations { client_id: client_id.clone(), provider_id: provider.id };
    if ctx.ask(&pending).await? {
        return Ok(AttemptReport::new(
            AttemptOutcome::Blocked,
            "the provider is still to be told of ends by this client",
        ));
    }
    let management = open_management(ctx, &client_id, provider.id, (&job.data_key, &job.token))?;
    Ok(upstream::delete_upstream_client(ctx, &provider, client_id, &management).await)
}

async fn load_client_and_provider(
    ctx: &RequestContext,
    job: &Job,
) -> Result<(ClientId, Provider), InternalError> {
    let client_id = job.client_id.clone().ok_or(InternalError::new("a job has lost its recipient"))?;
    let provider = ctx.ask(&GetProvider { id: job.provider_id }).await?;
    Ok((client_id, provider.ok_or(InternalError::new("a job has lost its provider"))?))
}

/// A registration that waited for the provider when that was asked. What others decided meanwhile stands.
struct PendingRegistration<'a> {
    ctx: &'a RequestContext,
    pair: RegistrationPair,
}

impl PendingRegistration<'_> {
    fn provider_actor(&self) -> Actor {
        Actor::new(ActorKind::Provider, self.pair.provider_id.to_string())
    }

    async fn activate(&self, client: RegisteredClient, said: &str) -> Result<AttemptReport, InternalError> {
        let RegisteredClient { id, secret, management } = client;
        let there = UpstreamClientDetails { id, secret, management: management.clone() };
        let (attempt, why) = match activate(self.ctx, &self.pair, Some(there), &self.provider_actor()).await {
            Ok(_) => return Ok(AttemptReport::new(AttemptOutcome::Accepted, format!("{said}: activated"))),
            // The commit may have happened: a client that is in use must not be deleted.
            Err(RegistrationStepError::Internal(fault)) => return Err(fault),
            Err(RegistrationStepError::Unknown | RegistrationStepError::WrongState(_)) => {
                (AttemptOutcome::Superseded, RegistrationNotDue::AlreadyDecided.to_string())
            }
            Err(RegistrationStepError::Retired(retired)) => (AttemptOutcome::Refused, retired.to_string()),
            Err(RegistrationStepError::Invalid(invalid)) => (AttemptOutcome::Refused, invalid.to_string()),
        };
        let left = self.queue_client_deletion(management).await?;
        Ok(AttemptReport::new(attempt, format!("{said}: {why}; {left}")))
    }

    async fn reject(
        &self,
        refusal: RegistrationErrorCode,
        said: &str,
    ) -> Result<AttemptReport, InternalError> {
        match reject(self.ctx, &self.pair, refusal.reason(), &self.provider_actor()).await {
            Ok(_) => {
                Ok(AttemptReport::new(AttemptOutcome::AlreadyGone, format!("{said} {refusal}: rejected")))
            }
            Err(RegistrationStepError::Internal(fault)) => Err(fault),
            Err(_) => Ok(report_not_due(RegistrationNotDue::AlreadyDecided)),
        }
    }

    /// Leaves a client that no registration takes to a job of its own; says what becomes of it.
    async fn queue_client_deletion(
        &self,
        management: Option<ClientManagement>,
    ) -> Result<&'static str, InternalError> {
        let Some(management) = management else {
            return Ok("a client may be left at the provider, which does not say how to delete it");
        };
        let RegistrationPair { client_id, provider_id } = self.pair.clone();
        let sealed = seal_management(self.ctx, &client_id, provider_id, &management)?;
        let (data_key, management) = (sealed.data_key, sealed.sealed);
        let moment = self.ctx.new_moment()?;
        self.ctx
            .run(DetachUpstreamClient {
                moment,
                client_id,
                provider_id,
                data_key,
                configuration_access: management,
            })
            .await?;
        self.ctx.app().job_notify().notify_one();
        Ok("the client is deleted there")
    }
}
