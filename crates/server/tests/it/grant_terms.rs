//! Tests of the terms that a provider states: in the token response, by introspection and in its Consent API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::model::provider::{CustomerIdentity, GrantScope, ProviderSettings, TermsSource};
use http::{Method, Response};
use serde_json::{Value, json};

use crate::support::{
    ConnectionTokens, EndpointStub, RecordedRequest, TestHub, json_response, query_parameter,
};

mod breaker;

const DAY_SECS: i64 = 86_400;
const ALL_SOURCES: [TermsSource; 2] = [TermsSource::FdxConsent, TermsSource::Introspection];

/// The responses of the bank, which each test changes.
struct TermsBankState {
    /// Members of the token response.
    tokens: Value,
    introspection: Response<String>,
    consent: Response<String>,
    /// The response to the hub's request of a token for itself.
    client_credentials: Response<String>,
}

impl TermsBankState {
    fn respond(&self, call: &RecordedRequest) -> Response<String> {
        match call.path.as_str() {
            "/token" if call.field("grant_type").as_deref() == Some("client_credentials") => {
                self.client_credentials.clone()
            }
            "/token" => {
                let mut tokens = json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer",
                    "expires_in": 600, "fdxConsentId": "c 1"});
                tokens.as_object_mut().unwrap().extend(self.tokens.as_object().unwrap().clone());
                json_response(200, &tokens)
            }
            "/introspect" => self.introspection.clone(),
            "/fdx/consents/c%201" => self.consent.clone(),
            "/fdx/accounts" => {
                let accounts = ["a-1", "a-2", "a-3"].map(|id| {
                    json!({"depositAccount": {"accountId": id, "accountType": "CHECKING", "status": "OPEN",
                        "currency": {"currencyCode": "CAD"}, "nickname": id}})
                });
                json_response(200, &json!({"accounts": accounts}))
            }
            _ => json_response(200, &json!({})),
        }
    }
}

/// A bank that states the terms of its grants.
struct TermsBank {
    stub: EndpointStub,
    state: Arc<Mutex<TermsBankState>>,
}

impl TermsBank {
    /// Lets Maple Trust be the bank. The customer still signs in at the sandbox.
    async fn install(kit: &TestHub, terms: &[TermsSource]) -> Self {
        let state = Arc::new(Mutex::new(TermsBankState {
            tokens: json!({}),
            introspection: json_response(200, &json!({"active": true})),
            consent: json_response(200, &json!({"id": "c 1", "status": "ACTIVE"})),
            client_credentials: json_response(
                200,
                &json!({"access_token": "own", "token_type": "Bearer", "expires_in": 60}),
            ),
        }));
        let shared = Arc::clone(&state);
        let stub = EndpointStub::new(move |call| shared.lock().unwrap().respond(call)).await;
        let url = stub.url.clone();
        kit.update_provider_settings(1000, |settings: &mut ProviderSettings| {
            settings.token_endpoint = Some(format!("{url}/token"));
            settings.revocation_endpoint = Some(format!("{url}/revoke"));
            settings.introspection_endpoint = Some(format!("{url}/introspect"));
            settings.fdx.base_url = format!("{url}/fdx");
            settings.consent_scope = Some("fdx:consents".into());
            settings.customer_identity = CustomerIdentity::None;
            settings.grant_scope = GrantScope::PerToken;
            (settings.accounts_field, settings.grant_field) = (None, None);
            settings.terms = terms.to_vec();
        })
        .await;
        Self { stub, state }
    }

    fn change(&self, change: impl FnOnce(&mut TermsBankState)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Signs in and consents; returns the redirect to the recipient.
    async fn login(&self, kit: &TestHub) -> String {
        let query = TestHub::build_authorization_query(&kit.acme());
        kit.complete_authorization(&query, "alice", &["mt-alice-chequing"]).await
    }

    /// Connects; returns the tokens, and the connection as operators see it.
    async fn connect(&self, kit: &TestHub) -> (ConnectionTokens, Value) {
        let redirect = self.login(kit).await;
        let code = query_parameter(&redirect, "code").unwrap_or_else(|| panic!("no code: {redirect}"));
        let tokens = ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code);
        let path = format!("/connections/{}", tokens.id);
        let shown = kit.run_admin_operation(Method::GET, &path, None).await;
        (tokens, shown)
    }

