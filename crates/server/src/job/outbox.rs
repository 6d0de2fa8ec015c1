//! The outbox: providers are told of ends and asked for clients, at least once, with back-off, in the open.

use domain::model::job::{Job, JobKind, JobStep};
use store::command::{FinishJob, LeaseJob};
use store::query::{JobCounts, ProviderCounts};

use super::own_client;
use crate::ctx::Ctx;
use crate::fault::Fault;
use crate::hub::Told;

/// Works on one due job; says whether there was one.
pub async fn tick(ctx: &Ctx) -> Result<bool, Fault> {
    let life = ctx.app().job_life();
    let Some((job, lease)) = ctx.run(LeaseJob { moment: ctx.moment()?, life }).await? else {
        return Ok(false);
    };
    let told = match job.kind {
        JobKind::TellBank | JobKind::RevokeOrphan | JobKind::RecoverCode => crate::hub::tell(ctx, &job).await,
        JobKind::RegisterClient => own_client::register(ctx, &job).await,
        JobKind::DeleteClient => own_client::delete(ctx, &job).await,
    };
    let Told { attempt, outcome, in_hand } = told.unwrap_or_else(|fault| Told::later(&fault));
    let finish = FinishJob {
        moment: ctx.later()?.moment()?,
        job_id: job.id.clone(),
        lease,
        attempt,
        outcome: outcome.clone(),
        in_hand,
    };
    log(&job, ctx.run(finish).await?, &outcome);
    Ok(true)
}

fn log(job: &Job, step: Option<JobStep>, outcome: &str) {
    let connection = job.connection_id.as_ref().map(tracing::field::display);
    let client = job.client_id.as_ref().map(tracing::field::display);
    let (id, kind, provider) = (&job.id, job.kind, job.provider_id);
    let said = said(kind, step);
    match step {
        Some(JobStep::Done) => {
            tracing::info!(job = %id, %kind, connection, client, %provider, outcome, "{said}");
        }
        Some(JobStep::Dead) => {
            tracing::error!(job = %id, %kind, connection, client, %provider, outcome, "{said}");
        }
        Some(JobStep::Retry(at)) => {
            tracing::warn!(job = %id, %kind, connection, client, %provider, %at, outcome, "{said}");
        }
        None => tracing::warn!(job = %id, %kind, "{said}"),
    }
}

/// What a step comes to, by what the job does; the outcome beside it says how the provider answered.
const fn said(kind: JobKind, step: Option<JobStep>) -> &'static str {
    use JobKind::{DeleteClient, RecoverCode, RegisterClient, RevokeOrphan, TellBank};
    match (kind, step) {
        (_, None) => "a lease ran out",
        (TellBank, Some(JobStep::Done)) => "provider told",
        (TellBank, Some(JobStep::Dead)) => "provider not told: a person must look",
        (TellBank, Some(JobStep::Retry(_))) => "provider is told later",
        (RevokeOrphan | RecoverCode, Some(JobStep::Done)) => "a grant that is nobody's is settled",
        (RevokeOrphan | RecoverCode, Some(JobStep::Dead)) => {
            "a grant that is nobody's may live: a person must look"
        }
        (RevokeOrphan | RecoverCode, Some(JobStep::Retry(_))) => "a grant that is nobody's is revoked later",
        (RegisterClient, Some(JobStep::Done)) => "a registration is decided",
        (RegisterClient, Some(JobStep::Dead)) => "no client was registered: a person must look",
        (RegisterClient, Some(JobStep::Retry(_))) => "a client is registered later",
        (DeleteClient, Some(JobStep::Done)) => "a client is no more at its provider",
        (DeleteClient, Some(JobStep::Dead)) => "a client was not deleted: a person must look",
        (DeleteClient, Some(JobStep::Retry(_))) => "a client is deleted later",
    }
}

/// Puts the numbers of jobs and providers on the metrics page.
pub async fn count(ctx: &Ctx) -> Result<(), Fault> {
    for ((kind, state), number) in ctx.ask(&JobCounts).await? {
        let labels = [("kind", kind.to_owned()), ("state", state.to_owned())];
        ctx.app().telemetry().level("bowline_jobs", &labels, u32::try_from(number).unwrap_or(u32::MAX));
    }
    for (state, number) in ctx.ask(&ProviderCounts).await? {
        let labels = [("state", state.to_owned())];
        ctx.app().telemetry().level("bowline_providers", &labels, u32::try_from(number).unwrap_or(u32::MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_true_of_the_kind() {
        for kind in JobKind::ALL.iter().copied() {
            let said = said(kind, Some(JobStep::Done));
            assert_eq!(said == "provider told", kind == JobKind::TellBank, "{kind}: {said}");
            assert!(super::said(kind, Some(JobStep::Dead)).ends_with("a person must look"), "{kind}");
        }
    }
}
