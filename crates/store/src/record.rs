//! Rows read into entities, and the few lookups that commands and queries share.

use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind, AuditHead};
use domain::model::authorization_code::AuthorizationCode;
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::client::{About, Client, Localized, Recipient};
use domain::model::connection::{Connection, End, State, Status};
use domain::model::job::Job;
use domain::model::operator::OperatorToken;
use domain::model::provider::Provider;
use domain::model::registration::Registration;
use domain::rule::access::AccessState;
use domain::secret::{TokenHash, TokenHashes};

use crate::error::{Result, StoreError};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{FromValue, Row, values};

/// An entity that a row, from its present column on, can be read into.
pub(crate) trait Record: Sized {
    fn read(row: &mut Row) -> Result<Self>;
}

impl Record for AuditHead {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self { seq: row.take()?, mac: row.take()? })
    }
}

impl Record for Client {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            kind: row.take()?,
            owner_id: row.take()?,
            profile: row.take()?,
            state: row.take()?,
            name: row.take()?,
            purpose: Localized { en: row.take()?, fr: row.take()? },
            scope: row.take()?,
            redirect_uris: row.json()?,
            secret_hash: row.take()?,
            credential_generation: row.take()?,
            require_pkce: row.take()?,
            max_duration_days: row.take()?,
            audit: AuditHead::read(row)?,
        })
    }
}

impl Record for Recipient {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client: Client::read(row)?,
            about: About {
                description: row.take()?,
                country: row.take()?,
                logo_uri: row.take()?,
                terms_uri: row.take()?,
                client_uri: row.take()?,
                contacts: row.json()?,
            },
        })
    }
}

impl Record for Registration {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client_id: row.take()?,
            provider_id: row.take()?,
            state: row.take()?,
            requested_at: row.take()?,
            reason: row.take()?,
        })
    }
}

impl Record for Provider {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            state: row.take()?,
            source: row.take()?,
            settings: row.json()?,
            audit: AuditHead::read(row)?,
        })
    }
}

impl Record for Connection {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            client_id: row.take()?,
            provider_id: row.take()?,
            customer_id: row.take()?,
            sub: row.take()?,
            state: state(row)?,
            terms_version: row.take()?,
            token_generation: row.take()?,
            credential_version: row.take()?,
            expires_at: row.take()?,
            bank: row.take()?,
            audit: AuditHead::read(row)?,
        })
    }
}

fn state(row: &mut Row) -> Result<State> {
    let status: Status = row.take()?;
    let until = row.take::<Option<_>>()?;
    let cause = row.take::<Option<_>>()?;
    let actor_kind = row.take::<Option<ActorKind>>()?;
    let actor_id = row.take::<Option<String>>()?;
    let ended_at = row.take::<Option<_>>()?;
    match (status, until, cause, actor_kind, ended_at) {
        (Status::Pending, Some(until), ..) => Ok(State::Pending { until }),
        (Status::Active, ..) => Ok(State::Active),
        (Status::Revoked | Status::Expired | Status::Abandoned, _, Some(cause), Some(kind), Some(at)) => {
            Ok(State::Ended(End { cause, actor: Actor { kind, id: actor_id }, at }))
        }
        _ => Err(StoreError::Fault("a stored connection has no coherent state".into())),
    }
}

impl Record for AuthorizationRequest {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            connection_id: row.take()?,
            client_id: row.take()?,
            provider_id: row.take()?,
            redirect_uri: row.take()?,
            clusters: row.take()?,
            client_state: row.take()?,
            code_challenge: row.take()?,
            language: row.take()?,
            status: row.take()?,
            cookie_hash: row.take()?,
            data_key: row.take()?,
            verifier: row.take()?,
            purpose: row.take()?,
            page_version: row.take()?,
            agreed_at: row.take()?,
            correlation_id: row.take()?,
            created_at: row.take()?,
            expires_at: row.take()?,
        })
    }
}

impl Record for AuthorizationCode {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            hash: row.take()?,
            connection_id: row.take()?,
            client_id: row.take()?,
            redirect_uri: row.take()?,
            code_challenge: row.take()?,
            expires_at: row.take()?,
            used_at: row.take()?,
        })
    }
}

impl Record for Job {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            kind: row.take()?,
            connection_id: row.take()?,
            provider_id: row.take()?,
            client_id: row.take()?,
            data_key: row.take::<Option<_>>()?.unwrap_or_default(),
            token: row.take::<Option<_>>()?.unwrap_or_default(),
            verifier: row.take()?,
            identity: row.take()?,
            uncertain: row.take()?,
            attempt: row.take()?,
            seed: row.take()?,
            give_up_at: row.take()?,
        })
    }
}

