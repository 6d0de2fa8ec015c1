//! Queries that list events of the audit log, for one subject or by filters.

use domain::Timestamp;
use domain::id::{AuditEventId, ProviderId};
use domain::model::audit_event::{ActorKind, AuditAction, AuditEvent, AuditHead, SubjectKind};

use crate::entity::audit_event::{audit_event_columns, encode_actor_id, encode_subject_id};
use crate::error::Result;
use crate::keyset_search::{KeyRange, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{ToValue, encode_lowest_id, is_lower_id, values};

/// The maximum number of events that are read from one chain.
const MAX_CHAIN_EVENTS: u32 = 10_000;

/// Lists the newest 10,000 events of the audit chain of a subject, the oldest first.
#[derive(Clone, Debug)]
pub struct GetAuditChain {
    pub kind: SubjectKind,
    pub id: String,
}

impl Query for GetAuditChain {
    type Reply = Vec<AuditEvent>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let newest = find_newest_event(tx, self.kind, &self.id).await?;
        let mut events = load_chain(tx, newest, MAX_CHAIN_EVENTS).await?;
        events.reverse();
        Ok(events)
    }
}

/// Finds the id of the newest event of a subject's chain, which is stored in the row of the subject.
async fn find_newest_event(tx: &mut Tx<'_>, kind: SubjectKind, id: &str) -> Result<Option<AuditEventId>> {
    let (head, id) = match kind {
        SubjectKind::Connection => (HEAD_OF_CONNECTION, encode_subject_id(kind, id)),
        SubjectKind::Client => (HEAD_OF_CLIENT, encode_subject_id(kind, id)),
        SubjectKind::Operator => (HEAD_OF_OPERATOR, encode_subject_id(kind, id)),
        SubjectKind::Hub => (HEAD_OF_HUB, id.to_value()),
        SubjectKind::Provider => match ProviderId::parse(id) {
            Some(id) => (HEAD_OF_PROVIDER, id.to_value()),
            None => return Ok(None),
        },
    };
    let head: Option<AuditHead> = tx.fetch_value(head, &[id], "audit_head").await?;
    Ok(head.and_then(|head| head.event_id))
}

/// Loads the events of a chain, the newest first, from an event back to at most `limit` events.
async fn load_chain(tx: &mut Tx<'_>, newest: Option<AuditEventId>, limit: u32) -> Result<Vec<AuditEvent>> {
    match newest {
        Some(newest) => tx.fetch_all(AUDIT_CHAIN, values![newest, limit]).await,
        None => Ok(Vec::new()),
    }
}

static HEAD_OF_CONNECTION: &Sql =
    sql!("-- find the newest event of a connection\nSELECT audit_head FROM connections WHERE id = ?1");
static HEAD_OF_CLIENT: &Sql =
    sql!("-- find the newest event of a client\nSELECT audit_head FROM clients WHERE id = ?1");
static HEAD_OF_OPERATOR: &Sql =
    sql!("-- find the newest event of an operator\nSELECT audit_head FROM operators WHERE id = ?1");
static HEAD_OF_PROVIDER: &Sql =
    sql!("-- find the newest event of a provider\nSELECT audit_head FROM providers WHERE id = ?1");
static HEAD_OF_HUB: &Sql =
    sql!("-- find the newest event of the hub\nSELECT audit_head FROM hub_audit WHERE subject_id = ?1");

// Each event has the id of the one before it, so a chain is read by keys, without an index on the subject.
static AUDIT_CHAIN: &Sql = sql!(concat!(
    "-- load an audit chain from an event back
    WITH RECURSIVE chain (event_id, before_id, depth) AS (
        SELECT id, previous_id, CAST(1 AS BIGINT) FROM audit_events WHERE id = ?1
        UNION ALL SELECT e.id, e.previous_id, c.depth + 1
        FROM chain c JOIN audit_events e ON e.id = c.before_id WHERE c.depth < ?2
    )
    SELECT ",
    audit_event_columns!(),
    " FROM chain JOIN audit_events ON id = event_id ORDER BY depth"
));

/// A range of time that includes its start and excludes its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The start of the range, which is included.
    pub from: Timestamp,
    /// The end of the range, which is excluded.
    pub before: Timestamp,
}

