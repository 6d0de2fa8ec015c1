//! A test environment for each test: hub, banks, a fixed clock, and clients.

mod api;
mod chrome;
mod cluster;
mod customer;
mod direct_sql;
mod endpoint_stub;
mod hub_process;
mod openapi_check;
mod raw_http;
mod recorder;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bowline::app::App;
use bowline::cli::{BankSite, Browser, BrowserRequest, BrowserResponse, SandboxArgs, SandboxEnvironment};
use bowline::clock::Clock;
use bowline::jobs;
use bowline::recipients::{
    NewClientCredentials, RecipientDraft, activate_with_providers, create_partner, create_recipient,
};
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::LocalizedText;
use domain::model::connection::{Connection, ConnectionState, EndCause};
use domain::model::provider::ProviderState;
use http::Method;
use serde_json::{Value, json};
use store::command::{ClientSelector, ClientUpdate, SetProviderState, UpdateClient};
use store::query::GetConnection;

pub(crate) use api::HubApiClient;
pub(crate) use chrome::Chrome;
pub(crate) use cluster::PostgresCluster;
pub(crate) use customer::{AuthorizationFlow, Customer};
pub(crate) use direct_sql::{SecondNode, hex};
pub(crate) use endpoint_stub::{EndpointStub, RecordedRequest, json_response};
pub(crate) use hub_process::{HubProcess, create_database, create_durable_database, reserve_ports};
pub(crate) use openapi_check::{assert_documented, build_strict_validator};
pub(crate) use raw_http::{RawRequest, spawn_listener};
pub(crate) use recorder::RecordedExchange;

/// Runs a test on both databases.
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

/// A recipient's credentials.
#[derive(Clone)]
pub(crate) struct TestClient {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) redirect_uri: String,
}

/// The tokens of a connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) code: String,
    pub(crate) id: ConnectionId,
}

impl ConnectionTokens {
    /// Reads the response to a code exchange.
    pub(crate) fn from_response(answer: &BrowserResponse, code: String) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let access = text("access_token");
        Self { id: connection_id_from_token(&access), access, refresh: text("refresh_token"), code }
    }
}

/// Sends a request, and validates the response against the OpenAPI documents.
async fn send_documented(browser: &Browser, sent: BrowserRequest) -> BrowserResponse {
    let (method, url) = (sent.method.to_string(), sent.url.clone());
    let answer = browser.send(sent).await.unwrap();
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    assert_documented(&method, &path.map(|(_, path)| format!("/{path}")).unwrap_or_default(), &answer);
    answer
}

impl TestHub {
    /// Starts a hub on SQLite.
    pub(crate) async fn new() -> Self {
        Self::with_store(None).await
    }

