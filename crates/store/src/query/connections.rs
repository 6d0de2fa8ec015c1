//! Queries that read and search connections, for the admin API and the sweep that ends expired ones.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::connection::{Connection, ConnectionStatus, Terms};

use super::audit::TimeRange;
use super::lookup::lookup;
use crate::entity::connection::{connection_columns, find_connection, find_terms};
use crate::error::Result;
use crate::keyset_search::{KeyRange, KeysetSearch, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, Value, encode_lowest_id, is_lower_id, values};

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
    /// The id of the grant at the provider, sealed with its key in front.
    pub sealed_grant_id: Option<Vec<u8>>,
}

impl FromRow for ConnectionSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            connection: Connection::from_row(row)?,
            recipient_notification: row.get("recipient_notification")?,
            replaced_by: row.get("replaced_by")?,
            created_at: row.get("created_at")?,
            activated_at: row.get("activated_at")?,
            sealed_grant_id: row.get("upstream_grant_id")?,
        })
    }
}

macro_rules! select_connection_summaries {
    () => {
        concat!(
            "SELECT ",
            connection_columns!(),
            ",\n        recipient_notification, replaced_by, created_at, activated_at,\n        upstream_grant_id\n    FROM connections"
        )
    };
}

/// Lists connections that match every filter, in the descending order of their ids. Ids begin with the time of the
/// authorization request, so this is the order in which the logins began.
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
    /// The id of the last connection of the previous page.
    pub after: Option<ConnectionId>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

/// The maximum time between the creation of the id of a connection, with the authorization request, and of the connection.
const MAX_LOGIN_DURATION: Duration = Duration::from_hours(24);

impl ListConnections {
    /// Returns the search along the filter that selects the fewest connections. There is no index on the status or on the
    /// time of the end, because each end of a connection would have to change it.
    const fn select_search(&self) -> &'static KeysetSearch {
        match self {
            Self { id: Some(_), .. } => &BY_ID,
            Self { sub: Some(_), .. } => &BY_SUB,
            Self { client_id: Some(_), .. } => &BY_CLIENT,
            Self { provider_id: Some(_), .. } => &BY_PROVIDER,
            _ => &BY_TIME,
        }
    }

    /// Returns the range of ids that connections created in the searched time can have.
    fn id_range(&self) -> KeyRange {
        // A connection is created after its id, so every id below the end of the range begins before it.
        let newest = encode_lowest_id(self.created.before);
        let after = match self.after.as_ref().map(ToValue::to_value) {
            Some(after) if is_lower_id(&after, &newest) => after,
            _ => newest,
        };
        let from = encode_lowest_id(self.created.from.minus(MAX_LOGIN_DURATION));
        KeyRange { after: vec![after], from: vec![from] }
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
        let limits = PageLimits { rows: self.limit, window: self.window };
        let key = |summary: &ConnectionSummary| values![summary.connection.id].to_vec();
        self.select_search().fetch(tx, filters, self.id_range(), limits, key).await
    }
}

keyset_search! {
    "search connections",
    select: select_connection_summaries!(),
    filter: "id = COALESCE(?1, id) AND client_id = COALESCE(?2, client_id)
        AND provider_id = COALESCE(?3, provider_id) AND sub = COALESCE(?4, sub) AND status = COALESCE(?5, status)
        AND created_at >= ?6 AND created_at < ?7 AND (?8 OR (ended_at >= ?9 AND ended_at < ?10))",
    after: "?11",
    from: "?12",
    limit: "?13",
    BY_ID: "id" along "id = ?1" by ("id");
    BY_CLIENT: "recipient" along "client_id = ?2" by ("id");
    BY_PROVIDER: "provider" along "provider_id = ?3" by ("id");
    BY_SUB: "subject identifier" along "sub = ?4" by ("id");
    BY_TIME: "time" along "TRUE" by ("id");
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
        let terms = find_terms(tx, &self.id, summary.connection.terms_version).await?;
        Ok(terms.map(|stored| (summary, stored.terms)))
    }
}

static CONNECTION_SUMMARY: &Sql =
    sql!(concat!("-- find the summary of a connection\n", select_connection_summaries!(), " WHERE id = ?1"));

/// A place in a list of connections, by the time on which their end depends.
pub type DuePosition = (Timestamp, ConnectionId);

/// A place in the lists of connections that may have expired, one list for each cause; `None` is the beginning of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepPosition {
    pub pending: Option<DuePosition>,
    pub idle: Option<DuePosition>,
    pub consent: Option<DuePosition>,
}

