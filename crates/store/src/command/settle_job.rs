//! A person looks after a job that was given up: has it tried again, or closes it.

use domain::Moment;
use domain::id::{ClientId, ConnectionId, JobId, ProviderId};
use domain::model::audit_event::{Action, Actor, SubjectKind};
use domain::model::connection::BankState;
use domain::model::job::{DeadLetter, JobKind, NotSettled};
use serde_json::{Value, json};

use super::end_connection::GIVE_UP;
use super::entry;
use crate::Command;
use crate::error::Result;
use crate::record::{known_kind, lock_connection, lock_provider};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// What a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is tried again at once, and for seven days more.
    Retry,
    /// Nobody tries it again; its token is gone with the commit.
    Close,
}

/// Settles a job that was given up.
#[derive(Debug)]
pub struct SettleJob {
    /// When.
    pub moment: Moment,
    /// Which.
    pub job_id: JobId,
    /// How.
    pub settlement: Settlement,
    /// By whom.
    pub actor: Actor,
}

impl Command for SettleJob {
    /// None if there is no such job.
    type Reply = Option<Result<(), NotSettled>>;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(mut row) = tx.query_opt(LOCK_JOB, values![self.job_id]).await? else {
            return Ok(None);
        };
        let about = Settled {
            kind: row.take()?,
            connection: row.take()?,
            provider: row.take()?,
            client: row.take()?,
        };
        let letter = DeadLetter { kind: about.kind, state: row.take()?, holds_token: row.take()? };
        let decided = match self.settlement {
            Settlement::Retry => letter.retry(),
            Settlement::Close => letter.close(),
        };
        let state = match decided {
            Ok(state) => state,
            Err(why) => return Ok(Some(Err(why))),
        };
        match self.settlement {
            Settlement::Retry => tx.defer(
                sql!(
                    "-- a job that was given up is tried again
                    UPDATE jobs SET state = ?2, attempt = 0, due_at = ?3, give_up_at = ?4, finished_at = NULL
                    WHERE id = ?1"
                ),
                values![self.job_id, state, self.moment.now, self.moment.now.plus(GIVE_UP)],
            ),
            Settlement::Close => tx.defer(
                sql!(
                    "-- a person closes a job, its token is wiped
                    UPDATE jobs SET state = ?2, outcome = 'closed by a person', finished_at = ?3, data_key = NULL,
                        token = NULL, verifier = NULL
                    WHERE id = ?1"
                ),
                values![self.job_id, state, self.moment.now],
            ),
        }
        self.record(tx, &about).await?;
        Ok(Some(Ok(())))
    }
}

/// What a job is about that a person settles.
struct Settled {
    kind: JobKind,
    connection: Option<ConnectionId>,
    provider: ProviderId,
    client: Option<ClientId>,
}

impl Settled {
    /// A connection says whose it is and at whom; where there is none, the recipient and the provider are named.
    fn detail(&self, job: &JobId) -> Value {
        let (job, kind) = (job.as_str(), self.kind.as_str());
        if let Some(connection) = &self.connection {
            return json!({"job": job, "kind": kind, "connection": connection.as_str()});
        }
        let client = self.client.as_ref().map(ClientId::as_str);
        json!({"job": job, "kind": kind, "client": client, "provider": self.provider})
    }
}

impl SettleJob {
    /// In the connection's chain; in the provider's where no connection came of it.
    async fn record(&self, tx: &mut Tx<'_>, settled: &Settled) -> Result<()> {
        let action = match self.settlement {
            Settlement::Retry => Action::JobRetried,
            Settlement::Close => Action::JobClosed,
        };
        let detail = settled.detail(&self.job_id);
        let about = |subject| entry(subject, &self.moment, action, self.actor.clone(), &detail);
        let known = match &settled.connection {
            Some(connection) => lock_connection(tx, connection).await?,
            None => None,
        };
        if let Some(known) = known {
            let again = settled.kind == JobKind::TellBank && self.settlement == Settlement::Retry;
            let bank = if again { BankState::Pending } else { known.bank };
            let id = known.id.to_string();
            let head = tx.audit(&known.audit, about((SubjectKind::Connection, &id)));
            tx.defer(
                sql!(
                    "-- a job of a connection was settled
                    UPDATE connections SET bank_state = ?2, audit_seq = ?3, audit_mac = ?4, updated_at = ?5
                    WHERE id = ?1"
                ),
                values![known.id, bank, head.seq, head.mac, self.moment.now],
            );
        } else if let Some(known) = lock_provider(tx, settled.provider).await? {
            let id = known.id.to_string();
            let head = tx.audit(&known.audit, about((SubjectKind::Provider, &id)));
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
    known_kind!(),
    " FOR UPDATE"
));
