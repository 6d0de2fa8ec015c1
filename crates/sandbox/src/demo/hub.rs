//! Lesson 2: the hub, called over HTTP. Every call is written down for the panel, its secrets left out.

use std::collections::BTreeMap;
use std::time::Duration;

use fdx::PageMetadata;
use reqwest::{Client, Method, RequestBuilder, header, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::DemoSettings;
use super::notice::CustomerNotice;
use super::panel::{EndpointProbe, LoggedExchange, shorten_path, summarize_body};
use super::session::DemoVisit;
use super::view::Entity;

/// How many pages of a list are read in one go.
const MAX_PAGES: usize = 5;

/// A connection to a bank: what the hub gave for the customer's yes.
#[derive(Clone, Default)]
pub(super) struct BankConnection {
    /// The `provider_id`, or a word for a bank that was picked at the hub.
    pub(super) bank: String,
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    /// Kept for one purpose: to show that it does not work twice.
    pub(super) code: String,
    pub(super) verifier: String,
}

/// The fields of a query.
type QueryFields = [(&'static str, String)];

/// What a call gives, or what the customer is told instead.
pub(super) type Result<T> = std::result::Result<T, CustomerNotice>;

/// A page of a list, or what was found in several of them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct EntityList {
    #[serde(alias = "accounts", alias = "transactions")]
    pub(super) items: Vec<Entity>,
    pub(super) page: PageMetadata,
    #[serde(skip)]
    pub(super) examined: usize,
}

/// What the token endpoint gives. The refresh token comes with the exchange alone, and does not change.
#[derive(Deserialize)]
struct TokenPair {
    access_token: String,
    refresh_token: Option<String>,
}

struct HubResponse {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
}

impl HubResponse {
    async fn from_result(sent: reqwest::Result<reqwest::Response>) -> reqwest::Result<Self> {
        let response = sent?;
        let after = response.headers().get(header::RETRY_AFTER);
        let retry_after = after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Self { status, retry_after, body })
    }

    /// The answer of a call that went well.
    fn parse_body<T: DeserializeOwned>(self) -> Result<T> {
        if self.status != 200 {
            return Err(self.to_notice());
        }
        serde_json::from_value(self.body).map_err(|_| CustomerNotice::from_code("unreadable"))
    }

    /// The FDX code or the OAuth error, without quotes.
    fn error_code(&self) -> Option<String> {
        let word = [&self.body["code"], &self.body["error"]].into_iter().find(|word| !word.is_null())?;
        Some(word.as_str().map_or_else(|| word.to_string(), str::to_owned))
    }

    fn to_notice(&self) -> CustomerNotice {
        let word = self.error_code().unwrap_or_else(|| format!("HTTP-{}", self.status));
        CustomerNotice { retry_after_secs: self.retry_after, ..CustomerNotice::from_code(&word) }
    }

    /// A token that has run out is told with a message alone; an ended connection with a code.
    fn is_token_expired(&self) -> bool {
        matches!(self.status, 401 | 403) && self.error_code().is_none()
    }
}

/// No redirects: a bearer goes to the hub and nowhere else.
pub(super) fn build_client() -> reqwest::Result<Client> {
    let client = Client::builder().redirect(redirect::Policy::none()).no_proxy();
    client.connect_timeout(Duration::from_secs(3)).timeout(Duration::from_secs(20)).build()
}

/// The calls of one step for one connection, and what came of them.
pub(super) struct HubClient<'a> {
    pub(super) visit: &'a DemoVisit,
    pub(super) connection: BankConnection,
    pub(super) log: Vec<LoggedExchange>,
}

