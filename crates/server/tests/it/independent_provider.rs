//! Tests with banks that were written by others: `django-oauth-toolkit`, and `oidc-provider`, which authenticates the hub by
//! signed assertions and by certificates, rotates refresh tokens, and confirms revocations by introspection.

mod authorization;
mod checks;
mod dpop;
mod guide;
mod plain;

use std::path::Path;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline::cli::{Browser, BrowserRequest};
use domain::model::provider::{
    ClientAuthentication, CustomerIdentity, GrantScope, ProviderSettings, SecretSource, SigningAlgorithm,
    TlsSettings,
};
use http::Method;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{ConnectionTokens, TestAuthority, TestHub, query_parameter, test_variable};

/// The bank, which ends when it is dropped.
struct IndependentBank {
    /// The origin for browsers.
    http: String,
    /// The origin that requests a client certificate.
    https: String,
    _process: Child,
}

/// Creates a self-signed certificate; returns it and its key.
fn create_self_signed_certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["hub.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Creates a private key in PEM form.
pub(crate) fn create_signing_key(algorithm: SigningAlgorithm) -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
    let der = match algorithm {
        SigningAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            pair.to_pkcs8v1().unwrap().as_ref().to_vec()
        }
        SigningAlgorithm::Ps256 => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
            AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref().to_vec()
        }
        SigningAlgorithm::EdDsa => {
            Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
        }
    };
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// Starts the program of a bank with its settings. Returns the process, which ends when it is dropped, and the origins that its first
/// line contains as JSON.
async fn start_bank_process(mut command: Command, settings: &Value) -> (Child, Value) {
    command.env("BANK", settings.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut started = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut started).await.unwrap();
    let origins = serde_json::from_str(&started).unwrap_or_else(|_| panic!("the bank did not start"));
    (process, origins)
}

impl IndependentBank {
    /// Starts a bank that knows the hub. `self_signed` are the certificates of the client `self-signed`.
    async fn start(kit: &TestHub, authority: &TestAuthority, self_signed: &[&str]) -> Self {
        Self::start_with(kit, authority, &json!({"self_signed": self_signed})).await
    }

    /// Starts a bank that knows the hub, with further settings of its program.
    async fn start_with(kit: &TestHub, authority: &TestAuthority, further: &Value) -> Self {
        let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
        let scopes: Vec<_> = shown["settings"]["scopes"].as_object().unwrap().values().collect();
        let mut settings = json!({
            "now": kit.app().now().unwrap().millis(), "jwks_uri": kit.url("/.well-known/jwks.json"),
            "redirect_uri": kit.url("/callback/1000"), "scopes": scopes, "self_signed": [],
        });
        settings.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        Self::start_in(kit.data_folder(), settings, authority).await
    }

    /// Starts a bank in a folder, with the settings of its program and a certificate of the authority.
    async fn start_in(folder: &Path, mut settings: Value, authority: &TestAuthority) -> Self {
        let folder = folder.join("bank");
        std::fs::create_dir(&folder).unwrap();
        // Modules are searched next to the file that imports them.
        let modules = test_variable("BOWLINE_TEST_OAUTH_NODE_MODULES");
        std::os::unix::fs::symlink(modules, folder.join("node_modules")).unwrap();
        let program = folder.join("bank.mjs");
        std::fs::write(&program, include_str!("../oauth-libraries/oidc_provider.mjs")).unwrap();
        let (certificate, key) = authority.issue("127.0.0.1");
        settings["certificate"] = certificate.into();
        settings["key"] = key.into();
        settings["client_ca"] = authority.pem().into();
        let mut command = Command::new(test_variable("BOWLINE_TEST_NODE"));
        command.arg("--experimental-global-webcrypto").arg(program);
        let (process, origins) = start_bank_process(command, &settings).await;
        let text = |name: &str| origins[name].as_str().unwrap().to_owned();
        Self { http: text("http"), https: text("https"), _process: process }
    }

