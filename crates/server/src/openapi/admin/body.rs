//! What operators send.

use std::sync::LazyLock;

use domain::DataCluster;
use domain::model::operator::Role;
use domain::model::provider::ProviderSettings;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::super::operation::string_enum;

/// A recipient to be made.
pub(super) static RECIPIENT_EXAMPLE: LazyLock<Value> = LazyLock::new(|| {
    json!({"name": "Acme Budget", "purpose_en": "To show your budget.", "purpose_fr": "Pour afficher votre budget.",
        "redirect_uris": ["https://acme.example.org/callback"], "scope": ["ACCOUNT_BASIC", "TRANSACTIONS"],
        "require_pkce": true, "description": "A budget for everybody.", "country": "CA",
        "logo_uri": "https://acme.example.org/logo.png", "terms_uri": "https://acme.example.org/terms",
        "client_uri": "https://acme.example.org", "contacts": ["dana@acme.example.org"]})
});

/// An object that has these members, and nothing else.
fn object_schema(required: &[&str], members: &Value) -> Value {
    json!({"type": "object", "required": required, "properties": members, "additionalProperties": false})
}

fn name_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256})
}

fn redirect_uri_list_schema() -> Value {
    json!({"type": "array", "minItems": 1, "maxItems": 100, "uniqueItems": true,
        "items": {"type": "string", "format": "uri", "pattern": "^https?://[^#]*$", "maxLength": 2000},
        "description": "HTTPS, without a fragment; HTTP on loopback in a sandbox. Compared as exact strings."})
}

pub(super) fn operator_schema() -> Value {
    let described = |description: &str, more: Value| {
        let mut schema = more;
        schema["description"] = description.into();
        schema
    };
    object_schema(
        &["name", "role"],
        &json!({
            "name": described(
                "Of one operator alone, and not `bootstrap`.",
                json!({"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$"}),
            ),
            "role": described("What it may do.", string_enum(Role::ALL.iter().map(|role| role.as_str()))),
            "expires_at": described(
                "When its token expires: 366 days from now at most, 90 if it is absent.",
                json!({"type": ["string", "null"], "format": "date-time"}),
            ),
        }),
    )
}

pub(super) fn partner_schema() -> Value {
    object_schema(&["name"], &json!({"name": name_schema()}))
}

pub(super) fn redirect_uris_schema() -> Value {
    object_schema(&["redirect_uris"], &json!({"redirect_uris": redirect_uri_list_schema()}))
}

pub(super) fn recipient_schema() -> Value {
    let link = |description: &str| {
        json!({"type": ["string", "null"], "pattern": "^(https://.*)?$", "maxLength": 2000,
            "description": description})
    };
    let purpose = |language: &str| {
        let description = format!("Why it reads data, as customers read it in {language}.");
        json!({"type": "string", "minLength": 1, "maxLength": 300, "description": description})
    };
    let clusters = string_enum(DataCluster::ALL.iter().map(|cluster| cluster.as_str()));
    object_schema(
        &["name", "purpose_en", "purpose_fr", "redirect_uris", "scope"],
        &json!({
            "name": name_schema(),
            "purpose_en": purpose("English"),
            "purpose_fr": purpose("French"),
            "redirect_uris": redirect_uri_list_schema(),
            "scope": {"type": "array", "items": clusters, "contains": {"const": "ACCOUNT_BASIC"},
                "description": "The most that it may ask for."},
            "partner": {"type": ["string", "null"], "description": "The partner that manages it."},
            "require_pkce": {"type": ["boolean", "null"], "description": "Whether PKCE (RFC 7636) is required of it."},
            "max_duration_days": {"type": ["integer", "null"], "minimum": 1, "maximum": 366,
                "description": "The longest consent that it asks for."},
            "description": {"type": ["string", "null"], "maxLength": 512, "description": "What it does."},
            "country": {"type": ["string", "null"], "enum": ["CA", "US", "", null]},
            "logo_uri": link("Its logo."),
            "terms_uri": link("The terms between the customer and it."),
            "client_uri": link("Its site."),
            "contacts": {"type": ["array", "null"], "maxItems": 20, "items": {"type": "string", "format": "email"}},
        }),
    )
}

