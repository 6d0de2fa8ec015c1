//! Queries that read the facts for the access check of a token.

use domain::id::ConnectionId;
use domain::model::refresh_token::RefreshToken;
use domain::rule::access::AccessState;
use domain::secret::{TokenHash, TokenHashes};

use crate::access_map::{ConnectionRow, Fill, MapView};
use crate::entity::access_state::{
    JOINED_CONNECTION_MAC, JOINED_TERMS_MAC, access_state_columns, access_state_joins, take_accounts,
};
use crate::entity::refresh_token::REFRESH_TOKEN_MAC;
use crate::error::Result;
use crate::operation::Query;
use crate::row::{FromRow, Row};
use crate::row_mac::RowMac;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, values};

/// Reads the facts on which the access check of a connection token decides.
#[derive(Clone, Debug)]
pub struct GetAccessState {
    pub connection_id: ConnectionId,
}

impl Query for GetAccessState {
    type Reply = Option<AccessState>;
    const USES_ACCESS_MAP: bool = true;
    const IS_COUNTED_QUESTION: bool = true;

    fn find_in_memory(&self, map: &MapView<'_>) -> Option<Self::Reply> {
        // A connection that does not exist is never in memory, so that invented ids cannot fill it.
        map.find_access_state(&self.connection_id).map(Some)
    }

    fn is_in_memory(&self, map: &MapView<'_>) -> bool {
        map.has_connection(&self.connection_id)
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        if let Some(fill) = tx.fill().filter(Fill::can_join) {
            // Usually only the connection is not in memory, and two rows are read faster than five.
            let row: Option<ConnectionRow> =
                tx.fetch_optional(CONNECTION_WITH_TERMS, values![self.connection_id]).await?;
            let Some(row) = row else { return Ok(None) };
            if let Some(state) = fill.insert_connection(&self.connection_id, row) {
                return Ok(Some(state));
            }
        }
        let row: Option<AccessRow> = tx.find(ACCESS_STATE, self.connection_id.to_value()).await?;
        Ok(row.map(|row| row.insert_into_map(tx.fill())))
    }
}

/// The columns of a connection with its terms, selected from `connections c` and `connection_terms t`.
macro_rules! connection_columns {
    () => {
        "c.id AS connection_id, c.client_id, c.provider_id, c.customer_id, c.sub, c.status, c.terms_version,
        c.token_generation, c.expires_at, c.mac AS connection_mac, t.clusters, t.accounts,
        t.expires_at AS terms_expires_at, t.mac AS terms_mac, c.accounts_key, c.cause, c.replaced_by, c.provider_revocation"
    };
}

impl FromRow for ConnectionRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        // A row is verified when it is read into memory, and not again at each check.
        row.verify(&JOINED_CONNECTION_MAC)?;
        row.verify(&JOINED_TERMS_MAC)?;
        let accounts = take_accounts(row)?;
        Ok(Self {
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            sub: row.get::<String>("sub")?.into(),
            status: row.get("status")?,
            cause: row.get("cause")?,
            replaced_by: row.get::<Option<_>>("replaced_by")?.map(Box::new),
            provider_revocation: row.get("provider_revocation")?,
            expires_at: row.get("expires_at")?,
            token_generation: row.get("token_generation")?,
            clusters: row.get("clusters")?,
            accounts,
        })
    }
}

/// An access state, with what the access map needs in addition.
struct AccessRow {
    state: AccessState,
    replaced_by: Option<ConnectionId>,
}

impl FromRow for AccessRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        let replaced_by = row.get("replaced_by")?;
        Ok(Self { state: AccessState::from_row(row)?, replaced_by })
    }
}

impl AccessRow {
    fn insert_into_map(self, fill: Option<Fill<'_>>) -> AccessState {
        if let Some(fill) = fill {
            fill.insert_access_state(&self.state, self.replaced_by);
        }
        self.state
    }
}

/// Finds a presented refresh token, with the access state of its connection.
#[derive(Clone, Debug)]
pub struct FindRefreshToken {
    /// The hashes of the presented token, one for each pepper.
    pub hashes: TokenHashes,
}

/// A stored refresh token, with the access state of its connection.
#[derive(Debug)]
pub struct StoredRefreshToken {
    /// The hash that the token is stored under.
    pub hash: TokenHash,
    pub token: RefreshToken,
    pub access_state: AccessState,
}

/// [`REFRESH_TOKEN_MAC`] with the names that columns have next to those of the connection.
static PRESENTED_TOKEN_MAC: RowMac = RowMac {
    columns: &["token_hash", "connection_id", "token_client_id"],
    mac: "token_mac",
    ..REFRESH_TOKEN_MAC
};

/// A refresh token, with the access row of its connection.
struct RefreshTokenRow {
    hash: TokenHash,
    token: RefreshToken,
    access: AccessRow,
}

impl FromRow for RefreshTokenRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&PRESENTED_TOKEN_MAC)?;
        let hash = row.get("token_hash")?;
        let (client_id, last_used_at) = (row.get("token_client_id")?, row.get("last_used_at")?);
        let access = AccessRow::from_row(row)?;
        let connection_id = access.state.connection_id.clone();
        Ok(Self { hash, token: RefreshToken { connection_id, client_id, last_used_at }, access })
    }
}