    /// Returns the parameters of the last login, and the number of pushed requests.
    async fn last_login(&self, kit: &TestHub) -> (Value, u64) {
        let request = BrowserRequest::new(Method::GET, &format!("{}/logins", self.http));
        let answer = kit.browser.send(request).await.unwrap().json();
        let last = answer["logins"].as_array().unwrap().last().cloned().unwrap_or_default();
        (last, answer["pushed"].as_u64().unwrap())
    }

    /// Returns whether each token that the bank has issued is active, by the bank's introspection (RFC 7662).
    async fn introspect_issued_tokens(&self, browser: &Browser) -> Vec<bool> {
        let issued = browser.send(BrowserRequest::new(Method::GET, &format!("{}/issued", self.http)));
        let mut states = Vec::new();
        for token in issued.await.unwrap().json().as_array().unwrap() {
            let form = [
                ("token", token.as_str().unwrap()),
                ("client_id", "auditor"),
                ("client_secret", "auditor-secret"),
            ];
            let url = format!("{}/token/introspection", self.http);
            let request = BrowserRequest::new(Method::POST, &url).form(&form);
            states.push(browser.send(request).await.unwrap().json()["active"] == true);
        }
        states
    }
}

impl TestHub {
    /// Lets Maple Trust be the independent bank. `origin` is the one that the hub calls.
    async fn use_independent_bank(
        &self,
        bank: &IndependentBank,
        origin: &str,
        change: impl FnOnce(&mut ProviderSettings),
    ) {
        let (browser, origin) = (bank.http.clone(), origin.to_owned());
        self.update_provider_settings(1000, |settings| {
            settings.issuer = Some(browser.clone());
            settings.authorization_endpoint = Some(format!("{browser}/auth"));
            settings.token_endpoint = Some(format!("{origin}/token"));
            settings.revocation_endpoint = Some(format!("{origin}/token/revocation"));
            settings.fdx.base_url = format!("{origin}/fdx");
            settings.client_secret = None;
            settings.customer_identity = CustomerIdentity::None;
            settings.grant_scope = GrantScope::PerToken;
            (settings.accounts_field, settings.grant_field) = (None, None);
            change(settings);
        })
        .await;
    }

    /// Connects Acme at the independent bank, where every login succeeds.
    async fn connect_at_independent_bank(&self, bank: &IndependentBank) -> ConnectionTokens {
        self.connect_without_pages(&bank.http).await
    }

    /// Connects Acme at a bank that redirects the browser back without a page. `origin` is that of the bank.
    async fn connect_without_pages(&self, origin: &str) -> ConnectionTokens {
        let acme = self.acme();
        let answer = self.authorize(&Self::build_authorization_query(&acme)).await;
        let (at, page) = self.follow(self.app().public_url(), answer).await;
        let (mut at, _) = self.submit(&at, &page, &[("decision", "approve")]).await;
        while at.starts_with(origin) || at.starts_with(self.app().public_url()) {
            let answer = self.browser.send(BrowserRequest::new(Method::GET, &at)).await.unwrap();
            let location = answer.location.unwrap_or_else(|| panic!("no redirect at {at}: {}", answer.body));
            at = bowline::cli::resolve_url(&at, &location);
        }
        let code = query_parameter(&at, "code").unwrap_or_else(|| panic!("no code: {at}"));
        ConnectionTokens::from_response(&self.redeem(&acme, &code).await, code)
    }

    async fn wait_for_revocation(&self, tokens: &ConnectionTokens) {
        self.wait_until("the provider accepts the revocation", async || {
            let path = format!("/connections/{}", tokens.id);
            let shown = self.run_admin_operation(Method::GET, &path, None).await;
            assert_ne!(shown["provider_revocation"], "refused", "{shown}");
            shown["provider_revocation"] == "accepted"
        })
        .await;
    }

    async fn check_of_provider(&self, id: i64, name: &str) -> (bool, String) {
        let path = format!("/providers/{id}/test");
        let report = self.run_admin_operation(Method::POST, &path, None).await;
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report}"));
        (check["ok"] == true, check["detail"].as_str().unwrap().to_owned())
    }
}

