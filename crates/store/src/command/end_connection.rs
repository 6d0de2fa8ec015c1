//! The termination path: every end of a connection, whatever its cause, goes through [`end_locked_connection`].

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, AuditAction, AuditHead, SubjectKind};
use domain::model::connection::{
    AlreadyEndedError, Connection, EndCause, EndDetails, EndTransition, UpstreamRevocation, UpstreamState,
    expiry_cause,
};
use domain::model::job::JobKind;
use domain::model::provider::{GrantScope, ProviderSettings};
use domain::{Moment, Timestamp};
use serde_json::json;

use super::audit_entry::build_audit_entry;
use super::job_queue::{SealedToken, queue_job};
use crate::commit_effect::CommitEffect;
use crate::entity::connection::{lock_connection, lock_customer};
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Ends a connection. The commit deletes its tokens, its credential and its key, and queues the revocation at the
/// provider.
#[derive(Debug)]
pub struct EndConnection {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    pub cause: EndCause,
    pub actor: Actor,
    /// The version that the credential must have, if the cause of the end concerns only that version.
    pub fence: Option<i64>,
}

/// The outcome of ending a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndOutcome {
    Ended,
    /// The connection had already ended, with these details.
    AlreadyEnded(EndDetails),
    NotFound,
    /// Nothing was done, because the reason no longer applies: the credential has another version, or the connection has
    /// not expired.
    Fenced,
}

impl Command for EndConnection {
    type Reply = EndOutcome;
    const KIND: CommandKind = CommandKind::End;

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
        let reason = EndReason::new(&self.moment, self.cause, self.actor.clone());
        end_locked_connection(tx, &connection, &reason).await
    }
}

/// Ends a connection if it has expired.
#[derive(Debug)]
pub struct ExpireConnection {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    /// The time without use after which a refresh token expires.
    pub idle_timeout: Duration,
}

impl Command for ExpireConnection {
    /// The outcome, and the cause of the end if the connection has expired.
    type Reply = (EndOutcome, Option<EndCause>);
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(connection) = lock_connection(tx, &self.connection_id).await? else {
            return Ok((EndOutcome::NotFound, None));
        };
        // The expiry is checked again under the lock: the token may have been used since the sweep found the
        // connection.
        let last_used_at: Option<Timestamp> =
            tx.fetch_value(LAST_USE, values![self.connection_id], "last_used_at").await?;
        let Some(cause) = expiry_cause(&connection, last_used_at, self.idle_timeout, self.moment.now) else {
            return Ok((EndOutcome::Fenced, None));
        };
        let reason = EndReason::new(&self.moment, cause, Actor::system("sweep"));
        Ok((end_locked_connection(tx, &connection, &reason).await?, Some(cause)))
    }
}

static LAST_USE: &Sql = sql!(
    "-- find the last use of a connection's refresh token
    SELECT last_used_at FROM refresh_tokens WHERE connection_id = ?1 ORDER BY last_used_at DESC LIMIT 1"
);

/// The reason for an end: its time, cause and actor, and the connection that replaces the ended one.
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

/// Ends a connection whose row this transaction has locked.
pub(super) async fn end_locked_connection(
    tx: &mut Tx<'_>,
    connection: &Connection,
    reason: &EndReason<'_>,
) -> Result<EndOutcome> {
    let upstream = load_upstream_row(tx, &connection.id).await?;
    let moment = reason.moment;
    let end = EndDetails { cause: reason.cause, actor: reason.actor.clone(), at: moment.now };
    let is_grant_shared = has_live_sibling(tx, connection, upstream.settings.grant_scope).await?;
    let has_refresh_token = upstream.refresh_token.is_some();
    let upstream_state =
        UpstreamState::new(&upstream.settings, has_refresh_token, upstream.lease_until, is_grant_shared);
    let ending = match connection.end(end, upstream_state) {
        Ok(ending) => ending,
        Err(AlreadyEndedError(previous)) => return Ok(EndOutcome::AlreadyEnded(previous)),
    };
    // A refresh that is running may return a newer token, so revoking the stored token does not prove that the grant is
    // revoked.
    let outcome_unknown = upstream.outcome_unknown || upstream_state.refresh_outcome_unknown;
    if let (UpstreamRevocation::Pending, Some(data_key), Some(token)) =
        (ending.provider_revocation, upstream.data_key, upstream.refresh_token)
    {
        // The token moves to the job, with the key that it is sealed with, and is deleted from the connection below.
        let sealed = SealedToken { outcome_unknown, ..SealedToken::new(data_key, token) };
        queue_job(tx, moment, JobKind::RevokeAtProvider, connection, sealed);
    }
    let detail = json!({
        "cause": ending.end.cause.as_str(),
        "status": ending.status.as_str(),
        "provider_revocation": ending.provider_revocation.as_str(),
        "replaced_by": reason.successor.map(ToString::to_string),
    });
    let subject = (SubjectKind::Connection, &connection.id);
    let actor = ending.end.actor.clone();
    let entry = build_audit_entry(subject, moment, AuditAction::ConnectionEnded, actor, &detail);
    let head = tx.audit(&connection.audit, entry);
    write_end(tx, connection, reason.successor, &ending, &head);
    tx.add_effect(CommitEffect::ConnectionEnded);
    Ok(EndOutcome::Ended)
}

