//! What goes on: connections, jobs, the record, operators.

use domain::model::audit_event::{Action, ActorKind, SubjectKind};
use domain::model::connection::Status;
use domain::model::job::{JobKind, JobState};
use domain::words::Words;
use http::Method;
use serde_json::{Value, json};

use super::super::operation::{Body, Operation, one_of};
use super::{OfOperators, body, row};
use crate::admin::AdminError;
use crate::admin::audit::EventBody;
use crate::admin::connection::{ConnectionBody, ConnectionDetail, ConnectionEnd};
use crate::admin::job::{JobBody, JobSettled};
use crate::admin::operator::{BootstrapIssued, OperatorBody, OperatorIssued};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = connections();
    all.extend(jobs());
    all.push(audit());
    all.extend(operators());
    all
}

/// A filter by a word of a list.
pub(super) fn word<T: Words>(
    name: &'static str,
    description: &'static str,
) -> (&'static str, &'static str, Value) {
    (name, description, one_of(T::WORDS.iter().map(|one| one.word())))
}

/// A filter by an id.
pub(super) fn id(name: &'static str, description: &'static str) -> (&'static str, &'static str, Value) {
    (name, description, json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,200}$"}))
}

/// A filter by a provider.
pub(super) fn provider() -> (&'static str, &'static str, Value) {
    ("provider_id", "Of this provider.", json!({"type": "integer", "minimum": 1}))
}

fn time(name: &'static str, description: &'static str) -> (&'static str, &'static str, Value) {
    (name, description, json!({"type": "string", "format": "date-time"}))
}

fn connection() -> Value {
    json!({"id": "con_…", "client_id": "dc-…", "provider_id": 1000, "sub": "0b2f6a3e-8a1c-4f0e-9d7e-2f4f0a6d1153",
        "state": "active", "created_at": "2026-11-24T12:00:00.000Z", "activated_at": "2026-11-24T12:00:01.000Z",
        "expires_at": "2027-11-24T12:00:00.000Z", "ended_at": null, "cause": null, "actor": null,
        "replaced_by": null, "bank": null, "recipient": null})
}

fn ended() -> Value {
    with(
        connection(),
        json!({"state": "revoked", "ended_at": "2026-11-25T08:00:00.000Z", "cause": "operator",
            "actor": {"kind": "operator", "id": "opr_…"}, "bank": "pending", "recipient": "none"}),
    )
}

/// An object with other members on top.
pub(super) fn with(mut whole: Value, more: Value) -> Value {
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
        whole.extend(more);
    }
    whole
}

fn connections() -> Vec<Operation> {
    let (all, one, end) = (
        "/admin/v1/connections",
        "/admin/v1/connections/{connection_id}",
        "/admin/v1/connections/{connection_id}/end",
    );
    let detail = with(
        connection(),
        json!({"terms": {"version": 1, "clusters": "ACCOUNT_BASIC TRANSACTIONS", "accounts": 2,
            "purpose": "To show your budget.", "language": "en", "page_version": "1",
            "expires_at": "2027-11-24T12:00:00.000Z", "agreed_at": "2026-11-24T12:00:00.000Z"},
            "jobs": [], "events": [event()]}),
    );
    vec![
        row("Connections", Method::GET, all, "listConnections", "Look for connections").lists::<ConnectionBody>(
            [
                id("id", "Of this id."),
                id("client_id", "Of this recipient."),
                provider(),
                ("sub", "Of this customer, as the recipient knows it.", json!({"type": "string", "format": "uuid"})),
                word::<Status>("state", "In this state."),
                time("created_from", "Made at this time or later."),
                time("created_before", "Made before this time."),
                time("ended_from", "Ended at this time or later."),
                time("ended_before", "Ended before this time."),
            ],
            &connection(),
        ),
        row("Connections", Method::GET, one, "getConnection", "Look at a connection")
            .says("With what the customer agreed to, its jobs and its record.")
            .gives::<ConnectionDetail>(200, "The connection", detail)
            .unknown("connection"),
        row("Connections", Method::POST, end, "endConnection", "End a connection")
            .says("No token of it is good once this is answered, and the provider is told. Repeating it is harmless.")
            .can_be_tried()
            .gives::<ConnectionEnd>(200, "What came of it", json!({"outcome": "ended", "connection": ended()}))
            .unknown("connection"),
    ]
}

