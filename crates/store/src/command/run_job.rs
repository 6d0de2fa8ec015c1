//! The outbox: jobs are leased, tried outside any transaction, and finished.

use std::time::Duration;

use domain::Moment;
use domain::id::{ConnectionId, JobId, LeaseId};
use domain::model::audit_event::{Actor, ActorKind, AuditAction, SubjectKind};
use domain::model::connection::UpstreamRevocation;
use domain::model::job::{AttemptOutcome, Job, JobKind, JobState, JobStep, OrphanedGrantStatus};
use serde_json::json;

use super::authorization_request::UnrevokedToken;
use super::build_audit_entry;
use super::end_connection::{JOB_RETRY_WINDOW, SealedToken, queue_job};
use crate::Command;
use crate::error::Result;
use crate::record::{lock_connection, lock_due_job, lock_leased_job, lock_provider};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Leases the next due job, if there is one. A lease that runs out is free again.
#[derive(Debug)]
pub struct LeaseJob {
    /// When.
    pub moment: Moment,
    /// For how long.
    pub lease_ttl: Duration,
}

impl Command for LeaseJob {
    type Reply = Option<(Job, LeaseId)>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(job) = lock_due_job(tx, self.moment.now).await? else {
            return Ok(None);
        };
        let lease = tx.ids().mint::<LeaseId>();
        tx.defer(
            sql!("-- lease a job\nUPDATE jobs SET lease_id = ?2, lease_until = ?3 WHERE id = ?1"),
            values![job.id, lease, self.moment.now.plus(self.lease_ttl)],
        );
        Ok(Some((job, lease)))
    }
}

pub(crate) static OTHER_PENDING_REVOCATION: &Sql = sql!(
    "-- another job that tells of a connection's end
    SELECT id FROM jobs WHERE connection_id = ?1 AND id <> ?2 AND kind = 'revoke_at_provider' AND state = 'pending' LIMIT 1"
);

/// Records how a try of a leased job went, and what the provider now knows.
#[derive(Debug)]
pub struct FinishJob {
    /// When.
    pub moment: Moment,
    /// Which.
    pub job_id: JobId,
    /// Under which lease.
    pub lease: LeaseId,
    /// How it went.
    pub attempt: AttemptOutcome,
    /// What happened, in words for a person: never a token.
    pub outcome: String,
    /// What came of the try and could not be revoked: a job of its own goes on with it.
    pub unrevoked: Option<UnrevokedToken>,
}

impl Command for FinishJob {
    type Reply = Option<JobStep>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<JobStep>> {
        let Some(job) = lock_leased_job(tx, &self.job_id, &self.lease).await? else {
            return Ok(None); // the lease ran out and somebody else took the job
        };
        let step = job.next_step(self.attempt, self.moment.now);
        // The time allowed is for tries: waiting for something else uses none of it up.
        let extended_give_up_at =
            matches!(self.attempt, AttemptOutcome::Blocked).then(|| self.moment.now.plus(JOB_RETRY_WINDOW));
        match step {
            JobStep::Retry(due) => tx.defer(
                sql!(
                    "-- a job is tried again
                    UPDATE jobs SET attempt = attempt + 1, due_at = ?2, outcome = ?3, lease_id = NULL,
                        lease_until = NULL, retry_until = COALESCE(?4, retry_until)
                    WHERE id = ?1"
                ),
                values![job.id, due, self.outcome, extended_give_up_at],
            ),
            JobStep::Done => self.close(tx, &job, JobState::Done),
            JobStep::Failed => self.close(tx, &job, JobState::Failed),
        }
        if let (JobKind::RevokeAtProvider, Some(revocation)) =
            (job.kind, job.provider_revocation_after(self.attempt, step))
        {
            self.record_provider_revocation(tx, &job, revocation).await?;
        }
        match (&self.unrevoked, job.orphaned_grant_after(self.attempt, step)) {
            (Some(UnrevokedToken { token, identity }), _) => {
                let identity = identity.clone();
                let sealed =
                    SealedToken { identity, ..SealedToken::new(job.data_key.clone(), token.clone()) };
                queue_job(tx, &self.moment, JobKind::RevokeOrphanedGrant, &job, sealed);
            }
            (None, Some(orphan)) => self.record_orphaned_grant(tx, &job, orphan).await?,
            (None, None) => {}
        }
        Ok(Some(step))
    }
}

