//! Lists background jobs for operators, and retries or closes failed ones.

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::job::{JobKind, JobState};
use domain::rule::validation::ValidationError;
use futures_util::{StreamExt, TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::StoreError;
use store::command::{FailedJobAction, ResolveFailedJob};
use store::query::{GetProvider, JobSummary, ListJobs, ListRetryableJobs, RetryableJob, SEARCH_WINDOW};

use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::{Params, parse_dry_run};
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::paging::{open_position, seal_position};
use crate::request::RequestBody;
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

/// The selection of failed jobs to retry: either those of one provider or all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryJobsRequest {
    /// The id of the provider whose jobs are retried.
    #[schemars(range(min = 1))]
    provider_id: Option<i64>,
    /// True to retry the jobs of all providers.
    all: Option<bool>,
    /// The latest time of failure, in RFC 3339: now if it is absent. To retry the next batch, send the value of the response, so that
    /// jobs which fail again in the meantime are not retried forever.
    // An empty text counts as absent, as everywhere in JSON bodies, so the format `date-time` would not be true.
    #[schemars(regex(pattern = "^(|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+)$"))]
    failed_until: Option<String>,
    /// The value of `next` in the response to the previous batch with the same selection. Jobs that could not be retried are then not
    /// selected again.
    after: Option<String>,
}

impl RequestBody for RetryJobsRequest {}

impl RetryJobsRequest {
    /// Validates the request. Returns the provider, or `None` for all, and the latest time of failure.
    fn validate(self, now: Timestamp) -> Result<(Option<ProviderId>, Timestamp), ValidationError> {
        let provider_id = match (self.provider_id, self.all.unwrap_or_default()) {
            (Some(id), false) if id > 0 => Some(ProviderId::new(id)),
            (Some(_), false) => {
                return Err(ValidationError::new("provider_id", "must be a positive integer"));
            }
            (None, true) => None,
            (None, false) => return Err(ValidationError::new("provider_id", SELECTION_EXPECTED)),
            (Some(_), true) => return Err(ValidationError::new("all", SELECTION_EXPECTED)),
        };
        let expected = || ValidationError::new("failed_until", "expected a time in RFC 3339");
        let parse = |text: &String| Timestamp::parse(text).ok_or_else(expected);
        let failed_until = self.failed_until.as_ref().map(parse).transpose()?;
        // A job that fails again fails later than now, so it is never retried twice.
        Ok((provider_id, failed_until.unwrap_or(now).min(now)))
    }
}

const SELECTION_EXPECTED: &str = "expected either provider_id or all";

/// The result of a retry of several jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RetryJobsResponse {
    outcome: RetryJobsOutcome,
    /// The number of jobs that were retried, or would be.
    jobs: usize,
    /// The number of jobs of this batch that could not be retried, because another program has changed the row of their provider. The
    /// log contains its id.
    skipped: usize,
    /// True if more jobs are selected than one request retries, or a dry run counts.
    has_more: bool,
    /// The value of `after` for the next batch; `null` if there is none.
    next: Option<String>,
    /// The latest time of failure of the selected jobs.
    failed_until: Time,
}

/// The action that was taken on the selected jobs.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryJobsOutcome {
    /// The jobs are retried for another seven days.
    Retried,
    /// Nothing has changed, because a dry run was requested.
    WouldRetry,
}

/// The maximum number of jobs that one request retries.
const RETRY_BATCH_SIZE: usize = 100;
/// The maximum number of jobs that a dry run counts.
const MAX_DRY_RUN_COUNT: usize = 10_000;
/// The number of jobs that are retried concurrently: enough for the store to combine commits, but few enough that other
/// requests need not wait.
const MAX_CONCURRENT_RETRIES: usize = 16;

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
        window: SEARCH_WINDOW,
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

