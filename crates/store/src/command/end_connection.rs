//! The termination path: every end of a connection, whatever its cause, is written by [`write_ends`].
//!
//! Requests to end connections run as a set: one transaction locks the connections, reads what else the rule needs, decides
//! each with the rule of the domain, and writes all of them with the same statements. So the end of one connection among
//! many costs little more than the rows that it writes.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::{ConnectionId, IdSource, JobId};
use domain::model::audit_event::{Actor, AuditAction, SubjectKind};
use domain::model::connection::{
    AlreadyEndedError, Connection, EndCause, EndDetails, EndTransition, UpstreamRevocation, UpstreamState,
    expiry_cause,
};
use domain::model::job::{JobKind, JobState};
use domain::model::provider::GrantScope;
use domain::{Moment, Timestamp};
use serde_json::json;

use super::audit_entry::build_audit_entry;
use super::end_facts::{EndFacts, announce_credentials, has_live_sibling, load_end_facts, load_last_uses};
use super::job_count::record_job_transition;
use super::job_queue::{JobSubject, QUEUE_JOBS, SealedToken, build_job_row};
use crate::commit_effect::CommitEffect;
use crate::deferred_statement::{DeferredStatement, StatementGroup};
use crate::entity::audit_event::encode_actor_id;
use crate::entity::connection::{
    announce_lock_of_free_connections, compute_connection_mac, lock_connection, lock_free_connections,
};
use crate::error::{Result, StoreError};
use crate::operation::{Command, CommandKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, values};

/// A request to end a connection. The commit deletes the keys of its tokens, and queues the revocation at the provider.
#[derive(Clone, Debug)]
pub struct EndConnection {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    pub cause: EndCause,
    pub actor: Actor,
    /// The version that the credential must have, if the cause of the end concerns only that version.
    pub fence: Option<i64>,
}

/// A request to end a connection if it has expired.
#[derive(Clone, Debug)]
pub struct ExpireConnection {
    pub moment: Moment,
    pub connection_id: ConnectionId,
    /// The time without use after which a refresh token expires.
    pub idle_timeout: Duration,
}

/// The outcome of ending a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndOutcome {
    /// The connection has ended with this request, for this cause.
    Ended(EndCause),
    /// The connection had already ended, with these details.
    AlreadyEnded(EndDetails),
    NotFound,
    /// Nothing was done, because the reason no longer applies: the credential has another version, or the connection has
    /// not expired.
    Fenced,
}

/// A request of either kind.
#[derive(Clone, Debug)]
pub(crate) enum EndRequest {
    End(EndConnection),
    Expire(ExpireConnection),
}

impl EndRequest {
    pub(crate) const fn connection_id(&self) -> &ConnectionId {
        match self {
            Self::End(request) => &request.connection_id,
            Self::Expire(request) => &request.connection_id,
        }
    }

    const fn moment(&self) -> &Moment {
        match self {
            Self::End(request) => &request.moment,
            Self::Expire(request) => &request.moment,
        }
    }

    /// Returns why a locked connection must end, or `None` if the reason of the request does not apply.
    fn reason(&self, connection: &Connection, last_used_at: Option<Timestamp>) -> Option<EndReason<'_>> {
        match self {
            Self::End(EndConnection { moment, cause, actor, fence, .. }) => {
                let is_fenced = fence.is_some_and(|version| version != connection.credential_version);
                (!is_fenced).then(|| EndReason::new(moment, *cause, actor.clone()))
            }
            // The expiry is decided under the lock: the token may have been used since the sweep found the connection.
            Self::Expire(ExpireConnection { moment, idle_timeout, .. }) => {
                let cause = expiry_cause(connection, last_used_at, *idle_timeout, moment.now)?;
                Some(EndReason::new(moment, cause, Actor::system("sweep")))
            }
        }
    }
}

/// Ends the connections of several requests.
#[derive(Debug)]
pub(crate) struct EndConnections {
    requests: Vec<EndRequest>,
    moment: Moment,
}

impl EndConnections {
    /// Creates the command. Returns `None` without a request.
    pub(crate) fn new(requests: Vec<EndRequest>) -> Option<Self> {
        let moment = requests.first()?.moment().clone();
        Some(Self { requests, moment })
    }
}

