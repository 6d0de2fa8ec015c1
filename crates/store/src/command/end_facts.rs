//! The stored facts that decide whether the end of a connection must revoke its grant at the provider.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::Timestamp;
use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::Connection;
use domain::model::job::TokenType;
use domain::model::provider::{GrantScope, ProviderSettings};

use super::job_queue::SealedToken;
use super::sealed_value::SealedValue;
use crate::entity::connection::lock_customer;
use crate::entity::provider::PROVIDER_MAC;
use crate::error::{Result, StoreError};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, values};

/// The settings of the provider of a connection, and the state of its credential.
pub(super) struct EndFacts {
    pub(super) settings: Arc<ProviderSettings>,
    /// The current endpoints of the provider have a method of revocation, or former ones do.
    pub(super) supports_revocation: bool,
    /// The wrapped key of the refresh token.
    pub(super) refresh_key: Option<Vec<u8>>,
    pub(super) refresh_token: Option<Vec<u8>>,
    /// The wrapped key of the access token.
    pub(super) access_key: Option<Vec<u8>>,
    pub(super) access_token: Option<Vec<u8>>,
    pub(super) access_expires_at: Option<Timestamp>,
    /// The sealed id of the grant at the provider.
    pub(super) grant_id: Option<Vec<u8>>,
    /// The end of the lease of a refresh that has not stored its result.
    pub(super) lease_until: Option<Timestamp>,
    pub(super) outcome_unknown: bool,
}

impl EndFacts {
    /// Takes the token with which the grant is revoked: the refresh token or, if the provider issued none, the access token.
    ///
    /// A refresh token is accompanied by the access token while that is valid, because some providers revoke only access
    /// tokens.
    pub(super) fn take_token_to_revoke(&mut self, now: Timestamp) -> Option<SealedToken> {
        let seal = |(key, sealed)| SealedValue { key, sealed };
        let refresh_token = self.refresh_key.take().zip(self.refresh_token.take()).map(seal);
        let access_token = self.access_key.take().zip(self.access_token.take()).map(seal);
        let is_valid = self.access_expires_at.is_some_and(|expires_at| now < expires_at);
        let grant_id = self.grant_id.take();
        let Some(refresh_token) = refresh_token else {
            // Even an expired token is revoked: the provider may accept it longer than it announced. But it also accepts the
            // revocation of an invalid token (RFC 7009 section 2.2), so the grant may stay active.
            return access_token.map(|token| SealedToken {
                grant_id,
                outcome_unknown: !is_valid,
                ..SealedToken::to_revoke(token, TokenType::AccessToken)
            });
        };
        Some(SealedToken {
            access_token: access_token.filter(|_| is_valid),
            grant_id,
            ..SealedToken::to_revoke(refresh_token, TokenType::RefreshToken)
        })
    }
}

struct CredentialRow {
    connection_id: ConnectionId,
    refresh_key: Option<Vec<u8>>,
    refresh_token: Option<Vec<u8>>,
    access_key: Option<Vec<u8>>,
    access_token: Option<Vec<u8>>,
    access_expires_at: Option<Timestamp>,
    grant_id: Option<Vec<u8>>,
    lease_until: Option<Timestamp>,
    outcome_unknown: bool,
}

impl FromRow for CredentialRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection_id: row.get("id")?,
            refresh_key: row.get("refresh_key")?,
            refresh_token: row.get("refresh_token")?,
            access_key: row.get("access_key")?,
            access_token: row.get("access_token")?,
            access_expires_at: row.get("access_expires_at")?,
            grant_id: row.get("upstream_grant_id")?,
            lease_until: row.get("lease_until")?,
            // The column is null if the connection has no credential any more.
            outcome_unknown: row.get::<Option<_>>("outcome_unknown")?.unwrap_or(false),
        })
    }
}

/// Announces that the credentials of these connections are loaded later, see [`Tx::announce`].
pub(super) fn announce_credentials(tx: &mut Tx<'_>, ids: &[&ConnectionId]) {
    tx.announce_keys(CREDENTIALS, ids.iter().map(ToValue::to_value).collect());
}

