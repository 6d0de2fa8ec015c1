//! The routes for operators, with their OpenAPI documentation.

use domain::model::operator::Role;
use serde_json::json;

use super::common::AdminOperationExt;
use crate::admin_api::operators::{self, AddOperatorRequest, BootstrapIssued, OperatorBody, OperatorIssued};
use crate::admin_api::{AdminError, http};
use crate::http::Route;
use crate::operation::{OperationTag, RequestBodySpec, request_schema};

pub(super) fn operators() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Operators");
    let (all, one, bootstrap) =
        ("/admin/v1/operators", "/admin/v1/operators/{operator_id}", "/admin/v1/operators/bootstrap");
    let operator = json!({"id": "opr_…", "name": "dana", "role": "operator", "state": "active",
        "created_at": "2026-11-24T12:00:00.000Z", "expires_at": "2027-02-22T12:00:00.000Z", "ended_at": null});
    let body = RequestBodySpec {
        media: &["application/json", "application/x-www-form-urlencoded"],
        required: true,
        schema: ("NewOperator", request_schema::<AddOperatorRequest>),
        examples: vec![("example", json!({"name": "dana", "role": "operator"}))],
    };
    vec![
        TAG.get(all, "listOperators", "List operators")
            .with_list::<OperatorBody>([], &operator)
            .route(Role::Admin, http::list(operators::list)),
        TAG.post(all, "addOperator", "Add an operator")
            .with_description(
                "The response contains the token, which cannot be retrieved later. With a bootstrap token \
                 this adds the first admin and uses up the bootstrap token.",
            )
            .with_body(body)
            .with_json_response::<OperatorIssued>(
                201,
                "The operator and its token",
                json!({"operator": operator, "token": "…"}),
            )
            .with_errors([AdminError::invalid("role", "expected viewer, operator, admin")])
            .with_conflict("An operator with this name exists already")
            .with_body_errors(
                "The content type must be application/json or application/x-www-form-urlencoded",
            )
            .route(Role::Admin, http::add_operator),
        TAG.delete(one, "removeOperator", "Remove an operator")
            .with_description("After the response the operator's token is invalid.")
            .with_empty_response(204, "The operator is removed", &[])
            .with_not_found("operator")
            .route(Role::Admin, http::remove_operator),
        TAG.post(bootstrap, "bootstrapOperators", "Create a bootstrap token")
            .with_description(
                "Fails if an admin exists. The token can only be used to add the first admin; it cannot be \
                 retrieved later.",
            )
            .with_json_response::<BootstrapIssued>(201, "The token", json!({"token": "…"}))
            .with_conflict("An admin exists already: ask an admin to add you as an operator")
            .route(Role::Admin, http::issue_bootstrap_token),
    ]
}