/// Ends the connection of one request. Waits if another transaction has locked it.
#[derive(Debug)]
pub(crate) struct EndSingleConnection(pub(crate) EndRequest);

impl Command for EndSingleConnection {
    type Reply = EndOutcome;
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        self.0.moment()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<EndOutcome> {
        let request = &self.0;
        let Some(connection) = lock_connection(tx, request.connection_id()).await? else {
            return Ok(EndOutcome::NotFound);
        };
        // The lock may have been waited for, so a fact that was read before it may be outdated.
        let facts = load_single_facts(tx, &connection).await?;
        let last_uses = load_last_uses(tx, &expiring_connections(std::slice::from_ref(request))).await?;
        let Some(reason) = request.reason(&connection, last_uses.get(&connection.id).copied()) else {
            return Ok(EndOutcome::Fenced);
        };
        let ids = IdSource::new(self.moment().now, self.moment().seed);
        end_connection(tx, &connection, facts, &reason, ids).await
    }
}

impl Command for EndConnections {
    /// The outcome of each request, in their order. `None` means that the request must run individually: another transaction has
    /// locked its connection, or the connection shares its grant with others, or there is none.
    type Reply = Vec<Option<EndOutcome>>;
    const KIND: CommandKind = CommandKind::End;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        end_set(tx, &self.requests).await
    }
}

/// Ends the connections of several requests with one set of statements.
async fn end_set(tx: &mut Tx<'_>, requests: &[EndRequest]) -> Result<Vec<Option<EndOutcome>>> {
    let ids: Vec<_> = requests.iter().map(EndRequest::connection_id).collect();
    // The credentials are read after the locks, by a statement of their own. If the locking statement read them too, it would
    // return an old credential for a connection whose lock it had waited for.
    announce_lock_of_free_connections(tx, &ids);
    announce_credentials(tx, &ids);
    let connections = lock_free_connections(tx, &ids).await?;
    let mut facts = load_end_facts(tx, &ids, &connections.values().collect::<Vec<_>>()).await?;
    let last_uses = load_last_uses(tx, &expiring_connections(requests)).await?;
    let mut outcomes = Vec::with_capacity(requests.len());
    let mut ends: Vec<DecidedEnd<'_>> = Vec::with_capacity(requests.len());
    let mut ended: HashMap<&ConnectionId, EndDetails> = HashMap::new();
    for request in requests {
        let id = request.connection_id();
        // The row was read before this set ended the connection for an earlier request.
        if let Some(details) = ended.get(id) {
            outcomes.push(Some(EndOutcome::AlreadyEnded(details.clone())));
            continue;
        }
        let Some(connection) = connections.get(id) else {
            outcomes.push(None);
            continue;
        };
        let last_used_at = last_uses.get(id).copied();
        outcomes.push(decide_request(request, connection, &mut facts, last_used_at)?.map(|decision| {
            match decision {
                Ok(end) => {
                    let details = end.transition.end.clone();
                    let outcome = EndOutcome::Ended(details.cause);
                    ended.insert(id, details);
                    ends.push(end);
                    outcome
                }
                Err(outcome) => outcome,
            }
        }));
    }
    write_ends(tx, ends);
    Ok(outcomes)
}

/// Decides one request of a set. Returns the end, or the outcome without one; `None` if the request must run individually.
fn decide_request<'a>(
    request: &'a EndRequest,
    connection: &'a Connection,
    facts: &mut HashMap<ConnectionId, EndFacts>,
    last_used_at: Option<Timestamp>,
) -> Result<Option<Result<DecidedEnd<'a>, EndOutcome>>> {
    let Some(facts) = facts.get_mut(&connection.id) else {
        return Err(StoreError::Internal("a locked connection does not exist".into()));
    };
    // Its siblings must be compared under the lock of the customer, which a set does not take.
    if facts.settings.grant_scope == GrantScope::PerClientCustomer {
        return Ok(None);
    }
    let Some(reason) = request.reason(connection, last_used_at) else {
        return Ok(Some(Err(EndOutcome::Fenced)));
    };
    let moment = request.moment();
    let ids = IdSource::new(moment.now, moment.seed);
    let end = decide_end(connection, reason, facts, false, ids);
    Ok(Some(end.map_err(|AlreadyEndedError(previous)| EndOutcome::AlreadyEnded(previous))))
}