impl HubClient<'_> {
    fn settings(&self) -> &DemoSettings {
        &self.visit.demo.0.settings
    }

    fn build_request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.visit.demo.0.client.request(method, self.visit.demo.hub_url(path))
    }

    /// Redeems the code for the tokens of the connection.
    pub(super) async fn exchange_code(&mut self) -> Result<()> {
        let tokens: TokenPair = self.redeem_code().await?.parse_body()?;
        self.connection.refresh_token =
            tokens.refresh_token.ok_or_else(|| CustomerNotice::from_code("refresh_token"))?;
        self.connection.access_token = tokens.access_token;
        Ok(())
    }

    async fn redeem_code(&mut self) -> Result<HubResponse> {
        let (redirect_uri, BankConnection { code, verifier, .. }) =
            (&self.settings().redirect_uri, &self.connection);
        let fields = [("code", code), ("code_verifier", verifier), ("redirect_uri", redirect_uri)];
        self.request_token("authorization_code", &fields.map(|(name, value)| (name, value.clone()))).await
    }

    async fn request_refresh(&mut self) -> Result<HubResponse> {
        self.request_token("refresh_token", &[("refresh_token", self.connection.refresh_token.clone())]).await
    }

    async fn request_token(&mut self, grant_type: &'static str, fields: &QueryFields) -> Result<HubResponse> {
        let DemoSettings { client_id, client_secret, .. } = self.settings();
        let own = [("grant_type", grant_type), ("client_id", client_id), ("client_secret", client_secret)];
        let fields = fields.iter().map(|(name, value)| (*name, &**value));
        let body: BTreeMap<_, _> = own.into_iter().chain(fields).collect();
        let request = self.build_request(Method::POST, &["api", "v1", "token"]).json(&body);
        self.send(grant_type, request).await
    }

    /// Another access token. The session keeps it.
    pub(super) async fn refresh_access_token(&mut self) -> Result<()> {
        self.connection.access_token = self.request_refresh().await?.parse_body::<TokenPair>()?.access_token;
        self.visit.session().store_refreshed(&self.connection);
        Ok(())
    }

    /// Reads data. An access token lives 5 minutes: when it has run out, it is refreshed and the call repeated.
    pub(super) async fn read<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        query: &QueryFields,
    ) -> Result<T> {
        let mut answer = self.get(path, query).await?;
        if answer.is_token_expired() {
            self.refresh_access_token().await?;
            answer = self.get(path, query).await?;
        }
        answer.parse_body()
    }

    async fn get(&mut self, path: &[&str], query: &QueryFields) -> Result<HubResponse> {
        let request = self.build_request(Method::GET, &[&["api", "fdx", "5"], path].concat());
        let request = request.bearer_auth(&self.connection.access_token);
        self.send("", if query.is_empty() { request } else { request.query(query) }).await
    }

    /// All accounts: lightweight, or with their details.
    pub(super) async fn list_accounts(&mut self, kind: &str) -> Result<Vec<Entity>> {
        let query = vec![("resultType", kind.to_owned())];
        Ok(self.list_entities(&["accounts"], query, usize::MAX, |_| true).await?.items)
    }

    /// Reads a list page by page and keeps what is looked for, until there is enough of it.
    pub(super) async fn list_entities(
        &mut self,
        path: &[&str],
        mut query: Vec<(&'static str, String)>,
        min_matches: usize,
        is_match: impl Fn(&Entity) -> bool,
    ) -> Result<EntityList> {
        let mut found = EntityList::default();
        for _ in 0..MAX_PAGES {
            let list: EntityList = self.read(path, &query).await?;
            found.examined += list.items.len();
            found.items.extend(list.items.into_iter().filter(&is_match));
            found.page = list.page;
            let next = found.page.next_offset.clone().filter(|_| found.items.len() < min_matches);
            let Some(next) = next else { break };
            query.retain(|(name, _)| *name != "offset");
            query.push(("offset", next));
        }
        Ok(found)
    }

    /// Ends the connection, everywhere. The bearer names it; one that has run out is refreshed first. Whatever
    /// is not acknowledged may be repeated.
    pub(super) async fn end_connection(&mut self) -> Result<()> {
        let mut answer = self.revoke_connection().await?;
        if answer.status == 400 {
            match self.refresh_access_token().await {
                Err(notice) if notice.is_over() => return Ok(()),
                refreshed => refreshed?,
            }
            answer = self.revoke_connection().await?;
        }
        if answer.status == 204 { Ok(()) } else { Err(answer.to_notice()) }
    }

    async fn revoke_connection(&mut self) -> Result<HubResponse> {
        let request = self.build_request(Method::DELETE, &["api", "v1", "revoke"]);
        self.send("", request.bearer_auth(&self.connection.access_token)).await
    }

    /// After the end: every way to the data is tried, and every one must be closed.
    pub(super) async fn probe_endpoints(&mut self) -> Vec<EndpointProbe> {
        let (accounts, refresh) = (self.get(&["accounts"], &[]).await, self.request_refresh().await);
        let (code, again) = (self.redeem_code().await, self.revoke_connection().await);
        let door = |key, answer: Result<HubResponse>, closed| {
            let answer = answer.ok().map(|answer| (answer.status, answer.error_code().unwrap_or_default()));
            EndpointProbe::new(key, answer, closed)
        };
        vec![
            door("demo-door-accounts", accounts, (401, "602")),
            door("demo-door-refresh", refresh, (400, "invalid_grant")),
            door("demo-door-code", code, (400, "invalid_grant")),
            door("demo-door-revoke", again, (204, "")),
        ]
    }

    async fn send(&mut self, note: &str, request: RequestBuilder) -> Result<HubResponse> {
        let request = request.build().map_err(|_| CustomerNotice::from_code("request"))?;
        let (method, path) = (request.method().to_string(), shorten_path(request.url()));
        let started = (self.settings().clock)();
        let answer = HubResponse::from_result(self.visit.demo.0.client.execute(request).await).await;
        let elapsed = Some(((self.settings().clock)() - started).max(0));
        let mut lines = answer.as_ref().map(|answer| summarize_body(&answer.body)).unwrap_or_default();
        lines.insert(0, note.to_owned());
        let line = lines.join(" · ").trim_start_matches(" · ").to_owned();
        self.log.push(LoggedExchange {
            method,
            path,
            status: answer.as_ref().ok().map(|a| a.status),
            line,
            took: elapsed,
        });
        answer.map_err(|_| CustomerNotice::new("demo-down", 502))
    }
}
