//! Writes the configuration of a provider from the metadata of its issuer, for review by an operator.

use std::fmt::Write;

use domain::DataCluster;
use domain::model::provider::{ClientAuthentication, MetadataEndpoints, ProviderEndpoint, ProviderMetadata};
use domain::rule::provider_metadata::metadata_urls;
use url::Url;

use super::error::CliError;
use crate::config::UpstreamSection;
use crate::outbound::Outbound;
use crate::upstream::request_metadata;

/// Requests the metadata of an issuer and returns a `[[provider]]` section with them. Placeholders and comments name what the
/// operator must complete or check.
pub(super) async fn build_from_issuer(section: &UpstreamSection, issuer: &str) -> Result<String, CliError> {
    let outbound = Outbound::new(section)
        .map_err(|error| CliError::Failed(format!("the HTTP client cannot be built: {error}")))?;
    if metadata_urls(issuer).is_none() {
        let expected = "--from-issuer: expected an https URL without query and fragment";
        return Err(CliError::Usage(expected.into()));
    }
    let found = request_metadata(&outbound, issuer, section.allow_loopback).await;
    let (metadata, url) = found.map_err(|error| CliError::Failed(error.to_string()))?;
    for endpoint in [ProviderEndpoint::Authorization, ProviderEndpoint::Token] {
        if metadata.endpoints.find(endpoint).is_none() {
            return Err(CliError::Failed(format!("{url}: the document has no {endpoint}")));
        }
    }
    Ok(write_provider(&metadata, &url))
}

/// The text of a configuration, which grows line by line.
struct Template<'m> {
    metadata: &'m ProviderMetadata,
    text: String,
}

impl Template<'_> {
    fn comment(&mut self, comment: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "# {comment}");
    }

    /// Adds a key with a text as its value. The text comes from the provider, so it is escaped.
    fn set(&mut self, key: &str, value: &str) {
        let value = toml::Value::String(value.to_owned());
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn set_raw(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key} = {value}");
    }

    /// Adds an endpoint, with a warning if it is at another host than the issuer.
    fn set_endpoint(&mut self, key: &str, url: Option<&String>) {
        let Some(url) = url else { return };
        if self.metadata.is_foreign(url) {
            self.comment("CHECK: this host differs from that of the issuer. Compare it with the provider's documentation.");
        }
        self.set(key, url);
    }
}

fn write_provider(metadata: &ProviderMetadata, source: &Url) -> String {
    let auth = metadata.strongest_authentication();
    let uses_certificate = auth.is_some_and(ClientAuthentication::uses_certificate);
    let aliases = &metadata.mtls_endpoint_aliases;
    let alias = |alias: &Option<String>, endpoint: &Option<String>| match alias {
        Some(alias) if uses_certificate => Some(alias.clone()),
        _ => endpoint.clone(),
    };
    let mut template = Template { metadata, text: String::new() };
    template.comment(&format!("From {source}. Replace the values in capital letters, check the others,"));
    template.comment(
        "and add the provider with `bowline provider add FILE`, or append this to the configuration.",
    );
    template.text.push_str("[[provider]]\n");
    template.set_raw("id", "1000");
    template.set("name", "NAME");
    template.set("country", "CA");
    template.set("issuer", &metadata.issuer);
    template.set_endpoint("authorization_endpoint", metadata.endpoints.authorization_endpoint.as_ref());
    let token = alias(&aliases.token_endpoint, &metadata.endpoints.token_endpoint);
    template.set_endpoint("token_endpoint", token.as_ref());
    let revocation = alias(&aliases.revocation_endpoint, &metadata.endpoints.revocation_endpoint);
    template.set_endpoint("revocation_endpoint", revocation.as_ref());
    template.set("client_id", "CLIENT_ID");
    write_authentication(&mut template, auth);
    if metadata.offers_dpop() {
        template.set("dpop", "auto");
    }
    template.comment("The metadata do not contain the URL and the version of the FDX API.");
    template.set_raw("fdx", "{ base_url = \"https://FDX-BASE-URL.example\", version = \"6\" }");
    write_scopes(&mut template);
    if metadata.authorization_details_types_supported.iter().any(|name| name == "fdx_v1.0") {
        template.set("authorization_details", "fdx_v1.0");
    }
    let methods = if revocation.is_some() { "[\"rfc7009\"]" } else { "[]" };
    if revocation.is_none() {
        template.comment(
            "CHECK: the metadata name no revocation endpoint, so ended connections remain active there.",
        );
    }
    template.set_raw("revoke", methods);
    write_limitations(&mut template, auth);
    template.text
}

