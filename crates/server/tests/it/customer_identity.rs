//! Tests of the sources of a customer's identity: the id token, introspection and the FDX customer, and their bad input.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Timestamp;
use domain::model::provider::{ComputedHeader, CustomerIdentity, GrantScope, ProviderSettings};
use http::{Method, Response};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{
    AuthorizationFlow, ConnectionTokens, EndpointStub, HubProcess, RecordedRequest, SCOPE, TestHub,
    authorize_url, json_response, query_parameter,
};

/// The responses of the bank, which each test changes.
struct BankState {
    /// The issuer and the audience of id tokens.
    issuer: String,
    client_id: String,
    key: EncodingKey,
    key_id: &'static str,
    /// The response to a request for the keys, instead of the keys.
    keys: Option<Response<String>>,
    /// Changes of the claims of the id token.
    claims: Value,
    /// The id token, instead of a signed one.
    id_token: Option<String>,
    introspection: Value,
    customer: Response<String>,
    nonce: Option<String>,
    /// The member `refresh_token_expires_in` of the token response.
    refresh_expires_in: Value,
    now: Timestamp,
}

fn create_key() -> EncodingKey {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
}

impl BankState {
    fn publish_keys(&self) -> Response<String> {
        let mut key = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        key.common.key_id = Some(self.key_id.to_owned());
        self.keys.clone().unwrap_or_else(|| json_response(200, &json!({"keys": [key]})))
    }

    fn sign_id_token(&self) -> String {
        let now = self.now.seconds();
        let mut claims =
            json!({"iss": self.issuer, "aud": self.client_id, "sub": "alice", "iat": now, "exp": now + 300});
        if let Some(nonce) = &self.nonce {
            claims["nonce"] = json!(nonce);
        }
        for (name, value) in self.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.to_owned());
        let signed = || jsonwebtoken::encode(&header, &claims, &self.key).unwrap();
        self.id_token.clone().unwrap_or_else(signed)
    }

    fn respond(&self, call: &RecordedRequest) -> Response<String> {
        match call.path.as_str() {
            "/token" => json_response(
                200,
                &json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 600,
                    "id_token": self.sign_id_token(), "refresh_token_expires_in": self.refresh_expires_in}),
            ),
            "/keys" => self.publish_keys(),
            "/introspect" => json_response(200, &self.introspection),
            "/fdx/customers/current" => self.customer.clone(),
            _ => json_response(200, &json!({})),
        }
    }
}

/// A bank that identifies its customers.
struct IdentityBank {
    stub: EndpointStub,
    state: Arc<Mutex<BankState>>,
}

impl IdentityBank {
    /// Lets Maple Trust take the identity from a source. The customer still signs in at the sandbox.
    async fn install(kit: &TestHub, source: CustomerIdentity) -> Self {
        let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
        let setting = |name: &str| shown["settings"][name].as_str().unwrap().to_owned();
        let state = Arc::new(Mutex::new(BankState {
            issuer: setting("issuer"),
            client_id: setting("client_id"),
            key: create_key(),
            key_id: "1",
            keys: None,
            claims: json!({}),
            id_token: None,
            introspection: json!({"active": true, "sub": "alice"}),
            customer: json_response(200, &json!({"customerId": "c-1"})),
            nonce: None,
            refresh_expires_in: Value::Null,
            now: kit.app().now().unwrap(),
        }));
        let shared = Arc::clone(&state);
        let stub = EndpointStub::new(move |call| shared.lock().unwrap().respond(call)).await;
        let bank = Self { stub, state };
        bank.configure(kit, |settings| settings.customer_identity = source).await;
        bank
    }

    async fn configure(&self, kit: &TestHub, change: impl FnOnce(&mut ProviderSettings)) {
        let url = &self.stub.url;
        kit.update_provider_settings(1000, |settings| {
            settings.token_endpoint = Some(format!("{url}/token"));
            settings.revocation_endpoint = Some(format!("{url}/revoke"));
            settings.jwks_uri = Some(format!("{url}/keys"));
            settings.introspection_endpoint = Some(format!("{url}/introspect"));
            settings.fdx.base_url = format!("{url}/fdx");
            settings.grant_scope = GrantScope::PerToken;
            settings.extra_scopes = vec!["openid".to_owned()];
            (settings.accounts_field, settings.grant_field) = (None, None);
            change(settings);
        })
        .await;
    }

