//! Lesson 2 of the demo app's tutorial: calls of the hub. A panel on the pages shows each call, with its secrets
//! redacted.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::entity::{Entity, EntityList};
use super::notice::CustomerNotice;
use super::panel::{EndpointProbe, LoggedExchange, shorten_path, summarize_body};
use super::session::BankConnection;
use super::state::DemoSettings;
use super::visit::DemoVisit;

/// The maximum number of pages of a list that the app requests from the hub to show one of its own pages.
const MAX_PAGES: usize = 5;

/// The names and values of query parameters, or of form fields of a token request.
type QueryFields = [(&'static str, String)];

/// The result of a call to the hub, or the notice that the app shows the customer instead.
pub(super) type HubResult<T> = Result<T, CustomerNotice>;

/// The response of the token endpoint. Only the exchange of a code returns a refresh token, which stays the same.
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
    async fn from_result(result: reqwest::Result<reqwest::Response>) -> reqwest::Result<Self> {
        let response = result?;
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Self { status, retry_after, body })
    }

    /// Parses the body of a response with status 200; any other response becomes a notice.
    fn parse_body<T: DeserializeOwned>(self) -> HubResult<T> {
        if self.status != 200 {
            return Err(self.to_notice());
        }
        serde_json::from_value(self.body).map_err(|_| CustomerNotice::from_code("unreadable"))
    }

    /// Returns the error code of an error response: the `code` of FDX or the `error` of OAuth.
    fn error_code(&self) -> Option<String> {
        let code = [&self.body["code"], &self.body["error"]].into_iter().find(|code| !code.is_null())?;
        // FDX codes are numbers in one error and strings in another.
        Some(code.as_str().map_or_else(|| code.to_string(), str::to_owned))
    }

    fn to_notice(&self) -> CustomerNotice {
        let code = self.error_code().unwrap_or_else(|| format!("HTTP-{}", self.status));
        CustomerNotice { retry_after_secs: self.retry_after, ..CustomerNotice::from_code(&code) }
    }

    /// Returns true if the response means that the access token has expired. The error then has a message only, whereas
    /// the error for an ended connection has a code.
    fn is_token_expired(&self) -> bool {
        matches!(self.status, 401 | 403) && self.error_code().is_none()
    }
}

/// The calls to the hub for one connection during one step.
pub(super) struct HubClient<'a> {
    pub(super) visit: &'a DemoVisit,
    pub(super) connection: BankConnection,
    pub(super) log: Vec<LoggedExchange>,
}

impl<'a> HubClient<'a> {
    /// Creates a client for one connection. `log` contains the calls that the same step has made before.
    pub(super) const fn new(
        visit: &'a DemoVisit,
        connection: BankConnection,
        log: Vec<LoggedExchange>,
    ) -> Self {
        Self { visit, connection, log }
    }

    fn settings(&self) -> &DemoSettings {
        self.visit.demo.settings()
    }

