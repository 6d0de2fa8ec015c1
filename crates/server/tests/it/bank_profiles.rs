//! Tests of the security profiles of the sandbox banks. With the configuration that the sandbox writes, the hub connects,
//! reads, refreshes and ends. The banks reject what their profile forbids.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bowline::cli::{BankSecurity, Browser, BrowserRequest, BrowserResponse};
use domain::Timestamp;
use domain::id::ConnectionId;
use domain::jose::{AssertionKeys, ClientAssertion};
use domain::model::connection::{EndCause, UpstreamRevocation};
use domain::model::provider::SigningAlgorithm;
use http::Method;
use serde_json::{Value, json};

use crate::support::{HubApiClient, SCOPE, SandboxProcess, TestHub, query_parameter, wait_until};

const MAPLE: i64 = 1000;
const RIDEAU: i64 = 2000;
const CHALLENGE: &str = "d1cUUUAaQxxnJjbxyh1s7Oj2OE0--BcMWp66pI6YlC0";
const CONSENT_REQUEST: &str = r#"[{"type": "fdx_v1.0", "consentRequest": {"durationType": "TIME_BOUND",
    "durationPeriod": 90, "lookbackPeriod": 365,
    "resources": [{"resourceType": "ACCOUNT", "dataClusters": ["TRANSACTIONS"]}]}}]"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sandbox_command_connects_and_ends_with_each_profile() {
    for (profile, key) in
        [("plain", "client_secret"), ("openid", "extra_scopes"), ("fapi", "authorization_details")]
    {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = SandboxProcess::start_with(folder.path(), 0, &["--bank-profile", profile]);
        let (browser, hub) = (Browser::new().unwrap(), sandbox.line["hub"].as_str().unwrap());
        let api = HubApiClient { browser: &browser, hub };

        for bank in [0, 1] {
            let tokens = sandbox.connect(&browser, bank).await;
            assert_eq!(api.read("/accounts", &tokens.access).await.status, 200, "{profile}");
            assert_eq!(api.revoke(&tokens.access).await.status, 204, "{profile}");
            let faults = sandbox.line["providers"][bank]["faults"].as_str().unwrap();
            let request = || BrowserRequest::new(Method::GET, &format!("{faults}/grants"));
            wait_until("the grant ends at the bank", async || {
                let grants = browser.send(request()).await.unwrap().json();
                grants.as_array().unwrap().iter().all(|grant| grant["state"] == "ended")
            })
            .await;
        }

        let config = std::fs::read_to_string(folder.path().join("bowline.toml")).unwrap();
        assert!(config.contains(&format!("\n{key} = ")), "the configuration shows the profile: {config}");
    }
}

#[tokio::test]
async fn bank_profiles_identify_refresh_and_revoke() {
    for profile in [BankSecurity::Plain, BankSecurity::OpenId, BankSecurity::Fapi] {
        let kit = TestHub::with_bank_profile(profile).await;
        let acme = kit.acme();
        for bank in [MAPLE, RIDEAU] {
            let first = kit.connect_at(bank, &acme, "alice", &[], SCOPE).await;
            let second = kit.connect_at(bank, &acme, "alice", &[], SCOPE).await;
            let cause = kit.load_end_cause(&first.id).await;
            assert_eq!(cause, Some(EndCause::Replaced), "{profile:?}: the customer is recognized");
            // The job must not run while the clock is advanced: the bank would reject its assertion as expired.
            wait_until_revocation_is_accepted(&kit, &first.id).await;

            // The bank's access tokens last five minutes, so each of these reads needs a refresh at the bank.
            for _ in 0..2 {
                kit.advance(Duration::from_mins(10));
                let renewed = kit.refresh(&acme, &second.refresh).await.json();
                let access = renewed["access_token"].as_str().unwrap_or_else(|| panic!("{renewed}"));
                let read = kit.read("/accounts", access).await;
                assert_eq!(read.status, 200, "{profile:?} {}", read.body);
            }
            let renewed = kit.refresh(&acme, &second.refresh).await.json();
            assert_eq!(kit.revoke(renewed["access_token"].as_str().unwrap()).await.status, 204);

            wait_until_revocation_is_accepted(&kit, &second.id).await;
            assert_eq!(list_grant_states(&kit, bank).await, BTreeSet::from(["ended".to_owned()]));
        }
    }
}

