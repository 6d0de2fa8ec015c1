//! A world of its own for each test: hub, bank, a clock that stands, and personas.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bowline::app::{App, Clock};
use bowline::cli::{Answer, Browser, SandboxArgs, Sent, World, absolute, hidden};
use bowline::job;
use bowline::manage::{NewRecipient, register};
use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::Localized;
use domain::model::connection::{Cause, Connection, State};
use http::Method;
use serde_json::{Value, json};
use store::query::ConnectionById;

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

impl Kit {
    /// On SQLite.
    pub(crate) async fn new() -> Self {
        Self::on(None).await
    }

    /// On a store of its own.
    pub(crate) async fn on(store: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(BEGINNING));
        let args = SandboxArgs { port: 0, data: folder.path().to_owned(), seed: None, store };
        let world = World::start(&args, Clock::standing(Arc::clone(&clock))).await.unwrap();
        Self { world, browser: Browser::new().unwrap(), clock, folder }
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

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// The recipient that every sandbox has.
    pub(crate) fn acme(&self) -> Recipient {
        Recipient {
            id: self.world.client_id.clone(),
            secret: self.world.client_secret.expose().clone(),
            redirect_uri: self.world.redirect_uri.clone(),
        }
    }

    /// Another recipient.
    pub(crate) async fn recipient(&self, providers: &[i64], scope: &str, require_pkce: bool) -> Recipient {
        let redirect_uri = "https://other.example.org/back".to_owned();
        let new = NewRecipient {
            credentials: None,
            name: "Other <b>App</b>".into(),
            purpose: Localized { en: "Because.".into(), fr: "Parce que.".into() },
            redirect_uris: vec![redirect_uri.clone()],
            scope: scope.into(),
            providers: providers.to_vec(),
            require_pkce,
            max_duration_days: None,
        };
        let ctx = job::context(self.app(), "test").unwrap();
        let registered = register(&ctx, new, &Actor::new(ActorKind::Operator, "test")).await.unwrap();
        Recipient {
            id: registered.client_id.to_string(),
            secret: registered.client_secret.expose().clone(),
            redirect_uri,
        }
    }

