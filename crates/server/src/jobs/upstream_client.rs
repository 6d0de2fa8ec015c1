//! Jobs that register a recipient's own client at a provider (RFC 7591) and delete it there (RFC 7592).
//!
//! The provider's response activates or rejects the registration. If the process dies before the response is stored, or
//! the response never arrives, the next attempt registers a second client. The first one remains at the provider
//! without a known secret. Both have the same `software_id`, so the provider can recognize them.

use domain::id::ClientId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::{ClientKind, ClientState, Recipient};
use domain::model::job::{AttemptOutcome, Job};
use domain::model::provider::Provider;
use domain::rule::client_registration::{
    ClientManagement, RegisteredClient, RegistrationNotDue, RegistrationResponse, UnusableClient, ensure_due,
    rejection_reason, rejects_recipient,
};
use domain::rule::provider_response::ProviderErrorCode;
use store::command::DetachUpstreamClient;
use store::query::{GetClientSummary, GetProvider, GetRegistration, HasPendingRevocations, SEARCH_WINDOW};

use crate::context::RequestContext;
use crate::error::InternalError;
use crate::recipients::{RegistrationPair, RegistrationStepError, UpstreamClientDetails, activate, reject};
use crate::upstream::{self, AttemptError, AttemptReport, SealedClientConfiguration};

/// The advice to operators in the description of a failed registration job.
const CORRECTION_HINT: &str = "correct the provider's settings and retry the job, or reject the registration";

/// Runs one attempt of a registration job: registers a client at the provider, and activates or rejects the
/// registration according to the response.
pub(super) async fn register(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, AttemptError> {
    let (client_id, provider) = load_client_id_and_provider(ctx, job).await?;
    let recipient = load_open_recipient(ctx, client_id.clone()).await?;
    let registration =
        ctx.ask(&GetRegistration { client_id: client_id.clone(), provider_id: provider.id }).await?;
    let state = registration.map(|registration| registration.state);
    let (recipient, settings) = match (recipient, ensure_due(state, &provider)) {
        (Some(recipient), Ok(settings)) => (recipient, settings),
        (None, _) => return Ok(report_not_due(RegistrationNotDue::AlreadyDecided)),
        (Some(_), Err(reason)) => return Ok(report_not_due(reason)),
    };
    // A worker that stalled must not send the request: another worker may have leased the job, and each request
    // registers another client.
    if !ctx.app().has_time_left(ctx.now())? {
        return Ok(AttemptReport::lease_expired());
    }
    let report = upstream::register_upstream_client(ctx, &provider, settings, &recipient).await?;
    let description = report.description;
    let pending = PendingRegistration { ctx, pair: RegistrationPair { client_id, provider_id: provider.id } };
    match report.outcome {
        RegistrationResponse::Registered(client) => Ok(pending.activate(client, &description).await?),
        RegistrationResponse::Rejected(code) if rejects_recipient(code) => {
            Ok(pending.reject(code, &description).await?)
        }
        // The other errors may be caused by the hub's configuration, so an operator decides about the registration.
        RegistrationResponse::Rejected(_) => {
            Ok(AttemptReport::new(AttemptOutcome::Refused, format!("{description}: {CORRECTION_HINT}")))
        }
        RegistrationResponse::Unusable(client) => {
            let UnusableClient { problem, management } = *client;
            let consequence = pending.queue_client_deletion(management).await?;
            Ok(AttemptReport::new(
                AttemptOutcome::Refused,
                format!("{description}: {problem}; {consequence}"),
            ))
        }
        RegistrationResponse::RetryLater => {
            let outcome = AttemptOutcome::RetryLater { retry_after: report.retry_after };
            Ok(AttemptReport::new(outcome, description))
        }
    }
}

/// Creates the report of a job that sent no request, because the registration is not due.
fn report_not_due(reason: RegistrationNotDue) -> AttemptReport {
    let outcome = match reason {
        RegistrationNotDue::AlreadyDecided => AttemptOutcome::Superseded,
        RegistrationNotDue::ManualActivation | RegistrationNotDue::Retired(_) => AttemptOutcome::Refused,
        // The job waits until an operator releases the provider. This time does not count towards its retry window.
        RegistrationNotDue::ProviderPaused(_) => AttemptOutcome::Blocked,
    };
    AttemptReport::new(outcome, reason.to_string())
}

/// Runs one attempt of a job that deletes a client at the provider.
///
/// A grant that was issued to the client can be revoked only with the client's credentials (RFC 7009 §2.1). The
/// deletion therefore waits for code exchanges in progress, pending revocations, and failed revocations that can be
/// retried.
pub(super) async fn delete(ctx: &RequestContext, job: &Job) -> Result<AttemptReport, AttemptError> {
    let (client_id, provider) = load_client_id_and_provider(ctx, job).await?;
    let pending = HasPendingRevocations {
        client_id: client_id.clone(),
        provider_id: provider.id,
        window: SEARCH_WINDOW,
    };
    if ctx.ask(&pending).await? {
        let description = "revocations by this client may still be pending at the provider";
        return Ok(AttemptReport::new(AttemptOutcome::Blocked, description));
    }
    let sealed = SealedClientConfiguration { data_key: job.data_key.clone(), sealed: job.token.clone() };
    let management = sealed.open(ctx, &client_id, provider.id)?;
    upstream::delete_upstream_client(ctx, &provider, client_id, &management).await
}

async fn load_client_id_and_provider(
    ctx: &RequestContext,
    job: &Job,
) -> Result<(ClientId, Provider), InternalError> {
    let client_id = job.client_id.clone().ok_or(InternalError::new("a job has no recipient"))?;
    let provider = ctx.ask(&GetProvider { id: job.provider_id }).await?;
    Ok((client_id, provider.ok_or(InternalError::new("the provider of a job does not exist"))?))
}

/// Loads a recipient. Returns `None` if the recipient has been removed.
async fn load_open_recipient(ctx: &RequestContext, id: ClientId) -> Result<Option<Recipient>, InternalError> {
    let summary = ctx.ask(&GetClientSummary { kind: ClientKind::Recipient, id }).await?;
    let recipient = summary.map(|summary| summary.recipient);
    Ok(recipient.filter(|recipient| recipient.client.state != ClientState::Closed))
}

/// A registration that was pending when the request was sent to the provider.
///
/// An operator may have activated or rejected it in the meantime. That decision has precedence over the provider's
/// response.
struct PendingRegistration<'a> {
    ctx: &'a RequestContext,
    pair: RegistrationPair,
}