    /// Starts a hub with changed configuration keys.
    pub(crate) async fn with_settings(settings: &[(&'static str, &str)]) -> Self {
        Self::start(None, settings).await
    }

    /// Starts a hub on a store.
    pub(crate) async fn with_store(store: Option<String>) -> Self {
        Self::start(store, &[]).await
    }

    async fn start(store: Option<String>, settings: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(TEST_EPOCH_MS));
        let mut args = SandboxArgs::with_free_ports(folder.path().to_owned(), store);
        args.settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let world = SandboxEnvironment::start(&args, Clock::fixed(Arc::clone(&clock))).await.unwrap();
        Self { world, browser: Browser::new().unwrap(), clock, folder }
    }

    /// Starts a sandbox in a folder.
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

    /// Returns the recipient of the sandbox.
    pub(crate) fn acme(&self) -> TestClient {
        TestClient {
            id: self.world.acme().client_id.to_owned(),
            secret: self.world.acme().client_secret.expose().clone(),
            redirect_uri: self.world.acme().redirect_uris[0].clone(),
        }
    }

    /// Returns the partner of the sandbox.
    pub(crate) fn partner(&self) -> TestClient {
        TestClient {
            id: self.world.partner.client_id.to_owned(),
            secret: self.world.partner.client_secret.expose().clone(),
            redirect_uri: String::new(),
        }
    }

    /// Creates another partner.
    pub(crate) async fn create_other_partner(&self) -> TestClient {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let partner = create_partner(&ctx, "Other Partner".into(), None, &actor).await.unwrap();
        let (id, secret) = (partner.client_id.to_string(), partner.client_secret.expose().clone());
        TestClient { id, secret, redirect_uri: String::new() }
    }

    /// Calls an endpoint with a bearer token and a JSON body.
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

    /// Creates a recipient as a partner, without registrations.
    pub(crate) async fn create_recipient(&self, partner_token: &str) -> TestClient {
        let body = json!({"name": "Flinks Fake", "scope": SCOPE, "redirect_uris": ["https://fake.example.org/back"]});
        let created = self.call_with_json(Method::POST, "/api/v1/recipients", partner_token, body).await;
        assert_eq!(created.status, 200, "{}", created.body);
        let text = |name: &str| created.json()[name].as_str().unwrap().to_owned();
        TestClient {
            id: text("client_id"),
            secret: text("client_secret"),
            redirect_uri: "https://fake.example.org/back".into(),
        }
    }

    /// Creates the recipient `Other <b>App</b>` and registers it with providers.
    pub(crate) async fn register_recipient(
        &self,
        providers: &[i64],
        scope: &str,
        require_pkce: bool,
    ) -> TestClient {
        let draft = RecipientDraft {
            name: "Other <b>App</b>".into(),
            purpose: Some(LocalizedText { en: "Because.".into(), fr: "Parce que.".into() }),
            redirect_uris: vec!["https://other.example.org/back".into()],
            scope: scope.into(),
            require_pkce,
            ..RecipientDraft::default()
        };
        self.register(draft, None, providers).await
    }

    /// Creates a recipient with a redirect URI of the test.
    pub(crate) async fn register_recipient_with_redirect(&self, redirect_uri: &str) -> TestClient {
        let draft = RecipientDraft {
            name: "Listening App".into(),
            purpose: Some(LocalizedText { en: "To listen.".into(), fr: "Pour écouter.".into() }),
            redirect_uris: vec![redirect_uri.to_owned()],
            scope: SCOPE.into(),
            ..RecipientDraft::default()
        };
        self.register(draft, None, &[1000]).await
    }

    /// Creates a recipient with this secret and these redirect URIs.
    pub(crate) async fn register_recipient_with_credentials(
        &self,
        id: &str,
        secret: &str,
        redirect_uris: &[&str],
    ) -> TestClient {
        let draft = RecipientDraft {
            name: "Odd App".into(),
            purpose: Some(LocalizedText { en: "To be odd.".into(), fr: "Pour être étrange.".into() }),
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            scope: SCOPE.into(),
            ..RecipientDraft::default()
        };
        let client_id = ClientId::parse(id).unwrap();
        self.register(draft, Some(NewClientCredentials { client_id, client_secret: secret.into() }), &[1000])
            .await
    }

    async fn register(
        &self,
        draft: RecipientDraft,
        credentials: Option<NewClientCredentials>,
        providers: &[i64],
    ) -> TestClient {
        let redirect_uri = draft.redirect_uris[0].clone();
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let (recipient, secret) = create_recipient(&ctx, draft, credentials, &actor).await.unwrap();
        let id = recipient.client.id;
        let providers: Vec<_> = providers.iter().map(|id| ProviderId::new(*id)).collect();
        activate_with_providers(&ctx, &id, &providers, &actor).await.unwrap();
        TestClient { id: id.to_string(), secret: secret.expose().clone(), redirect_uri }
    }

    pub(crate) async fn send(&self, sent: BrowserRequest) -> BrowserResponse {
        send_documented(&self.browser, sent).await
    }

    pub(crate) async fn get(&self, path: &str) -> BrowserResponse {
        self.send(BrowserRequest::new(Method::GET, &self.url(path))).await
    }

    /// Returns the documented query of an authorization request.
    pub(crate) fn build_authorization_query(recipient: &TestClient) -> Vec<(&'static str, String)> {
        vec![
            ("response_type", "code".into()),
            ("client_id", recipient.id.clone()),
            ("redirect_uri", recipient.redirect_uri.clone()),
            ("scope", SCOPE.into()),
            ("state", "a state/with=odd&chars".into()),
            ("provider_id", "1000".into()),
        ]
    }

    fn authorize_url(&self, query: &[(&'static str, String)]) -> String {
        authorize_url(self.app().public_url(), query)
    }

    pub(crate) async fn authorize(&self, query: &[(&'static str, String)]) -> BrowserResponse {
        self.send(BrowserRequest::new(Method::GET, &self.authorize_url(query))).await
    }

    fn authorization_flow(&self) -> AuthorizationFlow<'_> {
        let banks = self.world.banks.iter().map(|site| site.url.clone());
        let origins = std::iter::once(self.app().public_url().to_owned()).chain(banks).collect();
        AuthorizationFlow { browser: &self.browser, origins }
    }

    /// Completes the flow from a URL as a customer of Maple Trust, sharing all offered accounts; returns the final URL.
    pub(crate) async fn complete_flow(&self, url: &str, username: &str) -> String {
        self.authorization_flow().complete(url, &self.customer_at(1000, username, &[])).await
    }

    /// Follows redirects up to the first page or the recipient.
    pub(crate) async fn follow(&self, from: &str, answer: BrowserResponse) -> (String, BrowserResponse) {
        self.authorization_flow().follow(from, answer).await
    }

    /// Submits the form of a page and follows redirects.
    pub(crate) async fn submit(
        &self,
        at: &str,
        page: &BrowserResponse,
        fields: &[(&str, &str)],
    ) -> (String, BrowserResponse) {
        self.authorization_flow().submit(at, page, fields).await
    }

    pub(crate) fn bank_site(&self, provider_id: i64) -> &BankSite {
        self.world.banks.iter().find(|site| site.provider_id == provider_id).unwrap()
    }

    pub(crate) fn password(&self, username: &str) -> String {
        self.customer_at(1000, username, &[]).password
    }

    fn customer(&self, username: &str, accounts: &[&str]) -> Customer {
        self.customer_at(1000, username, accounts)
    }

    fn customer_at(&self, provider_id: i64, username: &str, accounts: &[&str]) -> Customer {
        let mut logins = self.bank_site(provider_id).bank.logins().into_iter();
        Customer {
            username: username.to_owned(),
            password: logins.find(|l| l.username == username).unwrap().password,
            accounts: accounts.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    /// Connects a customer at a bank and shares the given accounts, or all offered accounts if the list is empty.
    pub(crate) async fn connect_at(
        &self,
        provider_id: i64,
        recipient: &TestClient,
        username: &str,
        accounts: &[&str],
        scope: &str,
    ) -> ConnectionTokens {
        let mut query = Self::build_authorization_query(recipient);
        query.retain(|(name, _)| !matches!(*name, "provider_id" | "scope"));
        query.extend([("provider_id", provider_id.to_string()), ("scope", scope.to_owned())]);
        let customer = self.customer_at(provider_id, username, accounts);
        let back = self.authorization_flow().complete(&self.authorize_url(&query), &customer).await;
        let code = query_parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"));
        ConnectionTokens::from_response(&self.redeem(recipient, &code).await, code)
    }

    /// Continues from the authorization request to the bank's account page.
    pub(crate) async fn reach_account_page(
        &self,
        query: &[(&'static str, String)],
        username: &str,
    ) -> (String, BrowserResponse) {
        self.authorization_flow()
            .reach_account_page(&self.authorize_url(query), &self.customer(username, &[]))
            .await
    }

    /// Chooses accounts and returns the final URL.
    pub(crate) async fn complete_authorization(
        &self,
        query: &[(&'static str, String)],
        username: &str,
        accounts: &[&str],
    ) -> String {
        self.authorization_flow()
            .complete(&self.authorize_url(query), &self.customer(username, accounts))
            .await
    }

    /// Gets a code for a recipient; alice shares two accounts.
    pub(crate) async fn obtain_code(&self, recipient: &TestClient) -> String {
        let back = self
            .complete_authorization(
                &Self::build_authorization_query(recipient),
                "alice",
                &["mt-alice-chequing", "mt-alice-card"],
            )
            .await;
        query_parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"))
    }

    fn api(&self) -> HubApiClient<'_> {
        HubApiClient { browser: &self.browser, hub: self.app().public_url() }
    }

    /// Posts a form, as OAuth libraries do.
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

    /// Connects alice to a recipient.
    pub(crate) async fn connect(&self, recipient: &TestClient) -> ConnectionTokens {
        let code = self.obtain_code(recipient).await;
        ConnectionTokens::from_response(&self.redeem(recipient, &code).await, code)
    }

    /// Calls an endpoint with a bearer token.
    pub(crate) async fn call(&self, method: Method, path: &str, bearer: &str) -> BrowserResponse {
        self.api().call(method, path, bearer).await
    }

    pub(crate) async fn read(&self, path: &str, bearer: &str) -> BrowserResponse {
        self.api().read(path, bearer).await
    }

    pub(crate) async fn revoke(&self, bearer: &str) -> BrowserResponse {
        self.api().revoke(bearer).await
    }

    /// Returns the id of the first account.
    pub(crate) async fn fetch_account_id(&self, bearer: &str) -> String {
        let list = self.read("/accounts", bearer).await.json();
        list["accounts"][0]["depositAccount"]["accountId"].as_str().unwrap().to_owned()
    }

    /// Returns the path of the newest statement of the first account.
    pub(crate) async fn fetch_statement_id(&self, bearer: &str) -> String {
        let account = self.fetch_account_id(bearer).await;
        let list = self.read(&format!("/accounts/{account}/statements"), bearer).await.json();
        let newest = list["statements"][0]["statementId"].as_str();
        newest.unwrap_or_else(|| panic!("no statement: {list}")).to_owned()
    }

    /// Gets a token of the client (`client_credentials`).
    pub(crate) async fn request_client_token(&self, recipient: &TestClient) -> String {
        let own = self.request_token(recipient, &[("grant_type", "client_credentials")]).await.json();
        own["access_token"].as_str().unwrap().to_owned()
    }

    /// Refreshes with a narrower scope.
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

    /// Suspends a recipient as an operator.
    pub(crate) async fn suspend(&self, recipient: &TestClient) {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let client_id = recipient.id.parse::<ClientId>().unwrap();
        let selector = ClientSelector { client_id, kind: None, partner: None };
        let (moment, change) = (ctx.new_moment().unwrap(), ClientUpdate::Suspended(true));
        assert!(ctx.run(UpdateClient { moment, selector, update: change, actor }).await.unwrap());
    }

    /// Sets the state of a provider as an operator.
    pub(crate) async fn set_provider_state(&self, id: i64, state: ProviderState) {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let provider_id = ProviderId::new(id);
        let set = SetProviderState { moment: ctx.new_moment().unwrap(), provider_id, state, actor };
        assert!(ctx.run(set).await.unwrap());
    }

    /// Returns the token of the sandbox admin.
    pub(crate) fn admin_token(&self) -> &str {
        self.world.operator.expose()
    }

    /// Calls the admin API as the admin.
    pub(crate) async fn send_admin_request(&self, method: Method, path: &str) -> BrowserResponse {
        self.send_operator_request(self.admin_token(), method, path, None).await
    }

    /// Posts JSON to the admin API as the admin.
    pub(crate) async fn post_admin_request(&self, path: &str, body: Value) -> BrowserResponse {
        self.send_operator_request(self.admin_token(), Method::POST, path, Some(body)).await
    }

    /// Calls the admin API with a token.
    pub(crate) async fn send_operator_request(
        &self,
        token: &str,
        method: Method,
        path: &str,
        json: Option<Value>,
    ) -> BrowserResponse {
        let mut sent =
            BrowserRequest::new(method, &format!("http://{}/admin/v1{path}", self.world.node.admin));
        sent.bearer = Some(token.to_owned());
        sent.json = json;
        self.send(sent).await
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

    /// Waits until the workers have done something.
    pub(crate) async fn wait_until(&self, what: &str, happened: impl AsyncFn() -> bool) {
        wait_until(what, happened).await;
    }

    /// Lists the states of the grants at the bank.
    pub(crate) async fn list_grant_states(&self) -> Vec<String> {
        let url = format!("{}/grants", self.world.maple().faults_url());
        let listed = self.send(BrowserRequest::new(Method::GET, &url)).await.json();
        listed.as_array().unwrap().iter().map(|g| g["state"].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits until a condition holds.
pub(crate) async fn wait_until(what: &str, happened: impl AsyncFn() -> bool) {
    let patience = ConstantBuilder::default().with_delay(Duration::from_millis(20)).with_max_times(1000);
    let outcome = (|| async { if happened().await { Ok(()) } else { Err(()) } }).retry(patience).await;
    assert!(outcome.is_ok(), "{what} did not happen");
}

/// Builds the URL of an authorization request.
pub(crate) fn authorize_url(hub: &str, query: &[(&'static str, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{hub}/api/v1/authorize?{query}")
}

/// Returns a query parameter of a URL.
pub(crate) fn query_parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Returns the id of the connection that a token names.
pub(crate) fn connection_id_from_token(token: &str) -> ConnectionId {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&bytes).unwrap();
    claims["fdxConsentId"].as_str().unwrap().parse::<ConnectionId>().unwrap()
}
