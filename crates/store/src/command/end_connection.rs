//! The one kill path: whatever ends a connection, ends it here.

use std::time::Duration;

use domain::id::{ConnectionId, JobId};
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::connection::{
    AlreadyEndedError, Connection, EndCause, EndDetails, EndTransition, UpstreamRevocation, UpstreamState,
    expiry_cause,
};
use domain::model::job::{JobKind, JobState};
use domain::model::provider::{GrantScope, ProviderSettings};
use domain::{Moment, Timestamp};
use serde_json::json;

use super::build_audit_entry;
use crate::commit_effect::CommitEffect;
use crate::error::{Result, StoreError};
use crate::record::{lock_connection, read_scalar};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;
use crate::{Command, CommandPriority};

/// How long a job may try before a person must look.
pub(super) const JOB_RETRY_WINDOW: Duration = Duration::from_hours(7 * 24);

/// Ends a connection. Its tokens, its credential and its key die with the commit, and the provider is told
/// by a job that commits with it.
#[derive(Debug)]
pub struct EndConnection {
    /// When.
    pub moment: Moment,
    /// Which.
    pub connection_id: ConnectionId,
    /// Why.
    pub cause: EndCause,
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
    AlreadyEnded(EndDetails),
    /// There is no such connection.
    NotFound,
    /// The credential is of a newer version; nothing was done.
    Fenced,
}

impl Command for EndConnection {
    type Reply = EndOutcome;
    const PRIORITY: CommandPriority = CommandPriority::High;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<EndOutcome> {
        let Some(connection) = lock_connection(tx, &self.connection_id).await? else {
            return Ok(EndOutcome::NotFound);
        };
        if self.fence.is_some_and(|version| version != connection.credential_version) {
            return Ok(EndOutcome::Fenced);
        }
        end_locked_connection(tx, &connection, &EndReason::new(&self.moment, self.cause, self.actor.clone()))
            .await
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
    pub idle_timeout: Duration,
}

impl Command for ExpireConnection {
    /// With the cause, if time has ended it.
    type Reply = (EndOutcome, Option<EndCause>);
    const PRIORITY: CommandPriority = CommandPriority::High;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(connection) = lock_connection(tx, &self.connection_id).await? else {
            return Ok((EndOutcome::NotFound, None));
        };
        let last_used_at: Option<Timestamp> =
            read_scalar(tx.query_opt(LAST_USE, values![self.connection_id]).await?)?;
        let Some(cause) = expiry_cause(&connection, last_used_at, self.idle_timeout, self.moment.now) else {
            return Ok((EndOutcome::Fenced, None));
        };
        let reason = EndReason::new(&self.moment, cause, Actor::system("sweep"));
        Ok((end_locked_connection(tx, &connection, &reason).await?, Some(cause)))
    }
}

pub(crate) static LAST_USE: &Sql = sql!(
    "-- the last use of a connection's refresh token
    SELECT last_used_at FROM refresh_tokens WHERE connection_id = ?1 ORDER BY last_used_at DESC LIMIT 1"
);

/// Why, by whom and when a connection ends, and what takes its place.
pub(super) struct EndReason<'a> {
    moment: &'a Moment,
    cause: EndCause,
    actor: Actor,
    successor: Option<&'a ConnectionId>,
}

impl<'a> EndReason<'a> {
    pub(super) const fn new(moment: &'a Moment, cause: EndCause, actor: Actor) -> Self {
        Self { moment, cause, actor, successor: None }
    }

    pub(super) const fn for_replacement(
        moment: &'a Moment,
        actor: Actor,
        successor: &'a ConnectionId,
    ) -> Self {
        Self { moment, cause: EndCause::Replaced, actor, successor: Some(successor) }
    }
}