impl Record for OperatorToken {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            name: row.take()?,
            role: row.take()?,
            bootstrap: row.take()?,
            hash: row.take()?,
            created_at: row.take()?,
            expires_at: row.take()?,
            ended_at: row.take()?,
            audit: AuditHead::read(row)?,
        })
    }
}

macro_rules! operator_columns {
    () => {
        "SELECT id, name, role, bootstrap, token_hash, created_at, expires_at, ended_at, audit_seq, audit_mac
    FROM operators "
    };
}
pub(crate) use operator_columns;

impl Record for AccessState {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection_id: row.take()?,
            client_id: row.take()?,
            provider_id: row.take()?,
            sub: row.take()?,
            status: row.take()?,
            cause: row.take()?,
            successor_active: row.take::<Option<Status>>()? == Some(Status::Active),
            bank: row.take()?,
            expires_at: row.take()?,
            token_generation: row.take()?,
            clusters: row.take()?,
            accounts: optional_json::<Vec<String>>(row)?.map(Into::into),
            client_state: row.take()?,
            profile: row.take()?,
            registration_state: row.take()?,
            provider_state: row.take()?,
        })
    }
}

pub(crate) fn optional_json<T: serde::de::DeserializeOwned>(row: &mut Row) -> Result<Option<T>> {
    let text: Option<String> = row.take()?;
    text.map(|t| serde_json::from_str(&t).map_err(StoreError::fault)).transpose()
}

fn only<T: Record>(row: Option<Row>) -> Result<Option<T>> {
    row.map(|mut row| T::read(&mut row)).transpose()
}

/// One value of one column.
pub(crate) fn scalar<T: FromValue>(row: Option<Row>) -> Result<Option<T>> {
    row.map(|mut row| row.take()).transpose()
}

pub(crate) async fn client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    only(tx.query_opt(CLIENT, values![id]).await?)
}

macro_rules! client_columns {
    () => {
        "id, kind, owner_id, profile, state, name, purpose_en, purpose_fr, scope, redirect_uris, secret_hash,
        credential_generation, require_pkce, max_duration_days, audit_seq, audit_mac"
    };
}

pub(crate) use client_columns;

pub(crate) static CLIENT: &Sql =
    sql!(concat!("-- a client\nSELECT ", client_columns!(), " FROM clients WHERE id = ?1"));

/// A client that stays as it is until the commit: whoever removes or holds it comes before or after.
pub(crate) async fn keep_client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    only(tx.query_opt(KEEP_CLIENT, values![id]).await?)
}

pub(crate) static KEEP_CLIENT: &Sql = sql!(concat!(
    "-- a client, kept as it is\nSELECT ",
    client_columns!(),
    " FROM clients WHERE id = ?1 FOR SHARE"
));

/// A client whose row is ours until the commit: what grows its chain. Rows that refer to it are still written
/// meanwhile.
pub(crate) async fn lock_client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    only(tx.query_opt(LOCK_CLIENT, values![id]).await?)
}

pub(crate) static LOCK_CLIENT: &Sql = sql!(concat!(
    "-- lock a client\nSELECT ",
    client_columns!(),
    " FROM clients WHERE id = ?1 FOR NO KEY UPDATE"
));

/// Recipients of a partner that were not removed, by id.
pub(crate) static RECIPIENTS: &Sql = sql!(concat!(
    "-- a partner's recipients\nSELECT ",
    client_columns!(),
    ", description, country, logo_uri, terms_uri, client_uri, contacts
    FROM clients WHERE owner_id = ?1 AND kind = 'recipient' AND state <> 'closed' ORDER BY created_at, id"
));

/// A recipient of a partner, removed or not.
pub(crate) static RECIPIENT: &Sql = sql!(concat!(
    "-- a partner's recipient\nSELECT ",
    client_columns!(),
    ", description, country, logo_uri, terms_uri, client_uri, contacts
    FROM clients WHERE id = ?1 AND owner_id = ?2 AND kind = 'recipient'"
));

pub(crate) async fn provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    only(tx.query_opt(PROVIDER, values![id]).await?)
}

macro_rules! provider_columns {
    () => {
        "SELECT id, state, source, settings, audit_seq, audit_mac FROM providers "
    };
}

