//! Tests that secrets are written nowhere: a complete scenario runs with the most verbose log, errors and a crash; then
//! every place that the hub writes to is searched for every secret of the scenario, in every encoding.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bowline::cli::{BrowserRequest, BrowserResponse, find_hidden_field};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    HubProcess, RecordedExchange, TestClient, TestHub, authorize_url, create_durable_database, hex,
    query_parameter, wait_until,
};

mod dpop_keys;

const SCOPE: &str =
    "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS TRANSACTIONS CUSTOMER_CONTACT CUSTOMER_PERSONAL";

/// Files that must contain secrets: the hub's keys, its secrets at the bank, and the bank's journal.
const EXCLUDED_FILES: [&str; 4] = ["hub.keys", "bank.secret", "initial.token", "bank.jsonl"];

/// Lists the encodings of a secret.
fn encode_secret(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex = hex(bytes);
    let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into(), hex.into()];
    forms.push(form_urlencoded::byte_serialize(bytes).collect::<String>().into());
    forms.push(bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat().into());
    forms.push(json!(secret).to_string().trim_matches('"').into());
    for engine in [&STANDARD, &URL_SAFE] {
        // Base64 depends on the position in a longer text; characters that depend on the neighbours are omitted.
        for before in 0..3 {
            let text = engine.encode([&vec![0; before][..], bytes].concat());
            let first = [0, 2, 3][before];
            let letters = (before + bytes.len()) * 8 / 6;
            forms.push(text.as_bytes()[first..letters].to_vec());
        }
    }
    forms
}

/// Finds the secrets that a file or table contains.
fn find_secrets<'s>(place: &[u8], secrets: &'s BTreeSet<(String, String)>) -> Vec<&'s str> {
    // One character for each byte, because text search is fast even in a debug build.
    let letters = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let place = letters(place);
    let holds = |secret: &str| encode_secret(secret).iter().any(|form| place.contains(&letters(form)));
    secrets.iter().filter(|(_, secret)| holds(secret)).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn deleted_credentials_are_erased_from_database_and_wal() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let sealed = "SELECT refresh_token, access_token, accounts_key FROM upstream_credentials, connections";
    let sealed = kit.sql(sealed).await.remove(0);
    let written = || {
        let read = |name| hex(&std::fs::read(kit.data_folder().join(name)).unwrap());
        let both = [read("bowline.db"), read("bowline.db-wal")].join(" ");
        sealed.split('|').filter(|token| both.contains(token)).count()
    };
    assert_eq!(written(), 3, "the search must find what is written");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_until(
        "the tokens and the key of the accounts are deleted and the provider is notified",
        async || written() == 0,
    )
    .await;
    // Background tasks may write after the deletion, so the log is not empty at every moment.
    let log_size = || std::fs::metadata(kit.data_folder().join("bowline.db-wal")).unwrap().len();
    kit.wait_until("the log is emptied", async || log_size() == 0).await;
}

#[test]
fn secret_finder_detects_every_encoding() {
    let secret = "s3cret/with=ödd+chars~";
    let secrets = BTreeSet::from([("it".to_owned(), secret.to_owned())]);
    let wrapped = |text: &str| format!("before {text} behind").into_bytes();
    let hex = hex(secret.as_bytes());
    for text in [
        secret,
        &hex,
        &hex.to_uppercase(),
        &form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>(),
    ] {
        assert_eq!(find_secrets(&wrapped(text), &secrets), ["it"], "{text}");
    }
    for before in ["", "a", "ab", "abc"] {
        let longer = format!("{before}{secret}{before}");
        for text in [STANDARD.encode(&longer), URL_SAFE.encode(&longer)] {
            assert_eq!(find_secrets(&wrapped(&text), &secrets), ["it"], "{text}");
        }
    }
    assert!(find_secrets(&wrapped("s3cret"), &secrets).is_empty());
}

