//! Lesson 5: pages. Forms and links alone, no script; a form says where it may lead to.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect};
use serde::Deserialize;

use super::chart::Spending;
use super::hub::{EntityList, HubClient, Result};
use super::notice::CustomerNotice;
use super::panel::{DemoStep, LoggedExchange};
use super::session::DemoVisit;
use super::view::Entity;
use super::{OfferedBank, PageResult, internal_error};
use crate::browser;
use crate::text::SandboxLanguage;

/// Transactions of one call, and of one page of ours.
const PAGE_SIZE: &str = "100";
const MIN_MATCHES: usize = 25;

/// What every page has.
pub(super) struct Frame {
    pub(super) text: SandboxLanguage,
    csrf_token: String,
    step: DemoStep,
    /// This page in the other language.
    other: String,
}

impl Frame {
    fn new(visit: &DemoVisit, log: Vec<LoggedExchange>) -> Self {
        let (step, csrf_token) = (visit.current_step(log), visit.session().csrf_token.clone());
        Self { text: visit.text, csrf_token, step, other: visit.other.clone() }
    }

    fn t(&self, key: &str) -> String {
        self.text.t(key)
    }

    fn advice(&self, notice: &CustomerNotice) -> String {
        match notice.retry_after_secs {
            Some(seconds) => self.text.translate_with("demo-wait", "seconds", &seconds.to_string()),
            None => self.t(&format!("{}-do", notice.key)),
        }
    }

    /// How much was found.
    fn found(&self, found: &EntityList) -> String {
        let (rows, looked) = (found.items.len().to_string(), found.examined.to_string());
        self.text.translate_with_args("demo-found", &[("found", &rows), ("looked", &looked)])
    }
}

#[derive(Template)]
#[template(path = "demo/home.html")]
struct DemoHomePage<'a> {
    f: Frame,
    providers: &'a [OfferedBank],
    connected: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "demo/message.html")]
struct DemoMessagePage<'a> {
    f: Frame,
    notice: &'a CustomerNotice,
}

#[derive(Template)]
#[template(path = "demo/accounts.html")]
struct AccountsPage {
    f: Frame,
    groups: Vec<ConnectionAccounts>,
}

/// One connection's accounts, or why there are none.
struct ConnectionAccounts {
    bank: String,
    name: String,
    /// Whether its bank is one that we offer by name.
    named: bool,
    accounts: Result<Vec<Entity>>,
    /// The same with their balances, or why there are names alone.
    details: Result<Vec<Entity>>,
}

#[derive(Template)]
#[template(path = "demo/account.html")]
struct AccountPage {
    f: Frame,
    account: Entity,
    search: Search,
    spending: Spending,
    found: Result<EntityList>,
}

/// What is searched for, at which bank, and from where on.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Search {
    bank: String,
    q: String,
    from: String,
    to: String,
    by: String,
    offset: String,
}

pub(super) async fn show_home(Extension(visit): Extension<DemoVisit>) -> PageResult {
    let banks: Vec<String> = visit.session().connections.iter().map(|c| c.bank.clone()).collect();
    let connected = banks.into_iter().map(|bank| (bank_name(&visit, &bank), bank)).collect();
    let providers = &visit.demo.0.settings.providers;
    render_with_external_form(&DemoHomePage { f: Frame::new(&visit, Vec::new()), providers, connected })
}

pub(super) async fn show_not_found(Extension(visit): Extension<DemoVisit>) -> PageResult {
    render_message(&visit, &CustomerNotice::new("demo-lost", 404), Vec::new())
}

pub(super) async fn list_accounts(Extension(visit): Extension<DemoVisit>) -> PageResult {
    let connections = visit.session().connections.clone();
    let (mut log, mut groups) = (Vec::new(), Vec::new());
    for connection in connections {
        let mut hub = visit.hub_client(connection, log);
        groups.push(ConnectionAccounts::load(&mut hub).await);
        log = hub.log;
    }
    render_with_external_form(&AccountsPage { f: Frame::new(&visit, log), groups })
}

