//! The deletion of the tokens of connections that have ended. They are unreadable since the end, which deleted their keys.

use domain::id::ConnectionId;
use domain::secret::TokenHash;
use domain::{Moment, Timestamp};

use crate::commit_effect::CommitEffect;
use crate::error::Result;
use crate::operation::Command;
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Deletes the tokens of the connections that ended first.
#[derive(Debug)]
pub struct DeleteEndedTokens {
    pub moment: Moment,
    /// The maximum number of connections.
    pub limit: u32,
}

/// The connections whose tokens a [`DeleteEndedTokens`] has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeletedTokens {
    /// The number of connections. If it equals the limit, there may be more.
    pub connections: u32,
    /// The time at which the first of them ended.
    pub oldest_end: Option<Timestamp>,
}

struct EndedConnection {
    id: i64,
    connection_id: ConnectionId,
    ended_at: Timestamp,
    refresh_token_hash: Option<TokenHash>,
}

impl FromRow for EndedConnection {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            connection_id: row.get("connection_id")?,
            ended_at: row.get("ended_at")?,
            refresh_token_hash: row.get("refresh_token_hash")?,
        })
    }
}

impl Command for DeleteEndedTokens {
    type Reply = DeletedTokens;

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<DeletedTokens> {
        let ended: Vec<EndedConnection> = tx.fetch_all(TAKE_ENDED_CONNECTIONS, values![self.limit]).await?;
        let Some(oldest_end) = ended.iter().map(|ended| ended.ended_at).min() else {
            return Ok(DeletedTokens::default());
        };
        let hashes = ended.iter().filter_map(|ended| ended.refresh_token_hash.as_ref());
        tx.defer_rows(DELETE_REFRESH_TOKENS, hashes.map(|hash| values![hash].to_vec()).collect());
        let connections = ended.iter().map(|ended| values![ended.connection_id].to_vec());
        tx.defer_rows(DELETE_CREDENTIALS, connections.collect());
        tx.defer_rows(
            FORGET_ENDED_CONNECTIONS,
            ended.iter().map(|ended| values![ended.id].to_vec()).collect(),
        );
        tx.add_effect(CommitEffect::SecretsDeleted);
        let connections = u32::try_from(ended.len()).unwrap_or(u32::MAX);
        Ok(DeletedTokens { connections, oldest_end: Some(oldest_end) })
    }
}

// `SKIP LOCKED`: two nodes that delete at the same time take different connections.
static TAKE_ENDED_CONNECTIONS: &Sql = sql!(
    "-- take the connections that ended first
    SELECT e.id, e.connection_id, e.ended_at, c.refresh_token_hash
    FROM ended_connections e JOIN connections c ON c.id = e.connection_id
    WHERE e.id > 0 ORDER BY e.id LIMIT ?1 FOR UPDATE OF e SKIP LOCKED"
);

static DELETE_REFRESH_TOKENS: &Sql = sql!(
    sqlite: "-- delete refresh tokens
        DELETE FROM refresh_tokens WHERE token_hash = ?1",
    postgres: "-- delete refresh tokens
        DELETE FROM refresh_tokens WHERE token_hash = ANY(?1::bytea[])"
);

static DELETE_CREDENTIALS: &Sql = sql!(
    sqlite: "-- delete upstream credentials
        DELETE FROM upstream_credentials WHERE connection_id = ?1",
    postgres: "-- delete upstream credentials
        DELETE FROM upstream_credentials WHERE connection_id = ANY(?1::bytea[])"
);

static FORGET_ENDED_CONNECTIONS: &Sql = sql!(
    sqlite: "-- remove connections from the list of ended ones
        DELETE FROM ended_connections WHERE id = ?1",
    postgres: "-- remove connections from the list of ended ones
        DELETE FROM ended_connections WHERE id = ANY(?1::bigint[])"
);

pub(crate) static HOT_STATEMENTS: &[&Sql] = &[TAKE_ENDED_CONNECTIONS];
