//! The bank as another party sees it: over its router, with a clock that stands where the test puts it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use sandbox::bank::{Bank, Settings};
use serde_json::{Value, json};
use tower::ServiceExt;

const NOW: i64 = 1_795_500_000_000;
const BACK: &str = "http://127.0.0.1:8400/callback/1000";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-1234";
const CHALLENGE: &str = "d1cUUUAaQxxnJjbxyh1s7Oj2OE0--BcMWp66pI6YlC0";

struct Kit {
    router: Router,
    bank: Bank,
    clock: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    location: String,
    cookie: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    fn hidden(&self) -> String {
        let (_, rest) = self.text.split_once(r#"name="form_token" value=""#).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    fn code(&self) -> String {
        let url = url::Url::parse(&self.location).unwrap();
        url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }
}

fn open(journal: &Path, clock: &Arc<AtomicI64>) -> Bank {
    let clock = Arc::clone(clock);
    let settings = Settings {
        seed: b"seed".to_vec(),
        origin: "http://127.0.0.1:8402".into(),
        client_id: "hub".into(),
        client_secret: "hub-secret".into(),
        redirect_uris: vec![BACK.into()],
        journal: journal.into(),
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
    };
    Bank::maple(settings).unwrap()
}

impl Kit {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(NOW));
        let bank = open(&folder.path().join("maple.jsonl"), &clock);
        Self { router: bank.router(), bank, clock, folder }
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(header::HeaderName, &str)],
        body: String,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let header =
            |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let cookie = header(header::SET_COOKIE);
        Answer {
            status: response.status(),
            location: header(header::LOCATION),
            cookie: cookie.split(';').next().unwrap().to_owned(),
            text: String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec())
                .unwrap(),
        }
    }

    async fn post(&self, uri: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded"), (header::COOKIE, cookie)];
        self.send(Method::POST, uri, &headers, body).await
    }

    async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        let own = [("client_id", "hub"), ("client_secret", "hub-secret")];
        self.post("/token", "", &[&own[..], fields].concat()).await
    }

    async fn levers(&self, levers: &Value) -> Answer {
        self.send(Method::PUT, "/levers", &[(header::CONTENT_TYPE, "application/json")], levers.to_string())
            .await
    }

    async fn read(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let uri = format!("/fdx/v5{path}");
        self.send(Method::GET, &uri, &[(header::AUTHORIZATION, &bearer)], String::new()).await
    }

    async fn begin(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", "hub"),
                ("redirect_uri", BACK),
                ("state", "s 1"),
                ("scope", "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        let begun = self.send(Method::GET, &format!("/authorize?{query}"), &[], String::new()).await;
        assert_eq!((begun.status, begun.location.as_str()), (StatusCode::SEE_OTHER, "/sign-in"));
        begun.cookie
    }

    async fn sign_in(&self, cookie: &str, username: &str, password: &str) -> Answer {
        let page = self.send(Method::GET, "/sign-in", &[(header::COOKIE, cookie)], String::new()).await;
        let token = page.hidden();
        self.post(
            "/sign-in",
            cookie,
            &[("form_token", &token), ("username", username), ("password", password)],
        )
        .await
    }

    async fn decide(&self, cookie: &str, accounts: &[&str], decision: &str) -> Answer {
        let page = self.send(Method::GET, "/consent", &[(header::COOKIE, cookie)], String::new()).await;
        let token = page.hidden();
        let mut fields = vec![("form_token", token.as_str()), ("decision", decision)];
        fields.extend(accounts.iter().map(|a| ("accounts", *a)));
        self.post("/consent", cookie, &fields).await
    }

    fn password(&self, username: &str) -> String {
        self.bank.logins().into_iter().find(|l| l.username == username).unwrap().password
    }

    async fn code(&self) -> String {
        let cookie = self.begin().await;
        let signed = self.sign_in(&cookie, "alice", &self.password("alice")).await;
        assert_eq!(signed.location, "/consent");
        let sent = self.decide(&cookie, &["mt-alice-chequing", "mt-alice-card"], "approve").await;
        assert!(sent.location.starts_with(BACK), "{}", sent.location);
        sent.code()
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Answer {
        let grant = ("grant_type", "authorization_code");
        self.token(&[grant, ("code", code), ("redirect_uri", BACK), ("code_verifier", verifier)]).await
    }

    async fn granted(&self) -> Value {
        let code = self.code().await;
        self.redeem(&code, VERIFIER).await.json()
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {value}"))
}

#[tokio::test]
async fn a_customer_signs_in_chooses_accounts_and_the_client_reads_them_only() {
    let kit = Kit::new();
    let reply = kit.granted().await;
    assert_eq!(reply["accounts"], json!(["mt-alice-chequing", "mt-alice-card"]));
    assert!(text(&reply, "customer_id").starts_with("mtc-"));
    let token = text(&reply, "access_token");
    let list = kit.read(token, "/accounts").await.json();
    assert_eq!(list["page"]["totalElements"], 2);
    assert!(list["accounts"][0]["depositAccount"].get("currentBalance").is_none(), "lightweight by default");
    let detail = kit.read(token, "/accounts/mt-alice-card").await.json();
    assert!(detail["locAccount"]["currentBalance"].is_number());
    assert_eq!(kit.read(token, "/accounts/mt-alice-savings").await.json()["code"], 701);
    assert_eq!(kit.read(token, "/customers/current").await.json()["code"], 602);
    assert_eq!(kit.read("forged.1.2", "/accounts").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again_with_the_name_kept() {
    let kit = Kit::new();
    let cookie = kit.begin().await;
    let page = kit.sign_in(&cookie, "alice", "wrong").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("is wrong") && page.text.contains(r#"value="alice""#));
    let forged = kit.post("/sign-in", &cookie, &[("form_token", "x"), ("username", "alice")]).await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn declining_and_unknown_apps_are_answered_as_they_should() {
    let kit = Kit::new();
    let cookie = kit.begin().await;
    kit.sign_in(&cookie, "alice", &kit.password("alice")).await;
    assert_eq!(kit.decide(&cookie, &[], "approve").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        kit.decide(&cookie, &["mt-bob-chequing"], "approve").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let denied = kit.decide(&cookie, &[], "deny").await;
    assert!(denied.location.contains("error=access_denied") && denied.location.contains("state=s+1"));
    let foreign =
        kit.send(Method::GET, "/authorize?client_id=hub&redirect_uri=http://evil", &[], String::new()).await;
    assert_eq!((foreign.status, foreign.location.as_str()), (StatusCode::BAD_REQUEST, ""));
}

#[tokio::test]
async fn a_code_needs_its_verifier_and_works_once() {
    let kit = Kit::new();
    let code = kit.code().await;
    assert_eq!(kit.redeem(&code, "another-verifier").await.json()["error"], "invalid_grant");
    let reply = kit.redeem(&code, VERIFIER).await.json();
    assert_eq!(kit.redeem(&code, VERIFIER).await.json()["error"], "invalid_grant");
    let after = kit.read(text(&reply, "access_token"), "/accounts").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "a replay ends what came of the code");
    let late = kit.code().await;
    kit.clock.fetch_add(60_000, Ordering::Relaxed);
    assert_eq!(kit.redeem(&late, VERIFIER).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_grant_and_no_other() {
    let kit = Kit::new();
    let (first, second) = (kit.granted().await, kit.granted().await);
    let own = [("client_id", "hub"), ("client_secret", "hub-secret")];
    let token = ("token", text(&first, "refresh_token"));
    assert_eq!(kit.post("/revoke", "", &[&own[..], &[token]].concat()).await.status, StatusCode::OK);
    assert_eq!(kit.refresh(text(&first, "refresh_token")).await.json()["error"], "invalid_grant");
    assert_eq!(kit.read(text(&first, "access_token"), "/accounts").await.json()["code"], 602);
    assert_eq!(kit.read(text(&second, "access_token"), "/accounts").await.status, StatusCode::OK);
    let stranger = kit.post("/revoke", "", &[("client_id", "hub"), ("client_secret", "no"), token]).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn access_tokens_expire_and_refresh_tokens_survive_a_restart() {
    let kit = Kit::new();
    let reply = kit.granted().await;
    kit.clock.fetch_add(300_000, Ordering::Relaxed);
    assert_eq!(kit.read(text(&reply, "access_token"), "/accounts").await.json()["code"], 602);
    let again = Kit {
        router: open(&kit.folder.path().join("maple.jsonl"), &kit.clock).router(),
        bank: kit.bank.clone(),
        clock: Arc::clone(&kit.clock),
        folder: tempfile::tempdir().unwrap(),
    };
    let fresh = again.refresh(text(&reply, "refresh_token")).await.json();
    assert_eq!(again.read(text(&fresh, "access_token"), "/accounts").await.status, StatusCode::OK);
    assert!(fresh.get("refresh_token").is_none(), "does not rotate unless told to");
}

#[tokio::test]
async fn paging_shows_everything_once() {
    let kit = Kit::new();
    let reply = kit.granted().await;
    let token = text(&reply, "access_token");
    let path = "/accounts/mt-alice-chequing/transactions";
    let all =
        kit.read(token, &format!("{path}?limit=500&startTime=2026-01-01&endTime=2026-06-30")).await.json();
    let (mut seen, mut next) =
        (Vec::new(), format!("{path}?limit=7&startTime=2026-01-01&endTime=2026-06-30"));
    loop {
        let page = kit.read(token, &next).await.json();
        seen.extend(page["transactions"].as_array().unwrap().clone());
        match page["links"]["next"]["href"].as_str() {
            Some(href) => next = href.trim_start_matches("/fdx/v5").to_owned(),
            None => break,
        }
    }
    assert_eq!(Value::from(seen), all["transactions"]);
    assert_eq!(kit.read(token, &format!("{path}?startTime=2026-02-30")).await.json()["code"], 702);
}

#[tokio::test]
async fn each_lever_does_what_it_says() {
    let kit = Kit::new();
    let reply = kit.granted().await;
    let (token, refresh) = (text(&reply, "access_token"), text(&reply, "refresh_token"));
    kit.levers(&json!({"fail": 503})).await;
    assert_eq!(kit.read(token, "/accounts").await.status, StatusCode::SERVICE_UNAVAILABLE);
    kit.levers(&json!({"fail_share": 0.5})).await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(kit.read(token, "/accounts").await.status != StatusCode::OK);
    }
    assert_eq!(failed, 5);
    kit.send(Method::DELETE, "/levers", &[], String::new()).await;
    kit.levers(&json!({"token_endpoint": "down"})).await;
    assert_eq!(kit.refresh(refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    kit.levers(&json!({"token_endpoint": "up", "invalid_grant_to_all": true})).await;
    assert_eq!(kit.refresh(refresh).await.json()["error"], "invalid_grant");
    kit.levers(&json!({"invalid_grant_to_all": false, "rate_limited": true})).await;
    assert_eq!(kit.read(token, "/accounts").await.status, StatusCode::TOO_MANY_REQUESTS);
    kit.levers(&json!({"rate_limited": false, "clock_skew_s": 301})).await;
    assert_eq!(kit.read(token, "/accounts").await.json()["code"], 602);
    kit.levers(&json!({"clock_skew_s": 0, "revoke": "refuse"})).await;
    let own = [("client_id", "hub"), ("client_secret", "hub-secret"), ("token", refresh)];
    assert_eq!(kit.post("/revoke", "", &own).await.json()["error"], "unsupported_token_type");
    kit.levers(&json!({"revoke": "already"})).await;
    assert_eq!(kit.post("/revoke", "", &own).await.status, StatusCode::OK);
    assert_eq!(kit.read(token, "/accounts").await.status, StatusCode::OK, "nothing was done");
    kit.levers(&json!({"rotate_refresh": true})).await;
    let rotated = kit.refresh(refresh).await.json();
    assert_eq!(kit.refresh(refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.refresh(text(&rotated, "refresh_token")).await.status, StatusCode::OK);
    let bad = kit.levers(&json!({"latncy_ms": 3})).await;
    assert!(bad.status == StatusCode::BAD_REQUEST && bad.text.contains("latncy_ms"), "{}", bad.text);
}

#[tokio::test]
async fn a_held_answer_waits_for_the_lever() {
    let kit = Kit::new();
    let reply = kit.granted().await;
    kit.levers(&json!({"hold": true})).await;
    let mut held = Box::pin(kit.read(text(&reply, "access_token"), "/accounts"));
    tokio::select! {
        biased;
        _ = &mut held => panic!("answered while held"),
        () = tokio::task::yield_now() => {}
    }
    kit.levers(&json!({"hold": false})).await;
    assert_eq!(held.await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_bank_can_end_a_customers_consents_and_lists_its_grants() {
    let kit = Kit::new();
    let reply = kit.granted().await;
    let body = json!({"username": "alice"}).to_string();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let ended = kit.send(Method::POST, "/levers/consents/end", &kind, body).await.json();
    assert_eq!(ended, json!({"ended": 1}));
    assert_eq!(kit.refresh(text(&reply, "refresh_token")).await.json()["error"], "invalid_grant");
    let listed = kit.send(Method::GET, "/levers/grants", &[], String::new()).await.json();
    assert_eq!((&listed[0]["username"], &listed[0]["state"]), (&json!("alice"), &json!("ended")));
}

#[test]
fn passwords_follow_from_the_seed() {
    assert_eq!(Kit::new().bank.logins(), Kit::new().bank.logins());
}
