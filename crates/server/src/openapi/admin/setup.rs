//! What is set up: partners, recipients, registrations, providers.

use domain::id::{ClientId, ProviderId};
use domain::model::client::ClientState;
use domain::model::registration::{RegistrationState, RegistrationStep, RegistrationTransitionError};
use http::Method;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::super::operation::{OperationSpec, RequestBodySpec, request_schema};
use super::running::{enum_filter, id_filter, merge_objects, provider_filter};
use super::{AdminOperationExt, JSON_TYPE_REQUIRED, new_operation};
use crate::admin_api::partners::{CreatePartnerRequest, PartnerBody, PartnerCreated};
use crate::admin_api::providers::{AddProviderRequest, AdminProviderBody, ProviderDetail, ProviderTest};
use crate::admin_api::recipients::{
    AdminRecipientBody, CreateRecipientRequest, RecipientCreated, RecipientRemoved, UpdateRecipientRequest,
};
use crate::admin_api::registrations::{
    ActivateRegistrationRequest, AdminRegistrationBody, RejectRegistrationRequest,
    RequestRegistrationsRequest, RequestedRegistrations, SuspendRegistrationRequest,
};
use crate::admin_api::{AdminError, SecretIssued};
use crate::recipients::RegistrationPair;
use crate::request::RequestBody;

pub(super) fn operations() -> Vec<OperationSpec> {
    let mut all = providers();
    all.extend(registrations());
    all.extend(step_operations());
    all.extend(recipients());
    all.extend(partners());
    all
}

fn provider_example() -> Value {
    json!({"id": 1000, "name": "Maple Trust", "country": "CA", "state": "active", "source": "api"})
}

fn settings_example() -> Value {
    json!({"name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example.org/authorize",
        "token_endpoint": "https://maple.example.org/token",
        "revocation_endpoint": "https://maple.example.org/revoke", "client_id": "hub",
        "auth": "client_secret_basic", "fdx": {"base_url": "https://maple.example.org/fdx/v5", "version": "5"},
        "scopes": {"ACCOUNT_BASIC": "accounts", "TRANSACTIONS": "transactions"}, "consent_shown_by": "hub",
        "grant_scope": "per_token", "customer_identity": "none", "revoke": ["rfc7009"]})
}

fn providers() -> Vec<OperationSpec> {
    const ALL: &str = "/admin/v1/providers";
    let (one, test) = ("/admin/v1/providers/{provider_id}", "/admin/v1/providers/{provider_id}/test");
    let detail = merge_objects(provider_example(), json!({"settings": settings_example()}));
    let row = |method, path, id, summary| new_operation("Providers", method, path, id, summary);
    let with_provider = |operation: OperationSpec| {
        operation
            .with_json_response::<ProviderDetail>(200, "The provider", detail.clone())
            .with_not_found("provider")
    };
    let checks =
        json!({"ok": true, "checks": [{"name": "token", "ok": true, "detail": "the provider knows the hub's client"}]});
    vec![
        row(Method::GET, ALL, "listProviders", "List providers")
            .with_list::<AdminProviderBody>([], &provider_example()),
        row(Method::POST, ALL, "addProvider", "Add a provider")
            .with_description(
                "Accepts the settings of `[[provider]]` in the configuration, with the secret itself, which is stored sealed. Providers from the configuration cannot be changed here.",
            )
            .with_json_body(
                "NewProvider",
                request_schema::<AddProviderRequest>(),
                merge_objects(settings_example(), json!({"id": 1000, "client_secret": "the-hubs-secret-there"})),
            )
            .with_json_response::<ProviderDetail>(201, "The provider", detail.clone())
            .with_errors([AdminError::invalid("fdx.base_url", "expected an https URL")])
            .with_conflict("A provider with this id exists already")
            .with_body_errors(JSON_TYPE_REQUIRED),
        with_provider(row(Method::GET, one, "getProvider", "Get a provider")),
        row(Method::POST, test, "testProvider", "Test a provider")
            .with_description("Calls the provider's endpoints to check what a connection needs. Nothing is changed.")
            .with_json_response::<ProviderTest>(200, "The results of the checks", checks)
            .with_not_found("provider"),
        with_provider(row(Method::POST, "/admin/v1/providers/{provider_id}/pause", "pauseProvider", "Pause a provider"))
            .with_description("While paused, no data is read, no connection is opened, and no connection ends because of the provider. Revoking works."),
        with_provider(row(
            Method::POST,
            "/admin/v1/providers/{provider_id}/release",
            "releaseProvider",
            "Release a paused provider",
        )),
        with_provider(row(Method::POST, "/admin/v1/providers/{provider_id}/retire", "retireProvider", "Retire a provider"))
            .with_description("Like a pause, but permanent: registrations with the provider are rejected too."),
    ]
}

fn registration_example() -> Value {
    json!({"client_id": "dc-…", "client_name": "Acme Budget", "provider_id": 1000, "provider_name": "Maple Trust",
        "partner": "dc-…", "state": "pending_approval", "reason": null, "requested_at": "2026-11-24T12:00:00.000Z"})
}

