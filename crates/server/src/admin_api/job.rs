//! Jobs: deferred work, as a person looks at it and after it.

use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::job::{JobKind, JobState};
use schemars::JsonSchema;
use serde::Serialize;
use store::command::{FailedJobAction, ResolveFailedJob};
use store::query::{JobSummary, ListJobs};

use super::page::PageRequest;
use super::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::response::{EnumValue, Time};

/// A job without what it holds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobBody {
    /// Its id.
    #[schemars(with = "String")]
    id: JobId,
    /// What it does.
    kind: EnumValue<JobKind>,
    /// Where it stands.
    state: EnumValue<JobState>,
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
    retry_until: Time,
    /// When it was made.
    created_at: Time,
    /// When it was done or given up.
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

/// What became of a job that was given up.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResolveJobResponse {
    /// What was done.
    outcome: ResolveJobOutcome,
    /// The job.
    #[schemars(with = "String")]
    id: JobId,
}

/// What a person does with a job that was given up.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolveJobOutcome {
    /// It is tried again, for seven days more.
    Retried,
    /// It is closed: its token is gone, the provider stays untold.
    Closed,
}

/// Jobs that a query looks for.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<JobBody>, AdminError> {
    let params = Params::from_query(query, &["state", "kind", "provider_id", "limit", "after"])?;
    let page_request = PageRequest::from_params(ctx, "jobs", &params)?;
    let search = ListJobs {
        state: params.parse_enum("state", JobState::ALL, JobState::as_str)?,
        kind: params.parse_enum("kind", JobKind::ALL, JobKind::as_str)?,
        provider_id: params.provider_id()?,
        after: page_request.parse_after(|text| JobId::parse(text).ok())?,
        limit: page_request.row_limit(),
    };
    page_request.build_page(ctx, ctx.ask(&search).await?, |job| job.id.to_string(), JobBody::from_summary)
}

/// Has a job that was given up tried again.
pub async fn retry(ctx: &RequestContext, id: &str, actor: Actor) -> Result<ResolveJobResponse, AdminError> {
    let job_id = resolve_failed_job(ctx, id, FailedJobAction::Retry, actor).await?;
    ctx.app().job_notify().notify_one();
    tracing::info!(job = %job_id, "a person has a job tried again");
    Ok(ResolveJobResponse { outcome: ResolveJobOutcome::Retried, id: job_id })
}

/// Closes a job that was given up: its token goes.
pub async fn close(ctx: &RequestContext, id: &str, actor: Actor) -> Result<ResolveJobResponse, AdminError> {
    let job_id = resolve_failed_job(ctx, id, FailedJobAction::Close, actor).await?;
    tracing::info!(job = %job_id, "a person closed a job");
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
    ctx.run(command).await?.ok_or(NOT_FOUND)?.map_err(|why| AdminError::Conflict(why.to_string()))?;
    Ok(job_id)
}
