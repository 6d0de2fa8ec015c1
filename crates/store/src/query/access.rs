//! Queries that read the facts for the access check of a token.

use domain::id::ConnectionId;
use domain::model::refresh_token::RefreshToken;
use domain::rule::access::AccessState;
use domain::secret::{TokenHash, TokenHashes};

use super::lookup::lookup;
use crate::entity::access_state::{access_state_columns, access_state_joins, find_access_state};
use crate::error::Result;
use crate::operation::Query;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

lookup! {
    /// Reads the facts on which the access check of a connection token decides.
    GetAccessState { connection_id: ConnectionId } -> Option<AccessState>
        = |tx, query| find_access_state(tx, &query.connection_id);
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

impl FromRow for StoredRefreshToken {
    fn from_row(row: &mut Row) -> Result<Self> {
        let hash = row.get("token_hash")?;
        let (client_id, last_used_at) = (row.get("token_client_id")?, row.get("last_used_at")?);
        let access_state = AccessState::from_row(row)?;
        let connection_id = access_state.connection_id.clone();
        Ok(Self { hash, token: RefreshToken { connection_id, client_id, last_used_at }, access_state })
    }
}

impl Query for FindRefreshToken {
    type Reply = Option<StoredRefreshToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        for hash in self.hashes.iter() {
            let token = tx.fetch_optional(REFRESH_TOKEN, values![hash]).await?;
            if token.is_some() {
                return Ok(token);
            }
        }
        Ok(None)
    }
}

static REFRESH_TOKEN: &Sql = sql!(concat!(
    "-- find a refresh token with the access state of its connection
    SELECT f.token_hash, f.client_id AS token_client_id, f.last_used_at, ",
    access_state_columns!(),
    "\n    FROM refresh_tokens f JOIN connections c ON c.id = f.connection_id ",
    access_state_joins!(),
    "\n    WHERE f.token_hash = ?1"
));

pub(super) static HOT_STATEMENTS: &[&Sql] = &[REFRESH_TOKEN];
