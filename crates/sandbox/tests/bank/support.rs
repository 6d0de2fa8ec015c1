//! Support for tests of the banks: a bank for each test, an API client of the bank, and browsers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use fdx::{Account, Accounts, PaymentNetworks, Statements, Transactions, v6};
use http_body_util::BodyExt;
use sandbox::bank::{Bank, BankSettings, SecurityProfile};
use serde_json::Value;
use tower::ServiceExt;

/// The time of the bank's clock at the start of a test: 2026-11-24, in milliseconds since the epoch.
pub(crate) const NOW: i64 = 1_795_500_000_000;
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:8400/callback/1000";
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8402";
pub(crate) const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-1234";
const CHALLENGE: &str = "d1cUUUAaQxxnJjbxyh1s7Oj2OE0--BcMWp66pI6YlC0";
pub(crate) const SCOPE: &str = "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read";
pub(crate) const FULL_SCOPE: &str = "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read \
    fdx:investments:read fdx:statements:read fdx:paymentnetworks:read fdx:customercontact:read fdx:customerpersonal:read";

pub(crate) type OpenBank = fn(BankSettings) -> std::io::Result<Bank>;

pub(crate) struct TestBank {
    open: OpenBank,
    router: Router,
    pub(crate) inner: Bank,
    pub(crate) clock: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

pub(crate) struct BankResponse {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) cookies: Vec<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl BankResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn csrf_token(&self) -> String {
        let found = self.text.split_once(r#"name="csrf_token" value=""#);
        let (_, rest) = found.unwrap_or_else(|| panic!("no form: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }

    /// Returns the value of a query parameter of the redirect's URL.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&self.location).ok()?;
        url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// Returns the account ids on the page, each with `true` if its box is checked.
    pub(crate) fn account_choices(&self) -> Vec<(String, bool)> {
        let boxes = self.text.split(r#"name="accounts" value=""#).skip(1);
        let choice = |rest: &str| {
            let (id, rest) = rest.split_once('"').unwrap();
            (id.to_owned(), rest.starts_with(" checked"))
        };
        boxes.map(choice).collect()
    }
}

fn convert_to_v5<T: v6::CrossVersion>(text: &str) -> String {
    let read = v6::parse::<T>(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(read.dropped, 0, "the types must know every field and element: {text}");
    serde_json::to_string(&read.value).unwrap()
}

fn open_at(open: OpenBank, journal: &Path, clock: &Arc<AtomicI64>, security: SecurityProfile) -> Bank {
    let clock = Arc::clone(clock);
    let settings = BankSettings {
        seed: b"seed".to_vec(),
        secret_key: b"secret key".to_vec(),
        origin: ORIGIN.into(),
        client_id: "hub".into(),
        client_secret: "hub-secret".into(),
        redirect_uris: vec![REDIRECT_URI.into()],
        journal: journal.into(),
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        security,
    };
    open(settings).unwrap()
}

impl TestBank {
    pub(crate) fn maple() -> Self {
        Self::new(Bank::maple)
    }

    pub(crate) fn rideau() -> Self {
        Self::new(Bank::rideau)
    }

    pub(crate) fn prairie() -> Self {
        Self::new(Bank::prairie)
    }

    /// Opens Maple Trust with OpenID Connect.
    pub(crate) fn maple_with_openid() -> Self {
        Self::with_security(Bank::maple, SecurityProfile::OpenId)
    }

    pub(crate) fn new(open: OpenBank) -> Self {
        Self::with_security(open, SecurityProfile::Plain)
    }

    fn with_security(open: OpenBank, security: SecurityProfile) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(NOW));
        let bank = open_at(open, &folder.path().join("grants.jsonl"), &clock, security);
        Self { open, router: bank.router(), inner: bank, clock, folder }
    }

    /// Opens another instance of the bank on the same journal, as after a restart.
    pub(crate) fn restart(&self) -> Self {
        let journal = self.folder.path().join("grants.jsonl");
        let bank = open_at(self.open, &journal, &self.clock, SecurityProfile::Plain);
        let (clock, folder) = (Arc::clone(&self.clock), tempfile::tempdir().unwrap());
        Self { open: self.open, router: bank.router(), inner: bank, clock, folder }
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(HeaderName, &str)],
        body: String,
    ) -> BankResponse {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let headers = response.headers().clone();
        let text = |name: HeaderName| -> Vec<String> {
            headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
        };
        BankResponse {
            status: response.status(),
            location: text(header::LOCATION).pop().unwrap_or_default(),
            cookies: text(header::SET_COOKIE),
            headers,
            text: String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes())
                .into_owned(),
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> BankResponse {
        self.send(Method::GET, uri, &[], String::new()).await
    }

    /// Posts a form with the hub's client credentials.
    pub(crate) async fn post_as_hub(&self, uri: &str, fields: &[(&str, &str)]) -> BankResponse {
        let hub_credentials = [("client_id", "hub"), ("client_secret", "hub-secret")];
        self.post_form(uri, &[&hub_credentials[..], fields].concat()).await
    }

    pub(crate) async fn post_form(&self, uri: &str, fields: &[(&str, &str)]) -> BankResponse {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
        self.send(Method::POST, uri, &headers, body).await
    }

    pub(crate) async fn send_json(&self, method: Method, uri: &str, body: &Value) -> BankResponse {
        self.send(method, uri, &[(header::CONTENT_TYPE, "application/json")], body.to_string()).await
    }

    /// Sends JSON, with a bearer token if one is given.
    pub(crate) async fn send_json_with_bearer(
        &self,
        method: Method,
        uri: &str,
        bearer: Option<&str>,
        body: &Value,
    ) -> BankResponse {
        let bearer = bearer.map(|bearer| format!("Bearer {bearer}"));
        let mut headers = vec![(header::CONTENT_TYPE, "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| (header::AUTHORIZATION, bearer)));
        self.send(method, uri, &headers, body.to_string()).await
    }

    pub(crate) async fn set_faults(&self, faults: &Value) -> BankResponse {
        self.send_json(Method::PUT, "/faults", faults).await
    }

    /// Returns the path prefix of the bank's FDX API.
    pub(crate) fn base_path(&self) -> &'static str {
        if self.is_fdx_v6() { "/fdx/v6" } else { "/fdx/v5" }
    }

    fn is_fdx_v6(&self) -> bool {
        self.inner.name() == "Caisse Rideau"
    }

    /// Reads an FDX resource. Parameters and response are in the form of FDX 5, whichever version the bank implements.
    pub(crate) async fn read(&self, token: &str, path: &str) -> BankResponse {
        if !self.is_fdx_v6() {
            return self.read_raw(token, path).await;
        }
        let (resource, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            format!("{}={value}", v6::v6_parameter_name(name))
        });
        let query: Vec<String> = pairs.filter(|pair| pair != "=").collect();
        let mut response = self.read_raw(token, &format!("{resource}?{}", query.join("&"))).await;
        let is_element = resource.starts_with("/accounts/") && resource.matches('/').count() == 2;
        if response.status == StatusCode::OK {
            response.text = match resource.rsplit('/').next().unwrap() {
                "transactions" => convert_to_v5::<Transactions>(&response.text),
                "payment-networks" => convert_to_v5::<PaymentNetworks>(&response.text),
                "statements" => convert_to_v5::<Statements>(&response.text),
                "accounts" => convert_to_v5::<Accounts>(&response.text),
                _ if is_element => convert_to_v5::<Account>(&response.text),
                _ => response.text,
            };
        }
        response
    }

    /// Reads an FDX resource. Parameters and response are in the form of the version that the bank implements.
    pub(crate) async fn read_raw(&self, token: &str, path: &str) -> BankResponse {
        let bearer = format!("Bearer {token}");
        let interaction = HeaderName::from_static("x-fapi-interaction-id");
        let headers =
            [(header::AUTHORIZATION, &*bearer), (interaction, "c770aef3-6784-41f7-8e0e-ff5f97bddb3a")];
        self.send(Method::GET, &format!("{}{path}", self.base_path()), &headers, String::new()).await
    }

    pub(crate) fn password(&self, username: &str) -> String {
        self.inner.logins().into_iter().find(|l| l.username == username).unwrap().password
    }

    pub(crate) fn browser(&self) -> BankBrowser<'_> {
        BankBrowser { bank: self, cookies: BTreeMap::new() }
    }

    /// Completes the authorization flow of the bank and returns the code.
    pub(crate) async fn obtain_code(&self, username: &str, accounts: &[&str], scope: &str) -> String {
        let mut browser = self.browser();
        let mut location = browser.begin_authorization(scope, None).await.location;
        if location == "/request" {
            location = browser.submit("/request", &[("decision", "approve")]).await.location;
        }
        assert_eq!(location, "/sign-in");
        let signed_in = browser.sign_in("/sign-in", username, &self.password(username)).await;
        assert_eq!(signed_in.location, "/consent", "{}", signed_in.text);
        let chosen = accounts.iter().map(|id| ("accounts", *id));
        let fields: Vec<_> = chosen.chain([("decision", "approve")]).collect();
        let callback = browser.submit("/consent", &fields).await;
        assert!(callback.location.starts_with(REDIRECT_URI), "{} {}", callback.location, callback.text);
        callback.parameter("code").unwrap()
    }

    pub(crate) async fn redeem_code(&self, code: &str, verifier: &str) -> BankResponse {
        let grant = ("grant_type", "authorization_code");
        let fields = [grant, ("code", code), ("redirect_uri", REDIRECT_URI), ("code_verifier", verifier)];
        self.post_as_hub("/token", &fields).await
    }

    /// Grants all accounts of a customer and returns the token response.
    pub(crate) async fn grant_all_accounts(&self, username: &str, scope: &str) -> Value {
        let mut browser = self.browser();
        browser.begin_authorization(scope, None).await;
        browser.approve_request_if_shown().await;
        browser.sign_in("/sign-in", username, &self.password(username)).await;
        let page = browser.get("/consent").await;
        let ids: Vec<String> = page.account_choices().into_iter().map(|(id, _)| id).collect();
        let accounts: Vec<&str> = ids.iter().map(String::as_str).collect();
        let code = self.obtain_code(username, &accounts, scope).await;
        self.redeem_code(&code, VERIFIER).await.json()
    }

    /// Grants some accounts of Alice and returns the token response.
    pub(crate) async fn grant_accounts(&self, accounts: &[&str]) -> Value {
        let code = self.obtain_code("alice", accounts, SCOPE).await;
        self.redeem_code(&code, VERIFIER).await.json()
    }

    pub(crate) async fn refresh_tokens(&self, token: &str) -> BankResponse {
        self.post_as_hub("/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }
}

/// A browser that keeps the bank's cookies and sends its forms.
pub(crate) struct BankBrowser<'a> {
    bank: &'a TestBank,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl BankBrowser<'_> {
    pub(crate) async fn begin_authorization(&mut self, scope: &str, language: Option<&str>) -> BankResponse {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("response_type", "code"),
            ("client_id", "hub"),
            ("redirect_uri", REDIRECT_URI),
            ("state", "s 1"),
            ("scope", scope),
            ("nonce", "a-nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        query.extend_pairs(language.map(|language| ("ui_locales", language)));
        self.get(&format!("/authorize?{}", query.finish())).await
    }

    pub(crate) async fn get(&mut self, uri: &str) -> BankResponse {
        let page = self.send(Method::GET, uri, &[(header::ACCEPT, "text/html")], &[]).await;
        assert!(!page.text.contains("Unknown localization"), "{uri}: {}", page.text);
        page
    }

    /// Opens a page and submits its form with these fields and the page's CSRF token.
    pub(crate) async fn submit(&mut self, page: &str, fields: &[(&str, &str)]) -> BankResponse {
        let token = self.get(page).await.csrf_token();
        self.post(page, &[&[("csrf_token", token.as_str())], fields].concat()).await
    }

    pub(crate) async fn approve_request_if_shown(&mut self) {
        if self.get("/sign-in").await.location == "/request" {
            self.submit("/request", &[("decision", "approve")]).await;
        }
    }

    pub(crate) async fn post(&mut self, uri: &str, fields: &[(&str, &str)]) -> BankResponse {
        self.send(Method::POST, uri, &[], fields).await
    }

    pub(crate) async fn sign_in(&mut self, page: &str, username: &str, password: &str) -> BankResponse {
        self.submit(page, &[("username", username), ("password", password)]).await
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        uri: &str,
        headers: &[(HeaderName, &str)],
        fields: &[(&str, &str)],
    ) -> BankResponse {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let own =
            [(header::COOKIE, cookies.as_str()), (header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
        let response = self.bank.send(method, uri, &[&own[..], headers].concat(), body).await;
        for cookie in &response.cookies {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }
}

pub(crate) fn text_member<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {value}"))
}
