//! The routes for recipients and partners, with their OpenAPI documentation.

use domain::model::client::ClientState;
use domain::model::operator::Role;
use serde_json::{Value, json};

use super::common::{AdminOperationExt, JSON_TYPE_REQUIRED, enum_filter, id_filter, merge_objects};
use crate::admin_api::partners::{self, CreatePartnerRequest, PartnerBody, PartnerCreated};
use crate::admin_api::recipients::{
    self, AdminRecipientBody, CreateRecipientRequest, RecipientCreated, RecipientRemoved,
    UpdateRecipientRequest,
};
use crate::admin_api::{AdminError, SecretIssued, clients, http};
use crate::http::Route;
use crate::operation::{OperationSpec, OperationTag, request_schema};
use crate::recipients::TOO_MANY_RECIPIENTS;

fn new_recipient_example() -> Value {
    json!({"name": "Acme Budget", "purpose_en": "To show your budget.", "purpose_fr": "Pour afficher votre budget.",
        "redirect_uris": ["https://acme.example.org/callback"], "scope": ["ACCOUNT_BASIC", "TRANSACTIONS"],
        "require_pkce": true, "description": "A budget app.", "country": "CA",
        "logo_uri": "https://acme.example.org/logo.png", "terms_uri": "https://acme.example.org/terms",
        "client_uri": "https://acme.example.org", "contacts": ["dana@acme.example.org"]})
}

fn recipient_example() -> Value {
    merge_objects(
        new_recipient_example(),
        json!({"client_id": "dc-…", "partner": null, "state": "active", "max_duration_days": null,
            "created_at": "2026-11-24T12:00:00.000Z"}),
    )
}

/// Adds the description, the response and the errors of an operation that replaces the secret of a client.
fn with_new_secret(operation: OperationSpec, kind: &'static str) -> OperationSpec {
    operation
        .with_description(
            "After the response the previous secret and the tokens of the client itself are invalid. \
             Connections remain active.",
        )
        .with_json_response::<SecretIssued>(
            200,
            "The new secret, which cannot be retrieved later",
            json!({"client_id": "dc-…", "client_secret": "…"}),
        )
        .with_not_found(kind)
}

pub(super) fn recipients() -> Vec<Route> {
    const ALL: &str = "/admin/v1/recipients";
    const ONE: &str = "/admin/v1/recipients/{client_id}";
    const TAG: OperationTag = OperationTag("Recipients");
    let with_recipient = |operation: OperationSpec| {
        operation
            .with_json_response::<AdminRecipientBody>(200, "The recipient", recipient_example())
            .with_not_found("recipient")
    };
    let uris = json!({"redirect_uris": ["https://acme.example.org/back"]});
    vec![
        TAG.get(ALL, "listRecipients", "List recipients")
            .with_list::<AdminRecipientBody>(
                [
                    id_filter("partner", "The id of the partner."),
                    enum_filter::<ClientState>("state", "The state."),
                ],
                &recipient_example(),
            )
            .route(Role::Viewer, http::list(recipients::list)),
        TAG.post(ALL, "createRecipient", "Create a recipient")
            .with_description("Creates a recipient with or without a partner. It has no registrations yet.")
            .with_json_body("NewRecipient", request_schema::<CreateRecipientRequest>, new_recipient_example())
            .with_json_response::<RecipientCreated>(
                201,
                "The recipient and its secret",
                json!({"recipient": recipient_example(), "client_secret": "…"}),
            )
            .with_errors([AdminError::invalid("scope", "must include ACCOUNT_BASIC")])
            .with_conflict(TOO_MANY_RECIPIENTS)
            .with_body_errors(JSON_TYPE_REQUIRED)
            .route(Role::Admin, http::create(recipients::create)),
        with_recipient(TAG.get(ONE, "getRecipient", "Get a recipient"))
            .route(Role::Viewer, http::show(clients::show::<AdminRecipientBody>)),
        with_recipient(TAG.put(ONE, "updateRecipient", "Replace the redirect URIs of a recipient"))
            .with_json_body("RedirectUris", request_schema::<UpdateRecipientRequest>, uris)
            .with_errors([AdminError::invalid("redirect_uris", "is missing")])
            .with_body_errors(JSON_TYPE_REQUIRED)
            .route(Role::Admin, http::update_recipient),
        TAG.delete(ONE, "removeRecipient", "Remove a recipient")
            .with_description(
                "Removes the recipient permanently and ends all its connections. The providers are \
                 notified in the background. The call can be repeated safely.",
            )
            .with_dry_run()
            .with_json_response::<RecipientRemoved>(
                200,
                "The outcome",
                json!({"connections": 2, "outcome": "removed"}),
            )
            .with_not_found("recipient")
            .route(Role::Admin, http::remove_recipient),
        with_new_secret(
            TAG.post(
                "/admin/v1/recipients/{client_id}/secret",
                "regenerateRecipientSecret",
                "Regenerate the secret of a recipient",
            ),
            "recipient",
        )
        .route(Role::Admin, http::act(clients::rotate_secret::<AdminRecipientBody>)),
        with_recipient(TAG.post(
            "/admin/v1/recipients/{client_id}/suspend",
            "suspendRecipient",
            "Suspend a recipient",
        ))
        .with_description(
            "While suspended, tokens and data are refused. Connections remain, and revoking works.",
        )
        .route(Role::Operator, http::act(clients::suspend::<AdminRecipientBody>)),
        with_recipient(TAG.post(
            "/admin/v1/recipients/{client_id}/reinstate",
            "reinstateRecipient",
            "Reinstate a recipient",
        ))
        .route(Role::Operator, http::act(clients::reinstate::<AdminRecipientBody>)),
    ]
}

