//! The record, looked through.

use domain::Timestamp;
use domain::id::AuditEventId;
use domain::model::audit_event::{Action, Actor, ActorKind, AuditEvent, SubjectKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::query::AuditEvents;

use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;
use crate::wire::{Time, Word};

const FILTERS: [&str; 9] =
    ["subject_kind", "subject_id", "action", "actor_kind", "actor_id", "from", "before", "limit", "after"];

/// Who acted.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Actor")]
pub struct ActorBody {
    /// What kind of party it is.
    kind: Word<ActorKind>,
    /// Which; absent for a customer.
    id: Option<String>,
}

impl From<Actor> for ActorBody {
    fn from(actor: Actor) -> Self {
        Self { kind: Word(actor.kind), id: actor.id }
    }
}

/// What an event is about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Subject")]
pub struct SubjectBody {
    /// What kind of thing it is.
    kind: Word<SubjectKind>,
    /// Which.
    id: String,
}

/// An event of the record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEvent")]
pub struct EventBody {
    /// Its id.
    #[schemars(with = "String")]
    id: AuditEventId,
    /// What it is about.
    subject: SubjectBody,
    /// Its place in its subject's chain, from 1.
    seq: i64,
    /// When it happened.
    at: Time,
    /// What happened.
    action: Word<Action>,
    /// Who acted.
    actor: ActorBody,
    /// The exchange in which it happened.
    correlation_id: String,
    /// Particulars, by the kind of event; no secrets, nothing of a customer.
    detail: Value,
}

impl EventBody {
    pub(super) fn of(event: AuditEvent) -> Self {
        let entry = event.entry;
        let (kind, id) = entry.subject;
        Self {
            id: event.id,
            subject: SubjectBody { kind: Word(kind), id },
            seq: event.seq,
            at: entry.at.into(),
            action: Word(entry.action),
            actor: entry.actor.into(),
            correlation_id: entry.correlation_id,
            detail: serde_json::from_str(&entry.detail).unwrap_or(Value::Null),
        }
    }
}

/// Events that a query looks for, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<EventBody>, AdminError> {
    let params = Params::query(query, &FILTERS)?;
    let asked = Asked::of(ctx, "audit", &params)?;
    let id = |text: &str| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
        (plain && (1..=200).contains(&text.len())).then(|| text.to_owned())
    };
    let search = AuditEvents {
        subject_kind: params.word("subject_kind", SubjectKind::ALL, SubjectKind::as_str)?,
        subject_id: params.read("subject_id", "expected an id", id)?,
        action: params.word("action", Action::ALL, Action::as_str)?,
        actor_kind: params.word("actor_kind", ActorKind::ALL, ActorKind::as_str)?,
        actor_id: params.read("actor_id", "expected an id", id)?,
        at: params.window("from", "before")?,
        after: asked.after(read_key)?,
        limit: asked.rows(),
    };
    if search.subject_id.is_some() && search.subject_kind.is_none() {
        return Err(AdminError::invalid("subject_kind", "expected with subject_id"));
    }
    if search.actor_id.is_some() && search.actor_kind.is_none() {
        return Err(AdminError::invalid("actor_kind", "expected with actor_id"));
    }
    let rows = ctx.ask(&search).await?;
    asked.page(ctx, rows, |row| format!("{}|{}", row.entry.at.millis(), row.id), EventBody::of)
}

fn read_key(text: &str) -> Option<(Timestamp, AuditEventId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), AuditEventId::parse(id).ok()?))
}
