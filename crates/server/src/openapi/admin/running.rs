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
    ("provider_id", "The provider's id.", json!({"type": "integer", "minimum": 1}))
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
        new_operation("Connections", Method::GET, all, "listConnections", "Search connections").with_list::<AdminConnectionBody>(
            [
                id_filter("id", "The connection's id."),
                id_filter("client_id", "The recipient's id."),
                provider_filter(),
                ("sub", "The recipient's identifier of the customer.", json!({"type": "string", "format": "uuid"})),
                enum_filter::<ConnectionStatus>("state", "The state."),
                time_filter("created_from", "Created at or after this time."),
                time_filter("created_before", "Created before this time."),
                time_filter("ended_from", "Ended at or after this time."),
                time_filter("ended_before", "Ended before this time."),
            ],
            &connection_example(),
        ),
        new_operation("Connections", Method::GET, one, "getConnection", "Get a connection")
            .with_description("Includes the terms, the jobs and the audit events.")
            .with_json_response::<ConnectionDetail>(200, "The connection", detail)
            .with_not_found("connection"),
        new_operation("Connections", Method::POST, end, "endConnection", "End a connection")
            .with_description("After the response no token of the connection is accepted; the provider is notified in the background. The call can be repeated safely.")
            .with_dry_run()
            .with_json_response::<EndConnectionResponse>(200, "The outcome", json!({"outcome": "ended", "connection": ended_connection_example()}))
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
                "The outcome",
                json!({"outcome": outcome, "id": "job_…"}),
            )
            .with_not_found("job")
            .with_conflict("The job is pending; only a failed job can be retried or closed")
    };
    vec![
        new_operation("Jobs", Method::GET, "/admin/v1/jobs", "listJobs", "List jobs")
            .with_list::<JobBody>(
                [
                    enum_filter::<JobState>("state", "The state. `failed` jobs require manual action."),
                    enum_filter::<JobKind>("kind", "The kind of job."),
                    provider_filter(),
                ],
                &job_example(),
            ),
        with_settled_job(
            new_operation("Jobs", Method::POST, retry, "retryJob", "Retry a failed job"),
            "retried",
        )
        .with_description("The job must have failed. It is retried for another seven days."),
        with_settled_job(new_operation("Jobs", Method::POST, close, "closeJob", "Close a failed job"), "closed")
            .with_description(
                "The job must have failed. Its token is deleted, and the provider is not notified.",
            ),
    ]
}

fn event_example() -> Value {
    json!({"id": "aud_…", "subject": {"kind": "connection", "id": "con_…"}, "seq": 1,
        "at": "2026-11-24T12:00:00.000Z", "action": "connection.opened", "actor": {"kind": "customer", "id": null},
        "correlation_id": "6b1f0c5e-3a52-4c0e-9a53-2f7f2f0a6d11", "detail": {}})
}

fn audit_operation() -> OperationSpec {
    new_operation("Audit", Method::GET, "/admin/v1/audit", "listEvents", "Search the audit log")
        .with_description("Newest first. `subject_id` requires `subject_kind`, and `actor_id` requires `actor_kind`.")
        .with_list::<EventBody>(
            [
                enum_filter::<SubjectKind>("subject_kind", "The kind of subject."),
                id_filter("subject_id", "The id of the subject; requires `subject_kind`."),
                enum_filter::<AuditAction>("action", "The action."),
                enum_filter::<ActorKind>("actor_kind", "The kind of actor."),
                id_filter("actor_id", "The id of the actor; requires `actor_kind`."),
                time_filter("from", "At or after this time."),
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
        new_operation("Operators", Method::GET, all, "listOperators", "List operators")
            .with_list::<OperatorBody>([], &operator),
        new_operation("Operators", Method::POST, all, "addOperator", "Add an operator")
            .with_description(
                "The response contains the token, which cannot be retrieved later. With a bootstrap token this adds the first admin and uses up the bootstrap token.",
            )
            .with_body(body)
            .with_json_response::<OperatorIssued>(201, "The operator and its token", json!({"operator": operator, "token": "…"}))
            .with_errors([AdminError::invalid("role", "expected viewer, operator, admin")])
            .with_conflict("An operator with this name exists already")
            .with_body_errors("The content type must be application/json or application/x-www-form-urlencoded"),
        new_operation("Operators", Method::DELETE, one, "removeOperator", "Remove an operator")
            .with_description("After the response the operator's token is invalid.")
            .with_empty_response(204, "The operator is removed", &[])
            .with_not_found("operator"),
        new_operation("Operators", Method::POST, bootstrap, "bootstrapOperators", "Create a bootstrap token")
            .with_description("Fails if an admin exists. The token can only be used to add the first admin; it cannot be retrieved later.")
            .with_json_response::<BootstrapIssued>(201, "The token", json!({"token": "…"}))
            .with_conflict("An admin exists already: ask an admin to add you as an operator"),
    ]
}
