//! Lesson 3: the hub, called over HTTP. Every call is written down for the panel, its secrets left out.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use fdx::{Account, Accounts};
use reqwest::{Client, RequestBuilder, header, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Position, Url};

use super::notice::Notice;
use super::session::Connection;
use super::{Clock, Settings};
use crate::random::hash;

/// How many pages of a list are read in one go.
pub(super) const MOST_PAGES: usize = 5;

/// The hub, and who we are there.
pub(super) struct Hub {
    client: Client,
    base: Url,
    client_id: String,
    client_secret: String,
    redirect_uri: String,
    clock: Clock,
}

/// One HTTP exchange as the panel shows it: of the app, or of the browser (which has no time).
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) line: String,
    pub(super) took: Option<i64>,
}

/// A way to the data, tried after the end.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) key: &'static str,
    pub(super) status: Option<u16>,
    pub(super) word: String,
    pub(super) held: bool,
}

/// The calls of one step, and what came of them.
pub(super) struct Calls<'a> {
    hub: &'a Hub,
    pub(super) log: Vec<Exchange>,
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
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The answer of a call that went well.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Notice> {
        if self.status != 200 {
            return Err(self.notice());
        }
        serde_json::from_slice(&self.body).map_err(|_| Notice::with("demo-failed", "unreadable"))
    }

    /// The FDX code or the OAuth error, without quotes.
    fn word(&self) -> Option<String> {
        let body = self.json();
        let word = [&body["code"], &body["error"]].into_iter().find(|word| !word.is_null())?;
        Some(word.as_str().map_or_else(|| word.to_string(), str::to_owned))
    }

    fn notice(&self) -> Notice {
        Notice::of(&self.word().unwrap_or_else(|| format!("HTTP-{}", self.status)), self.retry_after)
    }

    /// A token that has run out is told with a message alone; an ended connection with a code.
    fn says_expired(&self) -> bool {
        matches!(self.status, 401 | 403) && self.word().is_none()
    }
}

impl Hub {
    /// No redirects: a bearer goes to the hub and nowhere else.
    pub(super) fn new(settings: &Settings) -> io::Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            client,
            base: Url::parse(&settings.hub).map_err(io::Error::other)?,
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            redirect_uri: settings.redirect_uri.clone(),
            clock: settings.clock.clone(),
        })
    }

    /// An address of the hub. A segment is encoded, so that an id cannot leave its place.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }

    /// A step begins; what the browser did before stands in the log.
    pub(super) const fn calls(&self, log: Vec<Exchange>) -> Calls<'_> {
        Calls { hub: self, log }
    }
}