    fn change(&self, change: impl FnOnce(&mut BankState)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Signs in and consents; returns the redirect to the recipient.
    async fn login(&self, kit: &TestHub) -> String {
        let hub = kit.app().public_url();
        let flow = AuthorizationFlow { browser: &kit.browser, origins: vec![hub.to_owned()] };
        let url = authorize_url(hub, &TestHub::build_authorization_query(&kit.acme()));
        let (at, page) = flow.open(&url).await;
        let (at, _) = flow.submit(&at, &page, &[("decision", "approve")]).await;
        let (nonce, now) = (query_parameter(&at, "nonce"), kit.app().now().unwrap());
        self.change(|state| (state.nonce, state.now) = (nonce, now));
        // The sandbox is the bank at which the browser signs in, and it names itself as the issuer.
        kit.complete_flow(&at, "alice").await
    }

    /// Connects; returns the identifier of the customer for the recipient.
    async fn connect(&self, kit: &TestHub) -> String {
        let redirect = self.login(kit).await;
        let code = query_parameter(&redirect, "code").unwrap_or_else(|| panic!("no code: {redirect}"));
        let tokens = ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code);
        let path = format!("/connections/{}", tokens.id);
        kit.run_admin_operation(Method::GET, &path, None).await["sub"].as_str().unwrap().to_owned()
    }

    /// Signs in without success, and checks that nothing remains: no connection, and no token at the bank.
    async fn fail_login(&self, kit: &TestHub, case: &str) {
        let before = self.count("/revoke");
        let redirect = self.login(kit).await;
        assert_eq!(query_parameter(&redirect, "error").as_deref(), Some("server_error"), "{case}");
        let description = query_parameter(&redirect, "error_description").unwrap();
        assert!(description.contains("cannot verify the identity"), "{case}: {description}");
        assert_eq!(kit.sql("SELECT count(*) FROM connections").await, ["0"], "{case}");
        kit.wait_until("the tokens are revoked", async || self.count("/revoke") > before).await;
        let calls = self.stub.calls();
        let revoked = calls.iter().rev().find(|call| call.path == "/revoke").unwrap();
        assert_eq!(revoked.field("token").as_deref(), Some("rt"), "{case}");
    }

    fn count(&self, path: &str) -> usize {
        self.stub.calls().iter().filter(|call| call.path == path).count()
    }
}

fn redirect_to(url: &str) -> Response<String> {
    Response::builder().status(302).header("location", url).body(String::new()).unwrap()
}

#[tokio::test]
async fn customer_is_recognized_by_id_token() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("sub".into())).await;

    let first = bank.connect(&kit).await;
    let second = bank.connect(&kit).await;
    bank.change(|state| state.claims = json!({"sub": "bob"}));
    let other = bank.connect(&kit).await;

    assert_eq!(first, second, "two logins of one customer");
    assert_ne!(first, other);
    assert_eq!(bank.count("/keys"), 1, "the keys are kept");
}

#[tokio::test]
async fn customer_is_recognized_by_named_claim() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("customer_number".into())).await;

    bank.change(|state| state.claims = json!({"sub": "pairwise-1", "customer_number": 7}));
    let first = bank.connect(&kit).await;
    bank.change(|state| state.claims = json!({"sub": "pairwise-2", "customer_number": 7}));

    assert_eq!(bank.connect(&kit).await, first);
}

#[tokio::test]
async fn rotated_keys_are_read_again_during_a_login() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("sub".into())).await;
    let first = bank.connect(&kit).await;

    kit.advance(Duration::from_secs(11));
    bank.change(|state| (state.key, state.key_id) = (create_key(), "2"));
    let second = bank.connect(&kit).await;

    assert_eq!((first, bank.count("/keys")), (second, 2));
}

#[tokio::test]
async fn invalid_id_token_opens_no_connection() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("sub".into())).await;
    for claims in [
        json!({"aud": "another-client"}),
        json!({"iss": "https://other.example"}),
        json!({"exp": 1}),
        json!({"sub": null}),
    ] {
        bank.change(|state| state.claims = claims.clone());
        bank.fail_login(&kit, &claims.to_string()).await;
    }
    bank.change(|state| state.claims = json!({}));

    let signed = bank.state.lock().unwrap().sign_id_token();
    let payload = signed.split('.').nth(1).unwrap();
    for (case, token) in [
        ("unsigned", format!("eyJhbGciOiJub25lIn0.{payload}.")),
        ("oversized", "x".repeat(40_000)),
        ("empty", String::new()),
        ("forged", format!("{}AAAA", &signed[..signed.len() - 4])),
    ] {
        bank.change(|state| state.id_token = Some(token));
        bank.fail_login(&kit, case).await;
    }
    bank.change(|state| state.id_token = None);
    bank.connect(&kit).await;
}

