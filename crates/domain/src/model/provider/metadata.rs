//! The metadata that an authorization server publishes about itself (RFC 8414, OpenID Connect Discovery), and the endpoints that
//! result from them and the settings.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{CustomerIdentity, Provider, ProviderSettings, PushedRequests, RevokeMethod, TermsSource};

crate::str_enum! {
    /// An endpoint or document of a provider. The value is its name in the settings and in the metadata.
    pub enum ProviderEndpoint {
        /// The authorization endpoint (RFC 6749 §3.1).
        Authorization = "authorization_endpoint",
        /// The token endpoint (RFC 6749 §3.2).
        Token = "token_endpoint",
        /// The revocation endpoint (RFC 7009).
        Revocation = "revocation_endpoint",
        /// The pushed authorization request endpoint (RFC 9126).
        PushedAuthorizationRequest = "pushed_authorization_request_endpoint",
        /// The introspection endpoint (RFC 7662).
        Introspection = "introspection_endpoint",
        /// The endpoint of the FAPI Grant Management API.
        GrantManagement = "grant_management_endpoint",
        /// The document with the keys that sign the id tokens of the provider (RFC 7517).
        Keys = "jwks_uri",
    }
}

/// The members of the metadata that concern the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent members of the document")]
pub struct ProviderMetadata {
    /// Issuer identifier of the server.
    pub issuer: String,
    /// The endpoints for all clients.
    #[serde(flatten)]
    pub endpoints: MetadataEndpoints,
    /// Client registration endpoint (RFC 7591).
    #[serde(skip_serializing)]
    pub registration_endpoint: Option<String>,
    /// Endpoints for clients with a certificate (RFC 8705 §5).
    #[serde(skip_serializing_if = "MetadataEndpoints::is_empty")]
    pub mtls_endpoint_aliases: MetadataEndpoints,
    /// Scope values that the server offers.
    #[serde(skip_serializing)]
    pub scopes_supported: Vec<String>,
    /// Authentication methods of the token endpoint; without it, `client_secret_basic`.
    #[serde(skip_serializing)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Signature algorithms of client assertions.
    #[serde(skip_serializing)]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// PKCE methods (RFC 7636).
    #[serde(skip_serializing)]
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Signature algorithms of id tokens (OpenID Connect Discovery §3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// True if every authorization response contains `iss` (RFC 9207 §3).
    #[serde(skip_serializing_if = "is_false")]
    pub authorization_response_iss_parameter_supported: bool,
    /// True if the server accepts authorization requests only as signed objects (RFC 9101 §10.5).
    #[serde(skip_serializing_if = "is_false")]
    pub require_signed_request_object: bool,
    /// True if the server accepts only authorization requests that are pushed (RFC 9126 §5).
    #[serde(skip_serializing)]
    pub require_pushed_authorization_requests: bool,
    /// Types of rich authorization requests (RFC 9396 §10).
    #[serde(skip_serializing)]
    pub authorization_details_types_supported: Vec<String>,
    /// True if access tokens are bound to the certificate of the client (RFC 8705 §3.3).
    #[serde(skip_serializing_if = "is_false")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Signature algorithms of DPoP proofs (RFC 9449 §5.1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The endpoints that metadata name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataEndpoints {
    /// Authorization endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Revocation endpoint (RFC 7009).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// Pushed authorization request endpoint (RFC 9126).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// Introspection endpoint (RFC 7662).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// Endpoint of the FAPI Grant Management API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_management_endpoint: Option<String>,
    /// Document with the keys that sign id tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
}

impl MetadataEndpoints {
    /// Returns the URL of an endpoint.
    pub fn find(&self, endpoint: ProviderEndpoint) -> Option<&str> {
        let url = match endpoint {
            ProviderEndpoint::Authorization => &self.authorization_endpoint,
            ProviderEndpoint::Token => &self.token_endpoint,
            ProviderEndpoint::Revocation => &self.revocation_endpoint,
            ProviderEndpoint::PushedAuthorizationRequest => &self.pushed_authorization_request_endpoint,
            ProviderEndpoint::Introspection => &self.introspection_endpoint,
            ProviderEndpoint::GrantManagement => &self.grant_management_endpoint,
            ProviderEndpoint::Keys => &self.jwks_uri,
        };
        url.as_deref()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ProviderMetadata {
    /// Returns whether a URL is at another host than the issuer. An attacker who changes the document could lead the hub's
    /// secrets there.
    pub fn is_foreign(&self, url: &str) -> bool {
        host(url) != host(&self.issuer)
    }
}

fn host(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// The reason why an endpoint of a provider cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The settings do not name the endpoint, and no metadata are stored.
    #[error("the metadata of the issuer, which name the {0}, are not known yet")]
    NotDiscovered(ProviderEndpoint),
    /// Neither the settings nor the metadata name the endpoint.
    #[error("neither the settings nor the metadata of the issuer name the {0}")]
    Missing(ProviderEndpoint),
    /// The metadata name an endpoint at a host that is neither that of the issuer nor allowed by the settings.
    #[error("the metadata name another host for the {0}; set it, or add the host to metadata_hosts")]
    OtherHost(ProviderEndpoint),
}

impl ProviderSettings {
    /// Returns the URL of an endpoint that the settings name.
    pub fn explicit_endpoint(&self, endpoint: ProviderEndpoint) -> Option<&str> {
        let url = match endpoint {
            ProviderEndpoint::Authorization => &self.authorization_endpoint,
            ProviderEndpoint::Token => &self.token_endpoint,
            ProviderEndpoint::Revocation => &self.revocation_endpoint,
            ProviderEndpoint::PushedAuthorizationRequest => &self.pushed_authorization_request_endpoint,
            ProviderEndpoint::Introspection => &self.introspection_endpoint,
            ProviderEndpoint::GrantManagement => &self.grant_management_endpoint,
            ProviderEndpoint::Keys => &self.jwks_uri,
        };
        url.as_deref()
    }

    /// Returns the endpoints that the hub needs at the provider with these settings.
    pub fn needed_endpoints(&self) -> Vec<ProviderEndpoint> {
        let mut needed = vec![ProviderEndpoint::Authorization, ProviderEndpoint::Token];
        if self.revoke.contains(&RevokeMethod::Rfc7009) {
            needed.push(ProviderEndpoint::Revocation);
        }
        if self.par == PushedRequests::Required {
            needed.push(ProviderEndpoint::PushedAuthorizationRequest);
        }
        if self.revoke.contains(&RevokeMethod::GrantManagement) {
            needed.push(ProviderEndpoint::GrantManagement);
        }
        match self.customer_identity {
            CustomerIdentity::IdToken(_) => needed.push(ProviderEndpoint::Keys),
            CustomerIdentity::Introspection => needed.push(ProviderEndpoint::Introspection),
            CustomerIdentity::FdxCustomer | CustomerIdentity::TokenField(_) | CustomerIdentity::None => {}
        }
        let is_known = needed.contains(&ProviderEndpoint::Introspection);
        if self.terms.contains(&TermsSource::Introspection) && !is_known {
            needed.push(ProviderEndpoint::Introspection);
        }
        needed
    }

    /// Returns whether an endpoint that the hub needs is named only by the metadata.
    pub fn needs_metadata(&self) -> bool {
        self.needed_endpoints().into_iter().any(|endpoint| self.explicit_endpoint(endpoint).is_none())
    }

    /// Returns the reason why an endpoint that the hub uses at the provider cannot be used.
    pub fn find_endpoint_problem(&self, metadata: Option<&ProviderMetadata>) -> Option<EndpointError> {
        let find = |endpoint| self.find_endpoint(metadata, endpoint).err();
        self.needed_endpoints().into_iter().find_map(find).or_else(|| {
            // An offer that cannot be accepted must not lead to requests that are not pushed.
            let is_offer_used = self.par == PushedRequests::Auto && self.may_push_requests();
            let offer = is_offer_used.then_some(ProviderEndpoint::PushedAuthorizationRequest);
            offer.and_then(find).filter(|error| matches!(error, EndpointError::OtherHost(_)))
        })
    }

    /// Returns the URL of an endpoint: that of the settings, else that of the metadata.
    pub fn find_endpoint<'a>(
        &'a self,
        metadata: Option<&'a ProviderMetadata>,
        endpoint: ProviderEndpoint,
    ) -> Result<&'a str, EndpointError> {
        if let Some(url) = self.explicit_endpoint(endpoint) {
            return Ok(url);
        }
        if self.issuer.is_none() {
            return Err(EndpointError::Missing(endpoint));
        }
        let metadata = metadata.ok_or(EndpointError::NotDiscovered(endpoint))?;
        // RFC 8705 §5: a client that authenticates by its certificate, or whose tokens are bound to it, uses the aliases.
        let is_bound = self.has_certificate_bound_tokens(metadata);
        let alias = metadata.mtls_endpoint_aliases.find(endpoint);
        let alias = alias.filter(|_| self.auth.uses_certificate() || is_bound);
        let url = alias.or(metadata.endpoints.find(endpoint)).ok_or(EndpointError::Missing(endpoint))?;
        let is_allowed =
            !metadata.is_foreign(url) || host(url).is_some_and(|host| self.metadata_hosts.contains(&host));
        if is_allowed { Ok(url) } else { Err(EndpointError::OtherHost(endpoint)) }
    }

