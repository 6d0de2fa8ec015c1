//! The record as operators look through it: each search goes along an index.

use domain::Timestamp;
use domain::id::AuditEventId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditEntry, AuditEvent, SubjectKind};

use super::TimeRange;
use crate::Query;
use crate::error::Result;
use crate::record::FromRow;
use crate::sql::{Sql, sql};
use crate::tx::Tx;
use crate::value::{Row, values};

impl FromRow for AuditEvent {
    fn from_row(row: &mut Row) -> Result<Self> {
        let (id, seq) = (row.next()?, row.next()?);
        let subject = (row.next()?, row.next()?);
        let (at, action) = (row.next()?, row.next()?);
        let actor = Actor { kind: row.next()?, id: row.next()? };
        let (correlation_id, detail) = (row.next()?, row.next()?);
        let entry = AuditEntry { subject, at, action, actor, correlation_id, detail };
        Ok(Self { id, seq, entry, mac: row.next()? })
    }
}

/// Events of every chain, the newest first.
#[derive(Clone, Debug)]
pub struct ListAuditEvents {
    /// About a subject of this kind.
    pub subject_kind: Option<SubjectKind>,
    /// About this subject; its kind must be given too.
    pub subject_id: Option<String>,
    /// Of this kind.
    pub action: Option<AuditAction>,
    /// By a party of this kind.
    pub actor_kind: Option<ActorKind>,
    /// By this party; its kind must be given too.
    pub actor_id: Option<String>,
    /// In this time.
    pub at: TimeRange,
    /// Behind this one: its time and id.
    pub after: Option<(Timestamp, AuditEventId)>,
    /// At most so many.
    pub limit: u32,
}

impl ListAuditEvents {
    /// The statement that goes along the narrowest index.
    const fn select_statement(&self) -> &'static Sql {
        match self {
            Self { subject_kind: Some(_), subject_id: Some(_), .. } => BY_SUBJECT,
            Self { actor_kind: Some(_), actor_id: Some(_), .. } => BY_ACTOR,
            Self { action: Some(_), .. } => BY_ACTION,
            _ => BY_TIME,
        }
    }
}

impl Query for ListAuditEvents {
    type Reply = Vec<AuditEvent>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        let (time, id) = self
            .after
            .as_ref()
            .map_or((Timestamp::from_millis(i64::MAX), "aud_zzzz"), |after| (after.0, after.1.as_str()));
        let params = values![
            self.subject_kind,
            self.subject_id,
            self.action,
            self.actor_kind,
            self.actor_id,
            self.actor_id.is_none(),
            self.at.from,
            self.at.before,
            time,
            *id,
            self.limit,
        ];
        let rows = tx.query(self.select_statement(), params).await?;
        rows.into_iter().map(|mut row| AuditEvent::from_row(&mut row)).collect()
    }
}

/// A search along one index; what else is asked for is looked at in the rows.
macro_rules! audit_search {
    ($name:literal, $along:literal) => {
        sql!(concat!(
            "-- events by ",
            $name,
            "
    SELECT id, seq, subject_kind, subject_id, at, action, actor_kind, actor_id, correlation_id, detail, mac
    FROM audit_events
    WHERE ",
            $along,
            " AND subject_kind = COALESCE(?1, subject_kind) AND subject_id = COALESCE(?2, subject_id)
        AND action = COALESCE(?3, action) AND actor_kind = COALESCE(?4, actor_kind) AND (actor_id = ?5 OR ?6)
        AND at >= ?7 AND at < ?8 AND (at, id) < (?9, ?10)
    ORDER BY at DESC, id DESC LIMIT ?11"
        ))
    };
}

static BY_SUBJECT: &Sql = audit_search!("subject", "subject_kind = ?1 AND subject_id = ?2");
static BY_ACTION: &Sql = audit_search!("action", "action = ?3");
static BY_ACTOR: &Sql = audit_search!("actor", "actor_kind = ?4 AND actor_id = ?5");
static BY_TIME: &Sql = audit_search!("time", "at >= ?7");

/// Every statement of this file.
pub(super) static STATEMENTS: [&Sql; 4] = [BY_SUBJECT, BY_ACTION, BY_ACTOR, BY_TIME];
