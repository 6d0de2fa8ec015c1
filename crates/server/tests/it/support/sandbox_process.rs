//! The command `bowline sandbox --json` as a separate process, and what a recipient's CI does with its output.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bowline::cli::Browser;
use serde_json::Value;

use super::{
    AuthorizationFlow, ConnectionTokens, Customer, HubApiClient, TestClient, TestHub, authorize_url,
    query_parameter,
};

/// A running `bowline sandbox --json`, which is killed when dropped.
pub(crate) struct SandboxProcess {
    /// The printed line of JSON.
    pub(crate) line: Value,
    child: Child,
}

impl SandboxProcess {
    pub(crate) fn start(data: &Path, port: u16) -> Self {
        Self::start_with(data, port, &[])
    }

    pub(crate) fn start_with(data: &Path, port: u16, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bowline"))
            .args(["sandbox", "--json", "--port", &port.to_string(), "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { line: serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")), child }
    }

    /// Returns the recipient for the user's own app.
    pub(crate) fn own_app(&self) -> TestClient {
        let own = &self.line["recipients"][1];
        TestClient {
            id: text(&own["client_id"]),
            secret: text(&own["client_secret"]),
            redirect_uri: text(&own["redirect_uris"][0]),
        }
    }

    /// Connects the user's own app at a bank, as its first customer with all accounts.
    pub(crate) async fn connect(&self, browser: &Browser, bank: usize) -> ConnectionTokens {
        let (hub, provider) = (text(&self.line["hub"]), &self.line["providers"][bank]);
        let recipient = self.own_app();
        let alice = &provider["customers"][0];
        let customer = Customer {
            username: text(&alice["username"]),
            password: text(&alice["password"]),
            accounts: Vec::new(),
        };
        let mut query = TestHub::build_authorization_query(&recipient);
        query.retain(|(name, _)| *name != "provider_id");
        query.push(("provider_id", provider["provider_id"].to_string()));
        let flow = AuthorizationFlow { browser, origins: vec![hub.clone(), text(&provider["url"])] };
        let callback = flow.complete(&authorize_url(&hub, &query), &customer).await;
        let code = query_parameter(&callback, "code").unwrap_or_else(|| panic!("no code: {callback}"));
        let api = HubApiClient { browser, hub: &hub };
        ConnectionTokens::from_response(&api.redeem(&recipient, &code).await, code)
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
