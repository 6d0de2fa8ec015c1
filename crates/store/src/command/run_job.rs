//! Attempts of jobs: a worker leases a job, calls the provider outside of any transaction, and records the outcome.

use std::time::Duration;

use domain::Moment;
use domain::id::{ConnectionId, JobId, LeaseId};
use domain::model::audit_event::{Actor, ActorKind, AuditAction, SubjectKind};
use domain::model::connection::UpstreamRevocation;
use domain::model::job::{AttemptOutcome, Job, JobKind, JobState, JobStep, OrphanedGrantStatus};
use domain::model::provider::RevokeMethod;
use serde_json::json;

use super::audit_entry::{append_to_provider, build_audit_entry};
use super::job_count::record_job_transition;
use super::job_queue::{JOB_RETRY_WINDOW, UnrevokedToken, queue_orphaned_revocations};
use crate::entity::connection::lock_connection_of_job;
use crate::entity::job::{JobQueue, lock_due_jobs, lock_leased_job};
use crate::entity::provider::lock_provider_of_job;
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// A queue, and the number of its jobs that a worker can run now.
#[derive(Clone, Copy, Debug)]
pub struct JobQueueDemand {
    pub queue: JobQueue,
    pub limit: u32,
}

/// Leases due jobs of several queues. After its lease has expired, a job can be leased again.
#[derive(Debug)]
pub struct LeaseJobs {
    pub moment: Moment,
    pub lease_ttl: Duration,
    pub demands: Vec<JobQueueDemand>,
}

/// A job that one worker may run until its lease expires.
#[derive(Clone, Debug)]
pub struct LeasedJob {
    pub job: Job,
    pub lease: LeaseId,
    pub queue: JobQueue,
}

impl Command for LeaseJobs {
    type Reply = Vec<LeasedJob>;
    const KIND: CommandKind = CommandKind::Lease;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let mut leased = Vec::new();
        for JobQueueDemand { queue, limit } in &self.demands {
            for job in lock_due_jobs(tx, queue, self.moment.now, *limit).await? {
                let lease = tx.ids().mint::<LeaseId>();
                tx.defer(
                    sql!("-- lease a job\nUPDATE jobs SET lease_id = ?2, lease_until = ?3 WHERE id = ?1"),
                    values![job.id, lease, self.moment.now.plus(self.lease_ttl)],
                );
                leased.push(LeasedJob { job, lease, queue: *queue });
            }
        }
        Ok(leased)
    }
}

/// Gives up the lease of a job that was not attempted. The job keeps its place in the queue, and no attempt is counted.
#[derive(Debug)]
pub struct ReleaseJob {
    pub moment: Moment,
    pub job_id: JobId,
    pub lease: LeaseId,
}

impl Command for ReleaseJob {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        tx.defer(
            sql!(
                "-- release the lease of a job
                UPDATE jobs SET lease_id = NULL, lease_until = NULL WHERE id = ?1 AND lease_id = ?2"
            ),
            values![self.job_id, self.lease],
        );
        Ok(())
    }
}

