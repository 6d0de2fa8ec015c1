//! The validation of metadata that an authorization server publishes about itself (RFC 8414, OpenID Connect Discovery).

use url::Url;

use crate::model::provider::{
    ClientAuthentication, EndpointError, ProviderEndpoint, ProviderMetadata, ProviderSettings,
};

/// The maximum size of a metadata document, 256 KiB.
pub const MAX_METADATA_BYTES: usize = 262_144;

/// The maximum size of the members that are stored, 16 KiB. A document of an ordinary server has about a tenth of it.
const MAX_STORED_BYTES: usize = 16_384;

/// The reason why metadata are not used. It contains nothing of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The document is not a JSON object, or a member has another type than it must have.
    #[error("the document is not metadata of RFC 8414")]
    Unreadable,
    /// The document names another issuer than the one that it was requested from (RFC 8414 §3.3).
    #[error("the document names another issuer, so it may belong to another party")]
    OtherIssuer,
    /// An endpoint that the settings need is missing, or is at a host that they do not allow.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// The members that concern the hub are too large.
    #[error("the document is too large")]
    TooLarge,
    /// An endpoint is not a URL with https.
    #[error("{0} is not an https URL")]
    InvalidUrl(String),
}

impl ProviderMetadata {
    /// Parses and validates the document of an issuer. With `allow_http`, URLs may use plain http, for servers on the same
    /// machine.
    pub fn parse(body: &[u8], issuer: &str, allow_http: bool) -> Result<Self, MetadataError> {
        let metadata: Self = serde_json::from_slice(body).map_err(|_| MetadataError::Unreadable)?;
        // RFC 8414 §3.3 requires identity. A slash at the end is a frequent difference between the two texts, and does not
        // name another party.
        if metadata.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(MetadataError::OtherIssuer);
        }
        let is_allowed = |url: &str| {
            let url = Url::parse(url).ok().filter(Url::has_host);
            url.is_some_and(|url| url.scheme() == "https" || allow_http && url.scheme() == "http")
        };
        match metadata.list_endpoints().into_iter().find(|(_, url)| !is_allowed(url)) {
            Some((name, _)) => Err(MetadataError::InvalidUrl(name)),
            None => Ok(metadata),
        }
    }

    /// Ensures that the metadata can be used with the settings of a provider.
    pub fn ensure_usable(&self, settings: &ProviderSettings) -> Result<(), MetadataError> {
        // The provider sends its issuer identifier as `iss`, so the two must be identical here.
        if Some(&self.issuer) != settings.issuer.as_ref() {
            return Err(MetadataError::OtherIssuer);
        }
        let text = serde_json::to_string(self).map_err(|_| MetadataError::Unreadable)?;
        if text.len() > MAX_STORED_BYTES {
            return Err(MetadataError::TooLarge);
        }
        settings.find_endpoint_problem(Some(self)).map_or(Ok(()), |error| Err(error.into()))
    }

    /// Returns the names of the stored members that differ from those of the previous document.
    pub fn changed_members(&self, previous: &Self) -> Vec<String> {
        let members = |metadata: &Self| match serde_json::to_value(metadata) {
            Ok(serde_json::Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        };
        let (new, old) = (members(self), members(previous));
        let mut names: Vec<_> =
            new.keys().chain(old.keys()).filter(|name| new.get(*name) != old.get(*name)).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the endpoints with their names.
    fn list_endpoints(&self) -> Vec<(String, &str)> {
        let own =
            |endpoint: ProviderEndpoint| Some((endpoint.as_str().to_owned(), self.endpoints.find(endpoint)?));
        let aliases = |endpoint: ProviderEndpoint| {
            let url = self.mtls_endpoint_aliases.find(endpoint)?;
            Some((format!("mtls_endpoint_aliases.{endpoint}"), url))
        };
        let registration =
            self.registration_endpoint.as_deref().map(|url| ("registration_endpoint".to_owned(), url));
        let all = ProviderEndpoint::ALL.iter().copied();
        all.clone().filter_map(own).chain(all.filter_map(aliases)).chain(registration).collect()
    }

    /// Returns the strongest authentication method that both the server and the hub support.
    pub fn strongest_authentication(&self) -> Option<ClientAuthentication> {
        const BY_STRENGTH: [ClientAuthentication; 5] = [
            ClientAuthentication::PrivateKeyJwt,
            ClientAuthentication::TlsClientAuth,
            ClientAuthentication::SelfSignedTlsClientAuth,
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
        ];
        let Some(methods) = &self.token_endpoint_auth_methods_supported else {
            return Some(ClientAuthentication::ClientSecretBasic);
        };
        BY_STRENGTH.into_iter().find(|method| methods.iter().any(|known| known == method.as_str()))
    }

    /// Returns whether the server states that it does not support PKCE with SHA-256, which the hub always uses.
    pub fn lacks_pkce(&self) -> bool {
        let methods = self.code_challenge_methods_supported.as_ref();
        methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256"))
    }
}

/// Returns the URLs at which the metadata of an issuer may be: those of OpenID Connect Discovery §4 and of RFC 8414 §3. `None`
/// if the issuer is not a URL without query and fragment.
pub fn metadata_urls(issuer: &str) -> Option<[Url; 2]> {
    let url = Url::parse(issuer).ok()?;
    if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut found = url.clone();
        found.set_path(&path);
        found
    };
    // OpenID Connect appends the well-known path, and RFC 8414 inserts it before the path of the issuer.
    Some([
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({"issuer": "https://bank.example", "authorization_endpoint": "https://bank.example/authorize",
            "token_endpoint": "https://bank.example/token", "scopes_supported": ["openid"], "unknown": {"a": 1}})
    }

    fn parse_with(name: &str, value: Value) -> Result<ProviderMetadata, MetadataError> {
        let mut document = document();
        document[name] = value;
        ProviderMetadata::parse(document.to_string().as_bytes(), "https://bank.example", false)
    }

    #[test]
    fn rfc8414_s3_urls_depend_on_path_of_issuer() {
        let urls = |issuer: &str| metadata_urls(issuer).map(|urls| urls.map(String::from));

        assert_eq!(
            urls("https://bank.example/tenant/"),
            Some([
                "https://bank.example/tenant/.well-known/openid-configuration".to_owned(),
                "https://bank.example/.well-known/oauth-authorization-server/tenant".to_owned(),
            ])
        );
        assert_eq!(
            urls("https://bank.example").unwrap()[1],
            "https://bank.example/.well-known/oauth-authorization-server"
        );
        for invalid in ["bank", "https://bank.example/?x", "https://bank.example/#x", "data:x"] {
            assert_eq!(urls(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn rfc8414_s3_3_document_of_other_issuer_is_rejected() {
        let other = parse_with("issuer", json!("https://attacker.example"));
        let slash = parse_with("issuer", json!("https://bank.example/"));

        assert_eq!(other, Err(MetadataError::OtherIssuer));
        assert!(slash.is_ok());
    }

    #[test]
    fn metadata_with_invalid_member_are_rejected() {
        for (name, value, error) in [
            ("token_endpoint", json!(5), MetadataError::Unreadable),
            ("scopes_supported", json!("openid"), MetadataError::Unreadable),
            (
                "authorization_endpoint",
                json!("http://bank.example/"),
                MetadataError::InvalidUrl("authorization_endpoint".into()),
            ),
            (
                "revocation_endpoint",
                json!("/revoke"),
                MetadataError::InvalidUrl("revocation_endpoint".into()),
            ),
            (
                "mtls_endpoint_aliases",
                json!({"token_endpoint": "file:///token"}),
                MetadataError::InvalidUrl("mtls_endpoint_aliases.token_endpoint".into()),
            ),
        ] {
            assert_eq!(parse_with(name, value.clone()), Err(error), "{name}: {value}");
        }
        assert_eq!(ProviderMetadata::parse(b"<html>", "x", false), Err(MetadataError::Unreadable));
    }

    #[test]
    fn strongest_common_authentication_is_chosen() {
        let method = |methods: Value| {
            parse_with("token_endpoint_auth_methods_supported", methods).unwrap().strongest_authentication()
        };

        assert_eq!(method(Value::Null), Some(ClientAuthentication::ClientSecretBasic));
        assert_eq!(
            method(json!(["client_secret_basic", "private_key_jwt"])),
            Some(ClientAuthentication::PrivateKeyJwt)
        );
        assert_eq!(
            method(json!(["client_secret_post", "tls_client_auth"])),
            Some(ClientAuthentication::TlsClientAuth)
        );
        assert_eq!(method(json!(["none"])), None);
    }

    #[test]
    fn endpoint_at_other_host_is_foreign() {
        let metadata = parse_with("revocation_endpoint", json!("https://other.example/revoke")).unwrap();

        assert!(metadata.is_foreign("https://other.example/revoke"));
        assert!(!metadata.is_foreign("https://bank.example:8443/token"));
        assert!(!metadata.lacks_pkce());
        assert!(parse_with("code_challenge_methods_supported", json!(["plain"])).unwrap().lacks_pkce());
    }

    #[test]
    fn plain_http_is_allowed_only_on_same_machine() {
        let parse = |scheme: &str, allow_http| {
            let mut document = document();
            document["token_endpoint"] = json!(format!("{scheme}://127.0.0.1/token"));
            ProviderMetadata::parse(document.to_string().as_bytes(), "https://bank.example", allow_http)
        };

        for (scheme, allow_http, is_valid) in
            [("https", true, true), ("http", true, true), ("http", false, false), ("ftp", true, false)]
        {
            assert_eq!(parse(scheme, allow_http).is_ok(), is_valid, "{scheme} {allow_http}");
        }
    }

    #[test]
    fn endpoints_of_document_are_listed_with_their_names() {
        let metadata =
            parse_with("mtls_endpoint_aliases", json!({"token_endpoint": "https://mtls.bank.example/token"}));

        assert_eq!(
            metadata.unwrap().list_endpoints(),
            [
                ("authorization_endpoint".to_owned(), "https://bank.example/authorize"),
                ("token_endpoint".to_owned(), "https://bank.example/token"),
                ("mtls_endpoint_aliases.token_endpoint".to_owned(), "https://mtls.bank.example/token"),
            ]
        );
    }

    fn settings() -> ProviderSettings {
        serde_json::from_value(json!({
            "name": "Maple Trust", "country": "CA", "issuer": "https://bank.example", "client_id": "bowline",
            "client_secret": "sealed", "fdx": {"base_url": "https://bank.example/fdx", "version": "6"},
            "scopes": {"TRANSACTIONS": "tx"},
        }))
        .unwrap()
    }

    #[test]
    fn metadata_without_usable_endpoint_are_rejected() {
        let with = |name: &str, value: Value| parse_with(name, value).unwrap().ensure_usable(&settings());
        let error = |error: EndpointError| Err(MetadataError::Endpoint(error));

        assert_eq!(with("jwks_uri", json!("https://keys.example/keys")), Ok(()));
        assert_eq!(
            with("token_endpoint", Value::Null),
            error(EndpointError::Missing(ProviderEndpoint::Token))
        );
        assert_eq!(
            with("authorization_endpoint", json!("https://other.example/authorize")),
            error(EndpointError::OtherHost(ProviderEndpoint::Authorization))
        );
        assert_eq!(with("issuer", json!("https://bank.example/")), Err(MetadataError::OtherIssuer));
        let many = vec!["RS256"; 10_000];
        assert_eq!(with("id_token_signing_alg_values_supported", json!(many)), Err(MetadataError::TooLarge));
    }

    #[test]
    fn metadata_are_stored_up_to_their_maximum_size() {
        let with_key_path = |length: usize| {
            parse_with("jwks_uri", json!(format!("https://bank.example/{}", "k".repeat(length)))).unwrap()
        };
        let free = MAX_STORED_BYTES - serde_json::to_string(&with_key_path(0)).unwrap().len();

        assert_eq!(with_key_path(free).ensure_usable(&settings()), Ok(()));
        let error = with_key_path(free + 1).ensure_usable(&settings());
        assert_eq!(error, Err(MetadataError::TooLarge));
    }

    #[test]
    fn changed_members_are_named() {
        let old = parse_with("jwks_uri", json!("https://bank.example/keys")).unwrap();
        let mut new = old.clone();
        assert_eq!(new.changed_members(&old), [""; 0]);

        new.endpoints.jwks_uri = None;
        new.endpoints.token_endpoint = Some("https://bank.example/token2".into());
        new.mtls_endpoint_aliases.token_endpoint = Some("https://bank.example/token3".into());

        assert_eq!(new.changed_members(&old), ["jwks_uri", "mtls_endpoint_aliases", "token_endpoint"]);
    }
}
