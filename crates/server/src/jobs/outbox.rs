//! Runs one attempt of a job: a call to a provider that must happen at least once, with back-off between attempts.
//!
//! A job is stored in the same transaction as its cause. The dispatcher leases the job. Its task calls the provider
//! outside of any transaction, and stores the result if the lease has not expired.

use domain::model::job::{Job, JobKind, JobStep};
use store::command::{FinishJob, LeasedJob, ReleaseJob};

use super::upstream_client;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::upstream::{AttemptError, AttemptReport, confirm_invalid_grant, run_revocation};

/// Runs one attempt of a leased job, and stores its result. The time of `ctx` must not be later than the start of the
/// lease.
pub(super) async fn run_job(ctx: &RequestContext, leased: LeasedJob) {
    let (id, kind) = (leased.job.id.clone(), leased.job.kind);
    // The job remains in the store, and is attempted again when its lease has expired.
    if let Err(error) = run_attempt(ctx, leased).await {
        tracing::error!(%error, job = %id, %kind, "the result of a job could not be stored");
    }
}

async fn run_attempt(ctx: &RequestContext, leased: LeasedJob) -> Result<(), InternalError> {
    let LeasedJob { job, lease, queue } = leased;
    let report = match job.kind {
        JobKind::RevokeAtProvider | JobKind::RevokeOrphanedGrant | JobKind::RecoverAuthorizationCode => {
            run_revocation(ctx, &job).await
        }
        JobKind::RegisterUpstreamClient => upstream_client::register(ctx, &job).await,
        JobKind::DeleteUpstreamClient => upstream_client::delete(ctx, &job).await,
        JobKind::ConfirmInvalidGrant => confirm_invalid_grant(ctx, &job).await,
    };
    let report = match report {
        Ok(report) => report,
        // Another call has opened the breaker, or is the trial call. This job waits without having used an attempt.
        Err(AttemptError::BreakerOpen) => {
            tracing::debug!(job = %job.id, provider = %job.provider_id, group = %queue.endpoint_group,
                "a job waits until the circuit breaker closes");
            ctx.run(ReleaseJob { moment: ctx.new_moment()?, job_id: job.id, lease }).await?;
            return Ok(());
        }
        // An internal error does not depend on the provider, so the job is retried as after a failed call.
        Err(AttemptError::Internal(error)) => AttemptReport::retry_later(&error),
    };
    let description = report.description.clone();
    let finish = FinishJob {
        // A new moment, because the back-off starts at the end of the attempt.
        moment: ctx.new_moment()?,
        job_id: job.id.clone(),
        lease,
        attempt: report.outcome,
        outcome: report.description,
        accepted: report.accepted,
        unrevoked: report.unrevoked,
    };
    log_step(&job, ctx.run(finish).await?, &description);
    Ok(())
}

fn log_step(job: &Job, step: Option<JobStep>, outcome: &str) {
    let connection = job.connection_id.as_ref().map(tracing::field::display);
    let client = job.client_id.as_ref().map(tracing::field::display);
    let (id, kind, provider) = (&job.id, job.kind, job.provider_id);
    let Some(step) = step else {
        tracing::warn!(job = %id, %kind, "job lease expired before the result could be stored");
        return;
    };
    let message = log_message(kind, step);
    match step {
        JobStep::Done => {
            tracing::info!(job = %id, %kind, connection, client, %provider, outcome, "{message}");
        }
        JobStep::Failed => {
            tracing::error!(job = %id, %kind, connection, client, %provider, outcome, "{message}");
        }
        JobStep::Retry(at) => {
            tracing::warn!(job = %id, %kind, connection, client, %provider, %at, outcome, "{message}");
        }
    }
}

/// Returns the log message for the result of an attempt. The log field `outcome` contains details, such as the HTTP
/// status.
const fn log_message(kind: JobKind, step: JobStep) -> &'static str {
    use JobKind::{
        ConfirmInvalidGrant, DeleteUpstreamClient, RecoverAuthorizationCode, RegisterUpstreamClient,
        RevokeAtProvider, RevokeOrphanedGrant,
    };
    match (kind, step) {
        (RevokeAtProvider, JobStep::Done) => "revocation at the provider completed",
        (RevokeAtProvider, JobStep::Failed) => "revocation at the provider failed; manual action required",
        (RevokeAtProvider, JobStep::Retry(_)) => "revocation at the provider will be retried",
        (RevokeOrphanedGrant | RecoverAuthorizationCode, JobStep::Done) => "orphaned grant resolved",
        (RevokeOrphanedGrant | RecoverAuthorizationCode, JobStep::Failed) => {
            "orphaned grant may still be active at the provider; manual action required"
        }
        (RevokeOrphanedGrant | RecoverAuthorizationCode, JobStep::Retry(_)) => {
            "revocation of an orphaned grant will be retried"
        }
        (RegisterUpstreamClient, JobStep::Done) => "client registration at the provider resolved",
        (RegisterUpstreamClient, JobStep::Failed) => {
            "client registration at the provider failed; manual action required"
        }
        (RegisterUpstreamClient, JobStep::Retry(_)) => "client registration at the provider will be retried",
        (DeleteUpstreamClient, JobStep::Done) => "client at the provider no longer exists",
        (DeleteUpstreamClient, JobStep::Failed) => {
            "client at the provider could not be deleted; manual action required"
        }
        (ConfirmInvalidGrant, JobStep::Done) => "repeated refresh completed",
        (ConfirmInvalidGrant, JobStep::Failed) => "repeated refresh failed; manual action required",
        (ConfirmInvalidGrant, JobStep::Retry(_)) => "repeated refresh will be retried",
        (DeleteUpstreamClient, JobStep::Retry(_)) => "deletion of the client at the provider will be retried",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_message_matches_job_kind() {
        for kind in JobKind::ALL.iter().copied() {
            let done = log_message(kind, JobStep::Done);
            let is_revocation_completed = done == "revocation at the provider completed";
            assert_eq!(is_revocation_completed, kind == JobKind::RevokeAtProvider, "{kind}: {done}");
            assert!(log_message(kind, JobStep::Failed).ends_with("manual action required"), "{kind}");
        }
    }
}
