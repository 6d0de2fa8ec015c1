//! Data recipients, their registrations and connections, and data providers.

use domain::DataCluster;
use domain::error::OAuthCode;
use http::Method;
use serde_json::{Value, json};

use super::super::operation::{Answer, Content, Operation, one_of, shape};
use super::authorization::scope_schema;
use super::{EITHER, OfClients, PARTNER, RECIPIENT};
use crate::manage::wire::{
    ConnectionBody, ConnectionsBody, DetailBody, PairsBody, ProviderBody, RecipientBody, RegistrationBody,
    SecondBody, SecretBody,
};

pub(super) fn connections() -> Vec<Operation> {
    let one = json!({"connection_id": "con_…", "client_id": "dc-…", "provider_id": 1000, "state": "active",
        "scope": "ACCOUNT_BASIC", "created_at": "2026-11-24T12:00:00.000Z",
        "activated_at": "2026-11-24T12:00:01.000Z", "expires_at": "2027-11-24T12:00:00.000Z"});
    let row = |method, path, id, summary| {
        let own = !str::contains(path, "{client_id}");
        let security = if own { RECIPIENT } else { PARTNER };
        Operation::new(method, path, id, summary).below("Connections").of_clients(security)
    };
    let listed = |operation: Operation| {
        operation
            .paged()
            .gives::<ConnectionsBody<'static>>(
                200,
                "A page of connections, the newest first",
                json!({"page": {}, "links": {}, "connections": [one]}),
            )
            .troubled()
    };
    let shown = |operation: Operation| {
        operation.gives::<ConnectionBody<'static>>(200, "The connection", one.clone()).unknown_connection()
    };
    let ended = |operation: Operation| {
        operation
            .says("No token of it is good once this is answered, and the bank is told. Repeating it is harmless.")
            .gives_nothing(204, "The connection has ended", &[])
            .unknown_connection()
    };
    let own = "/api/v1/connections/{connection_id}";
    let (list, under) = (
        "/api/v1/recipients/{client_id}/connections",
        "/api/v1/recipients/{client_id}/connections/{connection_id}",
    );
    vec![
        listed(row(Method::GET, "/api/v1/connections", "listConnections", "Get Connections")),
        shown(row(Method::GET, own, "getConnection", "Get Connection")),
        ended(row(Method::DELETE, own, "endConnection", "End Connection")),
        listed(row(Method::GET, list, "listRecipientConnections", "Get Data Recipient Connections"))
            .unknown_recipient(),
        shown(row(Method::GET, under, "getRecipientConnection", "Get Data Recipient Connection"))
            .unknown_recipient(),
        ended(row(Method::DELETE, under, "endRecipientConnection", "End Data Recipient Connection"))
            .unknown_recipient(),
    ]
}

