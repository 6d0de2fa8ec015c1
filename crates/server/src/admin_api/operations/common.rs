//! Builders and filters that the operations of the admin API share.

use domain::model::operator::Role;
use domain::str_enum::StrEnum;
use http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::admin_api::http::{UNAVAILABLE, render_problem};
use crate::admin_api::{AdminError, AdminPage};
use crate::error::InternalError;
use crate::http::{Problem, ProblemBody, Route, RouteHandler};
use crate::operation::{ContentSpec, OperationSpec, ResponseSpec, schema_fn, string_enum};
use crate::request::expected_one_of;

/// Builder methods for the documentation that operations of the admin API have in common.
pub(super) trait AdminOperationExt: Sized {
    /// Creates the route. Adds the errors that depend on the required role and the method to the documentation.
    fn route<T: 'static>(self, required_role: Role, handler: impl RouteHandler<T>) -> Route;
    fn with_errors(self, errors: impl IntoIterator<Item = AdminError>) -> Self;
    fn with_not_found(self, what: &'static str) -> Self;
    fn with_conflict(self, message: impl Into<String>) -> Self;
    /// Adds the parameters, the response and the errors of a paged list. `item` is an example.
    fn with_list<T: JsonSchema>(
        self,
        filters: impl IntoIterator<Item = (&'static str, &'static str, Value)>,
        item: &Value,
    ) -> Self;
    /// Adds the errors for a body that is too large, too slow or of another content type. `types` is the message of the
    /// last.
    fn with_body_errors(self, types: &'static str) -> Self;
    /// Documents the parameter `dry_run`, and marks the operation so that its route accepts this parameter.
    fn with_dry_run(self) -> Self;
}

impl AdminOperationExt for OperationSpec {
    fn route<T: 'static>(self, required_role: Role, handler: impl RouteHandler<T>) -> Route {
        let is_safe = self.method.is_safe();
        let has_dry_run = self.parameters.iter().any(|parameter| parameter.name == DRY_RUN_PARAMETER);
        // Every operator has at least the role viewer, so this error cannot occur if viewer is required.
        let role = (required_role != Role::Viewer).then_some(AdminError::Role(required_role));
        // Every other operation rejects the bootstrap token.
        let bootstrap = (self.id != "addOperator").then_some(AdminError::Bootstrap);
        let unexpected_dry_run =
            (!is_safe && !has_dry_run).then(|| AdminError::invalid(DRY_RUN_PARAMETER, expected_one_of(&[])));
        // An operation without a documented body accepts an empty JSON object, so errors of the body can occur there
        // too.
        let reads_undocumented_body = !is_safe && self.body.is_none();
        let operation =
            if reads_undocumented_body { self.with_body_errors(JSON_TYPE_REQUIRED) } else { self };
        let operation = operation
            .with_security(&["operatorToken"])
            .with_errors([AdminError::Unauthorized])
            .with_errors(role.into_iter().chain(bootstrap).chain(unexpected_dry_run))
            .with_errors([AdminError::Internal(InternalError::new(""))])
            .with_responses([error_response(&Problem::for_status(
                StatusCode::SERVICE_UNAVAILABLE,
                UNAVAILABLE,
            ))]);
        let route = Route::admin(required_role, operation, handler);
        if has_dry_run { route.with_dry_run() } else { route }
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
            .fold(self, |operation, (name, description, schema)| {
                operation.with_query(name, description, schema)
            })
            .with_query(
                "limit",
                "Maximum number of results. A larger value is treated as the maximum.",
                positive_integer,
            )
            .with_query(
                "after",
                "`next` of the previous page. Opaque, valid only for this list with these filters and for \
                 a limited time.",
                json!({"type": "string", "minLength": 1}),
            )
            .with_json_response::<AdminPage<T>>(
                200,
                "A page of the list",
                json!({"items": [item], "next": null, "unverified": 0}),
            )
            .with_errors([AdminError::invalid("limit", "expected a positive integer")])
    }

    fn with_body_errors(self, types: &'static str) -> Self {
        let body_error = |status, message| {
            error_response(&Problem::new(status, Problem::for_status(status, "").code(), message))
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

const DRY_RUN_PARAMETER: &str = "dry_run";

pub(super) const JSON_TYPE_REQUIRED: &str = "The content type must be application/json";

/// Describes the error response that consists of a problem (RFC 9457). The example is the problem itself.
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

/// Returns a filter parameter whose values are those of the enum `T`, as name, description and schema.
pub(super) fn enum_filter<T: StrEnum>(
    name: &'static str,
    description: &'static str,
) -> (&'static str, &'static str, Value) {
    (name, description, string_enum(T::VARIANTS.iter().map(|one| one.value_str())))
}

pub(super) fn id_filter(
    name: &'static str,
    description: &'static str,
) -> (&'static str, &'static str, Value) {
    (name, description, json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,200}$"}))
}

pub(super) fn provider_filter() -> (&'static str, &'static str, Value) {
    ("provider_id", "The provider's id.", json!({"type": "integer", "minimum": 1}))
}

pub(super) fn time_filter(
    name: &'static str,
    description: &'static str,
) -> (&'static str, &'static str, Value) {
    (name, description, json!({"type": "string", "format": "date-time"}))
}

/// Returns the JSON object `base` with the members of `more` added or replaced.
pub(super) fn merge_objects(mut base: Value, more: Value) -> Value {
    if let (Value::Object(members), Value::Object(more)) = (&mut base, more) {
        members.extend(more);
    }
    base
}
