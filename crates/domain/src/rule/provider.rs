//! What a provider's settings must be, whoever brings them: the configuration or the API.

use url::Url;

use crate::model::provider::{CustomerIdentity, GrantScope, ProviderSettings, UpstreamClientMode};
use crate::rule::validation::{MAX_NAME_CHARS, ValidationError, validate_credential, validate_text};

/// Settings that can be used. `loopback`: whether its addresses may be http.
pub fn check(settings: &ProviderSettings, loopback: bool) -> Result<(), ValidationError> {
    let s = settings;
    validate_text("name", &s.name, MAX_NAME_CHARS)?;
    if s.country.len() != 2 || !s.country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(ValidationError::new("country", "expected two letters of ISO 3166, as in CA"));
    }
    let addresses = [
        ("authorization_endpoint", Some(&s.authorization_endpoint)),
        ("token_endpoint", Some(&s.token_endpoint)),
        ("revocation_endpoint", s.revocation_endpoint.as_ref()),
        ("fdx.base_url", Some(&s.fdx.base_url)),
        ("issuer", s.issuer.as_ref()),
        ("url", s.url.as_ref()),
        ("dynamic_registration.endpoint", s.dynamic_registration.as_ref().map(|there| &there.endpoint)),
    ];
    for (field, address) in addresses {
        if address.is_some_and(|address| !is_allowed_url(address, loopback)) {
            return Err(ValidationError::new(field, "expected an https URL"));
        }
    }
    validate_credential("client_id", &s.client_id)?;
    validate_scopes_and_fields(s)?;
    if !s.revoke.is_empty() && s.revocation_endpoint.is_none() {
        return Err(ValidationError::new("revoke", "needs a revocation_endpoint"));
    }
    if s.grant_scope == GrantScope::PerClientCustomer && s.customer_identity == CustomerIdentity::None {
        let expected =
            "per_client_customer needs a customer_identity, or nobody knows which connections share a grant";
        return Err(ValidationError::new("grant_scope", expected));
    }
    if s.grant_scope == GrantScope::PerClientCustomer
        && s.upstream_client == UpstreamClientMode::PerRegistration
    {
        return Err(ValidationError::new(
            "upstream_client",
            "registration needs grant_scope = \"per_token\"",
        ));
    }
    if s.dynamic_registration.is_some() && s.upstream_client == UpstreamClientMode::Shared {
        return Err(ValidationError::new("dynamic_registration", "needs upstream_client = \"registration\""));
    }
    Ok(())
}

fn is_allowed_url(address: &str, loopback: bool) -> bool {
    let url = Url::parse(address).ok();
    url.is_some_and(|url| url.scheme() == "https" || loopback && url.scheme() == "http")
}

/// The provider's own words: of scopes (RFC 6749 §3.3), and of fields in its token reply.
fn validate_scopes_and_fields(s: &ProviderSettings) -> Result<(), ValidationError> {
    let is_word = |word: &str| {
        (1..=200).contains(&word.len()) && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if s.scopes.is_empty() {
        return Err(ValidationError::new("scopes", "expected the provider's word for one cluster at least"));
    }
    for (cluster, word) in &s.scopes {
        if !is_word(word) {
            let field = format!("scopes.{}", cluster.as_str());
            return Err(ValidationError::new(field, "expected one word of a scope"));
        }
    }
    let identity = match &s.customer_identity {
        CustomerIdentity::TokenField(field) => Some(field),
        CustomerIdentity::None => None,
    };
    let fields = [
        ("customer_identity.token_field", identity),
        ("accounts_field", s.accounts_field.as_ref()),
        ("grant_field", s.grant_field.as_ref()),
    ];
    match fields.into_iter().find(|(_, field)| field.is_some_and(|field| !is_word(field))) {
        Some((name, _)) => Err(ValidationError::new(name, "expected the name of a field")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn validation_message(change: impl Fn(&mut Value), loopback: bool) -> Option<String> {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example/authorize",
            "token_endpoint": "https://maple.example/token", "client_id": "bowline", "client_secret": "sealed",
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"},
        });
        change(&mut value);
        let settings = serde_json::from_value(value).unwrap();
        check(&settings, loopback).err().map(|invalid| format!("{}: {}", invalid.field, invalid.expected))
    }

    #[test]
    fn valid_provider_settings_pass_in_any_script() {
        assert_eq!(validation_message(|_| {}, false), None);
        for name in ["Caisse Rideau", "بنك", "Banque 🍁", "銀行"] {
            assert_eq!(validation_message(|v| v["name"] = json!(name), false), None, "{name}");
        }
        assert_eq!(
            validation_message(|v| v["token_endpoint"] = json!("http://127.0.0.1:1/token"), true),
            None
        );
        let registers = |v: &mut Value| {
            v["upstream_client"] = json!("registration");
            v["dynamic_registration"] = json!({"endpoint": "https://maple.example/register"});
        };
        assert_eq!(validation_message(registers, false), None);
    }

    #[test]
    fn dynamic_registration_settings_are_validated() {
        for (endpoint, client, expected) in [
            ("https://b.example/r", "hub", "dynamic_registration: needs upstream_client = \"registration\""),
            ("http://b.example/r", "registration", "dynamic_registration.endpoint: expected an https URL"),
            ("register", "registration", "dynamic_registration.endpoint: expected an https URL"),
        ] {
            let change = |v: &mut Value| {
                v["upstream_client"] = json!(client);
                v["dynamic_registration"] =
                    json!({"endpoint": endpoint, "initial_access_token": {"env": "T"}});
            };
            assert_eq!(validation_message(change, false).as_deref(), Some(expected));
        }
    }

    #[test]
    fn invalid_provider_setting_is_named_in_error() {
        for (field, value, expected) in [
            ("name", json!("a\u{7}b"), "name: must be 1 to 256 characters of text"),
            ("country", json!("Canada"), "country: expected two letters of ISO 3166, as in CA"),
            ("country", json!("ca"), "country: expected two letters of ISO 3166, as in CA"),
            ("token_endpoint", json!("http://maple.example/token"), "token_endpoint: expected an https URL"),
            (
                "authorization_endpoint",
                json!("file:///etc/passwd"),
                "authorization_endpoint: expected an https URL",
            ),
            ("url", json!("javascript:alert(1)"), "url: expected an https URL"),
            ("issuer", json!(""), "issuer: expected an https URL"),
            ("client_id", json!("é"), "client_id: must be 1 to 2048 printable characters of ASCII"),
            ("scopes", json!({}), "scopes: expected the provider's word for one cluster at least"),
            ("scopes", json!({"ACCOUNT_BASIC": "a b"}), "scopes.ACCOUNT_BASIC: expected one word of a scope"),
            ("accounts_field", json!(""), "accounts_field: expected the name of a field"),
            (
                "customer_identity",
                json!({"token_field": "a\n"}),
                "customer_identity.token_field: expected the name of a field",
            ),
            ("revoke", json!(["rfc7009"]), "revoke: needs a revocation_endpoint"),
            (
                "grant_scope",
                json!("per_client_customer"),
                "grant_scope: per_client_customer needs a customer_identity, \
                or nobody knows which connections share a grant",
            ),
        ] {
            assert_eq!(validation_message(|v| v[field] = value.clone(), false).as_deref(), Some(expected));
        }
    }
}
