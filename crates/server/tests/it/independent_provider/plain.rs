//! A test with `django-oauth-toolkit` as a plain OAuth 2.0 server: a client secret, rotation with reuse detection, and
//! revocations that its introspection confirms.

use std::path::Path;
use std::time::Duration;

use bowline::cli::{Browser, BrowserRequest, BrowserResponse};
use domain::model::provider::{CustomerIdentity, GrantScope};
use http::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::start_bank_process;
use crate::support::{TestHub, test_variable};

/// The bank, which ends when it is dropped.
pub(super) struct PlainBank {
    pub(super) http: String,
    browser: Browser,
    _process: Child,
}

impl PlainBank {
    /// Starts a bank with a client, by its id and secret, which keeps its database in a folder.
    pub(super) async fn start(
        folder: &Path,
        redirect_uri: &str,
        (client_id, secret): (&str, &str),
        scopes: &[Value],
    ) -> Self {
        let bank = json!({
            "folder": folder, "redirect_uri": redirect_uri, "client_id": client_id, "client_secret": secret,
            "scopes": scopes,
        });
        let mut command = Command::new(test_variable("BOWLINE_TEST_DJANGO_PYTHON"));
        command.args(["-c", include_str!("../../oauth-libraries/django_provider.py")]);
        let (process, started) = start_bank_process(command, &bank).await;
        let http = started["http"].as_str().unwrap().to_owned();
        Self { http, browser: Browser::new().unwrap(), _process: process }
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> BrowserResponse {
        let url = format!("{}{path}", self.http);
        self.browser.send(BrowserRequest::new(Method::POST, &url).form(fields)).await.unwrap()
    }

    /// Returns the tokens of a kind that the bank has issued, in their order.
    async fn issued_tokens(&self, kind: &str) -> Vec<String> {
        let request = BrowserRequest::new(Method::GET, &format!("{}/issued", self.http));
        let issued = self.browser.send(request).await.unwrap().json();
        issued[kind].as_array().unwrap().iter().map(|token| token.as_str().unwrap().to_owned()).collect()
    }

    /// Returns whether each access token that the bank has issued is active, by the bank's introspection (RFC 7662).
    pub(super) async fn introspect_access_tokens(&self) -> Vec<bool> {
        let mut states = Vec::new();
        for token in self.issued_tokens("access_token").await {
            let client = [("client_id", "auditor"), ("client_secret", "auditor-secret")];
            let answer =
                self.post("/oauth/introspect", &[&client[..], &[("token", token.as_str())]].concat()).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            states.push(answer.json()["active"] == true);
        }
        states
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_oauth_connects_rotates_and_revokes() {
    let kit = TestHub::new().await;
    let secret = std::fs::read_to_string(kit.data_folder().join("maple.secret")).unwrap();
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    let scopes: Vec<Value> = shown["settings"]["scopes"].as_object().unwrap().values().cloned().collect();
    let (callback, client) = (kit.url("/callback/1000"), ("bowline", secret.trim()));
    let bank = PlainBank::start(kit.data_folder(), &callback, client, &scopes).await;
    let origin = bank.http.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.issuer = None;
        settings.authorization_endpoint = Some(format!("{origin}/oauth/authorize"));
        settings.token_endpoint = Some(format!("{origin}/oauth/token"));
        settings.revocation_endpoint = Some(format!("{origin}/oauth/revoke"));
        settings.fdx.base_url = format!("{origin}/fdx/v5");
        settings.customer_identity = CustomerIdentity::FdxCustomer;
        settings.grant_scope = GrantScope::PerToken;
        (settings.accounts_field, settings.grant_field) = (None, None);
    })
    .await;

    let tokens = kit.connect_without_pages(&bank.http).await;
    for _ in 0..3 {
        // The bank's access tokens last 20 seconds. It ends the grant if a refresh token is used twice.
        kit.advance(Duration::from_secs(16));
        let read = || kit.read("/accounts", &tokens.access);
        let reads = tokio::join!(read(), read(), read(), read());
        for read in [reads.0, reads.1, reads.2, reads.3] {
            assert_eq!(read.status, 200, "{}", read.body);
        }
    }
    assert!(bank.introspect_access_tokens().await.contains(&true));
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    kit.wait_for_revocation(&tokens).await;
    let states = bank.introspect_access_tokens().await;
    assert!(states.len() >= 4 && !states.contains(&true), "{states:?}");
    let refresh_tokens = bank.issued_tokens("refresh_token").await;
    let mut unique = refresh_tokens.clone();
    unique.sort_unstable();
    unique.dedup();
    assert!(unique.len() >= 4 && unique.len() == refresh_tokens.len(), "each refresh rotates the token");
    let last = refresh_tokens.last().unwrap();
    let client = [("client_id", "bowline"), ("client_secret", secret.trim())];
    let grant = [("grant_type", "refresh_token"), ("refresh_token", last.as_str())];
    let refused = bank.post("/oauth/token", &[client, grant].concat()).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_grant")));
}