    /// Returns whether access tokens are bound to the certificate of the hub (RFC 8705 §3).
    pub fn has_certificate_bound_tokens(&self, metadata: &ProviderMetadata) -> bool {
        let has_certificate = self.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
        has_certificate && metadata.tls_client_certificate_bound_access_tokens
    }
}

impl Provider {
    /// Returns the metadata of the configured issuer, if they are known.
    pub fn metadata(&self) -> Option<&ProviderMetadata> {
        // Those of another issuer remain stored when the setting changes, until the new ones are known.
        self.discovered.as_ref().filter(|metadata| Some(&metadata.issuer) == self.settings.issuer.as_ref())
    }

    /// Returns the URL of an endpoint: that of the settings, else that of the metadata.
    pub fn endpoint(&self, endpoint: ProviderEndpoint) -> Result<&str, EndpointError> {
        self.settings.find_endpoint(self.metadata(), endpoint)
    }

    /// Returns the endpoint to which authorization requests are pushed, or `None` if they are not.
    pub fn pushed_request_endpoint(&self) -> Result<Option<&str>, EndpointError> {
        if !self.settings.may_push_requests() {
            return Ok(None);
        }
        let endpoint = self.endpoint(ProviderEndpoint::PushedAuthorizationRequest);
        match (self.settings.par, endpoint) {
            (PushedRequests::Off, _)
            | (PushedRequests::Auto, Err(EndpointError::Missing(_) | EndpointError::NotDiscovered(_))) => {
                Ok(None)
            }
            (PushedRequests::Auto | PushedRequests::Required, endpoint) => endpoint.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(changes: Value) -> ProviderSettings {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "issuer": "https://bank.example",
            "client_id": "bowline", "client_secret": "sealed",
            "fdx": {"base_url": "https://bank.example/fdx", "version": "6"}, "scopes": {"TRANSACTIONS": "tx"},
        });
        let Value::Object(changes) = changes else { panic!("expected an object") };
        value.as_object_mut().unwrap().extend(changes);
        serde_json::from_value(value).unwrap()
    }

