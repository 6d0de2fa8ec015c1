//! The parts of each OpenAPI document that do not depend on its operations, such as title, tags and security schemes.

use serde_json::{Value, json};

use super::document::DocumentInfo;

pub(super) fn flinks() -> DocumentInfo {
    DocumentInfo {
        title: "Bowline: authorization and management (Flinks Outbound)",
        description: "Connects data recipients to data providers with the customer's consent, and ends \
             connections immediately. Wire compatible with the Flinks Outbound (Open Banking) \
             API. Errors have the form of RFC 6749 §5.2 with the documented statuses: a \
             rejected request is 400 with an error code and a description, also if the bearer \
             token is invalid. Unknown members of a body are ignored; a known member must not \
             be repeated; null and empty members are treated as absent.",
        server: json!({"url": "/"}),
        tags: &[
            ("Authorization", "The customer's consent, tokens, and their revocation."),
            ("Connections", "Connections of a data recipient."),
            ("Data recipients", "Data recipients, managed by their partner."),
            ("Registrations", "Registrations of data recipients with data providers."),
            ("Data providers", "Data providers that can be connected."),
        ],
        security: flinks_security_schemes(),
        path_parameter: flinks_path_parameter,
    }
}

fn flinks_security_schemes() -> Value {
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description});
    json!({
        "clientBasic": {
            "type": "http", "scheme": "basic",
            "description": "`client_id` and `client_secret`, each form-encoded (RFC 6749 §2.3.1). They may be \
             sent in the body instead.",
        },
        "partnerToken": bearer("The access token of a partner: `client_credentials` with scope `client:admin`."),
        "recipientToken": bearer("The access token of a data recipient: `client_credentials`."),
        "connectionToken": bearer("The access token of a connection: `authorization_code` or `refresh_token`."),
    })
}

fn flinks_path_parameter(name: &str) -> (&'static str, Value) {
    let text = json!({"type": "string", "minLength": 1});
    match name {
        "client_id" => ("The id of a data recipient of this partner.", text),
        "connection_id" => ("The id of a connection of this data recipient.", text),
        "provider_id" => ("The id of a data provider.", json!({"type": "integer", "minimum": 1})),
        "recipient_ids" => {
            ("Comma-separated ids of data recipients; at most 1,000 pairs in a request.", text)
        }
        _ => ("Comma-separated ids of data providers.", text),
    }
}

pub(super) fn fdx() -> DocumentInfo {
    DocumentInfo {
        title: "Bowline: data access (FDX 5)",
        description: "The customer's data, limited to the consent, in FDX 5.x form whatever version the \
             data provider uses. The bearer token is the access token of a connection. Fields \
             differ between data providers: a field that the provider does not supply is \
             absent. Amounts are JSON numbers of any precision. Unknown parameters are ignored; \
             a known parameter must not be repeated. Every response has `ob-correlation-id` and \
             `ob-trace-id`.",
        server: json!({"url": "/"}),
        tags: &[
            ("Customer", "The customer's identity and contact details."),
            ("Accounts", "Accounts, their transactions, statements, contacts and payment networks."),
            ("Meta", "Capabilities, availability and metrics of this API."),
        ],
        security: json!({
            "connectionToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "The access token of a connection, from `/api/v1/token`.",
            },
            "clientToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "The access token of a client (`client_credentials`).",
            },
        }),
        path_parameter: fdx_path_parameter,
    }
}

fn fdx_path_parameter(name: &str) -> (&'static str, Value) {
    let id = json!({"type": "string", "minLength": 1});
    match name {
        "account_id" => ("The id of an account. Account ids differ for each data recipient.", id),
        _ => ("The id of a statement of this account.", id),
    }
}

pub(super) fn admin() -> DocumentInfo {
    DocumentInfo {
        title: "Bowline: operation (`/admin/v1`)",
        description: "The API for operators of a hub. It is served on a listener of its own \
             (`server.admin_listen`), never on the public one, and through a Unix socket. The \
             bearer token is an operator's token. Each operation requires a minimum role: \
             `viewer` reads, `operator` also pauses and ends, `admin` also creates and removes. \
             Errors are problems (RFC 9457). Unknown parameters and members are rejected; a \
             known one must not be repeated; null and empty members are treated as absent. \
             Times are RFC 3339 in UTC with milliseconds.",
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
        path_parameter: admin_path_parameter,
    }
}

fn admin_path_parameter(name: &str) -> (&'static str, Value) {
    let text = json!({"type": "string", "minLength": 1});
    match name {
        "client_id" => ("The id of the client: a recipient or a partner.", text),
        "connection_id" => ("The id of the connection.", text),
        "job_id" => ("The id of the job.", text),
        "operator_id" => ("The id of the operator.", text),
        _ => ("The id of the provider.", json!({"type": "integer", "minimum": 1})),
    }
}
