//! The validation of the settings of authorization requests.

use crate::model::provider::{
    ClientAuthentication, ProviderSettings, PushedRequests, RequestObject, UpstreamClientMode,
};
use crate::rule::validation::{ValidationError, validate_credential};

const MAX_EXTRA_SCOPES: usize = 32;
const MAX_PARAMETERS: usize = 32;

/// The parameters that the hub sets itself, or that other settings determine.
const PROTOCOL_PARAMETERS: &[&str] = &[
    "authorization_details",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "iss",
    "login_hint",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_type",
    "scope",
    "state",
    "ui_locales",
];

/// Returns whether a text is a single scope value. RFC 6749 §3.3 allows every printable ASCII character except space, `"` and
/// `\`.
pub(super) fn is_scope_token(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Validates the settings of authorization requests.
pub(super) fn validate_authorization(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let scopes = settings.extra_scopes.iter().enumerate();
    for (nth, scope) in scopes {
        if nth >= MAX_EXTRA_SCOPES || !is_scope_token(scope) {
            let expected = "expected a single scope value, at most 32 of them";
            return Err(ValidationError::new(format!("extra_scopes[{nth}]"), expected));
        }
    }
    if settings.authorize_parameters.len() > MAX_PARAMETERS {
        return Err(ValidationError::new("authorize_parameters", "expected at most 32 parameters"));
    }
    for (name, value) in &settings.authorize_parameters {
        validate_parameter(name, value)?;
    }
    if settings.request_object == RequestObject::Required
        && settings.auth != ClientAuthentication::PrivateKeyJwt
    {
        let expected = "needs auth = \"private_key_jwt\", whose auth_key signs the object";
        return Err(ValidationError::new("request_object", expected));
    }
    if settings.upstream_client == UpstreamClientMode::Aggregator {
        validate_aggregator(settings)
    } else {
        Ok(())
    }
}

/// Validates that the authorization request of a recipient's client needs no authentication: the hub has only credentials of its own
/// client.
fn validate_aggregator(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let reject = |field: &str, expected: &str| Err(ValidationError::new(field, expected));
    if settings.par == PushedRequests::Required {
        // RFC 9126 §2.1: the provider authenticates the client whose request is pushed.
        return reject(
            "par",
            "upstream_client = \"aggregator\" cannot push requests, which need the recipient's credentials",
        );
    }
    if settings.request_object == RequestObject::Required {
        // RFC 9101 §6.2: the key must be one of the client that the object names.
        return reject(
            "request_object",
            "upstream_client = \"aggregator\" cannot sign requests, which need the recipient's key",
        );
    }
    Ok(())
}

fn validate_parameter(name: &str, value: &str) -> Result<(), ValidationError> {
    let field = || format!("authorize_parameters.{name}");
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(ValidationError::new(field(), "expected the name of a parameter"));
    }
    if PROTOCOL_PARAMETERS.contains(&name) {
        return Err(ValidationError::new(field(), "the hub sets this parameter itself"));
    }
    // The hub reads responses in a query and in a form. A fragment does not reach it.
    if name == "response_mode" && !matches!(value, "query" | "form_post") {
        return Err(ValidationError::new(field(), "expected query or form_post"));
    }
    validate_credential(&field(), value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validation_message(changes: Value) -> Option<String> {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "issuer": "https://maple.example", "client_id": "bowline",
            "client_secret": "sealed", "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"},
        });
        let Value::Object(changes) = changes else { panic!("expected an object") };
        value.as_object_mut().unwrap().extend(changes);
        let error = validate_authorization(&serde_json::from_value(value).unwrap()).err()?;
        Some(format!("{}: {}", error.field, error.expected))
    }

    #[test]
    fn extra_scopes_and_constant_parameters_are_accepted() {
        let claims = r#"{"id_token":{"acr":{"essential":true}}}"#;
        let settings = json!({
            "extra_scopes": ["openid", "offline_access"], "par": "required",
            "authorize_parameters": {"prompt": "consent", "claims": claims, "response_mode": "form_post"},
        });
        let signed = json!({"auth": "private_key_jwt", "request_object": "required"});

        assert_eq!(validation_message(settings), None);
        assert_eq!(validation_message(signed), None);
    }

    #[test]
    fn invalid_authorization_setting_is_named() {
        for (settings, expected) in [
            (
                json!({"extra_scopes": ["a b"]}),
                "extra_scopes[0]: expected a single scope value, at most 32 of them",
            ),
            (
                json!({"extra_scopes": vec!["a"; 33]}),
                "extra_scopes[32]: expected a single scope value, at most 32 of them",
            ),
            (
                json!({"authorize_parameters": {"": "x"}}),
                "authorize_parameters.: expected the name of a parameter",
            ),
            (
                json!({"authorize_parameters": {"a&b": "x"}}),
                "authorize_parameters.a&b: expected the name of a parameter",
            ),
            (
                json!({"authorize_parameters": {"prompt": "a\nb"}}),
                "authorize_parameters.prompt: must be 1 to 2048 printable characters of ASCII",
            ),
            (
                json!({"authorize_parameters": {"response_mode": "fragment"}}),
                "authorize_parameters.response_mode: expected query or form_post",
            ),
            (
                json!({"upstream_client": "aggregator", "par": "required"}),
                "par: upstream_client = \"aggregator\" cannot push requests, which need the recipient's credentials",
            ),
            (
                json!({"upstream_client": "aggregator", "auth": "private_key_jwt", "request_object": "required"}),
                "request_object: upstream_client = \"aggregator\" cannot sign requests, which need the recipient's key",
            ),
            (
                json!({"request_object": "required"}),
                "request_object: needs auth = \"private_key_jwt\", whose auth_key signs the object",
            ),
        ] {
            assert_eq!(validation_message(settings).as_deref(), Some(expected));
        }
    }

    #[test]
    fn authorization_settings_are_accepted_up_to_their_limits() {
        let parameters = |count: usize| -> serde_json::Map<String, Value> {
            (0..count).map(|nth| (format!("p{nth}"), json!("x"))).collect()
        };

        assert_eq!(validation_message(json!({"extra_scopes": vec!["a"; 32]})), None);
        assert_eq!(validation_message(json!({"authorize_parameters": parameters(32)})), None);
        let expected = "authorize_parameters: expected at most 32 parameters";
        let message = validation_message(json!({"authorize_parameters": parameters(33)}));
        assert_eq!(message.as_deref(), Some(expected));
    }

    #[test]
    fn protocol_parameter_cannot_be_overridden() {
        for name in PROTOCOL_PARAMETERS {
            let message = validation_message(json!({"authorize_parameters": {*name: "x"}}));
            let expected = format!("authorize_parameters.{name}: the hub sets this parameter itself");
            assert_eq!(message, Some(expected));
        }
    }
}