    fn provider() -> Provider {
        Provider {
            id: crate::id::ProviderId::new(1),
            state: super::super::ProviderState::Active,
            source: super::super::ProviderSource::Config,
            settings: settings(json!({})),
            discovered: Some(metadata()),
            version: super::super::SettingsVersion::FIRST,
            audit: super::super::AuditHead::default(),
        }
    }

    fn metadata() -> ProviderMetadata {
        serde_json::from_value(json!({
            "issuer": "https://bank.example", "authorization_endpoint": "https://bank.example/authorize",
            "token_endpoint": "https://bank.example:8443/token",
            "revocation_endpoint": "https://tokens.example/revoke",
            "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.bank.example/token"},
        }))
        .unwrap()
    }

    fn find(changes: Value, endpoint: ProviderEndpoint) -> Result<String, EndpointError> {
        settings(changes).find_endpoint(Some(&metadata()), endpoint).map(str::to_owned)
    }

    #[test]
    fn explicit_endpoint_precedes_that_of_metadata() {
        let explicit = json!({"token_endpoint": "https://other.example/token"});

        assert_eq!(find(json!({}), ProviderEndpoint::Token).unwrap(), "https://bank.example:8443/token");
        assert_eq!(find(explicit, ProviderEndpoint::Token).unwrap(), "https://other.example/token");
        assert_eq!(
            find(json!({}), ProviderEndpoint::Introspection),
            Err(EndpointError::Missing(ProviderEndpoint::Introspection))
        );
    }

