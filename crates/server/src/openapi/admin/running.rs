//! What goes on: connections, jobs, the record, operators.

use domain::model::audit_event::{ActorKind, AuditAction, SubjectKind};
use domain::model::connection::ConnectionStatus;
use domain::model::job::{JobKind, JobState};
use domain::str_enum::StrEnum;
use http::Method;
use serde_json::{Value, json};

use super::super::operation::{OperationSpec, RequestBodySpec, request_schema, string_enum};
use super::{AdminOperationExt, new_operation};
use crate::admin_api::AdminError;
use crate::admin_api::audit_log::EventBody;
use crate::admin_api::connections::{AdminConnectionBody, ConnectionDetail, EndConnectionResponse};
use crate::admin_api::jobs::{JobBody, ResolveJobResponse};
use crate::admin_api::operators::{AddOperatorRequest, BootstrapIssued, OperatorBody, OperatorIssued};

pub(super) fn operations() -> Vec<OperationSpec> {
    let mut all = connections();
    all.extend(jobs());
    all.push(audit_operation());
    all.extend(operators());
    all
}

/// A filter by a word of a list.
pub(super) fn enum_filter<T: StrEnum>(
    name: &'static str,
    description: &'static str,
) -> (&'static str, &'static str, Value) {
    (name, description, string_enum(T::VARIANTS.iter().map(|one| one.value_str())))
}

/// A filter by an id.
pub(super) fn id_filter(
    name: &'static str,
    description: &'static str,
) -> (&'static str, &'static str, Value) {
    (name, description, json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,200}$"}))
}

/// A filter by a provider.
pub(super) fn provider_filter() -> (&'static str, &'static str, Value) {
    ("provider_id", "Of this provider.", json!({"type": "integer", "minimum": 1}))
}

fn time_filter(name: &'static str, description: &'static str) -> (&'static str, &'static str, Value) {
    (name, description, json!({"type": "string", "format": "date-time"}))
}

fn connection_example() -> Value {
    json!({"id": "con_…", "client_id": "dc-…", "provider_id": 1000, "sub": "0b2f6a3e-8a1c-4f0e-9d7e-2f4f0a6d1153",
        "state": "active", "created_at": "2026-11-24T12:00:00.000Z", "activated_at": "2026-11-24T12:00:01.000Z",
        "expires_at": "2027-11-24T12:00:00.000Z", "ended_at": null, "cause": null, "actor": null,
        "replaced_by": null, "provider_revocation": null, "recipient_notification": null})
}

fn ended_connection_example() -> Value {
    merge_objects(
        connection_example(),
        json!({"state": "revoked", "ended_at": "2026-11-25T08:00:00.000Z", "cause": "operator",
            "actor": {"kind": "operator", "id": "opr_…"}, "provider_revocation": "pending", "recipient_notification": "none"}),
    )
}

/// An object with other members on top.
pub(super) fn merge_objects(mut base: Value, more: Value) -> Value {
    if let (Value::Object(whole), Value::Object(more)) = (&mut base, more) {
        whole.extend(more);
    }
    base
}

fn connections() -> Vec<OperationSpec> {
    let (all, one, end) = (
        "/admin/v1/connections",
        "/admin/v1/connections/{connection_id}",
        "/admin/v1/connections/{connection_id}/end",
    );
    let detail = merge_objects(
        connection_example(),
        json!({"terms": {"version": 1, "clusters": "ACCOUNT_BASIC TRANSACTIONS", "accounts": 2,
            "purpose": "To show your budget.", "language": "en", "page_version": "1",
            "expires_at": "2027-11-24T12:00:00.000Z", "agreed_at": "2026-11-24T12:00:00.000Z"},
            "jobs": [], "events": [event_example()]}),
    );
    vec![
        new_operation("Connections", Method::GET, all, "listConnections", "Look for connections").with_list::<AdminConnectionBody>(
            [
                id_filter("id", "Of this id."),
                id_filter("client_id", "Of this recipient."),
                provider_filter(),
                ("sub", "Of this customer, as the recipient knows it.", json!({"type": "string", "format": "uuid"})),
                enum_filter::<ConnectionStatus>("state", "In this state."),
                time_filter("created_from", "Made at this time or later."),
                time_filter("created_before", "Made before this time."),
                time_filter("ended_from", "Ended at this time or later."),
                time_filter("ended_before", "Ended before this time."),
            ],
            &connection_example(),
        ),
        new_operation("Connections", Method::GET, one, "getConnection", "Look at a connection")
            .with_description("With what the customer agreed to, its jobs and its record.")
            .with_json_response::<ConnectionDetail>(200, "The connection", detail)
            .with_not_found("connection"),
        new_operation("Connections", Method::POST, end, "endConnection", "End a connection")
            .with_description("No token of it is good once this is answered, and the provider is told. Repeating it is harmless.")
            .with_dry_run()
            .with_json_response::<EndConnectionResponse>(200, "What came of it", json!({"outcome": "ended", "connection": ended_connection_example()}))
            .with_not_found("connection"),
    ]
}

