//! The validation of a provider's settings, which come from the configuration or the admin API.

mod authentication;
mod authorization;
mod change;
mod former;
mod revocation;
mod transport;

use std::time::Duration;

use url::Url;

use crate::model::provider::{CustomerIdentity, GrantScope, ProviderEndpoint, ProviderSettings, TermsSource};
use crate::rule::provider_metadata::metadata_urls;
use crate::rule::validation::{MAX_NAME_CHARS, ValidationError, validate_credential, validate_text};

pub use authentication::{is_pem, validate_secret};
pub use change::{
    EndpointChange, SettingsChange, UpstreamClientInUseError, compare_providers,
    ensure_upstream_client_is_kept, has_same_endpoints,
};
pub use former::{FormerSecretChange, StoredSecrets, detach_secrets, follow_change, replace_sources};
pub use transport::is_allowed_proxy;

const MAX_HOSTS: usize = 32;

/// The limits of the hub that the settings of a provider must keep.
#[derive(Clone, Copy, Debug)]
pub struct ProviderLimits {
    /// True if providers and proxies may be on this machine. URLs may then use plain http.
    pub allow_loopback: bool,
    /// The longest duration of a call to a provider.
    pub max_timeout: Duration,
}

/// Validates the settings of a provider.
pub fn check(settings: &ProviderSettings, limits: ProviderLimits) -> Result<(), ValidationError> {
    validate_text("name", &settings.name, MAX_NAME_CHARS)?;
    if settings.country.len() != 2 || !settings.country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(ValidationError::new("country", "expected two letters of ISO 3166, as in CA"));
    }
    validate_urls(settings, limits.allow_loopback)?;
    validate_credential("client_id", &settings.client_id)?;
    validate_scopes_and_fields(settings)?;
    authentication::validate_authentication(settings)?;
    authorization::validate_authorization(settings)?;
    transport::validate_transport(settings, limits.max_timeout, limits.allow_loopback)?;
    validate_combinations(settings)
}

fn validate_urls(settings: &ProviderSettings, allow_http: bool) -> Result<(), ValidationError> {
    let registration = settings.dynamic_registration.as_ref();
    let urls = [
        ("consent_endpoint", settings.consent_endpoint.as_ref()),
        ("fdx.base_url", Some(&settings.fdx.base_url)),
        ("issuer", settings.issuer.as_ref()),
        ("url", settings.url.as_ref()),
        ("dynamic_registration.endpoint", registration.map(|registration| &registration.endpoint)),
    ];
    let urls = urls.into_iter().filter_map(|(name, url)| Some((name, url?.as_str())));
    let endpoints = ProviderEndpoint::ALL.iter();
    let endpoints = endpoints.filter_map(|name| Some((name.as_str(), settings.explicit_endpoint(*name)?)));
    match urls.chain(endpoints).find(|(_, url)| !is_allowed_url(url, allow_http)) {
        Some((field, _)) => Err(ValidationError::new(field, "expected an https URL")),
        None => validate_discovery(settings),
    }
}