#[tokio::test]
async fn id_token_of_unpublished_key_causes_one_request() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("sub".into())).await;
    let published = bank.state.lock().unwrap().publish_keys();
    bank.change(|state| (state.keys, state.key, state.key_id) = (Some(published), create_key(), "2"));

    bank.fail_login(&kit, "unknown key").await;
    bank.fail_login(&kit, "unknown key").await;

    assert_eq!(bank.count("/keys"), 1, "the keys were read a moment ago");
}

#[tokio::test]
async fn unusable_keys_open_no_connection() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("sub".into())).await;
    let internal = EndpointStub::new(|_| json_response(200, &json!({"keys": []}))).await;
    let published = bank.state.lock().unwrap().publish_keys();
    let huge = json!({"keys": [], "padding": "x".repeat(300_000)});
    let many = json!({"keys": vec![json!({}); 101]});
    for (case, keys) in [
        ("huge", json_response(200, &huge)),
        ("many", json_response(200, &many)),
        ("unreadable", json_response(200, &json!([]))),
        ("missing", json_response(404, &json!({}))),
        ("redirect", redirect_to(&internal.url)),
    ] {
        bank.change(|state| state.keys = Some(keys));
        bank.fail_login(&kit, case).await;
        kit.advance(Duration::from_secs(11));
    }
    assert!(internal.calls().is_empty(), "no redirect may be followed");
    bank.change(|state| state.keys = Some(published));
    bank.connect(&kit).await;
}

#[tokio::test]
async fn slow_keys_end_the_login_in_time() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::IdToken("sub".into())).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/keys", listener.local_addr().unwrap());
    let address = "http://169.254.169.254/keys".to_owned();
    for uri in [silent, address] {
        bank.configure(&kit, |settings| {
            settings.jwks_uri = Some(uri.clone());
            settings.timeout = Some("1s".to_owned());
        })
        .await;

        bank.fail_login(&kit, &uri).await;
    }
}

#[tokio::test]
async fn customer_is_recognized_by_introspection() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::Introspection).await;

    let first = bank.connect(&kit).await;
    assert_eq!(bank.connect(&kit).await, first);
    let calls = bank.stub.calls();
    let call = calls.iter().find(|call| call.path == "/introspect").unwrap();
    assert_eq!(call.field("token").as_deref(), Some("at"));
    assert!(call.headers.contains_key("authorization"), "the hub authenticates as at the token endpoint");
}

#[tokio::test]
async fn introspection_without_identity_opens_no_connection() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::Introspection).await;
    for introspection in
        [json!({"active": false}), json!({"active": true}), json!({"sub": "alice"}), json!([])]
    {
        bank.change(|state| state.introspection = introspection.clone());
        bank.fail_login(&kit, &introspection.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_program_logs_why_no_customer_is_identified() {
    let site = HubProcess::new(None).await;
    let file = site.path("bowline.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("token_field = \"customer_id\"", "token_field = \"absent\""))
        .unwrap();
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let _hub = site.serve(&[]).await;

    let back = site.complete_authorization(&acme, "alice", SCOPE).await;

    assert!(query_parameter(&back, "error").is_some(), "{back}");
    let log = site.log();
    let line = log.lines().find(|line| line.contains("the identity of a customer could not be determined"));
    let line = line.unwrap_or_else(|| panic!("no reason in the log: {log}"));
    assert!(line.contains("WARN") && line.contains("no usable member `absent`"), "{line}");
}

#[tokio::test]
async fn customer_is_recognized_by_fdx_customer() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::FdxCustomer).await;
    for customer in [json_response(200, &json!({})), json_response(403, &json!({"code": "602"}))] {
        bank.change(|state| state.customer = customer);
        bank.fail_login(&kit, "no customer").await;
    }

    bank.change(|state| state.customer = json_response(200, &json!({"customerId": "c-1"})));
    let first = bank.connect(&kit).await;
    assert_eq!(bank.connect(&kit).await, first);
}

