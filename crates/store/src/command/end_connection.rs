//! The one kill path: whatever ends a connection, ends it here.

use std::time::Duration;

use domain::id::{ConnectionId, JobId};
use domain::model::audit_event::{Action, Actor, AuditHead, SubjectKind};
use domain::model::connection::{AlreadyEnded, BankState, Cause, Connection, End, Ending, ProviderSide, due};
use domain::model::job::{JobKind, JobState};
use domain::model::provider::{BankGrant, ProviderSettings};
use domain::{Moment, Timestamp};
use serde_json::json;

use super::entry;
use crate::error::{Result, StoreError};
use crate::mark::Mark;
use crate::record::{lock_connection, scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;
use crate::{Command, Lane};

/// How long a job may try before a person must look.
pub(super) const GIVE_UP: Duration = Duration::from_hours(7 * 24);

/// Ends a connection. Its tokens, its credential and its key die with the commit, and the provider is told
/// by a job that commits with it.
#[derive(Debug)]
pub struct EndConnection {
    /// When.
    pub moment: Moment,
    /// Which.
    pub connection_id: ConnectionId,
    /// Why.
    pub cause: Cause,
    /// By whom.
    pub actor: Actor,
    /// Only if the credential is still of this version: news from the provider about an older one is no news.
    pub fence: Option<i64>,
}

/// What an end comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndOutcome {
    /// It ended now.
    Ended,
    /// It had ended before.
    Already(End),
    /// There is no such connection.
    Unknown,
    /// The credential is of a newer version; nothing was done.
    Fenced,
}

impl Command for EndConnection {
    type Reply = EndOutcome;
    const LANE: Lane = Lane::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<EndOutcome> {
        let Some(connection) = lock_connection(tx, &self.connection_id).await? else {
            return Ok(EndOutcome::Unknown);
        };
        if self.fence.is_some_and(|version| version != connection.credential_version) {
            return Ok(EndOutcome::Fenced);
        }
        end(tx, &connection, &Reason::new(&self.moment, self.cause, self.actor.clone())).await
    }
}

/// Ends a connection if time has ended it.
#[derive(Debug)]
pub struct ExpireConnection {
    /// When.
    pub moment: Moment,
    /// Which.
    pub connection_id: ConnectionId,
    /// How long a refresh token may lie unused.
    pub idle: Duration,
}

impl Command for ExpireConnection {
    /// With the cause, if time has ended it.
    type Reply = (EndOutcome, Option<Cause>);
    const LANE: Lane = Lane::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(connection) = lock_connection(tx, &self.connection_id).await? else {
            return Ok((EndOutcome::Unknown, None));
        };
        let used: Option<Timestamp> = scalar(tx.query_opt(LAST_USE, values![self.connection_id]).await?)?;
        let Some(cause) = due(&connection, used, self.idle, self.moment.now) else {
            return Ok((EndOutcome::Fenced, None));
        };
        let reason = Reason::new(&self.moment, cause, Actor::system("sweep"));
        Ok((end(tx, &connection, &reason).await?, Some(cause)))
    }
}

pub(crate) static LAST_USE: &Sql = sql!(
    "-- the last use of a connection's refresh token
    SELECT last_used_at FROM refresh_tokens WHERE connection_id = ?1 ORDER BY last_used_at DESC LIMIT 1"
);

/// Why, by whom and when a connection ends, and what takes its place.
pub(super) struct Reason<'a> {
    moment: &'a Moment,
    cause: Cause,
    actor: Actor,
    successor: Option<&'a ConnectionId>,
}

impl<'a> Reason<'a> {
    pub(super) const fn new(moment: &'a Moment, cause: Cause, actor: Actor) -> Self {
        Self { moment, cause, actor, successor: None }
    }

    pub(super) const fn replaced_by(moment: &'a Moment, actor: Actor, successor: &'a ConnectionId) -> Self {
        Self { moment, cause: Cause::Replaced, actor, successor: Some(successor) }
    }
}

