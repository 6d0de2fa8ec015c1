//! A world of its own for each test: hub, bank, a clock that stands, and personas.

mod api;
mod behind;
mod chrome;
mod cluster;
mod documented;
mod heard;
mod site;
mod stand_in;
mod walk;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bowline::app::{App, Clock};
use bowline::cli::{Answer, BankSite, Browser, SandboxArgs, Sent, World};
use bowline::job;
use bowline::manage::{NewPartner, NewRecipient, register, register_partner};
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::Localized;
use domain::model::connection::{Cause, Connection, State};
use domain::model::provider::ProviderState;
use http::Method;
use serde_json::{Value, json};
use store::command::{ChangeClient, ClientChange, SetProviderState, Whose};
use store::query::ConnectionById;

pub(crate) use api::Api;
pub(crate) use behind::{OtherNode, hex};
pub(crate) use chrome::Chrome;
pub(crate) use cluster::Cluster;
pub(crate) use documented::{is_documented, validator};
pub(crate) use heard::Exchange;
pub(crate) use site::{Running, Site, durable_database, free_port, fresh_database};
pub(crate) use stand_in::{Call, StandIn, says};
pub(crate) use walk::{Customer, Walk};
pub(crate) use wire::{Raw, listen};

/// Runs a story on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::kit::Kit::new().await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::kit::Kit::on(Some(crate::kit::fresh_database().await)).await).await;
            }
        )+}
    };
}
pub(crate) use on_both;

pub(crate) const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";
const BEGINNING: i64 = 1_795_500_000_000;

pub(crate) struct Kit {
    pub(crate) world: World,
    pub(crate) browser: Browser,
    clock: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

/// A recipient's credentials.
#[derive(Clone)]
pub(crate) struct Recipient {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) redirect_uri: String,
}

/// What a recipient holds of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) code: String,
    pub(crate) id: ConnectionId,
}

impl Tokens {
    /// From the answer to the exchange of a code.
    pub(crate) fn of(answer: &Answer, code: String) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let access = text("access_token");
        Self { id: connection_of(&access), access, refresh: text("refresh_token"), code }
    }
}

/// Sends a request, and holds the answer against the documents.
async fn heard(browser: &Browser, sent: Sent) -> Answer {
    let (method, url) = (sent.method.to_string(), sent.url.clone());
    let answer = browser.send(sent).await.unwrap();
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    is_documented(&method, &path.map(|(_, path)| format!("/{path}")).unwrap_or_default(), &answer);
    answer
}

impl Kit {
    /// On SQLite.
    pub(crate) async fn new() -> Self {
        Self::on(None).await
    }

