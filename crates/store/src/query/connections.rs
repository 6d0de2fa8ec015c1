//! Queries that read and search connections, for the admin API and the sweep that ends expired ones.

use std::time::Duration;

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::connection::{Connection, ConnectionState, ConnectionStatus, Terms};

use super::audit::TimeRange;
use super::lookup::lookup;
use crate::entity::connection::{connection_columns, find_connection};
use crate::error::Result;
use crate::keyset_search::{KeysetSearch, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

lookup! {
    /// Reads the connection with an id, ended or not.
    GetConnection { id: ConnectionId } -> Option<Connection> = |tx, query| find_connection(tx, &query.id);
}

/// A connection with details for operators.
#[derive(Clone, Debug)]
pub struct ConnectionSummary {
    pub connection: Connection,
    pub recipient_notification: String,
    /// The newer connection of the same customer that replaced this one.
    pub replaced_by: Option<ConnectionId>,
    pub created_at: Timestamp,
    /// The time when the recipient redeemed the authorization code.
    pub activated_at: Option<Timestamp>,
}

impl FromRow for ConnectionSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection: Connection::from_row(row)?,
            recipient_notification: row.get("recipient_notification")?,
            replaced_by: row.get("replaced_by")?,
            created_at: row.get("created_at")?,
            activated_at: row.get("activated_at")?,
        })
    }
}

macro_rules! select_connection_summaries {
    () => {
        concat!(
            "SELECT ",
            connection_columns!(),
            ",\n        recipient_notification, replaced_by, created_at, activated_at\n    FROM connections"
        )
    };
}

/// Lists connections that match every filter, the newest first. If `ended` is set, and of the other filters at most
/// `status` and `created`, those that ended last come first.
#[derive(Clone, Debug)]
pub struct ListConnections {
    pub id: Option<ConnectionId>,
    pub client_id: Option<ClientId>,
    pub provider_id: Option<ProviderId>,
    /// The subject identifier by which a recipient knows the customer.
    pub sub: Option<String>,
    pub status: Option<ConnectionStatus>,
    pub created: TimeRange,
    /// The time of the end; if it is set, connections that have not ended are excluded.
    pub ended: Option<TimeRange>,
    /// The cursor of the last connection of the previous page.
    pub after: Option<(Timestamp, ConnectionId)>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

impl ListConnections {
    /// Returns the cursor with which the list continues after a connection.
    pub fn page_cursor(&self, summary: &ConnectionSummary) -> (Timestamp, ConnectionId) {
        let ended_at = match &summary.connection.state {
            ConnectionState::Ended(end) if self.is_ordered_by_end() => Some(end.at),
            _ => None,
        };
        (ended_at.unwrap_or(summary.created_at), summary.connection.id.clone())
    }

    fn is_ordered_by_end(&self) -> bool {
        let has_narrower_filter = self.id.is_some() || self.sub.is_some() || self.client_id.is_some();
        self.ended.is_some() && !has_narrower_filter && self.provider_id.is_none()
    }

    /// Returns the search along the filter that selects the fewest connections. There is no index on the status,
    /// because each end of a connection would have to move its entry.
    fn select_search(&self) -> &'static KeysetSearch {
        match self {
            _ if self.is_ordered_by_end() => &BY_END,
            Self { id: Some(_), .. } => &BY_ID,
            Self { sub: Some(_), .. } => &BY_SUB,
            Self { client_id: Some(_), .. } => &BY_CLIENT,
            Self { provider_id: Some(_), .. } => &BY_PROVIDER,
            _ => &BY_TIME,
        }
    }
}

impl Query for ListConnections {
    type Reply = SearchPage<ConnectionSummary>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let ended = self.ended.unwrap_or(TimeRange::ALL);
        let filters = values![
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
        ];
        let after = self.after.as_ref().map(|after| (after.0, after.1.as_str()));
        let range = if self.is_ordered_by_end() { ended } else { self.created }.key_range(after);
        let limits = PageLimits { rows: self.limit, window: self.window };
        let key = |summary: &ConnectionSummary| {
            let (time, id) = self.page_cursor(summary);
            values![time, id].to_vec()
        };
        self.select_search().fetch(tx, filters, range, limits, key).await
    }
}

