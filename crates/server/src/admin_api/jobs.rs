//! Lists background jobs for operators, and retries or closes failed ones.

use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::job::{JobKind, JobState};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{FailedJobAction, ResolveFailedJob};
use store::query::{JobSummary, ListJobs};

use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::context::RequestContext;
use crate::response::{EnumValue, Time};

/// A background job, without the token that the stored job contains.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobBody {
    #[schemars(with = "String")]
    id: JobId,
    kind: EnumValue<JobKind>,
    state: EnumValue<JobState>,
    /// The id of the connection that the job belongs to; `null` for jobs that register or delete a client.
    #[schemars(with = "Option<String>")]
    connection_id: Option<ConnectionId>,
    /// The id of the provider that the job calls.
    #[schemars(with = "i64")]
    provider_id: ProviderId,
    /// The id of the recipient, if the provider has one client for each registration.
    #[schemars(with = "Option<String>")]
    client_id: Option<ClientId>,
    /// The number of attempts so far.
    attempts: u32,
    /// The description of the last attempt's outcome; `null` before the first attempt.
    outcome: Option<String>,
    /// Whether the job still contains its encrypted token.
    holds_token: bool,
    /// The time at or after which the next attempt starts.
    due_at: Time,
    /// The time after which the job fails instead of being retried.
    retry_until: Time,
    created_at: Time,
    /// The time when the job was completed or failed.
    finished_at: Option<Time>,
}

impl JobBody {
    pub(super) fn from_summary(job: JobSummary) -> Self {
        Self {
            id: job.id,
            kind: EnumValue(job.kind),
            state: EnumValue(job.state),
            connection_id: job.connection_id,
            provider_id: job.provider_id,
            client_id: job.client_id,
            attempts: job.attempt,
            outcome: job.outcome,
            holds_token: job.holds_token,
            due_at: job.due_at.into(),
            retry_until: job.retry_until.into(),
            created_at: job.created_at.into(),
            finished_at: job.finished_at.map(Time),
        }
    }
}

/// The result of an action on a failed job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResolveJobResponse {
    outcome: ResolveJobOutcome,
    #[schemars(with = "String")]
    id: JobId,
}

/// The action that was taken on a failed job.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolveJobOutcome {
    /// The job is retried for another seven days.
    Retried,
    /// The job is closed: its token is deleted, and the provider is not called.
    Closed,
}

/// Lists the jobs that match a query, newest first.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<JobBody>, AdminError> {
    let params = Params::from_query(query, &["state", "kind", "provider_id", "limit", "after"])?;
    let page = PageRequest::from_params(ctx, "jobs", &params)?;
    let search = ListJobs {
        state: params.parse_enum("state", JobState::ALL, JobState::as_str)?,
        kind: params.parse_enum("kind", JobKind::ALL, JobKind::as_str)?,
        provider_id: params.provider_id()?,
        after: page.parse_after(|text| JobId::parse(text).ok())?,
        limit: page.row_limit(),
    };
    page.build_page(ctx, ctx.ask(&search).await?, |job| job.id.to_string(), JobBody::from_summary)
}

/// Schedules a failed job again. Returns a conflict if the job has not failed.
pub async fn retry(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<ResolveJobResponse, AdminError> {
    let job_id = resolve_failed_job(ctx, id, FailedJobAction::Retry, actor).await?;
    // Without this signal, the job would wait until a worker polls the store.
    ctx.app().job_notify().notify_one();
    tracing::info!(job = %job_id, "failed job scheduled again");
    Ok(ResolveJobResponse { outcome: ResolveJobOutcome::Retried, id: job_id })
}

/// Closes a failed job and deletes its token. Returns a conflict if the job has not failed.
pub async fn close(
    ctx: &RequestContext,
    [id]: &[String; 1],
    actor: Actor,
) -> Result<ResolveJobResponse, AdminError> {
    let job_id = resolve_failed_job(ctx, id, FailedJobAction::Close, actor).await?;
    tracing::info!(job = %job_id, "failed job closed");
    Ok(ResolveJobResponse { outcome: ResolveJobOutcome::Closed, id: job_id })
}

async fn resolve_failed_job(
    ctx: &RequestContext,
    id: &str,
    action: FailedJobAction,
    actor: Actor,
) -> Result<JobId, AdminError> {
    const NOT_FOUND: AdminError = AdminError::NotFound("job");
    let job_id = JobId::parse(id).map_err(|_| NOT_FOUND)?;
    let command = ResolveFailedJob { moment: ctx.new_moment()?, job_id: job_id.clone(), action, actor };
    ctx.run(command).await?.ok_or(NOT_FOUND)?.map_err(|error| AdminError::Conflict(error.to_string()))?;
    Ok(job_id)
}
