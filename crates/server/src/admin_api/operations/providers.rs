//! The routes for providers and registrations, with their OpenAPI documentation.

use domain::id::{ClientId, ProviderId};
use domain::model::operator::Role;
use domain::model::registration::{RegistrationState, RegistrationStep, RegistrationTransitionError};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::common::{
    AdminOperationExt, JSON_TYPE_REQUIRED, enum_filter, id_filter, merge_objects, provider_filter,
};
use crate::admin_api::provider_changes::{
    self, FROM_CONFIGURATION, ProviderUpdate, ReplaceSecretsRequest, UpdateProviderRequest,
};
use crate::admin_api::providers::{
    self, AddProviderRequest, AdminProviderBody, ProviderDetail, ProviderTest,
};
use crate::admin_api::registrations::{
    self, ActivateRegistrationRequest, AdminRegistrationBody, RejectRegistrationRequest,
    RequestRegistrationsRequest, RequestedRegistrations, SuspendRegistrationRequest,
};
use crate::admin_api::{AdminError, http};
use crate::http::Route;
use crate::operation::{OperationSpec, OperationTag, RequestBodySpec, request_schema};
use crate::recipients::RegistrationPair;
use crate::request::RequestBody;

fn provider_example() -> Value {
    json!({"id": 1000, "name": "Maple Trust", "country": "CA", "state": "active", "source": "api", "expiry": "running"})
}

fn settings_example() -> Value {
    json!({"name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example.org/authorize",
        "token_endpoint": "https://maple.example.org/token",
        "revocation_endpoint": "https://maple.example.org/revoke", "client_id": "hub",
        "auth": "client_secret_basic", "fdx": {"base_url": "https://maple.example.org/fdx/v5", "version": "5"},
        "scopes": {"ACCOUNT_BASIC": "accounts", "TRANSACTIONS": "transactions"}, "consent_shown_by": "hub",
        "grant_scope": "per_token", "customer_identity": "none", "revoke": ["rfc7009"]})
}

fn detail_example() -> Value {
    merge_objects(
        provider_example(),
        json!({
            "settings": settings_example(),
            "endpoints": {"authorization_endpoint": "https://maple.example.org/authorize",
                "token_endpoint": "https://maple.example.org/token",
                "revocation_endpoint": "https://maple.example.org/revoke"},
            "dropped_fields": [
                {"path": "accounts[].loanAccount.originatingDate", "reason": "unreadable", "count": 12},
            ],
            "observed_responses": [
                {"call": "transactions", "observed_at": "2026-11-24T06:00:00.000Z", "fdx_version": "5", "elements": 25,
                    "has_next_page": true, "dates": ["postedTimestamp: date-time"], "absent_members": ["description: 2"]},
            ],
        }),
    )
}

pub(super) fn providers() -> Vec<Route> {
    const ALL: &str = "/admin/v1/providers";
    const TAG: OperationTag = OperationTag("Providers");
    let (one, test) = ("/admin/v1/providers/{provider_id}", "/admin/v1/providers/{provider_id}/test");
    let detail = detail_example();
    let with_provider = |operation: OperationSpec| {
        operation
            .with_json_response::<ProviderDetail>(200, "The provider", detail.clone())
            .with_not_found("provider")
    };
    let checks = json!({"ok": true, "checks": [
        {"name": "token", "verdict": "passed", "ok": true, "detail": "HTTP 400 invalid_grant: the client is accepted",
            "change": null},
        {"name": "revoke", "verdict": "warning", "ok": true,
            "detail": "no method is set, so tokens of ended connections stay valid at the provider",
            "change": "set revoke = [\"rfc7009\"]"},
    ]});
    vec![
        TAG.get(ALL, "listProviders", "List providers")
            .with_list::<AdminProviderBody>([], &provider_example())
            .route(Role::Viewer, http::list(providers::list)),
        TAG.post(ALL, "addProvider", "Add a provider")
            .with_description(
                "Accepts the settings of `[[provider]]` in the configuration, with the secret itself, \
                 which is stored sealed. Providers from the configuration cannot be changed here.",
            )
            .with_json_body(
                "NewProvider",
                request_schema::<AddProviderRequest>,
                merge_objects(
                    settings_example(),
                    json!({"id": 1000, "client_secret": "the-hubs-secret-there"}),
                ),
            )
            .with_json_response::<ProviderDetail>(201, "The provider", detail.clone())
            .with_errors([AdminError::invalid("fdx.base_url", "expected an https URL")])
            .with_conflict("A provider with this id exists already")
            .with_body_errors(JSON_TYPE_REQUIRED)
            .route(Role::Admin, http::create(providers::add)),
        with_provider(TAG.get(one, "getProvider", "Get a provider"))
            .route(Role::Viewer, http::show(providers::show)),
        TAG.post(test, "testProvider", "Test a provider")
            .with_description(
                "Calls the provider's endpoints to check what a connection needs, compares the settings with the metadata \
                 of its issuer, and names what to change. Nothing is changed in the hub. At the provider, a pushed \
                 authorization request expires unused.",
            )
            .with_json_response::<ProviderTest>(200, "The results of the checks", checks)
            .with_not_found("provider")
            .route(Role::Operator, http::test_provider),
        with_provider(TAG.post(
            "/admin/v1/providers/{provider_id}/pause",
            "pauseProvider",
            "Pause a provider",
        ))
        .with_description(
            "While paused, no data is read, no connection is opened, and no connection ends because of the \
             provider. Revoking works.",
        )
        .route(Role::Operator, http::act(providers::pause)),
        with_provider(TAG.post(
            "/admin/v1/providers/{provider_id}/release",
            "releaseProvider",
            "Release a paused provider",
        ))
        .with_description("Also lets connections end by expiry again, if `expiry` is `braked`.")
        .route(Role::Operator, http::act(providers::release)),
        with_provider(TAG.post(
            "/admin/v1/providers/{provider_id}/retire",
            "retireProvider",
            "Retire a provider",
        ))
        .with_description("Like a pause, and registrations with the provider are rejected too, until an operator releases it.")
        .route(Role::Operator, http::act(providers::retire)),
    ]
}