fn job() -> Value {
    json!({"id": "job_…", "kind": "tell_bank", "state": "dead", "connection_id": "con_…", "provider_id": 1000, "client_id": "dc-…",
        "attempts": 36, "outcome": "HTTP 503", "holds_token": true,
        "due_at": "2026-12-01T12:00:00.000Z", "give_up_at": "2026-12-01T12:00:00.000Z",
        "created_at": "2026-11-24T12:00:00.000Z", "finished_at": "2026-12-01T12:00:00.000Z"})
}

fn jobs() -> Vec<Operation> {
    let (retry, close) = ("/admin/v1/jobs/{job_id}/retry", "/admin/v1/jobs/{job_id}/close");
    let settled = |operation: Operation, outcome| {
        operation
            .gives::<JobSettled>(200, "What was done", json!({"outcome": outcome, "id": "job_…"}))
            .unknown("job")
            .conflicts("The job is pending: only one that is dead can be retried or closed")
    };
    vec![
        row("Jobs", Method::GET, "/admin/v1/jobs", "listJobs", "Look for jobs").lists::<JobBody>(
            [
                word::<JobState>("state", "In this state; those that were given up are `dead`."),
                word::<JobKind>("kind", "Of this kind."),
                provider(),
            ],
            &job(),
        ),
        settled(row("Jobs", Method::POST, retry, "retryJob", "Have a job tried again"), "retried")
            .says("It must have been given up. It is tried for seven days more."),
        settled(row("Jobs", Method::POST, close, "closeJob", "Close a job"), "closed")
            .says("It must have been given up. Its token is destroyed; the provider stays untold."),
    ]
}

fn event() -> Value {
    json!({"id": "aud_…", "subject": {"kind": "connection", "id": "con_…"}, "seq": 1,
        "at": "2026-11-24T12:00:00.000Z", "action": "connection.opened", "actor": {"kind": "customer", "id": null},
        "correlation_id": "6b1f0c5e-3a52-4c0e-9a53-2f7f2f0a6d11", "detail": {}})
}

fn audit() -> Operation {
    row("Audit", Method::GET, "/admin/v1/audit", "listEvents", "Look through the record")
        .says("The newest first. An id of a subject or an actor goes with its kind.")
        .lists::<EventBody>(
            [
                word::<SubjectKind>("subject_kind", "About this kind of thing."),
                id("subject_id", "About this one; `subject_kind` must be given."),
                word::<Action>("action", "Of this deed."),
                word::<ActorKind>("actor_kind", "By this kind of party."),
                id("actor_id", "By this one; `actor_kind` must be given."),
                time("from", "At this time or later."),
                time("before", "Before this time."),
            ],
            &event(),
        )
        .refuses([AdminError::invalid("subject_kind", "expected with subject_id")])
}

fn operators() -> Vec<Operation> {
    let (all, one, bootstrap) =
        ("/admin/v1/operators", "/admin/v1/operators/{operator_id}", "/admin/v1/operators/bootstrap");
    let operator = json!({"id": "opr_…", "name": "dana", "role": "operator", "state": "active",
        "created_at": "2026-11-24T12:00:00.000Z", "expires_at": "2027-02-22T12:00:00.000Z", "ended_at": null});
    let body = Body {
        media: &["application/json", "application/x-www-form-urlencoded"],
        required: true,
        schema: ("NewOperator", body::operator()),
        examples: vec![("example", json!({"name": "dana", "role": "operator"}))],
    };
    vec![
        row("Operators", Method::GET, all, "listOperators", "Look at the operators")
            .lists::<OperatorBody>([], &operator),
        row("Operators", Method::POST, all, "addOperator", "Add an operator")
            .says(
                "The token is shown this once. With the token that makes the first admin, this adds that admin and \
                 the token is spent.",
            )
            .takes_body(body)
            .gives::<OperatorIssued>(201, "The operator, with its token", json!({"operator": operator, "token": "…"}))
            .refuses([AdminError::invalid("role", "expected viewer, operator, admin")])
            .conflicts("An operator of this name is there already")
            .reads_a_body("The content type must be application/json or application/x-www-form-urlencoded"),
        row("Operators", Method::DELETE, one, "removeOperator", "Remove an operator")
            .says("Its token is void once this is answered.")
            .gives_nothing(204, "The operator is gone", &[])
            .unknown("operator"),
        row("Operators", Method::POST, bootstrap, "bootstrapOperators", "Make the token that makes the first admin")
            .says("Refused once there is an admin. The token adds one admin and may do nothing else; it is shown this once.")
            .gives::<BootstrapIssued>(201, "The token", json!({"token": "…"}))
            .conflicts("There is an admin already: ask them for a token of your own"),
    ]
}
