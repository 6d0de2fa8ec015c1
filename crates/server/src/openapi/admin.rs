//! The operators' API.

mod body;
mod running;
mod setup;

use std::collections::BTreeMap;

use domain::model::operator::Role;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::document::{self, About};
use super::operation::{Answer, Content, Operation, one_of, shape};
use crate::admin::http::problem;
use crate::admin::{AdminError, Page};
use crate::fault::Fault;
use crate::web::{Problem, ProblemBody, admin_table};

pub(super) fn document() -> Value {
    let about = About {
        title: "Bowline: operation (`/admin/v1`)",
        description: "What the operators of a hub do: they look, set up, hold and end. It is served on a listener of \
            its own (`server.admin_listen`), never on the public one, and through a socket of the machine. The bearer is \
            an operator's token, and its role must cover that of the operation: `viewer` looks, `operator` holds \
            and ends, `admin` sets up. Refusals are problems (RFC 9457). A parameter or member that is not known is \
            refused; one that is known is given once. A member that is null or empty is as good as absent. Times are \
            RFC 3339 in UTC with milliseconds.",
        server: json!({"url": "{admin}", "variables": {"admin": {
            "default": "http://127.0.0.1:8408",
            "description": "Where the operators' listener is reached (`server.admin_listen`).",
        }}}),
        tags: &[
            ("Connections", "Looked for, looked at, ended."),
            ("Jobs", "Deferred work, and what was given up of it."),
            ("Audit", "The record of every deed."),
            ("Providers", "Added, tested, held, released, retired."),
            ("Registrations", "Of recipients with providers: each step of an operator."),
            ("Recipients", "Apps that receive data with the customer's consent."),
            ("Partners", "They manage recipients and never receive data themselves."),
            ("Operators", "Who may use this API."),
        ],
        security: json!({"operatorToken": {
            "type": "http", "scheme": "bearer",
            "description": "The token of an operator (RFC 6750), with the least role that it must have.",
        }}),
        path_parameter,
    };
    let roles: BTreeMap<(String, &str), Role> = admin_table()
        .into_iter()
        .filter_map(|route| Some(((route.method.to_string(), route.path), route.least?)))
        .collect();
    let least = |operation: &Operation| roles.get(&(operation.method.to_string(), operation.path)).copied();
    let operations = running::operations().into_iter().chain(setup::operations());
    let operations = operations.map(|operation| {
        let role = least(&operation);
        operation.of_operators(role)
    });
    document::document(&about, operations.collect())
}

fn path_parameter(name: &str) -> (&'static str, Value) {
    let text = json!({"type": "string", "minLength": 1});
    match name {
        "client_id" => ("The id of the client: of a recipient or a partner.", text),
        "connection_id" => ("The id of the connection.", text),
        "job_id" => ("The id of the job.", text),
        "operator_id" => ("The id of the operator.", text),
        _ => ("The id of the provider.", json!({"type": "integer", "minimum": 1})),
    }
}

/// An operation of this face, below a heading.
fn row(
    tag: &'static str,
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new(method, path, id, summary).below(tag)
}

