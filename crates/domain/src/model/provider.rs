//! A data provider: configuration, not code.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ProviderId;
use crate::scope::{Clusters, DataCluster};

use super::audit_event::AuditHead;

crate::str_enum! {
    /// Whether a provider takes part.
    pub enum ProviderState {
        /// It does.
        Active = "active",
        /// Held by an operator: tokens are issued, data answers 503.
        Paused = "paused",
        /// Leaving: as paused, and nothing new is connected.
        Retired = "retired",
        /// Held by the hub, because too many refreshes failed at once.
        AutoPaused = "auto_paused",
    }
}

crate::str_enum! {
    /// Who owns a provider's row.
    pub enum ProviderSource {
        /// The configuration file: written at each start, refused for change by the API.
        Config = "config",
        /// The API.
        Api = "api",
    }
}

/// A provider as stored.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Whether it takes part.
    pub state: ProviderState,
    /// Who owns the row.
    pub source: ProviderSource,
    /// How to speak with it.
    pub settings: ProviderSettings,
    /// The end of its audit chain.
    pub audit: AuditHead,
}

/// The provider is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider is retired: it takes nobody any more")]
pub struct ProviderRetiredError;

impl Provider {
    /// Whether recipients may come to it: one that is held takes them later, one that leaves takes nobody any more.
    pub const fn ensure_accepts_recipients(&self) -> Result<(), ProviderRetiredError> {
        match self.state {
            ProviderState::Active | ProviderState::Paused | ProviderState::AutoPaused => Ok(()),
            ProviderState::Retired => Err(ProviderRetiredError),
        }
    }
}

/// How to speak with a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Its name, as customers know it.
    pub name: String,
    /// ISO 3166 country.
    pub country: String,
    /// Its issuer identifier: checked against `iss` of the callback where the provider sends one (RFC 9207).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Where the customer's browser goes.
    pub authorization_endpoint: String,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: String,
    /// RFC 7009 endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// The hub's client there.
    pub client_id: String,
    /// Where the hub's secret is kept.
    pub client_secret: SecretSource,
    /// Whose client is used there.
    #[serde(default, skip_serializing_if = "UpstreamClientMode::is_shared")]
    pub upstream_client: UpstreamClientMode,
    /// How it registers a client for each registration by itself (RFC 7591). Goes with `registration` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_registration: Option<DynamicRegistration>,
    /// How the hub authenticates.
    #[serde(default)]
    pub auth: ClientAuthentication,
    /// Its FDX resource server.
    pub fdx: FdxEndpoint,
    /// Its site, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The kinds of accounts that it has; all that the connector can read if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account_types: Vec<AccountType>,
    /// What each cluster is called there; a cluster that is absent is not offered.
    pub scopes: BTreeMap<DataCluster, String>,
    /// Who names the recipient to the customer.
    #[serde(default)]
    pub consent_shown_by: ConsentShownBy,
    /// What a grant at the provider hangs from.
    #[serde(default)]
    pub grant_scope: GrantScope,
    /// Whence the customer's identity comes.
    #[serde(default)]
    pub customer_identity: CustomerIdentity,
    /// The field of the token reply that names the accounts which the customer chose, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts_field: Option<String>,
    /// The field of the token reply that names the grant, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_field: Option<String>,
    /// How ends are told, in this order; empty if the provider offers no way.
    #[serde(default)]
    pub revoke: Vec<RevokeMethod>,
}

impl ProviderSettings {
    /// The clusters that it offers.
    pub fn clusters(&self) -> Clusters {
        self.scopes.keys().copied().collect()
    }

    /// Whether it has accounts of a kind.
    pub fn has_account_type(&self, kind: AccountType) -> bool {
        self.account_types.is_empty() || self.account_types.contains(&kind)
    }

    /// The scope to ask for, in its own words.
    pub fn scope_for(&self, clusters: Clusters) -> String {
        let words: Vec<&str> =
            clusters.iter().filter_map(|c| self.scopes.get(&c)).map(String::as_str).collect();
        words.join(" ")
    }

    /// What its scope words mean, unknown ones left out.
    pub fn clusters_from_scope(&self, scope: &str) -> Clusters {
        let granted: Vec<&str> = scope.split(' ').collect();
        self.scopes.iter().filter(|(_, word)| granted.contains(&word.as_str())).map(|(c, _)| *c).collect()
    }
}

