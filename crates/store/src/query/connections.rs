//! Connections as operators look for them: each search goes along an index.

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::connection::{Connection, ConnectionStatus, Terms};

use crate::Query;
use crate::error::Result;
use crate::record::{FromRow, read_optional_json};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

/// A connection with what operators want to know beside it.
#[derive(Clone, Debug)]
pub struct ConnectionSummary {
    /// The connection.
    pub connection: Connection,
    /// What the recipient knows of the end.
    pub recipient_notification: String,
    /// The newer login that took its place.
    pub replaced_by: Option<ConnectionId>,
    /// When the provider agreed.
    pub created_at: Timestamp,
    /// When the recipient redeemed the code.
    pub activated_at: Option<Timestamp>,
}

impl FromRow for ConnectionSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection: Connection::from_row(row)?,
            recipient_notification: row.next()?,
            replaced_by: row.next()?,
            created_at: row.next()?,
            activated_at: row.next()?,
        })
    }
}

/// A time from which on, and one before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// From then on.
    pub from: Timestamp,
    /// Before then.
    pub before: Timestamp,
}

impl TimeRange {
    /// All time.
    pub const ALL: Self =
        Self { from: Timestamp::from_millis(i64::MIN), before: Timestamp::from_millis(i64::MAX) };
}

/// Connections, the newest first; where nothing but their end is asked for, those that ended last first.
#[derive(Clone, Debug)]
pub struct ListConnections {
    /// Of this id.
    pub id: Option<ConnectionId>,
    /// Of this recipient.
    pub client_id: Option<ClientId>,
    /// At this provider.
    pub provider_id: Option<ProviderId>,
    /// Of the customer whom a recipient knows by this name.
    pub sub: Option<String>,
    /// In this state.
    pub status: Option<ConnectionStatus>,
    /// Made in this time.
    pub created: TimeRange,
    /// Ended in this time.
    pub ended: Option<TimeRange>,
    /// Behind this one: its time and id.
    pub after: Option<(Timestamp, ConnectionId)>,
    /// At most so many.
    pub limit: u32,
}

impl ListConnections {
    /// The time and id by which the list goes on behind one of its connections.
    pub fn page_cursor(&self, summary: &ConnectionSummary) -> (Timestamp, ConnectionId) {
        let ended = match &summary.connection.state {
            domain::model::connection::ConnectionState::Ended(end) if self.is_ordered_by_end() => {
                Some(end.at)
            }
            _ => None,
        };
        (ended.unwrap_or(summary.created_at), summary.connection.id.clone())
    }

    fn is_ordered_by_end(&self) -> bool {
        let has_narrower_filter = self.id.is_some() || self.sub.is_some() || self.client_id.is_some();
        self.ended.is_some() && !has_narrower_filter && self.provider_id.is_none()
    }

    /// The statement that goes along the narrowest index. A state has none: its entry would have to move with each end.
    fn select_statement(&self) -> &'static Sql {
        match self {
            _ if self.is_ordered_by_end() => BY_END,
            Self { id: Some(_), .. } => BY_ID,
            Self { sub: Some(_), .. } => BY_SUB,
            Self { client_id: Some(_), .. } => BY_CLIENT,
            Self { provider_id: Some(_), .. } => BY_PROVIDER,
            _ => BY_TIME,
        }
    }
}

impl Query for ListConnections {
    type Reply = Vec<ConnectionSummary>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let ended = self.ended.unwrap_or(TimeRange::ALL);
        let (time, id) = self
            .after
            .as_ref()
            .map_or((Timestamp::from_millis(i64::MAX), "con_zzzz"), |after| (after.0, after.1.as_str()));
        let params = values![
            self.id,
            self.client_id,
            self.provider_id,
            self.sub,
            self.status,
            self.created.from,
            self.created.before,
            self.ended.is_none(),
            ended.from,
            ended.before,
            time,
            *id,
            self.limit,
        ];
        tx.query(self.select_statement(), params)
            .await?
            .into_iter()
            .map(|mut row| ConnectionSummary::from_row(&mut row))
            .collect()
    }
}

macro_rules! connection_summary_columns {
    () => {
        "SELECT id, client_id, provider_id, customer_id, sub, status, pending_until, cause, actor_kind, actor_id,
        ended_at, terms_version, token_generation, credential_version, expires_at, provider_revocation, audit_seq, audit_mac,
        recipient_notification, replaced_by, created_at, activated_at
    FROM connections "
    };
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! connection_search {
    ($name:literal, $along:literal, $time:literal) => {
        sql!(concat!(
            "-- connections by ",
            $name,
            "\n",
            connection_summary_columns!(),
            "WHERE ",
            $along,
            " AND id = COALESCE(?1, id) AND client_id = COALESCE(?2, client_id)
        AND provider_id = COALESCE(?3, provider_id) AND sub = COALESCE(?4, sub) AND status = COALESCE(?5, status)
        AND created_at >= ?6 AND created_at < ?7 AND (?8 OR (ended_at >= ?9 AND ended_at < ?10))
        AND (",
            $time,
            ", id) < (?11, ?12)
    ORDER BY ",
            $time,
            " DESC, id DESC LIMIT ?13"
        ))
    };
}

static BY_ID: &Sql = connection_search!("id", "id = ?1", "created_at");
static BY_CLIENT: &Sql = connection_search!("recipient", "client_id = ?2", "created_at");
static BY_PROVIDER: &Sql = connection_search!("provider", "provider_id = ?3", "created_at");
static BY_SUB: &Sql = connection_search!("customer", "sub = ?4", "created_at");
static BY_TIME: &Sql = connection_search!("time", "created_at >= ?6", "created_at");
static BY_END: &Sql =
    connection_search!("end", "ended_at IS NOT NULL AND ended_at >= ?9 AND ended_at < ?10", "ended_at");

/// One connection.
#[derive(Clone, Debug)]
pub struct GetConnectionSummary {
    /// Its id.
    pub id: ConnectionId,
}

impl Query for GetConnectionSummary {
    type Reply = Option<(ConnectionSummary, Terms)>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let Some(mut row) = tx.query_opt(CONNECTION_SUMMARY, values![self.id]).await? else {
            return Ok(None);
        };
        let summary = ConnectionSummary::from_row(&mut row)?;
        let Some(mut row) =
            tx.query_opt(CONNECTION_TERMS, values![self.id, summary.connection.terms_version]).await?
        else {
            return Ok(None);
        };
        let terms = Terms {
            clusters: row.next()?,
            accounts: read_optional_json(&mut row)?,
            purpose: row.next()?,
            language: row.next()?,
            page_version: row.next()?,
            expires_at: row.next()?,
            agreed_at: row.next()?,
        };
        Ok(Some((summary, terms)))
    }
}

static CONNECTION_SUMMARY: &Sql =
    sql!(concat!("-- a connection, for operators\n", connection_summary_columns!(), "WHERE id = ?1"));
static CONNECTION_TERMS: &Sql = sql!(
    "-- a connection's terms
    SELECT clusters, accounts, purpose, language, page_version, expires_at, agreed_at
    FROM connection_terms WHERE connection_id = ?1 AND version = ?2"
);

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 8] =
    [BY_ID, BY_CLIENT, BY_PROVIDER, BY_SUB, BY_TIME, BY_END, CONNECTION_SUMMARY, CONNECTION_TERMS];