fn jwt_settings(settings: &mut ProviderSettings, algorithm: SigningAlgorithm, key: &Path) {
    settings.client_id = format!("jwt-{}", algorithm.as_str().to_lowercase());
    settings.auth = ClientAuthentication::PrivateKeyJwt;
    settings.auth_algorithm = Some(algorithm);
    settings.auth_key = Some(SecretSource::File(key.display().to_string()));
}

#[tokio::test]
async fn private_key_jwt_connects_rotates_and_revokes() {
    let kit = TestHub::new().await;
    let file = kit.data_folder().join("key.pem");
    let (old, new) =
        (create_signing_key(SigningAlgorithm::Es256), create_signing_key(SigningAlgorithm::Es256));
    // The next key is published before it signs.
    std::fs::write(&file, format!("{old}{new}")).unwrap();
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    let settings = |settings: &mut ProviderSettings| {
        jwt_settings(settings, SigningAlgorithm::Es256, &file);
    };
    kit.use_independent_bank(&bank, &bank.http, settings).await;

    let tokens = kit.connect_at_independent_bank(&bank).await;
    for keys in [format!("{old}{new}"), format!("{new}{old}"), new.clone()] {
        std::fs::write(&file, keys).unwrap();
        // The bank's access tokens last 20 seconds, so each read needs a refresh.
        kit.advance(std::time::Duration::from_secs(16));
        let read = kit.read("/accounts", &tokens.access).await;
        assert_eq!(read.status, 200, "{}", read.body);
    }
    assert!(bank.introspect_issued_tokens(&kit.browser).await.contains(&true));
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    kit.wait_for_revocation(&tokens).await;
    let states = bank.introspect_issued_tokens(&kit.browser).await;
    assert!(states.len() >= 8 && !states.contains(&true), "{states:?}");
}

fn remove_endpoints(settings: &mut ProviderSettings) {
    (settings.authorization_endpoint, settings.token_endpoint) = (None, None);
    settings.revocation_endpoint = None;
}

#[tokio::test]
async fn private_key_jwt_of_each_algorithm_is_accepted() {
    let kit = TestHub::new().await;
    let file = kit.data_folder().join("key.pem");
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Ps256, SigningAlgorithm::EdDsa] {
        std::fs::write(&file, create_signing_key(algorithm)).unwrap();
        kit.use_independent_bank(&bank, &bank.http, |settings| jwt_settings(settings, algorithm, &file))
            .await;
        // The document of the published keys is kept for ten seconds.
        kit.advance(std::time::Duration::from_secs(11));

        let accepted = kit.check_of_provider(1000, "token").await;

        assert_eq!(
            accepted,
            (true, "HTTP 400 invalid_grant: the client is accepted".to_owned()),
            "{algorithm:?}"
        );
    }

    // The bank has the keys of its last request for some time.
    std::fs::write(&file, create_signing_key(SigningAlgorithm::Es256)).unwrap();
    kit.use_independent_bank(&bank, &bank.http, |s| jwt_settings(s, SigningAlgorithm::Es256, &file)).await;
    // The server rejects a certificate after the handshake of TLS 1.3, and closes the connection. This may hide the reason.
    kit.wait_until("the rejection of the certificate is named", async || {
        let (is_accepted, detail) = kit.check_of_provider(1000, "token").await;
        assert!(!is_accepted, "{detail}");
        detail.contains("the client is rejected")
    })
    .await;
    std::fs::write(&file, "no key").unwrap();
    let (is_usable, detail) = kit.check_of_provider(1000, "auth_key").await;
    assert!(!is_usable && detail.contains("expected private keys in PEM form"), "{detail}");
}