/// Returns whether another live connection uses the same grant at the provider, so that the grant must not be revoked.
///
/// The customer's row is locked after the connection's, as in an exchange. So the ends of one customer's connections run
/// one after the other, and the last of them finds no other connection. Three transactions may still deadlock, because an
/// exchange locks two connections; the database then aborts one of them, and it runs again.
async fn has_live_sibling(tx: &mut Tx<'_>, connection: &Connection, grant_scope: GrantScope) -> Result<bool> {
    match grant_scope {
        GrantScope::PerToken => Ok(false),
        GrantScope::PerClientCustomer => {
            lock_customer(tx, &connection.customer_id).await?;
            tx.exists(LIVE_SIBLING, values![connection.customer_id, connection.id]).await
        }
    }
}

static LIVE_SIBLING: &Sql = sql!(
    "-- find another live connection of a customer
    SELECT id FROM connections WHERE customer_id = ?1 AND id <> ?2 AND status IN ('pending', 'active') LIMIT 1"
);

/// The stored facts that decide whether an end must revoke the grant at the provider: the settings of the provider and
/// the credential of the connection.
struct UpstreamRow {
    settings: ProviderSettings,
    data_key: Option<Vec<u8>>,
    refresh_token: Option<Vec<u8>>,
    /// The end of the lease of a refresh that has not stored its result.
    lease_until: Option<Timestamp>,
    outcome_unknown: bool,
}

impl FromRow for UpstreamRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            settings: row.get_json("settings")?,
            data_key: row.get("data_key")?,
            refresh_token: row.get("refresh_token")?,
            lease_until: row.get("lease_until")?,
            // The column is null if the connection has no credential any more.
            outcome_unknown: row.get::<Option<_>>("outcome_unknown")?.unwrap_or(false),
        })
    }
}

async fn load_upstream_row(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<UpstreamRow> {
    let row = tx.fetch_optional(UPSTREAM_ROW, values![id]).await?;
    row.ok_or_else(|| StoreError::Internal("a connection has no provider".into()))
}

static UPSTREAM_ROW: &Sql = sql!(
    "-- find the upstream side of a connection
    SELECT p.settings, c.data_key, u.refresh_token, u.lease_until, u.outcome_unknown
    FROM connections c
    JOIN providers p ON p.id = c.provider_id
    LEFT JOIN upstream_credentials u ON u.connection_id = c.id
    WHERE c.id = ?1"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[LAST_USE, LIVE_SIBLING, UPSTREAM_ROW];

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
        sql!(
            "-- delete the refresh tokens of a connection
            DELETE FROM refresh_tokens WHERE connection_id = ?1"
        ),
        values![id],
    );
    // Authorization codes are kept and marked as used, so that a later use is recognized as a replay.
    tx.defer(
        sql!(
            "-- mark the codes of a connection as used
            UPDATE authorization_codes SET used_at = COALESCE(used_at, ?2) WHERE connection_id = ?1"
        ),
        values![id, *at],
    );
    tx.defer(
        sql!(
            "-- delete the credential of a connection
            DELETE FROM upstream_credentials WHERE connection_id = ?1"
        ),
        values![id],
    );
}