/// Where a secret is kept: never in the configuration itself, and never in the open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretSource {
    /// A file whose content, without trailing line ends, is the secret.
    File(String),
    /// An environment variable.
    Env(String),
    /// The store, sealed: what an operator brought through the API. The configuration cannot name it.
    Sealed,
}

/// How the hub authenticates at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// HTTP Basic (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// Form fields (RFC 6749 §2.3.1).
    ClientSecretPost,
}

impl ClientAuthentication {
    /// The word of RFC 7591 §2.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
}

/// An FDX resource server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FdxEndpoint {
    /// The URL that paths such as `/accounts` are appended to.
    pub base_url: String,
    /// Its wire format.
    pub version: FdxVersion,
}

/// The wire format of an FDX resource server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FdxVersion {
    /// 5.x: entities wrapped by kind.
    #[serde(rename = "5")]
    V5,
    /// 6.x: entities flat, pages by keys.
    #[serde(rename = "6")]
    V6,
}

crate::str_enum! {
    /// A kind of accounts: the key of FDX 5 that an account stands below.
    pub enum AccountType {
        /// Deposits.
        Deposit = "depositAccount",
        /// Lines of credit, cards among them.
        Loc = "locAccount",
        /// Loans.
        Loan = "loanAccount",
        /// Investments.
        Investment = "investmentAccount",
        /// Insurance policies.
        Insurance = "insuranceAccount",
        /// Annuities.
        Annuity = "annuityAccount",
        /// Commercial accounts.
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
        let word = String::deserialize(deserializer)?;
        Self::from_word(&word)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{word} is no kind of accounts")))
    }
}

impl JsonSchema for AccountType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AccountType".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
        schemars::json_schema!({"type": "string", "enum": words})
    }
}

/// Whose client is used at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamClientMode {
    /// The hub's own, for all recipients.
    #[default]
    #[serde(rename = "hub")]
    Shared,
    /// One for each registration: its id and secret are given when the registration is activated, by an operator or by
    /// the provider's answer (`dynamic_registration`).
    #[serde(rename = "registration")]
    PerRegistration,
}

impl UpstreamClientMode {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_shared(&self) -> bool {
        *self == Self::Shared
    }
}

/// OAuth 2.0 Dynamic Client Registration at a provider (RFC 7591).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamicRegistration {
    /// Its client registration endpoint (RFC 7591 §3).
    pub endpoint: String,
    /// Where the initial access token is kept, if it wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_access_token: Option<SecretSource>,
}

/// Who names the recipient to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentShownBy {
    /// The hub's own consent page, before anything goes to the provider.
    #[default]
    Hub,
}

/// What a grant at the provider hangs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantScope {
    /// Each refresh token is a grant of its own: revoking one leaves the others.
    #[default]
    PerToken,
    /// A customer has one grant for the hub's client there, and revoking any of its tokens ends it whole: the
    /// provider is told when the last connection of a customer ends.
    PerClientCustomer,
}

/// Whence the customer's identity comes. It is stored only as a keyed hash.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CustomerIdentity {
    /// A field of the token reply.
    TokenField(String),
    /// Nowhere: each connection has a customer of its own.
    #[default]
    None,
}

/// A way to tell a provider that a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokeMethod {
    /// RFC 7009, with the refresh token.
    Rfc7009,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ProviderSettings {
        serde_json::from_value(serde_json::json!({
            "name": "Maple Trust", "country": "CA",
            "authorization_endpoint": "https://maple.example/authorize",
            "token_endpoint": "https://maple.example/token",
            "client_id": "bowline", "client_secret": {"env": "MAPLE_SECRET"},
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts", "TRANSACTIONS": "tx:read"},
            "customer_identity": {"token_field": "customer_id"},
            "revoke": ["rfc7009"],
        }))
        .unwrap()
    }

    #[test]
    fn provider_scopes_translate_in_both_directions() {
        let settings = settings();
        let requested = Clusters::parse("ACCOUNT_BASIC TRANSACTIONS INVESTMENTS").unwrap();
        assert_eq!(settings.scope_for(requested), "accounts tx:read");
        assert_eq!(settings.clusters_from_scope("tx:read openid").to_string(), "TRANSACTIONS");
        assert_eq!(settings.clusters().to_string(), "ACCOUNT_BASIC TRANSACTIONS");
    }

    #[test]
    fn provider_settings_reject_unknown_key() {
        let mut value = serde_json::to_value(settings()).unwrap();
        value["consent_show_by"] = "hub".into();
        assert!(serde_json::from_value::<ProviderSettings>(value).is_err());
    }
}
