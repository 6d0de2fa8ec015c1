//! Rows read into entities, and the few lookups that commands and queries share.

use domain::id::{AuthorizationRequestId, ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind, AuditHead};
use domain::model::authorization_code::AuthorizationCode;
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::client::{Client, ClientProfile, LocalizedText, Recipient};
use domain::model::connection::{Connection, ConnectionState, ConnectionStatus, EndDetails};
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
pub(crate) trait FromRow: Sized {
    fn from_row(row: &mut Row) -> Result<Self>;
}

impl FromRow for AuditHead {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { seq: row.next()?, mac: row.next()? })
    }
}

impl FromRow for Client {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            kind: row.next()?,
            owner_id: row.next()?,
            profile: row.next()?,
            state: row.next()?,
            name: row.next()?,
            purpose: LocalizedText { en: row.next()?, fr: row.next()? },
            scope: row.next()?,
            redirect_uris: row.next_json()?,
            secret_hash: row.next()?,
            credential_generation: row.next()?,
            require_pkce: row.next()?,
            max_duration_days: row.next()?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

impl FromRow for Recipient {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client: Client::from_row(row)?,
            client_profile: ClientProfile {
                description: row.next()?,
                country: row.next()?,
                logo_uri: row.next()?,
                terms_uri: row.next()?,
                client_uri: row.next()?,
                contacts: row.next_json()?,
            },
        })
    }
}

impl FromRow for Registration {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client_id: row.next()?,
            provider_id: row.next()?,
            state: row.next()?,
            requested_at: row.next()?,
            reason: row.next()?,
        })
    }
}

impl FromRow for Provider {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            state: row.next()?,
            source: row.next()?,
            settings: row.next_json()?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

impl FromRow for Connection {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            client_id: row.next()?,
            provider_id: row.next()?,
            customer_id: row.next()?,
            sub: row.next()?,
            state: read_state(row)?,
            terms_version: row.next()?,
            token_generation: row.next()?,
            credential_version: row.next()?,
            expires_at: row.next()?,
            provider_revocation: row.next()?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

fn read_state(row: &mut Row) -> Result<ConnectionState> {
    let status: ConnectionStatus = row.next()?;
    let until = row.next::<Option<_>>()?;
    let cause = row.next::<Option<_>>()?;
    let actor_kind = row.next::<Option<ActorKind>>()?;
    let actor_id = row.next::<Option<String>>()?;
    let ended_at = row.next::<Option<_>>()?;
    match (status, until, cause, actor_kind, ended_at) {
        (ConnectionStatus::Pending, Some(until), ..) => Ok(ConnectionState::Pending { until }),
        (ConnectionStatus::Active, ..) => Ok(ConnectionState::Active),
        (
            ConnectionStatus::Revoked | ConnectionStatus::Expired | ConnectionStatus::Abandoned,
            _,
            Some(cause),
            Some(kind),
            Some(at),
        ) => Ok(ConnectionState::Ended(EndDetails { cause, actor: Actor { kind, id: actor_id }, at })),
        _ => Err(StoreError::Internal("a stored connection has no coherent state".into())),
    }
}

impl FromRow for AuthorizationRequest {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            connection_id: row.next()?,
            client_id: row.next()?,
            provider_id: row.next()?,
            redirect_uri: row.next()?,
            clusters: row.next()?,
            client_state: row.next()?,
            code_challenge: row.next()?,
            language: row.next()?,
            status: row.next()?,
            cookie_hash: row.next()?,
            data_key: row.next()?,
            verifier: row.next()?,
            purpose: row.next()?,
            page_version: row.next()?,
            agreed_at: row.next()?,
            correlation_id: row.next()?,
            created_at: row.next()?,
            expires_at: row.next()?,
        })
    }
}

impl FromRow for AuthorizationCode {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            hash: row.next()?,
            connection_id: row.next()?,
            client_id: row.next()?,
            redirect_uri: row.next()?,
            code_challenge: row.next()?,
            expires_at: row.next()?,
            used_at: row.next()?,
        })
    }
}

impl FromRow for Job {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            kind: row.next()?,
            connection_id: row.next()?,
            provider_id: row.next()?,
            client_id: row.next()?,
            data_key: row.next::<Option<_>>()?.unwrap_or_default(),
            token: row.next::<Option<_>>()?.unwrap_or_default(),
            verifier: row.next()?,
            identity: row.next()?,
            refresh_outcome_unknown: row.next()?,
            attempt: row.next()?,
            seed: row.next()?,
            retry_until: row.next()?,
        })
    }
}