pub(super) fn partners() -> Vec<Route> {
    const ALL: &str = "/admin/v1/partners";
    const TAG: OperationTag = OperationTag("Partners");
    let partner = || json!({"client_id": "dc-…", "name": "Flinks Fake", "state": "active", "created_at": "2026-11-24T12:00:00.000Z"});
    let with_partner = |operation: OperationSpec| {
        operation.with_json_response::<PartnerBody>(200, "The partner", partner()).with_not_found("partner")
    };
    vec![
        TAG.get(ALL, "listPartners", "List partners")
            .with_list::<PartnerBody>([], &partner())
            .route(Role::Viewer, http::list(partners::list)),
        TAG.post(ALL, "createPartner", "Create a partner")
            .with_json_body(
                "NewPartner",
                request_schema::<CreatePartnerRequest>,
                json!({"name": "Flinks Fake"}),
            )
            .with_json_response::<PartnerCreated>(
                201,
                "The partner and its secret",
                json!({"partner": partner(), "client_secret": "…"}),
            )
            .with_errors([AdminError::invalid("name", "is missing")])
            .with_body_errors(JSON_TYPE_REQUIRED)
            .route(Role::Admin, http::create(partners::create)),
        with_partner(TAG.get("/admin/v1/partners/{client_id}", "getPartner", "Get a partner"))
            .route(Role::Viewer, http::show(clients::show::<PartnerBody>)),
        with_new_secret(
            TAG.post(
                "/admin/v1/partners/{client_id}/secret",
                "regeneratePartnerSecret",
                "Regenerate the secret of a partner",
            ),
            "partner",
        )
        .route(Role::Admin, http::act(clients::rotate_secret::<PartnerBody>)),
        with_partner(TAG.post(
            "/admin/v1/partners/{client_id}/suspend",
            "suspendPartner",
            "Suspend a partner",
        ))
        .with_description("The recipients of the partner and their connections are not affected.")
        .route(Role::Operator, http::act(clients::suspend::<PartnerBody>)),
        with_partner(TAG.post(
            "/admin/v1/partners/{client_id}/reinstate",
            "reinstatePartner",
            "Reinstate a partner",
        ))
        .route(Role::Operator, http::act(clients::reinstate::<PartnerBody>)),
    ]
}