fn write_authentication(template: &mut Template<'_>, auth: Option<ClientAuthentication>) {
    let Some(auth) = auth else {
        template.comment("CHECK: the provider offers no authentication method that the hub supports.");
        return template.set_raw("client_secret", "{ env = \"PROVIDER_CLIENT_SECRET\" }");
    };
    template.set("auth", auth.as_str());
    match auth {
        ClientAuthentication::ClientSecretBasic | ClientAuthentication::ClientSecretPost => {
            template.set_raw("client_secret", "{ env = \"PROVIDER_CLIENT_SECRET\" }");
        }
        ClientAuthentication::PrivateKeyJwt => {
            let offered = &template.metadata.token_endpoint_auth_signing_alg_values_supported;
            let mut known = ["ES256", "PS256", "EdDSA"].into_iter();
            let common = known.find(|name| offered.iter().any(|offered| offered == name));
            if common.is_none() {
                template.comment("CHECK: the metadata name none of ES256, PS256 and EdDSA.");
            }
            template.set_raw("auth_key", "{ file = \"KEY.pem\" }");
            template.set("auth_algorithm", common.unwrap_or("ES256"));
            if template.metadata.require_signed_request_object {
                template.set("request_object", "required");
            }
        }
        ClientAuthentication::TlsClientAuth | ClientAuthentication::SelfSignedTlsClientAuth => {
            template.set_raw("tls", "{ certificate = \"CERTIFICATE.pem\", key = { file = \"KEY.pem\" } }");
        }
    }
}