    /// Signs in without success, and checks that nothing remains: no connection, and no token at the bank. Returns the error for the
    /// recipient.
    async fn fail_login(&self, kit: &TestHub, case: &str) -> (String, String) {
        let before = self.count("/revoke");
        let redirect = self.login(kit).await;
        let error = query_parameter(&redirect, "error").unwrap_or_else(|| panic!("{case}: {redirect}"));
        assert_eq!(kit.sql("SELECT count(*) FROM connections").await, ["0"], "{case}");
        kit.wait_until("the tokens are revoked", async || self.count("/revoke") > before).await;
        (error, query_parameter(&redirect, "error_description").unwrap())
    }

    fn count(&self, path: &str) -> usize {
        self.stub.calls().iter().filter(|call| call.path == path).count()
    }

    /// Returns the number of token requests with a grant type.
    fn count_grant(&self, grant_type: &str) -> usize {
        let calls = self.stub.calls();
        calls.iter().filter(|call| call.field("grant_type").as_deref() == Some(grant_type)).count()
    }

    fn find_call(&self, path: &str) -> RecordedRequest {
        self.stub.calls().into_iter().find(|call| call.path == path).unwrap_or_else(|| panic!("no {path}"))
    }
}

fn account(id: &str, clusters: &[&str]) -> Value {
    json!({"resourceType": "ACCOUNT", "resourceId": id, "dataClusters": clusters})
}

fn with_details(consent: &Value) -> Value {
    json!({"authorization_details": [{"type": "fdx_v1.0", "consentRequest": consent}]})
}

fn seconds_until(kit: &TestHub, time: &Value) -> i64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_second() - kit.app().now().unwrap().seconds()
}

fn is_near(seconds: i64, expected: i64) -> bool {
    (expected - 60..=expected).contains(&seconds)
}

#[tokio::test]
async fn granted_details_limit_accounts_clusters_and_end() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[]).await;
    let clusters = ["ACCOUNT_BASIC", "TRANSACTIONS", "STATEMENTS"];
    let resources = [account("a-1", &clusters), account("a-2", &clusters), account("a-9", &clusters)];
    bank.change(|state| {
        state.tokens = with_details(&json!({"durationPeriod": 30, "resources": resources}));
    });

    let (tokens, shown) = bank.connect(&kit).await;
    let listed = kit.read("/accounts", &tokens.access).await;
    let detailed = kit.read("/accounts?resultType=details", &tokens.access).await;

    assert_eq!(shown["terms"]["clusters"], "ACCOUNT_BASIC TRANSACTIONS", "STATEMENTS was not requested");
    assert_eq!(shown["terms"]["accounts"], 3);
    assert!(is_near(seconds_until(&kit, &shown["expires_at"]), 30 * DAY_SECS), "{shown}");
    assert_eq!(shown["expires_at"], shown["terms"]["expires_at"], "a refresh cannot extend it");
    assert_eq!(listed.json()["accounts"].as_array().map(Vec::len), Some(2), "{}", listed.body);
    assert_eq!(detailed.status, 401, "the provider did not grant ACCOUNT_DETAILED");
    assert_eq!((bank.count("/introspect"), bank.count("/fdx/consents/c%201")), (0, 0), "no call");
}

#[tokio::test]
async fn introspection_limits_clusters_and_end() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::Introspection]).await;
    let expiry = kit.app().now().unwrap().seconds() + 10 * DAY_SECS;
    bank.change(|state| {
        let body = json!({"active": true, "scope": "fdx:accountbasic:read", "exp": expiry});
        state.introspection = json_response(200, &body);
    });

    let (tokens, shown) = bank.connect(&kit).await;
    // The new refresh token has an end of its own, which the bank does not state.
    bank.change(|state| state.tokens = json!({"refresh_token": "rt-2"}));
    kit.advance(Duration::from_mins(30));
    let renewed = kit.refresh(&kit.acme(), &tokens.refresh).await.json();
    kit.read("/accounts", renewed["access_token"].as_str().unwrap()).await;
    let path = format!("/connections/{}", tokens.id);
    let refreshed = kit.run_admin_operation(Method::GET, &path, None).await;

    assert_eq!(shown["terms"]["clusters"], "ACCOUNT_BASIC");
    assert!(is_near(seconds_until(&kit, &shown["expires_at"]), 10 * DAY_SECS - 1_800), "{shown}");
    assert_eq!(
        refreshed["expires_at"], refreshed["terms"]["expires_at"],
        "the former token limits it no more"
    );
    assert_eq!(bank.count("/introspect"), 1, "only a login asks");
    assert!(seconds_until(&kit, &shown["terms"]["expires_at"]) > 30 * DAY_SECS, "the consent lasts longer");
    let call = bank.find_call("/introspect");
    assert_eq!(call.field("token").as_deref(), Some("rt"));
    assert_eq!(call.field("token_type_hint").as_deref(), Some("refresh_token"));
    assert!(call.headers.contains_key("authorization"), "the hub authenticates as at the token endpoint");
}

