//! The routes of the partner API with their OpenAPI documentation.

use domain::error::OAuthCode;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::wire::{
    ConnectionBody, ConnectionsBody, ProviderBody, ProviderDetailBody, ProviderV2Body, RecipientBody,
    RegistrationBody, RejectedPairsBody, SecretBody,
};
use super::{CreateDataRecipientRequest, UpdateDataRecipientRequest, http};
use crate::http::Route;
use crate::oauth::operations::{
    ANY_CLIENT_SECURITY, FlinksOperationExt, PARTNER_SECURITY, RECIPIENT_SECURITY,
};
use crate::operation::{ContentSpec, OperationSpec, OperationTag, ResponseSpec, request_schema, schema_fn};
use crate::recipients::TOO_MANY_RECIPIENTS;

/// Returns all routes of the partner API, each with its OpenAPI documentation.
pub(crate) fn routes() -> Vec<Route> {
    [recipients(), registrations(), providers(), connections()].into_iter().flatten().collect()
}

fn connections() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Connections");
    let one = json!({"connection_id": "con_…", "client_id": "dc-…", "provider_id": 1000, "state": "active",
        "scope": "ACCOUNT_BASIC", "created_at": "2026-11-24T12:00:00.000Z",
        "activated_at": "2026-11-24T12:00:01.000Z", "expires_at": "2027-11-24T12:00:00.000Z"});
    let described = |operation: OperationSpec| {
        let is_own = !operation.path.contains("{client_id}");
        let security = if is_own { RECIPIENT_SECURITY } else { PARTNER_SECURITY };
        operation.with_client_auth(security)
    };
    let with_connection_page = |operation: OperationSpec| {
        operation
            .with_paging()
            .with_json_response::<ConnectionsBody<'static>>(
                200,
                "A page of connections, newest first",
                json!({"page": {}, "links": {}, "connections": [one]}),
            )
            .with_internal_errors()
    };
    let with_connection = |operation: OperationSpec| {
        operation
            .with_json_response::<ConnectionBody<'static>>(200, "The connection", one.clone())
            .with_unknown_connection()
    };
    let with_end_response = |operation: OperationSpec| {
        operation
            .with_description(
                "After the response no token of the connection is accepted; the data provider is notified \
                 in the background. The call can be repeated safely.",
            )
            .with_empty_response(204, "The connection has ended", &[])
            .with_unknown_connection()
    };
    let own = "/api/v1/connections/{connection_id}";
    let (list, nested) = (
        "/api/v1/recipients/{client_id}/connections",
        "/api/v1/recipients/{client_id}/connections/{connection_id}",
    );
    vec![
        with_connection_page(described(TAG.get(http::OWN_CONNECTIONS, "listConnections", "Get Connections")))
            .route(http::list_own_connections),
        with_connection(described(TAG.get(own, "getConnection", "Get Connection")))
            .route(http::show_own_connection),
        with_end_response(described(TAG.delete(own, "endConnection", "End Connection")))
            .route(http::end_own_connection),
        with_connection_page(described(TAG.get(
            list,
            "listRecipientConnections",
            "Get Data Recipient Connections",
        )))
        .with_unknown_recipient()
        .route(http::list_connections),
        with_connection(described(TAG.get(
            nested,
            "getRecipientConnection",
            "Get Data Recipient Connection",
        )))
        .with_unknown_recipient()
        .route(http::show_connection),
        with_end_response(described(TAG.delete(
            nested,
            "endRecipientConnection",
            "End Data Recipient Connection",
        )))
        .with_unknown_recipient()
        .route(http::end_connection),
    ]
}

const RECIPIENTS_TAG: OperationTag = OperationTag("Data recipients");

fn recipient_list() -> Route {
    RECIPIENTS_TAG
        .get(http::RECIPIENTS, "listDataRecipients", "Get All Data Recipients")
        .with_client_auth(PARTNER_SECURITY)
        .with_internal_errors()
        .with_description("A suspended partner may list its data recipients too, to end their connections.")
        .with_array_paging()
        .with_responses([array_response::<RecipientBody<'static>>(
            "The data recipients of this partner, the oldest first",
            json!([{"client_id": "dc-…", "name": "Flinks Fake", "contacts": []}]),
        )])
        .route(http::list_recipients)
}

