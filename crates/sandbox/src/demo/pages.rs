//! Lesson 5: pages. Forms and links alone, no script; a form says where it may lead to.

use std::collections::HashMap;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use fdx::{Account, Transactions};
use serde_json::Value;

use super::chart::{Bar, By, bars};
use super::hub::{Calls, Exchange, MOST_PAGES};
use super::notice::Notice;
use super::session::{Connection, Step, Visit};
use super::view::{Card, Holdings, Row, category};
use super::{Choice, Demo};
use crate::text::Text;

/// Pages that post to us alone.
pub(super) const PLAIN: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                                frame-ancestors 'none'; base-uri 'none'";
/// Pages with a form that leads to the hub: `'self'` would stop the redirects that follow it.
const FLOW: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                    form-action https: http://127.0.0.1:* http://localhost:*; frame-ancestors 'none'; base-uri 'none'";

const PAGE: &str = "100";
const ENOUGH: usize = 25;

/// What every page has.
struct Frame {
    text: Text,
    form_token: String,
    step: Step,
    here: String,
}

impl Frame {
    fn new(visit: &Visit, log: Vec<Exchange>) -> Self {
        let (step, form_token) = (visit.step(log), visit.session().form_token.clone());
        Self { text: visit.text, form_token, step, here: visit.here.clone() }
    }

    fn t(&self, key: &str) -> String {
        self.text.t(key)
    }

    fn words(&self, notice: &Notice) -> String {
        notice.words(self.text)
    }

    fn advice(&self, notice: &Notice) -> String {
        notice.advice(self.text)
    }

    /// This page in another language.
    fn here_in(&self, lang: &str) -> String {
        let joint = if self.here.contains('?') { '&' } else { '?' };
        format!("{}{joint}lang={lang}", self.here)
    }
}

#[derive(Template)]
#[template(path = "demo/home.html")]
struct Home<'a> {
    f: Frame,
    providers: &'a [Choice],
    connected: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "demo/message.html")]
struct Message<'a> {
    f: Frame,
    notice: &'a Notice,
}

#[derive(Template)]
#[template(path = "demo/accounts.html")]
struct AccountsPage {
    f: Frame,
    groups: Vec<Group>,
}

/// One connection's accounts, or why there are none.
struct Group {
    bank: String,
    name: String,
    /// Whether its bank is one that we offer by name.
    named: bool,
    cards: Result<Vec<Card>, Notice>,
    /// Why there are names and no balances.
    details: Option<Notice>,
}

#[derive(Template)]
#[template(path = "demo/account.html")]
struct AccountPage {
    f: Frame,
    bank: String,
    card: Card,
    holdings: Vec<[String; 4]>,
    search: Search,
    listed: Result<Listed, Notice>,
}

/// What is searched for, and from where on.
struct Search {
    id: String,
    q: String,
    from: String,
    to: String,
    by: String,
    offset: String,
}

/// What was found, and where to go on.
struct Found {
    rows: Vec<Row>,
    looked_at: usize,
    next: Option<String>,
}

/// A stretch of the list, and the spending within it.
struct Listed {
    lines: Vec<Line>,
    found: String,
    more: Option<String>,
    bars: Vec<Bar>,
    total: String,
    by_category: String,
    by_month: String,
}

struct Line {
    day: String,
    what: String,
    category: String,
    amount: String,
    incoming: bool,
    foreign: String,
    pending: bool,
}

pub(super) async fn home(State(demo): State<Demo>, Extension(visit): Extension<Visit>) -> Response {
    let banks: Vec<String> = visit.session().connections.iter().map(|c| c.bank.clone()).collect();
    let connected = banks.into_iter().map(|bank| (demo.bank_name(visit.text, &bank), bank)).collect();
    let providers = &demo.0.settings.providers;
    page(StatusCode::OK, &Home { f: Frame::new(&visit, Vec::new()), providers, connected }, FLOW)
}

pub(super) async fn nothing_here(Extension(visit): Extension<Visit>) -> Response {
    message(&visit, StatusCode::NOT_FOUND, &Notice::new("demo-lost"), Vec::new())
}

pub(super) async fn accounts(State(demo): State<Demo>, Extension(visit): Extension<Visit>) -> Response {
    let connections = visit.session().connections.clone();
    let (mut calls, mut groups) = (demo.0.hub.calls(Vec::new()), Vec::new());
    for mut connection in connections {
        groups.push(demo.group(&mut calls, visit.text, &mut connection).await);
        visit.session().keep(&connection);
    }
    page(StatusCode::OK, &AccountsPage { f: Frame::new(&visit, calls.log), groups }, FLOW)
}

pub(super) async fn account(
    State(demo): State<Demo>,
    Extension(visit): Extension<Visit>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let bank = query.get("bank").map(String::as_str).unwrap_or_default();
    let Some(mut connection) = visit.session().connection(bank) else {
        return Redirect::to("/accounts").into_response();
    };
    let (mut calls, search) = (demo.0.hub.calls(Vec::new()), Search::of(&id, &query));
    let shown = search.shown(&mut calls, &mut connection, visit.text).await;
    visit.session().keep(&connection);
    let (card, holdings, listed) = match shown {
        Ok(shown) => shown,
        Err(notice) => return message(&visit, notice.status(), &notice, calls.log),
    };
    let (f, bank) = (Frame::new(&visit, calls.log), connection.bank);
    page(StatusCode::OK, &AccountPage { f, bank, card, holdings, search, listed }, PLAIN)
}

type Shown = (Card, Vec<[String; 4]>, Result<Listed, Notice>);

