//! The banks of the sandbox, and how the hub is configured for them.

use std::io;
use std::path::Path;

use domain::{Clusters, DataCluster};
use sandbox::bank::{Bank, BankSettings};

/// A bank, and the settings of the hub for it.
pub(super) struct SandboxProvider {
    pub(super) provider_id: i64,
    /// The name, without extension, of the bank's files in the data folder.
    pub(super) key: &'static str,
    /// The number that is added to the port of the hub to get the port of the bank.
    pub(super) port_offset: u16,
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
    name: "Prairie Credit Union",
    open: Bank::prairie,
    token_fields: ["customer_id", "accounts", "grant_id"],
    grant_scope: "per_client_customer",
    fdx_version: 5,
};

/// The client id of the hub at every bank.
pub(super) const HUB_AT_BANK: &str = "bowline";

impl SandboxProvider {
    /// Renders the `[[provider]]` section of the hub's configuration.
    pub(super) fn render_provider_config(&self, url: &str, secret: &Path) -> String {
        let scopes: Vec<String> =
            DataCluster::ALL.iter().map(|c| format!("{} = \"{}\"", c.as_str(), upstream_scope(*c))).collect();
        let [customer, accounts, grant] = self.token_fields;
        format!(
            "[[provider]]\nid = {id}\nname = \"{name}\"\ncountry = \"CA\"\nissuer = \"{url}\"\n\
             authorization_endpoint = \"{url}/authorize\"\ntoken_endpoint = \"{url}/token\"\n\
             revocation_endpoint = \"{url}/revoke\"\nclient_id = \"{HUB_AT_BANK}\"\n\
             client_secret = {{ file = {secret:?} }}\nfdx = {{ base_url = \"{url}/fdx/v{fdx}\", version = \"{fdx}\" }}\n\
             scopes = {{ {scopes} }}\ngrant_scope = \"{grant_scope}\"\n\
             customer_identity = {{ token_field = \"{customer}\" }}\naccounts_field = \"{accounts}\"\n\
             grant_field = \"{grant}\"\nrevoke = [\"rfc7009\"]\n\n",
            id = self.provider_id,
            name = self.name,
            secret = secret.display().to_string(),
            scopes = scopes.join(", "),
            grant_scope = self.grant_scope,
            fdx = self.fdx_version,
        )
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
