//! The environment of the integration tests: each test has its own hub, banks, fixed clock and clients.

mod api;
mod authorization;
mod captured_log;
mod chrome;
mod cluster;
mod customer;
mod direct_sql;
mod dpop_bank;
mod endpoint_stub;
mod hub_process;
mod openapi_check;
mod operator;
mod partner;
mod pgbouncer;
mod raw_http;
mod recorder;
mod sandbox_process;
mod tcp_proxy;
mod test_database;
mod tls_stub;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bowline::app::App;
use bowline::cli::{
    BankSecurity, BankSite, Browser, BrowserRequest, BrowserResponse, SandboxArgs, SandboxEnvironment,
};
use bowline::clock::Clock;
use domain::id::ConnectionId;
use domain::model::connection::{Connection, ConnectionState, EndCause};
use http::Method;
use serde_json::Value;
use store::query::GetConnection;

pub(crate) use api::HubApiClient;
pub(crate) use captured_log::CapturedLog;
pub(crate) use chrome::Chrome;
pub(crate) use cluster::PostgresCluster;
pub(crate) use customer::{AuthorizationFlow, Customer};
pub(crate) use direct_sql::{OtherNode, encode_ids, hex, sql};
pub(crate) use dpop_bank::{DpopBank, build_document};
pub(crate) use endpoint_stub::{EndpointStub, RecordedRequest, json_response};
pub(crate) use hub_process::{HubProcess, RunningHub, reserve_ports};
pub(crate) use openapi_check::{assert_documented, build_strict_validator};
pub(crate) use pgbouncer::Pgbouncer;
pub(crate) use raw_http::{RawRequest, read_set_cookie, spawn_listener};
pub(crate) use recorder::RecordedExchange;
pub(crate) use sandbox_process::SandboxProcess;
pub(crate) use tcp_proxy::TcpProxy;
pub(crate) use test_database::{create_database, create_durable_database};
pub(crate) use tls_stub::{TestAuthority, TlsStub};

/// Declares two tests for each function: one on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::support::TestHub::new().await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::support::TestHub::with_store(Some(crate::support::create_database().await)).await).await;
            }
        )+}
    };
}
pub(crate) use on_both;

pub(crate) const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";
const TEST_EPOCH_MS: i64 = 1_795_500_000_000;

pub(crate) struct TestHub {
    pub(crate) world: SandboxEnvironment,
    pub(crate) browser: Browser,
    clock: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

/// The credentials and the redirect URI of a client of the hub.
#[derive(Clone)]
pub(crate) struct TestClient {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) redirect_uri: String,
}

/// The tokens of a connection that a recipient has received.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) code: String,
    pub(crate) id: ConnectionId,
}

impl ConnectionTokens {
    /// Reads the tokens from the response to the exchange of `code`.
    pub(crate) fn from_response(answer: &BrowserResponse, code: String) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let access = text("access_token");
        Self { id: connection_id_from_token(&access), access, refresh: text("refresh_token"), code }
    }
}

/// Sends a request, and validates the response against the hub's OpenAPI documents.
async fn send_documented(browser: &Browser, sent: BrowserRequest) -> BrowserResponse {
    let (method, url) = (sent.method.to_string(), sent.url.clone());
    let answer = browser.send(sent).await.unwrap();
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    assert_documented(&method, &path.map(|(_, path)| format!("/{path}")).unwrap_or_default(), &answer);
    answer
}

impl TestHub {
    /// Starts a sandbox environment whose hub uses SQLite.
    pub(crate) async fn new() -> Self {
        Self::with_store(None).await
    }