fn recipients() -> Vec<Route> {
    const TAG: OperationTag = RECIPIENTS_TAG;
    let (all, one) = (http::RECIPIENTS, "/api/v1/recipients/{client_id}");
    let recipient_example = |with_secret: bool| {
        let mut shown = new_recipient_example();
        shown["client_id"] = "dc-…".into();
        if with_secret {
            shown["client_secret"] = "…".into();
        }
        shown
    };
    let described = |operation: OperationSpec| {
        operation.with_client_auth(PARTNER_SECURITY).with_suspended_error().with_internal_errors()
    };
    vec![
        described(TAG.post(all, "createDataRecipient", "Create Data Recipient"))
            .with_json_body(
                "NewDataRecipient",
                request_schema::<CreateDataRecipientRequest>,
                new_recipient_example(),
            )
            .with_json_response::<RecipientBody<'static>>(
                200,
                "The data recipient and its secret",
                recipient_example(true),
            )
            .with_oauth_errors([
                (OAuthCode::InvalidRequest, "name must be 1 to 256 characters of text"),
                (OAuthCode::InvalidRequest, "scope must include ACCOUNT_BASIC"),
                (OAuthCode::InvalidRequest, TOO_MANY_RECIPIENTS),
            ])
            .with_body_errors("The content type must be application/json")
            .route(http::create_recipient),
        recipient_list(),
        described(TAG.get(one, "getDataRecipient", "Get Data Recipient Details"))
            .with_json_response::<RecipientBody<'static>>(200, "The data recipient", recipient_example(false))
            .with_unknown_recipient()
            .route(http::show_recipient),
        described(TAG.put(one, "updateDataRecipient", "Update Data Recipient"))
            .with_description("Replaces the redirect URIs. Other members are ignored.")
            .with_json_body(
                "RedirectUris",
                request_schema::<UpdateDataRecipientRequest>,
                json!({"redirect_uris": ["https://fake.example.org/back"]}),
            )
            .with_json_response::<RecipientBody<'static>>(200, "The data recipient", recipient_example(false))
            .with_oauth_errors([(OAuthCode::InvalidRequest, "redirect_uris is missing")])
            .with_body_errors("The content type must be application/json")
            .with_unknown_recipient()
            .route(http::update_recipient),
        described(TAG.delete(one, "deleteDataRecipient", "Delete Data Recipient"))
            .with_description(
                "Removes the data recipient permanently and ends all its connections. The data providers \
                 are notified in the background. The call can be repeated safely.",
            )
            .with_empty_response(204, "The data recipient is removed", &[])
            .with_unknown_recipient()
            .route(http::remove_recipient),
        described(TAG.post(
            "/api/v1/recipients/{client_id}/secret",
            "regenerateDataRecipientSecret",
            "Regenerate Data Recipient Secret",
        ))
        .with_description(
            "After the response the previous secret and the tokens of the client itself are invalid. \
             Connections remain active.",
        )
        .with_json_response::<SecretBody<'static>>(
            200,
            "The secret",
            json!({"client_id": "dc-…", "client_secret": "…"}),
        )
        .with_unknown_recipient()
        .route(http::rotate_secret),
    ]
}

/// Documents a page of a list that is an array.
fn array_response<T: JsonSchema>(description: &'static str, example: Value) -> ResponseSpec {
    let content = ContentSpec::Json("application/json", schema_fn::<Vec<T>>());
    ResponseSpec { status: 200, description, content, example: Some(example), headers: &["link"] }
}

fn new_recipient_example() -> Value {
    json!({
        "name": "Flinks Fake", "description": "Description of Flinks Fake", "country": "CA",
        "scope": "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS",
        "redirect_uris": ["https://fake.example.org/callback"],
        "logo_uri": "https://fake.example.org/logo.png", "terms_uri": "https://fake.example.org/terms",
        "client_uri": "https://fake.example.org", "contacts": [{"email": "john.doe@fake.example.org"}],
    })
}

