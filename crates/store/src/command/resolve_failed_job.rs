//! A person looks after a job that was given up: has it tried again, or closes it.

use domain::Moment;
use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::{Actor, AuditAction, SubjectKind};
use domain::model::connection::UpstreamRevocation;
use domain::model::job::{JobKind, ManagedJob, ResolveJobError};
use serde_json::{Value, json};

use super::build_audit_entry;
use super::end_connection::JOB_RETRY_WINDOW;
use crate::Command;
use crate::error::Result;
use crate::record::{known_job_kind, lock_connection, lock_provider};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// What a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedJobAction {
    /// It is tried again at once, and for seven days more.
    Retry,
    /// Nobody tries it again; its token is gone with the commit.
    Close,
}

/// Settles a job that was given up.
#[derive(Debug)]
pub struct ResolveFailedJob {
    /// When.
    pub moment: Moment,
    /// Which.
    pub job_id: JobId,
    /// How.
    pub action: FailedJobAction,
    /// By whom.
    pub actor: Actor,
}

impl Command for ResolveFailedJob {
    /// None if there is no such job.
    type Reply = Option<Result<(), ResolveJobError>>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(mut row) = tx.query_opt(LOCK_JOB, values![self.job_id]).await? else {
            return Ok(None);
        };
        let resolved = ResolvedJob {
            kind: row.next()?,
            connection: row.next()?,
            provider: row.next()?,
            client: row.next()?,
        };
        let failed_job = ManagedJob { kind: resolved.kind, state: row.next()?, has_token: row.next()? };
        let decided = match self.action {
            FailedJobAction::Retry => failed_job.retry(),
            FailedJobAction::Close => failed_job.close(),
        };
        let state = match decided {
            Ok(state) => state,
            Err(error) => return Ok(Some(Err(error))),
        };
        match self.action {
            FailedJobAction::Retry => tx.defer(
                sql!(
                    "-- a job that was given up is tried again
                    UPDATE jobs SET state = ?2, attempt = 0, due_at = ?3, retry_until = ?4, finished_at = NULL
                    WHERE id = ?1"
                ),
                values![self.job_id, state, self.moment.now, self.moment.now.plus(JOB_RETRY_WINDOW)],
            ),
            FailedJobAction::Close => tx.defer(
                sql!(
                    "-- a person closes a job, its token is wiped
                    UPDATE jobs SET state = ?2, outcome = 'closed by a person', finished_at = ?3, data_key = NULL,
                        token = NULL, verifier = NULL
                    WHERE id = ?1"
                ),
                values![self.job_id, state, self.moment.now],
            ),
        }
        self.record_event(tx, &resolved).await?;
        Ok(Some(Ok(())))
    }
}

/// What a job is about that a person settles.
struct ResolvedJob {
    kind: JobKind,
    connection: Option<ConnectionId>,
    provider: ProviderId,
    client: Option<ClientId>,
}

impl ResolvedJob {
    /// A connection says whose it is and at whom; where there is none, the recipient and the provider are named.
    fn audit_detail(&self, job: &JobId) -> Value {
        let (job, kind) = (job.as_str(), self.kind.as_str());
        if let Some(connection) = &self.connection {
            return json!({"job": job, "kind": kind, "connection": connection.as_str()});
        }
        let client = self.client.as_ref().map(ClientId::as_str);
        json!({"job": job, "kind": kind, "client": client, "provider": self.provider})
    }
}

impl ResolveFailedJob {
    /// In the connection's chain; in the provider's where no connection came of it.
    async fn record_event(&self, tx: &mut Tx<'_>, resolved: &ResolvedJob) -> Result<()> {
        let audit_action = match self.action {
            FailedJobAction::Retry => AuditAction::JobRetried,
            FailedJobAction::Close => AuditAction::JobClosed,
        };
        let detail = resolved.audit_detail(&self.job_id);
        let build_entry =
            |subject| build_audit_entry(subject, &self.moment, audit_action, self.actor.clone(), &detail);
        let known = match &resolved.connection {
            Some(connection) => lock_connection(tx, connection).await?,
            None => None,
        };
        if let Some(known) = known {
            let is_revocation_retry =
                resolved.kind == JobKind::RevokeAtProvider && self.action == FailedJobAction::Retry;
            let revocation =
                if is_revocation_retry { UpstreamRevocation::Pending } else { known.provider_revocation };
            let id = known.id.to_string();
            let head = tx.audit(&known.audit, build_entry((SubjectKind::Connection, &id)));
            tx.defer(
                sql!(
                    "-- a job of a connection was settled
                    UPDATE connections SET provider_revocation = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5
                    WHERE id = ?1"
                ),
                values![known.id, revocation, head.seq, head.mac, self.moment.now],
            );
        } else if let Some(known) = lock_provider(tx, resolved.provider).await? {
            let id = known.id.to_string();
            let head = tx.audit(&known.audit, build_entry((SubjectKind::Provider, &id)));
            tx.defer(
                sql!("-- a job of a provider was settled\nUPDATE providers SET audit_seq = ?2, audit_mac = ?3 WHERE id = ?1"),
                values![known.id, head.seq, head.mac],
            );
        }
        Ok(())
    }
}

pub(crate) static LOCK_JOB: &Sql = sql!(concat!(
    "-- lock a job
    SELECT kind, connection_id, provider_id, client_id, state, token IS NOT NULL FROM jobs WHERE id = ?1 AND ",
    known_job_kind!(),
    " FOR UPDATE"
));
