//! Searches the audit log for operators. The newest event comes first.

use domain::id::AuditEventId;
use domain::model::audit_event::{Actor, ActorKind, AuditAction, AuditEvent, SubjectKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::query::{ListAuditEvents, SEARCH_WINDOW};

use super::error::AdminError;
use super::page::{AdminPage, PageRequest};
use super::params::Params;
use crate::context::RequestContext;
use crate::response::{EnumValue, Time};

const FILTERS: [&str; 9] =
    ["subject_kind", "subject_id", "action", "actor_kind", "actor_id", "from", "before", "limit", "after"];

/// The party that caused an event or ended a connection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Actor")]
pub struct ActorBody {
    kind: EnumValue<ActorKind>,
    /// The id of the party, such as a client id; `null` for a customer: the audit log identifies no customers.
    id: Option<String>,
}

impl From<Actor> for ActorBody {
    fn from(actor: Actor) -> Self {
        Self { kind: EnumValue(actor.kind), id: actor.id }
    }
}

/// The object, such as a connection or client, that an event belongs to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Subject")]
pub struct SubjectBody {
    kind: EnumValue<SubjectKind>,
    id: String,
}

/// An event of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEvent")]
pub struct EventBody {
    #[schemars(with = "String")]
    id: AuditEventId,
    /// The object that the event belongs to.
    subject: SubjectBody,
    /// The position in the subject's chain of events, starting at 1.
    seq: i64,
    at: Time,
    action: EnumValue<AuditAction>,
    /// The party that caused the event.
    actor: ActorBody,
    /// The correlation id of the request or background job that caused the event.
    correlation_id: String,
    /// Details that depend on the action. They contain no secrets and no customer data.
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
            // The detail is stored as text, because the MAC of the event authenticates its exact bytes.
            detail: serde_json::from_str(&entry.detail).unwrap_or(Value::Null),
        }
    }
}

/// Lists the events that match a query, newest first.
pub async fn list(ctx: &RequestContext, query: Option<&str>) -> Result<AdminPage<EventBody>, AdminError> {
    let params = Params::from_query(query, &FILTERS)?;
    let page = PageRequest::from_params(ctx, "audit", &params)?;
    let id = |text: &str| {
        let is_plain =
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
        (is_plain && (1..=200).contains(&text.len())).then(|| text.to_owned())
    };
    let search = ListAuditEvents {
        subject_kind: params.parse_enum("subject_kind", SubjectKind::ALL, SubjectKind::as_str)?,
        subject_id: params.parse("subject_id", "expected an id", id)?,
        action: params.parse_enum("action", AuditAction::ALL, AuditAction::as_str)?,
        actor_kind: params.parse_enum("actor_kind", ActorKind::ALL, ActorKind::as_str)?,
        actor_id: params.parse("actor_id", "expected an id", id)?,
        at: params.time_range("from", "before")?,
        after: page.parse_after(|text| AuditEventId::parse(text).ok())?,
        limit: page.row_limit(),
        window: SEARCH_WINDOW,
    };
    // Ids of different kinds may be equal.
    if search.subject_id.is_some() && search.subject_kind.is_none() {
        return Err(AdminError::invalid("subject_kind", "expected with subject_id"));
    }
    if search.actor_id.is_some() && search.actor_kind.is_none() {
        return Err(AdminError::invalid("actor_kind", "expected with actor_id"));
    }
    let rows = ctx.ask(&search).await?;
    page.build_page(ctx, rows, |row| row.id.to_string(), EventBody::from_event)
}