impl FromRow for OperatorToken {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            name: row.next()?,
            role: row.next()?,
            bootstrap: row.next()?,
            hash: row.next()?,
            created_at: row.next()?,
            expires_at: row.next()?,
            ended_at: row.next()?,
            audit: AuditHead::from_row(row)?,
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

impl FromRow for AccessState {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection_id: row.next()?,
            client_id: row.next()?,
            provider_id: row.next()?,
            sub: row.next()?,
            status: row.next()?,
            cause: row.next()?,
            successor_active: row.next::<Option<ConnectionStatus>>()? == Some(ConnectionStatus::Active),
            provider_revocation: row.next()?,
            expires_at: row.next()?,
            token_generation: row.next()?,
            clusters: row.next()?,
            accounts: read_optional_json::<Vec<String>>(row)?.map(Into::into),
            client_state: row.next()?,
            profile: row.next()?,
            registration_state: row.next()?,
            provider_state: row.next()?,
        })
    }
}

pub(crate) fn read_optional_json<T: serde::de::DeserializeOwned>(row: &mut Row) -> Result<Option<T>> {
    let text: Option<String> = row.next()?;
    text.map(|t| serde_json::from_str(&t).map_err(StoreError::internal)).transpose()
}

fn read_optional<T: FromRow>(row: Option<Row>) -> Result<Option<T>> {
    row.map(|mut row| T::from_row(&mut row)).transpose()
}

/// One value of one column.
pub(crate) fn read_scalar<T: FromValue>(row: Option<Row>) -> Result<Option<T>> {
    row.map(|mut row| row.next()).transpose()
}

pub(crate) async fn find_client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    read_optional(tx.query_opt(CLIENT, values![id]).await?)
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
pub(crate) async fn lock_client_shared(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    read_optional(tx.query_opt(LOCK_CLIENT_SHARED, values![id]).await?)
}

pub(crate) static LOCK_CLIENT_SHARED: &Sql = sql!(concat!(
    "-- a client, kept as it is\nSELECT ",
    client_columns!(),
    " FROM clients WHERE id = ?1 FOR SHARE"
));

