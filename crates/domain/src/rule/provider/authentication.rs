//! The validation of the settings with which the hub authenticates at a provider.

use crate::model::provider::{
    ClientAuthentication, IdentityClient, ProviderSettings, SecretSource, UpstreamClientMode,
};
use crate::rule::validation::{ValidationError, validate_credential};

const MAX_PEM_BYTES: usize = 64 * 1024;

/// Validates that the settings contain what the authentication methods of both clients need, and nothing that they do not use.
pub(super) fn validate_authentication(settings: &ProviderSettings) -> Result<(), ValidationError> {
    validate_client(settings)?;
    let Some(identity) = settings.for_identity_client() else { return Ok(()) };
    // The secrets of the identity client have the names of those of the main client.
    let rename = |error: ValidationError| match error.field.as_str() {
        "client_secret" | "auth_key" | "auth_algorithm" => {
            ValidationError::new(IdentityClient::member_path(&error.field), error.expected)
        }
        _ => error,
    };
    let client_id = IdentityClient::member_path("client_id");
    validate_credential(&client_id, &identity.client_id)?;
    if identity.client_id == settings.client_id {
        return Err(ValidationError::new(client_id, "expected another client than client_id"));
    }
    validate_client(&identity).map_err(rename)
}

fn validate_client(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let auth = settings.auth;
    let reject = |field: &str, expected: String| Err(ValidationError::new(field, expected));
    let needed = || format!("is needed by auth = \"{}\"", auth.as_str());
    match (&settings.client_secret, auth.uses_secret()) {
        (None, true) if settings.upstream_client.authenticates_as_hub() => {
            return reject("client_secret", needed());
        }
        (Some(_), false) => {
            return reject("client_secret", format!("is not used by auth = \"{}\"", auth.as_str()));
        }
        _ => {}
    }
    // The activation of a registration stores a secret of its client, which only these methods use.
    if settings.upstream_client == UpstreamClientMode::PerRegistration && !auth.uses_secret() {
        let expected = "upstream_client = \"registration\" needs client_secret_basic or client_secret_post";
        return reject("auth", expected.to_owned());
    }
    let keys =
        [("auth_key", settings.auth_key.is_some()), ("auth_algorithm", settings.auth_algorithm.is_some())];
    let signs = auth == ClientAuthentication::PrivateKeyJwt;
    match keys.into_iter().find(|(_, is_present)| *is_present != signs) {
        Some((field, false)) => return reject(field, needed()),
        Some((field, true)) => {
            return reject(field, "is used only by auth = \"private_key_jwt\"".to_owned());
        }
        None => {}
    }
    validate_tls(settings)
}

fn validate_tls(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let tls = settings.tls.as_ref();
    let certificate = tls.and_then(|tls| tls.certificate.as_deref());
    let key: Option<&SecretSource> = tls.and_then(|tls| tls.key.as_ref());
    let parts = [("tls.certificate", certificate.is_some()), ("tls.key", key.is_some())];
    let (is_needed, why) = if settings.auth.uses_certificate() {
        (true, format!("is needed by auth = \"{}\"", settings.auth.as_str()))
    } else {
        // A provider may require a certificate of every caller, whatever the method of authentication.
        (certificate.is_some() || key.is_some(), "is needed with the other one of the two".to_owned())
    };
    if let Some((field, _)) = parts.into_iter().find(|(_, is_present)| is_needed && !is_present) {
        return Err(ValidationError::new(field, why));
    }
    let texts = [("tls.ca", tls.and_then(|tls| tls.ca.as_deref())), ("tls.certificate", certificate)];
    for (field, text) in texts {
        if text.is_some_and(|text| text.is_empty() || text.len() > MAX_PEM_BYTES || text.contains('\0')) {
            return Err(ValidationError::new(field, "expected the path of a PEM file"));
        }
    }
    Ok(())
}

/// Returns whether a text is a certificate or a key in PEM form, and not the path of a file.
pub fn is_pem(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN ")
}

