//! The record, looked through.

use domain::Timestamp;
use domain::id::AuditEventId;
use domain::model::audit_event::{Action, ActorKind, SubjectKind};
use serde_json::Value;
use store::query::AuditEvents;

use super::connection::event;
use super::page::Asked;
use super::{AdminError, Page, Params};
use crate::ctx::Ctx;

const FILTERS: [&str; 9] =
    ["subject_kind", "subject_id", "action", "actor_kind", "actor_id", "from", "before", "limit", "after"];

/// Events that a query looks for, the newest first.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<Value>, AdminError> {
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
    asked.page(ctx, rows, |row| format!("{}|{}", row.entry.at.millis(), row.id), |row| event(&row))
}

fn read_key(text: &str) -> Option<(Timestamp, AuditEventId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), AuditEventId::parse(id).ok()?))
}