/// The kill itself, on a connection whose row the transaction has locked. One statement is waited for, where
/// grants are shared two more; by then the decision stands, the writes go with the commit.
pub(super) async fn end_locked_connection(
    tx: &mut Tx<'_>,
    connection: &Connection,
    reason: &EndReason<'_>,
) -> Result<EndOutcome> {
    let upstream = load_upstream_row(tx, &connection.id).await?;
    let moment = reason.moment;
    let end = EndDetails { cause: reason.cause, actor: reason.actor.clone(), at: moment.now };
    let shared = has_live_sibling(tx, connection, upstream.settings.grant_scope).await?;
    let holds_token = upstream.refresh_token.is_some();
    let side = UpstreamState::new(&upstream.settings, holds_token, upstream.lease_until, shared);
    let ending = match connection.end(end, side) {
        Ok(ending) => ending,
        Err(AlreadyEndedError(before)) => return Ok(EndOutcome::AlreadyEnded(before)),
    };
    let outcome_unknown = upstream.outcome_unknown || side.refresh_outcome_unknown;
    if let (UpstreamRevocation::Pending, Some(data_key), Some(token)) =
        (ending.provider_revocation, upstream.data_key, upstream.refresh_token)
    {
        let sealed = SealedToken { outcome_unknown, ..SealedToken::new(data_key, token) };
        queue_job(tx, moment, JobKind::RevokeAtProvider, connection, sealed);
    }
    let subject = (SubjectKind::Connection, &connection.id);
    let detail = json!({"cause": ending.end.cause.as_str(), "status": ending.status.as_str(),
        "provider_revocation": ending.provider_revocation.as_str(), "replaced_by": reason.successor.map(ToString::to_string)});
    let head = tx.audit(
        &connection.audit,
        build_audit_entry(subject, moment, AuditAction::ConnectionEnded, ending.end.actor.clone(), &detail),
    );
    write_end(tx, connection, reason.successor, &ending, &head);
    tx.add_effect(CommitEffect::ConnectionEnded);
    Ok(EndOutcome::Ended)
}

/// Whether another live connection hangs from the same grant at the provider. Ends of one customer's
/// connections wait for each other here, so that the last one knows that it is the last.
///
/// The customer's row is locked after the connection's, in an exchange as well. Where three meet and two still
/// wait for each other, the database breaks the knot and the loser runs again.
async fn has_live_sibling(tx: &mut Tx<'_>, connection: &Connection, grant: GrantScope) -> Result<bool> {
    match grant {
        GrantScope::PerToken => Ok(false),
        GrantScope::PerClientCustomer => {
            tx.query_opt(LOCK_CUSTOMER, values![connection.customer_id]).await?;
            let other = tx.query_opt(LIVE_SIBLING, values![connection.customer_id, connection.id]).await?;
            Ok(other.is_some())
        }
    }
}

pub(crate) static LOCK_CUSTOMER: &Sql =
    sql!("-- lock a customer\nSELECT id FROM customers WHERE id = ?1 FOR UPDATE");

pub(crate) static LIVE_SIBLING: &Sql = sql!(
    "-- another live connection of a customer
    SELECT id FROM connections WHERE customer_id = ?1 AND id <> ?2 AND status IN ('pending', 'active') LIMIT 1"
);

/// What is held of a connection's provider side.
struct UpstreamRow {
    settings: ProviderSettings,
    data_key: Option<Vec<u8>>,
    refresh_token: Option<Vec<u8>>,
    lease_until: Option<Timestamp>,
    outcome_unknown: bool,
}