fn expiring_connections(requests: &[EndRequest]) -> Vec<&ConnectionId> {
    let expiring = requests.iter().filter(|request| matches!(request, EndRequest::Expire(_)));
    expiring.map(EndRequest::connection_id).collect()
}

/// The reason for an end: its time, cause and actor, and the connection that replaces the ended one.
#[derive(Clone)]
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

/// Ends a connection whose row this transaction has locked, as a part of another command.
pub(super) async fn end_locked_connection(
    tx: &mut Tx<'_>,
    connection: &Connection,
    reason: &EndReason<'_>,
) -> Result<EndOutcome> {
    // The other ids of the command come from the same seed, so the end derives a seed of its own.
    let ids = IdSource::new(reason.moment.now, tx.ids().draw_seed());
    let facts = load_single_facts(tx, connection).await?;
    end_connection(tx, connection, facts, reason, ids).await
}

/// Loads the facts of one locked connection.
async fn load_single_facts(tx: &mut Tx<'_>, connection: &Connection) -> Result<EndFacts> {
    let facts = load_end_facts(tx, &[&connection.id], &[connection]).await?.remove(&connection.id);
    facts.ok_or_else(|| StoreError::Internal("a locked connection does not exist".into()))
}

async fn end_connection(
    tx: &mut Tx<'_>,
    connection: &Connection,
    mut facts: EndFacts,
    reason: &EndReason<'_>,
    ids: IdSource,
) -> Result<EndOutcome> {
    let is_grant_shared = has_live_sibling(tx, connection, facts.settings.grant_scope).await?;
    match decide_end(connection, reason.clone(), &mut facts, is_grant_shared, ids) {
        Ok(end) => {
            write_ends(tx, vec![end]);
            Ok(EndOutcome::Ended(reason.cause))
        }
        Err(AlreadyEndedError(previous)) => Ok(EndOutcome::AlreadyEnded(previous)),
    }
}

/// An end that the rule of the domain has decided.
struct DecidedEnd<'a> {
    connection: &'a Connection,
    reason: EndReason<'a>,
    transition: EndTransition,
    /// The token to revoke at the provider, with its key.
    to_revoke: Option<SealedToken>,
    ids: IdSource,
}

fn decide_end<'a>(
    connection: &'a Connection,
    reason: EndReason<'a>,
    facts: &mut EndFacts,
    is_grant_shared: bool,
    ids: IdSource,
) -> Result<DecidedEnd<'a>, AlreadyEndedError> {
    let end = EndDetails { cause: reason.cause, actor: reason.actor.clone(), at: reason.moment.now };
    let now = reason.moment.now;
    let token = facts.take_token_to_revoke(now);
    let upstream_state =
        UpstreamState::new(facts.supports_revocation, token.is_some(), facts.lease_until, is_grant_shared);
    let transition = connection.end(end, upstream_state)?;
    // A refresh that is running may return a newer token, so revoking the stored token does not prove that the grant is
    // revoked.
    let outcome_unknown = facts.outcome_unknown || upstream_state.refresh_outcome_unknown;
    let is_revoked = transition.provider_revocation == UpstreamRevocation::Pending;
    let to_revoke = token.filter(|_| is_revoked);
    let to_revoke = to_revoke
        .map(|token| SealedToken { outcome_unknown: outcome_unknown || token.outcome_unknown, ..token });
    Ok(DecidedEnd { connection, reason, transition, to_revoke, ids })
}

