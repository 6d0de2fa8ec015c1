//! The metadata that an authorization server publishes about itself (RFC 8414, OpenID Connect Discovery).

use serde::Deserialize;
use url::Url;

use crate::model::provider::ClientAuthentication;

/// The maximum size of a metadata document, 256 KiB.
pub const MAX_METADATA_BYTES: usize = 262_144;

/// The reason why metadata are not used. It contains nothing of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The document is not a JSON object, or a member has another type than it must have.
    #[error("the document is not metadata of RFC 8414")]
    Unreadable,
    /// The document names another issuer than the one that it was requested from (RFC 8414 §3.3).
    #[error("the document names another issuer, so it may belong to another party")]
    OtherIssuer,
    /// A required endpoint is missing.
    #[error("the document has no {0}")]
    Missing(&'static str),
    /// An endpoint is not a URL with https.
    #[error("{0} is not an https URL")]
    InvalidUrl(&'static str),
}

/// The members of the metadata that concern the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ProviderMetadata {
    /// Issuer identifier of the server.
    pub issuer: String,
    /// Authorization endpoint.
    pub authorization_endpoint: Option<String>,
    /// Token endpoint.
    pub token_endpoint: Option<String>,
    /// Revocation endpoint (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// Client registration endpoint (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// Endpoints for clients with a certificate (RFC 8705 §5).
    #[serde(default)]
    pub mtls_endpoint_aliases: MtlsEndpoints,
    /// Scope values that the server offers.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// Authentication methods of the token endpoint; without it, `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Signature algorithms of client assertions.
    #[serde(default)]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// PKCE methods (RFC 7636).
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// True if the server accepts authorization requests only by PAR (RFC 9126 §5).
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// True if the server accepts authorization requests only as signed objects (RFC 9101 §10.5).
    #[serde(default)]
    pub require_signed_request_object: bool,
    /// True if access tokens are bound to the certificate of the client (RFC 8705 §3.3).
    #[serde(default)]
    pub tls_client_certificate_bound_access_tokens: bool,
}

/// Endpoints for clients that authenticate with a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct MtlsEndpoints {
    /// Token endpoint.
    pub token_endpoint: Option<String>,
    /// Revocation endpoint.
    pub revocation_endpoint: Option<String>,
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
        for (name, endpoint) in [
            ("authorization_endpoint", &metadata.authorization_endpoint),
            ("token_endpoint", &metadata.token_endpoint),
        ] {
            if endpoint.is_none() {
                return Err(MetadataError::Missing(name));
            }
        }
        let is_allowed = |url: &str| {
            let url = Url::parse(url).ok().filter(Url::has_host);
            url.is_some_and(|url| url.scheme() == "https" || allow_http && url.scheme() == "http")
        };
        match metadata.endpoints().into_iter().find(|(_, url)| !is_allowed(url)) {
            Some((name, _)) => Err(MetadataError::InvalidUrl(name)),
            None => Ok(metadata),
        }
    }

    /// Returns the endpoints with their names.
    pub fn endpoints(&self) -> Vec<(&'static str, &str)> {
        let aliases = &self.mtls_endpoint_aliases;
        let all = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("registration_endpoint", &self.registration_endpoint),
            ("mtls_endpoint_aliases.token_endpoint", &aliases.token_endpoint),
            ("mtls_endpoint_aliases.revocation_endpoint", &aliases.revocation_endpoint),
        ];
        all.into_iter().filter_map(|(name, url)| Some((name, url.as_deref()?))).collect()
    }

    /// Returns whether a URL is at another host than the issuer. An attacker who changes the document could lead the hub's
    /// secrets there.
    pub fn is_foreign(&self, url: &str) -> bool {
        let host = |text: &str| Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
        host(url) != host(&self.issuer)
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
            ("token_endpoint", Value::Null, MetadataError::Missing("token_endpoint")),
            ("token_endpoint", json!(5), MetadataError::Unreadable),
            ("scopes_supported", json!("openid"), MetadataError::Unreadable),
            (
                "authorization_endpoint",
                json!("http://bank.example/"),
                MetadataError::InvalidUrl("authorization_endpoint"),
            ),
            ("revocation_endpoint", json!("/revoke"), MetadataError::InvalidUrl("revocation_endpoint")),
            (
                "mtls_endpoint_aliases",
                json!({"token_endpoint": "file:///token"}),
                MetadataError::InvalidUrl("mtls_endpoint_aliases.token_endpoint"),
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
            metadata.unwrap().endpoints(),
            [
                ("authorization_endpoint", "https://bank.example/authorize"),
                ("token_endpoint", "https://bank.example/token"),
                ("mtls_endpoint_aliases.token_endpoint", "https://mtls.bank.example/token"),
            ]
        );
    }
}
