//! Queries for the removal of a recipient, whose connections are ended one after the other.

use domain::id::{ClientId, ConnectionId};
use domain::model::audit_event::Actor;
use domain::model::connection::{ConnectionStatus, EndCause};

use crate::error::Result;
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, values};

/// Lists removals that have not finished, in the order of the ids of the recipients.
#[derive(Clone, Debug)]
pub struct ListClientRemovals {
    /// The recipient after which the list begins; `None` lists from the beginning.
    pub after: Option<ClientId>,
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
            SELECT client_id, actor_kind, actor_id, correlation_id FROM client_removals
            WHERE client_id > ?1 ORDER BY client_id LIMIT ?2"
        );
        let after = self.after.as_ref().map_or(Value::Blob(Vec::new()), ToValue::to_value);
        tx.fetch_all(removals, &[after, i64::from(self.limit).to_value()]).await
    }
}

/// Lists connections of a recipient that have not ended, in the order of their ids.
#[derive(Clone, Debug)]
pub struct ListLiveConnections {
    pub client_id: ClientId,
    /// The id after which the list begins; `None` lists from the beginning.
    pub after: Option<ConnectionId>,
    /// The maximum number of connections that are examined, ended or not.
    pub limit: u32,
}

/// Connections that have not ended, among those that were examined.
#[derive(Clone, Debug)]
pub struct LiveConnections {
    pub ids: Vec<ConnectionId>,
    /// The last connection that was examined, after which the next list begins; `None` if no more follow.
    pub next: Option<ConnectionId>,
}

impl Query for ListLiveConnections {
    type Reply = LiveConnections;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let after = self.after.as_ref().map_or(Value::Blob(Vec::new()), ToValue::to_value);
        let params = &[self.client_id.to_value(), after, i64::from(self.limit).to_value()];
        let (mut ids, mut last, mut examined) = (Vec::new(), None, 0);
        for mut row in tx.fetch_rows(CONNECTIONS_OF_CLIENT, params).await? {
            let (id, status): (ConnectionId, ConnectionStatus) = (row.get("id")?, row.get("status")?);
            examined += 1;
            if matches!(status, ConnectionStatus::Pending | ConnectionStatus::Active) {
                ids.push(id.clone());
            }
            last = Some(id);
        }
        Ok(LiveConnections { ids, next: last.filter(|_| examined >= self.limit) })
    }
}

// The status has no index, because each end of a connection would have to change it. A removal reads each connection of the
// recipient once.
static CONNECTIONS_OF_CLIENT: &Sql = sql!(
    "-- list connections of a recipient with their status
    SELECT id, status FROM connections WHERE client_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
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

pub(super) static HOT_STATEMENTS: &[&Sql] = &[CONNECTIONS_OF_CLIENT, CONNECTIONS_ENDED_BY_REMOVAL];
