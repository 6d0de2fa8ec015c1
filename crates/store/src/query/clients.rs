//! Recipients and partners as operators look for them: each search goes along an index.

use domain::Timestamp;
use domain::id::ClientId;
use domain::model::client::{ClientKind, ClientState, Recipient};
use domain::model::connection::EndCause;

use crate::Query;
use crate::error::Result;
use crate::record::{FromRow, client_columns};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A client with what it says of itself, removed or not.
#[derive(Clone, Debug)]
pub struct ClientSummary {
    /// The client; a partner says nothing of itself.
    pub recipient: Recipient,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl FromRow for ClientSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { recipient: Recipient::from_row(row)?, created_at: row.next()? })
    }
}

macro_rules! client_summary_columns {
    () => {
        concat!(
            "SELECT ",
            client_columns!(),
            ", description, country, logo_uri, terms_uri, client_uri, contacts, created_at
    FROM clients "
        )
    };
}

/// One client of a kind.
#[derive(Clone, Debug)]
pub struct GetClientSummary {
    /// Of this kind.
    pub kind: ClientKind,
    /// Its id.
    pub id: ClientId,
}

impl Query for GetClientSummary {
    type Reply = Option<ClientSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(CLIENT_SUMMARY, values![self.id, self.kind]).await?;
        row.map(|mut row| ClientSummary::from_row(&mut row)).transpose()
    }
}

static CLIENT_SUMMARY: &Sql =
    sql!(concat!("-- a client, for operators\n", client_summary_columns!(), "WHERE id = ?1 AND kind = ?2"));

/// Clients of a kind, the newest first.
#[derive(Clone, Debug)]
pub struct ListClients {
    /// Of this kind.
    pub kind: ClientKind,
    /// Of this partner.
    pub partner: Option<ClientId>,
    /// In this state.
    pub state: Option<ClientState>,
    /// Behind this one: its time and id.
    pub after: Option<(Timestamp, ClientId)>,
    /// At most so many.
    pub limit: u32,
}

impl Query for ListClients {
    type Reply = Vec<ClientSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // No id is greater than this one.
        let end = (Timestamp::from_millis(i64::MAX), "~");
        let (time, id) = self.after.as_ref().map_or(end, |after| (after.0, after.1.as_str()));
        let statement = if self.partner.is_some() { BY_PARTNER } else { BY_KIND };
        let params = values![self.kind, self.partner, self.state, time, *id, self.limit];
        tx.query(statement, params)
            .await?
            .into_iter()
            .map(|mut row| ClientSummary::from_row(&mut row))
            .collect()
    }
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! client_search {
    ($name:literal, $along:literal) => {
        sql!(concat!(
            "-- clients by ",
            $name,
            "\n",
            client_summary_columns!(),
            "WHERE ",
            $along,
            " AND kind = COALESCE(?1, kind) AND COALESCE(owner_id, '') = COALESCE(?2, owner_id, '') AND state = COALESCE(?3, state)
        AND (created_at, id) < (?4, ?5)
    ORDER BY created_at DESC, id DESC LIMIT ?6"
        ))
    };
}

static BY_KIND: &Sql = client_search!("kind", "kind || '' = ?1");
static BY_PARTNER: &Sql = client_search!("partner", "owner_id = ?2");

/// How many connections the removal of a recipient ends: those that it has ended already, and those that live. Once
/// the recipient is removed no other comes to be, so that the number is the same whenever it is asked for.
#[derive(Clone, Debug)]
pub struct CountConnectionsEndedByRemoval {
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for CountConnectionsEndedByRemoval {
    type Reply = i64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let row = tx
            .query_opt(CONNECTIONS_ENDED_BY_REMOVAL, values![self.client_id, EndCause::ClientRemoved])
            .await?;
        Ok(crate::record::read_scalar(row)?.unwrap_or_default())
    }
}

static CONNECTIONS_ENDED_BY_REMOVAL: &Sql = sql!(
    "-- how many connections end with a recipient
    SELECT count(*) FROM connections WHERE client_id = ?1 AND (status IN ('pending', 'active') OR cause = ?2)"
);

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 4] = [CLIENT_SUMMARY, BY_KIND, BY_PARTNER, CONNECTIONS_ENDED_BY_REMOVAL];