/// The kill itself, on a connection whose row the transaction has locked. One statement is waited for, where
/// grants are shared two more; by then the decision stands, the writes go with the commit.
pub(super) async fn end(tx: &mut Tx<'_>, connection: &Connection, reason: &Reason<'_>) -> Result<EndOutcome> {
    let bank = hold(tx, &connection.id).await?;
    let moment = reason.moment;
    let decided = End { cause: reason.cause, actor: reason.actor.clone(), at: moment.now };
    let shared = shares_its_grant(tx, connection, bank.settings.bank_grant).await?;
    let holds_token = bank.refresh_token.is_some();
    let side = ProviderSide::new(&bank.settings, holds_token, bank.lease_until, shared);
    let ending = match connection.end(decided, side) {
        Ok(ending) => ending,
        Err(AlreadyEnded(before)) => return Ok(EndOutcome::Already(before)),
    };
    let uncertain = bank.uncertain || side.unheard;
    if let (BankState::Pending, Some(data_key), Some(token)) =
        (ending.bank, bank.data_key, bank.refresh_token)
    {
        let sealed = Sealed { uncertain, ..Sealed::token(data_key, token) };
        queue(tx, moment, JobKind::TellBank, connection, sealed);
    }
    let subject = (SubjectKind::Connection, &connection.id);
    let detail = json!({"cause": ending.end.cause.as_str(), "status": ending.status.as_str(),
        "bank": ending.bank.as_str(), "replaced_by": reason.successor.map(ToString::to_string)});
    let head = tx.audit(
        &connection.audit,
        entry(subject, moment, Action::ConnectionEnded, ending.end.actor.clone(), &detail),
    );
    destroy(tx, connection, reason.successor, &ending, &head);
    tx.mark(Mark::Ended);
    Ok(EndOutcome::Ended)
}

/// Whether another live connection hangs from the same grant at the provider. Ends of one customer's
/// connections wait for each other here, so that the last one knows that it is the last.
///
/// The customer's row is locked after the connection's, in an exchange as well. Where three meet and two still
/// wait for each other, the database breaks the knot and the loser runs again.
async fn shares_its_grant(tx: &mut Tx<'_>, connection: &Connection, grant: BankGrant) -> Result<bool> {
    match grant {
        BankGrant::PerToken => Ok(false),
        BankGrant::PerClientCustomer => {
            tx.query_opt(LOCK_CUSTOMER, values![connection.customer_id]).await?;
            let other = tx.query_opt(OTHER_LIVE, values![connection.customer_id, connection.id]).await?;
            Ok(other.is_some())
        }
    }
}

pub(crate) static LOCK_CUSTOMER: &Sql =
    sql!("-- lock a customer\nSELECT id FROM customers WHERE id = ?1 FOR UPDATE");

pub(crate) static OTHER_LIVE: &Sql = sql!(
    "-- another live connection of a customer
    SELECT id FROM connections WHERE customer_id = ?1 AND id <> ?2 AND status IN ('pending', 'active') LIMIT 1"
);

/// What is held of a connection's provider side.
struct Held {
    settings: ProviderSettings,
    data_key: Option<Vec<u8>>,
    refresh_token: Option<Vec<u8>>,
    lease_until: Option<Timestamp>,
    uncertain: bool,
}