pub(super) fn provider_changes() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Providers");
    let update = json!({
        "outcome": "updated", "changed": ["token_endpoint"],
        "endpoints": [
            {"member": "token_endpoint", "old_host": "maple.example.org", "new_host": "id.maple.example.org"},
        ],
        "keeps_former_endpoints": true, "provider": detail_example(),
    });
    vec![
        TAG.put(
            "/admin/v1/providers/{provider_id}",
            "updateProvider", "Change the settings of a provider")
            .with_description(
                "Replaces all settings. A secret that the request does not contain stays as it is; `null` removes it. \
                 `secret_headers` are replaced together. Operations that are running finish with the former settings. \
                 After a change of the client, the issuer or another endpoint, grants that the former endpoints issued are \
                 revoked there. Providers from the configuration cannot be changed here.",
            )
            .with_dry_run()
            .with_json_body("ProviderSettingsUpdate", request_schema::<UpdateProviderRequest>, settings_example())
            .with_json_response::<ProviderUpdate>(200, "The change", update.clone())
            .with_not_found("provider")
            .with_errors([AdminError::invalid("fdx.base_url", "expected an https URL")])
            .with_conflict(FROM_CONFIGURATION)
            .with_body_errors(JSON_TYPE_REQUIRED)
            .route(Role::Admin, http::update_provider),
        TAG.post(
            "/admin/v1/providers/{provider_id}/secret",
            "replaceProviderSecrets",
            "Replace secrets of a provider",
        )
        .with_description(
            "Replaces the secret of the hub's client, its keys, or other secrets. Those that the request does not \
             contain stay as they are. A new secret is used for the next call. Secrets of providers from the \
             configuration are in its files.",
        )
        .with_json_body(
            "ProviderSecrets",
            request_schema::<ReplaceSecretsRequest>,
            json!({"client_secret": "the-new-secret"}),
        )
        .with_json_response::<ProviderUpdate>(200, "The change", update)
        .with_not_found("provider")
        .with_errors([AdminError::invalid("client_secret", "expected this or another secret")])
        .with_conflict(FROM_CONFIGURATION)
        .with_body_errors(JSON_TYPE_REQUIRED)
        .route(Role::Admin, http::act_with_body(provider_changes::replace_secrets)),
    ]
}

fn registration_example() -> Value {
    json!({"client_id": "dc-…", "client_name": "Acme Budget", "provider_id": 1000, "provider_name": "Maple Trust",
        "partner": "dc-…", "state": "pending_approval", "reason": null, "requested_at": "2026-11-24T12:00:00.000Z"})
}

fn rejected_pairs(message: &str) -> Vec<(RegistrationPair, String)> {
    let pair =
        |client_id| (RegistrationPair { client_id, provider_id: ProviderId::new(1000) }, message.to_owned());
    "dc-acme".parse::<ClientId>().ok().map(pair).into_iter().collect()
}

