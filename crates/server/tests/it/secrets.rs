//! A whole story with everything logged, errors and a crash in it; then every place that the hub writes to is
//! searched for every secret of the story, in every form that a secret takes.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bowline::cli::{Answer, Sent, hidden};
use http::Method;
use serde_json::{Value, json};

use crate::kit::{Exchange, Kit, Recipient, Site, authorize_url, durable_database, hex, parameter, until};

const SCOPE: &str =
    "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS TRANSACTIONS CUSTOMER_CONTACT CUSTOMER_PERSONAL";

/// The places that must hold a secret: the hub's keys, its secrets at the bank, and the bank's own journal.
const EXCEPTED: [&str; 4] = ["hub.keys", "bank.secret", "initial.token", "bank.jsonl"];

/// The forms that a secret may be written in.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex = hex(bytes);
    let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into(), hex.into()];
    forms.push(form_urlencoded::byte_serialize(bytes).collect::<String>().into());
    forms.push(bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat().into());
    forms.push(json!(secret).to_string().trim_matches('"').into());
    for engine in [&STANDARD, &URL_SAFE] {
        // Wherever in a longer text it begins; the letters that its neighbours change are left out.
        for before in 0..3 {
            let text = engine.encode([&vec![0; before][..], bytes].concat());
            let first = [0, 2, 3][before];
            let letters = (before + bytes.len()) * 8 / 6;
            forms.push(text.as_bytes()[first..letters].to_vec());
        }
    }
    forms
}

/// What of the secrets stands in a place.
fn found<'s>(place: &[u8], secrets: &'s BTreeSet<(String, String)>) -> Vec<&'s str> {
    // A letter a byte, so that the search of texts can be used: it is quick, also in a build for tests.
    let letters = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let place = letters(place);
    let holds = |secret: &str| forms(secret).iter().any(|form| place.contains(&letters(form)));
    secrets.iter().filter(|(_, secret)| holds(secret)).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn what_is_deleted_leaves_the_file_and_its_log() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let sealed = kit.behind("SELECT refresh_token, access_token FROM upstream_credentials").await.remove(0);
    let written = || {
        let read = |name| hex(&std::fs::read(kit.data_folder().join(name)).unwrap());
        let both = [read("bowline.db"), read("bowline.db-wal")].join(" ");
        sealed.split('|').filter(|token| both.contains(token)).count()
    };
    assert_eq!(written(), 2, "they are looked for as they are written");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.until("the log is emptied, and the bank has been told", async || written() == 0).await;
    assert_eq!(std::fs::metadata(kit.data_folder().join("bowline.db-wal")).unwrap().len(), 0);
}

#[test]
fn a_secret_is_found_in_every_form_and_place() {
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
        assert_eq!(found(&wrapped(text), &secrets), ["it"], "{text}");
    }
    for before in ["", "a", "ab", "abc"] {
        let longer = format!("{before}{secret}{before}");
        for text in [STANDARD.encode(&longer), URL_SAFE.encode(&longer)] {
            assert_eq!(found(&wrapped(&text), &secrets), ["it"], "{text}");
        }
    }
    assert!(found(&wrapped("s3cret"), &secrets).is_empty());
}

struct Story {
    site: Site,
    secrets: BTreeSet<(String, String)>,
    database: Option<String>,
}

