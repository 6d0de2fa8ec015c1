//! The queue of jobs, which call providers after the commit (transactional outbox).
//!
//! A job is inserted by the transaction that makes it necessary. So it exists if and only if that transaction commits,
//! and a crash between the commit and the call loses nothing.

use std::time::Duration;

use domain::id::{ClientId, ConnectionId, IdSource, JobId, ProviderId};
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::connection::{Connection, UpstreamRevocation};
use domain::model::job::{Job, JobKind, JobState, TokenType};
use domain::{Moment, Timestamp};

use super::job_count::record_job_transition;
use super::sealed_value::SealedValue;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Value, values};

/// The period in which a job is retried. After that the job fails, and an operator must resolve it.
pub(super) const JOB_RETRY_WINDOW: Duration = Duration::from_hours(7 * 24);

/// The sealed token of a job, and the data that is needed to use it at the provider.
pub(super) struct SealedToken {
    /// The wrapped key with which the other values are sealed.
    pub(super) data_key: Option<Vec<u8>>,
    /// The token to revoke, the code to exchange, or the client configuration access (RFC 7592).
    pub(super) token: Option<Vec<u8>>,
    /// The type of the token, if it is one to revoke.
    pub(super) token_type: Option<TokenType>,
    /// The access token of the grant whose refresh token is to be revoked.
    pub(super) access_token: Option<SealedValue>,
    /// The id of the grant at the provider, sealed with its key in front.
    pub(super) grant_id: Option<Vec<u8>>,
    /// The sealed PKCE verifier, if the token is an authorization code.
    pub(super) verifier: Option<Vec<u8>>,
    /// The keyed hash of the customer's identity, if no connection identifies the customer.
    pub(super) identity: Option<Vec<u8>>,
    /// Whether the provider may have issued a newer token that was not stored.
    pub(super) outcome_unknown: bool,
}

impl SealedToken {
    pub(super) fn new(data_key: Vec<u8>, token: Vec<u8>) -> Self {
        Self { data_key: Some(data_key), token: Some(token), ..Self::empty() }
    }

    /// Returns a token to revoke.
    pub(super) fn to_revoke(token: SealedValue, token_type: TokenType) -> Self {
        Self { token_type: Some(token_type), ..Self::new(token.key, token.sealed) }
    }

    /// Returns a value without a token, for a job that registers an upstream client.
    pub(super) const fn empty() -> Self {
        Self {
            data_key: None,
            token: None,
            token_type: None,
            access_token: None,
            grant_id: None,
            verifier: None,
            identity: None,
            outcome_unknown: false,
        }
    }
}

/// A token of a grant for which no connection was opened. A job revokes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnrevokedToken {
    pub token: SealedValue,
    pub token_type: TokenType,
    /// The id of the grant at the provider, sealed with its key in front, if the provider disclosed it.
    pub grant_id: Option<Vec<u8>>,
    /// The keyed hash of the customer's identity, if the provider disclosed it.
    pub identity: Option<Vec<u8>>,
    /// True if the token comes from a readable response. A string that was found in an unreadable one may not be the whole
    /// token, so its revocation does not prove that the grant has ended.
    pub is_complete: bool,
}

/// The connection or the registration that a job belongs to.
pub(super) struct JobSubject<'a> {
    /// The id of the connection. If it was reserved for an authorization request, the connection may never have been
    /// opened.
    connection: Option<&'a ConnectionId>,
    /// The newest job of the connection before this one.
    previous_job: Option<&'a JobId>,
    provider: ProviderId,
    client: Option<&'a ClientId>,
}

impl<'a> JobSubject<'a> {
    pub(super) const fn for_registration(client: &'a ClientId, provider: ProviderId) -> Self {
        Self { connection: None, previous_job: None, provider, client: Some(client) }
    }
}

impl<'a> From<&'a Connection> for JobSubject<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            connection: Some(&connection.id),
            previous_job: connection.newest_job.as_ref(),
            provider: connection.provider_id,
            client: Some(&connection.client_id),
        }
    }
}

impl<'a> From<&'a AuthorizationRequest> for JobSubject<'a> {
    fn from(request: &'a AuthorizationRequest) -> Self {
        Self {
            connection: Some(&request.connection_id),
            previous_job: None,
            provider: request.provider_id,
            client: Some(&request.client_id),
        }
    }
}

impl<'a> From<&'a Job> for JobSubject<'a> {
    fn from(job: &'a Job) -> Self {
        Self {
            connection: job.connection_id.as_ref(),
            previous_job: None,
            provider: job.provider_id,
            client: job.client_id.as_ref(),
        }
    }
}

/// Queues a job that is due immediately, and returns its id.
pub(super) fn queue_job<'a>(
    tx: &mut Tx<'_>,
    moment: &Moment,
    kind: JobKind,
    subject: impl Into<JobSubject<'a>>,
    sealed: SealedToken,
) -> JobId {
    insert_job(tx, moment, kind, &subject.into(), sealed, moment.now)
}