impl Calls<'_> {
    /// Redeems a code for the tokens of a connection.
    pub(super) async fn exchange(
        &mut self,
        bank: String,
        code: String,
        verifier: String,
    ) -> Result<Connection, Notice> {
        let mut connection =
            Connection { bank, access: String::new(), refresh: String::new(), code, verifier };
        let answer = self.redeem(&connection).await?;
        let tokens: Tokens = answer.read()?;
        connection.access = tokens.access_token;
        connection.refresh =
            tokens.refresh_token.ok_or_else(|| Notice::with("demo-failed", "refresh_token"))?;
        Ok(connection)
    }

    async fn redeem(&mut self, connection: &Connection) -> Result<Answer, Notice> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &*connection.code),
            ("code_verifier", &*connection.verifier),
            ("redirect_uri", &*self.hub.redirect_uri),
        ];
        self.token(&fields).await
    }

    async fn renew(&mut self, connection: &Connection) -> Result<Answer, Notice> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", &*connection.refresh)]).await
    }

    async fn token(&mut self, fields: &[(&str, &str)]) -> Result<Answer, Notice> {
        let own = [("client_id", &*self.hub.client_id), ("client_secret", &*self.hub.client_secret)];
        let body: BTreeMap<_, _> = own.iter().chain(fields).copied().collect();
        let request = self.hub.client.post(self.hub.url(&["api", "v1", "token"])).json(&body);
        self.send(body.get("grant_type").copied(), request).await
    }

    /// Another access token for the connection.
    pub(super) async fn refresh(&mut self, connection: &mut Connection) -> Result<(), Notice> {
        let answer = self.renew(connection).await?;
        connection.access = answer.read::<Tokens>()?.access_token;
        Ok(())
    }

    /// Reads data. An access token lives 5 minutes: when it has run out, it is refreshed and the call repeated.
    pub(super) async fn read<T: DeserializeOwned>(
        &mut self,
        connection: &mut Connection,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Notice> {
        let mut answer = self.send(None, self.get(connection, path, query)).await?;
        if answer.says_expired() {
            self.refresh(connection).await?;
            answer = self.send(None, self.get(connection, path, query)).await?;
        }
        answer.read()
    }

    fn get(&self, connection: &Connection, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let url = self.hub.url(&[&["api", "fdx", "5"], path].concat());
        let request = self.hub.client.get(url).bearer_auth(&connection.access);
        if query.is_empty() { request } else { request.query(query) }
    }

    /// All accounts, page by page: lightweight, or with their details.
    pub(super) async fn accounts(
        &mut self,
        connection: &mut Connection,
        kind: &str,
    ) -> Result<Vec<Account>, Notice> {
        let (mut all, mut offset) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let mut query = vec![("resultType", kind)];
            query.extend(offset.as_deref().map(|offset| ("offset", offset)));
            let page: Accounts = self.read(connection, &["accounts"], &query).await?;
            all.extend(page.accounts);
            offset = page.page.next_offset;
            if offset.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Ends the connection, everywhere. The bearer names it; one that has run out is refreshed first. Whatever
    /// is not acknowledged may be repeated.
    pub(super) async fn end(&mut self, connection: &mut Connection) -> Result<(), Notice> {
        let mut answer = self.revoke(connection).await?;
        if answer.status == 400 {
            match self.refresh(connection).await {
                Err(notice) if notice.is_over() => return Ok(()),
                refreshed => refreshed?,
            }
            answer = self.revoke(connection).await?;
        }
        if answer.status == 204 { Ok(()) } else { Err(answer.notice()) }
    }

    async fn revoke(&mut self, connection: &Connection) -> Result<Answer, Notice> {
        let request =
            self.hub.client.delete(self.hub.url(&["api", "v1", "revoke"])).bearer_auth(&connection.access);
        self.send(None, request).await
    }

    /// After the end: every way to the data is tried, and every one must be closed.
    pub(super) async fn doors(&mut self, connection: &Connection) -> Vec<Door> {
        let accounts = self.send(None, self.get(connection, &["accounts"], &[])).await;
        let refresh = self.renew(connection).await;
        let code = self.redeem(connection).await;
        let again = self.revoke(connection).await;
        vec![
            Door::new("demo-door-accounts", accounts.ok(), (401, "602")),
            Door::new("demo-door-refresh", refresh.ok(), (400, "invalid_grant")),
            Door::new("demo-door-code", code.ok(), (400, "invalid_grant")),
            Door::new("demo-door-revoke", again.ok(), (204, "")),
        ]
    }

    async fn send(&mut self, note: Option<&str>, request: RequestBuilder) -> Result<Answer, Notice> {
        let request = request.build().map_err(|_| Notice::new("demo-failed"))?;
        let (method, url) = (request.method().to_string(), request.url().clone());
        let path = shortened(&url);
        let begun = (self.hub.clock)();
        let answer = self.answer(request).await;
        let took = Some(((self.hub.clock)() - begun).max(0));
        let said = answer.as_ref().map(|answer| facts(&answer.json())).unwrap_or_default();
        let line = note.map(str::to_owned).into_iter().chain(said).collect::<Vec<_>>().join(" · ");
        self.log.push(Exchange { method, path, status: answer.as_ref().ok().map(|a| a.status), line, took });
        answer.map_err(|_| Notice::new("demo-down"))
    }

    async fn answer(&self, request: reqwest::Request) -> reqwest::Result<Answer> {
        let response = self.hub.client.execute(request).await?;
        let after = response.headers().get(header::RETRY_AFTER);
        let retry_after = after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        Ok(Answer { status: response.status().as_u16(), retry_after, body: response.bytes().await? })
    }
}

impl Door {
    fn new(key: &'static str, answer: Option<Answer>, closed: (u16, &str)) -> Self {
        let status = answer.as_ref().map(|answer| answer.status);
        let word = answer.and_then(|answer| answer.word()).unwrap_or_default();
        let held = (status, word.as_str()) == (Some(closed.0), closed.1);
        Self { key, status, word, held }
    }

    pub(super) const fn verdict(&self) -> &'static str {
        match (self.held, self.status) {
            (true, Some(204)) => "demo-held-over",
            (true, _) => "demo-held",
            (false, _) => "demo-not-held",
        }
    }
}

/// A path and query with their ids and cursors cut short.
fn shortened(url: &Url) -> String {
    const JOINTS: [char; 4] = ['/', '?', '&', '='];
    let whole = &url[Position::BeforePath..Position::AfterQuery];
    let short = |piece: &str| match piece.trim_end_matches(JOINTS) {
        word if word.len() > 24 => format!("{}…{}", &word[..8], &piece[word.len()..]),
        _ => piece.to_owned(),
    };
    whole.split_inclusive(JOINTS).map(short).collect()
}

/// The line of an answer that matters.
fn facts(body: &Value) -> Vec<String> {
    let plain = ["error", "error_description", "code", "message", "expires_in", "scope"];
    let secret = ["access_token", "refresh_token"];
    let lists = ["accounts", "transactions"];
    let plain = plain.iter().filter(|name| !body[**name].is_null()).map(|name| match body[*name].as_str() {
        Some(said) => format!("{name} {said}"),
        None => format!("{name} {}", body[*name]),
    });
    let secret = secret.iter().filter_map(|name| Some(format!("{name} {}", redacted(body[*name].as_str()?))));
    let lists = lists.iter().filter_map(|name| Some(format!("{name} {}", body[*name].as_array()?.len())));
    plain.chain(secret).chain(lists).collect()
}

/// As much of a secret as may be seen: its first 8 characters, its length, and a fingerprint to tell it by.
pub(super) fn redacted(secret: &str) -> String {
    let (start, length) = (secret.chars().take(8).collect::<String>(), secret.chars().count());
    format!("{start}… ({length}, #{})", &hash(secret)[..6])
}