pub(super) fn registrations_schema() -> Value {
    let pair_limit = "At most 1,000 pairs in a request.";
    object_schema(
        &["client_ids", "provider_ids"],
        &json!({
            "client_ids": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string"},
                "description": pair_limit},
            "provider_ids": {"type": "array", "minItems": 1, "uniqueItems": true,
                "items": {"type": "integer", "minimum": 1}, "description": pair_limit},
        }),
    )
}

pub(super) fn activation_schema() -> Value {
    let credential = |description: &str| json!({"type": ["string", "null"], "pattern": "^[ -~]*$", "maxLength": 2048, "description": description});
    object_schema(
        &[],
        &json!({
            "upstream_client_id": credential("The recipient's own client at the provider."),
            "upstream_client_secret": credential("Its secret, which is sealed at once."),
        }),
    )
}

pub(super) fn reason_schema(required: bool) -> Value {
    let reason = if required {
        json!({"type": "string", "minLength": 1, "maxLength": 500})
    } else {
        json!({"type": ["string", "null"], "maxLength": 500})
    };
    let needed: &[&str] = if required { &["reason"] } else { &[] };
    object_schema(needed, &json!({"reason": reason}))
}

/// The settings of a provider as they are sent: with an id, and with the secrets themselves.
pub(super) fn provider_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<ProviderSettings>().to_value();
    let members: &mut Map<String, Value> = match schema.get_mut("properties").and_then(Value::as_object_mut) {
        Some(members) => members,
        None => return schema,
    };
    members.insert("id".into(), json!({"type": "integer", "minimum": 1, "description": "Its id."}));
    let secret = |kind: Value, description: &str| json!({"type": kind, "minLength": 1, "maxLength": 2048, "pattern": "^[ -~]+$", "description": description});
    let own = secret(json!("string"), "The hub's secret there, which is sealed at once.");
    members.insert("client_secret".into(), own);
    let token =
        secret(json!(["string", "null"]), "The initial access token, if it wants one. It is sealed at once.");
    let endpoint =
        json!({"type": "string", "description": "Its client registration endpoint (RFC 7591 §3)."});
    let mut dynamic_registration =
        object_schema(&["endpoint"], &json!({"endpoint": endpoint, "initial_access_token": token}));
    dynamic_registration["type"] = json!(["object", "null"]);
    dynamic_registration["description"] =
        "How it registers a client for each registration by itself (RFC 7591). Goes with \
        `upstream_client` `registration` alone."
            .into();
    members.insert("dynamic_registration".into(), dynamic_registration);
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.push("id".into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin_api::operator;
    use crate::admin_api::setup::{new_provider, partner as partners, recipient as recipients, registration};

    /// What is read of a body is what is told of it.
    #[test]
    fn admin_body_schemas_match_accepted_fields() {
        use registration::RegistrationAction;
        for (schema, fields) in [
            (operator_schema(), &operator::FIELDS[..]),
            (partner_schema(), &partners::FIELDS),
            (recipient_schema(), &recipients::FIELDS),
            (redirect_uris_schema(), &recipients::UPDATABLE_FIELDS),
            (registrations_schema(), &registration::FIELDS),
            (activation_schema(), RegistrationAction::Activate.fields()),
            (reason_schema(true), RegistrationAction::Reject.fields()),
            (reason_schema(false), RegistrationAction::Suspend.fields()),
            (provider_schema(), &new_provider::FIELDS),
        ] {
            let mut documented: Vec<_> =
                schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let mut read = fields.to_vec();
            documented.sort_unstable();
            read.sort_unstable();
            assert_eq!(documented, read);
            assert_eq!(schema["additionalProperties"], false);
        }
    }
}