/// Validates that each endpoint that the hub needs is given, or can be in the metadata of the issuer.
fn validate_discovery(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let reject = |field: &str, expected: &str| Err(ValidationError::new(field, expected));
    if let Some(issuer) = &settings.issuer {
        if settings.needs_metadata() && metadata_urls(issuer).is_none() {
            return reject("issuer", "expected a URL without query and fragment, for the metadata");
        }
    } else {
        let mut needed = settings.needed_endpoints().into_iter();
        match needed.find(|endpoint| settings.explicit_endpoint(*endpoint).is_none()) {
            Some(endpoint @ (ProviderEndpoint::Revocation | ProviderEndpoint::GrantManagement)) => {
                let expected = format!("needs a {endpoint}, or an issuer whose metadata name it");
                return reject("revoke", &expected);
            }
            Some(endpoint @ (ProviderEndpoint::Keys | ProviderEndpoint::Introspection)) => {
                let expected = format!("needs the setting {endpoint}, or an issuer whose metadata name it");
                let identity = &settings.customer_identity;
                let is_for_identity =
                    endpoint == ProviderEndpoint::Keys || *identity == CustomerIdentity::Introspection;
                let is_for_terms = !is_for_identity && settings.terms.contains(&TermsSource::Introspection);
                return reject(if is_for_terms { "terms" } else { "customer_identity" }, &expected);
            }
            Some(endpoint) => return reject(endpoint.as_str(), "is needed without an issuer"),
            None => {}
        }
    }
    let is_host = |host: &String| {
        let url = Url::parse(&format!("https://{host}/")).ok();
        url.is_some_and(|url| url.host_str() == Some(host))
    };
    match settings.metadata_hosts.iter().enumerate().find(|(nth, host)| *nth >= MAX_HOSTS || !is_host(host)) {
        Some((nth, _)) => {
            let expected = "expected the name of a host in lower case, at most 32 of them";
            reject(&format!("metadata_hosts[{nth}]"), expected)
        }
        None if settings.issuer.is_none() && !settings.metadata_hosts.is_empty() => {
            reject("metadata_hosts", "needs an issuer")
        }
        None => Ok(()),
    }
}

fn is_allowed_url(url: &str, allow_http: bool) -> bool {
    let url = Url::parse(url).ok();
    url.is_some_and(|url| url.scheme() == "https" || allow_http && url.scheme() == "http")
}

/// Validates the provider's scope values (RFC 6749 §3.3) and the names of fields in its token response.
fn validate_scopes_and_fields(settings: &ProviderSettings) -> Result<(), ValidationError> {
    if settings.scopes.is_empty() {
        return Err(ValidationError::new("scopes", "expected a scope value for at least one data cluster"));
    }
    if let Some((cluster, _)) =
        settings.scopes.iter().find(|(_, value)| !authorization::is_scope_token(value))
    {
        return Err(ValidationError::new(format!("scopes.{cluster}"), "expected a single scope value"));
    }
    let (field, claim) = match &settings.customer_identity {
        CustomerIdentity::TokenField(field) => (Some(field), None),
        CustomerIdentity::IdToken(claim) => (None, Some(claim)),
        CustomerIdentity::Introspection | CustomerIdentity::FdxCustomer | CustomerIdentity::None => {
            (None, None)
        }
    };
    let fields = [
        ("customer_identity.token_field", field),
        ("customer_identity.id_token", claim),
        ("accounts_field", settings.accounts_field.as_ref()),
        ("grant_field", settings.grant_field.as_ref()),
    ];
    let is_scope = |scope: &String| scope.split(' ').all(authorization::is_scope_token);
    if settings.consent_scope.as_ref().is_some_and(|scope| !is_scope(scope)) {
        return Err(ValidationError::new("consent_scope", "expected scope values, separated by spaces"));
    }
    match fields
        .into_iter()
        .find(|(_, field)| field.is_some_and(|field| !authorization::is_scope_token(field)))
    {
        Some((name, _)) => Err(ValidationError::new(name, "expected a field name")),
        None => Ok(()),
    }
}