    /// With keys of the configuration that differ from their defaults.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        Self::made(None, settings).await
    }

    /// On a store of its own.
    pub(crate) async fn on(store: Option<String>) -> Self {
        Self::made(store, &[]).await
    }

    async fn made(store: Option<String>, settings: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(BEGINNING));
        let mut args = SandboxArgs::on_free_ports(folder.path().to_owned(), store);
        args.settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let world = World::start(&args, Clock::standing(Arc::clone(&clock))).await.unwrap();
        Self { world, browser: Browser::new().unwrap(), clock, folder }
    }

    /// The world, and the folder that it lies in.
    pub(crate) fn left(self) -> (World, tempfile::TempDir) {
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
        Clock::standing(Arc::clone(&self.clock))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// The recipient that every sandbox has.
    pub(crate) fn acme(&self) -> Recipient {
        Recipient {
            id: self.world.acme().client_id.to_owned(),
            secret: self.world.acme().client_secret.expose().clone(),
            redirect_uri: self.world.acme().redirect_uris[0].clone(),
        }
    }

    /// The partner that every sandbox has.
    pub(crate) fn partner(&self) -> Recipient {
        Recipient {
            id: self.world.partner.client_id.to_owned(),
            secret: self.world.partner.client_secret.expose().clone(),
            redirect_uri: String::new(),
        }
    }

    /// Another partner.
    pub(crate) async fn other_partner(&self) -> Recipient {
        let ctx = job::context(self.app(), "test").unwrap();
        let new = NewPartner { credentials: None, name: "Other Partner".into() };
        let made = register_partner(&ctx, new, &Actor::new(ActorKind::Operator, "test")).await.unwrap();
        let (id, secret) = (made.client_id.to_string(), made.client_secret.expose().clone());
        Recipient { id, secret, redirect_uri: String::new() }
    }

    /// A call with a bearer and a JSON body.
    pub(crate) async fn put(&self, method: Method, path: &str, bearer: &str, body: Value) -> Answer {
        let mut sent = Sent::new(method, &self.url(path));
        (sent.bearer, sent.json) = (Some(bearer.to_owned()), Some(body));
        self.send(sent).await
    }

    /// A recipient that a partner creates, registered with nobody.
    pub(crate) async fn created(&self, partner_token: &str) -> Recipient {
        let body = json!({"name": "Flinks Fake", "scope": SCOPE, "redirect_uris": ["https://fake.example.org/back"]});
        let made = self.put(Method::POST, "/api/v1/recipients", partner_token, body).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        Recipient {
            id: text("client_id"),
            secret: text("client_secret"),
            redirect_uri: "https://fake.example.org/back".into(),
        }
    }

    /// Another recipient.
    pub(crate) async fn recipient(&self, providers: &[i64], scope: &str, require_pkce: bool) -> Recipient {
        self.register(NewRecipient {
            credentials: None,
            name: "Other <b>App</b>".into(),
            purpose: Localized { en: "Because.".into(), fr: "Parce que.".into() },
            redirect_uris: vec!["https://other.example.org/back".into()],
            scope: scope.into(),
            providers: providers.to_vec(),
            require_pkce,
            max_duration_days: None,
        })
        .await
    }

    /// A recipient whose answers go to a place of the test.
    pub(crate) async fn recipient_at(&self, redirect_uri: &str) -> Recipient {
        self.register(NewRecipient {
            credentials: None,
            name: "Listening App".into(),
            purpose: Localized { en: "To listen.".into(), fr: "Pour écouter.".into() },
            redirect_uris: vec![redirect_uri.to_owned()],
            scope: SCOPE.into(),
            providers: vec![1000],
            require_pkce: false,
            max_duration_days: None,
        })
        .await
    }

    /// A recipient with a secret and redirect URIs of the test's own.
    pub(crate) async fn recipient_with(&self, id: &str, secret: &str, redirect_uris: &[&str]) -> Recipient {
        self.register(NewRecipient {
            credentials: Some((id.to_owned(), domain::Secret::from(secret))),
            name: "Odd App".into(),
            purpose: Localized { en: "To be odd.".into(), fr: "Pour être étrange.".into() },
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            scope: SCOPE.into(),
            providers: vec![1000],
            require_pkce: false,
            max_duration_days: None,
        })
        .await
    }

    async fn register(&self, new: NewRecipient) -> Recipient {
        let redirect_uri = new.redirect_uris[0].clone();
        let ctx = job::context(self.app(), "test").unwrap();
        let registered = register(&ctx, new, &Actor::new(ActorKind::Operator, "test")).await.unwrap();
        Recipient {
            id: registered.client_id.to_string(),
            secret: registered.client_secret.expose().clone(),
            redirect_uri,
        }
    }

    pub(crate) async fn send(&self, sent: Sent) -> Answer {
        heard(&self.browser, sent).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Sent::new(Method::GET, &self.url(path))).await
    }

    /// The documented query of an authorization request.
    pub(crate) fn ask(recipient: &Recipient) -> Vec<(&'static str, String)> {
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

    pub(crate) async fn authorize(&self, query: &[(&'static str, String)]) -> Answer {
        self.send(Sent::new(Method::GET, &self.authorize_url(query))).await
    }

    fn walk(&self) -> Walk<'_> {
        let banks = self.world.banks.iter().map(|site| site.url.clone());
        let origins = std::iter::once(self.app().public_url().to_owned()).chain(banks).collect();
        Walk { browser: &self.browser, origins }
    }

    /// A customer of Maple Trust walks from a URL to wherever the browser arrives, and shares what is offered.
    pub(crate) async fn through(&self, url: &str, username: &str) -> String {
        self.walk().through(url, &self.customer_at(1000, username, &[])).await
    }

    /// Follows redirects within the world, up to the first page or the recipient.
    pub(crate) async fn follow(&self, from: &str, answer: Answer) -> (String, Answer) {
        self.walk().follow(from, answer).await
    }

    /// Posts a page's form, and follows.
    pub(crate) async fn submit(&self, at: &str, page: &Answer, fields: &[(&str, &str)]) -> (String, Answer) {
        self.walk().submit(at, page, fields).await
    }

    pub(crate) fn bank(&self, provider_id: i64) -> &BankSite {
        self.world.banks.iter().find(|site| site.provider_id == provider_id).unwrap()
    }

    pub(crate) fn password(&self, username: &str) -> String {
        self.customer_at(1000, username, &[]).password
    }

    fn customer(&self, username: &str, accounts: &[&str]) -> Customer {
        self.customer_at(1000, username, accounts)
    }

    fn customer_at(&self, provider_id: i64, username: &str, accounts: &[&str]) -> Customer {
        let mut logins = self.bank(provider_id).bank.logins().into_iter();
        Customer {
            username: username.to_owned(),
            password: logins.find(|l| l.username == username).unwrap().password,
            accounts: accounts.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    /// A whole connection at a bank: of every account that is offered, if none is named.
    pub(crate) async fn connect_at(
        &self,
        provider_id: i64,
        recipient: &Recipient,
        username: &str,
        accounts: &[&str],
        scope: &str,
    ) -> Tokens {
        let mut query = Self::ask(recipient);
        query.retain(|(name, _)| !matches!(*name, "provider_id" | "scope"));
        query.extend([("provider_id", provider_id.to_string()), ("scope", scope.to_owned())]);
        let customer = self.customer_at(provider_id, username, accounts);
        let back = self.walk().through(&self.authorize_url(&query), &customer).await;
        let code = parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"));
        Tokens::of(&self.redeem(recipient, &code).await, code)
    }

    /// From the authorization request to the bank's account page.
    pub(crate) async fn up_to_accounts(
        &self,
        query: &[(&'static str, String)],
        username: &str,
    ) -> (String, Answer) {
        self.walk().up_to_accounts(&self.authorize_url(query), &self.customer(username, &[])).await
    }

    /// Where the browser arrives after the customer has chosen accounts.
    pub(crate) async fn arrive(
        &self,
        query: &[(&'static str, String)],
        username: &str,
        accounts: &[&str],
    ) -> String {
        self.walk().through(&self.authorize_url(query), &self.customer(username, accounts)).await
    }

    /// A code for a recipient: alice shares two accounts.
    pub(crate) async fn code(&self, recipient: &Recipient) -> String {
        let back = self.arrive(&Self::ask(recipient), "alice", &["mt-alice-chequing", "mt-alice-card"]).await;
        parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"))
    }

    fn api(&self) -> Api<'_> {
        Api { browser: &self.browser, hub: self.app().public_url() }
    }

    /// A form, as libraries of OAuth send it.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Sent::new(Method::POST, &self.url(path)).form(fields)).await
    }

    /// The token endpoint, JSON, credentials in the body.
    pub(crate) async fn token(&self, recipient: &Recipient, fields: &[(&str, &str)]) -> Answer {
        self.api().token(recipient, fields).await
    }

    pub(crate) async fn redeem(&self, recipient: &Recipient, code: &str) -> Answer {
        self.api().redeem(recipient, code).await
    }

    pub(crate) async fn refresh(&self, recipient: &Recipient, token: &str) -> Answer {
        self.api().refresh(recipient, token).await
    }

    /// A whole connection.
    pub(crate) async fn connect(&self, recipient: &Recipient) -> Tokens {
        let code = self.code(recipient).await;
        Tokens::of(&self.redeem(recipient, &code).await, code)
    }

    /// A call with a bearer.
    pub(crate) async fn call(&self, method: Method, path: &str, bearer: &str) -> Answer {
        self.api().call(method, path, bearer).await
    }

    pub(crate) async fn read(&self, path: &str, bearer: &str) -> Answer {
        self.api().read(path, bearer).await
    }

    pub(crate) async fn revoke(&self, bearer: &str) -> Answer {
        self.api().revoke(bearer).await
    }

    /// The first account as the recipient knows it.
    pub(crate) async fn account_id(&self, bearer: &str) -> String {
        let list = self.read("/accounts", bearer).await.json();
        list["accounts"][0]["depositAccount"]["accountId"].as_str().unwrap().to_owned()
    }

    /// The newest statement of the first account as the recipient knows it.
    pub(crate) async fn statement_id(&self, bearer: &str) -> String {
        let account = self.account_id(bearer).await;
        let list = self.read(&format!("/accounts/{account}/statements"), bearer).await.json();
        let newest = list["statements"][0]["statementId"].as_str();
        newest.unwrap_or_else(|| panic!("no statement: {list}")).to_owned()
    }

    /// A token of the client itself.
    pub(crate) async fn client_token(&self, recipient: &Recipient) -> String {
        let own = self.token(recipient, &[("grant_type", "client_credentials")]).await.json();
        own["access_token"].as_str().unwrap().to_owned()
    }

    /// An access token of a connection, narrowed to a scope.
    pub(crate) async fn narrowed(&self, recipient: &Recipient, tokens: &Tokens, scope: &str) -> String {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("scope", scope)];
        let narrow = self.token(recipient, &fields).await.json();
        narrow["access_token"].as_str().unwrap_or_else(|| panic!("{narrow}")).to_owned()
    }

    /// An operator suspends a recipient.
    pub(crate) async fn suspend(&self, recipient: &Recipient) {
        let ctx = job::context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let client_id = ClientId::parse(&recipient.id).unwrap();
        let whose = Whose { client_id, kind: None, partner: None };
        let (moment, change) = (ctx.moment().unwrap(), ClientChange::Held(true));
        assert!(ctx.run(ChangeClient { moment, whose, change, actor }).await.unwrap());
    }

    /// An operator holds a provider, or releases it.
    pub(crate) async fn hold_provider(&self, id: i64, state: ProviderState) {
        let ctx = job::context(self.app(), "test").unwrap();
        let actor = Actor::new(ActorKind::Operator, "test");
        let provider_id = ProviderId::new(id);
        let set = SetProviderState { moment: ctx.moment().unwrap(), provider_id, state, actor };
        assert!(ctx.run(set).await.unwrap());
    }

    /// The token of the admin that every world has.
    pub(crate) fn admin_token(&self) -> &str {
        self.world.operator.expose()
    }

    /// The admin calls the operators' API.
    pub(crate) async fn admin(&self, method: Method, path: &str) -> Answer {
        self.as_operator(self.admin_token(), method, path, None).await
    }

    /// The admin posts JSON to the operators' API.
    pub(crate) async fn admin_post(&self, path: &str, body: Value) -> Answer {
        self.as_operator(self.admin_token(), Method::POST, path, Some(body)).await
    }

    /// Whoever holds a token calls the operators' API.
    pub(crate) async fn as_operator(
        &self,
        token: &str,
        method: Method,
        path: &str,
        json: Option<Value>,
    ) -> Answer {
        let mut sent = Sent::new(method, &format!("http://{}/admin/v1{path}", self.world.node.admin));
        sent.bearer = Some(token.to_owned());
        sent.json = json;
        self.send(sent).await
    }

    pub(crate) async fn levers(&self, levers: Value) {
        let mut sent = Sent::new(Method::PUT, &self.world.maple().levers());
        sent.json = Some(levers);
        assert_eq!(self.send(sent).await.status, 200);
    }

    pub(crate) async fn connection(&self, id: &ConnectionId) -> Connection {
        self.app().store().ask(&ConnectionById { id: id.clone() }).await.unwrap().unwrap()
    }

    pub(crate) async fn cause(&self, id: &ConnectionId) -> Option<Cause> {
        match self.connection(id).await.state {
            State::Ended(end) => Some(end.cause),
            State::Pending { .. } | State::Active => None,
        }
    }

    /// Waits until something that the workers do has happened.
    pub(crate) async fn until(&self, what: &str, happened: impl AsyncFn() -> bool) {
        until(what, happened).await;
    }

    /// The grants as the bank lists them: state by grant.
    pub(crate) async fn grants(&self) -> Vec<String> {
        let url = format!("{}/grants", self.world.maple().levers());
        let listed = self.send(Sent::new(Method::GET, &url)).await.json();
        listed.as_array().unwrap().iter().map(|g| g["state"].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits until something that others do has happened.
pub(crate) async fn until(what: &str, happened: impl AsyncFn() -> bool) {
    let patience = ConstantBuilder::default().with_delay(Duration::from_millis(20)).with_max_times(1000);
    let looked = (|| async { if happened().await { Ok(()) } else { Err(()) } }).retry(patience).await;
    assert!(looked.is_ok(), "{what} did not happen");
}

/// The URL of an authorization request.
pub(crate) fn authorize_url(hub: &str, query: &[(&'static str, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{hub}/api/v1/authorize?{query}")
}

/// A parameter of a URL.
pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The connection that a token names.
pub(crate) fn connection_of(token: &str) -> ConnectionId {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&bytes).unwrap();
    ConnectionId::parse(claims["fdxConsentId"].as_str().unwrap()).unwrap()
}
