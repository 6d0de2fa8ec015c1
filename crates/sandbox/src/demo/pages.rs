//! Lesson 5 of the demo app's tutorial, after `page`: the home page, the accounts, and one account with its
//! transactions.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use super::chart::Spending;
use super::entity::{Entity, EntityList};
use super::hub::{HubClient, HubResult};
use super::notice::CustomerNotice;
use super::page::{DemoPageFrame, PageResult, render_message, render_page, render_with_external_form};
use super::state::OfferedBank;
use super::visit::DemoVisit;
use crate::browser;

/// The number of transactions that the app requests from the hub in one call.
const PAGE_SIZE: &str = "100";
/// The number of matching transactions after which the app requests no further page from the hub.
const MIN_MATCHES: usize = 25;

#[derive(Template)]
#[template(path = "demo/home.html")]
struct DemoHomePage<'a> {
    frame: DemoPageFrame,
    providers: &'a [OfferedBank],
    connections: Vec<ConnectedBank>,
}

/// A connection as the home page lists it.
struct ConnectedBank {
    bank: String,
    name: String,
}

#[derive(Template)]
#[template(path = "demo/accounts.html")]
struct AccountsPage {
    frame: DemoPageFrame,
    connections: Vec<ConnectionAccounts>,
}

/// A connection to a bank, with the accounts that the hub returned for it or its error.
struct ConnectionAccounts {
    bank: String,
    name: String,
    /// True if the home page offers this bank by name, so that the customer can connect it again.
    is_offered: bool,
    accounts: HubResult<Vec<Entity>>,
    /// The same accounts with balances; an error notice if the customer did not agree to share balances.
    details: HubResult<Vec<Entity>>,
}

#[derive(Template)]
#[template(path = "demo/account.html")]
struct AccountPage {
    frame: DemoPageFrame,
    account: Entity,
    search: Search,
    spending: Spending,
    transactions: HubResult<EntityList>,
}

/// The query parameters of the account page: bank, search words, date range, grouping of the chart, and cursor.
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
    let connections =
        banks.into_iter().map(|bank| ConnectedBank { name: bank_name(&visit, &bank), bank }).collect();
    let providers = &visit.demo.settings().providers;
    let frame = DemoPageFrame::new(&visit, Vec::new());
    render_with_external_form(&DemoHomePage { frame, providers, connections })
}

pub(super) async fn show_not_found(Extension(visit): Extension<DemoVisit>) -> PageResult {
    render_message(&visit, &CustomerNotice::new("demo-not-found", 404), Vec::new())
}

pub(super) async fn list_accounts(Extension(visit): Extension<DemoVisit>) -> PageResult {
    // The connections are copied, because the session must not be locked while the hub is called.
    let session_connections = visit.session().connections.clone();
    let (mut log, mut connections) = (Vec::new(), Vec::new());
    for connection in session_connections {
        let mut hub = HubClient::new(&visit, connection, log);
        connections.push(ConnectionAccounts::load(&mut hub).await);
        log = hub.log;
    }
    render_with_external_form(&AccountsPage { frame: DemoPageFrame::new(&visit, log), connections })
}

pub(super) async fn show_account(
    Extension(visit): Extension<DemoVisit>,
    Path(id): Path<String>,
    Query(search): Query<Search>,
) -> PageResult {
    let Some(connection) = visit.session().find_connection(&search.bank) else {
        return Ok(Redirect::to("/accounts").into_response());
    };
    let mut hub = HubClient::new(&visit, connection, Vec::new());
    let account = match hub.read::<Entity>(&["accounts", &id], &[]).await {
        Ok(account) => account,
        Err(notice) => return render_message(&visit, &notice, hub.log),
    };
    let transactions = search.search_transactions(&mut hub, &id).await;
    let matches = transactions.as_ref().map(|list| &*list.items).unwrap_or_default();
    let spending = Spending::new(visit.language, matches, search.by == "month", account.currency());
    let frame = DemoPageFrame::new(&visit, hub.log);
    render_page(&AccountPage { frame, account, search, spending, transactions })
}

fn bank_name(visit: &DemoVisit, bank: &str) -> String {
    visit.demo.find_bank(bank).map_or_else(|| visit.language.t("demo-picked"), |known| known.name.clone())
}

impl ConnectionAccounts {
    /// Reads the lightweight list, which every consent covers, and then the details, which some do not.
    async fn load(hub: &mut HubClient<'_>) -> Self {
        let accounts = hub.list_accounts("lightweight").await;
        let details = match &accounts {
            Ok(list) if !list.is_empty() => hub.list_accounts("details").await,
            _ => Ok(Vec::new()),
        };
        let bank = hub.connection.bank.clone();
        let name = bank_name(hub.visit, &bank);
        let is_offered = hub.visit.demo.find_bank(&bank).is_some();
        Self { bank, name, is_offered, accounts, details }
    }

    /// Returns an account with its details, or the lightweight account if the details were not shared.
    fn with_details<'a>(&'a self, account: &'a Entity) -> &'a Entity {
        let is_same = |detailed: &&Entity| detailed.text("accountId") == account.text("accountId");
        self.details.iter().flatten().find(is_same).unwrap_or(account)
    }
}

impl Search {
    /// Searches the transactions of an account. The hub filters by date; the app filters by words, over several pages.
    async fn search_transactions(&self, hub: &mut HubClient<'_>, id: &str) -> HubResult<EntityList> {
        let fields = [
            ("limit", PAGE_SIZE),
            ("startTime", &self.from),
            ("endTime", &self.to),
            ("offset", &self.offset),
        ];
        let filled = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let query = filled.map(|(name, value)| (name, value.to_owned())).collect();
        let language = hub.visit.language;
        hub.list_entities(&["accounts", id, "transactions"], query, MIN_MATCHES, |transaction| {
            transaction.matches_search(language, &self.q)
        })
        .await
    }

    /// Builds a link to the account page with the same search and another grouping or cursor.
    fn link(&self, by: &str, offset: &str) -> String {
        let (bank, q, from, to) = (&*self.bank, &*self.q, &*self.from, &*self.to);
        let fields = [("bank", bank), ("q", q), ("from", from), ("to", to), ("by", by), ("offset", offset)];
        browser::build_link("", fields.into_iter().filter(|(_, value)| !value.is_empty()))
    }
}
