//! The stored form of connections, and of the terms that customers consented to.

use std::collections::HashMap;

use domain::id::{ConnectionId, CustomerId};
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::connection::{Connection, ConnectionState, ConnectionStatus, EndDetails, Terms};
use domain::secret::TokenHash;

use crate::error::{Result, StoreError};
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, values};

macro_rules! connection_columns {
    () => {
        "id, client_id, provider_id, customer_id, sub, status, pending_until, cause, actor_kind, actor_id, ended_at,
        terms_version, token_generation, credential_version, expires_at, provider_revocation, job_id, audit_head, mac"
    };
}
pub(crate) use connection_columns;

/// The MAC over the authority of a connection: its parties, its status and the end of its consent.
pub(crate) static CONNECTION_MAC: RowMac = RowMac {
    table: "connections",
    part: "",
    columns: &[
        "id",
        "client_id",
        "provider_id",
        "customer_id",
        "sub",
        "status",
        "terms_version",
        "token_generation",
        "expires_at",
    ],
    mac: "mac",
    id: ("id", ConnectionId::PREFIX),
};

/// The MAC over the authority of terms: the data that the recipient may read, and the latest end of the connection.
pub(crate) static TERMS_MAC: RowMac = RowMac {
    table: "connection_terms",
    part: "",
    columns: &["connection_id", "version", "clusters", "accounts", "expires_at"],
    mac: "mac",
    id: ("connection_id", ConnectionId::PREFIX),
};

/// Computes the MAC of a connection whose status becomes `status`.
pub(crate) fn compute_connection_mac(
    tx: &Tx<'_>,
    connection: &Connection,
    status: ConnectionStatus,
) -> Value {
    let c = connection;
    let values = values![
        c.id,
        c.client_id,
        c.provider_id,
        c.customer_id,
        c.sub,
        status,
        c.terms_version,
        c.token_generation,
        c.expires_at
    ];
    tx.compute_mac(&CONNECTION_MAC, values)
}

impl FromRow for Connection {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&CONNECTION_MAC)?;
        Ok(Self {
            id: row.get("id")?,
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            customer_id: row.get("customer_id")?,
            sub: row.get("sub")?,
            state: ConnectionState::from_row(row)?,
            terms_version: row.get("terms_version")?,
            token_generation: row.get("token_generation")?,
            credential_version: row.get("credential_version")?,
            expires_at: row.get("expires_at")?,
            provider_revocation: row.get("provider_revocation")?,
            newest_job: row.get("job_id")?,
            audit: AuditHead::from_row(row)?,
        })
    }
}

impl FromRow for ConnectionState {
    fn from_row(row: &mut Row) -> Result<Self> {
        match row.get("status")? {
            ConnectionStatus::Pending => Ok(Self::Pending { until: row.get("pending_until")? }),
            ConnectionStatus::Active => Ok(Self::Active),
            ConnectionStatus::Revoked | ConnectionStatus::Expired | ConnectionStatus::Abandoned => {
                Ok(Self::Ended(EndDetails {
                    cause: row.get("cause")?,
                    actor: Actor::from_row(row)?,
                    at: row.get("ended_at")?,
                }))
            }
        }
    }
}

/// The terms of a connection, with the sealed list of accounts.
pub(crate) struct StoredTerms {
    pub(crate) terms: Terms,
    pub(crate) accounts: Option<Vec<u8>>,
}

impl FromRow for StoredTerms {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&TERMS_MAC)?;
        let accounts = row.get("accounts")?;
        let terms = Terms {
            clusters: row.get("clusters")?,
            account_count: row.get("account_count")?,
            purpose: row.get("purpose")?,
            language: row.get("language")?,
            page_version: row.get("page_version")?,
            expires_at: row.get("expires_at")?,
            agreed_at: row.get("agreed_at")?,
        };
        Ok(Self { terms, accounts })
    }
}

/// Finds one version of the terms of a connection.
pub(crate) async fn find_terms(
    tx: &mut Tx<'_>,
    id: &ConnectionId,
    version: i64,
) -> Result<Option<StoredTerms>> {
    tx.fetch_optional(TERMS, values![id, version]).await
}

static TERMS: &Sql = sql!(
    "-- find the terms of a connection
    SELECT connection_id, version, clusters, accounts, mac, account_count, purpose, language, page_version, expires_at,
        agreed_at
    FROM connection_terms WHERE connection_id = ?1 AND version = ?2"
);