    fn build_request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.visit.demo.client().request(method, self.visit.demo.hub_url(path))
    }

    /// Exchanges the authorization code for the tokens of the connection.
    pub(super) async fn exchange_code(&mut self) -> HubResult<()> {
        let tokens: TokenPair = self.redeem_code().await?.parse_body()?;
        self.connection.refresh_token =
            tokens.refresh_token.ok_or_else(|| CustomerNotice::from_code("refresh_token"))?;
        self.connection.access_token = tokens.access_token;
        Ok(())
    }

    async fn redeem_code(&mut self) -> HubResult<HubResponse> {
        let (redirect_uri, BankConnection { code, verifier, .. }) =
            (&self.settings().redirect_uri, &self.connection);
        let fields = [("code", code), ("code_verifier", verifier), ("redirect_uri", redirect_uri)];
        self.request_token("authorization_code", &fields.map(|(name, value)| (name, value.clone()))).await
    }

    async fn request_refresh(&mut self) -> HubResult<HubResponse> {
        self.request_token("refresh_token", &[("refresh_token", self.connection.refresh_token.clone())]).await
    }

    async fn request_token(
        &mut self,
        grant_type: &'static str,
        fields: &QueryFields,
    ) -> HubResult<HubResponse> {
        let DemoSettings { client_id, client_secret, .. } = self.settings();
        let client = [("grant_type", grant_type), ("client_id", client_id), ("client_secret", client_secret)];
        let fields = fields.iter().map(|(name, value)| (*name, &**value));
        let body: BTreeMap<_, _> = client.into_iter().chain(fields).collect();
        let request = self.build_request(Method::POST, &["api", "v1", "token"]).json(&body);
        self.send(grant_type, request).await
    }

    /// Requests a new access token and stores it in the session.
    pub(super) async fn refresh_access_token(&mut self) -> HubResult<()> {
        self.connection.access_token = self.request_refresh().await?.parse_body::<TokenPair>()?.access_token;
        self.visit.session().store_refreshed(&self.connection);
        Ok(())
    }

    /// Reads data of the connection. If the access token has expired (it is valid for 5 minutes), it is refreshed and
    /// the call repeated.
    pub(super) async fn read<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        query: &QueryFields,
    ) -> HubResult<T> {
        let mut response = self.get(path, query).await?;
        if response.is_token_expired() {
            self.refresh_access_token().await?;
            response = self.get(path, query).await?;
        }
        response.parse_body()
    }

    async fn get(&mut self, path: &[&str], query: &QueryFields) -> HubResult<HubResponse> {
        let request = self.build_request(Method::GET, &[&["api", "fdx", "5"], path].concat());
        let request = request.bearer_auth(&self.connection.access_token);
        self.send("", if query.is_empty() { request } else { request.query(query) }).await
    }

    /// Lists all accounts; `result_type` is `lightweight` or `details`.
    pub(super) async fn list_accounts(&mut self, result_type: &str) -> HubResult<Vec<Entity>> {
        let query = vec![("resultType", result_type.to_owned())];
        Ok(self.list_entities(&["accounts"], query, usize::MAX, |_| true).await?.items)
    }

    /// Reads pages of a list and collects the matching entities, until there are at least `min_matches`.
    pub(super) async fn list_entities(
        &mut self,
        path: &[&str],
        mut query: Vec<(&'static str, String)>,
        min_matches: usize,
        is_match: impl Fn(&Entity) -> bool,
    ) -> HubResult<EntityList> {
        let mut matches = EntityList::default();
        for _ in 0..MAX_PAGES {
            let page: EntityList = self.read(path, &query).await?;
            matches.examined += page.items.len();
            matches.items.extend(page.items.into_iter().filter(&is_match));
            matches.page = page.page;
            let next = matches.page.next_offset.clone().filter(|_| matches.items.len() < min_matches);
            let Some(next) = next else { break };
            // Each page has its own cursor, so the cursor of the previous page must be removed first.
            query.retain(|(name, _)| *name != "offset");
            query.push(("offset", next));
        }
        Ok(matches)
    }

    /// Ends the connection at the hub. A call that the hub does not confirm may be repeated.
    pub(super) async fn end_connection(&mut self) -> HubResult<()> {
        let mut response = self.revoke_connection().await?;
        // The access token identifies the connection, so an expired one has to be refreshed first.
        if response.status == 400 {
            match self.refresh_access_token().await {
                Err(notice) if notice.has_connection_ended() => return Ok(()),
                refreshed => refreshed?,
            }
            response = self.revoke_connection().await?;
        }
        if response.status == 204 { Ok(()) } else { Err(response.to_notice()) }
    }

    async fn revoke_connection(&mut self) -> HubResult<HubResponse> {
        let request = self.build_request(Method::DELETE, &["api", "v1", "revoke"]);
        self.send("", request.bearer_auth(&self.connection.access_token)).await
    }

    /// Calls every endpoint with the tokens and the code of an ended connection.
    pub(super) async fn probe_endpoints(&mut self) -> Vec<EndpointProbe> {
        let (accounts, refresh) = (self.get(&["accounts"], &[]).await, self.request_refresh().await);
        let (code, revoke) = (self.redeem_code().await, self.revoke_connection().await);
        let probe = |key, response: HubResult<HubResponse>, expected| {
            let response = response.ok().map(|r| (r.status, r.error_code().unwrap_or_default()));
            EndpointProbe::new(key, response, expected)
        };
        vec![
            probe("demo-probe-accounts", accounts, (401, "602")),
            probe("demo-probe-refresh", refresh, (400, "invalid_grant")),
            probe("demo-probe-code", code, (400, "invalid_grant")),
            // Ending a connection twice is a success, so that a client can repeat a call without a response.
            probe("demo-probe-revoke", revoke, (204, "")),
        ]
    }

    async fn send(&mut self, note: &str, request: RequestBuilder) -> HubResult<HubResponse> {
        let request = request.build().map_err(|_| CustomerNotice::from_code("request"))?;
        let (method, path) = (request.method().to_string(), shorten_path(request.url()));
        let started = self.visit.demo.now();
        let response = HubResponse::from_result(self.visit.demo.client().execute(request).await).await;
        let elapsed_ms = Some((self.visit.demo.now() - started).max(0));
        let mut parts = response.as_ref().map(|r| summarize_body(&r.body)).unwrap_or_default();
        parts.insert(0, note.to_owned());
        let summary = parts.join(" · ").trim_start_matches(" · ").to_owned();
        let status = response.as_ref().ok().map(|r| r.status);
        self.log.push(LoggedExchange { method, path, status, summary, elapsed_ms });
        response.map_err(|_| CustomerNotice::new("demo-hub-unreachable", 502))
    }
}