#[tokio::test]
async fn fapi_bank_states_accounts_and_end_of_consent() {
    let kit = TestHub::with_bank_profile(BankSecurity::Fapi).await;
    for (bank, customer) in [(MAPLE, "alice"), (RIDEAU, "bob")] {
        let offered = kit.connect_at(bank, &kit.acme(), customer, &[], SCOPE).await;
        let path = format!("/connections/{}", offered.id);
        let shown = kit.run_admin_operation(Method::GET, &path, None).await;

        let accounts =
            kit.read("/accounts", &offered.access).await.json()["accounts"].as_array().map(Vec::len);
        assert_eq!(shown["terms"]["accounts"].as_u64(), accounts.map(|count| count as u64), "{shown}");
        assert_eq!(shown["terms"]["clusters"], SCOPE, "{shown}");
        assert_eq!(shown["expires_at"], shown["terms"]["expires_at"]);
    }
    let chosen = kit.connect_at(MAPLE, &kit.acme(), "bob", &["mt-bob-chequing"], SCOPE).await;
    let shown = kit.run_admin_operation(Method::GET, &format!("/connections/{}", chosen.id), None).await;
    assert_eq!(shown["terms"]["accounts"], 1, "{shown}");
}

async fn wait_until_revocation_is_accepted(kit: &TestHub, id: &ConnectionId) {
    kit.wait_until("the bank accepts the revocation", async || {
        let state = kit.load_connection(id).await.provider_revocation;
        assert_ne!(state, UpstreamRevocation::Refused);
        state == UpstreamRevocation::Accepted
    })
    .await;
}

async fn list_grant_states(kit: &TestHub, bank: i64) -> BTreeSet<String> {
    let url = format!("{}/grants", kit.bank_site(bank).faults_url());
    let grants = kit.send(BrowserRequest::new(Method::GET, &url)).await.json();
    grants.as_array().unwrap().iter().map(|grant| grant["state"].as_str().unwrap().to_owned()).collect()
}

/// Builds the parameters of an authorization request of the hub at Maple Trust, with some of them changed.
fn build_request<'a>(callback: &'a str, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", "bowline"),
        ("redirect_uri", callback),
        ("scope", "openid offline_access fdx:accountbasic:read"),
        ("nonce", "a-nonce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("authorization_details", CONSENT_REQUEST),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    fields
}

/// Opens the authorization endpoint of Maple Trust; returns the response.
async fn open_authorization(kit: &TestHub, changes: &[(&str, &str)]) -> BrowserResponse {
    let callback = kit.url("/callback/1000");
    let fields = build_request(&callback, changes);
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let url = format!("{}/authorize?{query}", kit.world.maple().url);
    Browser::new().unwrap().send(BrowserRequest::new(Method::GET, &url)).await.unwrap()
}

/// Returns the error with which the bank redirects the browser back.
fn error_of(response: &BrowserResponse) -> Option<String> {
    query_parameter(response.location.as_deref()?, "error")
}

async fn post_to_bank(kit: &TestHub, path: &str, fields: &[(&str, &str)]) -> BrowserResponse {
    let url = format!("{}{path}", kit.world.maple().url);
    kit.browser.send(BrowserRequest::new(Method::POST, &url).form(fields)).await.unwrap()
}

#[tokio::test]
async fn plain_bank_requires_its_secret_and_nothing_else() {
    let kit = TestHub::with_bank_profile(BankSecurity::Plain).await;
    let refresh = ("grant_type", "refresh_token");

    let wrong =
        post_to_bank(&kit, "/token", &[refresh, ("client_id", "bowline"), ("client_secret", "x")]).await;
    let request = open_authorization(&kit, &[("scope", "fdx:accountbasic:read"), ("nonce", "")]).await;

    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &json!("invalid_client")));
    assert_eq!((request.status, error_of(&request)), (303, None));
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"] {
        let url = format!("{}{path}", kit.world.maple().url);
        let found = kit.browser.send(BrowserRequest::new(Method::GET, &url)).await.unwrap();
        assert_eq!(found.status, 404, "{path}");
    }
}

