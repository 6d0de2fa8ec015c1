//! Data providers. All differences between them are settings; no provider has code of its own.

mod authentication;
mod authorization;
mod dpop;
mod identity;
mod identity_client;
mod metadata;
mod revocation;
mod secret_members;
mod terms;
mod transport;
mod upstream_client;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ProviderId;
use crate::scope::{Clusters, DataCluster};

use super::audit_event::AuditHead;

pub use authentication::{ClientAuthentication, SecretSource, SigningAlgorithm};
pub use authorization::{AuthorizationDetails, PushedRequests, RequestObject};
pub use dpop::Dpop;
pub use identity::CustomerIdentity;
pub use identity_client::IdentityClient;
pub use metadata::{EndpointError, MetadataEndpoints, ProviderEndpoint, ProviderMetadata};
pub use revocation::{RevokeMethod, RevokeTokens};
pub use secret_members::secret_members;
pub use terms::TermsSource;
pub use transport::{ComputedHeader, ProxySettings, TlsSettings, TransportSettings};
pub use upstream_client::{DynamicRegistration, UpstreamClientMode};

crate::str_enum! {
    /// The state of a provider, which decides whether the hub uses it.
    pub enum ProviderState {
        /// The provider is in use: customers can connect, and data can be read.
        Active = "active",
        /// An operator paused the provider: data requests get 503, new connections are rejected, tokens stay valid.
        Paused = "paused",
        /// The provider is being withdrawn: the effects of `Paused`, and new registrations are rejected too.
        Retired = "retired",
        /// The hub paused the provider because too many refreshes failed within a short time.
        AutoPaused = "auto_paused",
    }
}

crate::str_enum! {
    /// The source of a provider's settings.
    pub enum ProviderSource {
        /// The configuration file. It is written to the store at each start, and the API rejects changes.
        Config = "config",
        /// The admin API, with which an operator added the provider.
        Api = "api",
    }
}

crate::str_enum! {
    /// A group of a provider's endpoints that usually fail together. Each group has a circuit breaker of its own, and a queue if
    /// jobs call it, so that the failure of one group does not stop calls to the others.
    pub enum EndpointGroup {
        /// The token endpoint (RFC 6749 §3.2).
        Token = "token",
        /// The FDX API, from which the hub reads data.
        Data = "data",
        /// The revocation endpoint (RFC 7009), which the hub calls after the end of a connection.
        Revocation = "revocation",
        /// The endpoints that register and delete clients (RFC 7591, RFC 7592).
        Registration = "registration",
        /// The endpoint for pushed authorization requests (RFC 9126). Everyone who begins a login causes a call of it, so its failures
        /// must not stop refreshes.
        PushedAuthorization = "pushed_authorization",
        /// The token endpoint, when the hub requests a token for itself (RFC 6749 §4.4). A provider may refuse this grant and still issue
        /// and refresh the tokens of customers.
        ClientCredentials = "client_credentials",
    }
}

/// A data provider with its state, as it is stored.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The id, by which the Flinks API addresses the provider.
    pub id: ProviderId,
    /// The state, which operators change and the hub changes after too many failures.
    pub state: ProviderState,
    /// The source of the settings: the configuration file or the admin API.
    pub source: ProviderSource,
    /// The settings: endpoints, credentials and supported features.
    pub settings: ProviderSettings,
    /// The last metadata that the hub has accepted from an issuer of the provider. [`Provider::metadata`] returns them only
    /// if they are those of the configured issuer.
    pub discovered: Option<ProviderMetadata>,
    /// The version of the settings.
    pub version: SettingsVersion,
    /// The last event of the provider's audit chain.
    pub audit: AuditHead,
}

/// The version of a provider's settings. A sealed token contains that of the endpoints, so that its grant is revoked where it was
/// issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingsVersion {
    /// The number of the version. Each change of the settings or the secrets increments it.
    pub number: i64,
    /// The number of the version with which the endpoints came into use first.
    pub endpoints: i64,
    /// True if grants may exist that are revoked at endpoints which the provider has no longer.
    pub has_former_revocation: bool,
    /// True if the provider has these endpoints no longer. Their failures must not affect the calls to the current ones.
    pub is_former: bool,
}