/// Writes ends: the connections, an audit event and a job for each, and the list of what a background task must delete. The
/// tokens and the list of accounts become unreadable with the commit, because it deletes their keys; the key of a token that must
/// be revoked at the provider moves to the job.
fn write_ends(tx: &mut Tx<'_>, ends: Vec<DecidedEnd<'_>>) {
    if ends.is_empty() {
        return;
    }
    let (mut connections, mut jobs, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
    for mut end in ends {
        let job = end.to_revoke.take().map(|token| {
            let subject = JobSubject::from(end.connection);
            let moment = end.reason.moment;
            build_job_row(&mut end.ids, moment, JobKind::RevokeAtProvider, &subject, token, moment.now)
        });
        let job_id = job.as_ref().map(|(id, _)| id.clone());
        jobs.extend(job.map(|(_, row)| row));
        let EndDetails { at, .. } = end.transition.end;
        deletions.push(values![end.connection.id, at].to_vec());
        connections.push(build_end_row(tx, &mut end, job_id));
    }
    let count = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
    if count > 0 {
        record_job_transition(tx, JobKind::RevokeAtProvider.as_str(), None, Some(JobState::Pending), count);
    }
    let statements = vec![
        DeferredStatement::Rows(QUEUE_JOBS, jobs),
        DeferredStatement::Rows(LIST_ENDED_CONNECTIONS, deletions),
        DeferredStatement::Rows(END_CONNECTIONS, connections),
    ];
    tx.defer_group(&ENDS, statements);
    tx.add_effect(CommitEffect::SecretsDeleted);
}

/// Appends the audit event of an end, and builds the parameters of [`END_CONNECTIONS`].
fn build_end_row(tx: &mut Tx<'_>, end: &mut DecidedEnd<'_>, job_id: Option<JobId>) -> Vec<Value> {
    let EndTransition { status, end: details, provider_revocation } = &end.transition;
    let EndDetails { cause, actor, at } = details;
    let connection = end.connection;
    let detail = json!({
        "cause": cause.as_str(),
        "status": status.as_str(),
        "provider_revocation": provider_revocation.as_str(),
        "replaced_by": end.reason.successor.map(ToString::to_string),
    });
    let subject = (SubjectKind::Connection, &connection.id);
    let action = AuditAction::ConnectionEnded;
    let entry = build_audit_entry(subject, end.reason.moment, action, actor.clone(), &detail);
    let head = tx.audit_with_id(end.ids.mint(), &connection.audit, entry);
    let job_id = job_id.or_else(|| connection.newest_job.clone());
    let mac = compute_connection_mac(tx, connection, *status);
    values![
        connection.id,
        *status,
        *cause,
        actor.kind,
        encode_actor_id(actor.kind, actor.id.as_deref()),
        *at,
        *provider_revocation,
        end.reason.successor,
        head,
        job_id,
        mac
    ]
    .to_vec()
}

static ENDS: StatementGroup = StatementGroup::new(&[QUEUE_JOBS, LIST_ENDED_CONNECTIONS, END_CONNECTIONS]);

static END_CONNECTIONS: &Sql = sql!(
    // A statement with `OR FAIL` keeps no copy of the pages that it changes. The default (`OR ABORT`) would undo a statement
    // that fails halfway, but this one changes one row, and the command is rolled back in any case.
    sqlite: "-- end connections
        UPDATE OR FAIL connections SET status = ?2, cause = ?3, actor_kind = ?4, actor_id = ?5, ended_at = ?6,
            provider_revocation = ?7, replaced_by = ?8, audit_head = ?9, mac = ?11, job_id = ?10, access_key = NULL,
            refresh_key = NULL, accounts_key = NULL, pending_until = NULL, updated_at = ?6
        WHERE id = ?1 AND status IN ('pending', 'active')",
    postgres: "-- end connections
        UPDATE connections c SET status = e.status, cause = e.cause, actor_kind = e.actor_kind, actor_id = e.actor_id,
            ended_at = e.ended_at, provider_revocation = e.provider_revocation, replaced_by = e.replaced_by,
            audit_head = e.audit_head, job_id = e.job_id, mac = e.mac, access_key = NULL, refresh_key = NULL,
            accounts_key = NULL, pending_until = NULL, updated_at = e.ended_at
        FROM unnest(?1::bytea[], ?2::text[], ?3::text[], ?4::text[], ?5::bytea[], ?6::bigint[], ?7::text[],
            ?8::bytea[], ?9::bytea[], ?10::bytea[], ?11::bytea[])
            AS e (id, status, cause, actor_kind, actor_id, ended_at, provider_revocation, replaced_by, audit_head, job_id,
                mac)
        WHERE c.id = e.id AND c.status IN ('pending', 'active')"
);

static LIST_ENDED_CONNECTIONS: &Sql = sql!(
    sqlite: "-- list ended connections for the deletion of their tokens
        INSERT INTO ended_connections (connection_id, ended_at) VALUES (?1, ?2)",
    postgres: "-- list ended connections for the deletion of their tokens
        INSERT INTO ended_connections (connection_id, ended_at) SELECT * FROM unnest(?1::bytea[], ?2::bigint[])"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[END_CONNECTIONS];
