//! The stored form of audit events. The last event of each chain is also stored in the row of its subject.

use domain::model::audit_event::{Actor, AuditEntry, AuditEvent, AuditHead};

use crate::error::Result;
use crate::row::{FromRow, Row};

macro_rules! audit_event_columns {
    () => {
        "id, seq, subject_kind, subject_id, at, action, actor_kind, actor_id, correlation_id, detail, mac"
    };
}
pub(crate) use audit_event_columns;

impl FromRow for AuditEvent {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            seq: row.get("seq")?,
            entry: AuditEntry {
                subject: (row.get("subject_kind")?, row.get("subject_id")?),
                at: row.get("at")?,
                action: row.get("action")?,
                actor: Actor::from_row(row)?,
                correlation_id: row.get("correlation_id")?,
                detail: row.get("detail")?,
            },
            mac: row.get("mac")?,
        })
    }
}

impl FromRow for AuditHead {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { seq: row.get("audit_seq")?, mac: row.get("audit_mac")? })
    }
}

impl FromRow for Actor {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { kind: row.get("actor_kind")?, id: row.get("actor_id")? })
    }
}