    /// Starts a sandbox environment with some configuration keys of the hub changed.
    pub(crate) async fn with_settings(settings: &[(&'static str, &str)]) -> Self {
        Self::start(None, settings).await
    }

    /// Starts a sandbox environment whose banks have a security profile.
    pub(crate) async fn with_bank_profile(profile: BankSecurity) -> Self {
        Self::start_with_banks(None, &[], profile).await
    }

    /// Starts a sandbox environment whose hub uses the store with this URL; SQLite if there is none.
    pub(crate) async fn with_store(store: Option<String>) -> Self {
        Self::start(store, &[]).await
    }

    /// Starts a hub on a store with changed configuration keys.
    pub(crate) async fn start(store: Option<String>, settings: &[(&'static str, &str)]) -> Self {
        Self::start_with_banks(store, settings, BankSecurity::Plain).await
    }

    async fn start_with_banks(
        store: Option<String>,
        settings: &[(&'static str, &str)],
        profile: BankSecurity,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(TEST_EPOCH_MS));
        let mut args = SandboxArgs::with_free_ports(folder.path().to_owned(), store);
        args.bank_profile = profile;
        // Later settings take precedence. A test must not fail because a busy machine renews the lease late, or because its
        // logins all come from one network.
        let defaults = [("store.lease", "60s"), ("limit.login", "0")];
        let settings = defaults.iter().chain(settings);
        args.settings = settings.map(|(key, value)| (*key, (*value).to_owned())).collect();
        let world = SandboxEnvironment::start(&args, Clock::fixed(Arc::clone(&clock))).await.unwrap();
        Self { world, browser: Browser::new().unwrap(), clock, folder }
    }

    /// Returns the running environment and its data folder, without the test's shared browser.
    pub(crate) fn into_parts(self) -> (SandboxEnvironment, tempfile::TempDir) {
        (self.world, self.folder)
    }

    pub(crate) fn app(&self) -> &App {
        &self.world.app
    }

    pub(crate) fn data_folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.app().public_url())
    }

    fn clock(&self) -> Clock {
        Clock::fixed(Arc::clone(&self.clock))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Returns the recipient Acme, which every sandbox has.
    pub(crate) fn acme(&self) -> TestClient {
        TestClient {
            id: self.world.acme().client_id.to_owned(),
            secret: self.world.acme().client_secret.expose().clone(),
            redirect_uri: self.world.acme().redirect_uris[0].clone(),
        }
    }

    /// Calls an endpoint of the hub with a bearer token and a JSON body.
    pub(crate) async fn call_with_json(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Value,
    ) -> BrowserResponse {
        let mut sent = BrowserRequest::new(method, &self.url(path));
        (sent.bearer, sent.json) = (Some(bearer.to_owned()), Some(body));
        self.send(sent).await
    }

    pub(crate) async fn send(&self, sent: BrowserRequest) -> BrowserResponse {
        send_documented(&self.browser, sent).await
    }

    pub(crate) async fn get(&self, path: &str) -> BrowserResponse {
        self.send(BrowserRequest::new(Method::GET, &self.url(path))).await
    }

    pub(crate) fn bank_site(&self, provider_id: i64) -> &BankSite {
        self.world.banks.iter().find(|site| site.provider_id == provider_id).unwrap()
    }

    fn api(&self) -> HubApiClient<'_> {
        HubApiClient { browser: &self.browser, hub: self.app().public_url() }
    }

    /// Posts a form to the hub without credentials in a header, as OAuth libraries do.
    pub(crate) async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> BrowserResponse {
        self.send(BrowserRequest::new(Method::POST, &self.url(path)).form(fields)).await
    }

    /// Calls the token endpoint with JSON and credentials in the body.
    pub(crate) async fn request_token(
        &self,
        recipient: &TestClient,
        fields: &[(&str, &str)],
    ) -> BrowserResponse {
        self.api().request_token(recipient, fields).await
    }

    pub(crate) async fn redeem(&self, recipient: &TestClient, code: &str) -> BrowserResponse {
        self.api().redeem(recipient, code).await
    }

    pub(crate) async fn refresh(&self, recipient: &TestClient, token: &str) -> BrowserResponse {
        self.api().refresh(recipient, token).await
    }

    /// Connects the customer alice to a recipient, and returns the tokens.
    pub(crate) async fn connect(&self, recipient: &TestClient) -> ConnectionTokens {
        let code = self.obtain_code(recipient).await;
        ConnectionTokens::from_response(&self.redeem(recipient, &code).await, code)
    }

    /// Calls an endpoint of the hub with a bearer token.
    pub(crate) async fn call(&self, method: Method, path: &str, bearer: &str) -> BrowserResponse {
        self.api().call(method, path, bearer).await
    }

    pub(crate) async fn read(&self, path: &str, bearer: &str) -> BrowserResponse {
        self.api().read(path, bearer).await
    }

    pub(crate) async fn revoke(&self, bearer: &str) -> BrowserResponse {
        self.api().revoke(bearer).await
    }

    /// Returns the opaque id of the connection's first account.
    pub(crate) async fn fetch_account_id(&self, bearer: &str) -> String {
        let list = self.read("/accounts", bearer).await.json();
        list["accounts"][0]["depositAccount"]["accountId"].as_str().unwrap().to_owned()
    }

    /// Returns the path of the newest statement of the connection's first account.
    pub(crate) async fn fetch_statement_id(&self, bearer: &str) -> String {
        let account = self.fetch_account_id(bearer).await;
        let list = self.read(&format!("/accounts/{account}/statements"), bearer).await.json();
        let newest = list["statements"][0]["statementId"].as_str();
        newest.unwrap_or_else(|| panic!("no statement: {list}")).to_owned()
    }

    /// Requests an access token of the client itself (`client_credentials`).
    pub(crate) async fn request_client_token(&self, recipient: &TestClient) -> String {
        let own = self.request_token(recipient, &[("grant_type", "client_credentials")]).await.json();
        own["access_token"].as_str().unwrap_or_else(|| panic!("{own}")).to_owned()
    }

    /// Uses the refresh token to request an access token with a narrower scope.
    pub(crate) async fn request_narrowed_token(
        &self,
        recipient: &TestClient,
        tokens: &ConnectionTokens,
        scope: &str,
    ) -> String {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("scope", scope)];
        let narrow = self.request_token(recipient, &fields).await.json();
        narrow["access_token"].as_str().unwrap_or_else(|| panic!("{narrow}")).to_owned()
    }

    pub(crate) async fn inject_faults(&self, faults: Value) {
        let mut sent = BrowserRequest::new(Method::PUT, &self.world.maple().faults_url());
        sent.json = Some(faults);
        assert_eq!(self.send(sent).await.status, 200);
    }

    pub(crate) async fn load_connection(&self, id: &ConnectionId) -> Connection {
        self.app().store().query(&GetConnection { id: id.clone() }).await.unwrap().unwrap()
    }

    pub(crate) async fn load_end_cause(&self, id: &ConnectionId) -> Option<EndCause> {
        match self.load_connection(id).await.state {
            ConnectionState::Ended(end) => Some(end.cause),
            ConnectionState::Pending { .. } | ConnectionState::Active => None,
        }
    }

    /// Waits until the hub's background workers have caused a condition. `what` describes the condition.
    pub(crate) async fn wait_until(&self, what: &str, happened: impl AsyncFn() -> bool) {
        wait_until(what, happened).await;
    }

    /// Lists the states of all grants at the sandbox bank.
    pub(crate) async fn list_grant_states(&self) -> Vec<String> {
        let url = format!("{}/grants", self.world.maple().faults_url());
        let listed = self.send(BrowserRequest::new(Method::GET, &url)).await.json();
        listed.as_array().unwrap().iter().map(|g| g["state"].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits until a condition is true, or panics with the description `what`.
pub(crate) async fn wait_until(what: &str, happened: impl AsyncFn() -> bool) {
    let patience = ConstantBuilder::default().with_delay(Duration::from_millis(20)).with_max_times(1000);
    let outcome = (|| async { if happened().await { Ok(()) } else { Err(()) } }).retry(patience).await;
    assert!(outcome.is_ok(), "{what} did not happen");
}

/// Builds the URL of an authorization request at a hub.
pub(crate) fn authorize_url(hub: &str, query: &[(&'static str, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{hub}/api/v1/authorize?{query}")
}

/// Returns the value of a query parameter of a URL.
pub(crate) fn query_parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Returns the id of the connection in the claims of an access token.
pub(crate) fn connection_id_from_token(token: &str) -> ConnectionId {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&bytes).unwrap();
    claims["fdxConsentId"].as_str().unwrap().parse::<ConnectionId>().unwrap()
}

/// Returns the value of an environment variable that `cargo xtask test` sets.
pub(crate) fn test_variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}