/// Validates settings that depend on each other.
fn validate_combinations(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let reject = |field: &str, expected: &str| Err(ValidationError::new(field, expected));
    revocation::validate_revocation(settings)?;
    let sources = &settings.terms;
    if sources.iter().enumerate().any(|(index, source)| sources[..index].contains(source)) {
        return reject("terms", "expected each source once");
    }
    if matches!(settings.customer_identity, CustomerIdentity::IdToken(_)) {
        if settings.issuer.is_none() {
            return reject("customer_identity", "id_token needs an issuer, which the token must name");
        }
        // Without this scope, the provider issues no id token.
        if !settings.requests_id_token() {
            return reject("customer_identity", "id_token needs openid in extra_scopes");
        }
    }
    let is_grant_shared = settings.grant_scope == GrantScope::PerClientCustomer;
    // Without the customer's identity the hub could not find the last connection of a grant, and would revoke the grant
    // too early or never.
    if is_grant_shared && settings.customer_identity == CustomerIdentity::None {
        let expected =
            "per_client_customer needs a customer_identity, which shows the connections that share a grant";
        return reject("grant_scope", expected);
    }
    // The search for connections that share a grant covers all recipients. With a client for each registration, a grant
    // belongs to one recipient, so the search would also find connections with other grants.
    let client = settings.upstream_client;
    if is_grant_shared && client.has_registration_clients() {
        return reject("upstream_client", &format!("{} needs grant_scope = \"per_token\"", client.as_str()));
    }
    if settings.dynamic_registration.is_some() && !client.has_registration_clients() {
        return reject("dynamic_registration", "needs upstream_client = \"registration\" or \"aggregator\"");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn validation_message(change: impl Fn(&mut Value), allow_http: bool) -> Option<String> {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "authorization_endpoint": "https://maple.example/authorize",
            "token_endpoint": "https://maple.example/token", "client_id": "bowline", "client_secret": "sealed",
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"},
        });
        change(&mut value);
        let settings = serde_json::from_value(value).unwrap();
        check(&settings, ProviderLimits { allow_loopback: allow_http, max_timeout: Duration::from_secs(15) })
            .err()
            .map(|invalid| format!("{}: {}", invalid.field, invalid.expected))
    }

    #[test]
    fn valid_provider_settings_and_unicode_names_are_accepted() {
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
        let shares_grants = |v: &mut Value| {
            v["grant_scope"] = json!("per_client_customer");
            v["customer_identity"] = json!({"token_field": "sub"});
        };
        assert_eq!(validation_message(shares_grants, false), None);
    }

    #[test]
    fn grant_of_registration_belongs_to_one_recipient() {
        for mode in ["registration", "aggregator"] {
            let change = |v: &mut Value| {
                v["grant_scope"] = json!("per_client_customer");
                v["customer_identity"] = json!({"token_field": "sub"});
                v["upstream_client"] = json!(mode);
            };

            let expected = format!("upstream_client: {mode} needs grant_scope = \"per_token\"");
            assert_eq!(validation_message(change, false), Some(expected));
        }
    }

    #[test]
    fn loopback_allows_http_and_no_other_scheme() {
        let with_scheme = |scheme: &str, allow_http| {
            let url = format!("{scheme}://127.0.0.1/fdx");
            validation_message(|v| v["fdx"]["base_url"] = json!(url), allow_http)
        };

        for (scheme, allow_http, is_valid) in
            [("https", false, true), ("http", false, false), ("http", true, true), ("ftp", true, false)]
        {
            assert_eq!(with_scheme(scheme, allow_http).is_none(), is_valid, "{scheme} {allow_http}");
        }
    }

    #[test]
    fn scope_value_has_at_most_200_printable_characters() {
        for (value, is_valid) in [
            ("x".repeat(200), true),
            ("x".repeat(201), false),
            ("!#[]~".to_owned(), true),
            ("a\"b".to_owned(), false),
            ("a\\b".to_owned(), false),
            ("é".to_owned(), false),
        ] {
            let message = validation_message(|v| v["scopes"]["ACCOUNT_BASIC"] = json!(value), false);
            assert_eq!(message.is_none(), is_valid, "{value}");
        }
    }

    #[test]
    fn invalid_dynamic_registration_setting_is_rejected() {
        for (endpoint, client, expected) in [
            (
                "https://b.example/r",
                "hub",
                "dynamic_registration: needs upstream_client = \"registration\" or \"aggregator\"",
            ),
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
    fn id_token_needs_issuer_and_openid() {
        let with = |issuer: Value, scopes: Value| {
            let identified = |v: &mut Value| {
                v["customer_identity"] = json!({"id_token": "sub"});
                v["jwks_uri"] = json!("https://maple.example/keys");
                (v["issuer"], v["extra_scopes"]) = (issuer.clone(), scopes.clone());
            };
            validation_message(identified, false)
        };
        let (issuer, openid) = (json!("https://maple.example"), json!(["openid"]));

        assert_eq!(with(issuer.clone(), openid.clone()), None);
        let expected = "customer_identity: id_token needs an issuer, which the token must name";
        assert_eq!(with(Value::Null, openid).as_deref(), Some(expected));
        let expected = "customer_identity: id_token needs openid in extra_scopes";
        assert_eq!(with(issuer, json!([])).as_deref(), Some(expected));
    }

    #[test]
    fn issuer_replaces_endpoints() {
        let discovered = |v: &mut Value| {
            v["issuer"] = json!("https://bank.example/tenant");
            (v["authorization_endpoint"], v["token_endpoint"]) = (Value::Null, Value::Null);
            v["revoke"] = json!(["rfc7009"]);
        };
        assert_eq!(validation_message(discovered, false), None);

        let query = |v: &mut Value| {
            discovered(v);
            v["issuer"] = json!("https://bank.example/?tenant=1");
        };
        let expected = "issuer: expected a URL without query and fragment, for the metadata";
        assert_eq!(validation_message(query, false).as_deref(), Some(expected));
        for host in ["https://keys.example", "Keys.example", "", "a/b", "keys.example:443", "a@b"] {
            let hosts = |v: &mut Value| {
                discovered(v);
                v["metadata_hosts"] = json!([host]);
            };
            let expected = "metadata_hosts[0]: expected the name of a host in lower case, at most 32 of them";
            assert_eq!(validation_message(hosts, false).as_deref(), Some(expected), "{host}");
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
            ("scopes", json!({}), "scopes: expected a scope value for at least one data cluster"),
            (
                "scopes",
                json!({"ACCOUNT_BASIC": "a b"}),
                "scopes.ACCOUNT_BASIC: expected a single scope value",
            ),
            ("accounts_field", json!(""), "accounts_field: expected a field name"),
            (
                "customer_identity",
                json!({"token_field": "a\n"}),
                "customer_identity.token_field: expected a field name",
            ),
            (
                "customer_identity",
                json!({"id_token": "sub"}),
                "customer_identity: needs the setting jwks_uri, or an issuer whose metadata name it",
            ),
            (
                "customer_identity",
                json!("introspection"),
                "customer_identity: needs the setting introspection_endpoint, or an issuer whose metadata name it",
            ),
            (
                "terms",
                json!(["introspection"]),
                "terms: needs the setting introspection_endpoint, or an issuer whose metadata name it",
            ),
            ("terms", json!(["fdx_consent", "fdx_consent"]), "terms: expected each source once"),
            (
                "revoke",
                json!(["grant_management"]),
                "revoke: needs a grant_management_endpoint, or an issuer whose metadata name it",
            ),
            (
                "computed_headers",
                json!({"Host": "customer_ip"}),
                "computed_headers.Host: the hub sets this header itself",
            ),
            ("consent_scope", json!("a  b"), "consent_scope: expected scope values, separated by spaces"),
            ("token_endpoint", Value::Null, "token_endpoint: is needed without an issuer"),
            ("metadata_hosts", json!(["keys.example"]), "metadata_hosts: needs an issuer"),
            (
                "revoke",
                json!(["rfc7009"]),
                "revoke: needs a revocation_endpoint, or an issuer whose metadata name it",
            ),
            (
                "grant_scope",
                json!("per_client_customer"),
                "grant_scope: per_client_customer needs a customer_identity, \
                which shows the connections that share a grant",
            ),
        ] {
            assert_eq!(validation_message(|v| v[field] = value.clone(), false).as_deref(), Some(expected));
        }
    }
}