pub(super) fn recipients() -> Vec<Operation> {
    let (all, one) = ("/api/v1/recipients", "/api/v1/recipients/{client_id}");
    let shown = |secret: bool| {
        let mut shown = new_recipient();
        shown["client_id"] = "dc-…".into();
        if secret {
            shown["client_secret"] = "…".into();
        }
        shown
    };
    let row = |method, path, id, summary| {
        Operation::new(method, path, id, summary)
            .below("Data recipients")
            .of_clients(PARTNER)
            .held_with_its_client()
    };
    let uris =
        json!({"type": "object", "required": ["redirect_uris"], "properties": {"redirect_uris": uris()}});
    let listed = json!([{"client_id": "dc-…", "name": "Flinks Fake", "contacts": []}]);
    vec![
        row(Method::POST, all, "createDataRecipient", "Create Data Recipient")
            .takes("NewDataRecipient", recipient_schema(), new_recipient())
            .gives::<RecipientBody<'static>>(200, "The data recipient, with its secret", shown(true))
            .refuses([
                (OAuthCode::InvalidRequest, "name must be 1 to 256 characters of text"),
                (OAuthCode::InvalidRequest, "scope must include ACCOUNT_BASIC"),
            ])
            .reads_a_body("The content type must be application/json"),
        row(Method::GET, all, "listDataRecipients", "Get All Data Recipients")
            .gives::<Vec<RecipientBody<'static>>>(200, "The data recipients of this partner", listed),
        row(Method::GET, one, "getDataRecipient", "Get Data Recipient Details")
            .gives::<RecipientBody<'static>>(200, "The data recipient", shown(false))
            .unknown_recipient(),
        row(Method::PUT, one, "updateDataRecipient", "Update Data Recipient")
            .says("The redirect URIs take the place of the former ones.")
            .takes("RedirectUris", uris, json!({"redirect_uris": ["https://fake.example.org/back"]}))
            .gives::<RecipientBody<'static>>(200, "The data recipient", shown(false))
            .refuses([(OAuthCode::InvalidRequest, "redirect_uris is missing")])
            .reads_a_body("The content type must be application/json")
            .unknown_recipient(),
        row(Method::DELETE, one, "deleteDataRecipient", "Delete Data Recipient")
            .says("From now on it can do nothing, and all its connections end, each with its bank told.")
            .gives_nothing(204, "The data recipient is gone", &[])
            .unknown_recipient(),
        row(
            Method::POST,
            "/api/v1/recipients/{client_id}/secret",
            "regenerateDataRecipientSecret",
            "Regenerate Data Recipient Secret",
        )
        .says("The former secret is void once this is answered.")
        .gives::<SecretBody<'static>>(200, "The secret", json!({"client_id": "dc-…", "client_secret": "…"}))
        .unknown_recipient(),
    ]
    .into_iter()
    .map(Operation::troubled)
    .collect()
}

fn new_recipient() -> Value {
    json!({
        "name": "Flinks Fake", "description": "Description of Flinks Fake", "country": "CA",
        "scope": "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS",
        "redirect_uris": ["https://fake.example.org/callback"],
        "logo_uri": "https://fake.example.org/logo.png", "terms_uri": "https://fake.example.org/terms",
        "client_uri": "https://fake.example.org", "contacts": [{"email": "john.doe@fake.example.org"}],
    })
}

/// One text, in which spaces part the URIs, or an array of texts.
fn uris() -> Value {
    let one = || json!({"type": "string", "format": "uri", "pattern": "^https?://[^#]*$", "maxLength": 2000});
    json!({"oneOf": [one(), {"type": "array", "items": one(), "minItems": 1, "maxItems": 100, "uniqueItems": true}],
        "description": "HTTPS, without a fragment; HTTP on loopback in a sandbox."})
}

fn recipient_schema() -> Value {
    let link = |description: &str| {
        json!({"type": ["string", "null"], "pattern": "^(https://.*)?$", "maxLength": 2000,
            "description": description})
    };
    let word = || one_of(DataCluster::ALL.map(DataCluster::as_str));
    let words = json!({"type": "array", "items": word(), "contains": {"const": "ACCOUNT_BASIC"}});
    json!({
        "type": "object",
        "required": ["name", "scope", "redirect_uris"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 256, "description": "Exactly as customers should see it."},
            "scope": {"oneOf": [scope_schema(), words], "description": "The most that it may ask for."},
            "redirect_uris": uris(),
            "description": {"type": ["string", "null"], "maxLength": 512, "description": "What customers read as the purpose."},
            "country": {"type": ["string", "null"], "enum": ["CA", "US", "", null]},
            "logo_uri": link("Its logo."),
            "terms_uri": link("The terms between the customer and it."),
            "client_uri": link("Its site."),
            "contacts": {
                "type": ["array", "null"], "maxItems": 20,
                "items": {"type": "object", "required": ["email"], "properties": {"email": {"type": "string", "format": "email"}}},
            },
        },
    })
}