/// Validates a secret that was sent to the API. `field` is its path in the settings.
pub fn validate_secret(field: &str, secret: &str) -> Result<(), ValidationError> {
    if !matches!(field, "auth_key" | "identity_client.auth_key" | "tls.key") {
        return validate_credential(field, secret);
    }
    let is_text = secret.bytes().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r'));
    if is_text && is_pem(secret) && secret.len() <= MAX_PEM_BYTES {
        return Ok(());
    }
    Err(ValidationError::new(field, "expected a private key in PEM form"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validation_message(change: Value) -> Option<String> {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example/authorize",
            "token_endpoint": "https://maple.example/token", "client_id": "bowline",
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"},
        });
        let Value::Object(changes) = change else { panic!("expected an object") };
        value.as_object_mut().unwrap().extend(changes);
        let settings = serde_json::from_value(value).unwrap();
        let error = validate_authentication(&settings).err()?;
        Some(format!("{}: {}", error.field, error.expected))
    }

    #[test]
    fn complete_authentication_settings_are_accepted() {
        let certificate = json!({"certificate": "hub.pem", "key": {"file": "hub.key"}});
        for settings in [
            json!({"client_secret": {"env": "S"}}),
            json!({"auth": "client_secret_post", "client_secret": {"env": "S"}, "tls": certificate}),
            json!({"auth": "private_key_jwt", "auth_key": {"file": "key.pem"}, "auth_algorithm": "PS256"}),
            json!({"auth": "tls_client_auth", "tls": certificate}),
            json!({"auth": "self_signed_tls_client_auth", "tls": certificate}),
            json!({"client_secret": {"env": "S"}, "tls": {"ca": "bank-ca.pem"}}),
            json!({"upstream_client": "registration"}),
            json!({"upstream_client": "aggregator", "client_secret": {"env": "S"}}),
            json!({"upstream_client": "aggregator", "auth": "tls_client_auth", "tls": certificate}),
        ] {
            assert_eq!(validation_message(settings.clone()), None, "{settings}");
        }
    }

    #[test]
    fn missing_or_unused_authentication_setting_is_named() {
        let key = json!({"file": "key.pem"});
        for (settings, expected) in [
            (json!({}), "client_secret: is needed by auth = \"client_secret_basic\""),
            (
                json!({"upstream_client": "aggregator"}),
                "client_secret: is needed by auth = \"client_secret_basic\"",
            ),
            (
                json!({"auth": "private_key_jwt", "auth_algorithm": "ES256"}),
                "auth_key: is needed by auth = \"private_key_jwt\"",
            ),
            (
                json!({"auth": "private_key_jwt", "auth_key": key}),
                "auth_algorithm: is needed by auth = \"private_key_jwt\"",
            ),
            (
                json!({"auth": "private_key_jwt", "client_secret": {"env": "S"}, "auth_key": key, "auth_algorithm": "ES256"}),
                "client_secret: is not used by auth = \"private_key_jwt\"",
            ),
            (
                json!({"client_secret": {"env": "S"}, "auth_key": key}),
                "auth_key: is used only by auth = \"private_key_jwt\"",
            ),
            (json!({"auth": "tls_client_auth"}), "tls.certificate: is needed by auth = \"tls_client_auth\""),
            (
                json!({"auth": "tls_client_auth", "tls": {"certificate": "hub.pem"}}),
                "tls.key: is needed by auth = \"tls_client_auth\"",
            ),
            (
                json!({"client_secret": {"env": "S"}, "tls": {"key": key}}),
                "tls.certificate: is needed with the other one of the two",
            ),
            (
                json!({"client_secret": {"env": "S"}, "tls": {"ca": ""}}),
                "tls.ca: expected the path of a PEM file",
            ),
            (
                json!({"upstream_client": "registration", "auth": "tls_client_auth"}),
                "auth: upstream_client = \"registration\" needs client_secret_basic or client_secret_post",
            ),
        ] {
            assert_eq!(validation_message(settings.clone()).as_deref(), Some(expected), "{settings}");
        }
    }

    #[test]
    fn identity_client_has_credentials_of_its_own() {
        let with = |client: Value| {
            let main = json!({"client_secret": {"env": "S"}, "identity_client": client});
            validation_message(main)
        };
        let key = json!({"file": "key.pem"});

        assert_eq!(with(json!({"client_id": "sign-in", "client_secret": {"env": "T"}})), None);
        let signed = json!({"client_id": "sign-in", "auth": "private_key_jwt", "auth_key": key, "auth_algorithm": "ES256"});
        assert_eq!(with(signed), None);
        for (client, expected) in [
            (
                json!({"client_id": "sign-in"}),
                "identity_client.client_secret: is needed by auth = \"client_secret_basic\"",
            ),
            (
                json!({"client_id": "sign-in", "client_secret": {"env": "T"}, "auth_key": key}),
                "identity_client.auth_key: is used only by auth = \"private_key_jwt\"",
            ),
            (
                json!({"client_id": "sign-in", "auth": "private_key_jwt", "auth_key": key}),
                "identity_client.auth_algorithm: is needed by auth = \"private_key_jwt\"",
            ),
            (
                json!({"client_id": "sign-in", "auth": "tls_client_auth"}),
                "tls.certificate: is needed by auth = \"tls_client_auth\"",
            ),
            (
                json!({"client_id": "bowline", "client_secret": {"env": "T"}}),
                "identity_client.client_id: expected another client than client_id",
            ),
            (
                json!({"client_id": "", "client_secret": {"env": "T"}}),
                "identity_client.client_id: must be 1 to 2048 printable characters of ASCII",
            ),
        ] {
            assert_eq!(with(client.clone()).as_deref(), Some(expected), "{client}");
        }
    }

    #[test]
    fn secret_of_api_must_have_form_of_its_field() {
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (field, secret, is_valid) in [
            ("client_secret", "secret", true),
            ("client_secret", "a\nb", false),
            ("auth_key", pem, true),
            ("tls.key", pem, true),
            ("auth_key", "secret", false),
            ("tls.key", "hub.key", false),
            ("tls.key", "-----BEGIN \u{e9}", false),
        ] {
            assert_eq!(validate_secret(field, secret).is_ok(), is_valid, "{field}: {secret}");
        }
    }

    #[test]
    fn pem_text_is_limited_to_64_kib() {
        let text_of = |length: usize| {
            let begin = "-----BEGIN PRIVATE KEY-----\n";
            format!("{begin}{}", "A".repeat(length - begin.len()))
        };
        let (longest, too_long) = (text_of(65_536), text_of(65_537));

        for field in ["auth_key", "tls.key"] {
            assert!(validate_secret(field, &longest).is_ok() && validate_secret(field, &too_long).is_err());
        }
        for (certificate, is_valid) in
            [(&longest, true), (&too_long, false), (&format!("{}\0", text_of(100)), false)]
        {
            for member in ["ca", "certificate"] {
                let mut tls = json!({"certificate": "hub.pem", "key": {"file": "hub.key"}});
                tls[member] = json!(certificate);
                let message = validation_message(json!({"client_secret": {"env": "S"}, "tls": tls}));
                let expected = (!is_valid).then(|| format!("tls.{member}: expected the path of a PEM file"));
                assert_eq!(message, expected);
            }
        }
    }
}