impl Story {
    fn keep(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 5, "{name} is too short to be looked for: {secret:?}");
        self.secrets.insert((name.to_owned(), secret.to_owned()));
    }

    fn keep_issued(&mut self, answer: &Answer) -> (String, String) {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = |name: &str| answer.json()[name].as_str().unwrap_or_default().to_owned();
        let (access, refresh) = (text("access_token"), text("refresh_token"));
        self.keep("an access token", &access);
        self.keep("an access token's signature", access.rsplit('.').next().unwrap());
        if !refresh.is_empty() {
            self.keep("a refresh token", &refresh);
        }
        (access, refresh)
    }

    /// What the bank heard and said.
    fn keep_heard(&mut self) {
        for Exchange { asked, form, location, answer } in self.site.heard.all() {
            if asked.starts_with("/levers") {
                continue;
            }
            for (name, value) in form {
                let secret = matches!(
                    name.as_str(),
                    "code" | "code_verifier" | "refresh_token" | "token" | "password"
                );
                if secret && !value.is_empty() {
                    self.keep(&format!("{name} at the bank"), &value);
                }
            }
            let url = format!("http://bank{asked}");
            for (name, from) in
                [("state", Some(&url)), ("code", location.as_ref()), ("state", location.as_ref())]
            {
                if let Some(value) = from.and_then(|from| parameter(from, name)) {
                    self.keep(&format!("{name} between hub and bank"), &value);
                }
            }
            self.keep_told(&answer);
        }
    }

    fn keep_told(&mut self, told: &Value) {
        const PERSONAL: [&str; 11] = [
            "client_secret",
            "registration_access_token",
            "access_token",
            "refresh_token",
            "customer_id",
            "accountNumber",
            "first",
            "last",
            "fullName",
            "number",
            "line1",
        ];
        match told {
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str() {
                        Some(text) if PERSONAL.contains(&name.as_str()) && text.len() >= 5 => {
                            self.keep(&format!("{name} of the bank"), text);
                        }
                        _ if name == "email" => value.as_array().into_iter().flatten().for_each(|address| {
                            self.keep("e-mail of the bank", address.as_str().unwrap());
                        }),
                        _ => self.keep_told(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.keep_told(item)),
            _ => {}
        }
    }

    /// Searches every file of the hub, and every row where the database is another program's.
    async fn search(&self, when: &str) {
        for path in self.site.files() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !EXCEPTED.contains(&name) {
                let place = std::fs::read(&path).unwrap();
                assert_eq!(found(&place, &self.secrets), [""; 0], "{when}: in {name}");
            }
        }
        if self.database.is_none() {
            return;
        }
        let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
        let tables = self.site.behind(tables).await;
        assert!(tables.len() > 10, "{tables:?}");
        for table in tables {
            let rows = self.site.behind(&format!("SELECT t::text FROM {table} t")).await.join("\n");
            assert_eq!(found(rows.as_bytes(), &self.secrets), [""; 0], "{when}: in {table}: {rows}");
        }
    }

    /// Errors of every kind, each with a secret in it that somebody might write down.
    async fn errors(&mut self, acme: &Recipient, access: &str, refresh: &str, code: &str) {
        let api = self.site.api();
        let wrong = Recipient { secret: "wr0ng-secret-of-somebody".into(), ..acme.clone() };
        assert_eq!(api.refresh(&wrong, refresh).await.status, 400);
        assert_eq!(api.redeem(acme, "wr0ng-code-of-somebody").await.status, 400);
        assert_eq!(api.refresh(acme, "wr0ng-refresh-of-somebody").await.status, 400);
        assert_eq!(api.read("/accounts", "wr0ng.bearer.of-somebody").await.status, 401);
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
        let form =
            Sent::new(Method::POST, &format!("{}/api/v1/token", self.site.hub)).form(&[(&garbled, secret)]);
        assert_eq!(self.site.browser.send(form).await.unwrap().status, 400);
        let callback = format!("{}/callback/1000?state={code}&code={code}&iss={secret}", self.site.hub);
        let callback = self.site.browser.send(Sent::new(Method::GET, &callback)).await.unwrap();
        assert_eq!(callback.status, 400);
        for levers in
            [json!({"fail": 500}), json!({"fail": 503}), json!({"fail": null, "rate_limited": true})]
        {
            self.site.levers(levers).await;
            assert!(api.read("/accounts", access).await.status >= 429);
        }
        self.site.levers(json!({"rate_limited": false, "token_endpoint": "down"})).await;
        self.site.behind("UPDATE upstream_credentials SET access_expires_at = 0").await;
        assert_eq!(api.read("/accounts", access).await.status, 503);
        self.site.levers(json!({"token_endpoint": "up", "rotate_refresh": true})).await;
        for (name, secret) in [
            ("a wrong secret", "wr0ng-secret-of-somebody"),
            ("a wrong code", "wr0ng-code-of-somebody"),
            ("a wrong refresh token", "wr0ng-refresh-of-somebody"),
            ("a wrong bearer", "wr0ng.bearer.of-somebody"),
        ] {
            self.keep(name, secret);
        }
    }

    /// The bank registers a client for the recipient, and the registration is activated with it.
    async fn registered(&mut self, acme: &Recipient) {
        let token = self.site.initial_access_token();
        self.keep("the initial access token", &token);
        let pair = [acme.id.as_str(), "2000"];
        let [client, provider] = pair;
        let asked = ["registration", "request", "--client", client, "--provider", provider];
        for arguments in [&asked[..], &["registration", "approve", client, provider]] {
            let said = self.site.run(arguments);
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        }
        let state =
            "SELECT state FROM registrations WHERE provider_id = 2000 AND upstream_client_secret IS NOT NULL";
        until("the bank's answer activates", async || self.site.behind(state).await == ["active"]).await;
    }

    /// A request that a browser begins and leaves: its cookie and the token of its page.
    async fn left(&mut self, acme: &Recipient) {
        let url = authorize_url(&self.site.hub, &Kit::ask(acme));
        let begun = self.site.browser.send(Sent::new(Method::GET, &url)).await.unwrap();
        let cookie = begun.headers["set-cookie"].to_str().unwrap().to_owned();
        let value = cookie.split(';').next().and_then(|pair| pair.split_once('=')).unwrap().1;
        self.keep("a flow cookie", value);
        let page = format!("{}{}", self.site.hub, begun.location.unwrap());
        let page = self.site.browser.send(Sent::new(Method::GET, &page)).await.unwrap();
        self.keep("a form token", &hidden(&page.body, "form_token").unwrap());
    }
}