impl PendingRegistration<'_> {
    fn provider_actor(&self) -> Actor {
        Actor::new(ActorKind::Provider, self.pair.provider_id.to_string())
    }

    async fn activate(
        &self,
        client: RegisteredClient,
        description: &str,
    ) -> Result<AttemptReport, InternalError> {
        let RegisteredClient { id, secret, management } = client;
        let details = UpstreamClientDetails { id, secret, management: management.clone() };
        let activated = activate(self.ctx, &self.pair, Some(details), &self.provider_actor()).await;
        let (outcome, reason) = match activated {
            Ok(_) => {
                let description = format!("{description}: activated");
                return Ok(AttemptReport::new(AttemptOutcome::Accepted, description));
            }
            // The commit may have succeeded. The client would then be in use, so it must not be deleted.
            Err(RegistrationStepError::Internal(error)) => return Err(error),
            Err(RegistrationStepError::Unknown | RegistrationStepError::WrongState(_)) => {
                (AttemptOutcome::Superseded, RegistrationNotDue::AlreadyDecided.to_string())
            }
            Err(RegistrationStepError::Retired(error)) => (AttemptOutcome::Refused, error.to_string()),
            Err(RegistrationStepError::Invalid(error)) => (AttemptOutcome::Refused, error.to_string()),
        };
        let consequence = self.queue_client_deletion(management).await?;
        Ok(AttemptReport::new(outcome, format!("{description}: {reason}; {consequence}")))
    }

    async fn reject(
        &self,
        code: ProviderErrorCode,
        description: &str,
    ) -> Result<AttemptReport, InternalError> {
        match reject(self.ctx, &self.pair, rejection_reason(code), &self.provider_actor()).await {
            Ok(_) => Ok(AttemptReport::new(AttemptOutcome::AlreadyGone, format!("{description}: rejected"))),
            Err(RegistrationStepError::Internal(error)) => Err(error),
            Err(_) => Ok(report_not_due(RegistrationNotDue::AlreadyDecided)),
        }
    }

    /// Queues the deletion of a client that no registration uses, if the provider offers deletion. Returns a sentence
    /// for the job's description that states whether the client will be deleted.
    async fn queue_client_deletion(
        &self,
        management: Option<ClientManagement>,
    ) -> Result<&'static str, InternalError> {
        let Some(management) = management else {
            return Ok("a client may remain at the provider, which did not say how to delete it");
        };
        let RegistrationPair { client_id, provider_id } = self.pair.clone();
        let SealedClientConfiguration { data_key, sealed } =
            SealedClientConfiguration::seal(self.ctx, &client_id, provider_id, &management)?;
        let moment = self.ctx.new_moment()?;
        let configuration_access = sealed;
        self.ctx
            .run(DetachUpstreamClient { moment, client_id, provider_id, data_key, configuration_access })
            .await?;
        self.ctx.app().job_notify().notify_one();
        Ok("the client will be deleted at the provider")
    }
}