#[tokio::test]
async fn details_of_introspection_limit_accounts() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::Introspection]).await;
    bank.change(|state| {
        let mut body = with_details(&json!({"resources": [account("a-2", &["ACCOUNT_BASIC"])]}));
        body["active"] = true.into();
        state.introspection = json_response(200, &body);
    });

    let (tokens, shown) = bank.connect(&kit).await;

    assert_eq!(
        (&shown["terms"]["accounts"], &shown["terms"]["clusters"]),
        (&json!(1), &json!("ACCOUNT_BASIC"))
    );
    let listed = kit.read("/accounts", &tokens.access).await.json();
    assert_eq!(listed["accounts"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test]
async fn fdx_consent_limits_accounts_and_end() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::FdxConsent]).await;
    let end = jiff::Timestamp::from_second(kit.app().now().unwrap().seconds() + 20 * DAY_SECS).unwrap();
    let resources = [account("a-1", &["ACCOUNT_DETAILED", "TRANSACTIONS"])];
    bank.change(|state| {
        let consent = json!({"id": "c 1", "status": "ACTIVE", "expirationTime": end.to_string(),
            "resources": resources});
        state.consent = json_response(200, &consent);
    });

    let (_, shown) = bank.connect(&kit).await;

    assert_eq!(shown["terms"]["accounts"], 1);
    assert_eq!(shown["terms"]["clusters"], "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS");
    assert!(is_near(seconds_until(&kit, &shown["terms"]["expires_at"]), 20 * DAY_SECS), "{shown}");
    let call = bank.find_call("/fdx/consents/c%201");
    assert_eq!((call.method, call.headers["authorization"].to_str().unwrap()), (Method::GET, "Bearer own"));
    let own = bank.stub.calls().into_iter().find(|call| call.field("scope").is_some()).unwrap();
    assert_eq!(own.field("scope").as_deref(), Some("fdx:consents"));
}

#[tokio::test]
async fn unreadable_statements_keep_the_connection() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &ALL_SOURCES).await;
    let past = json!({"active": true, "scope": "payments", "exp": 1});
    for (case, tokens, introspection, consent) in [
        (
            "other forms",
            json!({"authorization_details": "fdx_v1.0"}),
            json!({"active": true, "scope": 5, "exp": "soon", "authorization_details": {}}),
            json!({"status": "UNKNOWN", "resources": 5, "expirationTime": 5, "durationType": "ONE_TIME"}),
        ),
        (
            "past",
            with_details(&json!({"resources": [{}]})),
            past,
            json!({"expirationTime": "2020-01-01T00:00:00Z"}),
        ),
        (
            "not described",
            json!({}),
            json!({"active": false, "exp": 1}),
            json!({"id": "c 2", "status": "REVOKED"}),
        ),
    ] {
        bank.change(|state| {
            state.tokens = tokens;
            state.introspection = json_response(200, &introspection);
            state.consent = json_response(200, &consent);
        });

        let (tokens, shown) = bank.connect(&kit).await;

        assert_eq!(shown["terms"]["accounts"], Value::Null, "{case}");
        assert_eq!(shown["terms"]["clusters"], crate::support::SCOPE, "{case}");
        assert!(seconds_until(&kit, &shown["expires_at"]) > 30 * DAY_SECS, "{case}: {shown}");
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "{case}");
    }
}

