//! The stored form of audit events. The head of each chain is also stored in the row of its subject.

use domain::model::audit_event::{Actor, ActorKind, AuditEntry, AuditEvent, AuditHead, SubjectKind};

use crate::error::{Result, StoreError};
use crate::row::{FromRow, Row};
use crate::sql::{Sql, sql};
use crate::value::{Value, decode_id, encode_id, values};

macro_rules! audit_event_columns {
    () => {
        "id, previous_id, seq, subject_kind, subject_id, at, action, actor_kind, actor_id, correlation_id, detail, mac"
    };
}
pub(crate) use audit_event_columns;

impl FromRow for AuditEvent {
    fn from_row(row: &mut Row) -> Result<Self> {
        let (id, previous_id, seq) = (row.get("id")?, row.get("previous_id")?, row.get("seq")?);
        let subject_kind: SubjectKind = row.get("subject_kind")?;
        let subject_id = row.get_raw("subject_id")?;
        let subject_id = decode_id(subject_prefix(subject_kind), subject_id).map_err(StoreError::internal)?;
        Ok(Self {
            id,
            previous_id,
            seq,
            entry: AuditEntry {
                subject: (subject_kind, subject_id),
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
        row.get("audit_head")
    }
}

impl FromRow for Actor {
    fn from_row(row: &mut Row) -> Result<Self> {
        let kind: ActorKind = row.get("actor_kind")?;
        let id = match row.get_raw("actor_id")? {
            Value::Null => None,
            id => Some(decode_id(actor_prefix(kind), id).map_err(StoreError::internal)?),
        };
        Ok(Self { kind, id })
    }
}

/// Encodes the id of a subject.
pub(crate) fn encode_subject_id(kind: SubjectKind, id: &str) -> Value {
    encode_id(subject_prefix(kind), id)
}

/// Encodes the id of an actor; null if the actor has none.
pub(crate) fn encode_actor_id(kind: ActorKind, id: Option<&str>) -> Value {
    id.map_or(Value::Null, |id| encode_id(actor_prefix(kind), id))
}

const fn subject_prefix(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Connection => domain::id::ConnectionId::PREFIX,
        SubjectKind::Client => domain::id::ClientId::PREFIX,
        SubjectKind::Operator => domain::id::OperatorId::PREFIX,
        SubjectKind::Provider | SubjectKind::Hub => "",
    }
}

const fn actor_prefix(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Recipient | ActorKind::Partner => domain::id::ClientId::PREFIX,
        ActorKind::Operator => domain::id::OperatorId::PREFIX,
        ActorKind::Customer | ActorKind::Provider | ActorKind::System => "",
    }
}

/// Builds the parameters of [`APPEND_AUDIT_EVENTS`] for one event.
pub(crate) fn build_audit_event_row(event: &AuditEvent, key_generation: u32) -> Vec<Value> {
    let entry = &event.entry;
    let (subject_kind, subject_id) = &entry.subject;
    values![
        event.id,
        event.previous_id,
        *subject_kind,
        encode_subject_id(*subject_kind, subject_id),
        event.seq,
        entry.at,
        entry.action,
        entry.actor.kind,
        encode_actor_id(entry.actor.kind, entry.actor.id.as_deref()),
        entry.correlation_id,
        entry.detail,
        key_generation,
        event.mac,
    ]
    .to_vec()
}

macro_rules! append_audit_events {
    ($source:literal) => {
        concat!(
            "-- append audit events
            INSERT INTO audit_events (id, previous_id, subject_kind, subject_id, seq, at, action, actor_kind, actor_id,
                correlation_id, detail, key_generation, mac)
            ",
            $source
        )
    };
}

pub(crate) static APPEND_AUDIT_EVENTS: &Sql = sql!(
    sqlite: append_audit_events!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"),
    postgres: append_audit_events!("SELECT * FROM unnest(?1::bytea[], ?2::bytea[], ?3::text[], ?4::bytea[],
                ?5::bigint[], ?6::bigint[], ?7::text[], ?8::text[], ?9::bytea[], ?10::text[], ?11::text[], ?12::bigint[],
                ?13::bytea[])")
);
