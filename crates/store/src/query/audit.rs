//! Queries that list events of the audit log, for one subject or by filters.

use domain::Timestamp;
use domain::id::AuditEventId;
use domain::model::audit_event::{ActorKind, AuditAction, AuditEvent, SubjectKind};

use crate::entity::audit_event::audit_event_columns;
use crate::error::Result;
use crate::keyset_search::{KeyRange, KeysetSearch, PageLimits, SearchPage, keyset_search};
use crate::operation::{Query, QueryKind};
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::values;

/// Lists the events of the audit chain of a subject, the oldest first, at most 10,000.
#[derive(Clone, Debug)]
pub struct GetAuditChain {
    pub kind: SubjectKind,
    pub id: String,
}

impl Query for GetAuditChain {
    type Reply = Vec<AuditEvent>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        tx.fetch_all(AUDIT_CHAIN, values![self.kind, self.id]).await
    }
}

static AUDIT_CHAIN: &Sql = sql!(concat!(
    "-- list the audit chain of a subject\nSELECT ",
    audit_event_columns!(),
    " FROM audit_events WHERE subject_kind = ?1 AND subject_id = ?2 ORDER BY seq LIMIT 10000"
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

    /// Returns the keys of this range in an order by time and id. `after` is the cursor of the previous page; without one
    /// the list starts at the newest row.
    pub(super) fn key_range(self, after: Option<(Timestamp, &str)>) -> KeyRange {
        // No id is lower than the empty text, so this key is below every row at the end of the range, and the lower key is
        // not above any row at its start.
        let newest = (self.before, "");
        let (time, id) = after.map_or(newest, |after| after.min(newest));
        KeyRange { after: values![time, *id].to_vec(), from: values![self.from, *""].to_vec() }
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
    /// Time and id of the last event of the previous page.
    pub after: Option<(Timestamp, AuditEventId)>,
    pub limit: u32,
    /// The maximum number of rows that the search examines.
    pub window: u32,
}

impl ListAuditEvents {
    /// Returns the search along the filter that selects the fewest events.
    const fn select_search(&self) -> &'static KeysetSearch {
        match self {
            Self { subject_kind: Some(_), subject_id: Some(_), .. } => &BY_SUBJECT,
            Self { actor_kind: Some(_), actor_id: Some(_), .. } => &BY_ACTOR,
            Self { action: Some(_), .. } => &BY_ACTION,
            _ => &BY_TIME,
        }
    }
}

impl Query for ListAuditEvents {
    type Reply = SearchPage<AuditEvent>;
    const KIND: QueryKind = QueryKind::Search;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let filters = values![
            self.subject_kind,
            self.subject_id,
            self.action,
            self.actor_kind,
            self.actor_id,
            // The filter by actor id has its own flag. An actor may have no id, so `COALESCE` cannot express that the
            // filter is absent.
            self.actor_id.is_none(),
        ];
        let after = self.after.as_ref().map(|after| (after.0, after.1.as_str()));
        let range = self.at.key_range(after);
        let limits = PageLimits { rows: self.limit, window: self.window };
        let key = |event: &AuditEvent| values![event.entry.at, event.id].to_vec();
        self.select_search().fetch(tx, filters, range, limits, key).await
    }
}

keyset_search! {
    "search audit events",
    select: concat!("SELECT ", audit_event_columns!(), " FROM audit_events"),
    filter: "subject_kind = COALESCE(?1, subject_kind) AND subject_id = COALESCE(?2, subject_id)
        AND action = COALESCE(?3, action) AND actor_kind = COALESCE(?4, actor_kind) AND (actor_id = ?5 OR ?6)",
    after: "?7, ?8",
    from: "?9, ?10",
    limit: "?11",
    BY_SUBJECT: "subject" along "subject_kind = ?1 AND subject_id = ?2" by ("at", "id");
    BY_ACTION: "action" along "action = ?3" by ("at", "id");
    BY_ACTOR: "actor" along "actor_kind = ?4 AND actor_id = ?5" by ("at", "id");
    BY_TIME: "time" along "TRUE" by ("at", "id");
}

pub(super) static HOT_STATEMENTS: &[&Sql] = &[AUDIT_CHAIN];