async fn load_upstream_row(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<UpstreamRow> {
    let row = tx.query_opt(UPSTREAM_ROW, values![id]).await?;
    let mut row = row.ok_or_else(|| StoreError::Internal("a connection has no provider".into()))?;
    Ok(UpstreamRow {
        settings: row.next_json()?,
        data_key: row.next()?,
        refresh_token: row.next()?,
        lease_until: row.next()?,
        outcome_unknown: row.next::<Option<bool>>()?.unwrap_or(false),
    })
}

pub(crate) static UPSTREAM_ROW: &Sql = sql!(
    "-- what is held of a connection's provider side
    SELECT p.settings, c.data_key, u.refresh_token, u.lease_until, u.outcome_unknown
    FROM connections c
    JOIN providers p ON p.id = c.provider_id
    LEFT JOIN upstream_credentials u ON u.connection_id = c.id
    WHERE c.id = ?1"
);

fn write_end(
    tx: &mut Tx<'_>,
    connection: &Connection,
    successor: Option<&ConnectionId>,
    ending: &EndTransition,
    head: &AuditHead,
) {
    let id = &connection.id;
    let EndDetails { cause, actor, at } = &ending.end;
    tx.defer(
        sql!(
            "-- end a connection
            UPDATE connections SET status = ?2, cause = ?3, actor_kind = ?4, actor_id = ?5, ended_at = ?6,
                provider_revocation = ?7, replaced_by = ?8, audit_seq = ?9, audit_mac = ?10, data_key = NULL,
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
            ending.provider_revocation,
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
pub(super) struct SealedToken {
    pub(super) data_key: Option<Vec<u8>>,
    pub(super) token: Option<Vec<u8>>,
    /// The verifier that goes with it, if it is a code.
    pub(super) verifier: Option<Vec<u8>>,
    /// Whose it is, where no connection tells.
    pub(super) identity: Option<Vec<u8>>,
    pub(super) outcome_unknown: bool,
}

impl SealedToken {
    pub(super) fn new(data_key: Vec<u8>, token: Vec<u8>) -> Self {
        Self { data_key: Some(data_key), token: Some(token), ..Self::empty() }
    }

    /// Nothing is in hand.
    pub(super) const fn empty() -> Self {
        Self { data_key: None, token: None, verifier: None, identity: None, outcome_unknown: false }
    }
}

/// Where a job's connection stands, or would have stood; or the registration that it is about.
pub(super) trait JobSubject {
    fn connection_id(&self) -> Option<&ConnectionId>;
    fn provider_id(&self) -> domain::id::ProviderId;
    /// Whose it is.
    fn client_id(&self) -> Option<&domain::id::ClientId>;
}

impl JobSubject for Connection {
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

impl JobSubject for domain::model::authorization_request::AuthorizationRequest {
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

impl JobSubject for domain::model::job::Job {
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
pub(super) fn queue_late_revocation(
    tx: &mut Tx<'_>,
    moment: &Moment,
    connection: &Connection,
    sealed: SealedToken,
) {
    queue_job(tx, moment, JobKind::RevokeAtProvider, connection, sealed);
    tx.defer(
        sql!(
            "-- a token came after the end
            UPDATE connections SET provider_revocation = ?2, updated_at = ?3 WHERE id = ?1"
        ),
        values![connection.id, UpstreamRevocation::Pending, moment.now],
    );
}

/// Queues a job, most often one that revokes a token at its provider.
pub(super) fn queue_job(
    tx: &mut Tx<'_>,
    moment: &Moment,
    kind: JobKind,
    subject: &impl JobSubject,
    sealed: SealedToken,
) {
    let (id, seed) = (tx.ids().mint::<JobId>(), tx.ids().draw_seed());
    let give_up = moment.now.plus(JOB_RETRY_WINDOW);
    let SealedToken { data_key, token, verifier, identity, outcome_unknown } = sealed;
    tx.defer(
        sql!(
            "-- queue a job
            INSERT INTO jobs (id, kind, connection_id, provider_id, data_key, token, verifier, identity, outcome_unknown,
                state, attempt, seed, due_at, retry_until, created_at, client_id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?13, ?15)"
        ),
        values![
            id, kind, subject.connection_id(), subject.provider_id(), data_key, token, verifier, identity, outcome_unknown,
            JobState::Pending, 0_i64, seed, moment.now, give_up, subject.client_id()
        ],
    );
}
