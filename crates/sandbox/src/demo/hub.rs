//! Lesson 2: the hub, called over HTTP. Every call is written down for the panel, its secrets left out.

use std::collections::BTreeMap;
use std::time::Duration;

use fdx::PageMetadata;
use reqwest::{Client, Method, RequestBuilder, header, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Settings;
use super::notice::Notice;
use super::panel::{Door, Exchange, facts, shortened};
use super::session::Visit;
use super::view::Entity;

/// How many pages of a list are read in one go.
const MOST_PAGES: usize = 5;

/// A connection to a bank: what the hub gave for the customer's yes.
#[derive(Clone, Default)]
pub(super) struct Connection {
    /// The `provider_id`, or a word for a bank that was picked at the hub.
    pub(super) bank: String,
    pub(super) access: String,
    pub(super) refresh: String,
    /// Kept for one purpose: to show that it does not work twice.
    pub(super) code: String,
    pub(super) verifier: String,
}

/// The fields of a query.
type Fields = [(&'static str, String)];

/// What a call gives, or what the customer is told instead.
pub(super) type Result<T> = std::result::Result<T, Notice>;

/// A page of a list, or what was found in several of them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct List {
    #[serde(alias = "accounts", alias = "transactions")]
    pub(super) items: Vec<Entity>,
    pub(super) page: PageMetadata,
    #[serde(skip)]
    pub(super) looked_at: usize,
}

/// What the token endpoint gives. The refresh token comes with the exchange alone, and does not change.
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: Option<String>,
}

struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
}

impl Answer {
    async fn of(sent: reqwest::Result<reqwest::Response>) -> reqwest::Result<Self> {
        let response = sent?;
        let after = response.headers().get(header::RETRY_AFTER);
        let retry_after = after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Self { status, retry_after, body })
    }

    /// The answer of a call that went well.
    fn read<T: DeserializeOwned>(self) -> Result<T> {
        if self.status != 200 {
            return Err(self.notice());
        }
        serde_json::from_value(self.body).map_err(|_| Notice::of("unreadable"))
    }

    /// The FDX code or the OAuth error, without quotes.
    fn word(&self) -> Option<String> {
        let word = [&self.body["code"], &self.body["error"]].into_iter().find(|word| !word.is_null())?;
        Some(word.as_str().map_or_else(|| word.to_string(), str::to_owned))
    }

    fn notice(&self) -> Notice {
        let word = self.word().unwrap_or_else(|| format!("HTTP-{}", self.status));
        Notice { wait: self.retry_after, ..Notice::of(&word) }
    }

    /// A token that has run out is told with a message alone; an ended connection with a code.
    fn says_expired(&self) -> bool {
        matches!(self.status, 401 | 403) && self.word().is_none()
    }
}

/// No redirects: a bearer goes to the hub and nowhere else.
pub(super) fn client() -> reqwest::Result<Client> {
    let client = Client::builder().redirect(redirect::Policy::none()).no_proxy();
    client.connect_timeout(Duration::from_secs(3)).timeout(Duration::from_secs(20)).build()
}

/// The calls of one step for one connection, and what came of them.
pub(super) struct Hub<'a> {
    pub(super) visit: &'a Visit,
    pub(super) connection: Connection,
    pub(super) log: Vec<Exchange>,
}