pub(crate) static PROVIDER: &Sql = sql!(concat!("-- a provider\n", provider_columns!(), "WHERE id = ?1"));

/// A provider whose row is ours until the commit: what grows its chain or sets its state. Rows that refer to
/// it are still written meanwhile.
pub(crate) async fn lock_provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    only(tx.query_opt(LOCK_PROVIDER, values![id]).await?)
}

pub(crate) static LOCK_PROVIDER: &Sql =
    sql!(concat!("-- lock a provider\n", provider_columns!(), "WHERE id = ?1 FOR NO KEY UPDATE"));

pub(crate) async fn registration(
    tx: &mut Tx<'_>,
    client_id: &ClientId,
    provider_id: ProviderId,
) -> Result<Option<Registration>> {
    only(tx.query_opt(REGISTRATION, values![client_id, provider_id]).await?)
}

pub(crate) static REGISTRATION: &Sql = sql!(
    "-- a registration
    SELECT client_id, provider_id, state, requested_at, reason
    FROM registrations WHERE client_id = ?1 AND provider_id = ?2"
);

/// Every registration of a recipient.
pub(crate) async fn registrations_of(tx: &mut Tx<'_>, client_id: &ClientId) -> Result<Vec<Registration>> {
    let rows = tx.query(REGISTRATIONS_OF, values![client_id]).await?;
    rows.into_iter().map(|mut row| Registration::read(&mut row)).collect()
}

pub(crate) static REGISTRATIONS_OF: &Sql = sql!(
    "-- a recipient's registrations
    SELECT client_id, provider_id, state, requested_at, reason
    FROM registrations WHERE client_id = ?1 ORDER BY provider_id"
);

macro_rules! connection_columns {
    () => {
        "SELECT id, client_id, provider_id, customer_id, sub, status, pending_until, cause, actor_kind, actor_id,
        ended_at, terms_version, token_generation, credential_version, expires_at, bank_state, audit_seq, audit_mac
    FROM connections "
    };
}