impl TimeRange {
    /// The range that contains every stored time.
    pub const ALL: Self =
        Self { from: Timestamp::from_millis(i64::MIN), before: Timestamp::from_millis(i64::MAX) };

    /// Returns whether a time is in the range.
    fn contains(self, time: Timestamp) -> bool {
        self.from <= time && time < self.before
    }
}

/// Lists audit events of all chains that match every filter, the newest first.
#[derive(Clone, Debug)]
pub struct ListAuditEvents {
    pub subject_kind: Option<SubjectKind>,
    /// Requires `subject_kind`, since ids of different kinds may be equal.
    pub subject_id: Option<String>,
    pub action: Option<AuditAction>,
    pub actor_kind: Option<ActorKind>,
    /// Requires `actor_kind`, since ids of different kinds may be equal.
    pub actor_id: Option<String>,
    pub at: TimeRange,
    /// The id of the last event of the previous page.
    pub after: Option<AuditEventId>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

impl ListAuditEvents {
    /// Searches the chain of one subject.
    async fn search_chain(
        &self,
        tx: &mut Tx<'_>,
        kind: SubjectKind,
        id: &str,
    ) -> Result<SearchPage<AuditEvent>> {
        let newest = match &self.after {
            Some(after) => tx.fetch_value(PREVIOUS_EVENT, values![after], "previous_id").await?.flatten(),
            None => find_newest_event(tx, kind, id).await?,
        };
        let events = load_chain(tx, newest, self.window).await?;
        let window_end = events.last().filter(|_| events.len() >= self.window as usize).cloned();
        let rows = events.into_iter().filter(|event| self.matches(event));
        Ok(SearchPage { rows: rows.take(self.limit as usize).collect(), unverified: 0, window_end })
    }

    fn matches(&self, event: &AuditEvent) -> bool {
        let entry = &event.entry;
        self.action.is_none_or(|action| entry.action == action)
            && self.actor_kind.is_none_or(|kind| entry.actor.kind == kind)
            && self.actor_id.as_ref().is_none_or(|id| entry.actor.id.as_ref() == Some(id))
            && self.at.contains(entry.at)
    }
}

impl Query for ListAuditEvents {
    type Reply = SearchPage<AuditEvent>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        if let (Some(kind), Some(id)) = (self.subject_kind, &self.subject_id) {
            return self.search_chain(tx, kind, id).await;
        }
        let filters = values![
            self.subject_kind,
            self.action,
            self.actor_kind,
            self.actor_kind.map(|kind| encode_actor_id(kind, self.actor_id.as_deref())),
            // The filter by actor id has its own flag. An actor may have no id, so `COALESCE` cannot express that the
            // filter is absent.
            self.actor_id.is_none(),
        ];
        // The id of an event begins with its time.
        let newest = encode_lowest_id(self.at.before);
        let after = match self.after.as_ref().map(ToValue::to_value) {
            Some(after) if is_lower_id(&after, &newest) => after,
            _ => newest,
        };
        let range = KeyRange { after: vec![after], from: vec![encode_lowest_id(self.at.from)] };
        let limits = PageLimits { rows: self.limit, window: self.window };
        BY_TIME.fetch(tx, filters, range, limits, |event: &AuditEvent| values![event.id].to_vec()).await
    }
}

static PREVIOUS_EVENT: &Sql =
    sql!("-- find the event before another one\nSELECT previous_id FROM audit_events WHERE id = ?1");

keyset_search! {
    "search audit events",
    select: concat!("SELECT ", audit_event_columns!(), " FROM audit_events"),
    filter: "subject_kind = COALESCE(?1, subject_kind) AND action = COALESCE(?2, action)
        AND actor_kind = COALESCE(?3, actor_kind) AND (actor_id = ?4 OR ?5)",
    after: "?6",
    from: "?7",
    limit: "?8",
    BY_TIME: "time" along "TRUE" by ("id");
}

pub(super) static HOT_STATEMENTS: &[&Sql] = &[
    AUDIT_CHAIN,
    PREVIOUS_EVENT,
    HEAD_OF_CONNECTION,
    HEAD_OF_CLIENT,
    HEAD_OF_OPERATOR,
    HEAD_OF_PROVIDER,
    HEAD_OF_HUB,
];