impl SettingsVersion {
    /// The version of a new provider.
    pub const FIRST: Self = Self { number: 1, endpoints: 1, has_former_revocation: false, is_former: false };

    /// Returns the version after a change that leaves existing grants at the same endpoints.
    pub const fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

/// Error for a provider that is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider is retired and accepts no recipients")]
pub struct ProviderRetiredError;

impl Provider {
    /// Returns the issuer and the endpoints, by the names of their settings. Their order is always the same.
    pub fn endpoints(&self) -> Vec<(&'static str, Option<&str>)> {
        let settings = &self.settings;
        let registration = settings.dynamic_registration.as_ref();
        let own = [
            ("issuer", settings.issuer.as_deref()),
            ("fdx.base_url", Some(settings.fdx.base_url.as_str())),
            ("consent_endpoint", settings.consent_endpoint.as_deref()),
            (
                "dynamic_registration.endpoint",
                registration.map(|registration| registration.endpoint.as_str()),
            ),
        ];
        let discoverable =
            ProviderEndpoint::ALL.iter().map(|endpoint| (endpoint.as_str(), self.endpoint(*endpoint).ok()));
        own.into_iter().chain(discoverable).collect()
    }

    /// Ensures that recipients may be registered. A pause is temporary; a retired provider must be released first.
    pub const fn ensure_accepts_recipients(&self) -> Result<(), ProviderRetiredError> {
        match self.state {
            ProviderState::Active | ProviderState::Paused | ProviderState::AutoPaused => Ok(()),
            ProviderState::Retired => Err(ProviderRetiredError),
        }
    }
}

/// The settings with which the hub uses a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Name of the provider, as customers know it.
    pub name: String,
    /// Country code of ISO 3166, two capital letters such as `CA`.
    pub country: String,
    /// Issuer identifier. Its metadata (OpenID Connect Discovery, RFC 8414) name every endpoint that is not given here. It is
    /// also compared with `iss` of the callback (RFC 9207).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Hosts other than that of the issuer at which the metadata may name endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata_hosts: Vec<String>,
    /// Authorization endpoint, to which the customer's browser is redirected. Without it, that of the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Token endpoint (RFC 6749 §3.2), at which the hub exchanges codes and refreshes tokens. Without it, that of the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Revocation endpoint (RFC 7009). Without it, that of the metadata. If there is none, the hub does not notify the provider
    /// of the end of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// Pushed authorization request endpoint (RFC 9126). Without it, that of the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// Introspection endpoint (RFC 7662). Without it, that of the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// Endpoint of the FAPI Grant Management API, to which the grant id is appended. Without it, that of the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_management_endpoint: Option<String>,
    /// Document with the keys that sign the id tokens of the provider. Without it, that of the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Client id of the hub at this provider.
    pub client_id: String,
    /// Location of the hub's client secret at this provider, for an authentication method with a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretSource>,
    /// Client that the hub uses at this provider: one for all recipients, one for each registration, or both.
    #[serde(default, skip_serializing_if = "UpstreamClientMode::is_shared")]
    pub upstream_client: UpstreamClientMode,
    /// Dynamic client registration (RFC 7591), which creates a client for each registration. Requires
    /// `upstream_client` to be `registration` or `aggregator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_registration: Option<DynamicRegistration>,
    /// Authentication method of the hub at the token and revocation endpoints.
    #[serde(default)]
    pub auth: ClientAuthentication,
    /// Location of the private keys with which the hub signs, in PEM form. The first one signs, and the public part of each is
    /// published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_key: Option<SecretSource>,
    /// Signature algorithm of `auth_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_algorithm: Option<SigningAlgorithm>,
    /// Second client of the hub, for sign-in without data access. Only the check of the provider uses it today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_client: Option<IdentityClient>,
    /// TLS settings of the connections to this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Headers of every call to this provider.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Locations of the values of further headers of every call, such as the key of a gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_headers: BTreeMap<String, SecretSource>,
    /// Further headers whose values the hub computes, such as `x-fapi-customer-ip-address`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub computed_headers: BTreeMap<String, ComputedHeader>,
    /// Proxy for the calls to this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxySettings>,
    /// Maximum duration of a call, such as `10s`. Without it, and at most, `upstream.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Maximum number of elements that the provider accepts in the parameter `limit` of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u16>,
    /// History that the provider has, such as `12 months`. Earlier data is not requested; without it, the hub requests the
    /// configured history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// FDX resource server, from which the hub reads data.
    pub fdx: FdxEndpoint,
    /// URL of the provider's website.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Account types that the provider offers; if empty, every type that the hub supports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account_types: Vec<AccountType>,
    /// Scope value of the provider for each data cluster. A cluster that is absent is not offered.
    pub scopes: BTreeMap<DataCluster, String>,
    /// Scope values of each authorization request in addition to those of data clusters, such as `openid` and `offline_access`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_scopes: Vec<String>,
    /// Constant parameters of each authorization request, such as `prompt`, `audience`, `acr_values` and `claims`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorize_parameters: BTreeMap<String, String>,
    /// Use of pushed authorization requests (RFC 9126).
    #[serde(default, skip_serializing_if = "PushedRequests::is_auto")]
    pub par: PushedRequests,
    /// Use of signed request objects (RFC 9101).
    #[serde(default, skip_serializing_if = "RequestObject::is_off")]
    pub request_object: RequestObject,
    /// Use of rich authorization requests (RFC 9396).
    #[serde(default, skip_serializing_if = "AuthorizationDetails::is_off")]
    pub authorization_details: AuthorizationDetails,
    /// Use of DPoP (RFC 9449), which binds access tokens to a key of the hub.
    #[serde(default, skip_serializing_if = "Dpop::is_off")]
    pub dpop: Dpop,
    /// Party that shows the consent page with the recipient's name.
    #[serde(default)]
    pub consent_shown_by: ConsentShownBy,
    /// Number of refresh tokens that belong to one grant at this provider: one, or all tokens of a customer.
    #[serde(default)]
    pub grant_scope: GrantScope,
    /// Place from which the hub takes the customer's identity, in order to recognize a customer who connects again.
    #[serde(default)]
    pub customer_identity: CustomerIdentity,
    /// Field of the token response that lists the accounts which the customer selected, if the provider sends one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts_field: Option<String>,
    /// Field of the token response that contains the id of the grant or consent, if the provider sends one. Without it, the
    /// methods of `revoke` and the source of `terms` that need the id search for it in `fdxConsentId` and `grant_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_field: Option<String>,
    /// Sources of the terms of a grant that cost a call at each login. They narrow what the customer agreed to at the hub, as
    /// `authorization_details` of the token response do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<TermsSource>,
    /// Revocation methods, in the order in which each of them is carried out; empty if the provider offers none.
    #[serde(default)]
    pub revoke: Vec<RevokeMethod>,
    /// URL of the FDX consents, to which `/{consentId}` and `/{consentId}/revocation` are appended. Without it, `consents` below
    /// `fdx.base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_endpoint: Option<String>,
    /// Scope of the access token with which the hub reads and revokes consents, if the provider requires one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_scope: Option<String>,
    /// Tokens with which a grant is revoked by RFC 7009.
    #[serde(default, skip_serializing_if = "RevokeTokens::is_refresh")]
    pub revoke_tokens: RevokeTokens,
}