#[tokio::test]
async fn openid_bank_requires_scope_nonce_and_authentication() {
    let kit = TestHub::with_bank_profile(BankSecurity::OpenId).await;
    let secret = std::fs::read_to_string(kit.data_folder().join("maple.secret")).unwrap();
    let client = [("client_id", "bowline"), ("client_secret", secret.as_str()), ("token", "unknown")];

    let accepted = open_authorization(&kit, &[]).await;
    let without_nonce = open_authorization(&kit, &[("nonce", "")]).await;
    let without_scope = open_authorization(&kit, &[("scope", "fdx:accountbasic:read")]).await;
    let unknown = post_to_bank(&kit, "/introspect", &client).await;
    let foreign = post_to_bank(&kit, "/introspect", &[client[0], ("client_secret", "x"), client[2]]).await;

    assert_eq!((accepted.status, error_of(&accepted)), (303, None));
    assert_eq!(error_of(&without_nonce).as_deref(), Some("invalid_request"));
    assert_eq!(error_of(&without_scope).as_deref(), Some("invalid_scope"));
    assert_eq!((unknown.status, unknown.json()), (200, json!({"active": false})));
    assert_eq!((foreign.status, &foreign.json()["error"]), (401, &json!("invalid_client")));
}

/// A client of Maple Trust with the keys of the hub, which sends what the hub would not send.
struct FapiClient {
    http: reqwest::Client,
    keys: AssertionKeys,
    issuer: String,
    origin: String,
    callback: String,
    now: Timestamp,
}

impl FapiClient {
    /// Creates a client with the certificate of the hub.
    fn new(kit: &TestHub) -> Self {
        let folder = kit.data_folder().join("fapi");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let keys = AssertionKeys::parse(&read("hub-signing.pem"), SigningAlgorithm::Es256).unwrap();
        let maple = kit.world.maple();
        Self {
            http: build_http_client(&folder, Some(&(read("hub.pem") + &read("hub.key")))),
            keys,
            issuer: maple.url.clone(),
            origin: maple.mutual_tls_url.clone().unwrap(),
            callback: kit.url("/callback/1000"),
            now: kit.app().now().unwrap(),
        }
    }

    fn sign(&self, audience: &str, id: &str) -> String {
        let assertion = ClientAssertion { client_id: "bowline", audience, now: self.now, id };
        self.keys.sign(&assertion).unwrap().expose().clone()
    }

