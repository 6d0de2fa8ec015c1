//! Queries that read the credentials which the hub has at providers. All of these credentials are sealed.

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};

use crate::command::SealedValue;
use crate::entity::former_settings::find_former_settings;
use crate::entity::provider::{SealedProviderSecrets, find_provider_secrets};
use crate::entity::registration::StoredUpstreamClient;
use crate::error::Result;
use crate::operation::Query;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, values};

/// Reads the hub's access token for a connection that has not ended.
#[derive(Clone, Debug)]
pub struct GetUpstreamCredential {
    pub connection_id: ConnectionId,
}

/// The hub's access token for a connection.
#[derive(Clone, Debug)]
pub struct UpstreamCredential {
    /// The version of the credential; a refresh must name the version that it replaces.
    pub version: i64,
    /// The hub's access token at the provider.
    pub access_token: SealedValue,
    pub access_expires_at: Timestamp,
    /// The time at which the access token was issued.
    pub issued_at: Timestamp,
    /// True if the provider has issued a refresh token.
    pub has_refresh_token: bool,
    /// The time of the first `invalid_grant` for this version, which a second refresh must confirm.
    pub invalid_grant_at: Option<Timestamp>,
}

impl FromRow for UpstreamCredential {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            version: row.get("credential_version")?,
            access_token: SealedValue { key: row.get("access_key")?, sealed: row.get("access_token")? },
            access_expires_at: row.get("access_expires_at")?,
            issued_at: row.get("updated_at")?,
            has_refresh_token: row.get("has_refresh_token")?,
            invalid_grant_at: row.get("invalid_grant_at")?,
        })
    }
}

impl Query for GetUpstreamCredential {
    type Reply = Option<UpstreamCredential>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.find(UPSTREAM_CREDENTIAL, self.connection_id.to_value()).await
    }
}

macro_rules! upstream_credentials {
    ($condition:literal) => {
        concat!(
            "-- find the upstream credential of a live connection
            SELECT ",
            "u.connection_id AS lookup_key, ",
            "c.credential_version, c.access_key, u.access_token, u.access_expires_at, u.updated_at, u.invalid_grant_at,
                c.refresh_key IS NOT NULL AS has_refresh_token
            FROM upstream_credentials u JOIN connections c ON c.id = u.connection_id
            WHERE c.access_key IS NOT NULL AND u.connection_id = ",
            $condition
        )
    };
}

static UPSTREAM_CREDENTIAL: &Sql = sql!(
    sqlite: upstream_credentials!("?1"),
    postgres: upstream_credentials!("ANY(?1)")
);

/// Reads the upstream client of a registration, if it has its own.
#[derive(Clone, Debug)]
pub struct GetUpstreamClient {
    pub client_id: ClientId,
    pub provider_id: ProviderId,
}

impl Query for GetUpstreamClient {
    type Reply = Option<StoredUpstreamClient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_optional(UPSTREAM_CLIENT, values![self.client_id, self.provider_id]).await
    }
}

static UPSTREAM_CLIENT: &Sql = sql!(
    "-- find the upstream client of a registration
    SELECT upstream_client_id, upstream_data_key, upstream_client_secret FROM registrations
    WHERE client_id = ?1 AND provider_id = ?2 AND upstream_client_secret IS NOT NULL"
);

/// Reads the hub's secrets at a provider that an operator added.
#[derive(Clone, Debug)]
pub struct GetProviderSecrets {
    pub provider_id: ProviderId,
    /// The version of the endpoints that the secrets belong to.
    pub endpoints_version: i64,
}

impl Query for GetProviderSecrets {
    type Reply = Option<SealedProviderSecrets>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let current = find_provider_secrets(tx, self.provider_id, self.endpoints_version).await?;
        if current.is_some() {
            return Ok(current);
        }
        let former = find_former_settings(tx, self.provider_id, self.endpoints_version).await?;
        Ok(former.and_then(|former| former.secrets))
    }
}

/// Finds whether a live connection uses, or may use, the grant that a job's token belongs to, at a provider whose grants are shared by
/// all connections of a customer.
#[derive(Clone, Debug)]
pub struct GetGrantSharing {
    pub provider_id: ProviderId,
    /// The connection of the job; it may never have been opened.
    pub connection_id: ConnectionId,
    /// The keyed hash of the customer's identity, if it is known.
    pub identity: Option<Vec<u8>>,
}

/// The result of [`GetGrantSharing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantSharing {
    /// No live connection uses the grant.
    Unshared,
    /// A live connection of the same customer uses the grant.
    Shared,
    /// The customer is not known, and the provider has live connections: the grant may be that of any of them.
    Unknown,
}

impl Query for GetGrantSharing {
    type Reply = GrantSharing;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<GrantSharing> {
        if tx.exists(LIVE_CONNECTION_BY_CONNECTION, values![self.connection_id]).await? {
            return Ok(GrantSharing::Shared);
        }
        if let Some(identity) = &self.identity {
            let is_shared =
                tx.exists(LIVE_CONNECTION_BY_IDENTITY, values![self.provider_id, identity]).await?;
            return Ok(if is_shared { GrantSharing::Shared } else { GrantSharing::Unshared });
        }
        // Without a connection, only the identity shows which customer the grant belongs to. It is not known, for example, because the
        // login failed for this reason.
        let may_be_shared = !tx.exists(CONNECTION, values![self.connection_id]).await?
            && tx.exists(LIVE_CONNECTION_BY_PROVIDER, values![self.provider_id]).await?;
        Ok(if may_be_shared { GrantSharing::Unknown } else { GrantSharing::Unshared })
    }
}

static CONNECTION: &Sql = sql!(
    "-- find whether a connection was opened
    SELECT id FROM connections WHERE id = ?1"
);
static LIVE_CONNECTION_BY_CONNECTION: &Sql = sql!(
    "-- find a live connection of a connection's customer
    SELECT l.id FROM connections c JOIN connections l ON l.customer_id = c.customer_id
    WHERE c.id = ?1 AND l.status IN ('pending', 'active') LIMIT 1"
);
static LIVE_CONNECTION_BY_PROVIDER: &Sql = sql!(
    "-- find a live connection of a provider
    SELECT id FROM connections WHERE provider_id = ?1 AND status IN ('pending', 'active') LIMIT 1"
);
static LIVE_CONNECTION_BY_IDENTITY: &Sql = sql!(
    "-- find a live connection by the customer's identity
    SELECT l.id FROM customers u JOIN connections l ON l.customer_id = u.id
    WHERE u.provider_id = ?1 AND u.identity = ?2 AND l.status IN ('pending', 'active') LIMIT 1"
);

pub(super) static HOT_STATEMENTS: &[&Sql] = &[
    UPSTREAM_CREDENTIAL,
    UPSTREAM_CLIENT,
    CONNECTION,
    LIVE_CONNECTION_BY_CONNECTION,
    LIVE_CONNECTION_BY_PROVIDER,
    LIVE_CONNECTION_BY_IDENTITY,
];