impl ProviderSettings {
    /// Returns the data clusters that the provider offers.
    pub fn clusters(&self) -> Clusters {
        self.scopes.keys().copied().collect()
    }

    /// Returns whether the provider offers an account type.
    pub fn has_account_type(&self, account_type: AccountType) -> bool {
        self.account_types.is_empty() || self.account_types.contains(&account_type)
    }

    /// Returns the setting with the secret that authenticates the hub, if the method needs one: its name and the location.
    pub fn authentication_secret(&self) -> Option<(&'static str, &SecretSource)> {
        match self.auth {
            ClientAuthentication::ClientSecretBasic | ClientAuthentication::ClientSecretPost => {
                Some(("client_secret", self.client_secret.as_ref()?))
            }
            ClientAuthentication::PrivateKeyJwt => Some(("auth_key", self.auth_key.as_ref()?)),
            ClientAuthentication::TlsClientAuth | ClientAuthentication::SelfSignedTlsClientAuth => None,
        }
    }

    /// Translates data clusters to a scope of the provider. Clusters that the provider does not offer are omitted.
    pub fn scope_for(&self, clusters: Clusters) -> String {
        let values: Vec<&str> =
            clusters.iter().filter_map(|c| self.scopes.get(&c)).map(String::as_str).collect();
        values.join(" ")
    }

