//! Queries that read recipients and their connections, for the partner API.

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::client::Recipient;
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::{Clusters, Timestamp};

use crate::entity::client::recipient_columns;
use crate::error::Result;
use crate::keyset_search::SearchPage;
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Reads a recipient, removed or not, if the partner manages it.
#[derive(Clone, Debug)]
pub struct GetRecipient {
    pub partner: ClientId,
    pub client_id: ClientId,
}

impl Query for GetRecipient {
    type Reply = Option<Recipient>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_optional(RECIPIENT, values![self.client_id, self.partner]).await
    }
}

/// Lists the recipients of a partner that were not removed, the oldest first. Those that another program has changed are left
/// out.
#[derive(Clone, Debug)]
pub struct ListRecipients {
    pub partner: ClientId,
    /// The last recipient of the previous page. It may have been removed since.
    pub after: Option<ClientId>,
    pub limit: u32,
}

impl Query for ListRecipients {
    type Reply = SearchPage<Recipient>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let rows = match &self.after {
            None => tx.fetch_all(OLDEST_RECIPIENTS, values![self.partner, self.limit]).await?,
            Some(after) => tx.fetch_all(NEWER_RECIPIENTS, values![self.partner, self.limit, after]).await?,
        };
        Ok(SearchPage::new(rows, self.limit, None))
    }
}

static RECIPIENT: &Sql = sql!(concat!(
    "-- find a recipient of a partner\nSELECT ",
    recipient_columns!(),
    "\n    FROM clients WHERE id = ?1 AND owner_id = ?2 AND kind = 'recipient'"
));

macro_rules! select_recipients {
    () => {
        concat!(
            "SELECT ",
            recipient_columns!(),
            "\n    FROM clients WHERE owner_id = ?1 AND kind = 'recipient' AND state <> 'closed'"
        )
    };
}

static OLDEST_RECIPIENTS: &Sql = sql!(concat!(
    "-- list the oldest recipients of a partner\n",
    select_recipients!(),
    " ORDER BY created_at, id LIMIT ?2"
));
static NEWER_RECIPIENTS: &Sql = sql!(concat!(
    "-- list the recipients of a partner after one of them\n",
    select_recipients!(),
    " AND (created_at, id) > ((SELECT created_at FROM clients WHERE id = ?3), ?3)
    ORDER BY created_at, id LIMIT ?2"
));

/// Lists connections of a recipient, the newest first, including ended ones.
#[derive(Clone, Debug)]
pub struct ListRecipientConnections {
    pub client_id: ClientId,
    /// The id of the last connection of the previous page.
    pub before: Option<ConnectionId>,
    pub limit: u32,
}

/// A connection without data about its customer.
#[derive(Clone, Debug)]
pub struct RecipientConnection {
    pub id: ConnectionId,
    pub client_id: ClientId,
    pub provider_id: ProviderId,
    pub status: ConnectionStatus,
    /// The cause of the end, if the connection has ended.
    pub cause: Option<EndCause>,
    pub ended_at: Option<Timestamp>,
    /// The data clusters that the customer consented to.
    pub clusters: Clusters,
    pub created_at: Timestamp,
    /// The time when the recipient redeemed the authorization code.
    pub activated_at: Option<Timestamp>,
    /// The time at which the consent ends.
    pub expires_at: Timestamp,
    pub provider_revocation: UpstreamRevocation,
    pub recipient_notification: String,
}

impl FromRow for RecipientConnection {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            client_id: row.get("client_id")?,
            provider_id: row.get("provider_id")?,
            status: row.get("status")?,
            cause: row.get("cause")?,
            ended_at: row.get("ended_at")?,
            clusters: row.get("clusters")?,
            created_at: row.get("created_at")?,
            activated_at: row.get("activated_at")?,
            expires_at: row.get("expires_at")?,
            provider_revocation: row.get("provider_revocation")?,
            recipient_notification: row.get("recipient_notification")?,
        })
    }
}

macro_rules! select_recipient_connections {
    () => {
        "SELECT c.id, c.client_id, c.provider_id, c.status, c.cause, c.ended_at, t.clusters, c.created_at,
        c.activated_at, c.expires_at, c.provider_revocation, c.recipient_notification
    FROM connections c
    JOIN connection_terms t ON t.connection_id = c.id AND t.version = c.terms_version
    WHERE c.client_id = ?1"
    };
}

impl Query for ListRecipientConnections {
    type Reply = Vec<RecipientConnection>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        match &self.before {
            None => tx.fetch_all(NEWEST_CONNECTIONS, values![self.client_id, self.limit]).await,
            Some(before) => {
                tx.fetch_all(OLDER_CONNECTIONS, values![self.client_id, self.limit, before]).await
            }
        }
    }
}

// Ids begin with the time of their creation, so an order by id is an order by time.
static NEWEST_CONNECTIONS: &Sql = sql!(concat!(
    "-- list the newest connections of a recipient\n",
    select_recipient_connections!(),
    " ORDER BY c.id DESC LIMIT ?2"
));
static OLDER_CONNECTIONS: &Sql = sql!(concat!(
    "-- list the connections of a recipient after one of them\n",
    select_recipient_connections!(),
    " AND c.id < ?3 ORDER BY c.id DESC LIMIT ?2"
));

/// Reads a connection, if it belongs to the recipient.
#[derive(Clone, Debug)]
pub struct GetRecipientConnection {
    pub client_id: ClientId,
    pub id: ConnectionId,
}

impl Query for GetRecipientConnection {
    type Reply = Option<RecipientConnection>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_optional(RECIPIENT_CONNECTION, values![self.client_id, self.id]).await
    }
}

static RECIPIENT_CONNECTION: &Sql =
    sql!(concat!("-- find a connection of a recipient\n", select_recipient_connections!(), " AND c.id = ?2"));

pub(super) static HOT_STATEMENTS: &[&Sql] = &[
    RECIPIENT,
    OLDEST_RECIPIENTS,
    NEWER_RECIPIENTS,
    NEWEST_CONNECTIONS,
    OLDER_CONNECTIONS,
    RECIPIENT_CONNECTION,
];