/// Queues a job that may be due at a later time. It does not belong to the chain of the connection's jobs.
pub(super) fn queue_job_at<'a>(
    tx: &mut Tx<'_>,
    moment: &Moment,
    kind: JobKind,
    subject: impl Into<JobSubject<'a>>,
    sealed: SealedToken,
    due_at: Timestamp,
) {
    let subject = JobSubject { previous_job: None, ..subject.into() };
    insert_job(tx, moment, kind, &subject, sealed, due_at);
}

fn insert_job(
    tx: &mut Tx<'_>,
    moment: &Moment,
    kind: JobKind,
    subject: &JobSubject<'_>,
    sealed: SealedToken,
    due_at: Timestamp,
) -> JobId {
    let (id, row) = build_job_row(tx.ids(), moment, kind, subject, sealed, due_at);
    tx.defer_rows(QUEUE_JOBS, vec![row]);
    record_job_transition(tx, kind.as_str(), None, Some(JobState::Pending), 1);
    id
}

/// Queues the revocation of tokens of a grant for which no connection exists.
pub(super) fn queue_orphaned_revocations<'a>(
    tx: &mut Tx<'_>,
    moment: &Moment,
    subject: impl Into<JobSubject<'a>> + Copy,
    tokens: &[UnrevokedToken],
) {
    for UnrevokedToken { token, token_type, grant_id, identity, is_complete } in tokens {
        let sealed = SealedToken {
            grant_id: grant_id.clone(),
            identity: identity.clone(),
            outcome_unknown: !is_complete,
            ..SealedToken::to_revoke(token.clone(), *token_type)
        };
        queue_job(tx, moment, JobKind::RevokeOrphanedGrant, subject, sealed);
    }
}

/// Builds the parameters of [`QUEUE_JOBS`] for a job. Returns its id, too.
///
/// The caller must record the transition of the job.
pub(super) fn build_job_row(
    ids: &mut IdSource,
    moment: &Moment,
    kind: JobKind,
    subject: &JobSubject<'_>,
    sealed: SealedToken,
    due_at: Timestamp,
) -> (JobId, Vec<Value>) {
    let (id, seed) = (ids.mint::<JobId>(), ids.draw_seed());
    let JobSubject { connection, previous_job, provider, client } = subject;
    let SealedToken {
        data_key,
        token,
        token_type,
        access_token,
        grant_id,
        verifier,
        identity,
        outcome_unknown,
    } = sealed;
    let (access_key, access_token) = access_token.map(|token| (token.key, token.sealed)).unzip();
    let row = values![
        id,
        kind,
        *connection,
        *previous_job,
        *provider,
        *client,
        kind.endpoint_group(),
        data_key,
        token,
        token_type,
        access_key,
        access_token,
        grant_id,
        verifier,
        identity,
        outcome_unknown,
        seed,
        due_at,
        moment.now.plus(JOB_RETRY_WINDOW),
        moment.now
    ];
    (id, row.to_vec())
}

macro_rules! queue_jobs {
    ($source:literal) => {
        concat!(
            "-- queue jobs
            INSERT INTO jobs (id, kind, connection_id, previous_job_id, provider_id, client_id, endpoint_group, data_key,
                token, token_type, access_key, access_token, grant_id, verifier, identity, outcome_unknown, seed, due_at,
                retry_until, created_at, state, attempt)
            ",
            $source
        )
    };
}

pub(super) static QUEUE_JOBS: &Sql = sql!(
    sqlite: queue_jobs!(
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
            'pending', 0)"
    ),
    postgres: queue_jobs!(
        "SELECT j.*, 'pending', 0
            FROM unnest(?1::bytea[], ?2::text[], ?3::bytea[], ?4::bytea[], ?5::bigint[], ?6::bytea[], ?7::text[],
                ?8::bytea[], ?9::bytea[], ?10::text[], ?11::bytea[], ?12::bytea[], ?13::bytea[], ?14::bytea[],
                ?15::bytea[], ?16::boolean[], ?17::bytea[], ?18::bigint[], ?19::bigint[], ?20::bigint[])
                AS j (id, kind, connection_id, previous_job_id, provider_id, client_id, endpoint_group, data_key, token,
                    token_type, access_key, access_token, grant_id, verifier, identity, outcome_unknown, seed, due_at,
                    retry_until, created_at)"
    )
);

/// Queues the revocation of a token that arrived after its connection had ended. The connection's revocation is pending
/// again, because the provider still accepts this token.
pub(super) fn queue_late_revocation(
    tx: &mut Tx<'_>,
    moment: &Moment,
    connection: &Connection,
    sealed: SealedToken,
) {
    let job = queue_job(tx, moment, JobKind::RevokeAtProvider, connection, sealed);
    tx.defer(
        sql!(
            "-- a token arrived after the end
            UPDATE connections SET provider_revocation = ?2, job_id = ?3, updated_at = ?4 WHERE id = ?1"
        ),
        values![connection.id, UpstreamRevocation::Pending, job, moment.now],
    );
}
