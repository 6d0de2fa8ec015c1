//! The outbox: providers are told of ends and asked for clients, at least once, with back-off, in the open.

use domain::model::job::{Job, JobKind, JobStep};
use store::command::{FinishJob, LeaseJob};
use store::query::{CountJobs, CountProviders};

use super::upstream_client;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::upstream::AttemptReport;

/// Works on one due job; says whether there was one.
pub async fn run_next_job(ctx: &RequestContext) -> Result<bool, InternalError> {
    let life = ctx.app().job_lease_duration();
    let Some((job, lease)) = ctx.run(LeaseJob { moment: ctx.new_moment()?, lease_ttl: life }).await? else {
        return Ok(false);
    };
    let report = match job.kind {
        JobKind::RevokeAtProvider | JobKind::RevokeOrphanedGrant | JobKind::RecoverAuthorizationCode => {
            crate::upstream::run_revocation(ctx, &job).await
        }
        JobKind::RegisterUpstreamClient => upstream_client::register(ctx, &job).await,
        JobKind::DeleteUpstreamClient => upstream_client::delete(ctx, &job).await,
    };
    let AttemptReport { attempt, outcome, unrevoked: in_hand } =
        report.unwrap_or_else(|fault| AttemptReport::retry_later(&fault));
    let finish = FinishJob {
        moment: ctx.refreshed()?.new_moment()?,
        job_id: job.id.clone(),
        lease,
        attempt,
        outcome: outcome.clone(),
        unrevoked: in_hand,
    };
    log(&job, ctx.run(finish).await?, &outcome);
    Ok(true)
}

fn log(job: &Job, step: Option<JobStep>, outcome: &str) {
    let connection = job.connection_id.as_ref().map(tracing::field::display);
    let client = job.client_id.as_ref().map(tracing::field::display);
    let (id, kind, provider) = (&job.id, job.kind, job.provider_id);
    let said = log_message(kind, step);
    match step {
        Some(JobStep::Done) => {
            tracing::info!(job = %id, %kind, connection, client, %provider, outcome, "{said}");
        }
        Some(JobStep::Failed) => {
            tracing::error!(job = %id, %kind, connection, client, %provider, outcome, "{said}");
        }
        Some(JobStep::Retry(at)) => {
            tracing::warn!(job = %id, %kind, connection, client, %provider, %at, outcome, "{said}");
        }
        None => tracing::warn!(job = %id, %kind, "{said}"),
    }
}

/// What a step comes to, by what the job does; the outcome beside it says how the provider answered.
const fn log_message(kind: JobKind, step: Option<JobStep>) -> &'static str {
    use JobKind::{
        DeleteUpstreamClient, RecoverAuthorizationCode, RegisterUpstreamClient, RevokeAtProvider,
        RevokeOrphanedGrant,
    };
    match (kind, step) {
        (_, None) => "a lease ran out",
        (RevokeAtProvider, Some(JobStep::Done)) => "provider told",
        (RevokeAtProvider, Some(JobStep::Failed)) => "provider not told: a person must look",
        (RevokeAtProvider, Some(JobStep::Retry(_))) => "provider is told later",
        (RevokeOrphanedGrant | RecoverAuthorizationCode, Some(JobStep::Done)) => {
            "a grant that is nobody's is settled"
        }
        (RevokeOrphanedGrant | RecoverAuthorizationCode, Some(JobStep::Failed)) => {
            "a grant that is nobody's may live: a person must look"
        }
        (RevokeOrphanedGrant | RecoverAuthorizationCode, Some(JobStep::Retry(_))) => {
            "a grant that is nobody's is revoked later"
        }
        (RegisterUpstreamClient, Some(JobStep::Done)) => "a registration is decided",
        (RegisterUpstreamClient, Some(JobStep::Failed)) => "no client was registered: a person must look",
        (RegisterUpstreamClient, Some(JobStep::Retry(_))) => "a client is registered later",
        (DeleteUpstreamClient, Some(JobStep::Done)) => "a client is no more at its provider",
        (DeleteUpstreamClient, Some(JobStep::Failed)) => "a client was not deleted: a person must look",
        (DeleteUpstreamClient, Some(JobStep::Retry(_))) => "a client is deleted later",
    }
}

/// Puts the numbers of jobs and providers on the metrics page.
pub async fn update_job_gauges(ctx: &RequestContext) -> Result<(), InternalError> {
    for ((kind, state), number) in ctx.ask(&CountJobs).await? {
        let labels = [("kind", kind.to_owned()), ("state", state.to_owned())];
        ctx.app().telemetry().set_gauge("bowline_jobs", &labels, u32::try_from(number).unwrap_or(u32::MAX));
    }
    for (state, number) in ctx.ask(&CountProviders).await? {
        let labels = [("state", state.to_owned())];
        ctx.app().telemetry().set_gauge(
            "bowline_providers",
            &labels,
            u32::try_from(number).unwrap_or(u32::MAX),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_message_matches_job_kind() {
        for kind in JobKind::ALL.iter().copied() {
            let said = log_message(kind, Some(JobStep::Done));
            assert_eq!(said == "provider told", kind == JobKind::RevokeAtProvider, "{kind}: {said}");
            assert!(log_message(kind, Some(JobStep::Failed)).ends_with("a person must look"), "{kind}");
        }
    }
}