impl Demo {
    fn bank_name(&self, text: Text, bank: &str) -> String {
        let named = self.0.settings.providers.iter().find(|known| known.id.to_string() == bank);
        named.map_or_else(|| text.t("demo-picked"), |known| known.name.clone())
    }

    /// The light list says which accounts there are; the details, where the customer agreed to them, what is in.
    async fn group(&self, calls: &mut Calls<'_>, text: Text, connection: &mut Connection) -> Group {
        let light = calls.accounts(connection, "lightweight").await;
        let detailed = match &light {
            Ok(light) if !light.is_empty() => calls.accounts(connection, "details").await,
            _ => Ok(Vec::new()),
        };
        let bank = connection.bank.clone();
        let named = self.0.settings.providers.iter().any(|known| known.id.to_string() == bank);
        let cards = light.map(|mut light| {
            for account in detailed.iter().flatten() {
                if let Some(place) = light.iter_mut().find(|known| known.id() == account.id()) {
                    place.clone_from(account);
                }
            }
            light.iter().map(|account| Card::of(text, account)).collect()
        });
        Group { name: self.bank_name(text, &bank), bank, named, cards, details: detailed.err() }
    }
}

impl Found {
    fn listed(&self, text: Text, search: &Search, bank: &str, currency: &str) -> Listed {
        let by = if search.by == "month" { By::Month } else { By::Category };
        let (bars, total) = bars(text, &self.rows, by, currency);
        let (rows, looked) = (self.rows.len().to_string(), self.looked_at.to_string());
        Listed {
            lines: self.rows.iter().map(|row| Line::of(text, row, currency)).collect(),
            found: text.fill("demo-found", &[("found", &rows), ("looked", &looked)]),
            more: self.next.as_deref().map(|offset| search.link(bank, &search.by, offset)),
            bars,
            total,
            by_category: search.link(bank, "", &search.offset),
            by_month: search.link(bank, "month", &search.offset),
        }
    }
}

impl Search {
    fn of(id: &str, query: &HashMap<String, String>) -> Self {
        let field = |name: &str| query.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
        let (q, from, to, by) = (field("q"), field("from"), field("to"), field("by"));
        Self { id: id.to_owned(), q, from, to, by, offset: field("offset") }
    }

    /// An account: without it there is nothing to show; without its transactions there is.
    async fn shown(
        &self,
        calls: &mut Calls<'_>,
        connection: &mut Connection,
        text: Text,
    ) -> Result<Shown, Notice> {
        let answer: Value = calls.read(connection, &["accounts", &self.id], &[]).await?;
        let account: Account =
            serde_json::from_value(answer.clone()).map_err(|_| Notice::new("demo-failed"))?;
        let card = Card::of(text, &account);
        let holdings = serde_json::from_value::<Holdings>(answer).unwrap_or_default();
        let holdings = holdings.rows(text, &card.currency);
        let found = self.found(calls, connection, text).await;
        let listed = found.map(|found| found.listed(text, self, &connection.bank, &card.currency));
        Ok((card, holdings, listed))
    }

    /// A page of transactions. The hub searches by dates; words are searched for here, over a few of its pages.
    async fn found(
        &self,
        calls: &mut Calls<'_>,
        connection: &mut Connection,
        text: Text,
    ) -> Result<Found, Notice> {
        let mut found = Found { rows: Vec::new(), looked_at: 0, next: Some(self.offset.clone()) };
        let path = ["accounts", &*self.id, "transactions"];
        for _ in 0..MOST_PAGES {
            let offset = found.next.take().unwrap_or_default();
            let fields = [("startTime", &*self.from), ("endTime", &*self.to), ("offset", &*offset)];
            let filled = fields.into_iter().filter(|(_, value)| !value.is_empty());
            let query: Vec<_> = [("limit", PAGE)].into_iter().chain(filled).collect();
            let page: Transactions = calls.read(connection, &path, &query).await?;
            found.looked_at += page.transactions.len();
            let rows = page.transactions.iter().map(Row::of);
            found.rows.extend(rows.filter(|row| row.has(text, &self.q)));
            found.next = page.page.next_offset;
            if found.next.is_none() || found.rows.len() >= ENOUGH {
                break;
            }
        }
        Ok(found)
    }

    /// The same page with another query.
    fn link(&self, bank: &str, by: &str, offset: &str) -> String {
        let (q, from, to) = (&*self.q, &*self.from, &*self.to);
        let fields = [("bank", bank), ("q", q), ("from", from), ("to", to), ("by", by), ("offset", offset)];
        let filled: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        link("", &filled)
    }
}

impl Line {
    fn of(text: Text, row: &Row, currency: &str) -> Self {
        let foreign = row.foreign.as_ref().map(|(amount, currency)| text.money(*amount, currency));
        Self {
            day: row.day.map(|day| text.day(day)).unwrap_or_default(),
            what: row.what.clone(),
            category: category(text, &row.category),
            amount: text.money(row.amount, currency),
            incoming: row.amount.0.is_sign_positive(),
            foreign: foreign.unwrap_or_default(),
            pending: row.pending,
        }
    }
}

/// A path with a query.
pub(super) fn link<N: AsRef<str>, V: AsRef<str>>(path: &str, fields: &[(N, V)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A page that says one thing.
pub(super) fn message(visit: &Visit, status: StatusCode, notice: &Notice, log: Vec<Exchange>) -> Response {
    let mut f = Frame::new(visit, log);
    f.step.notice = None;
    page(status, &Message { f, notice }, PLAIN)
}

fn page(status: StatusCode, page: &impl Template, policy: &'static str) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (status, [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))], Html(html))
        .into_response()
}
