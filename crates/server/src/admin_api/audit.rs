//! The record, looked through.

use domain::Timestamp;
use domain::id::AuditEventId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditEvent, SubjectKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::query::ListAuditEvents;

use super::page::PageRequest;
use super::{AdminError, AdminPage, Params};
use crate::context::RequestContext;
use crate::response::{EnumValue, Time};

const FILTERS: [&str; 9] =
    ["subject_kind", "subject_id", "action", "actor_kind", "actor_id", "from", "before", "limit", "after"];

/// Who acted.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Actor")]
pub struct ActorBody {
    /// What kind of party it is.
    kind: EnumValue<ActorKind>,
    /// Which; absent for a customer.
    id: Option<String>,
}

impl From<Actor> for ActorBody {
    fn from(actor: Actor) -> Self {
        Self { kind: EnumValue(actor.kind), id: actor.id }
    }
}

/// What an event is about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Subject")]
pub struct SubjectBody {
    /// What kind of thing it is.
    kind: EnumValue<SubjectKind>,
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
    action: EnumValue<AuditAction>,
    /// Who acted.
    actor: ActorBody,
    /// The exchange in which it happened.
    correlation_id: String,
    /// Particulars, by the kind of event; no secrets, nothing of a customer.
    detail: Value,
}

impl EventBody {
    pub(super) fn from_event(event: AuditEvent) -> Self {
        let entry = event.entry;
        let (kind, id) = entry.subject;
        Self {
            id: event.id,
            subject: SubjectBody { kind: EnumValue(kind), id },
            seq: event.seq,
            at: entry.at.into(),
            action: EnumValue(entry.action),
            actor: entry.actor.into(),
            correlation_id: entry.correlation_id,
            detail: serde_json::from_str(&entry.detail).unwrap_or(Value::Null),
        }
    }
}

/// Events that a query looks for, the newest first.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<EventBody>, AdminError> {
    let params = Params::from_query(query, &FILTERS)?;
    let page_request = PageRequest::from_params(ctx, "audit", &params)?;
    let id = |text: &str| {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
        (plain && (1..=200).contains(&text.len())).then(|| text.to_owned())
    };
    let search = ListAuditEvents {
        subject_kind: params.parse_enum("subject_kind", SubjectKind::ALL, SubjectKind::as_str)?,
        subject_id: params.parse("subject_id", "expected an id", id)?,
        action: params.parse_enum("action", AuditAction::ALL, AuditAction::as_str)?,
        actor_kind: params.parse_enum("actor_kind", ActorKind::ALL, ActorKind::as_str)?,
        actor_id: params.parse("actor_id", "expected an id", id)?,
        at: params.time_range("from", "before")?,
        after: page_request.parse_after(parse_key)?,
        limit: page_request.row_limit(),
    };
    if search.subject_id.is_some() && search.subject_kind.is_none() {
        return Err(AdminError::invalid("subject_kind", "expected with subject_id"));
    }
    if search.actor_id.is_some() && search.actor_kind.is_none() {
        return Err(AdminError::invalid("actor_kind", "expected with actor_id"));
    }
    let rows = ctx.ask(&search).await?;
    page_request.build_page(
        ctx,
        rows,
        |row| format!("{}|{}", row.entry.at.millis(), row.id),
        EventBody::from_event,
    )
}

fn parse_key(text: &str) -> Option<(Timestamp, AuditEventId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), AuditEventId::parse(id).ok()?))
}