#[tokio::test]
async fn source_without_usable_response_opens_no_connection() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &ALL_SOURCES).await;
    let internal = EndpointStub::new(|_| json_response(200, &json!({"status": "ACTIVE"}))).await;
    let redirect = Response::builder().status(302).header("location", &internal.url).body(String::new());
    let huge = json!({"status": "ACTIVE", "padding": "x".repeat(300_000)});
    let active = || json_response(200, &json!({"status": "ACTIVE"}));
    let described = || json_response(200, &json!({"active": true}));
    let revoked = json_response(200, &json!({"id": "c 1", "status": "REVOKED"}));
    for (case, introspection, consent) in [
        ("missing consent", described(), json_response(404, &json!({"code": "1101"}))),
        ("page", described(), Response::new("<html>".to_owned())),
        ("huge consent", described(), json_response(200, &huge)),
        ("redirect", described(), redirect.unwrap()),
        ("revoked consent", described(), revoked),
        ("failed introspection", json_response(500, &json!({})), active()),
        ("introspection without state", json_response(200, &json!({"exp": 1})), active()),
    ] {
        bank.change(|state| (state.introspection, state.consent) = (introspection, consent));

        let (error, description) = bank.fail_login(&kit, case).await;

        assert_eq!(error, "server_error", "{case}");
        assert!(description.contains("cannot verify what the user shared"), "{case}: {description}");
    }
    assert!(internal.calls().is_empty(), "no redirect may be followed");
}

#[tokio::test]
async fn refused_client_credentials_stop_no_refresh() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::FdxConsent]).await;
    let (tokens, _) = bank.connect(&kit).await;
    for (case, response) in [
        ("broken", json_response(500, &json!({}))),
        ("refused client", json_response(401, &json!({"error": "invalid_client"}))),
        ("refused grant", json_response(400, &json!({"error": "unauthorized_client"}))),
    ] {
        // The access token of the connection expires, so that the read below needs a refresh.
        kit.advance(Duration::from_mins(30));
        bank.change(|state| state.client_credentials = response);
        let before = bank.count_grant("authorization_code");
        let logins = kit.app().config().upstream.breaker_failures + 1;
        for _ in 0..logins {
            let redirect = bank.login(&kit).await;
            assert_eq!(query_parameter(&redirect, "error").as_deref(), Some("server_error"), "{case}");
        }
        let exchanged = bank.count_grant("authorization_code") - before;
        assert_eq!(exchanged, usize::try_from(logins).unwrap(), "{case}: each code is exchanged");

        let refreshes = bank.count_grant("refresh_token");
        let renewed = kit.refresh(&kit.acme(), &tokens.refresh).await.json();
        let read = kit.read("/accounts", renewed["access_token"].as_str().unwrap_or_default()).await;

        assert_eq!(bank.count_grant("refresh_token"), refreshes + 1, "{case}: the refresh is sent");
        assert_eq!(read.status, 200, "{case}: {}", read.body);
    }
}

#[tokio::test]
async fn consent_source_needs_the_id_of_the_consent() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::FdxConsent]).await;
    bank.change(|state| state.tokens = json!({"fdxConsentId": null}));

    let (error, _) = bank.fail_login(&kit, "no id").await;

    assert_eq!((error.as_str(), bank.count("/fdx/consents/c%201")), ("server_error", 0));
}

#[tokio::test]
async fn grant_without_accounts_opens_no_connection() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[]).await;
    let many: Vec<_> = (0..1_001).map(|n| account(&n.to_string(), &["ACCOUNT_BASIC"])).collect();
    for (case, resources, expected) in [
        ("empty", json!([]), "access_denied"),
        ("without basic data", json!([account("a-1", &["TRANSACTIONS"])]), "invalid_scope"),
        ("too many", json!(many), "server_error"),
    ] {
        bank.change(|state| state.tokens = with_details(&json!({"resources": resources})));

        assert_eq!(bank.fail_login(&kit, case).await.0, expected, "{case}");
    }
}

#[tokio::test]
async fn silent_source_ends_the_login_in_time() {
    let kit = TestHub::new().await;
    let bank = TermsBank::install(&kit, &[TermsSource::Introspection]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/introspect", listener.local_addr().unwrap());
    kit.update_provider_settings(1000, |settings| {
        settings.introspection_endpoint = Some(silent);
        settings.timeout = Some("1s".to_owned());
    })
    .await;

    let (error, _) = bank.fail_login(&kit, "silent").await;

    assert_eq!(error, "server_error");
}