    /// Posts a form with an assertion; returns the status and the body.
    async fn post(&self, path: &str, assertion: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let authentication = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        let form = [&authentication[..], fields].concat();
        let response = self.http.post(format!("{}{path}", self.origin)).form(&form).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn push(&self, id: &str, changes: &[(&str, &str)]) -> (u16, Value) {
        let assertion = self.sign(&self.issuer, id);
        self.post("/par", &assertion, &build_request(&self.callback, changes)).await
    }
}

/// Builds an HTTP client that trusts the authority of the sandbox. `identity` is a certificate with its key.
fn build_http_client(folder: &Path, identity: Option<&str>) -> reqwest::Client {
    let authority = std::fs::read(folder.join("ca.pem")).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    if let Some(pem) = identity {
        client = client.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
    }
    client.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fapi_bank_rejects_wrong_assertions_and_secrets() {
    let kit = TestHub::with_bank_profile(BankSecurity::Fapi).await;
    let client = FapiClient::new(&kit);
    let request = build_request(&client.callback, &[]);
    let accepted = client.sign(&client.issuer, "id-1");

    let first = client.post("/par", &accepted, &request).await;
    let repeated = client.post("/par", &accepted, &request).await;
    let other_audience = client.post("/par", &client.sign("https://other.example", "id-2"), &request).await;
    let endpoint = format!("{}/token", client.origin);
    let endpoint_audience = client.post("/par", &client.sign(&endpoint, "id-3"), &request).await;
    let with_secret = [&request[..], &[("client_secret", "x")]].concat();
    let secret = client.post("/par", "", &with_secret).await;

    assert_eq!(first.0, 201, "{first:?}");
    for rejected in [repeated, other_audience, endpoint_audience, secret] {
        assert_eq!((rejected.0, &rejected.1["error"]), (401, &json!("invalid_client")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fapi_bank_accepts_only_pushed_requests_with_details() {
    let kit = TestHub::with_bank_profile(BankSecurity::Fapi).await;
    let client = FapiClient::new(&kit);

    let not_pushed = open_authorization(&kit, &[]).await;
    let without_details = client.push("id-1", &[("authorization_details", "[]")]).await;
    let other_details = CONSENT_REQUEST.replace("fdx_v1.0", "payment");
    let other_details = client.push("id-2", &[("authorization_details", &other_details)]).await;
    let (_, pushed) = client.push("id-3", &[]).await;
    let uri = pushed["request_uri"].as_str().unwrap();
    let foreign = open_authorization(&kit, &[("request_uri", uri), ("client_id", "other")]).await;
    let first = open_authorization(&kit, &[("request_uri", uri)]).await;
    let repeated = open_authorization(&kit, &[("request_uri", uri)]).await;

    assert_eq!(error_of(&not_pushed).as_deref(), Some("invalid_request"));
    for rejected in [without_details, other_details] {
        assert_eq!((rejected.0, &rejected.1["error"]), (400, &json!("invalid_authorization_details")));
    }
    assert_eq!((first.status, first.location.as_deref()), (303, Some("/sign-in")));
    for rejected in [foreign, repeated] {
        assert!(rejected.status >= 400 && rejected.location.is_none(), "{}", rejected.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fapi_bank_requires_certificate_of_the_token() {
    let kit = TestHub::with_bank_profile(BankSecurity::Fapi).await;
    let client = FapiClient::new(&kit);
    let folder = kit.data_folder().join("fapi");
    let grant = [("grant_type", "client_credentials"), ("scope", "fdx:consents")];
    let (_, tokens) = client.post("/token", &client.sign(&client.issuer, "id-1"), &grant).await;
    let token = tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}"));
    let url = format!("{}/fdx/v5/consents/unknown/revocation", client.origin);
    let revoke = async |http: &reqwest::Client| {
        let body = json!({"reason": "USER_ACTION", "initiator": "INDIVIDUAL"});
        let request = http.put(&url).bearer_auth(token).header("x-client-certificate-thumbprint", "x");
        request.json(&body).send().await.map(|response| response.status().as_u16())
    };
    // The certificate of the bank itself comes from the same authority. It is not one for clients.
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let bank = build_http_client(&folder, Some(&(read("bank.pem") + &read("bank.key"))));
    let self_signed = rcgen::generate_simple_self_signed(vec!["hub.bowline.example".to_owned()]).unwrap();
    let self_signed = self_signed.cert.pem() + &self_signed.signing_key.serialize_pem();

    let own = revoke(&client.http).await;
    let without = revoke(&build_http_client(&folder, None)).await;
    let of_bank = revoke(&bank).await;
    let untrusted = revoke(&build_http_client(&folder, Some(&self_signed))).await;

    assert_eq!(own.unwrap(), 404, "the token is accepted, and the consent does not exist");
    assert!(without.is_err() && of_bank.is_err() && untrusted.is_err());
    let tokens_over_http = post_to_bank(&kit, "/token", &grant).await;
    assert_eq!(tokens_over_http.status, 404, "the endpoints exist only with mutual TLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fapi_bank_shows_consents_to_their_client() {
    let kit = TestHub::with_bank_profile(BankSecurity::Fapi).await;
    let client = FapiClient::new(&kit);
    let tokens = kit.connect_at(MAPLE, &kit.acme(), "alice", &["mt-alice-chequing"], SCOPE).await;
    let shown = kit.run_admin_operation(Method::GET, &format!("/connections/{}", tokens.id), None).await;
    let id = shown["provider_grant_id"].as_str().unwrap();
    let grant = [("grant_type", "client_credentials"), ("scope", "fdx:consents")];
    let (_, own) = client.post("/token", &client.sign(&client.issuer, "id-1"), &grant).await;
    let read = async |id: &str, token: &str| {
        let url = format!("{}/fdx/v5/consents/{id}", client.origin);
        let response = client.http.get(url).bearer_auth(token).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let own = own["access_token"].as_str().unwrap();

    let (status, active) = read(id, own).await;
    let unknown = read("mg_unknown", own).await.0;
    let without_token = read(id, "x").await.0;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_until_revocation_is_accepted(&kit, &tokens.id).await;
    let (_, revoked) = read(id, own).await;

    assert_eq!((status, &active["id"], &active["status"]), (200, &json!(id), &json!("ACTIVE")));
    let resource = &active["resources"][0];
    assert_eq!(resource["resourceType"], "ACCOUNT");
    assert_eq!(resource["dataClusters"], json!(["ACCOUNT_BASIC", "ACCOUNT_DETAILED", "TRANSACTIONS"]));
    assert!(
        resource["resourceId"].is_string() && active["resources"].as_array().unwrap().len() == 1,
        "{active}"
    );
    assert!(active["expirationTime"].is_string() && active["durationType"] == "TIME_BOUND", "{active}");
    assert_eq!((unknown, without_token), (404, 401));
    assert_eq!(revoked["status"], "REVOKED");
}