fn registrations() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Registrations");
    let one = json!({"client_id": "dc-…", "client_name": "Flinks Fake", "provider_id": 1000,
        "provider_name": "Maple Trust", "country": "CA", "registration_status": "PENDING_APPROVAL",
        "requested_on": "2026-11-24T14:24:42.6055680Z"});
    let described = |operation: OperationSpec| {
        operation.with_client_auth(PARTNER_SECURITY).with_suspended_error().with_internal_errors()
    };
    let with_registrations = |operation: OperationSpec| {
        operation.with_json_response::<Vec<RegistrationBody<'static>>>(
            200,
            "The status of each registration",
            json!([one]),
        )
    };
    let with_registration_page = |operation: OperationSpec| {
        operation.with_array_paging().with_responses([array_response::<RegistrationBody<'static>>(
            "The status of each registration",
            json!([one]),
        )])
    };
    let pair = |status, message: &'static str| ResponseSpec {
        status,
        description: "Some pairs are invalid; nothing was requested",
        content: ContentSpec::Json("application/json", schema_fn::<RejectedPairsBody<'static>>()),
        example: Some(
            json!({"error": "invalid_request", "error_description": format!("{message} (bad pairs: 1)"),
            "pairs": [{"client_id": "dc-…", "provider_id": 1000, "error_description": message}]}),
        ),
        headers: &[],
    };
    vec![
        with_registrations(described(TAG.post(
            "/api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}",
            "requestRegistrations",
            "Request Data Provider Registrations",
        )))
        .with_description(
            "Requests the registration of each data recipient with each data provider, all-or-nothing.",
        )
        .with_oauth_errors([(OAuthCode::InvalidRequest, "provider_ids[0] must be a positive integer")])
        .with_responses([
            pair(400, "provider_id names no provider of this hub"),
            pair(404, "client_id names no data recipient of this partner"),
            pair(409, "This registration was requested before and is PENDING_APPROVAL"),
        ])
        .route(http::request_registrations),
        with_registration_page(described(TAG.get(
            http::ALL_REGISTRATIONS,
            "listRegistrations",
            "Get Registration Status of All Data Recipients",
        )))
        .route(http::list_all_registrations),
        with_registration_page(described(TAG.get(
            "/api/v1/recipients/{client_id}/providers/requests",
            "listRecipientRegistrations",
            "Get Registration Status of a Data Recipient",
        )))
        .with_unknown_recipient()
        .route(http::list_registrations),
        described(TAG.get(
            "/api/v1/recipients/{client_id}/providers/{provider_id}",
            "getRegistration",
            "Get Registration Details",
        ))
        .with_json_response::<RegistrationBody<'static>>(200, "The registration", one.clone())
        .with_not_found("This data recipient has no registration with the provider")
        .with_unknown_recipient()
        .route(http::show_registration),
    ]
}

fn providers() -> Vec<Route> {
    const TAG: OperationTag = OperationTag("Data providers");
    let one = json!({"provider_id": 1000, "name": "Maple Trust", "country": "CA"});
    let with_details = |more: Value| {
        let mut merged = one.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            merged[name] = value.clone();
        }
        merged
    };
    let described = |operation: OperationSpec, security| {
        operation.with_client_auth(security).with_suspended_error().with_internal_errors()
    };
    let second = json!({"scopes": ["ACCOUNT_BASIC"], "status": "Activated", "connectorName": "fdx",
        "availableAccountTypes": {"deposits": "true", "investments": "false", "loans": "true", "locs": "true"}});
    let detail = json!({"provider_url": "https://maple.example.org", "scopes": ["ACCOUNT_BASIC"],
        "data_inventory": {"account": [], "customers": ["customerId"], "detailed_accounts": [],
            "lightweight_accounts": ["accounts.depositAccount.accountId"], "payments": [], "transactions": []}});
    let all = "/api/v1/providers";
    vec![
        described(
            TAG.get(all, "listSupportedDataProviders", "Get Supported Data Providers"),
            ANY_CLIENT_SECURITY,
        )
        .with_description(
            "Returns the catalogue to a partner, and to a data recipient the providers with which it has \
             an active registration.",
        )
        .with_json_response::<Vec<ProviderBody<'static>>>(200, "Data providers", json!([one]))
        .route(http::list_providers),
        described(
            TAG.get("/api/v1/authorize/providers", "listActiveDataProviders", "Get Active Data Providers"),
            RECIPIENT_SECURITY,
        )
        .with_json_response::<Vec<ProviderBody<'static>>>(
            200,
            "The data providers with an active registration",
            json!([one]),
        )
        .route(http::list_own_providers),
        described(
            TAG.get("/api/v1/providers/{provider_id}", "getDataProvider", "Get Data Provider Details"),
            PARTNER_SECURITY,
        )
        .with_json_response::<ProviderDetailBody<'static>>(200, "The data provider", with_details(detail))
        .with_not_found("provider_id names no provider of this hub")
        .route(http::show_provider),
        described(
            TAG.get("/api/v2/providers", "listActiveDataProvidersV2", "List Active Data Providers V2"),
            ANY_CLIENT_SECURITY,
        )
        .with_query(
            "country",
            "Comma-separated countries: CA, US.",
            json!({"type": "string", "pattern": "^((CA|US)?(,(CA|US)?)*)$"}),
        )
        .with_query(
            "isEnabledForClient",
            "Selects providers with (`true`) or without (`false`) an active registration.",
            json!({"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])?$"}),
        )
        .with_json_response::<Vec<ProviderV2Body<'static>>>(
            200,
            "Data providers",
            json!([with_details(second)]),
        )
        .with_oauth_errors([(OAuthCode::InvalidRequest, "country must be CA, US or CA,US")])
        .route(http::list_providers_v2),
    ]
}