#[tokio::test]
async fn tls_client_auth_connects_and_reloads_certificate() {
    let kit = TestHub::new().await;
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let path = |name: &str| kit.data_folder().join(name).display().to_string();
    let bank = IndependentBank::start(&kit, &authority, &[]).await;
    let write_pair = |authority: &TestAuthority| {
        let (certificate, key) = authority.issue("hub.example");
        std::fs::write(path("hub.pem"), certificate).unwrap();
        std::fs::write(path("hub.key"), key).unwrap();
    };
    write_pair(&authority);
    std::fs::write(path("ca.pem"), other.pem()).unwrap();
    kit.use_independent_bank(&bank, &bank.https, |settings| {
        settings.client_id = "tls".into();
        settings.auth = ClientAuthentication::TlsClientAuth;
        let key = Some(SecretSource::File(path("hub.key")));
        settings.tls = Some(TlsSettings {
            ca: Some(path("ca.pem")),
            certificate: Some(path("hub.pem")),
            key,
            ..TlsSettings::default()
        });
        // The metadata name other endpoints for clients with a certificate.
        remove_endpoints(settings);
    })
    .await;
    let (is_trusted, detail) = kit.check_of_provider(1000, "token").await;
    assert!(!is_trusted && detail.contains("unknown authority; set tls.ca"), "{detail}");
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();

    let tokens = kit.connect_at_independent_bank(&bank).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    // A certificate without its key must not interrupt reads.
    std::fs::write(path("hub.pem"), authority.issue("hub.example").0).unwrap();
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    write_pair(&other);
    // The server rejects a certificate after the handshake of TLS 1.3, and closes the connection. This may hide the reason.
    kit.wait_until("the rejection of the certificate is named", async || {
        let (is_accepted, detail) = kit.check_of_provider(1000, "token").await;
        assert!(!is_accepted, "{detail}");
        detail.contains("the client is rejected")
    })
    .await;
    write_pair(&authority);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    kit.wait_for_revocation(&tokens).await;
    assert!(!bank.introspect_issued_tokens(&kit.browser).await.contains(&true));
}

#[tokio::test]
async fn self_signed_tls_client_auth_of_api_provider_is_sealed() {
    let kit = TestHub::new().await;
    let authority = TestAuthority::new();
    let (known, unknown) = (create_self_signed_certificate(), create_self_signed_certificate());
    let bank = IndependentBank::start(&kit, &authority, &[&known.0]).await;
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    let mut body = shown["settings"].clone();
    body["token_endpoint"] = json!(format!("{}/token", bank.https));
    body["client_id"] = json!("self-signed");
    body["auth"] = json!("self_signed_tls_client_auth");
    let tls = |pair: &(String, String)| json!({"ca": authority.pem(), "certificate": pair.0, "key": pair.1});
    for (tls, field) in [
        (json!({"certificate": known.0}), "tls.key"),
        (json!({"certificate": "hub.pem", "key": known.1}), "tls.certificate"),
        (json!({"certificate": known.0, "key": "hub.key"}), "tls.key"),
        (json!({"certificate": known.0, "key": {"file": "hub.key"}}), "tls.key"),
        (json!({"certificate": known.0, "key": unknown.1}), "tls.certificate and tls.key"),
        (json!({"certificate": known.0, "key": known.1, "ca": known.1}), "tls.ca"),
        (json!({"certificate": known.0, "key": known.1, "colour": 1}), "tls.colour"),
    ] {
        (body["id"], body["tls"]) = (json!(4000), tls);
        let rejected = kit.post_admin_request("/providers", body.clone()).await;
        assert_eq!((rejected.status, &rejected.json()["field"]), (400, &json!(field)), "{}", rejected.body);
    }

    for (id, pair, is_accepted) in [(4000, &known, true), (4001, &unknown, false)] {
        (body["id"], body["tls"]) = (json!(id), tls(pair));
        let added = kit.run_admin_operation(Method::POST, "/providers", Some(body.clone())).await;
        assert!(added["settings"]["tls"].get("key").is_none(), "{added}");
        let (ok, detail) = kit.check_of_provider(id, "token").await;
        assert_eq!(ok, is_accepted, "{detail}");
    }
    let row = kit.sql("SELECT settings, secrets FROM providers WHERE id = 4000").await.concat();
    let secret = known.1.lines().nth(1).unwrap();
    assert!(row.contains("sealed") && !row.contains(secret), "the key must be sealed");
    assert!(!row.contains(&crate::support::hex(secret.as_bytes())), "the key must be sealed");
}