/// A pair that is in the way.
fn rejected_pairs(message: &str) -> Vec<(RegistrationPair, String)> {
    let pair =
        |client_id| (RegistrationPair { client_id, provider_id: ProviderId::new(1000) }, message.to_owned());
    ClientId::parse("dc-acme").ok().map(pair).into_iter().collect()
}

fn registrations() -> Vec<OperationSpec> {
    const ALL: &str = "/admin/v1/registrations";
    let one = "/admin/v1/registrations/{client_id}/{provider_id}";
    let row = |method, path, id, summary| new_operation("Registrations", method, path, id, summary);
    vec![
        row(Method::GET, ALL, "listRegistrations", "List registrations")
            .with_list::<AdminRegistrationBody>(
                [
                    id_filter("client_id", "The recipient's id."),
                    provider_filter(),
                    id_filter("partner", "The id of the partner whose recipients are listed."),
                    enum_filter::<RegistrationState>("state", "The state."),
                ],
                &registration_example(),
            ),
        row(Method::POST, ALL, "requestRegistrations", "Request registrations")
            .with_description("Requests the registration of each recipient with each provider, all-or-nothing.")
            .with_json_body(
                "RegistrationRequest",
                request_schema::<RequestRegistrationsRequest>(),
                json!({"client_ids": ["dc-…"], "provider_ids": [1000]}),
            )
            .with_json_response::<RequestedRegistrations>(
                200,
                "The registration of each pair",
                json!({"items": [registration_example()]}),
            )
            .with_errors([
                AdminError::invalid("provider_ids[0]", "must be a positive integer"),
                AdminError::Pairs { missing: true, pairs: rejected_pairs("The recipient does not exist") },
                AdminError::Pairs {
                    missing: false,
                    pairs: rejected_pairs("This registration was requested before and is active"),
                },
            ])
            .with_body_errors(JSON_TYPE_REQUIRED),
        row(Method::GET, one, "getRegistration", "Get a registration")
            .with_json_response::<AdminRegistrationBody>(200, "The registration", registration_example())
            .with_not_found("registration"),
    ]
}

/// The steps of a registration that an operator takes.
fn step_operations() -> Vec<OperationSpec> {
    let row = |step: RegistrationStep, path, id, summary| {
        new_operation("Registrations", Method::POST, path, id, summary)
            .with_json_response::<AdminRegistrationBody>(200, "The registration", registration_example())
            .with_not_found("registration")
            .with_conflict(
                RegistrationTransitionError { state: RegistrationState::Rejected, step }.to_string(),
            )
    };
    let reason = || json!({"reason": "The contract has ended."});
    let approve = row(
        RegistrationStep::Approve,
        "/admin/v1/registrations/{client_id}/{provider_id}/approve",
        "approveRegistration",
        "Approve a registration",
    );
    let activate = row(
        RegistrationStep::Activate,
        "/admin/v1/registrations/{client_id}/{provider_id}/activate",
        "activateRegistration",
        "Activate a registration",
    );
    let reject = row(
        RegistrationStep::Reject,
        "/admin/v1/registrations/{client_id}/{provider_id}/reject",
        "rejectRegistration",
        "Reject a registration",
    );
    let suspend = row(
        RegistrationStep::Suspend,
        "/admin/v1/registrations/{client_id}/{provider_id}/suspend",
        "suspendRegistration",
        "Suspend a registration",
    );
    let reinstate = row(
        RegistrationStep::Reinstate,
        "/admin/v1/registrations/{client_id}/{provider_id}/reinstate",
        "reinstateRegistration",
        "Reinstate a registration",
    );
    let upstream_client =
        json!({"upstream_client_id": "acme-at-maple", "upstream_client_secret": "its-secret-there"});
    vec![
        approve.with_description("The registration then waits for its activation by the operator or the provider."),
        with_step_body::<ActivateRegistrationRequest>(activate, "Activation", upstream_client).with_description(
            "Confirms that the provider has set up the recipient. If the provider has a client for each registration, its credentials are required.",
        ),
        with_step_body::<RejectRegistrationRequest>(reject, "Rejection", reason()),
        with_step_body::<SuspendRegistrationRequest>(suspend, "Suspension", reason())
            .with_description("While suspended, no data is read and no connection is opened. Existing connections do not end."),
        reinstate,
    ]
}

/// Adds the body of a step, under the name `schema_name`.
fn with_step_body<T: RequestBody + JsonSchema>(
    operation: OperationSpec,
    schema_name: &'static str,
    example: Value,
) -> OperationSpec {
    let (media, examples): (&[_], _) = (&["application/json"], vec![("example", example)]);
    let schema = (schema_name, request_schema::<T>());
    operation
        .with_body(RequestBodySpec { media, required: T::REQUIRED, schema, examples })
        .with_errors([AdminError::invalid("reason", "must be a string")])
        .with_body_errors(JSON_TYPE_REQUIRED)
}

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