    pub(crate) async fn send(&self, sent: Sent) -> Answer {
        self.browser.send(sent).await.unwrap()
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

    pub(crate) async fn authorize(&self, query: &[(&'static str, String)]) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.get(&format!("/api/v1/authorize?{query}")).await
    }

    /// Follows redirects within the world, up to the first page or the recipient.
    pub(crate) async fn follow(&self, from: &str, answer: Answer) -> (String, Answer) {
        let (mut at, mut answer) = (from.to_owned(), answer);
        while let Some(location) = answer.location.clone() {
            at = absolute(&at, &location);
            let inside =
                [self.app().public_url(), &self.world.bank_url].iter().any(|origin| at.starts_with(*origin));
            if !inside {
                break;
            }
            answer = self.send(Sent::new(Method::GET, &at)).await;
        }
        (at, answer)
    }

    /// Posts a page's form, and follows.
    pub(crate) async fn submit(&self, at: &str, page: &Answer, fields: &[(&str, &str)]) -> (String, Answer) {
        let token =
            hidden(&page.body, "form_token").unwrap_or_else(|| panic!("no form at {at}: {}", page.body));
        let mut all = vec![("form_token", token.as_str())];
        all.extend(fields);
        let answer = self.send(Sent::new(Method::POST, at).form(&all)).await;
        self.follow(at, answer).await
    }

    pub(crate) fn password(&self, username: &str) -> String {
        self.world.bank.logins().into_iter().find(|l| l.username == username).unwrap().password
    }

    /// From the authorization request to the bank's account page.
    pub(crate) async fn up_to_accounts(
        &self,
        query: &[(&'static str, String)],
        username: &str,
    ) -> (String, Answer) {
        let answer = self.authorize(query).await;
        let (at, page) = self.follow(self.app().public_url(), answer).await;
        let (at, page) = self.submit(&at, &page, &[("decision", "approve")]).await;
        assert!(at.ends_with("/sign-in"), "{at}: {}", page.body);
        self.submit(&at, &page, &[("username", username), ("password", &self.password(username))]).await
    }

    /// Where the browser arrives after the customer has chosen accounts.
    pub(crate) async fn arrive(
        &self,
        query: &[(&'static str, String)],
        username: &str,
        accounts: &[&str],
    ) -> String {
        let (at, page) = self.up_to_accounts(query, username).await;
        let mut fields = vec![("decision", "approve")];
        fields.extend(accounts.iter().map(|a| ("accounts", *a)));
        self.submit(&at, &page, &fields).await.0
    }

    /// A code for a recipient: alice shares two accounts.
    pub(crate) async fn code(&self, recipient: &Recipient) -> String {
        let back = self.arrive(&Self::ask(recipient), "alice", &["mt-alice-chequing", "mt-alice-card"]).await;
        parameter(&back, "code").unwrap_or_else(|| panic!("no code: {back}"))
    }

    /// The token endpoint, JSON, credentials in the body.
    pub(crate) async fn token(&self, recipient: &Recipient, fields: &[(&str, &str)]) -> Answer {
        let own = [("client_id", recipient.id.as_str()), ("client_secret", recipient.secret.as_str())];
        let body: serde_json::Map<String, Value> =
            own.iter().chain(fields).map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        self.post_json("/api/v1/token", body.into()).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: Value) -> Answer {
        let mut sent = Sent::new(Method::POST, &self.url(path));
        sent.json = Some(body);
        self.send(sent).await
    }

    pub(crate) async fn redeem(&self, recipient: &Recipient, code: &str) -> Answer {
        let grant = ("grant_type", "authorization_code");
        self.token(recipient, &[grant, ("code", code), ("redirect_uri", &recipient.redirect_uri)]).await
    }

    pub(crate) async fn refresh(&self, recipient: &Recipient, token: &str) -> Answer {
        self.token(recipient, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// A whole connection.
    pub(crate) async fn connect(&self, recipient: &Recipient) -> Tokens {
        let code = self.code(recipient).await;
        let answer = self.redeem(recipient, &code).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let access = text("access_token");
        Tokens { id: connection_of(&access), access, refresh: text("refresh_token"), code }
    }

    /// A call with a bearer.
    pub(crate) async fn call(&self, method: Method, path: &str, bearer: &str) -> Answer {
        let mut sent = Sent::new(method, &self.url(path));
        sent.bearer = Some(bearer.to_owned());
        self.send(sent).await
    }

    pub(crate) async fn read(&self, path: &str, bearer: &str) -> Answer {
        self.call(Method::GET, &format!("/api/fdx/5{path}"), bearer).await
    }

    pub(crate) async fn revoke(&self, bearer: &str) -> Answer {
        self.call(Method::DELETE, "/api/v1/revoke", bearer).await
    }

    /// The first account as the recipient knows it.
    pub(crate) async fn account_id(&self, bearer: &str) -> String {
        let list = self.read("/accounts", bearer).await.json();
        list["accounts"][0]["depositAccount"]["accountId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn levers(&self, levers: Value) {
        let mut sent = Sent::new(Method::PUT, &format!("{}/levers", self.world.bank_url));
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
        let patience = ConstantBuilder::default().with_delay(Duration::from_millis(20)).with_max_times(500);
        let looked = (|| async { if happened().await { Ok(()) } else { Err(()) } }).retry(patience).await;
        assert!(looked.is_ok(), "{what} did not happen");
    }

    /// The grants as the bank lists them: state by grant.
    pub(crate) async fn grants(&self) -> Vec<String> {
        let url = format!("{}/levers/grants", self.world.bank_url);
        let listed = self.send(Sent::new(Method::GET, &url)).await.json();
        listed.as_array().unwrap().iter().map(|g| g["state"].as_str().unwrap().to_owned()).collect()
    }
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
