//! The configuration of a hub process.

use super::HubProcess;

impl HubProcess {
    pub(super) fn render_config(&self) -> String {
        format!(
            "[server]\npublic_url = \"{hub}\"\nlisten = \"{listen}\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_socket = \"{socket}\"\nprobe_listen = \"{probes}\"\n\
             [store]\nurl = \"{store}\"\nlease = \"60s\"\n[limit]\nlogin = 0\n[keys]\nfile = \"{keys}\"\n[upstream]\nallow_loopback = true\n\
             [[provider]]\nid = 1000\nname = \"Maple Trust\"\ncountry = \"CA\"\nissuer = \"{bank}\"\n\
             authorization_endpoint = \"{bank}/authorize\"\ntoken_endpoint = \"{bank}/token\"\n\
             revocation_endpoint = \"{bank}/revoke\"\nclient_id = \"bowline\"\n\
             client_secret = {{ file = \"{secret}\" }}\nfdx = {{ base_url = \"{bank}/fdx/v5\", version = \"5\" }}\n\
             scopes = {{ ACCOUNT_BASIC = \"fdx:accountbasic:read\", ACCOUNT_DETAILED = \"fdx:accountdetailed:read\", \
             ACCOUNT_PAYMENTS = \"fdx:paymentnetworks:read\", CUSTOMER_CONTACT = \"fdx:customercontact:read\", \
             CUSTOMER_PERSONAL = \"fdx:customerpersonal:read\", TRANSACTIONS = \"fdx:transactions:read\" }}\n\
             customer_identity = {{ token_field = \"customer_id\" }}\naccounts_field = \"accounts\"\n\
             grant_field = \"grant_id\"\nrevoke = [\"rfc7009\"]\n",
            hub = self.hub_url,
            listen = self.hub_url.trim_start_matches("http://"),
            probes = self.probe_url().trim_start_matches("http://"),
            store = self.store,
            socket = if self.store.starts_with("sqlite:") {
                "auto".into()
            } else {
                self.socket().display().to_string()
            },
            keys = self.path("hub.keys").display(),
            bank = self.bank_url,
            secret = self.path("bank.secret").display(),
        )
    }

    /// Adds a line to the section `[store]` of the configuration.
    pub(crate) fn add_store_setting(&self, line: &str) {
        let file = self.path("bowline.toml");
        let known = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, known.replacen("[store]\n", &format!("[store]\n{line}\n"), 1)).unwrap();
    }

    /// Replaces the provider of the configuration by a section `[[provider]]`.
    pub(crate) fn replace_provider(&self, section: &str) {
        let file = self.path("bowline.toml");
        let known = std::fs::read_to_string(&file).unwrap();
        let (before, _) = known.split_once("[[provider]]\n").unwrap();
        std::fs::write(file, format!("{before}{section}")).unwrap();
    }

    /// Changes the duration of a node's lease, which is long by default so that a busy machine does not affect a test.
    pub(crate) fn set_lease(&self, duration: &str) {
        let file = self.path("bowline.toml");
        let known = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, known.replacen("lease = \"60s\"", &format!("lease = \"{duration}\""), 1))
            .unwrap();
    }

    /// Adds a second provider to the configuration: the same bank with a client for each recipient.
    pub(crate) fn enable_client_registration(&self) {
        std::fs::write(self.path("initial.token"), self.initial_access_token()).unwrap();
        let file = self.path("bowline.toml");
        let known = std::fs::read_to_string(&file).unwrap();
        let (_, provider) = known.split_once("[[provider]]\nid = 1000\n").unwrap();
        let registers = format!(
            "{known}[[provider]]\nid = 2000\n{provider}upstream_client = \"registration\"\n\
             dynamic_registration = {{ endpoint = \"{bank}/register\", initial_access_token = {{ file = \"{token}\" }} }}\n",
            bank = self.bank_url,
            token = self.path("initial.token").display(),
        );
        std::fs::write(file, registers).unwrap();
    }
}
