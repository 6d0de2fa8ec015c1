//! Queries for the removal of a recipient, whose connections are ended one after the other.

use domain::id::{ClientId, ConnectionId};
use domain::model::audit_event::Actor;
use domain::model::connection::EndCause;

use crate::error::Result;
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Lists removals that have not finished, the oldest first.
#[derive(Clone, Debug)]
pub struct ListClientRemovals {
    pub limit: u32,
}

/// A removal of a recipient that has not finished, because connections may still have to end.
#[derive(Clone, Debug)]
pub struct ClientRemoval {
    pub client_id: ClientId,
    /// The party that removed the recipient.
    pub actor: Actor,
    /// The correlation id of the request that removed the recipient.
    pub correlation_id: String,
}

impl FromRow for ClientRemoval {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            client_id: row.get("client_id")?,
            actor: Actor::from_row(row)?,
            correlation_id: row.get("correlation_id")?,
        })
    }
}

impl Query for ListClientRemovals {
    type Reply = Vec<ClientRemoval>;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let removals = sql!(
            "-- list unfinished removals
            SELECT client_id, actor_kind, actor_id, correlation_id FROM client_removals ORDER BY began_at LIMIT ?1"
        );
        tx.fetch_all(removals, values![self.limit]).await
    }
}

/// Lists connections of a recipient that have not ended.
#[derive(Clone, Debug)]
pub struct ListLiveConnections {
    pub client_id: ClientId,
    /// The maximum number of active connections, and also of pending ones.
    pub limit: u32,
}

impl Query for ListLiveConnections {
    type Reply = Vec<ConnectionId>;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // Two statements, because a condition on both states could not use the partial index of active connections.
        let params = values![self.client_id, self.limit];
        let mut ids = tx.fetch_column(ACTIVE_CONNECTIONS, params, "id").await?;
        ids.extend(tx.fetch_column::<ConnectionId>(PENDING_CONNECTIONS, params, "id").await?);
        Ok(ids)
    }
}

static ACTIVE_CONNECTIONS: &Sql = sql!(
    "-- list the active connections of a recipient
    SELECT id FROM connections WHERE client_id = ?1 AND status = 'active' LIMIT ?2"
);
// The expression excludes the index of the recipient, which also contains every ended connection. There are few pending
// connections, and they have an index of their own.
static PENDING_CONNECTIONS: &Sql = sql!(
    "-- list the pending connections of a recipient
    SELECT id FROM connections WHERE client_id || '' = ?1 AND status = 'pending' LIMIT ?2"
);

/// Counts the connections that the removal of a recipient ends: those that it has ended, and those that it will end.
/// The number does not change after the removal, because a removed recipient gets no new connections.
#[derive(Clone, Debug)]
pub struct CountConnectionsEndedByRemoval {
    pub client_id: ClientId,
}

impl Query for CountConnectionsEndedByRemoval {
    type Reply = i64;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let params = values![self.client_id, EndCause::ClientRemoved];
        Ok(tx.fetch_value(CONNECTIONS_ENDED_BY_REMOVAL, params, "connections").await?.unwrap_or_default())
    }
}

static CONNECTIONS_ENDED_BY_REMOVAL: &Sql = sql!(
    "-- count the connections that the removal of a recipient ends
    SELECT count(*) AS connections FROM connections
    WHERE client_id = ?1 AND (status IN ('pending', 'active') OR cause = ?2)"
);

pub(super) static HOT_STATEMENTS: &[&Sql] =
    &[ACTIVE_CONNECTIONS, PENDING_CONNECTIONS, CONNECTIONS_ENDED_BY_REMOVAL];