static OTHER_PENDING_REVOCATION: &Sql = sql!(
    "-- find another pending revocation of a connection
    WITH RECURSIVE chain (id, previous_job_id, kind, state) AS (
        SELECT id, previous_job_id, kind, state FROM jobs WHERE id = ?1
        UNION ALL SELECT j.id, j.previous_job_id, j.kind, j.state FROM chain c JOIN jobs j ON j.id = c.previous_job_id
    )
    SELECT id FROM chain WHERE id <> ?2 AND kind = 'revoke_at_provider' AND state = 'pending' LIMIT 1"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[OTHER_PENDING_REVOCATION];

/// Records the outcome of an attempt, and its consequences for the connection or the orphaned grant.
#[derive(Debug)]
pub struct FinishJob {
    pub moment: Moment,
    pub job_id: JobId,
    pub lease: LeaseId,
    pub attempt: AttemptOutcome,
    /// A description of the outcome for operators. It must not contain a token.
    pub outcome: String,
    /// The methods of revocation that the provider has accepted in this attempt.
    pub accepted: Vec<RevokeMethod>,
    /// The tokens that the attempt obtained and could not revoke; a job of its own is queued to revoke each.
    pub unrevoked: Vec<UnrevokedToken>,
}

impl Command for FinishJob {
    /// `None` if the lease has expired and another worker has taken the job.
    type Reply = Option<JobStep>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<JobStep>> {
        let Some(mut job) = lock_leased_job(tx, &self.job_id, &self.lease).await? else {
            return Ok(None);
        };
        job.accepted_methods.extend(&self.accepted);
        let step = job.next_step(self.attempt, self.moment.now);
        // Waiting does not use up the retry window: it starts again after each blocked attempt.
        let extended_retry_until =
            matches!(self.attempt, AttemptOutcome::Blocked).then(|| self.moment.now.plus(JOB_RETRY_WINDOW));
        let is_invalid_request = matches!(self.attempt, AttemptOutcome::InvalidRequest { .. });
        let invalid_requests = job.invalid_requests + u32::from(is_invalid_request);
        match step {
            JobStep::Retry(due) => tx.defer(
                sql!(
                    "-- schedule the next attempt of a job
                    UPDATE jobs SET attempt = attempt + 1, invalid_requests = ?5, due_at = ?2, outcome = ?3, lease_id = NULL,
                        accepted_methods = ?6, lease_until = NULL, retry_until = COALESCE(?4, retry_until)
                    WHERE id = ?1"
                ),
                values![
                    job.id,
                    due,
                    self.outcome,
                    extended_retry_until,
                    invalid_requests,
                    encode_methods(&job)?
                ],
            ),
            JobStep::Done => self.close(tx, &job, JobState::Done)?,
            JobStep::Failed => self.close(tx, &job, JobState::Failed)?,
        }
        if let (JobKind::RevokeAtProvider, Some(revocation)) =
            (job.kind, job.provider_revocation_after(self.attempt, step))
        {
            self.record_provider_revocation(tx, &job, revocation).await?;
        }
        queue_orphaned_revocations(tx, &self.moment, &job, &self.unrevoked);
        match job.orphaned_grant_after(self.attempt, step) {
            Some(grant) if self.unrevoked.is_empty() => self.record_orphaned_grant(tx, &job, grant).await?,
            _ => {}
        }
        Ok(Some(step))
    }
}

/// Encodes the accepted methods of a job for its column; null if there are none.
fn encode_methods(job: &Job) -> Result<Option<String>> {
    let methods = &job.accepted_methods;
    let encoded = (!methods.is_empty()).then(|| serde_json::to_string(methods)).transpose();
    encoded.map_err(|error| StoreError::Internal(error.to_string()))
}

impl FinishJob {
    /// Sets the final state of the job. Deletes its tokens unless the job has failed.
    fn close(&self, tx: &mut Tx<'_>, job: &Job, state: JobState) -> Result<()> {
        // An operator may retry a job that has failed, so it keeps its token until it is closed or too old.
        let keep_token = state == JobState::Failed;
        let finish_and_wipe = sql!(
            "-- finish a job and delete its token
            UPDATE jobs SET state = ?2, attempt = attempt + 1, outcome = ?3, finished_at = ?4, lease_id = NULL,
                lease_until = NULL, accepted_methods = ?5, data_key = NULL, token = NULL, access_key = NULL,
                access_token = NULL, grant_id = NULL, verifier = NULL
            WHERE id = ?1"
        );
        let finish = sql!(
            "-- finish a job and keep its token
            UPDATE jobs SET state = ?2, attempt = attempt + 1, outcome = ?3, finished_at = ?4, lease_id = NULL,
                lease_until = NULL, accepted_methods = ?5
            WHERE id = ?1"
        );
        let params = values![job.id, state, self.outcome, self.moment.now, encode_methods(job)?];
        tx.defer(if keep_token { finish } else { finish_and_wipe }, params);
        record_job_transition(tx, job.kind.as_str(), Some(JobState::Pending), Some(state), 1);
        Ok(())
    }

    /// Appends the state of an orphaned grant to the audit chain of the provider, because there is no connection.
    async fn record_orphaned_grant(
        &self,
        tx: &mut Tx<'_>,
        job: &Job,
        grant: OrphanedGrantStatus,
    ) -> Result<()> {
        let Some(provider) = lock_provider_of_job(tx, job.provider_id).await? else {
            return Ok(());
        };
        let connection = job.connection_id.as_ref().map(ConnectionId::as_str);
        let detail = json!({"connection": connection, "grant": grant.as_str()});
        let subject = (SubjectKind::Provider, &provider.id);
        let action = AuditAction::OrphanedGrantResolved;
        let entry = build_audit_entry(subject, &self.moment, action, Actor::system("outbox"), &detail);
        append_to_provider(tx, &provider, entry);
        Ok(())
    }

    async fn record_provider_revocation(
        &self,
        tx: &mut Tx<'_>,
        job: &Job,
        revocation: UpstreamRevocation,
    ) -> Result<()> {
        // Without a connection, the outcome of the job is not shown, but the job ends: the provider has responded.
        let Some(connection) = lock_connection_of_job(tx, job.connection_id.as_ref()).await? else {
            return Ok(());
        };
        // The provider's response concerns one token only. Another token of the connection may still have to be
        // revoked.
        let has_other = tx.exists(OTHER_PENDING_REVOCATION, values![connection.newest_job, job.id]).await?;
        let revocation = if has_other { UpstreamRevocation::Pending } else { revocation };
        let subject = (SubjectKind::Connection, &connection.id);
        let actor = match self.attempt {
            AttemptOutcome::Superseded => Actor::system("outbox"),
            _ => Actor::new(ActorKind::Provider, job.provider_id.to_string()),
        };
        let detail = json!({"provider_revocation": revocation.as_str(), "job": job.id.as_str()});
        let action = AuditAction::ProviderRevocationChanged;
        let entry = build_audit_entry(subject, &self.moment, action, actor, &detail);
        let head = tx.audit(&connection.audit, entry);
        tx.defer(
            sql!(
                "-- record the revocation at the provider
                UPDATE connections SET provider_revocation = ?2, audit_head = ?3, updated_at = ?4
                WHERE id = ?1"
            ),
            values![connection.id, revocation, head, self.moment.now],
        );
        Ok(())
    }
}