    /// Translates a scope of the provider to data clusters. Unknown values are ignored.
    pub fn clusters_from_scope(&self, scope: &str) -> Clusters {
        let granted: Vec<&str> = scope.split(' ').collect();
        self.scopes.iter().filter(|(_, value)| granted.contains(&value.as_str())).map(|(c, _)| *c).collect()
    }
}

/// FDX resource server of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FdxEndpoint {
    /// Base URL, to which paths such as `/accounts` are appended.
    pub base_url: String,
    /// Version of FDX that the server implements.
    pub version: FdxVersion,
    /// Names of the date parameters of lists. Without it, they are those of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_parameters: Option<DateParameters>,
}

/// Names of the query parameters that select a range of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DateParameters {
    /// `startTime` and `endTime`, as in FDX 5.x.
    #[serde(rename = "startTime")]
    Time,
    /// `startDate` and `endDate`, as in FDX 6.x.
    #[serde(rename = "startDate")]
    Date,
}

impl DateParameters {
    /// Returns the names for the first and the last day of a range.
    pub const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Time => ["startTime", "endTime"],
            Self::Date => ["startDate", "endDate"],
        }
    }
}

impl FdxEndpoint {
    /// Returns the date parameters that the server is asked with: those of the setting, else those that its own links show
    /// (`detected`), else those of its version.
    pub fn date_parameters(&self, detected: Option<DateParameters>) -> DateParameters {
        self.date_parameters.or(detected).unwrap_or(match self.version {
            FdxVersion::V5 => DateParameters::Time,
            FdxVersion::V6 => DateParameters::Date,
        })
    }
}

/// Version of FDX of a resource server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FdxVersion {
    /// FDX 5.x, the form in which the hub serves data.
    #[serde(rename = "5")]
    V5,
    /// FDX 6.x, which the hub converts to FDX 5.x.
    #[serde(rename = "6")]
    V6,
}

crate::str_enum! {
    /// An account type. Its value is the key that contains an account of this type in FDX 5.x.
    pub enum AccountType {
        /// Deposit account, such as a checking or savings account.
        Deposit = "depositAccount",
        /// Line of credit, including credit cards.
        Loc = "locAccount",
        /// Loan, such as a mortgage.
        Loan = "loanAccount",
        /// Investment account, which has holdings.
        Investment = "investmentAccount",
        /// Insurance policy, such as life insurance.
        Insurance = "insuranceAccount",
        /// Annuity contract, which pays the customer regularly.
        Annuity = "annuityAccount",
        /// Account of a business, such as a commercial loan or credit line.
        Commercial = "commercialAccount",
    }
}

impl Serialize for AccountType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AccountType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        value.parse().map_err(|_| serde::de::Error::custom(format_args!("{value} is not an account type")))
    }
}

impl JsonSchema for AccountType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AccountType".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let values: Vec<_> = Self::ALL.iter().map(|account_type| account_type.as_str()).collect();
        schemars::json_schema!({"type": "string", "enum": values})
    }
}

/// Party that shows the consent page with the recipient's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentShownBy {
    /// The hub, before it redirects the customer to the provider.
    #[default]
    Hub,
}

/// Number of refresh tokens that belong to one grant at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantScope {
    /// Each refresh token belongs to a separate grant. Revoking one does not affect the others.
    #[default]
    PerToken,
    /// A customer has one grant for each client of the hub, and revoking any of its tokens ends the whole grant. The
    /// grant is revoked when the customer's last connection ends.
    PerClientCustomer,
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
