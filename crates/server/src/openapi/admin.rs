//! The operators' API.

mod running;
mod setup;

use std::collections::BTreeMap;

use domain::model::operator::Role;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::document::{self, DocumentInfo};
use super::operation::{ContentSpec, OperationSpec, ResponseSpec, schema_fn, string_enum};
use crate::admin_api::http::{UNAVAILABLE, render_problem};
use crate::admin_api::{AdminError, AdminPage};
use crate::error::InternalError;
use crate::http::{Problem, ProblemBody};
use crate::request::expected_one_of;

pub(super) fn build_document() -> Value {
    let about = DocumentInfo {
        title: "Bowline: operation (`/admin/v1`)",
        description: "The API for operators of a hub. It is served on a listener of its own (`server.admin_listen`), never on the public one, and through a Unix socket. The bearer token is an operator's token. Each operation requires a minimum role: `viewer` reads, `operator` also pauses and ends, `admin` also creates and removes. Errors are problems (RFC 9457). Unknown parameters and members are rejected; a known one must not be repeated; null and empty members are treated as absent. Times are RFC 3339 in UTC with milliseconds.",
        server: json!({"url": "{admin}", "variables": {"admin": {
            "default": "http://127.0.0.1:8408",
            "description": "The origin of the operators' listener (`server.admin_listen`).",
        }}}),
        tags: &[
            ("Connections", "Search, show and end connections."),
            ("Jobs", "Background jobs; retry or close failed ones."),
            ("Audit", "The audit log of all operations."),
            ("Providers", "Add, test, pause, release and retire providers."),
            ("Registrations", "Registrations of recipients with providers, and their steps."),
            ("Recipients", "Apps that receive data with the customer's consent."),
            ("Partners", "Organisations that manage recipients and receive no data."),
            ("Operators", "The users of this API."),
        ],
        security: json!({"operatorToken": {
            "type": "http", "scheme": "bearer",
            "description": "The token of an operator (RFC 6750), with the minimum role.",
        }}),
        path_parameter: describe_path_parameter,
    };
    let roles: BTreeMap<(String, &str), Role> = crate::admin_api::http::routes()
        .into_iter()
        .filter_map(|route| Some(((route.method.to_string(), route.path), route.required_role?)))
        .collect();
    let least =
        |operation: &OperationSpec| roles.get(&(operation.method.to_string(), operation.path)).copied();
    let operations = running::operations().into_iter().chain(setup::operations());
    let operations = operations.map(|operation| {
        let role = least(&operation);
        operation.with_admin_defaults(role)
    });
    document::build_document(&about, operations.collect())
}

fn describe_path_parameter(name: &str) -> (&'static str, Value) {
    let text = json!({"type": "string", "minLength": 1});
    match name {
        "client_id" => ("The id of the client: a recipient or a partner.", text),
        "connection_id" => ("The id of the connection.", text),
        "job_id" => ("The id of the job.", text),
        "operator_id" => ("The id of the operator.", text),
        _ => ("The id of the provider.", json!({"type": "integer", "minimum": 1})),
    }
}