impl Hub<'_> {
    fn settings(&self) -> &Settings {
        &self.visit.demo.0.settings
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.visit.demo.0.client.request(method, self.visit.demo.hub_url(path))
    }

    /// Redeems the code for the tokens of the connection.
    pub(super) async fn exchange(&mut self) -> Result<()> {
        let tokens: Tokens = self.redeem().await?.read()?;
        self.connection.refresh = tokens.refresh_token.ok_or_else(|| Notice::of("refresh_token"))?;
        self.connection.access = tokens.access_token;
        Ok(())
    }

    async fn redeem(&mut self) -> Result<Answer> {
        let (redirect_uri, Connection { code, verifier, .. }) =
            (&self.settings().redirect_uri, &self.connection);
        let fields = [("code", code), ("code_verifier", verifier), ("redirect_uri", redirect_uri)];
        self.token("authorization_code", &fields.map(|(name, value)| (name, value.clone()))).await
    }

    async fn renew(&mut self) -> Result<Answer> {
        self.token("refresh_token", &[("refresh_token", self.connection.refresh.clone())]).await
    }

    async fn token(&mut self, grant_type: &'static str, fields: &Fields) -> Result<Answer> {
        let Settings { client_id, client_secret, .. } = self.settings();
        let own = [("grant_type", grant_type), ("client_id", client_id), ("client_secret", client_secret)];
        let fields = fields.iter().map(|(name, value)| (*name, &**value));
        let body: BTreeMap<_, _> = own.into_iter().chain(fields).collect();
        let request = self.request(Method::POST, &["api", "v1", "token"]).json(&body);
        self.send(grant_type, request).await
    }

    /// Another access token. The session keeps it.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        self.connection.access = self.renew().await?.read::<Tokens>()?.access_token;
        self.visit.session().keep(&self.connection);
        Ok(())
    }

    /// Reads data. An access token lives 5 minutes: when it has run out, it is refreshed and the call repeated.
    pub(super) async fn read<T: DeserializeOwned>(&mut self, path: &[&str], query: &Fields) -> Result<T> {
        let mut answer = self.get(path, query).await?;
        if answer.says_expired() {
            self.refresh().await?;
            answer = self.get(path, query).await?;
        }
        answer.read()
    }

    async fn get(&mut self, path: &[&str], query: &Fields) -> Result<Answer> {
        let request = self.request(Method::GET, &[&["api", "fdx", "5"], path].concat());
        let request = request.bearer_auth(&self.connection.access);
        self.send("", if query.is_empty() { request } else { request.query(query) }).await
    }

    /// All accounts: lightweight, or with their details.
    pub(super) async fn accounts(&mut self, kind: &str) -> Result<Vec<Entity>> {
        let query = vec![("resultType", kind.to_owned())];
        Ok(self.list(&["accounts"], query, usize::MAX, |_| true).await?.items)
    }

    /// Reads a list page by page and keeps what is looked for, until there is enough of it.
    pub(super) async fn list(
        &mut self,
        path: &[&str],
        mut query: Vec<(&'static str, String)>,
        enough: usize,
        wanted: impl Fn(&Entity) -> bool,
    ) -> Result<List> {
        let mut found = List::default();
        for _ in 0..MOST_PAGES {
            let list: List = self.read(path, &query).await?;
            found.looked_at += list.items.len();
            found.items.extend(list.items.into_iter().filter(&wanted));
            found.page = list.page;
            let next = found.page.next_offset.clone().filter(|_| found.items.len() < enough);
            let Some(next) = next else { break };
            query.retain(|(name, _)| *name != "offset");
            query.push(("offset", next));
        }
        Ok(found)
    }

    /// Ends the connection, everywhere. The bearer names it; one that has run out is refreshed first. Whatever
    /// is not acknowledged may be repeated.
    pub(super) async fn end(&mut self) -> Result<()> {
        let mut answer = self.revoke().await?;
        if answer.status == 400 {
            match self.refresh().await {
                Err(notice) if notice.is_over() => return Ok(()),
                refreshed => refreshed?,
            }
            answer = self.revoke().await?;
        }
        if answer.status == 204 { Ok(()) } else { Err(answer.notice()) }
    }

    async fn revoke(&mut self) -> Result<Answer> {
        let request = self.request(Method::DELETE, &["api", "v1", "revoke"]);
        self.send("", request.bearer_auth(&self.connection.access)).await
    }

    /// After the end: every way to the data is tried, and every one must be closed.
    pub(super) async fn doors(&mut self) -> Vec<Door> {
        let (accounts, refresh) = (self.get(&["accounts"], &[]).await, self.renew().await);
        let (code, again) = (self.redeem().await, self.revoke().await);
        let door = |key, answer: Result<Answer>, closed| {
            let answer = answer.ok().map(|answer| (answer.status, answer.word().unwrap_or_default()));
            Door::new(key, answer, closed)
        };
        vec![
            door("demo-door-accounts", accounts, (401, "602")),
            door("demo-door-refresh", refresh, (400, "invalid_grant")),
            door("demo-door-code", code, (400, "invalid_grant")),
            door("demo-door-revoke", again, (204, "")),
        ]
    }

    async fn send(&mut self, note: &str, request: RequestBuilder) -> Result<Answer> {
        let request = request.build().map_err(|_| Notice::of("request"))?;
        let (method, path) = (request.method().to_string(), shortened(request.url()));
        let begun = (self.settings().clock)();
        let answer = Answer::of(self.visit.demo.0.client.execute(request).await).await;
        let took = Some(((self.settings().clock)() - begun).max(0));
        let mut lines = answer.as_ref().map(|answer| facts(&answer.body)).unwrap_or_default();
        lines.insert(0, note.to_owned());
        let line = lines.join(" · ").trim_start_matches(" · ").to_owned();
        self.log.push(Exchange { method, path, status: answer.as_ref().ok().map(|a| a.status), line, took });
        answer.map_err(|_| Notice::new("demo-down", 502))
    }
}