/// Everything is logged that any part can log.
const LOUD: [&str; 2] = ["env", "BOWLINE_LOG__LEVEL=trace"];

async fn nothing_is_written_down(database: Option<String>) {
    let site = Site::new(database.as_deref()).await;
    site.registers_clients();
    if database.is_some() {
        assert!(site.run(&["migrate"]).status.success());
    }
    let acme = site.recipient_of("Acme Budget", SCOPE);
    let hub = site.serve(&LOUD).await;
    let mut story = Story { site, secrets: BTreeSet::new(), database };
    story.keep("a client secret", &acme.secret);
    story.keep("the hub's secret at the bank", "the-hub-at-the-bank");
    story.keep("a password", &story.site.password("alice"));
    story.left(&acme).await;
    story.registered(&acme).await;

    let code = story.site.code_of(&acme, "alice", SCOPE).await;
    story.keep("a code", &code);
    let (access, refresh) = story.keep_issued(&story.site.api().redeem(&acme, &code).await);
    for path in ["/accounts?resultType=details", "/customers/current"] {
        let read = story.site.api().read(path, &access).await;
        assert_eq!(read.status, 200, "{}", read.body);
        story.keep_told(&read.json());
    }
    story.keep_issued(&story.site.api().refresh(&acme, &refresh).await);
    story.errors(&acme, &access, &refresh, &code).await;
    story.site.behind("UPDATE upstream_credentials SET access_expires_at = 0").await;
    assert_eq!(story.site.api().read("/accounts", &access).await.status, 200, "{}", story.site.log());
    story.keep_heard();
    story.search("while it runs").await;

    story.site.levers(json!({"fail": 503})).await;
    assert_eq!(story.site.api().revoke(&access).await.status, 204);
    drop(hub); // SIGKILL
    story.keep_heard();
    story.search("killed with an end that the bank was not told of").await;

    let hub = story.site.serve(&LOUD).await;
    story.site.levers(json!({"fail": null})).await;
    story.site.forget_leases().await;
    until("the bank is told", async || story.site.live_grants().await == 0).await;
    assert_eq!(story.site.api().read("/accounts", &access).await.json()["code"], 602);
    let second = story.site.code_of(&acme, "alice", SCOPE).await;
    story.keep("a second code", &second);
    story.keep_issued(&story.site.api().redeem(&acme, &second).await);
    assert_eq!(story.site.api().redeem(&acme, &second).await.status, 400, "a replay ends it");
    story.keep_heard();
    story.search("at last").await;
    drop(hub);
    story.search("when all is over").await;

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
        "accountNumber of the bank",
        "e-mail of the bank",
    ] {
        assert!(names.contains(name), "{name} was never looked for: {names:?}");
    }
    let log = story.site.log();
    assert!(log.contains("TRACE") && log.contains("connection ended"), "the log was to be loud");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_down_on_sqlite() {
    nothing_is_written_down(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_down_on_postgres() {
    nothing_is_written_down(Some(durable_database().await)).await;
}