/// Finds a connection without a lock.
pub(crate) async fn find_connection(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Connection>> {
    tx.fetch_optional(CONNECTION, values![id]).await
}

/// Locks a connection. Every command that changes the state of a connection or replaces its tokens takes this lock
/// first, so that such commands run one by one.
pub(crate) async fn lock_connection(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<Connection>> {
    tx.fetch_optional(LOCK_CONNECTION, values![id]).await
}

/// Locks the connection that an authorization code belongs to. The row of the code is not verified: the caller must read it, and
/// compare its connection.
pub(crate) async fn lock_connection_of_code(tx: &mut Tx<'_>, code: &TokenHash) -> Result<Option<Connection>> {
    tx.fetch_optional(LOCK_CONNECTION_OF_CODE, values![code]).await
}

/// Locks a connection for a job that concerns it. Returns `None` for a connection that another program has changed: it is not
/// written, but the job must not wait until it is restored.
pub(crate) async fn lock_connection_of_job(
    tx: &mut Tx<'_>,
    id: Option<&ConnectionId>,
) -> Result<Option<Connection>> {
    let Some(id) = id else { return Ok(None) };
    match lock_connection(tx, id).await {
        Err(StoreError::UnverifiedRow { .. }) => Ok(None),
        connection => connection,
    }
}

/// Announces that these connections are locked later, see [`Tx::announce`].
pub(crate) fn announce_lock_of_free_connections(tx: &mut Tx<'_>, ids: &[&ConnectionId]) {
    tx.announce_keys(LOCK_FREE_CONNECTIONS, ids.iter().map(ToValue::to_value).collect());
}

/// Locks those of several connections that no other transaction has locked, in the order of their ids.
pub(crate) async fn lock_free_connections(
    tx: &mut Tx<'_>,
    ids: &[&ConnectionId],
) -> Result<HashMap<ConnectionId, Connection>> {
    let keys = ids.iter().map(ToValue::to_value).collect();
    let connections: Vec<Connection> = tx.fetch_by_keys(LOCK_FREE_CONNECTIONS, keys).await?;
    Ok(connections.into_iter().map(|connection| (connection.id.clone(), connection)).collect())
}

/// Locks the active connection with the same recipient, provider and customer. There is at most one: the connection that
/// was activated last, unless it has ended.
pub(crate) async fn lock_active_connection(
    tx: &mut Tx<'_>,
    sibling: &Connection,
) -> Result<Option<Connection>> {
    let params = values![sibling.client_id, sibling.provider_id, sibling.customer_id];
    tx.fetch_optional(LOCK_ACTIVE_CONNECTION, params).await
}

/// Announces that a customer, and then the active connection of [`lock_active_connection`], are locked later, see [`Tx::announce`].
pub(crate) fn announce_locks_of_customer(tx: &mut Tx<'_>, sibling: &Connection) {
    tx.announce(LOCK_CUSTOMER, values![sibling.customer_id]);
    let params = values![sibling.client_id, sibling.provider_id, sibling.customer_id];
    tx.announce(LOCK_ACTIVE_CONNECTION, params);
}

/// Locks a customer, so that commands that compare the customer's connections run one by one.
pub(crate) async fn lock_customer(tx: &mut Tx<'_>, id: &CustomerId) -> Result<()> {
    // Every connection references a customer, so the row exists.
    if tx.exists(LOCK_CUSTOMER, values![id]).await? {
        Ok(())
    } else {
        Err(StoreError::Internal("a connection has no customer".into()))
    }
}

static CONNECTION: &Sql =
    sql!(concat!("-- find a connection\nSELECT ", connection_columns!(), " FROM connections WHERE id = ?1"));

static LOCK_CONNECTION: &Sql = sql!(concat!(
    "-- lock a connection\nSELECT ",
    connection_columns!(),
    " FROM connections WHERE id = ?1 FOR UPDATE"
));

static LOCK_CONNECTION_OF_CODE: &Sql = sql!(concat!(
    "-- lock the connection of an authorization code\nSELECT ",
    connection_columns!(),
    " FROM connections
    WHERE id = (SELECT connection_id FROM authorization_codes WHERE code_hash = ?1) FOR UPDATE"
));

macro_rules! lock_free_connections {
    ($condition:literal) => {
        concat!(
            "-- lock connections that no other transaction has locked\nSELECT ",
            connection_columns!(),
            " FROM connections WHERE id = ",
            $condition,
            " ORDER BY id FOR UPDATE SKIP LOCKED"
        )
    };
}

static LOCK_FREE_CONNECTIONS: &Sql =
    sql!(sqlite: lock_free_connections!("?1"), postgres: lock_free_connections!("ANY(?1)"));

static LOCK_ACTIVE_CONNECTION: &Sql = sql!(concat!(
    "-- lock the active connection of a recipient, provider and customer\nSELECT ",
    connection_columns!(),
    " FROM connections
    WHERE id = (SELECT connection_id FROM newest_connections
            WHERE client_id = ?1 AND provider_id = ?2 AND customer_id = ?3)
        AND status = 'active' FOR UPDATE"
));

static LOCK_CUSTOMER: &Sql = sql!("-- lock a customer\nSELECT id FROM customers WHERE id = ?1 FOR UPDATE");

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[
    TERMS,
    CONNECTION,
    LOCK_CONNECTION,
    LOCK_CONNECTION_OF_CODE,
    LOCK_FREE_CONNECTIONS,
    LOCK_ACTIVE_CONNECTION,
    LOCK_CUSTOMER,
];