/// Loads the facts of locked connections. `ids` contains at least theirs.
pub(super) async fn load_end_facts(
    tx: &mut Tx<'_>,
    ids: &[&ConnectionId],
    connections: &[&Connection],
) -> Result<HashMap<ConnectionId, EndFacts>> {
    let providers: BTreeSet<_> = connections.iter().map(|connection| connection.provider_id).collect();
    for provider in providers {
        tx.announce(PROVIDER_SETTINGS, values![provider]);
    }
    let keys = ids.iter().map(ToValue::to_value).collect();
    let credentials: Vec<CredentialRow> = tx.fetch_by_keys(CREDENTIALS, keys).await?;
    let mut credentials: HashMap<_, _> =
        credentials.into_iter().map(|row| (row.connection_id.clone(), row)).collect();
    let mut providers = HashMap::new();
    let mut facts = HashMap::new();
    for connection in connections {
        let (settings, supports_revocation) =
            load_settings(tx, &mut providers, connection.provider_id).await?;
        let row = credentials.remove(&connection.id);
        let row = row.ok_or_else(|| StoreError::Internal("a locked connection does not exist".into()))?;
        let fact = EndFacts {
            settings,
            supports_revocation,
            refresh_key: row.refresh_key,
            refresh_token: row.refresh_token,
            access_key: row.access_key,
            access_token: row.access_token,
            access_expires_at: row.access_expires_at,
            grant_id: row.grant_id,
            lease_until: row.lease_until,
            outcome_unknown: row.outcome_unknown,
        };
        facts.insert(connection.id.clone(), fact);
    }
    Ok(facts)
}

/// Loads the settings of a provider, once for all connections of a set, and whether its grants can be revoked.
async fn load_settings(
    tx: &mut Tx<'_>,
    loaded: &mut HashMap<ProviderId, (Arc<ProviderSettings>, bool)>,
    id: ProviderId,
) -> Result<(Arc<ProviderSettings>, bool)> {
    if let Some((settings, supports_revocation)) = loaded.get(&id) {
        return Ok((Arc::clone(settings), *supports_revocation));
    }
    let row = tx.fetch_row(PROVIDER_SETTINGS, values![id]).await?;
    let mut row = row.ok_or_else(|| StoreError::Internal("a connection has no provider".into()))?;
    row.verify(&PROVIDER_MAC)?;
    let settings: Arc<ProviderSettings> = Arc::new(row.get_json("settings")?);
    // Which endpoints issued a token is sealed with it, so the job finds out.
    let supports_revocation = !settings.revoke.is_empty() || row.get("former_revokes")?;
    loaded.insert(id, (Arc::clone(&settings), supports_revocation));
    Ok((settings, supports_revocation))
}

macro_rules! credentials {
    ($condition:literal) => {
        concat!(
            "-- find the credentials of connections that end
            SELECT c.id, c.refresh_key, u.refresh_token, c.access_key, u.access_token, u.access_expires_at,
                c.upstream_grant_id, u.lease_until, u.outcome_unknown
            FROM connections c LEFT JOIN upstream_credentials u ON u.connection_id = c.id
            WHERE c.id = ",
            $condition
        )
    };
}

static CREDENTIALS: &Sql = sql!(sqlite: credentials!("?1"), postgres: credentials!("ANY(?1)"));

static PROVIDER_SETTINGS: &Sql = sql!(
    "-- find the settings of a provider
    SELECT id, source, settings, version, endpoints_version, former_revokes, mac FROM providers WHERE id = ?1"
);

struct LastUse {
    connection_id: ConnectionId,
    last_used_at: Timestamp,
}

impl FromRow for LastUse {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { connection_id: row.get("connection_id")?, last_used_at: row.get("last_used_at")? })
    }
}

/// Loads the last use of the refresh tokens of connections.
pub(super) async fn load_last_uses(
    tx: &mut Tx<'_>,
    connections: &[&ConnectionId],
) -> Result<HashMap<ConnectionId, Timestamp>> {
    if connections.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = connections.iter().map(ToValue::to_value).collect();
    let last_uses: Vec<LastUse> = tx.fetch_by_keys(LAST_USES, keys).await?;
    Ok(last_uses.into_iter().map(|use_| (use_.connection_id, use_.last_used_at)).collect())
}

macro_rules! last_uses {
    ($condition:literal) => {
        concat!(
            "-- find the last uses of refresh tokens
            SELECT c.id AS connection_id, t.last_used_at
            FROM connections c JOIN refresh_tokens t ON t.token_hash = c.refresh_token_hash
            WHERE c.id = ",
            $condition
        )
    };
}

static LAST_USES: &Sql = sql!(sqlite: last_uses!("?1"), postgres: last_uses!("ANY(?1)"));

/// Returns whether another live connection uses the same grant at the provider, so that the grant must not be revoked.
///
/// The customer's row is locked after the connection's, as in an exchange. So the ends of one customer's connections run
/// one after the other, and the last of them finds no other connection. Three transactions may still deadlock, because an
/// exchange locks two connections; the database then aborts one of them, and it runs again.
pub(super) async fn has_live_sibling(
    tx: &mut Tx<'_>,
    connection: &Connection,
    grant_scope: GrantScope,
) -> Result<bool> {
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

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[CREDENTIALS, PROVIDER_SETTINGS, LAST_USES, LIVE_SIBLING];