pub(super) fn registrations() -> Vec<Operation> {
    let one = json!({"client_id": "dc-…", "client_name": "Flinks Fake", "provider_id": 1000,
        "provider_name": "Maple Trust", "country": "CA", "registration_status": "PENDING_APPROVAL",
        "requested_on": "2026-11-24T14:24:42.6055680Z"});
    let row = |method, path, id, summary| {
        Operation::new(method, path, id, summary)
            .below("Registrations")
            .of_clients(PARTNER)
            .held_with_its_client()
            .troubled()
    };
    let listed = |operation: Operation| {
        operation.gives::<Vec<RegistrationBody<'static>>>(200, "Where each registration stands", json!([one]))
    };
    let pair = |status, sentence: &'static str| Answer {
        status,
        description: "Pairs are in the way: nothing was requested",
        content: Content::Json("application/json", shape::<PairsBody<'static>>()),
        example: Some(
            json!({"error": "invalid_request", "error_description": format!("{sentence} (bad pairs: 1)"),
            "pairs": [{"client_id": "dc-…", "provider_id": 1000, "error_description": sentence}]}),
        ),
        headers: &[],
    };
    vec![
        listed(row(
            Method::POST,
            "/api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}",
            "requestRegistrations",
            "Request Data Provider Registrations",
        ))
        .says("Of each data recipient with each data provider: all, or none.")
        .refuses([(OAuthCode::InvalidRequest, "provider_ids[0] must be a positive integer")])
        .answers([
            pair(400, "provider_id names no provider of this hub"),
            pair(404, "client_id names no data recipient of this partner"),
            pair(409, "This registration was requested before and is PENDING_APPROVAL"),
        ]),
        listed(row(
            Method::GET,
            "/api/v1/recipients/providers/requests",
            "listRegistrations",
            "Get Registration Status of All Data Recipients",
        )),
        listed(row(
            Method::GET,
            "/api/v1/recipients/{client_id}/providers/requests",
            "listRecipientRegistrations",
            "Get Registration Status of a Data Recipient",
        ))
        .unknown_recipient(),
        row(
            Method::GET,
            "/api/v1/recipients/{client_id}/providers/{provider_id}",
            "getRegistration",
            "Get Registration Details",
        )
        .gives::<RegistrationBody<'static>>(200, "Where it stands", one.clone())
        .missing("This data recipient has no registration with the provider")
        .unknown_recipient(),
    ]
}

pub(super) fn providers() -> Vec<Operation> {
    let one = json!({"provider_id": 1000, "name": "Maple Trust", "country": "CA"});
    let with = |more: Value| {
        let mut whole = one.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        whole
    };
    let row = |path, id, summary, security| {
        Operation::new(Method::GET, path, id, summary)
            .below("Data providers")
            .of_clients(security)
            .held_with_its_client()
            .troubled()
    };
    let second = json!({"scopes": ["ACCOUNT_BASIC"], "status": "Activated", "connectorName": "fdx",
        "availableAccountTypes": {"deposits": "true", "investments": "false", "loans": "true", "locs": "true"}});
    let detail = json!({"provider_url": "https://maple.example.org", "scopes": ["ACCOUNT_BASIC"],
        "data_inventory": {"account": [], "customers": ["customerId"], "detailed_accounts": [],
            "lightweight_accounts": ["accounts.depositAccount.accountId"], "payments": [], "transactions": []}});
    let all = "/api/v1/providers";
    vec![
        row(all, "listSupportedDataProviders", "Get Supported Data Providers", EITHER)
            .says("A partner sees the catalogue; a data recipient those that it has an active registration with.")
            .gives::<Vec<ProviderBody<'static>>>(200, "Data providers", json!([one])),
        row("/api/v1/authorize/providers", "listActiveDataProviders", "Get Active Data Providers", RECIPIENT)
            .gives::<Vec<ProviderBody<'static>>>(200, "Data providers with an active registration", json!([one])),
        row("/api/v1/providers/{provider_id}", "getDataProvider", "Get Data Provider Details", PARTNER)
            .gives::<DetailBody<'static>>(200, "The data provider", with(detail))
            .missing("provider_id names no provider of this hub"),
        row("/api/v2/providers", "listDataProviders", "Get Data Providers", EITHER)
            .query("country", "CA, US, or both with a comma between.", json!({"type": "string", "pattern": "^((CA|US)?(,(CA|US)?)*)$"}))
            .query("isEnabledForClient", "With an active registration, or without.", json!({"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])?$"}))
            .gives::<Vec<SecondBody<'static>>>(200, "Data providers", json!([with(second)]))
            .refuses([(OAuthCode::InvalidRequest, "country must be CA, US or CA,US")]),
    ]
}