pub(super) async fn show_account(
    Extension(visit): Extension<DemoVisit>,
    Path(id): Path<String>,
    Query(search): Query<Search>,
) -> PageResult {
    let Some(connection) = visit.session().find_connection(&search.bank) else {
        return Ok(Redirect::to("/accounts").into_response());
    };
    let mut hub = visit.hub_client(connection, Vec::new());
    let account = match hub.read::<Entity>(&["accounts", &id], &[]).await {
        Ok(account) => account,
        Err(notice) => return render_message(&visit, &notice, hub.log),
    };
    let found = search.search_transactions(&mut hub, &id).await;
    let lines = found.as_ref().map(|found| &*found.items).unwrap_or_default();
    let spending = Spending::new(visit.text, lines, search.by == "month", account.currency());
    render_page(&AccountPage { f: Frame::new(&visit, hub.log), account, search, spending, found })
}

fn bank_name(visit: &DemoVisit, bank: &str) -> String {
    visit.demo.find_bank(bank).map_or_else(|| visit.text.t("demo-picked"), |known| known.name.clone())
}

impl ConnectionAccounts {
    /// The light list says which accounts there are; the details, where the customer agreed to them, what is in.
    async fn load(hub: &mut HubClient<'_>) -> Self {
        let accounts = hub.list_accounts("lightweight").await;
        let details = match &accounts {
            Ok(listed) if !listed.is_empty() => hub.list_accounts("details").await,
            _ => Ok(Vec::new()),
        };
        let bank = hub.connection.bank.clone();
        let (name, named) = (bank_name(hub.visit, &bank), hub.visit.demo.find_bank(&bank).is_some());
        Self { bank, name, named, accounts, details }
    }

    /// An account with its details, if there are any.
    fn whole<'a>(&'a self, light: &'a Entity) -> &'a Entity {
        let same = |known: &&Entity| known.word("accountId") == light.word("accountId");
        self.details.iter().flatten().find(same).unwrap_or(light)
    }
}

impl Search {
    /// The hub searches by dates; words are searched for here, over a few of its pages.
    async fn search_transactions(&self, hub: &mut HubClient<'_>, id: &str) -> Result<EntityList> {
        let fields = [
            ("limit", PAGE_SIZE),
            ("startTime", &self.from),
            ("endTime", &self.to),
            ("offset", &self.offset),
        ];
        let filled = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let query = filled.map(|(name, value)| (name, value.to_owned())).collect();
        let text = hub.visit.text;
        hub.list_entities(&["accounts", id, "transactions"], query, MIN_MATCHES, |line| {
            line.matches_search(text, &self.q)
        })
        .await
    }

    /// The same page with another query.
    fn link(&self, by: &str, offset: &str) -> String {
        let (bank, q, from, to) = (&*self.bank, &*self.q, &*self.from, &*self.to);
        let fields = [("bank", bank), ("q", q), ("from", from), ("to", to), ("by", by), ("offset", offset)];
        build_link("", fields.into_iter().filter(|(_, value)| !value.is_empty()))
    }
}

/// A path with a query.
pub(super) fn build_link<S: AsRef<str>>(path: &str, fields: impl IntoIterator<Item = (S, S)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{path}?{query}")
}

/// A page that says one thing.
pub(super) fn render_message(
    visit: &DemoVisit,
    notice: &CustomerNotice,
    log: Vec<LoggedExchange>,
) -> PageResult {
    let mut f = Frame::new(visit, log);
    f.step.notice = None;
    Ok((
        StatusCode::from_u16(notice.status).map_err(internal_error)?,
        render_page(&DemoMessagePage { f, notice })?,
    )
        .into_response())
}

fn render_page(page: &impl Template) -> PageResult {
    Ok(Html(page.render().map_err(internal_error)?).into_response())
}

/// A page with a form that leads to the hub.
fn render_with_external_form(shown: &impl Template) -> PageResult {
    Ok(([(header::CONTENT_SECURITY_POLICY, browser::EXTERNAL_FORM_CSP)], render_page(shown)?).into_response())
}