// The filters by time have a plus sign, so that SQLite cannot use them as the bounds of an index instead of the keys.
keyset_search! {
    "search connections",
    select: select_connection_summaries!(),
    filter: "id = COALESCE(?1, id) AND client_id = COALESCE(?2, client_id)
        AND provider_id = COALESCE(?3, provider_id) AND sub = COALESCE(?4, sub) AND status = COALESCE(?5, status)
        AND +created_at >= ?6 AND +created_at < ?7 AND (?8 OR (+ended_at >= ?9 AND +ended_at < ?10))",
    after: "?11, ?12",
    from: "?13, ?14",
    limit: "?15",
    BY_ID: "id" along "id = ?1" by ("created_at", "id");
    BY_CLIENT: "recipient" along "client_id = ?2" by ("created_at", "id");
    BY_PROVIDER: "provider" along "provider_id = ?3" by ("created_at", "id");
    BY_SUB: "subject identifier" along "sub = ?4" by ("created_at", "id");
    BY_TIME: "time" along "TRUE" by ("created_at", "id");
    BY_END: "end" along "ended_at IS NOT NULL" by ("ended_at", "id");
}

/// Reads the summary of a connection and the terms that the customer consented to.
#[derive(Clone, Debug)]
pub struct GetConnectionSummary {
    pub id: ConnectionId,
}

impl Query for GetConnectionSummary {
    type Reply = Option<(ConnectionSummary, Terms)>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let summary: Option<ConnectionSummary> =
            tx.fetch_optional(CONNECTION_SUMMARY, values![self.id]).await?;
        let Some(summary) = summary else { return Ok(None) };
        let params = values![self.id, summary.connection.terms_version];
        let terms = tx.fetch_optional(CONNECTION_TERMS, params).await?;
        Ok(terms.map(|terms| (summary, terms)))
    }
}

static CONNECTION_SUMMARY: &Sql =
    sql!(concat!("-- find the summary of a connection\n", select_connection_summaries!(), " WHERE id = ?1"));
static CONNECTION_TERMS: &Sql = sql!(
    "-- find the terms of a connection
    SELECT clusters, accounts, purpose, language, page_version, expires_at, agreed_at
    FROM connection_terms WHERE connection_id = ?1 AND version = ?2"
);

/// Lists connections that may have expired, the most overdue of each cause first.
#[derive(Clone, Debug)]
pub struct ListDueConnections {
    pub now: Timestamp,
    /// The time without use after which a refresh token expires.
    pub idle_timeout: Duration,
    pub limit: u32,
}

impl Query for ListDueConnections {
    type Reply = Vec<ConnectionId>;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // This is the inverse of `idle_expiry`, which adds 24 hours because a use is recorded at most once in that
        // time.
        let last_used_before = self.now.minus(self.idle_timeout + Duration::from_hours(24));
        let mut due: Vec<ConnectionId> = Vec::new();
        for (sql, until) in [(DUE_PENDING, self.now), (DUE_CONSENT, self.now), (DUE_IDLE, last_used_before)] {
            for id in tx.fetch_column(sql, values![until, self.limit], "id").await? {
                // An active connection can match twice: its consent has expired, and its refresh token was idle.
                if !due.contains(&id) {
                    due.push(id);
                }
            }
        }
        due.truncate(self.limit as usize);
        Ok(due)
    }
}

static DUE_PENDING: &Sql = sql!(
    "-- list connections whose code was not redeemed in time
    SELECT id FROM connections WHERE status = 'pending' AND pending_until <= ?1 ORDER BY pending_until LIMIT ?2"
);
static DUE_CONSENT: &Sql = sql!(
    "-- list connections whose consent has expired
    SELECT id FROM connections WHERE status = 'active' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2"
);
static DUE_IDLE: &Sql = sql!(
    "-- list connections whose refresh token has expired after inactivity
    SELECT connection_id AS id FROM refresh_tokens WHERE last_used_at <= ?1 ORDER BY last_used_at LIMIT ?2"
);

pub(super) static HOT_STATEMENTS: &[&Sql] =
    &[CONNECTION_SUMMARY, CONNECTION_TERMS, DUE_PENDING, DUE_CONSENT, DUE_IDLE];
