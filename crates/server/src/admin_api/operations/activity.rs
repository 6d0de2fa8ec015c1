//! The routes for connections, jobs and the audit log, with their OpenAPI documentation.

use domain::model::audit_event::{ActorKind, AuditAction, SubjectKind};
use domain::model::connection::ConnectionStatus;
use domain::model::job::{JobKind, JobState};
use domain::model::operator::Role;
use serde_json::{Value, json};

use super::common::{
    AdminOperationExt, JSON_TYPE_REQUIRED, enum_filter, id_filter, merge_objects, provider_filter,
    time_filter,
};
use crate::admin_api::audit_log::{self, EventBody};
use crate::admin_api::connections::{self, AdminConnectionBody, ConnectionDetail, EndConnectionResponse};
use crate::admin_api::jobs::{self, JobBody, ResolveJobResponse, RetryJobsRequest, RetryJobsResponse};
use crate::admin_api::{AdminError, http};
use crate::http::Route;
use crate::operation::{OperationSpec, OperationTag, request_schema};

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

pub(super) fn connections() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Connections");
    let (all, one, end) = (
        "/admin/v1/connections",
        "/admin/v1/connections/{connection_id}",
        "/admin/v1/connections/{connection_id}/end",
    );
    let detail = merge_objects(
        connection_example(),
        json!({"provider_grant_id": "8b1f6c0e", "terms": {"version": 1, "clusters": "ACCOUNT_BASIC TRANSACTIONS", "accounts": 2,
            "purpose": "To show your budget.", "language": "en", "page_version": "1",
            "expires_at": "2027-11-24T12:00:00.000Z", "agreed_at": "2026-11-24T12:00:00.000Z"},
            "jobs": [], "events": [event_example()]}),
    );
    vec![
        TAG.get(all, "listConnections", "Search connections")
            .with_list::<AdminConnectionBody>(
                [
                    id_filter("id", "The connection's id."),
                    id_filter("client_id", "The recipient's id."),
                    provider_filter(),
                    (
                        "sub",
                        "The recipient's identifier of the customer.",
                        json!({"type": "string", "format": "uuid"}),
                    ),
                    enum_filter::<ConnectionStatus>("state", "The state."),
                    time_filter("created_from", "Created at or after this time."),
                    time_filter("created_before", "Created before this time."),
                    time_filter("ended_from", "Ended at or after this time."),
                    time_filter("ended_before", "Ended before this time."),
                ],
                &connection_example(),
            )
            .route(Role::Viewer, http::list(connections::list)),
        TAG.get(one, "getConnection", "Get a connection")
            .with_description("Includes the terms, the jobs and the audit events.")
            .with_json_response::<ConnectionDetail>(200, "The connection", detail)
            .with_not_found("connection")
            .route(Role::Viewer, http::show(connections::show)),
        TAG.post(end, "endConnection", "End a connection")
            .with_description(
                "After the response no token of the connection is accepted; the provider is notified in \
                 the background. The call can be repeated safely.",
            )
            .with_dry_run()
            .with_json_response::<EndConnectionResponse>(
                200,
                "The outcome",
                json!({"outcome": "ended", "connection": ended_connection_example()}),
            )
            .with_not_found("connection")
            .route(Role::Operator, http::end_connection),
    ]
}

fn job_example() -> Value {
    json!({"id": "job_…", "kind": "revoke_at_provider", "state": "failed", "connection_id": "con_…", "provider_id": 1000, "client_id": "dc-…",
        "attempts": 36, "outcome": "HTTP 503", "holds_token": true,
        "due_at": "2026-12-01T12:00:00.000Z", "retry_until": "2026-12-01T12:00:00.000Z",
        "created_at": "2026-11-24T12:00:00.000Z", "finished_at": "2026-12-01T12:00:00.000Z"})
}

pub(super) fn jobs() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Jobs");
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
        TAG.get("/admin/v1/jobs", "listJobs", "List jobs")
            .with_list::<JobBody>(
                [
                    enum_filter::<JobState>("state", "The state. `failed` jobs require manual action."),
                    enum_filter::<JobKind>("kind", "The kind of job."),
                    provider_filter(),
                ],
                &job_example(),
            )
            .route(Role::Viewer, http::list(jobs::list)),
        TAG.post("/admin/v1/jobs/retry", "retryJobs", "Retry all failed jobs of a provider, or of all")
            .with_description(
                "Retries at most 100 jobs for another seven days, each as if by its id. While `has_more` is true, repeat \
                 the request with `failed_until` and, as `after`, `next` of the response. Jobs that can only be closed are skipped.",
            )
            .with_dry_run()
            .with_json_body("FailedJobs", request_schema::<RetryJobsRequest>, json!({"provider_id": 1000}))
            .with_json_response::<RetryJobsResponse>(
                200,
                "The outcome",
                json!({"outcome": "retried", "jobs": 100, "skipped": 0, "has_more": true,
                    "next": "…", "failed_until": "2026-12-01T12:00:00.000Z"}),
            )
            .with_errors([AdminError::invalid("provider_id", "expected either provider_id or all")])
            .with_body_errors(JSON_TYPE_REQUIRED)
            .with_not_found("provider")
            .route(Role::Operator, http::retry_jobs),
        with_settled_job(TAG.post(retry, "retryJob", "Retry a failed job"), "retried")
            .with_description("The job must have failed. It is retried for another seven days.")
            .route(Role::Operator, http::act(jobs::retry)),
        with_settled_job(TAG.post(close, "closeJob", "Close a failed job"), "closed")
            .with_description(
                "The job must have failed. Its token is deleted, and the provider is not notified.",
            )
            .route(Role::Operator, http::act(jobs::close)),
    ]
}

fn event_example() -> Value {
    json!({"id": "aud_…", "subject": {"kind": "connection", "id": "con_…"}, "seq": 1,
        "at": "2026-11-24T12:00:00.000Z", "action": "connection.opened", "actor": {"kind": "customer", "id": null},
        "correlation_id": "6b1f0c5e-3a52-4c0e-9a53-2f7f2f0a6d11", "detail": {}})
}

pub(super) fn audit_log() -> Route {
    let operation = OperationTag("Audit")
        .get("/admin/v1/audit", "listEvents", "Search the audit log")
        .with_description(
            "Newest first. `subject_id` requires `subject_kind`, and `actor_id` requires `actor_kind`.",
        )
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
        .with_errors([AdminError::invalid("subject_kind", "expected with subject_id")]);
    operation.route(Role::Viewer, http::list(audit_log::list))
}
