//! Jobs: deferred work, as a person looks at it and after it.

use domain::id::JobId;
use domain::model::audit_event::Actor;
use domain::model::job::{JobKind, JobState};
use serde_json::{Value, json};
use store::command::{SettleJob, Settlement};
use store::query::{JobSeen, Jobs};

use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;

/// A job without what it holds.
pub(super) fn shown(job: &JobSeen) -> Value {
    json!({"id": job.id, "kind": job.kind.as_str(), "state": job.state.as_str(), "connection_id": job.connection_id,
        "provider_id": job.provider_id, "attempts": job.attempt, "outcome": job.outcome,
        "holds_token": job.holds_token, "due_at": job.due_at.to_string(),
        "give_up_at": job.give_up_at.to_string(), "created_at": job.created_at.to_string(),
        "finished_at": job.finished_at.map(|at| at.to_string())})
}

/// Jobs that a query looks for.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<Value>, AdminError> {
    let params = Params::query(query, &["state", "kind", "provider_id", "limit", "after"])?;
    let asked = Asked::of(ctx, "jobs", &params)?;
    let search = Jobs {
        state: params.word("state", JobState::ALL, JobState::as_str)?,
        kind: params.word("kind", JobKind::ALL, JobKind::as_str)?,
        provider_id: params.provider()?,
        after: asked.after(|text| JobId::parse(text).ok())?,
        limit: asked.rows(),
    };
    asked.page(ctx, ctx.ask(&search).await?, |job| job.id.to_string(), |job| shown(&job))
}

/// Has a job that was given up tried again.
pub async fn retry(ctx: &Ctx, id: &str, actor: Actor) -> Result<Value, AdminError> {
    let job_id = settle(ctx, id, Settlement::Retry, actor).await?;
    ctx.app().jobs().notify_one();
    tracing::info!(job = %job_id, "a person has a job tried again");
    Ok(json!({"outcome": "retried", "id": job_id}))
}

/// Closes a job that was given up: its token goes.
pub async fn close(ctx: &Ctx, id: &str, actor: Actor) -> Result<Value, AdminError> {
    let job_id = settle(ctx, id, Settlement::Close, actor).await?;
    tracing::info!(job = %job_id, "a person closed a job");
    Ok(json!({"outcome": "closed", "id": job_id}))
}

async fn settle(ctx: &Ctx, id: &str, settlement: Settlement, actor: Actor) -> Result<JobId, AdminError> {
    const NOBODY: AdminError = AdminError::NotFound("job");
    let job_id = JobId::parse(id).map_err(|_| NOBODY)?;
    let settle = SettleJob { moment: ctx.moment()?, job_id: job_id.clone(), settlement, actor };
    ctx.run(settle).await?.ok_or(NOBODY)?.map_err(|why| AdminError::Conflict(why.to_string()))?;
    Ok(job_id)
}
