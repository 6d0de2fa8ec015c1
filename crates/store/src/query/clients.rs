//! Recipients and partners as operators look for them: each search goes along an index.

use domain::Timestamp;
use domain::id::ClientId;
use domain::model::client::{ClientKind, ClientState, Recipient};
use domain::model::connection::Cause;

use crate::Query;
use crate::error::Result;
use crate::record::{Record, client_columns};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A client with what it says of itself, removed or not.
#[derive(Clone, Debug)]
pub struct ClientSeen {
    /// The client; a partner says nothing of itself.
    pub recipient: Recipient,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl Record for ClientSeen {
    fn read(row: &mut Row) -> Result<Self> {
        Ok(Self { recipient: Recipient::read(row)?, created_at: row.take()? })
    }
}

macro_rules! seen_columns {
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
pub struct ClientSeenById {
    /// Of this kind.
    pub kind: ClientKind,
    /// Its id.
    pub id: ClientId,
}

impl Query for ClientSeenById {
    type Reply = Option<ClientSeen>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let row = tx.query_opt(SEEN, values![self.id, self.kind]).await?;
        row.map(|mut row| ClientSeen::read(&mut row)).transpose()
    }
}

static SEEN: &Sql =
    sql!(concat!("-- a client, for operators\n", seen_columns!(), "WHERE id = ?1 AND kind = ?2"));

/// Clients of a kind, the newest first.
#[derive(Clone, Debug)]
pub struct Clients {
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

impl Query for Clients {
    type Reply = Vec<ClientSeen>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // No id is greater than this one.
        let end = (Timestamp::from_millis(i64::MAX), "~");
        let (time, id) = self.after.as_ref().map_or(end, |after| (after.0, after.1.as_str()));
        let statement = if self.partner.is_some() { BY_PARTNER } else { BY_KIND };
        let params = values![self.kind, self.partner, self.state, time, *id, self.limit];
        tx.query(statement, params).await?.into_iter().map(|mut row| ClientSeen::read(&mut row)).collect()
    }
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! search {
    ($name:literal, $along:literal) => {
        sql!(concat!(
            "-- clients by ",
            $name,
            "\n",
            seen_columns!(),
            "WHERE ",
            $along,
            " AND kind = COALESCE(?1, kind) AND COALESCE(owner_id, '') = COALESCE(?2, owner_id, '') AND state = COALESCE(?3, state)
        AND (created_at, id) < (?4, ?5)
    ORDER BY created_at DESC, id DESC LIMIT ?6"
        ))
    };
}

static BY_KIND: &Sql = search!("kind", "kind || '' = ?1");
static BY_PARTNER: &Sql = search!("partner", "owner_id = ?2");

/// How many connections the removal of a recipient ends: those that it has ended already, and those that live. Once
/// the recipient is removed no other comes to be, so that the number is the same whenever it is asked for.
#[derive(Clone, Debug)]
pub struct EndsWith {
    /// The recipient.
    pub client_id: ClientId,
}

impl Query for EndsWith {
    type Reply = i64;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let row = tx.query_opt(ENDS_WITH, values![self.client_id, Cause::ClientRemoved]).await?;
        Ok(crate::record::scalar(row)?.unwrap_or_default())
    }
}

static ENDS_WITH: &Sql = sql!(
    "-- how many connections end with a recipient
    SELECT count(*) FROM connections WHERE client_id = ?1 AND (status IN ('pending', 'active') OR cause = ?2)"
);

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 4] = [SEEN, BY_KIND, BY_PARTNER, ENDS_WITH];