#[tokio::test]
async fn address_of_customer_is_sent_only_during_a_login() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::FdxCustomer).await;
    bank.configure(&kit, |settings| {
        let header = "x-fapi-customer-ip-address".to_owned();
        settings.computed_headers = BTreeMap::from([
            (header, ComputedHeader::CustomerIp),
            ("x-request-id".to_owned(), ComputedHeader::InteractionId),
        ]);
    })
    .await;

    let redirect = bank.login(&kit).await;
    let code = query_parameter(&redirect, "code").unwrap();
    let tokens = ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code);
    kit.read("/accounts", &tokens.access).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_until("the token is revoked", async || bank.count("/revoke") > 0).await;

    let calls = bank.stub.calls();
    let address = |call: &RecordedRequest| {
        call.headers.get("x-fapi-customer-ip-address").map(|value| value.to_str().unwrap().to_owned())
    };
    for call in &calls {
        assert_eq!(call.headers["x-request-id"], call.headers["x-fapi-interaction-id"], "{}", call.path);
    }
    let sent: Vec<_> = calls.iter().map(|call| (call.path.as_str(), address(call))).collect();
    let local = Some("127.0.0.1".to_owned());
    assert_eq!(
        sent,
        [
            ("/token", local.clone()),
            ("/fdx/customers/current", local),
            ("/fdx/accounts", None),
            ("/revoke", None),
        ]
    );
}

#[tokio::test]
async fn expiry_of_refresh_token_limits_connection() {
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::None).await;
    let mut ends = Vec::new();
    for expires_in in [json!(86_400), json!("3600"), json!(0), json!(1_000_000_000_000_u64)] {
        bank.change(|state| state.refresh_expires_in = expires_in);
        let redirect = bank.login(&kit).await;
        let code = query_parameter(&redirect, "code").unwrap_or_else(|| panic!("no code: {redirect}"));
        let tokens = ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code);
        let shown = kit.run_admin_operation(Method::GET, &format!("/connections/{}", tokens.id), None).await;
        let end: jiff::Timestamp = shown["expires_at"].as_str().unwrap().parse().unwrap();
        ends.push(end.as_second() - kit.app().now().unwrap().seconds());
    }

    assert!((86_390..=86_400).contains(&ends[0]) && (3_590..=3_600).contains(&ends[1]), "{ends:?}");
    assert!(ends[2] > 86_400 && ends[3] > 86_400, "{ends:?}");
}

#[tokio::test]
async fn end_of_connection_follows_refresh_tokens() {
    const DAY_SECS: i64 = 86_400;
    let kit = TestHub::new().await;
    let bank = IdentityBank::install(&kit, CustomerIdentity::None).await;
    bank.change(|state| state.refresh_expires_in = json!(10 * DAY_SECS));
    let redirect = bank.login(&kit).await;
    let code = query_parameter(&redirect, "code").unwrap_or_else(|| panic!("no code: {redirect}"));
    let tokens = ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code);
    let path = format!("/connections/{}", tokens.id);
    let show = async || kit.run_admin_operation(Method::GET, &path, None).await;
    let opened = show().await["expires_at"].clone();
    let mut ends = Vec::new();

    // The lifetime stays, becomes shorter, and longer than the consent.
    for days in [10, 1, 20, 1_000, 1_000] {
        bank.change(|state| state.refresh_expires_in = json!(days * DAY_SECS));
        kit.advance(Duration::from_mins(30));
        let renewed = kit.refresh(&kit.acme(), &tokens.refresh).await.json();
        // The access token has expired, so the read needs a refresh.
        kit.read("/accounts", renewed["access_token"].as_str().unwrap()).await;
        let end: jiff::Timestamp = show().await["expires_at"].as_str().unwrap().parse().unwrap();
        ends.push((end.as_second() - kit.app().now().unwrap().seconds(), end.to_string()));
    }

    let shown = show().await;
    let is_near = |end: i64, days: i64| (days * DAY_SECS - 60..=days * DAY_SECS).contains(&end);
    let opened: jiff::Timestamp = opened.as_str().unwrap().parse().unwrap();
    assert_eq!(ends[0].1, opened.to_string(), "half an hour is no change");
    assert!(is_near(ends[1].0, 1) && is_near(ends[2].0, 20), "{ends:?}");
    assert_eq!(shown["expires_at"], shown["terms"]["expires_at"], "no token outlives the consent");
    assert_eq!((&ends[3].1, &shown["terms"]["version"]), (&ends[4].1, &json!(1)));
    let moved = kit.sql("SELECT count(*) FROM audit_events WHERE action = 'connection.end_moved'").await;
    assert_eq!(moved, ["3"], "an end that stays is not written");
}
