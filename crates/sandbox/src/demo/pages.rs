//! Lesson 5: pages. Forms and links alone, no script; a form says where it may lead to.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect};
use serde::Deserialize;

use super::chart::Spending;
use super::hub::{Hub, List, Result};
use super::notice::Notice;
use super::panel::{Exchange, Step};
use super::session::Visit;
use super::view::Entity;
use super::{Choice, Page, broken};
use crate::browser;
use crate::text::Text;

/// Transactions of one call, and of one page of ours.
const PAGE: &str = "100";
const ENOUGH: usize = 25;

/// What every page has.
pub(super) struct Frame {
    pub(super) text: Text,
    form_token: String,
    step: Step,
    /// This page in the other language.
    other: String,
}

impl Frame {
    fn new(visit: &Visit, log: Vec<Exchange>) -> Self {
        let (step, form_token) = (visit.step(log), visit.session().form_token.clone());
        Self { text: visit.text, form_token, step, other: visit.other.clone() }
    }

    fn t(&self, key: &str) -> String {
        self.text.t(key)
    }

    fn advice(&self, notice: &Notice) -> String {
        match notice.wait {
            Some(seconds) => self.text.with("demo-wait", "seconds", &seconds.to_string()),
            None => self.t(&format!("{}-do", notice.key)),
        }
    }

    /// How much was found.
    fn found(&self, found: &List) -> String {
        let (rows, looked) = (found.items.len().to_string(), found.looked_at.to_string());
        self.text.fill("demo-found", &[("found", &rows), ("looked", &looked)])
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
    found: Result<List>,
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

pub(super) async fn home(Extension(visit): Extension<Visit>) -> Page {
    let banks: Vec<String> = visit.session().connections.iter().map(|c| c.bank.clone()).collect();
    let connected = banks.into_iter().map(|bank| (bank_name(&visit, &bank), bank)).collect();
    let providers = &visit.demo.0.settings.providers;
    leading_on(&Home { f: Frame::new(&visit, Vec::new()), providers, connected })
}

pub(super) async fn nothing_here(Extension(visit): Extension<Visit>) -> Page {
    message(&visit, &Notice::new("demo-lost", 404), Vec::new())
}

pub(super) async fn accounts(Extension(visit): Extension<Visit>) -> Page {
    let connections = visit.session().connections.clone();
    let (mut log, mut groups) = (Vec::new(), Vec::new());
    for connection in connections {
        let mut hub = visit.hub(connection, log);
        groups.push(Group::of(&mut hub).await);
        log = hub.log;
    }
    leading_on(&AccountsPage { f: Frame::new(&visit, log), groups })
}

pub(super) async fn account(
    Extension(visit): Extension<Visit>,
    Path(id): Path<String>,
    Query(search): Query<Search>,
) -> Page {
    let Some(connection) = visit.session().connection(&search.bank) else {
        return Ok(Redirect::to("/accounts").into_response());
    };
    let mut hub = visit.hub(connection, Vec::new());
    let account = match hub.read::<Entity>(&["accounts", &id], &[]).await {
        Ok(account) => account,
        Err(notice) => return message(&visit, &notice, hub.log),
    };
    let found = search.found(&mut hub, &id).await;
    let lines = found.as_ref().map(|found| &*found.items).unwrap_or_default();
    let spending = Spending::of(visit.text, lines, search.by == "month", account.currency());
    page(&AccountPage { f: Frame::new(&visit, hub.log), account, search, spending, found })
}

fn bank_name(visit: &Visit, bank: &str) -> String {
    visit.demo.bank(bank).map_or_else(|| visit.text.t("demo-picked"), |known| known.name.clone())
}

impl Group {
    /// The light list says which accounts there are; the details, where the customer agreed to them, what is in.
    async fn of(hub: &mut Hub<'_>) -> Self {
        let accounts = hub.accounts("lightweight").await;
        let details = match &accounts {
            Ok(listed) if !listed.is_empty() => hub.accounts("details").await,
            _ => Ok(Vec::new()),
        };
        let bank = hub.connection.bank.clone();
        let (name, named) = (bank_name(hub.visit, &bank), hub.visit.demo.bank(&bank).is_some());
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
    async fn found(&self, hub: &mut Hub<'_>, id: &str) -> Result<List> {
        let fields =
            [("limit", PAGE), ("startTime", &self.from), ("endTime", &self.to), ("offset", &self.offset)];
        let filled = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let query = filled.map(|(name, value)| (name, value.to_owned())).collect();
        let text = hub.visit.text;
        hub.list(&["accounts", id, "transactions"], query, ENOUGH, |line| line.has(text, &self.q)).await
    }

    /// The same page with another query.
    fn link(&self, by: &str, offset: &str) -> String {
        let (bank, q, from, to) = (&*self.bank, &*self.q, &*self.from, &*self.to);
        let fields = [("bank", bank), ("q", q), ("from", from), ("to", to), ("by", by), ("offset", offset)];
        link("", fields.into_iter().filter(|(_, value)| !value.is_empty()))
    }
}

/// A path with a query.
pub(super) fn link<S: AsRef<str>>(path: &str, fields: impl IntoIterator<Item = (S, S)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{path}?{query}")
}

/// A page that says one thing.
pub(super) fn message(visit: &Visit, notice: &Notice, log: Vec<Exchange>) -> Page {
    let mut f = Frame::new(visit, log);
    f.step.notice = None;
    Ok((StatusCode::from_u16(notice.status).map_err(broken)?, page(&Message { f, notice })?).into_response())
}

fn page(page: &impl Template) -> Page {
    Ok(Html(page.render().map_err(broken)?).into_response())
}

/// A page with a form that leads to the hub.
fn leading_on(shown: &impl Template) -> Page {
    Ok(([(header::CONTENT_SECURITY_POLICY, browser::ON_THE_WAY)], page(shown)?).into_response())
}
