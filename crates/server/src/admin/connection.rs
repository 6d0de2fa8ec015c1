//! Connections: looked for, looked at, ended.

use domain::Timestamp;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, AuditEvent, SubjectKind};
use domain::model::connection::{Cause, State, Status, Terms};
use serde_json::{Value, json};
use store::command::{EndConnection, EndOutcome};
use store::query::{AuditOf, Connections, Found, FoundById, JobsOf, Window};

use super::page::Asked;
use super::{AdminError, Page, Params, job};
use crate::connection;
use crate::ctx::Ctx;

const FILTERS: [&str; 11] = [
    "id",
    "client_id",
    "provider_id",
    "sub",
    "state",
    "created_from",
    "created_before",
    "ended_from",
    "ended_before",
    "limit",
    "after",
];

/// Connections that a query looks for.
pub async fn list(ctx: &Ctx, query: Option<&str>) -> Result<Page<Value>, AdminError> {
    let params = Params::query(query, &FILTERS)?;
    let asked = Asked::of(ctx, "connections", &params)?;
    let search = Connections { after: asked.after(read_key)?, limit: asked.rows(), ..filter(&params)? };
    let rows = ctx.ask(&search).await?;
    let key = |row: &Found| {
        let (time, id) = search.key(row);
        format!("{}|{id}", time.millis())
    };
    asked.page(ctx, rows, key, |row| shown(&row))
}

fn read_key(text: &str) -> Option<(Timestamp, ConnectionId)> {
    let (time, id) = text.split_once('|')?;
    Some((Timestamp::from_millis(time.parse().ok()?), ConnectionId::parse(id).ok()?))
}

fn filter(params: &Params) -> Result<Connections, AdminError> {
    let uuid = |text: &str| uuid::Uuid::try_parse(text).ok().map(|_| text.to_owned());
    let ended = params.text("ended_from").or_else(|| params.text("ended_before")).is_some();
    let times =
        (params.window("ended_from", "ended_before")?, params.window("created_from", "created_before")?);
    Ok(Connections {
        id: params.read("id", "expected a connection's id", |text| ConnectionId::parse(text).ok())?,
        client_id: params.read("client_id", "expected a client's id", |text| ClientId::parse(text).ok())?,
        provider_id: params.provider()?,
        sub: params.read("sub", "expected a UUID", uuid)?,
        status: params.word("state", Status::ALL, Status::as_str)?,
        created: times.1,
        ended: ended.then_some(times.0),
        after: None,
        limit: 0,
    })
}

impl Params {
    /// The provider that is asked for.
    pub(super) fn provider(&self) -> Result<Option<ProviderId>, AdminError> {
        self.read("provider_id", "expected a positive integer", ProviderId::parse)
    }

    /// A window of time; all time if neither end is given.
    pub(super) fn window(&self, from: &str, before: &str) -> Result<Window, AdminError> {
        let expected = "expected a time in RFC 3339";
        Ok(Window {
            from: self.read(from, expected, Timestamp::parse)?.unwrap_or(Window::ALL.from),
            before: self.read(before, expected, Timestamp::parse)?.unwrap_or(Window::ALL.before),
        })
    }
}

/// A connection in a list. A cause, an actor and what the sides know stand there once it has ended.
fn shown(found: &Found) -> Value {
    let connection = &found.connection;
    let (state, end) = match &connection.state {
        State::Pending { .. } => (Status::Pending, None),
        State::Active => (Status::Active, None),
        State::Ended(end) => (end.cause.status(), Some(end)),
    };
    json!({
        "id": connection.id, "client_id": connection.client_id, "provider_id": connection.provider_id,
        "sub": connection.sub, "state": state.as_str(),
        "created_at": found.created_at.to_string(),
        "activated_at": found.activated_at.map(|at| at.to_string()),
        "expires_at": connection.expires_at.to_string(),
        "ended_at": end.map(|end| end.at.to_string()),
        "cause": end.map(|end| end.cause.as_str()),
        "actor": end.map(|end| actor(&end.actor)),
        "replaced_by": found.replaced_by,
        "bank": end.map(|_| connection.bank.as_str()),
        "recipient": end.map(|_| found.recipient_state.as_str()),
    })
}

/// Who acted.
pub(super) fn actor(actor: &Actor) -> Value {
    json!({"kind": actor.kind.as_str(), "id": actor.id})
}

/// An event of the record.
pub(super) fn event(event: &AuditEvent) -> Value {
    let entry = &event.entry;
    let detail: Value = serde_json::from_str(&entry.detail).unwrap_or(Value::Null);
    json!({"id": event.id, "subject": {"kind": entry.subject.0.as_str(), "id": entry.subject.1}, "seq": event.seq,
        "at": entry.at.to_string(), "action": entry.action.as_str(), "actor": actor(&entry.actor),
        "correlation_id": entry.correlation_id, "detail": detail})
}

/// The terms without the names of accounts: those are the bank's.
fn terms(version: i64, terms: &Terms) -> Value {
    json!({"version": version, "clusters": terms.clusters.to_string(), "accounts": terms.accounts.as_ref().map(Vec::len),
        "purpose": terms.purpose, "language": terms.language, "page_version": terms.page_version,
        "expires_at": terms.expires_at.to_string(), "agreed_at": terms.agreed_at.to_string()})
}

const NOBODY: AdminError = AdminError::NotFound("connection");

async fn found(ctx: &Ctx, id: &str) -> Result<(Found, Terms), AdminError> {
    let id = ConnectionId::parse(id).map_err(|_| NOBODY)?;
    ctx.ask(&FoundById { id }).await?.ok_or(NOBODY)
}

/// A connection with everything that is known of it.
pub async fn show(ctx: &Ctx, id: &str) -> Result<Value, AdminError> {
    let (found, agreed) = found(ctx, id).await?;
    let id = found.connection.id.clone();
    let events = ctx.ask(&AuditOf { kind: SubjectKind::Connection, id: id.to_string() }).await?;
    let jobs = ctx.ask(&JobsOf { connection_id: id }).await?;
    let mut all = shown(&found);
    all["terms"] = terms(found.connection.terms_version, &agreed);
    all["jobs"] = jobs.iter().map(job::shown).collect();
    all["events"] = events.iter().map(event).collect();
    Ok(all)
}

/// The parameters of an end.
pub const END: [&str; 1] = ["dry_run"];

/// Ends a connection, or says what an end would come to.
pub async fn end(ctx: &Ctx, id: &str, query: Option<&str>, by: Actor) -> Result<Value, AdminError> {
    let params = Params::query(query, &END)?;
    let dry = params.word("dry_run", &[true, false], |dry| if dry { "true" } else { "false" })? == Some(true);
    let before = found(ctx, id).await?.0;
    let already = matches!(before.connection.state, State::Ended(_));
    if dry {
        let outcome = if already { "already_ended" } else { "would_end" };
        return Ok(json!({"outcome": outcome, "connection": shown(&before)}));
    }
    let id_of = before.connection.id;
    let (moment, cause) = (ctx.moment()?, Cause::Operator);
    let asked = EndConnection { moment, connection_id: id_of, cause, actor: by, fence: None };
    let outcome = match connection::end(ctx, asked).await? {
        EndOutcome::Ended => "ended",
        EndOutcome::Already(_) => "already_ended",
        EndOutcome::Unknown | EndOutcome::Fenced => return Err(NOBODY),
    };
    Ok(json!({"outcome": outcome, "connection": shown(&found(ctx, id).await?.0)}))
}