    #[test]
    fn endpoint_at_other_host_must_be_allowed() {
        let denied = find(json!({}), ProviderEndpoint::Revocation);
        let allowed = find(json!({"metadata_hosts": ["tokens.example"]}), ProviderEndpoint::Revocation);

        assert_eq!(denied, Err(EndpointError::OtherHost(ProviderEndpoint::Revocation)));
        assert_eq!(allowed.unwrap(), "https://tokens.example/revoke");
    }

    #[test]
    fn pushed_requests_depend_on_setting_and_offer() {
        use EndpointError::{Missing, NotDiscovered, OtherHost};
        let endpoint = ProviderEndpoint::PushedAuthorizationRequest;
        let find = |par: &str, discovered: Option<ProviderMetadata>| {
            let mut provider = provider();
            provider.settings = settings(json!({"par": par}));
            provider.discovered = discovered;
            provider.pushed_request_endpoint().map(|url| url.map(str::to_owned))
        };
        let offer = |url: &str| {
            let mut metadata = metadata();
            metadata.endpoints.pushed_authorization_request_endpoint = Some(url.to_owned());
            Some(metadata)
        };
        let (own, foreign) = ("https://bank.example/par", "https://other.example/par");

        for (par, discovered, expected) in [
            ("auto", offer(own), Ok(Some(own.to_owned()))),
            ("auto", Some(metadata()), Ok(None)),
            ("auto", None, Ok(None)),
            ("auto", offer(foreign), Err(OtherHost(endpoint))),
            ("off", offer(own), Ok(None)),
            ("required", offer(own), Ok(Some(own.to_owned()))),
            ("required", Some(metadata()), Err(Missing(endpoint))),
            ("required", None, Err(NotDiscovered(endpoint))),
        ] {
            assert_eq!(find(par, discovered), expected, "{par}");
        }
        let problem = settings(json!({})).find_endpoint_problem(offer(foreign).as_ref());
        assert_eq!(problem, Some(OtherHost(endpoint)));
        let aggregator = settings(json!({"upstream_client": "aggregator"}));
        assert_eq!(aggregator.find_endpoint_problem(offer(foreign).as_ref()), None, "it pushes no requests");
    }