/// A secret of a kind of client.
fn with_new_secret(operation: OperationSpec, kind: &'static str) -> OperationSpec {
    operation
        .with_description("After the response the previous secret and the tokens of the client itself are invalid. Connections remain active.")
        .with_json_response::<SecretIssued>(200, "The new secret, which cannot be retrieved later", json!({"client_id": "dc-…", "client_secret": "…"}))
        .with_not_found(kind)
}

fn recipients() -> Vec<OperationSpec> {
    const ALL: &str = "/admin/v1/recipients";
    const ONE: &str = "/admin/v1/recipients/{client_id}";
    let row = |method, path, id, summary| new_operation("Recipients", method, path, id, summary);
    let with_recipient = |operation: OperationSpec| {
        operation
            .with_json_response::<AdminRecipientBody>(200, "The recipient", recipient_example())
            .with_not_found("recipient")
    };
    let uris = json!({"redirect_uris": ["https://acme.example.org/back"]});
    vec![
        row(Method::GET, ALL, "listRecipients", "List recipients").with_list::<AdminRecipientBody>(
            [id_filter("partner", "The id of the partner."), enum_filter::<ClientState>("state", "The state.")],
            &recipient_example(),
        ),
        row(Method::POST, ALL, "createRecipient", "Create a recipient")
            .with_description("Creates a recipient with or without a partner. It has no registrations yet.")
            .with_json_body(
                "NewRecipient",
                request_schema::<CreateRecipientRequest>(),
                new_recipient_example(),
            )
            .with_json_response::<RecipientCreated>(
                201,
                "The recipient and its secret",
                json!({"recipient": recipient_example(), "client_secret": "…"}),
            )
            .with_errors([AdminError::invalid("scope", "must include ACCOUNT_BASIC")])
            .with_body_errors(JSON_TYPE_REQUIRED),
        with_recipient(row(Method::GET, ONE, "getRecipient", "Get a recipient")),
        with_recipient(row(Method::PUT, ONE, "updateRecipient", "Replace the redirect URIs of a recipient"))
            .with_json_body("RedirectUris", request_schema::<UpdateRecipientRequest>(), uris)
            .with_errors([AdminError::invalid("redirect_uris", "is missing")])
            .with_body_errors(JSON_TYPE_REQUIRED),
        row(Method::DELETE, ONE, "removeRecipient", "Remove a recipient")
            .with_description(
                "Removes the recipient permanently and ends all its connections. The providers are notified in the background. The call can be repeated safely.",
            )
            .with_dry_run()
            .with_json_response::<RecipientRemoved>(
                200,
                "The outcome",
                json!({"connections": 2, "outcome": "removed"}),
            )
            .with_not_found("recipient"),
        with_new_secret(
            row(
                Method::POST,
                "/admin/v1/recipients/{client_id}/secret",
                "regenerateRecipientSecret",
                "Regenerate the secret of a recipient",
            ),
            "recipient",
        ),
        with_recipient(row(
            Method::POST,
            "/admin/v1/recipients/{client_id}/suspend",
            "suspendRecipient",
            "Suspend a recipient",
        ))
        .with_description("While suspended, tokens and data are refused. Connections remain, and revoking works."),
        with_recipient(row(
            Method::POST,
            "/admin/v1/recipients/{client_id}/reinstate",
            "reinstateRecipient",
            "Reinstate a recipient",
        )),
    ]
}

fn partners() -> Vec<OperationSpec> {
    const ALL: &str = "/admin/v1/partners";
    let row = |method, path, id, summary| new_operation("Partners", method, path, id, summary);
    let partner = || json!({"client_id": "dc-…", "name": "Flinks Fake", "state": "active", "created_at": "2026-11-24T12:00:00.000Z"});
    let with_partner = |operation: OperationSpec| {
        operation.with_json_response::<PartnerBody>(200, "The partner", partner()).with_not_found("partner")
    };
    vec![
        row(Method::GET, ALL, "listPartners", "List partners")
            .with_list::<PartnerBody>([], &partner()),
        row(Method::POST, ALL, "createPartner", "Create a partner")
            .with_json_body(
                "NewPartner",
                request_schema::<CreatePartnerRequest>(),
                json!({"name": "Flinks Fake"}),
            )
            .with_json_response::<PartnerCreated>(
                201,
                "The partner and its secret",
                json!({"partner": partner(), "client_secret": "…"}),
            )
            .with_errors([AdminError::invalid("name", "is missing")])
            .with_body_errors(JSON_TYPE_REQUIRED),
        with_partner(row(Method::GET, "/admin/v1/partners/{client_id}", "getPartner", "Get a partner")),
        with_new_secret(
            row(
                Method::POST,
                "/admin/v1/partners/{client_id}/secret",
                "regeneratePartnerSecret",
                "Regenerate the secret of a partner",
            ),
            "partner",
        ),
        with_partner(row(
            Method::POST,
            "/admin/v1/partners/{client_id}/suspend",
            "suspendPartner",
            "Suspend a partner",
        ))
        .with_description("The recipients of the partner and their connections are not affected."),
        with_partner(row(
            Method::POST,
            "/admin/v1/partners/{client_id}/reinstate",
            "reinstatePartner",
            "Reinstate a partner",
        )),
    ]
}