/// A client whose row is ours until the commit: what grows its chain. Rows that refer to it are still written
/// meanwhile.
pub(crate) async fn lock_client(tx: &mut Tx<'_>, id: &ClientId) -> Result<Option<Client>> {
    read_optional(tx.query_opt(LOCK_CLIENT, values![id]).await?)
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

pub(crate) async fn find_provider(tx: &mut Tx<'_>, id: ProviderId) -> Result<Option<Provider>> {
    read_optional(tx.query_opt(PROVIDER, values![id]).await?)
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
    read_optional(tx.query_opt(LOCK_PROVIDER, values![id]).await?)
}

pub(crate) static LOCK_PROVIDER: &Sql =
    sql!(concat!("-- lock a provider\n", provider_columns!(), "WHERE id = ?1 FOR NO KEY UPDATE"));

pub(crate) async fn find_registration(
    tx: &mut Tx<'_>,
    client_id: &ClientId,
    provider_id: ProviderId,
) -> Result<Option<Registration>> {
    read_optional(tx.query_opt(REGISTRATION, values![client_id, provider_id]).await?)
}

pub(crate) static REGISTRATION: &Sql = sql!(
    "-- a registration
    SELECT client_id, provider_id, state, requested_at, reason
    FROM registrations WHERE client_id = ?1 AND provider_id = ?2"
);

/// Every registration of a recipient.
pub(crate) async fn list_registrations(tx: &mut Tx<'_>, client_id: &ClientId) -> Result<Vec<Registration>> {
    let rows = tx.query(RECIPIENT_REGISTRATIONS, values![client_id]).await?;
    rows.into_iter().map(|mut row| Registration::from_row(&mut row)).collect()
}

pub(crate) static RECIPIENT_REGISTRATIONS: &Sql = sql!(
    "-- a recipient's registrations
    SELECT client_id, provider_id, state, requested_at, reason
    FROM registrations WHERE client_id = ?1 ORDER BY provider_id"
);

macro_rules! connection_columns {
    () => {
        "SELECT id, client_id, provider_id, customer_id, sub, status, pending_until, cause, actor_kind, actor_id,
        ended_at, terms_version, token_generation, credential_version, expires_at, provider_revocation, audit_seq, audit_mac
    FROM connections "
    };
}

/// A connection, without a lock.
pub(crate) async fn find_connection(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Connection>> {
    read_optional(tx.query_opt(CONNECTION, values![id]).await?)
}

pub(crate) static CONNECTION: &Sql =
    sql!(concat!("-- a connection\n", connection_columns!(), "WHERE id = ?1"));

/// A connection whose row is ours until the commit: what every command on its children does first.
pub(crate) async fn lock_connection(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Connection>> {
    read_optional(tx.query_opt(LOCK_CONNECTION, values![id]).await?)
}

pub(crate) static LOCK_CONNECTION: &Sql =
    sql!(concat!("-- lock a connection\n", connection_columns!(), "WHERE id = ?1 FOR UPDATE"));

/// The one active connection of a recipient, a provider and a customer, locked.
pub(crate) async fn lock_active_connection(
    tx: &mut Tx<'_>,
    sibling: &Connection,
) -> Result<Option<Connection>> {
    read_optional(
        tx.query_opt(
            LOCK_ACTIVE_CONNECTION,
            values![sibling.client_id, sibling.provider_id, sibling.customer_id],
        )
        .await?,
    )
}

pub(crate) static LOCK_ACTIVE_CONNECTION: &Sql = sql!(concat!(
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

pub(crate) async fn find_request(
    tx: &mut Tx<'_>,
    id: &AuthorizationRequestId,
) -> Result<Option<AuthorizationRequest>> {
    read_optional(tx.query_opt(REQUEST, values![id]).await?)
}

pub(crate) static REQUEST: &Sql =
    sql!(concat!("-- an authorization request\n", request_columns!(), "WHERE id = ?1"));

pub(crate) async fn lock_request(
    tx: &mut Tx<'_>,
    id: &AuthorizationRequestId,
) -> Result<Option<AuthorizationRequest>> {
    read_optional(tx.query_opt(LOCK_REQUEST, values![id]).await?)
}

pub(crate) static LOCK_REQUEST: &Sql =
    sql!(concat!("-- lock an authorization request\n", request_columns!(), "WHERE id = ?1 FOR UPDATE"));

/// The request that a provider's callback names by its `state`: through one of the two statements below.
pub(crate) async fn find_request_by_state(
    tx: &mut Tx<'_>,
    statement: &'static Sql,
    states: &TokenHashes,
) -> Result<Option<AuthorizationRequest>> {
    for hash in states.iter() {
        if let Some(row) = tx.query_opt(statement, values![hash]).await? {
            return read_optional(Some(row));
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

pub(crate) async fn find_code(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<Option<AuthorizationCode>> {
    read_optional(tx.query_opt(CODE, values![hash]).await?)
}

pub(crate) static CODE: &Sql = sql!(
    "-- an authorization code
    SELECT code_hash, connection_id, client_id, redirect_uri, code_challenge, expires_at, used_at
    FROM authorization_codes WHERE code_hash = ?1"
);

/// Everything the access check needs to know of a connection: one query.
pub(crate) async fn find_access_state(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<AccessState>> {
    read_optional(tx.query_opt(ACCESS_STATE, values![id]).await?)
}

/// The columns of an access state, from a connection `c` and what `access_joins` joins to it.
macro_rules! access_columns {
    () => {
        "c.id, c.client_id, c.provider_id, c.sub, c.status, c.cause, s.status, c.provider_revocation, c.expires_at,
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
pub(crate) async fn lock_due_job(tx: &mut Tx<'_>, now: domain::Timestamp) -> Result<Option<Job>> {
    read_optional(tx.query_opt(DUE_JOB, values![now]).await?)
}

macro_rules! job_columns {
    () => {
        "SELECT id, kind, connection_id, provider_id, client_id, data_key, token, verifier, identity, outcome_unknown, attempt,
        seed, retry_until
    FROM jobs "
    };
}

/// A kind of jobs that this program knows: what a newer one queued is left to it. No index is looked for.
macro_rules! known_job_kind {
    () => {
        "COALESCE(kind, '') IN ('revoke_at_provider', 'revoke_orphaned_grant', 'recover_authorization_code', 'register_upstream_client', 'delete_upstream_client')"
    };
}
pub(crate) use known_job_kind;

pub(crate) static DUE_JOB: &Sql = sql!(concat!(
    "-- lock the next due job\n",
    job_columns!(),
    "WHERE state = 'pending' AND due_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) AND ",
    known_job_kind!(),
    "
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED"
));

/// A job that is still leased by the given lease, locked.
pub(crate) async fn lock_leased_job(
    tx: &mut Tx<'_>,
    id: &domain::id::JobId,
    lease: &domain::id::LeaseId,
) -> Result<Option<Job>> {
    read_optional(tx.query_opt(LEASED_JOB, values![id, lease]).await?)
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
    fn known_job_kind_lists_every_job_kind() {
        let words: Vec<_> = JobKind::ALL.iter().map(|kind| format!("'{kind}'")).collect();
        assert_eq!(known_job_kind!(), format!("COALESCE(kind, '') IN ({})", words.join(", ")));
    }
}
