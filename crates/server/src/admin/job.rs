//! Jobs: deferred work, as a person looks at it and after it.

use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::job::{JobKind, JobState};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{SettleJob, Settlement};
use store::query::{JobSeen, Jobs};

use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::wire::{Time, Word};

/// A job without what it holds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobBody {
    /// Its id.
    #[schemars(with = "String")]
    id: JobId,
    /// What it does.
    kind: Word<JobKind>,
    /// Where it stands.
    state: Word<JobState>,
    /// The connection it is about; none if it is about a registration.
    #[schemars(with = "Option<String>")]
    connection_id: Option<ConnectionId>,
    /// The provider to tell.
    #[schemars(with = "i64")]
    provider_id: ProviderId,
    /// The recipient, where the provider has a client for each, or it is about a registration.
    #[schemars(with = "Option<String>")]
    client_id: Option<ClientId>,
    /// Tries so far.
    attempts: u32,
    /// How the last try went, in words.
    outcome: Option<String>,
    /// Whether it holds a sealed token.
    holds_token: bool,
    /// When it is tried next.
    due_at: Time,
    /// When it is given up.
    give_up_at: Time,
    /// When it was made.
    created_at: Time,
    /// When it was done or given up.
    finished_at: Option<Time>,
}

impl JobBody {
    pub(super) fn of(job: JobSeen) -> Self {
        Self {
            id: job.id,
            kind: Word(job.kind),
            state: Word(job.state),
            connection_id: job.connection_id,
            provider_id: job.provider_id,
            client_id: job.client_id,
            attempts: job.attempt,
            outcome: job.outcome,
            holds_token: job.holds_token,
            due_at: job.due_at.into(),
            give_up_at: job.give_up_at.into(),
            created_at: job.created_at.into(),
            finished_at: job.finished_at.map(Time),
        }
    }
}

/// What became of a job that was given up.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobSettled {
    /// What was done.
    outcome: SettledWord,
    /// The job.
    #[schemars(with = "String")]
    id: JobId,
}

/// What a person does with a job that was given up.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettledWord {
    /// It is tried again, for seven days more.
    Retried,
    /// It is closed: its token is gone, the provider stays untold.
    Closed,
}

/// Jobs that a query looks for.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<JobBody>, AdminError> {
    let params = Params::query(query, &["state", "kind", "provider_id", "limit", "after"])?;
    let asked = Asked::of(ctx, "jobs", &params)?;
    let search = Jobs {
        state: params.word("state", JobState::ALL, JobState::as_str)?,
        kind: params.word("kind", JobKind::ALL, JobKind::as_str)?,
        provider_id: params.provider()?,
        after: asked.after(|text| JobId::parse(text).ok())?,
        limit: asked.rows(),
    };
    asked.page(ctx, ctx.ask(&search).await?, |job| job.id.to_string(), JobBody::of)
}

/// Has a job that was given up tried again.
pub async fn retry(ctx: &Ctx, id: &str, actor: Actor) -> Result<JobSettled, AdminError> {
    let job_id = settle(ctx, id, Settlement::Retry, actor).await?;
    ctx.app().jobs().notify_one();
    tracing::info!(job = %job_id, "a person has a job tried again");
    Ok(JobSettled { outcome: SettledWord::Retried, id: job_id })
}

/// Closes a job that was given up: its token goes.
pub async fn close(ctx: &Ctx, id: &str, actor: Actor) -> Result<JobSettled, AdminError> {
    let job_id = settle(ctx, id, Settlement::Close, actor).await?;
    tracing::info!(job = %job_id, "a person closed a job");
    Ok(JobSettled { outcome: SettledWord::Closed, id: job_id })
}

async fn settle(ctx: &Ctx, id: &str, settlement: Settlement, actor: Actor) -> Result<JobId, AdminError> {
    const NOBODY: AdminError = AdminError::NotFound("job");
    let job_id = JobId::parse(id).map_err(|_| NOBODY)?;
    let settle = SettleJob { moment: ctx.moment()?, job_id: job_id.clone(), settlement, actor };
    ctx.run(settle).await?.ok_or(NOBODY)?.map_err(|why| AdminError::Conflict(why.to_string()))?;
    Ok(job_id)
}