    #[test]
    fn rfc8705_s5_alias_is_used_with_certificate() {
        let hosts = json!(["mtls.bank.example"]);
        let certificate = json!({"certificate": "hub.pem", "key": "sealed"});
        let secret = json!({"metadata_hosts": hosts, "tls": certificate});
        let tls = json!({"metadata_hosts": hosts, "tls": certificate, "auth": "tls_client_auth"});
        let mut bound = metadata();
        bound.tls_client_certificate_bound_access_tokens = true;

        assert_eq!(find(tls, ProviderEndpoint::Token).unwrap(), "https://mtls.bank.example/token");
        assert_eq!(find(secret.clone(), ProviderEndpoint::Token).unwrap(), "https://bank.example:8443/token");
        let settings = settings(secret);
        let found = settings.find_endpoint(Some(&bound), ProviderEndpoint::Token);
        assert_eq!(found, Ok("https://mtls.bank.example/token"));
        for tls in [json!(null), json!({"ca": "bank-ca.pem"})] {
            let without = self::settings(json!({"metadata_hosts": hosts, "tls": tls}));
            let found = without.find_endpoint(Some(&bound), ProviderEndpoint::Token);
            assert_eq!(found, Ok("https://bank.example:8443/token"));
        }
    }

    #[test]
    fn dpop_depends_on_setting_and_offer() {
        let offer = |algorithms: &[&str]| {
            let mut metadata = metadata();
            metadata.dpop_signing_alg_values_supported =
                algorithms.iter().map(|name| (*name).to_owned()).collect();
            Some(metadata)
        };
        let uses_dpop = |dpop: &str, discovered: Option<ProviderMetadata>| {
            let settings = settings(json!({"dpop": dpop}));
            Provider { settings, discovered, ..provider() }.uses_dpop()
        };

        for (dpop, discovered, expected) in [
            ("off", offer(&["ES256"]), false),
            ("auto", offer(&["PS256", "ES256"]), true),
            ("auto", offer(&["PS256"]), false),
            ("auto", offer(&[]), false),
            ("auto", None, false),
            ("required", None, true),
        ] {
            let case = format!("{dpop} {discovered:?}");
            assert_eq!(uses_dpop(dpop, discovered), expected, "{case}");
        }
    }

    #[test]
    fn metadata_of_other_issuer_are_not_used() {
        let mut provider = provider();
        assert!(provider.endpoint(ProviderEndpoint::Token).is_ok());

        provider.settings.issuer = Some("https://new.example".into());

        let endpoint = provider.endpoint(ProviderEndpoint::Token);
        assert_eq!(endpoint, Err(EndpointError::NotDiscovered(ProviderEndpoint::Token)));
    }

    #[test]
    fn stored_metadata_can_be_read_again() {
        let stored = serde_json::to_string(&metadata()).unwrap();
        let strict = ProviderMetadata {
            authorization_response_iss_parameter_supported: true,
            require_signed_request_object: true,
            tls_client_certificate_bound_access_tokens: true,
            ..metadata()
        };

        assert_eq!(serde_json::from_str::<ProviderMetadata>(&stored).unwrap(), metadata());
        let strict_again = serde_json::to_string(&strict).unwrap();
        assert_eq!(serde_json::from_str::<ProviderMetadata>(&strict_again).unwrap(), strict);
        for omitted in ["null", "false", "scopes_supported"] {
            assert!(!stored.contains(omitted), "{stored}");
        }
        let without_aliases =
            ProviderMetadata { mtls_endpoint_aliases: MetadataEndpoints::default(), ..metadata() };
        let stored = serde_json::to_string(&without_aliases).unwrap();
        assert!(!stored.contains("mtls_endpoint_aliases"), "{stored}");
    }

    #[test]
    fn metadata_are_needed_unless_each_endpoint_is_explicit() {
        let explicit = json!({"authorization_endpoint": "https://bank.example/authorize",
            "token_endpoint": "https://bank.example/token", "revoke": []});
        let mut identified = explicit.clone();
        identified["customer_identity"] = json!("introspection");

        assert!(settings(json!({})).needs_metadata());
        assert!(!settings(explicit).needs_metadata());
        assert!(settings(identified).needs_metadata());
    }
}