pub(super) fn registrations() -> Vec<Route> {
    const ALL: &str = "/admin/v1/registrations";
    const TAG: OperationTag = OperationTag("Registrations");
    let one = "/admin/v1/registrations/{client_id}/{provider_id}";
    vec![
        TAG.get(ALL, "listRegistrations", "List registrations")
            .with_list::<AdminRegistrationBody>(
                [
                    id_filter("client_id", "The recipient's id."),
                    provider_filter(),
                    id_filter("partner", "The id of the partner whose recipients are listed."),
                    enum_filter::<RegistrationState>("state", "The state."),
                ],
                &registration_example(),
            )
            .route(Role::Viewer, http::list(registrations::list)),
        TAG.post(ALL, "requestRegistrations", "Request registrations")
            .with_description(
                "Requests the registration of each recipient with each provider, all-or-nothing.",
            )
            .with_json_body(
                "RegistrationRequest",
                request_schema::<RequestRegistrationsRequest>,
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
            .with_body_errors(JSON_TYPE_REQUIRED)
            .route(Role::Operator, http::request_registrations),
        TAG.get(one, "getRegistration", "Get a registration")
            .with_json_response::<AdminRegistrationBody>(200, "The registration", registration_example())
            .with_not_found("registration")
            .route(Role::Viewer, http::show(registrations::show)),
    ]
}

pub(super) fn registration_steps() -> Vec<Route> {
    let step_operation = |step: RegistrationStep, path, id, summary| {
        OperationTag("Registrations")
            .post(path, id, summary)
            .with_json_response::<AdminRegistrationBody>(200, "The registration", registration_example())
            .with_not_found("registration")
            .with_conflict(
                RegistrationTransitionError { state: RegistrationState::Rejected, step }.to_string(),
            )
    };
    let reason = || json!({"reason": "The contract has ended."});
    let upstream_client =
        json!({"upstream_client_id": "acme-at-maple", "upstream_client_secret": "its-secret-there"});
    vec![
        step_operation(
            RegistrationStep::Approve,
            "/admin/v1/registrations/{client_id}/{provider_id}/approve",
            "approveRegistration",
            "Approve a registration",
        )
        .with_description("The registration then waits for its activation by the operator or the provider.")
        .route(Role::Operator, http::act(registrations::approve)),
        with_step_body::<ActivateRegistrationRequest>(
            step_operation(
                RegistrationStep::Activate,
                "/admin/v1/registrations/{client_id}/{provider_id}/activate",
                "activateRegistration",
                "Activate a registration",
            ),
            "Activation",
            upstream_client,
        )
        .with_description(
            "Confirms that the provider has set up the recipient. If the provider has a client for each \
             registration, its id is required, and its secret unless the hub is an aggregator there.",
        )
        .route(Role::Operator, http::act_with_body(registrations::activate)),
        with_step_body::<RejectRegistrationRequest>(
            step_operation(
                RegistrationStep::Reject,
                "/admin/v1/registrations/{client_id}/{provider_id}/reject",
                "rejectRegistration",
                "Reject a registration",
            ),
            "Rejection",
            reason(),
        )
        .route(Role::Operator, http::act_with_body(registrations::reject)),
        with_step_body::<SuspendRegistrationRequest>(
            step_operation(
                RegistrationStep::Suspend,
                "/admin/v1/registrations/{client_id}/{provider_id}/suspend",
                "suspendRegistration",
                "Suspend a registration",
            ),
            "Suspension",
            reason(),
        )
        .with_description(
            "While suspended, no data is read and no connection is opened. Existing connections do not \
             end.",
        )
        .route(Role::Operator, http::act_with_body(registrations::suspend)),
        step_operation(
            RegistrationStep::Reinstate,
            "/admin/v1/registrations/{client_id}/{provider_id}/reinstate",
            "reinstateRegistration",
            "Reinstate a registration",
        )
        .route(Role::Operator, http::act(registrations::reinstate)),
    ]
}

/// Adds the request body of a registration step and its errors. `schema_name` is the name of its schema.
fn with_step_body<T: RequestBody + JsonSchema>(
    operation: OperationSpec,
    schema_name: &'static str,
    example: Value,
) -> OperationSpec {
    let (media, examples): (&[_], _) = (&["application/json"], vec![("example", example)]);
    let schema: (_, fn() -> Value) = (schema_name, request_schema::<T>);
    operation
        .with_body(RequestBodySpec { media, required: T::REQUIRED, schema, examples })
        .with_errors([AdminError::invalid("reason", "must be a string")])
        .with_body_errors(JSON_TYPE_REQUIRED)
}
