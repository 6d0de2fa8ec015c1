//! The resolution of a failed job by an operator, who retries or closes it.

use domain::Moment;
use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::{Actor, AuditAction, SubjectKind};
use domain::model::connection::UpstreamRevocation;
use domain::model::job::{JobKind, ManagedJob, ResolveJobError};
use serde_json::{Value, json};

use super::audit_entry::{append_to_provider, build_audit_entry};
use super::job_count::record_job_transition;
use super::job_queue::JOB_RETRY_WINDOW;
use crate::entity::connection::lock_connection_of_job;
use crate::entity::job::known_job_kind;
use crate::entity::provider::lock_provider;
use crate::error::Result;
use crate::operation::Command;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// The operator's decision on a failed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedJobAction {
    /// Retries the job immediately, and then for another seven days.
    Retry,
    /// Closes the job without another attempt; the commit deletes its token.
    Close,
}

/// Retries or closes a failed job.
#[derive(Debug)]
pub struct ResolveFailedJob {
    pub moment: Moment,
    pub job_id: JobId,
    pub action: FailedJobAction,
    pub actor: Actor,
}

impl Command for ResolveFailedJob {
    /// `None` if there is no such job; an error if it has not failed, or cannot be retried.
    type Reply = Option<Result<(), ResolveJobError>>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(job): Option<ResolvedJob> = tx.fetch_optional(LOCK_JOB, values![self.job_id]).await? else {
            return Ok(None);
        };
        let new_state = match self.action {
            FailedJobAction::Retry => job.managed.retry(),
            FailedJobAction::Close => job.managed.close(),
        };
        let state = match new_state {
            Ok(state) => state,
            Err(error) => return Ok(Some(Err(error))),
        };
        match self.action {
            FailedJobAction::Retry => tx.defer(
                sql!(
                    "-- retry a failed job
                    UPDATE jobs SET state = ?2, attempt = 0, invalid_requests = 0, due_at = ?3, retry_until = ?4,
                        finished_at = NULL
                    WHERE id = ?1"
                ),
                values![self.job_id, state, self.moment.now, self.moment.now.plus(JOB_RETRY_WINDOW)],
            ),
            FailedJobAction::Close => tx.defer(
                sql!(
                    "-- close a failed job and delete its token
                    UPDATE jobs SET state = ?2, outcome = 'closed by an operator', finished_at = ?3, data_key = NULL,
                        token = NULL, access_key = NULL, access_token = NULL, grant_id = NULL, verifier = NULL
                    WHERE id = ?1"
                ),
                values![self.job_id, state, self.moment.now],
            ),
        }
        record_job_transition(tx, job.managed.kind.as_str(), Some(job.managed.state), Some(state), 1);
        self.record_event(tx, &job).await?;
        Ok(Some(Ok(())))
    }
}

/// The columns of a job that its resolution needs.
struct ResolvedJob {
    managed: ManagedJob,
    connection: Option<ConnectionId>,
    provider: ProviderId,
    client: Option<ClientId>,
}

impl FromRow for ResolvedJob {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            managed: ManagedJob {
                kind: row.get("kind")?,
                state: row.get("state")?,
                has_token: row.get("has_token")?,
            },
            connection: row.get("connection_id")?,
            provider: row.get("provider_id")?,
            client: row.get("client_id")?,
        })
    }
}

impl ResolvedJob {
    /// Returns the details of the audit event. A connection identifies its recipient and provider. For a job without a
    /// connection, the details contain both of them.
    fn audit_detail(&self, job: &JobId) -> Value {
        let (job, kind) = (job.as_str(), self.managed.kind.as_str());
        if let Some(connection) = &self.connection {
            return json!({"job": job, "kind": kind, "connection": connection.as_str()});
        }
        let client = self.client.as_ref().map(ClientId::as_str);
        json!({"job": job, "kind": kind, "client": client, "provider": self.provider})
    }
}

impl ResolveFailedJob {
    /// Appends the event to the audit chain of the connection or, if no connection was opened or another program has changed
    /// it, of the provider.
    async fn record_event(&self, tx: &mut Tx<'_>, job: &ResolvedJob) -> Result<()> {
        let action = match self.action {
            FailedJobAction::Retry => AuditAction::JobRetried,
            FailedJobAction::Close => AuditAction::JobClosed,
        };
        let detail = job.audit_detail(&self.job_id);
        let build_entry =
            |subject| build_audit_entry(subject, &self.moment, action, self.actor.clone(), &detail);
        if let Some(connection) = lock_connection_of_job(tx, job.connection.as_ref()).await? {
            let is_revocation_retry =
                job.managed.kind == JobKind::RevokeAtProvider && self.action == FailedJobAction::Retry;
            let revocation = if is_revocation_retry {
                UpstreamRevocation::Pending
            } else {
                connection.provider_revocation
            };
            let id = connection.id.to_string();
            let head = tx.audit(&connection.audit, build_entry((SubjectKind::Connection, &id)));
            tx.defer(
                sql!(
                    "-- record the resolution of a connection's job
                    UPDATE connections SET provider_revocation = ?2, audit_head = ?3, updated_at = ?4
                    WHERE id = ?1"
                ),
                values![connection.id, revocation, head, self.moment.now],
            );
        } else if let Some(provider) = lock_provider(tx, job.provider).await? {
            let id = provider.id.to_string();
            append_to_provider(tx, &provider, build_entry((SubjectKind::Provider, &id)));
        }
        Ok(())
    }
}

static LOCK_JOB: &Sql = sql!(concat!(
    "-- lock a job for its resolution
    SELECT kind, state, token IS NOT NULL AS has_token, connection_id, provider_id, client_id
    FROM jobs WHERE id = ?1 AND ",
    known_job_kind!(),
    " FOR UPDATE"
));

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LOCK_JOB];