/// A connection, without a lock.
pub(crate) async fn connection(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Connection>> {
    only(tx.query_opt(CONNECTION, values![id]).await?)
}

pub(crate) static CONNECTION: &Sql =
    sql!(concat!("-- a connection\n", connection_columns!(), "WHERE id = ?1"));

/// A connection whose row is ours until the commit: what every command on its children does first.
pub(crate) async fn lock_connection(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Connection>> {
    only(tx.query_opt(LOCK_CONNECTION, values![id]).await?)
}

pub(crate) static LOCK_CONNECTION: &Sql =
    sql!(concat!("-- lock a connection\n", connection_columns!(), "WHERE id = ?1 FOR UPDATE"));

/// The one active connection of a recipient, a provider and a customer, locked.
pub(crate) async fn lock_active(tx: &mut Tx<'_>, like: &Connection) -> Result<Option<Connection>> {
    only(tx.query_opt(LOCK_ACTIVE, values![like.client_id, like.provider_id, like.customer_id]).await?)
}

pub(crate) static LOCK_ACTIVE: &Sql = sql!(concat!(
    "-- lock the active connection of a recipient, a provider and a customer\n",
    connection_columns!(),
    "WHERE client_id = ?1 AND provider_id = ?2 AND customer_id = ?3 AND status = 'active' FOR UPDATE"
));

macro_rules! request_columns {
    () => {
        "SELECT id, connection_id, client_id, provider_id, redirect_uri, scope, client_state, code_challenge, language,
        status, cookie_hash, data_key, verifier, purpose, page_version, agreed_at, correlation_id, created_at,
        expires_at
    FROM authorization_requests "
    };
}

pub(crate) async fn request(
    tx: &mut Tx<'_>,
    id: &AuthorizationRequestId,
) -> Result<Option<AuthorizationRequest>> {
    only(tx.query_opt(REQUEST, values![id]).await?)
}

pub(crate) static REQUEST: &Sql =
    sql!(concat!("-- an authorization request\n", request_columns!(), "WHERE id = ?1"));

pub(crate) async fn lock_request(
    tx: &mut Tx<'_>,
    id: &AuthorizationRequestId,
) -> Result<Option<AuthorizationRequest>> {
    only(tx.query_opt(LOCK_REQUEST, values![id]).await?)
}

pub(crate) static LOCK_REQUEST: &Sql =
    sql!(concat!("-- lock an authorization request\n", request_columns!(), "WHERE id = ?1 FOR UPDATE"));

/// The request that a provider's callback names by its `state`: through one of the two statements below.
pub(crate) async fn request_by_state(
    tx: &mut Tx<'_>,
    statement: &'static Sql,
    states: &TokenHashes,
) -> Result<Option<AuthorizationRequest>> {
    for hash in states.iter() {
        if let Some(row) = tx.query_opt(statement, values![hash]).await? {
            return only(Some(row));
        }
    }
    Ok(None)
}

pub(crate) static REQUEST_BY_STATE: &Sql = sql!(concat!(
    "-- an authorization request by the provider's state\n",
    request_columns!(),
    "WHERE state_hash = ?1"
));

pub(crate) static LOCK_REQUEST_BY_STATE: &Sql = sql!(concat!(
    "-- lock an authorization request by the provider's state\n",
    request_columns!(),
    "WHERE state_hash = ?1 FOR UPDATE"
));

pub(crate) async fn code(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<Option<AuthorizationCode>> {
    only(tx.query_opt(CODE, values![hash]).await?)
}

pub(crate) static CODE: &Sql = sql!(
    "-- an authorization code
    SELECT code_hash, connection_id, client_id, redirect_uri, code_challenge, expires_at, used_at
    FROM authorization_codes WHERE code_hash = ?1"
);

/// Everything the access check needs to know of a connection: one query.
pub(crate) async fn access_state(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<AccessState>> {
    only(tx.query_opt(ACCESS_STATE, values![id]).await?)
}

/// The columns of an access state, from a connection `c` and what `access_joins` joins to it.
macro_rules! access_columns {
    () => {
        "c.id, c.client_id, c.provider_id, c.sub, c.status, c.cause, s.status, c.bank_state, c.expires_at,
        c.token_generation, t.clusters, t.accounts, l.state, l.profile, r.state, p.state\n"
    };
}
pub(crate) use access_columns;

macro_rules! access_joins {
    () => {
        "JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    JOIN clients l ON l.id = c.client_id
    JOIN providers p ON p.id = c.provider_id
    LEFT JOIN registrations r ON r.client_id = c.client_id AND r.provider_id = c.provider_id
    LEFT JOIN connections s ON s.id = c.replaced_by\n"
    };
}
pub(crate) use access_joins;

pub(crate) static ACCESS_STATE: &Sql = sql!(concat!(
    "-- the access state of a connection\nSELECT ",
    access_columns!(),
    "FROM connections c ",
    access_joins!(),
    "WHERE c.id = ?1"
));

/// The next due job, locked; others that are locked are passed by.
pub(crate) async fn due_job(tx: &mut Tx<'_>, now: domain::Timestamp) -> Result<Option<Job>> {
    only(tx.query_opt(DUE_JOB, values![now]).await?)
}

macro_rules! job_columns {
    () => {
        "SELECT id, kind, connection_id, provider_id, client_id, data_key, token, verifier, identity, uncertain, attempt,
        seed, give_up_at
    FROM jobs "
    };
}

/// A kind of jobs that this program knows: what a newer one queued is left to it. No index is looked for.
macro_rules! known_kind {
    () => {
        "COALESCE(kind, '') IN ('tell_bank', 'revoke_orphan', 'recover_code', 'register_client', 'delete_client')"
    };
}
pub(crate) use known_kind;

pub(crate) static DUE_JOB: &Sql = sql!(concat!(
    "-- lock the next due job\n",
    job_columns!(),
    "WHERE state = 'pending' AND due_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) AND ",
    known_kind!(),
    "
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED"
));

/// A job that is still leased by the given lease, locked.
pub(crate) async fn leased_job(
    tx: &mut Tx<'_>,
    id: &domain::id::JobId,
    lease: &domain::id::LeaseId,
) -> Result<Option<Job>> {
    only(tx.query_opt(LEASED_JOB, values![id, lease]).await?)
}

pub(crate) static LEASED_JOB: &Sql = sql!(concat!(
    "-- lock a leased job\n",
    job_columns!(),
    "WHERE id = ?1 AND lease_id = ?2 AND state = 'pending' FOR UPDATE"
));

#[cfg(test)]
mod tests {
    use domain::model::job::JobKind;

    #[test]
    fn every_kind_of_jobs_is_known() {
        let words: Vec<_> = JobKind::ALL.iter().map(|kind| format!("'{kind}'")).collect();
        assert_eq!(known_kind!(), format!("COALESCE(kind, '') IN ({})", words.join(", ")));
    }
}