/// Adds the scopes whose names contain those of data clusters, as those of FDX do (`fdx:accountbasic:read`).
fn write_scopes(template: &mut Template<'_>) {
    let normalize = |text: &str| {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let offered = &template.metadata.scopes_supported;
    let find = |cluster: DataCluster| {
        let name = normalize(cluster.as_str());
        let is_cluster = |scope: &&String| {
            let scope = normalize(scope);
            scope == name || scope == format!("fdx{name}read")
        };
        let scope = offered.iter().find(is_cluster)?;
        Some(format!("{} = {}", cluster.as_str(), toml::Value::String(scope.clone())))
    };
    let found: Vec<_> = DataCluster::ALL.iter().filter_map(|cluster| find(*cluster)).collect();
    if found.is_empty() {
        template.comment(
            "CHECK: the metadata name no scope of FDX. Ask the provider for the scope of each data cluster.",
        );
        return template.set_raw("scopes", "{ ACCOUNT_BASIC = \"SCOPE\" }");
    }
    template.set_raw("scopes", &format!("{{ {} }}", found.join(", ")));
}

/// Adds comments about what the provider requires and the hub does not support.
fn write_limitations(template: &mut Template<'_>, auth: Option<ClientAuthentication>) {
    let metadata = template.metadata;
    let limitations = [
        (metadata.lacks_pkce(), "PKCE with S256 is not offered, and the hub always uses it"),
        (
            metadata.require_signed_request_object && auth != Some(ClientAuthentication::PrivateKeyJwt),
            "signed request objects (RFC 9101) are required, which need auth = \"private_key_jwt\"",
        ),
        (
            metadata.tls_client_certificate_bound_access_tokens
                && metadata.mtls_endpoint_aliases == MetadataEndpoints::default(),
            "access tokens may be bound to the hub's certificate: set tls.certificate and tls.key",
        ),
    ];
    for (applies, limitation) in limitations {
        if applies {
            template.comment(&format!("CHECK: {limitation}."));
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::model::provider::{AuthorizationDetails, Dpop};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::ProviderEntry;

    fn write(changes: &Value) -> String {
        let mut document = json!({
            "issuer": "https://bank.example", "authorization_endpoint": "https://bank.example/authorize",
            "token_endpoint": "https://bank.example/token", "revocation_endpoint": "https://bank.example/revoke",
            "scopes_supported": ["openid", "fdx:accountbasic:read", "TRANSACTIONS"],
        });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let metadata =
            ProviderMetadata::parse(document.to_string().as_bytes(), "https://bank.example", false).unwrap();
        write_provider(&metadata, &"https://bank.example/.well-known/openid-configuration".parse().unwrap())
    }

    /// Parses a section as the configuration does.
    fn parse(text: &str) -> ProviderEntry {
        let table: toml::Table = text.parse().unwrap();
        table["provider"][0].clone().try_into().unwrap()
    }

    #[test]
    fn written_provider_can_be_parsed_for_each_authentication() {
        for method in [
            "private_key_jwt",
            "tls_client_auth",
            "self_signed_tls_client_auth",
            "client_secret_basic",
            "client_secret_post",
        ] {
            let text = write(&json!({"token_endpoint_auth_methods_supported": [method]}));

            let settings = parse(&text).settings;

            assert_eq!(settings.auth.as_str(), method, "{text}");
            assert_eq!(settings.scope_for(settings.clusters()), "fdx:accountbasic:read TRANSACTIONS");
            let limits = domain::rule::provider::ProviderLimits {
                allow_loopback: false,
                max_timeout: std::time::Duration::from_secs(15),
            };
            assert_eq!(domain::rule::provider::check(&settings, limits), Ok(()), "{text}");
        }
    }

    #[test]
    fn aliases_are_used_with_certificate_only() {
        let aliases = json!({"token_endpoint": "https://mtls.bank.example/token"});
        let with = |method: &str| {
            let text = write(
                &json!({"mtls_endpoint_aliases": aliases, "token_endpoint_auth_methods_supported": [method]}),
            );
            parse(&text).settings.token_endpoint.unwrap()
        };

        assert_eq!(with("tls_client_auth"), "https://mtls.bank.example/token");
        assert_eq!(with("client_secret_basic"), "https://bank.example/token");
    }

    #[test]
    fn dpop_is_written_if_it_is_offered() {
        let dpop = |algorithms: &[&str]| {
            parse(&write(&json!({"dpop_signing_alg_values_supported": algorithms}))).settings.dpop
        };

        assert_eq!(dpop(&["PS256", "ES256"]), Dpop::Auto);
        assert_eq!((dpop(&["PS256"]), dpop(&[])), (Dpop::Off, Dpop::Off));
    }

    #[test]
    fn doubtful_metadata_are_marked_for_review() {
        for (changes, mark) in [
            (json!({"token_endpoint": "https://other.example/token"}), "this host differs"),
            (json!({"revocation_endpoint": null}), "no revocation endpoint"),
            (json!({"scopes_supported": ["openid"]}), "no scope of FDX"),
            (json!({"code_challenge_methods_supported": ["plain"]}), "PKCE with S256 is not offered"),
            (json!({"require_signed_request_object": true}), "signed request objects"),
            (json!({"token_endpoint_auth_methods_supported": ["none"]}), "no authentication method"),
        ] {
            let text = write(&changes);

            assert!(text.contains(mark), "{changes}: {text}");
            parse(&text);
        }
        assert!(!write(&json!({})).contains("CHECK"), "{}", write(&json!({})));
    }

    #[test]
    fn consent_request_is_written_if_it_is_offered() {
        let with = |types: &[&str]| parse(&write(&json!({"authorization_details_types_supported": types})));

        assert_eq!(with(&["payment", "fdx_v1.0"]).settings.authorization_details, AuthorizationDetails::Fdx);
        assert_eq!(with(&["payment"]).settings.authorization_details, AuthorizationDetails::Off);
    }

    #[test]
    fn text_of_provider_cannot_add_keys() {
        let text = write(&json!({"scopes_supported": ["TRANSACTIONS", "x\" }\nclient_id = \"attacker"]}));

        assert_eq!(parse(&text).settings.client_id, "CLIENT_ID", "{text}");
    }
}