/// A refresh token, with the row of its connection.
struct TokenConnectionRow {
    token: RefreshToken,
    connection: ConnectionRow,
}

impl FromRow for TokenConnectionRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        row.verify(&PRESENTED_TOKEN_MAC)?;
        let connection = ConnectionRow::from_row(row)?;
        let (connection_id, client_id) = (row.get("connection_id")?, row.get("token_client_id")?);
        let token = RefreshToken { connection_id, client_id, last_used_at: row.get("last_used_at")? };
        Ok(Self { token, connection })
    }
}

impl Query for FindRefreshToken {
    type Reply = Option<StoredRefreshToken>;
    const USES_ACCESS_MAP: bool = true;
    const IS_COUNTED_QUESTION: bool = true;

    fn find_in_memory(&self, map: &MapView<'_>) -> Option<Self::Reply> {
        let found = self.hashes.iter().find_map(|hash| Some((hash, map.find_refresh_token(hash)?)));
        let (hash, token) = found?;
        let access_state = map.find_access_state(&token.connection_id)?;
        Some(Some(StoredRefreshToken { hash: hash.clone(), token, access_state }))
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        for hash in self.hashes.iter() {
            if let Some(fill) = tx.fill().filter(Fill::can_join) {
                let row = tx.fetch_optional(TOKEN_WITH_CONNECTION, values![hash]).await?;
                let Some(TokenConnectionRow { token, connection }) = row else { continue };
                fill.insert_refresh_token(hash.clone(), &token);
                if let Some(access_state) = fill.insert_connection(&token.connection_id, connection) {
                    return Ok(Some(StoredRefreshToken { hash: hash.clone(), token, access_state }));
                }
            }
            let row: Option<RefreshTokenRow> = tx.find(REFRESH_TOKEN, hash.to_value()).await?;
            if let Some(RefreshTokenRow { hash, token, access }) = row {
                if let Some(fill) = tx.fill() {
                    fill.insert_refresh_token(hash.clone(), &token);
                }
                let access_state = access.insert_into_map(tx.fill());
                return Ok(Some(StoredRefreshToken { hash, token, access_state }));
            }
        }
        Ok(None)
    }
}

static CONNECTION_WITH_TERMS: &Sql = sql!(concat!(
    "-- find a connection with its terms\nSELECT ",
    connection_columns!(),
    "\n    FROM connections c JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    WHERE c.id = ?1"
));

static TOKEN_WITH_CONNECTION: &Sql = sql!(concat!(
    "-- find a refresh token with its connection
    SELECT f.token_hash, f.client_id AS token_client_id, f.mac AS token_mac, f.last_used_at, ",
    connection_columns!(),
    "\n    FROM refresh_tokens f JOIN connections c ON c.id = f.connection_id
    JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    WHERE f.token_hash = ?1"
));

macro_rules! access_states {
    ($condition:literal) => {
        concat!(
            "-- find the access state of a presented token\nSELECT c.id AS lookup_key, c.replaced_by, ",
            access_state_columns!(),
            "\n    FROM connections c ",
            access_state_joins!(),
            "\n    WHERE c.id = ",
            $condition
        )
    };
}

static ACCESS_STATE: &Sql = sql!(sqlite: access_states!("?1"), postgres: access_states!("ANY(?1)"));

macro_rules! refresh_tokens {
    ($condition:literal) => {
        concat!(
            "-- find a refresh token with the access state of its connection
    SELECT f.token_hash AS lookup_key, f.token_hash, f.client_id AS token_client_id, f.mac AS token_mac, f.last_used_at,
        c.replaced_by, ",
            access_state_columns!(),
            "\n    FROM refresh_tokens f JOIN connections c ON c.id = f.connection_id ",
            access_state_joins!(),
            "\n    WHERE f.token_hash = ",
            $condition
        )
    };
}

static REFRESH_TOKEN: &Sql = sql!(sqlite: refresh_tokens!("?1"), postgres: refresh_tokens!("ANY(?1)"));

pub(super) static HOT_STATEMENTS: &[&Sql] =
    &[CONNECTION_WITH_TERMS, TOKEN_WITH_CONNECTION, ACCESS_STATE, REFRESH_TOKEN];

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

    use super::*;
    use crate::entity;

    /// A change of a table that is not tracked would leave stale rows in memory.
    #[test]
    fn every_table_of_answers_from_memory_is_tracked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
        let mut connection = rusqlite::Connection::open(&path).unwrap();
        let tables = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
        let read = Arc::clone(&tables);
        let record = move |context: AuthContext<'_>| {
            if let AuthAction::Read { table_name, .. } = context.action {
                read.lock().unwrap().insert(table_name.to_owned());
            }
            Authorization::Allow
        };
        connection.authorizer(Some(record)).unwrap();

        let rows = [HOT_STATEMENTS, entity::client::HOT_STATEMENTS, entity::provider::STATEMENTS_IN_MEMORY];
        for sql in rows.concat() {
            connection.prepare(sql.sqlite).unwrap();
        }

        let tables = tables.lock().unwrap();
        assert!(tables.contains("connections") && tables.contains("refresh_tokens"), "{tables:?}");
        let untracked: Vec<_> =
            tables.iter().filter(|table| !crate::sqlite::is_tracked_table(table)).collect();
        assert!(untracked.is_empty(), "{untracked:?}");
    }
}