/// Returns the name and all rows of each table of a PostgreSQL database.
async fn dump_tables(site: &HubProcess) -> Vec<(String, String)> {
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    let tables = site.sql(tables).await;
    assert!(tables.len() > 10, "{tables:?}");
    let mut dump = Vec::new();
    for table in tables {
        let rows = site.sql(&format!("SELECT t::text FROM {table} t")).await.join("\n");
        dump.push((table, rows));
    }
    dump
}

struct SecretScenario {
    site: HubProcess,
    secrets: BTreeSet<(String, String)>,
    database: Option<String>,
}

impl SecretScenario {
    fn add_secret(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 5, "{name} is too short for the search: {secret:?}");
        self.secrets.insert((name.to_owned(), secret.to_owned()));
    }

    fn add_issued_tokens(&mut self, answer: &BrowserResponse) -> (String, String) {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
        let (access, refresh) = (text("access_token"), text("refresh_token"));
        self.add_secret("an access token", &access);
        self.add_secret("an access token's signature", access.rsplit('.').next().unwrap());
        if !refresh.is_empty() {
            self.add_secret("a refresh token", &refresh);
        }
        (access, refresh)
    }

    /// Adds the secrets in the recorded exchanges with the bank to the secrets of the scenario.
    fn add_exchanged_secrets(&mut self) {
        for RecordedExchange { target: asked, form, location, response: answer } in
            self.site.recorder.exchanges()
        {
            if asked.starts_with("/faults") {
                continue;
            }
            for (name, value) in form {
                let secret = matches!(
                    name.as_str(),
                    "code" | "code_verifier" | "refresh_token" | "token" | "password"
                );
                if secret && !value.is_empty() {
                    self.add_secret(&format!("{name} at the bank"), &value);
                }
            }
            let url = format!("http://bank{asked}");
            for (name, from) in
                [("state", Some(&url)), ("code", location.as_ref()), ("state", location.as_ref())]
            {
                if let Some(value) = from.and_then(|from| query_parameter(from, name)) {
                    self.add_secret(&format!("{name} between hub and bank"), &value);
                }
            }
            self.add_response_secrets(&answer);
        }
    }

    fn add_response_secrets(&mut self, response: &Value) {
        const PERSONAL: [&str; 12] = [
            "client_secret",
            "registration_access_token",
            "access_token",
            "refresh_token",
            "customer_id",
            "accountId",
            "accountNumber",
            "first",
            "last",
            "fullName",
            "number",
            "line1",
        ];
        match response {
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str() {
                        Some(text) if PERSONAL.contains(&name.as_str()) && text.len() >= 5 => {
                            self.add_secret(&format!("{name} of the bank"), text);
                        }
                        // A token response lists the ids of the accounts, other responses the accounts.
                        _ if name == "accounts" => {
                            for item in value.as_array().into_iter().flatten() {
                                match item.as_str() {
                                    Some(id) => self.add_secret("accountId of the bank", id),
                                    None => self.add_response_secrets(item),
                                }
                            }
                        }
                        _ if name == "email" => value.as_array().into_iter().flatten().for_each(|address| {
                            self.add_secret("e-mail of the bank", address.as_str().unwrap());
                        }),
                        _ => self.add_response_secrets(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add_response_secrets(item)),
            _ => {}
        }
    }

    /// Searches every file of the hub, and on PostgreSQL every row, for the secrets of the scenario.
    async fn assert_no_secret_written(&self, when: &str) {
        for path in self.site.files() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !EXCLUDED_FILES.contains(&name) {
                let place = std::fs::read(&path).unwrap();
                assert_eq!(find_secrets(&place, &self.secrets), [""; 0], "{when}: in {name}");
            }
        }
        if self.database.is_some() {
            for (table, rows) in dump_tables(&self.site).await {
                let found = find_secrets(rows.as_bytes(), &self.secrets);
                assert_eq!(found, [""; 0], "{when}: in {table}: {rows}");
            }
        }
    }

    /// Causes errors of every kind, each with a secret in the request.
    async fn provoke_errors(&mut self, acme: &TestClient, access: &str, refresh: &str, code: &str) {
        let api = self.site.api();
        let wrong = TestClient { secret: "wr0ng-secret-of-another".into(), ..acme.clone() };
        assert_eq!(api.refresh(&wrong, refresh).await.status, 400);
        assert_eq!(api.redeem(acme, "wr0ng-code-of-another").await.status, 400);
        assert_eq!(api.refresh(acme, "wr0ng-refresh-of-another").await.status, 400);
        assert_eq!(api.read("/accounts", "wr0ng.bearer.of-another").await.status, 401);
        assert_eq!(api.read(&format!("/accounts?offset={access}"), access).await.status, 400);
        assert_eq!(api.read(&format!("/accounts/{access}"), access).await.status, 404);
        assert_eq!(api.read(&format!("/{access}"), access).await.status, 404);
        let secret = &acme.secret;
        for path in [
            format!("/api/v1/token?client_secret={secret}"),
            format!("/api/v1/token?correlation_id={secret}%20{code}"),
            format!("/api/v1/{access}"),
            format!("/{secret}"),
        ] {
            let answer = api.post_json(&path, json!({"grant_type": secret, "code": {"a": code}})).await;
            assert!(answer.status >= 400, "{path}: {}", answer.status);
        }
        let garbled = format!("{{\"client_secret\": \"{secret}\", \"code\": \"{code}\"");
        let form = BrowserRequest::new(Method::POST, &format!("{}/api/v1/token", self.site.hub_url))
            .form(&[(&garbled, secret)]);
        assert_eq!(self.site.browser.send(form).await.unwrap().status, 400);
        let callback = format!("{}/callback/1000?state={code}&code={code}&iss={secret}", self.site.hub_url);
        let callback = self.site.browser.send(BrowserRequest::new(Method::GET, &callback)).await.unwrap();
        assert_eq!(callback.status, 400);
        for faults in
            [json!({"fail": 500}), json!({"fail": 503}), json!({"fail": null, "rate_limited": true})]
        {
            self.site.inject_faults(faults).await;
            assert!(api.read("/accounts", access).await.status >= 429);
        }
        self.site.inject_faults(json!({"rate_limited": false, "token_endpoint": "down"})).await;
        self.site.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;
        assert_eq!(api.read("/accounts", access).await.status, 503);
        self.site.inject_faults(json!({"token_endpoint": "up", "rotate_refresh": true})).await;
        for (name, secret) in [
            ("a wrong secret", "wr0ng-secret-of-another"),
            ("a wrong code", "wr0ng-code-of-another"),
            ("a wrong refresh token", "wr0ng-refresh-of-another"),
            ("a wrong bearer", "wr0ng.bearer.of-another"),
        ] {
            self.add_secret(name, secret);
        }
    }

    /// Lets the bank register a client for the recipient, which activates the registration.
    async fn register_upstream_client(&mut self, acme: &TestClient) {
        let token = self.site.initial_access_token();
        self.add_secret("the initial access token", &token);
        let pair = [acme.id.as_str(), "2000"];
        let [client, provider] = pair;
        let request = ["registration", "request", "--client", client, "--provider", provider];
        for arguments in [&request[..], &["registration", "approve", client, provider]] {
            let output = self.site.run(arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let state =
            "SELECT state FROM registrations WHERE provider_id = 2000 AND upstream_client_secret IS NOT NULL";
        wait_until("the bank's answer activates", async || self.site.sql(state).await == ["active"]).await;
    }

    /// Starts an authorization request and abandons it; returns its cookie and CSRF token.
    async fn abandon_authorization(&mut self, acme: &TestClient) {
        let url = authorize_url(&self.site.hub_url, &TestHub::build_authorization_query(acme));
        let begun = self.site.browser.send(BrowserRequest::new(Method::GET, &url)).await.unwrap();
        let cookie = begun.headers["set-cookie"].to_str().unwrap().to_owned();
        let value = cookie.split(';').next().and_then(|pair| pair.split_once('=')).unwrap().1;
        self.add_secret("a flow cookie", value);
        let page = format!("{}{}", self.site.hub_url, begun.location.unwrap());
        let page = self.site.browser.send(BrowserRequest::new(Method::GET, &page)).await.unwrap();
        self.add_secret("a form token", &find_hidden_field(&page.body, "csrf_token").unwrap());
    }
}

/// The environment that sets the most verbose log filter.
const TRACE_LOGGING: [&str; 2] = ["env", "BOWLINE_LOG__LEVEL=trace"];

async fn check_no_secret_written(database: Option<String>) {
    let site = HubProcess::new(database.as_deref()).await;
    site.enable_client_registration();
    site.initialize().await;
    let acme = site.add_recipient_with_scope("Acme Budget", SCOPE);
    let hub = site.serve(&TRACE_LOGGING).await;
    let mut story = SecretScenario { site, secrets: BTreeSet::new(), database };
    story.add_secret("a client secret", &acme.secret);
    story.add_secret("the hub's secret at the bank", "the-hub-at-the-bank");
    story.add_secret("a password", &story.site.password("alice"));
    story.abandon_authorization(&acme).await;
    story.register_upstream_client(&acme).await;

    let code = story.site.obtain_code_with_scope(&acme, "alice", SCOPE).await;
    story.add_secret("a code", &code);
    let (access, refresh) = story.add_issued_tokens(&story.site.api().redeem(&acme, &code).await);
    for path in ["/accounts?resultType=details", "/customers/current"] {
        let read = story.site.api().read(path, &access).await;
        assert_eq!(read.status, 200, "{}", read.body);
        story.add_response_secrets(&read.json());
    }
    story.add_issued_tokens(&story.site.api().refresh(&acme, &refresh).await);
    story.provoke_errors(&acme, &access, &refresh, &code).await;
    story.site.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;
    assert_eq!(story.site.api().read("/accounts", &access).await.status, 200, "{}", story.site.log());
    story.add_exchanged_secrets();
    story.assert_no_secret_written("while it runs").await;

    story.site.inject_faults(json!({"fail": 503})).await;
    assert_eq!(story.site.api().revoke(&access).await.status, 204);
    // A thread writes the log, and what it has not written yet is lost when the process is killed.
    story.site.wait_for_log("connection ended", 1).await;
    drop(hub); // SIGKILL
    story.add_exchanged_secrets();
    story.assert_no_secret_written("killed before the provider was notified of an end").await;

    let hub = story.site.serve(&TRACE_LOGGING).await;
    story.site.inject_faults(json!({"fail": null})).await;
    story.site.make_jobs_due().await;
    wait_until("the provider is notified", async || story.site.count_active_grants().await == 0).await;
    assert_eq!(story.site.api().read("/accounts", &access).await.json()["code"], 602);
    let second = story.site.obtain_code_with_scope(&acme, "alice", SCOPE).await;
    story.add_secret("a second code", &second);
    story.add_issued_tokens(&story.site.api().redeem(&acme, &second).await);
    assert_eq!(story.site.api().redeem(&acme, &second).await.status, 400, "a replay ends the connection");
    story.add_exchanged_secrets();
    story.assert_no_secret_written("at last").await;
    drop(hub);
    story.assert_no_secret_written("when all is over").await;

    let names: BTreeSet<&str> = story.secrets.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "code at the bank",
        "code_verifier at the bank",
        "refresh_token at the bank",
        "token at the bank",
        "password at the bank",
        "state between hub and bank",
        "code between hub and bank",
        "access_token of the bank",
        "client_secret of the bank",
        "registration_access_token of the bank",
        "refresh_token of the bank",
        "customer_id of the bank",
        "accountId of the bank",
        "accountNumber of the bank",
        "e-mail of the bank",
    ] {
        assert!(names.contains(name), "{name} was not searched: {names:?}");
    }
    let log = story.site.log();
    assert!(log.contains("TRACE"), "the log must be verbose");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_or_stored_sqlite() {
    check_no_secret_written(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_or_stored_postgres() {
    check_no_secret_written(Some(create_durable_database().await)).await;
}