/// Schedules a batch of failed jobs again. Each job has a transaction and an audit event of its own, as if it were
/// retried by its id. With `dry_run=true` in the query, only returns what would happen.
pub async fn retry_batch(
    ctx: &RequestContext,
    query: Option<&str>,
    request: RetryJobsRequest,
    actor: Actor,
) -> Result<RetryJobsResponse, AdminError> {
    let dry_run = parse_dry_run(query)?;
    let after = request.after.clone();
    let (provider_id, failed_until) = request.validate(ctx.now())?;
    if let Some(id) = provider_id {
        ctx.ask(&GetProvider { id }).await?.ok_or(AdminError::NotFound("provider"))?;
    }
    let max = if dry_run { MAX_DRY_RUN_COUNT } else { RETRY_BATCH_SIZE };
    let cursor = RetryCursor::new(ctx, provider_id);
    let after = after.filter(|text| !text.is_empty()).map(|text| cursor.open(&text)).transpose()?;
    // One more than the maximum shows whether there are more.
    let limit = u32::try_from(max + 1).unwrap_or(u32::MAX);
    let mut batch = ctx.ask(&ListRetryableJobs { provider_id, failed_until, after, limit }).await?;
    let has_more = batch.len() > max;
    batch.truncate(max);
    let next = batch.last().filter(|_| has_more).map(|last| cursor.seal(last)).transpose()?;
    let (outcome, (jobs, skipped)) = if dry_run {
        (RetryJobsOutcome::WouldRetry, (batch.len(), 0))
    } else {
        (RetryJobsOutcome::Retried, retry_jobs(ctx, batch, &actor).await?)
    };
    Ok(RetryJobsResponse { outcome, jobs, skipped, has_more, next, failed_until: failed_until.into() })
}

/// Seals and opens the positions between two batches of one selection.
struct RetryCursor<'a> {
    ctx: &'a RequestContext,
    bound_to: String,
}

impl<'a> RetryCursor<'a> {
    fn new(ctx: &'a RequestContext, provider_id: Option<ProviderId>) -> Self {
        let selection = provider_id.map(|id| id.to_string()).unwrap_or_default();
        Self { ctx, bound_to: format!("admin\njobs/retry\n{selection}") }
    }

    fn open(&self, text: &str) -> Result<RetryableJob, ValidationError> {
        let position = open_position(self.ctx, &self.bound_to, text);
        let parse = |position: String| {
            let (provider_id, id) = position.split_once(' ')?;
            Some(RetryableJob { provider_id: ProviderId::parse(provider_id)?, id: JobId::parse(id).ok()? })
        };
        let expected = "expected `next` of the same selection, not altered and not expired";
        position.and_then(parse).ok_or_else(|| ValidationError::new("after", expected))
    }

    fn seal(&self, job: &RetryableJob) -> Result<String, InternalError> {
        seal_position(self.ctx, &self.bound_to, &format!("{} {}", job.provider_id, job.id))
    }
}

/// Schedules failed jobs again. Returns their number, and that of the jobs that were skipped because their rows were changed by
/// another program.
async fn retry_jobs(
    ctx: &RequestContext,
    batch: Vec<RetryableJob>,
    actor: &Actor,
) -> Result<(usize, usize), AdminError> {
    let attempts = batch.into_iter().map(|RetryableJob { id: job_id, .. }| async move {
        let (moment, action) = (ctx.new_moment()?, FailedJobAction::Retry);
        let retry = ResolveFailedJob { moment, job_id, action, actor: actor.clone() };
        match ctx.run(retry).await {
            // One such job must not keep the others from being retried.
            Err(StoreError::UnverifiedRow { .. }) => Ok((0, 1)),
            // Another operator may have retried or closed the job in the meantime.
            reply => Ok::<_, InternalError>((usize::from(reply? == Some(Ok(()))), 0)),
        }
    });
    let attempts = stream::iter(attempts).buffer_unordered(MAX_CONCURRENT_RETRIES);
    let add = async |sum: (usize, usize), attempt: (usize, usize)| Ok((sum.0 + attempt.0, sum.1 + attempt.1));
    let (jobs, skipped) = attempts.try_fold((0, 0), add).await?;
    ctx.app().job_notify().notify_one();
    tracing::info!(jobs, skipped, "failed jobs scheduled again");
    Ok((jobs, skipped))
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