/// What operations of this face have in common.
trait OfOperators: Sized {
    /// Who may ask, what everybody else is told, and our own trouble.
    fn of_operators(self, least: Option<Role>) -> Self;
    fn refuses(self, errors: impl IntoIterator<Item = AdminError>) -> Self;
    fn unknown(self, what: &'static str) -> Self;
    fn conflicts(self, sentence: impl Into<String>) -> Self;
    /// A list, page by page, with what it can be filtered by.
    fn lists<T: JsonSchema>(
        self,
        filters: impl IntoIterator<Item = (&'static str, &'static str, Value)>,
        item: &Value,
    ) -> Self;
    /// It reads a body of these types, which is bounded in size and time.
    fn reads_a_body(self, types: &'static str) -> Self;
    /// It may be tried without doing it.
    fn can_be_tried(self) -> Self;
}

impl OfOperators for Operation {
    fn of_operators(mut self, least: Option<Role>) -> Self {
        self.role = least.map(Role::as_str);
        let small = least.filter(|role| *role != Role::Viewer).map(AdminError::Role);
        // With the token that makes the first admin, it can be made.
        let first = (self.id != "addOperator").then_some(AdminError::Bootstrap);
        let tried = self.parameters.iter().any(|parameter| parameter.name == TRIED);
        let in_vain = (!self.method.is_safe() && !tried)
            .then(|| AdminError::invalid(TRIED, "expected nothing of the kind here"));
        let deed = if self.method.is_safe() || self.body.is_some() { self } else { self.reads_a_body(JSON) };
        deed.secured(&["operatorToken"])
            .refuses([AdminError::Unauthorized])
            .refuses(small.into_iter().chain(first).chain(in_vain))
            .refuses([AdminError::Fault(Fault::new(""))])
            .answers([refusal(&Problem::plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "The hub cannot answer at present",
            ))])
    }

    fn refuses(self, errors: impl IntoIterator<Item = AdminError>) -> Self {
        self.answers(errors.into_iter().map(|error| refusal(&problem(error))))
    }

    fn unknown(self, what: &'static str) -> Self {
        self.refuses([AdminError::NotFound(what)])
    }

    fn conflicts(self, sentence: impl Into<String>) -> Self {
        self.refuses([AdminError::Conflict(sentence.into())])
    }

    fn lists<T: JsonSchema>(
        self,
        filters: impl IntoIterator<Item = (&'static str, &'static str, Value)>,
        item: &Value,
    ) -> Self {
        let whole = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
        filters
            .into_iter()
            .fold(self, |operation, (name, description, schema)| operation.query(name, description, schema))
            .query("limit", "How many at most; over the maximum counts as the maximum.", whole)
            .query(
                "after",
                "`next` of the former page. Opaque, of this list and these filters alone, and good for a time.",
                json!({"type": "string", "minLength": 1}),
            )
            .gives::<Page<T>>(200, "A page of the list", json!({"items": [item], "next": null}))
            .refuses([AdminError::invalid("limit", "expected a positive integer")])
    }

    fn reads_a_body(self, types: &'static str) -> Self {
        let unread =
            |status, sentence| refusal(&Problem::new(status, Problem::plain(status, "").code(), sentence));
        self.answers([
            unread(StatusCode::REQUEST_TIMEOUT, "The body did not arrive"),
            unread(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            unread(StatusCode::UNSUPPORTED_MEDIA_TYPE, types),
        ])
    }

    fn can_be_tried(self) -> Self {
        let told = "Whether it is only to be said what would come of it.";
        self.query(TRIED, told, one_of(["true", "false"]))
            .refuses([AdminError::invalid(TRIED, "expected true, false")])
    }
}

/// The parameter by which a deed is tried without doing it.
const TRIED: &str = "dry_run";

/// The types of a body that is JSON alone.
const JSON: &str = "The content type must be application/json";

/// A problem as the face renders it.
fn refusal(problem: &Problem) -> Answer {
    let body = problem.body("6b1f0c5e-3a52-4c0e-9a53-2f7f2f0a6d11");
    let (description, headers): (_, &[_]) = match body.status {
        400 => ("The request is refused", &[]),
        401 => ("Nobody who is known here", &["www-authenticate"]),
        403 => ("Somebody who may not do this", &[]),
        404 => ("There is no such thing", &[]),
        408 | 413 => ("The body cannot be read", &[]),
        409 => ("It does not fit to how things stand", &[]),
        415 => ("The body is of another type", &[]),
        503 => ("Not now", &["retry-after"]),
        _ => ("Our own trouble", &[]),
    };
    let content = Content::Json("application/problem+json", shape::<ProblemBody<'static>>());
    Answer { status: body.status, description, content, example: serde_json::to_value(&body).ok(), headers }
}