fn job_example() -> Value {
    json!({"id": "job_…", "kind": "revoke_at_provider", "state": "failed", "connection_id": "con_…", "provider_id": 1000, "client_id": "dc-…",
        "attempts": 36, "outcome": "HTTP 503", "holds_token": true,
        "due_at": "2026-12-01T12:00:00.000Z", "retry_until": "2026-12-01T12:00:00.000Z",
        "created_at": "2026-11-24T12:00:00.000Z", "finished_at": "2026-12-01T12:00:00.000Z"})
}

fn jobs() -> Vec<OperationSpec> {
    let (retry, close) = ("/admin/v1/jobs/{job_id}/retry", "/admin/v1/jobs/{job_id}/close");
    let with_settled_job = |operation: OperationSpec, outcome| {
        operation
            .with_json_response::<ResolveJobResponse>(
                200,
                "What was done",
                json!({"outcome": outcome, "id": "job_…"}),
            )
            .with_not_found("job")
            .with_conflict("The job is pending; only a failed job can be retried or closed")
    };
    vec![
        new_operation("Jobs", Method::GET, "/admin/v1/jobs", "listJobs", "Look for jobs")
            .with_list::<JobBody>(
                [
                    enum_filter::<JobState>("state", "In this state; those that were given up are `failed`."),
                    enum_filter::<JobKind>("kind", "Of this kind."),
                    provider_filter(),
                ],
                &job_example(),
            ),
        with_settled_job(
            new_operation("Jobs", Method::POST, retry, "retryJob", "Have a job tried again"),
            "retried",
        )
        .with_description("It must have been given up. It is tried for seven days more."),
        with_settled_job(new_operation("Jobs", Method::POST, close, "closeJob", "Close a job"), "closed")
            .with_description(
                "It must have been given up. Its token is destroyed; the provider stays untold.",
            ),
    ]
}

fn event_example() -> Value {
    json!({"id": "aud_…", "subject": {"kind": "connection", "id": "con_…"}, "seq": 1,
        "at": "2026-11-24T12:00:00.000Z", "action": "connection.opened", "actor": {"kind": "customer", "id": null},
        "correlation_id": "6b1f0c5e-3a52-4c0e-9a53-2f7f2f0a6d11", "detail": {}})
}

fn audit_operation() -> OperationSpec {
    new_operation("Audit", Method::GET, "/admin/v1/audit", "listEvents", "Look through the record")
        .with_description("The newest first. An id of a subject or an actor goes with its kind.")
        .with_list::<EventBody>(
            [
                enum_filter::<SubjectKind>("subject_kind", "About this kind of thing."),
                id_filter("subject_id", "About this one; `subject_kind` must be given."),
                enum_filter::<AuditAction>("action", "Of this deed."),
                enum_filter::<ActorKind>("actor_kind", "By this kind of party."),
                id_filter("actor_id", "By this one; `actor_kind` must be given."),
                time_filter("from", "At this time or later."),
                time_filter("before", "Before this time."),
            ],
            &event_example(),
        )
        .with_errors([AdminError::invalid("subject_kind", "expected with subject_id")])
}

fn operators() -> Vec<OperationSpec> {
    let (all, one, bootstrap) =
        ("/admin/v1/operators", "/admin/v1/operators/{operator_id}", "/admin/v1/operators/bootstrap");
    let operator = json!({"id": "opr_…", "name": "dana", "role": "operator", "state": "active",
        "created_at": "2026-11-24T12:00:00.000Z", "expires_at": "2027-02-22T12:00:00.000Z", "ended_at": null});
    let body = RequestBodySpec {
        media: &["application/json", "application/x-www-form-urlencoded"],
        required: true,
        schema: ("NewOperator", request_schema::<AddOperatorRequest>()),
        examples: vec![("example", json!({"name": "dana", "role": "operator"}))],
    };
    vec![
        new_operation("Operators", Method::GET, all, "listOperators", "Look at the operators")
            .with_list::<OperatorBody>([], &operator),
        new_operation("Operators", Method::POST, all, "addOperator", "Add an operator")
            .with_description(
                "The token is shown this once. With the token that makes the first admin, this adds that admin and \
                 the token is spent.",
            )
            .with_body(body)
            .with_json_response::<OperatorIssued>(201, "The operator, with its token", json!({"operator": operator, "token": "…"}))
            .with_errors([AdminError::invalid("role", "expected viewer, operator, admin")])
            .with_conflict("An operator with this name exists already")
            .with_body_errors("The content type must be application/json or application/x-www-form-urlencoded"),
        new_operation("Operators", Method::DELETE, one, "removeOperator", "Remove an operator")
            .with_description("Its token is void once this is answered.")
            .with_empty_response(204, "The operator is gone", &[])
            .with_not_found("operator"),
        new_operation("Operators", Method::POST, bootstrap, "bootstrapOperators", "Make the token that makes the first admin")
            .with_description("Refused once there is an admin. The token adds one admin and may do nothing else; it is shown this once.")
            .with_json_response::<BootstrapIssued>(201, "The token", json!({"token": "…"}))
            .with_conflict("An admin exists already: ask an admin to add you as an operator"),
    ]
}