#[tokio::test]
async fn key_set_omits_only_keys_that_cannot_be_read() {
    let kit = TestHub::new().await;
    let empty = kit.get("/.well-known/jwks.json").await;
    assert_eq!((empty.status, empty.json()), (200, json!({"keys": []})));
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    let mut body = shown["settings"].clone();
    (body["id"], body["auth"]) = (json!(4000), json!("private_key_jwt"));
    for (key, algorithm, field) in [
        (json!(create_signing_key(SigningAlgorithm::Es256)), json!("PS256"), "auth_key"),
        (json!("key.pem"), json!("ES256"), "auth_key"),
        (json!({"file": "key.pem"}), json!("ES256"), "auth_key"),
        (json!(create_signing_key(SigningAlgorithm::Es256)), Value::Null, "auth_algorithm"),
        (Value::Null, json!("ES256"), "auth_key"),
        (json!(create_signing_key(SigningAlgorithm::Es256)), json!("RS256"), "auth_algorithm"),
    ] {
        (body["auth_key"], body["auth_algorithm"]) = (key, algorithm);
        let rejected = kit.post_admin_request("/providers", body.clone()).await;
        assert_eq!((rejected.status, &rejected.json()["field"]), (400, &json!(field)), "{}", rejected.body);
    }
    (body["auth_key"], body["auth_algorithm"]) =
        (json!(create_signing_key(SigningAlgorithm::EdDsa)), json!("EdDSA"));
    kit.run_admin_operation(Method::POST, "/providers", Some(body)).await;
    let missing = kit.data_folder().join("missing.pem");
    kit.update_provider_settings(1000, |settings| {
        settings.client_secret = None;
        jwt_settings(settings, SigningAlgorithm::Es256, &missing);
    })
    .await;
    kit.advance(std::time::Duration::from_secs(11));

    let published = kit.get("/.well-known/jwks.json").await;

    assert_eq!(published.headers["content-type"], "application/jwk-set+json");
    let keys = published.json();
    let names: Vec<_> = keys["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        (keys["keys"].as_array().unwrap().len(), names),
        (1, vec!["alg", "crv", "kid", "kty", "use", "x"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provider_is_written_from_metadata_of_issuer() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    let config = kit.data_folder().join("template.toml");
    std::fs::write(&config, "[upstream]\nallow_loopback = true\n").unwrap();
    let run = |issuer: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bowline"));
        command.arg("--config").arg(&config).args(["provider", "add", "--from-issuer", issuer]);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };

    let (code, written, error) = run(&bank.http);
    let (other_code, _, other) = run(&format!("{}/tenant", bank.http));
    let (internal_code, _, internal) = run("https://10.0.0.1");

    assert_eq!(code, Some(0), "{error}");
    let table: toml::Table = written.parse().unwrap();
    let provider = &table["provider"][0];
    assert_eq!(provider["issuer"].as_str(), Some(bank.http.as_str()));
    assert_eq!(provider["token_endpoint"].as_str(), Some(format!("{}/token", bank.http).as_str()));
    assert_eq!(
        provider["revocation_endpoint"].as_str(),
        Some(format!("{}/token/revocation", bank.http).as_str())
    );
    assert_eq!(provider["auth"].as_str(), Some("private_key_jwt"));
    assert_eq!(provider["auth_algorithm"].as_str(), Some("ES256"));
    assert_eq!(other_code, Some(1), "{other}");
    assert!(
        other.contains("HTTP 404") && internal.contains("the address is not allowed"),
        "{other} {internal}"
    );
    assert_eq!(internal_code, Some(1));
}
