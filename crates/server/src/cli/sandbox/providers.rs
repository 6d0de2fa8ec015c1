//! The banks of the sandbox, and how the hub is configured for them.

use std::io;
use std::path::Path;

use domain::{Clusters, DataCluster};
use sandbox::bank::{Bank, BankSettings};

use super::fapi_files::{AUTHORITY, FapiFiles, HUB_CERTIFICATE, HUB_KEY, SIGNING_KEY};

/// A bank, and the settings of the hub for it.
pub(super) struct SandboxProvider {
    pub(super) provider_id: i64,
    /// The name, without extension, of the bank's files in the data folder.
    pub(super) key: &'static str,
    /// The number that is added to the port of the hub to get the port of the bank.
    pub(super) port_offset: u16,
    /// The number that is added to get the port of the bank's listener with mutual TLS.
    pub(super) mutual_tls_port_offset: u16,
    pub(super) name: &'static str,
    pub(super) open: fn(BankSettings) -> io::Result<Bank>,
    /// The members of the bank's token response that contain the customer, the accounts and the grant.
    token_fields: [&'static str; 3],
    grant_scope: &'static str,
    /// The major version of its FDX API.
    fdx_version: u8,
}

/// The two banks that every sandbox has.
pub(super) const SANDBOX_PROVIDERS: [SandboxProvider; 2] = [
    SandboxProvider {
        provider_id: 1000,
        key: "maple",
        port_offset: 2,
        mutual_tls_port_offset: 5,
        name: "Maple Trust",
        open: Bank::maple,
        token_fields: ["customer_id", "accounts", "grant_id"],
        grant_scope: "per_token",
        fdx_version: 5,
    },
    SandboxProvider {
        provider_id: 2000,
        key: "rideau",
        port_offset: 3,
        mutual_tls_port_offset: 6,
        name: "Caisse Rideau",
        open: Bank::rideau,
        token_fields: ["membre", "comptes", "consentement"],
        grant_scope: "per_token",
        fdx_version: 6,
    },
];

/// A third bank for tests. It has one grant for each customer, so revoking one token revokes all tokens of the
/// customer.
pub(super) const HIDDEN_PROVIDER: SandboxProvider = SandboxProvider {
    provider_id: 3000,
    key: "prairie",
    port_offset: 4,
    mutual_tls_port_offset: 7,
    name: "Prairie Credit Union",
    open: Bank::prairie,
    token_fields: ["customer_id", "accounts", "grant_id"],
    grant_scope: "per_client_customer",
    fdx_version: 5,
};

/// The client id of the hub at every bank.
pub(super) const HUB_AT_BANK: &str = "bowline";

/// The parts of the hub's configuration for a bank that depend on its security profile.
pub(super) enum ProviderAccess<'a> {
    /// The client secret is in this file.
    Plain { secret: &'a Path },
    /// The client secret is in this file. The endpoints are discovered.
    OpenId { secret: &'a Path },
    /// The keys and certificates are in these files, and the FDX API is at the listener with mutual TLS.
    Fapi { files: &'a FapiFiles, mutual_tls_origin: &'a str },
}

impl SandboxProvider {
    /// Renders the `[[provider]]` section of the hub's configuration.
    pub(super) fn render_provider_config(&self, url: &str, access: &ProviderAccess<'_>) -> String {
        let scopes: Vec<String> =
            DataCluster::ALL.iter().map(|c| format!("{} = \"{}\"", c.as_str(), upstream_scope(*c))).collect();
        let data_origin = match access {
            ProviderAccess::Plain { .. } | ProviderAccess::OpenId { .. } => url,
            ProviderAccess::Fapi { mutual_tls_origin, .. } => mutual_tls_origin,
        };
        let (endpoints, terms) = self.render_access(url, access);
        format!(
            "[[provider]]\nid = {id}\nname = \"{name}\"\ncountry = \"CA\"\nissuer = \"{url}\"\n{endpoints}\
             fdx = {{ base_url = \"{data_origin}/fdx/v{fdx}\", version = \"{fdx}\" }}\n\
             scopes = {{ {scopes} }}\ngrant_scope = \"{grant_scope}\"\n{terms}\n",
            id = self.provider_id,
            name = self.name,
            scopes = scopes.join(", "),
            grant_scope = self.grant_scope,
            fdx = self.fdx_version,
        )
    }

    /// Renders the keys of endpoints and authentication, and those of identity, terms and revocation.
    fn render_access(&self, url: &str, access: &ProviderAccess<'_>) -> (String, String) {
        let client = |secret: &Path| {
            let secret = secret.display().to_string();
            format!("client_id = \"{HUB_AT_BANK}\"\nclient_secret = {{ file = {secret:?} }}\n")
        };
        let [customer, accounts, grant] = self.token_fields;
        match access {
            ProviderAccess::Plain { secret } => (
                format!(
                    "authorization_endpoint = \"{url}/authorize\"\ntoken_endpoint = \"{url}/token\"\n\
                     revocation_endpoint = \"{url}/revoke\"\n{}",
                    client(secret)
                ),
                format!(
                    "customer_identity = {{ token_field = \"{customer}\" }}\naccounts_field = \"{accounts}\"\n\
                     grant_field = \"{grant}\"\nrevoke = [\"rfc7009\"]\n"
                ),
            ),
            ProviderAccess::OpenId { secret } => (
                format!("{}extra_scopes = [\"openid\", \"offline_access\"]\n", client(secret)),
                "customer_identity = { id_token = \"sub\" }\nrevoke = [\"rfc7009\"]\n".to_owned(),
            ),
            ProviderAccess::Fapi { files, .. } => (
                format!(
                    "client_id = \"{HUB_AT_BANK}\"\nauth = \"private_key_jwt\"\nauth_key = {{ file = {signing:?} }}\n\
                     auth_algorithm = \"ES256\"\npar = \"required\"\nauthorization_details = \"fdx_v1.0\"\n\
                     tls = {{ ca = {ca:?}, certificate = {certificate:?}, key = {{ file = {key:?} }} }}\n",
                    signing = files.path(SIGNING_KEY),
                    ca = files.path(AUTHORITY),
                    certificate = files.path(HUB_CERTIFICATE),
                    key = files.path(HUB_KEY),
                ),
                "customer_identity = \"introspection\"\nterms = [\"fdx_consent\"]\nconsent_scope = \"fdx:consents\"\n\
                 revoke = [\"fdx_consent\"]\n"
                    .to_owned(),
            ),
        }
    }
}

/// Returns the scope with every data cluster.
pub(super) fn full_scope() -> String {
    DataCluster::ALL.iter().copied().collect::<Clusters>().to_string()
}

const fn upstream_scope(cluster: DataCluster) -> &'static str {
    match cluster {
        DataCluster::AccountBasic => "fdx:accountbasic:read",
        DataCluster::AccountDetailed => "fdx:accountdetailed:read",
        DataCluster::AccountPayments => "fdx:paymentnetworks:read",
        DataCluster::Transactions => "fdx:transactions:read",
        DataCluster::Investments => "fdx:investments:read",
        DataCluster::CustomerContact => "fdx:customercontact:read",
        DataCluster::CustomerPersonal => "fdx:customerpersonal:read",
        DataCluster::Statements => "fdx:statements:read",
    }
}