async fn hold(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Held> {
    let row = tx.query_opt(HELD, values![id]).await?;
    let mut row = row.ok_or_else(|| StoreError::Fault("a connection has no provider".into()))?;
    Ok(Held {
        settings: row.json()?,
        data_key: row.take()?,
        refresh_token: row.take()?,
        lease_until: row.take()?,
        uncertain: row.take::<Option<bool>>()?.unwrap_or(false),
    })
}

pub(crate) static HELD: &Sql = sql!(
    "-- what is held of a connection's provider side
    SELECT p.settings, c.data_key, u.refresh_token, u.lease_until, u.uncertain
    FROM connections c
    JOIN providers p ON p.id = c.provider_id
    LEFT JOIN upstream_credentials u ON u.connection_id = c.id
    WHERE c.id = ?1"
);

fn destroy(
    tx: &mut Tx<'_>,
    connection: &Connection,
    successor: Option<&ConnectionId>,
    ending: &Ending,
    head: &AuditHead,
) {
    let id = &connection.id;
    let End { cause, actor, at } = &ending.end;
    tx.defer(
        sql!(
            "-- end a connection
            UPDATE connections SET status = ?2, cause = ?3, actor_kind = ?4, actor_id = ?5, ended_at = ?6,
                bank_state = ?7, replaced_by = ?8, audit_seq = ?9, audit_mac = ?10, data_key = NULL,
                pending_until = NULL, updated_at = ?6
            WHERE id = ?1 AND status IN ('pending', 'active')"
        ),
        values![
            id,
            ending.status,
            *cause,
            actor.kind,
            actor.id,
            *at,
            ending.bank,
            successor,
            head.seq,
            head.mac
        ],
    );
    tx.defer(
        sql!("-- a connection's refresh tokens die\nDELETE FROM refresh_tokens WHERE connection_id = ?1"),
        values![id],
    );
    tx.defer(
        sql!("-- a connection's codes die\nUPDATE authorization_codes SET used_at = COALESCE(used_at, ?2) WHERE connection_id = ?1"),
        values![id, *at],
    );
    tx.defer(
        sql!("-- a connection's credential dies\nDELETE FROM upstream_credentials WHERE connection_id = ?1"),
        values![id],
    );
}

/// A token that only a provider should still see.
pub(super) struct Sealed {
    pub(super) data_key: Option<Vec<u8>>,
    pub(super) token: Option<Vec<u8>>,
    /// The verifier that goes with it, if it is a code.
    pub(super) verifier: Option<Vec<u8>>,
    /// Whose it is, where no connection tells.
    pub(super) identity: Option<Vec<u8>>,
    pub(super) uncertain: bool,
}

impl Sealed {
    pub(super) fn token(data_key: Vec<u8>, token: Vec<u8>) -> Self {
        Self { data_key: Some(data_key), token: Some(token), ..Self::nothing() }
    }

    /// Nothing is in hand.
    pub(super) const fn nothing() -> Self {
        Self { data_key: None, token: None, verifier: None, identity: None, uncertain: false }
    }
}

/// Where a job's connection stands, or would have stood; or the registration that it is about.
pub(super) trait About {
    fn connection_id(&self) -> Option<&ConnectionId>;
    fn provider_id(&self) -> domain::id::ProviderId;
    /// Whose it is.
    fn client_id(&self) -> Option<&domain::id::ClientId>;
}

impl About for Connection {
    fn connection_id(&self) -> Option<&ConnectionId> {
        Some(&self.id)
    }
    fn provider_id(&self) -> domain::id::ProviderId {
        self.provider_id
    }
    fn client_id(&self) -> Option<&domain::id::ClientId> {
        Some(&self.client_id)
    }
}

impl About for domain::model::authorization_request::AuthorizationRequest {
    fn connection_id(&self) -> Option<&ConnectionId> {
        Some(&self.connection_id)
    }
    fn provider_id(&self) -> domain::id::ProviderId {
        self.provider_id
    }
    fn client_id(&self) -> Option<&domain::id::ClientId> {
        Some(&self.client_id)
    }
}

impl About for domain::model::job::Job {
    fn connection_id(&self) -> Option<&ConnectionId> {
        self.connection_id.as_ref()
    }
    fn provider_id(&self) -> domain::id::ProviderId {
        self.provider_id
    }
    fn client_id(&self) -> Option<&domain::id::ClientId> {
        self.client_id.as_ref()
    }
}

/// Queues a job for a token that came when its connection had ended already: until it is revoked, the provider
/// has not been told of the end.
pub(super) fn queue_late(tx: &mut Tx<'_>, moment: &Moment, connection: &Connection, sealed: Sealed) {
    queue(tx, moment, JobKind::TellBank, connection, sealed);
    tx.defer(
        sql!(
            "-- a token came after the end
            UPDATE connections SET bank_state = ?2, updated_at = ?3 WHERE id = ?1"
        ),
        values![connection.id, BankState::Pending, moment.now],
    );
}

/// Queues a job, most often one that revokes a token at its provider.
pub(super) fn queue(tx: &mut Tx<'_>, moment: &Moment, kind: JobKind, about: &impl About, sealed: Sealed) {
    let (id, seed) = (tx.ids().mint::<JobId>(), tx.ids().seed());
    let give_up = moment.now.plus(GIVE_UP);
    let Sealed { data_key, token, verifier, identity, uncertain } = sealed;
    tx.defer(
        sql!(
            "-- queue a job
            INSERT INTO jobs (id, kind, connection_id, provider_id, data_key, token, verifier, identity, uncertain,
                state, attempt, seed, due_at, give_up_at, created_at, client_id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?13, ?15)"
        ),
        values![
            id, kind, about.connection_id(), about.provider_id(), data_key, token, verifier, identity, uncertain,
            JobState::Pending, 0_i64, seed, moment.now, give_up, about.client_id()
        ],
    );
}
