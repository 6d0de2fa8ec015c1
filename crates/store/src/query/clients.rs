//! Queries that read and search recipients and partners, for the admin API.

use domain::Timestamp;
use domain::id::ClientId;
use domain::model::client::{Client, ClientKind, ClientState, Recipient};

use crate::access_map::MapView;
use crate::entity::client::{find_client, recipient_columns};
use crate::error::Result;
use crate::keyset_search::{KeyRange, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, encode_id_after_all, values};

/// Reads the client with an id, removed or not.
#[derive(Clone, Debug)]
pub struct GetClient {
    pub id: ClientId,
}

impl Query for GetClient {
    type Reply = Option<Client>;
    const USES_ACCESS_MAP: bool = true;

    fn find_in_memory(&self, map: &MapView<'_>) -> Option<Self::Reply> {
        map.find_client(&self.id).map(Some)
    }

    fn is_in_memory(&self, map: &MapView<'_>) -> bool {
        map.has_client(&self.id)
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let client = find_client(tx, &self.id).await?;
        if let (Some(fill), Some(client)) = (tx.fill(), &client) {
            fill.insert_client(client);
        }
        Ok(client)
    }
}

/// A client with its descriptive fields, removed or not.
#[derive(Clone, Debug)]
pub struct ClientSummary {
    /// The client; the profile of a partner is empty.
    pub recipient: Recipient,
    pub created_at: Timestamp,
}

impl FromRow for ClientSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { recipient: Recipient::from_row(row)?, created_at: row.get("created_at")? })
    }
}

macro_rules! select_client_summaries {
    () => {
        concat!("SELECT ", recipient_columns!(), ", created_at\n    FROM clients")
    };
}

/// Reads the summary of a client, if it has the given kind.
#[derive(Clone, Debug)]
pub struct GetClientSummary {
    pub kind: ClientKind,
    pub id: ClientId,
}

impl Query for GetClientSummary {
    type Reply = Option<ClientSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_optional(CLIENT_SUMMARY, values![self.id, self.kind]).await
    }
}

static CLIENT_SUMMARY: &Sql = sql!(concat!(
    "-- find the summary of a client\n",
    select_client_summaries!(),
    " WHERE id = ?1 AND kind = ?2"
));

/// Lists clients of a kind that match every filter, the newest first, including removed ones.
#[derive(Clone, Debug)]
pub struct ListClients {
    pub kind: ClientKind,
    /// The partner that manages the client.
    pub partner: Option<ClientId>,
    pub state: Option<ClientState>,
    /// Time and id of the last client of the previous page.
    pub after: Option<(Timestamp, ClientId)>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

impl Query for ListClients {
    type Reply = SearchPage<ClientSummary>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let search = if self.partner.is_some() { &BY_PARTNER } else { &BY_KIND };
        let filters = values![self.kind, self.partner, self.state];
        // Without a cursor the list starts at the newest client.
        let newest = || [Timestamp::from_millis(i64::MAX).to_value(), encode_id_after_all()];
        let after = self.after.as_ref().map_or_else(newest, |(time, id)| [time.to_value(), id.to_value()]);
        let from = vec![Value::Int(i64::MIN), Value::Blob(Vec::new())];
        let range = KeyRange { after: after.to_vec(), from };
        let limits = PageLimits { rows: self.limit, window: self.window };
        let key = |client: &ClientSummary| values![client.created_at, client.recipient.client.id].to_vec();
        search.fetch(tx, filters, range, limits, key).await
    }
}

keyset_search! {
    "search clients",
    select: select_client_summaries!(),
    filter: "kind = COALESCE(?1, kind) AND COALESCE(owner_id, '') = COALESCE(?2, owner_id, '')
        AND state = COALESCE(?3, state)",
    after: "?4, ?5",
    from: "?6, ?7",
    limit: "?8",
    BY_KIND: "kind" along "kind || '' = ?1" by ("created_at", "id");
    BY_PARTNER: "partner" along "owner_id = ?2" by ("created_at", "id");
}

pub(super) static HOT_STATEMENTS: &[&Sql] = &[CLIENT_SUMMARY];