/// Lists connections that may have expired, the most overdue of each cause first.
///
/// The end of a connection changes no index, so the index by the end of the consent also contains connections that have ended.
/// A caller that lists repeatedly continues where the previous list stopped, so that it does not read them each time.
#[derive(Clone, Debug)]
pub struct ListDueConnections {
    pub now: Timestamp,
    /// The time without use after which a refresh token expires.
    pub idle_timeout: Duration,
    /// The position of the previous list.
    pub after: SweepPosition,
    /// The maximum number of rows that are read for each cause.
    pub limit: u32,
}

/// Connections that may have expired.
#[derive(Clone, Debug)]
pub struct DueConnections {
    /// The connections with their providers.
    pub connections: BTreeMap<ConnectionId, ProviderId>,
    /// The position of the last connections that were examined; the next list continues after them.
    pub position: SweepPosition,
    /// True if the list is incomplete because of its limit.
    pub has_more: bool,
}

impl DueConnections {
    /// Lists the ids of the connections.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.connections.keys().cloned().collect()
    }
}

impl Query for ListDueConnections {
    type Reply = DueConnections;
    const KIND: QueryKind = QueryKind::Background;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // This is the inverse of `idle_expiry`, which adds 24 hours because a use is recorded at most once in that
        // time.
        let last_used_before = self.now.minus(self.idle_timeout + Duration::from_hours(24));
        let (connections, position) = (BTreeMap::new(), self.after.clone());
        let mut due = DueConnections { connections, position, has_more: false };
        // An active connection can match twice: its consent has expired, and its refresh token was idle.
        let DueConnections { connections, position, has_more } = &mut due;
        for (sql, until, position) in [
            (DUE_PENDING, self.now, &mut position.pending),
            (DUE_IDLE, last_used_before, &mut position.idle),
            (DUE_CONSENT, self.now, &mut position.consent),
        ] {
            let (after, id) = position.as_ref().map_or_else(
                || (Timestamp::from_millis(i64::MIN), Value::Blob(Vec::new())),
                |(at, id)| (*at, id.to_value()),
            );
            let params = [after.to_value(), id, until.to_value(), i64::from(self.limit).to_value()];
            let found: Vec<DueConnection> = tx.fetch_all(sql, &params).await?;
            *has_more |= found.len() >= self.limit as usize;
            if let Some(last) = found.last() {
                *position = Some((last.due_at, last.id.clone()));
            }
            let active = found.into_iter().filter(|due| !due.has_ended);
            connections.extend(active.map(|due| (due.id, due.provider_id)));
        }
        Ok(due)
    }
}

/// A connection that may have expired.
struct DueConnection {
    id: ConnectionId,
    provider_id: ProviderId,
    /// The time by which the list is sorted.
    due_at: Timestamp,
    has_ended: bool,
}

impl FromRow for DueConnection {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            provider_id: row.get("provider_id")?,
            due_at: row.get("due_at")?,
            has_ended: row.get("has_ended")?,
        })
    }
}

// Other programs can give many rows the same time, so the order includes the id, although the indexes of the first two lists
// contain only the time.
static DUE_PENDING: &Sql = sql!(
    "-- list connections whose code was not redeemed in time
    SELECT id, provider_id, pending_until AS due_at, FALSE AS has_ended FROM connections
    WHERE (pending_until, id) > (?1, ?2) AND pending_until <= ?3 ORDER BY pending_until, id LIMIT ?4"
);
static DUE_CONSENT: &Sql = sql!(
    "-- list connections whose consent has expired
    SELECT id, provider_id, expires_at AS due_at, status <> 'active' AS has_ended FROM connections
    WHERE (expires_at, id) > (?1, ?2) AND expires_at <= ?3 ORDER BY expires_at, id LIMIT ?4"
);
static DUE_IDLE: &Sql = sql!(
    "-- list connections whose refresh token has expired after inactivity
    SELECT t.connection_id AS id, c.provider_id, t.last_used_at AS due_at, FALSE AS has_ended
    FROM refresh_tokens t JOIN connections c ON c.id = t.connection_id
    WHERE (t.last_used_at, t.connection_id) > (?1, ?2) AND t.last_used_at <= ?3
    ORDER BY t.last_used_at, t.connection_id LIMIT ?4"
);

pub(super) static HOT_STATEMENTS: &[&Sql] = &[CONNECTION_SUMMARY, DUE_PENDING, DUE_CONSENT, DUE_IDLE];
