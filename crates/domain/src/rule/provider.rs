//! What a provider's settings must be, whoever brings them: the configuration or the API.

use url::Url;

use crate::model::provider::{BankGrant, CustomerIdentity, ProviderSettings, UpstreamClient};
use crate::rule::recipient::{Invalid, LONGEST_NAME, is_credential, is_text};

/// Settings that can be used. `loopback`: whether its addresses may be http.
pub fn check(settings: &ProviderSettings, loopback: bool) -> Result<(), Invalid> {
    let s = settings;
    is_text("name", &s.name, LONGEST_NAME)?;
    if s.country.len() != 2 || !s.country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Invalid::new("country", "expected two letters of ISO 3166, as in CA"));
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
        if address.is_some_and(|address| !is_address(address, loopback)) {
            return Err(Invalid::new(field, "expected an https URL"));
        }
    }
    is_credential("client_id", &s.client_id)?;
    words(s)?;
    if !s.revoke.is_empty() && s.revocation_endpoint.is_none() {
        return Err(Invalid::new("revoke", "needs a revocation_endpoint"));
    }
    if s.bank_grant == BankGrant::PerClientCustomer && s.customer_identity == CustomerIdentity::None {
        let why =
            "per_client_customer needs a customer_identity, or nobody knows which connections share a grant";
        return Err(Invalid::new("bank_grant", why));
    }
    if s.bank_grant == BankGrant::PerClientCustomer && s.upstream_client == UpstreamClient::Registration {
        return Err(Invalid::new("upstream_client", "registration needs bank_grant = \"per_token\""));
    }
    if s.dynamic_registration.is_some() && s.upstream_client == UpstreamClient::Hub {
        return Err(Invalid::new("dynamic_registration", "needs upstream_client = \"registration\""));
    }
    Ok(())
}

fn is_address(address: &str, loopback: bool) -> bool {
    let url = Url::parse(address).ok();
    url.is_some_and(|url| url.scheme() == "https" || loopback && url.scheme() == "http")
}

/// The provider's own words: of scopes (RFC 6749 §3.3), and of fields in its token reply.
fn words(s: &ProviderSettings) -> Result<(), Invalid> {
    let is_word = |word: &str| {
        (1..=200).contains(&word.len()) && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if s.scopes.is_empty() {
        return Err(Invalid::new("scopes", "expected the provider's word for one cluster at least"));
    }
    for (cluster, word) in &s.scopes {
        if !is_word(word) {
            let field = format!("scopes.{}", cluster.as_str());
            return Err(Invalid::new(field, "expected one word of a scope"));
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
        Some((name, _)) => Err(Invalid::new(name, "expected the name of a field")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(change: impl Fn(&mut Value), loopback: bool) -> Option<String> {
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
    fn settings_that_can_be_used_pass_in_any_script() {
        assert_eq!(said(|_| {}, false), None);
        for name in ["Caisse Rideau", "بنك", "Banque 🍁", "銀行"] {
            assert_eq!(said(|v| v["name"] = json!(name), false), None, "{name}");
        }
        assert_eq!(said(|v| v["token_endpoint"] = json!("http://127.0.0.1:1/token"), true), None);
        let registers = |v: &mut Value| {
            v["upstream_client"] = json!("registration");
            v["dynamic_registration"] = json!({"endpoint": "https://maple.example/register"});
        };
        assert_eq!(said(registers, false), None);
    }

    #[test]
    fn a_provider_that_registers_clients_is_set_up_for_them() {
        for (endpoint, client, told) in [
            ("https://b.example/r", "hub", "dynamic_registration: needs upstream_client = \"registration\""),
            ("http://b.example/r", "registration", "dynamic_registration.endpoint: expected an https URL"),
            ("register", "registration", "dynamic_registration.endpoint: expected an https URL"),
        ] {
            let change = |v: &mut Value| {
                v["upstream_client"] = json!(client);
                v["dynamic_registration"] =
                    json!({"endpoint": endpoint, "initial_access_token": {"env": "T"}});
            };
            assert_eq!(said(change, false).as_deref(), Some(told));
        }
    }

    #[test]
    fn what_could_not_be_used_is_named() {
        for (field, value, told) in [
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
                "bank_grant",
                json!("per_client_customer"),
                "bank_grant: per_client_customer needs a customer_identity, \
                or nobody knows which connections share a grant",
            ),
        ] {
            assert_eq!(said(|v| v[field] = value.clone(), false).as_deref(), Some(told));
        }
    }
}