/// An operation of this face, below a heading.
fn new_operation(
    tag: &'static str,
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> OperationSpec {
    OperationSpec::new(method, path, id, summary).with_tag(tag)
}

/// What operations of this face have in common.
trait AdminOperationExt: Sized {
    /// Who may ask, what everybody else is told, and our own trouble.
    fn with_admin_defaults(self, least: Option<Role>) -> Self;
    fn with_errors(self, errors: impl IntoIterator<Item = AdminError>) -> Self;
    fn with_not_found(self, what: &'static str) -> Self;
    fn with_conflict(self, sentence: impl Into<String>) -> Self;
    /// A list, page by page, with what it can be filtered by.
    fn with_list<T: JsonSchema>(
        self,
        filters: impl IntoIterator<Item = (&'static str, &'static str, Value)>,
        item: &Value,
    ) -> Self;
    /// It reads a body of these types, which is bounded in size and time.
    fn with_body_errors(self, types: &'static str) -> Self;
    /// It may be tried without doing it.
    fn with_dry_run(self) -> Self;
}

impl AdminOperationExt for OperationSpec {
    fn with_admin_defaults(mut self, least: Option<Role>) -> Self {
        self.role = least.map(Role::as_str);
        let small = least.filter(|role| *role != Role::Viewer).map(AdminError::Role);
        // With the token that makes the first admin, it can be made.
        let first = (self.id != "addOperator").then_some(AdminError::Bootstrap);
        let has_dry_run = self.parameters.iter().any(|parameter| parameter.name == DRY_RUN_PARAMETER);
        let unexpected_dry_run = (!self.method.is_safe() && !has_dry_run)
            .then(|| AdminError::invalid(DRY_RUN_PARAMETER, expected_one_of(&[])));
        let operation = if self.method.is_safe() || self.body.is_some() {
            self
        } else {
            self.with_body_errors(JSON_TYPE_REQUIRED)
        };
        operation
            .with_security(&["operatorToken"])
            .with_errors([AdminError::Unauthorized])
            .with_errors(small.into_iter().chain(first).chain(unexpected_dry_run))
            .with_errors([AdminError::Internal(InternalError::new(""))])
            .with_responses([error_response(&Problem::for_status(
                StatusCode::SERVICE_UNAVAILABLE,
                UNAVAILABLE,
            ))])
    }

    fn with_errors(self, errors: impl IntoIterator<Item = AdminError>) -> Self {
        self.with_responses(errors.into_iter().map(|error| error_response(&render_problem(error))))
    }

    fn with_not_found(self, what: &'static str) -> Self {
        self.with_errors([AdminError::NotFound(what)])
    }

    fn with_conflict(self, message: impl Into<String>) -> Self {
        self.with_errors([AdminError::Conflict(message.into())])
    }

    fn with_list<T: JsonSchema>(
        self,
        filters: impl IntoIterator<Item = (&'static str, &'static str, Value)>,
        item: &Value,
    ) -> Self {
        let positive_integer = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
        filters
            .into_iter()
            .fold(self, |operation, (name, description, schema)| operation.with_query(name, description, schema))
            .with_query("limit", "Maximum number of results. A larger value is treated as the maximum.", positive_integer)
            .with_query(
                "after",
                "`next` of the previous page. Opaque, valid only for this list with these filters and for a limited time.",
                json!({"type": "string", "minLength": 1}),
            )
            .with_json_response::<AdminPage<T>>(200, "A page of the list", json!({"items": [item], "next": null}))
            .with_errors([AdminError::invalid("limit", "expected a positive integer")])
    }

    fn with_body_errors(self, types: &'static str) -> Self {
        let body_error = |status, sentence| {
            error_response(&Problem::new(status, Problem::for_status(status, "").code(), sentence))
        };
        self.with_responses([
            body_error(StatusCode::REQUEST_TIMEOUT, "The body did not arrive"),
            body_error(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            body_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, types),
        ])
    }

    fn with_dry_run(self) -> Self {
        let description = "`true` returns the effect without carrying out the operation.";
        self.with_query(DRY_RUN_PARAMETER, description, string_enum(["true", "false"]))
            .with_errors([AdminError::invalid(DRY_RUN_PARAMETER, "expected true, false")])
    }
}

/// The parameter by which a deed is tried without doing it.
const DRY_RUN_PARAMETER: &str = "dry_run";

/// The types of a body that is JSON alone.
const JSON_TYPE_REQUIRED: &str = "The content type must be application/json";

/// A problem as the face renders it.
fn error_response(problem: &Problem) -> ResponseSpec {
    let body = problem.body("6b1f0c5e-3a52-4c0e-9a53-2f7f2f0a6d11");
    let (description, headers): (_, &[_]) = match body.status {
        400 => ("The request is invalid", &[]),
        401 => ("Missing or invalid credentials", &["www-authenticate"]),
        403 => ("The operator's role is insufficient", &[]),
        404 => ("The object does not exist", &[]),
        408 | 413 => ("The request body could not be read", &[]),
        409 => ("The operation conflicts with the current state", &[]),
        415 => ("The content type of the request body is not supported", &[]),
        503 => ("Service temporarily unavailable", &["retry-after"]),
        _ => ("Internal server error", &[]),
    };
    let content = ContentSpec::Json("application/problem+json", schema_fn::<ProblemBody<'static>>());
    ResponseSpec {
        status: body.status,
        description,
        content,
        example: serde_json::to_value(&body).ok(),
        headers,
    }
}