impl FinishJob {
    /// A token that was answered is of no more use; one that was given up on may be needed by a person.
    fn close(&self, tx: &mut Tx<'_>, job: &Job, state: JobState) {
        let keep_token = matches!(self.attempt, AttemptOutcome::RetryLater { .. });
        let wipe = sql!(
            "-- a job is over, its token is wiped
            UPDATE jobs SET state = ?2, attempt = attempt + 1, outcome = ?3, finished_at = ?4, lease_id = NULL,
                lease_until = NULL, data_key = NULL, token = NULL, verifier = NULL
            WHERE id = ?1"
        );
        let give_up = sql!(
            "-- a job is given up, its token kept
            UPDATE jobs SET state = ?2, attempt = attempt + 1, outcome = ?3, finished_at = ?4, lease_id = NULL,
                lease_until = NULL
            WHERE id = ?1"
        );
        let params = values![job.id, state, self.outcome, self.moment.now];
        tx.defer(if keep_token { give_up } else { wipe }, params);
    }

    /// What became of a grant that no connection came of stands in the provider's chain.
    async fn record_orphaned_grant(
        &self,
        tx: &mut Tx<'_>,
        job: &Job,
        grant: OrphanedGrantStatus,
    ) -> Result<()> {
        let Some(provider) = lock_provider(tx, job.provider_id).await? else {
            return Ok(());
        };
        let detail = json!({"connection": job.connection_id.as_ref().map(ConnectionId::as_str), "grant": grant.as_str()});
        let subject = (SubjectKind::Provider, &provider.id);
        let entry = build_audit_entry(
            subject,
            &self.moment,
            AuditAction::OrphanedGrantResolved,
            Actor::system("outbox"),
            &detail,
        );
        let head = tx.audit(&provider.audit, entry);
        tx.defer(
            sql!("-- a provider's chain grows\nUPDATE providers SET audit_seq = ?2, audit_mac = ?3 WHERE id = ?1"),
            values![provider.id, head.seq, head.mac],
        );
        Ok(())
    }

    async fn record_provider_revocation(
        &self,
        tx: &mut Tx<'_>,
        job: &Job,
        revocation: UpstreamRevocation,
    ) -> Result<()> {
        let Some(id) = &job.connection_id else { return Ok(()) };
        let Some(connection) = lock_connection(tx, id).await? else {
            return Ok(());
        };
        // What was said of one token is not said of another that is still to be revoked.
        let other = tx.query_opt(OTHER_PENDING_REVOCATION, values![connection.id, job.id]).await?;
        let revocation = if other.is_some() { UpstreamRevocation::Pending } else { revocation };
        let subject = (SubjectKind::Connection, &connection.id);
        let actor = match self.attempt {
            AttemptOutcome::Superseded => Actor::system("outbox"),
            _ => Actor::new(ActorKind::Provider, job.provider_id.to_string()),
        };
        let detail = json!({"provider_revocation": revocation.as_str(), "job": job.id.as_str()});
        let head = tx.audit(
            &connection.audit,
            build_audit_entry(subject, &self.moment, AuditAction::ProviderRevocationChanged, actor, &detail),
        );
        tx.defer(
            sql!(
                "-- what the provider knows of an end
                UPDATE connections SET provider_revocation = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5
                WHERE id = ?1"
            ),
            values![connection.id, revocation, head.seq, head.mac, self.moment.now],
        );
        Ok(())
    }
}
