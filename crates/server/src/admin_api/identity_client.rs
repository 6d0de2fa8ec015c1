//! The schemas of a provider's identity client in requests and responses.

use domain::model::provider::{ClientAuthentication, SigningAlgorithm};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// The identity client of the hub at a provider, without its secrets.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it exists only for its schema")]
pub(super) struct ShownIdentityClient {
    /// The client id.
    client_id: String,
    /// The authentication method of this client.
    auth: ClientAuthentication,
    /// The signature algorithm of its keys.
    #[schemars(skip_serializing_if = "Option::is_none")]
    auth_algorithm: Option<SigningAlgorithm>,
}

/// Builds the schema of the identity client in a request, with the schemas of its secrets.
pub(super) fn build_identity_client_schema(
    generator: &mut SchemaGenerator,
    client_secret: &Value,
    auth_key: &Value,
) -> Value {
    json!({
        "type": ["object", "null"], "required": ["client_id"], "additionalProperties": false,
        "description": "Second client of the hub, for sign-in without data access. Only the check of the provider uses it today.",
        "properties": {
            "client_id": {"type": "string", "minLength": 1, "maxLength": 2048, "pattern": "^[ -~]+$",
                "description": "Client id, which differs from that of the hub's main client."},
            "auth": generator.subschema_for::<ClientAuthentication>(),
            "auth_algorithm": generator.subschema_for::<Option<SigningAlgorithm>>(),
            "client_secret": client_secret,
            "auth_key": auth_key,
        },
    })
}
