//! Lesson 4: a connection's life. Connect, come back, refresh, disconnect: each ends in a redirect to a page,
//! so that a reload repeats nothing and no code stays in the address bar.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect};

use super::hub::BankConnection;
use super::notice::CustomerNotice;
use super::panel::{LoggedExchange, redact};
use super::session::{ChosenConnection, DemoForm, DemoVisit, PendingAuthorization};
use super::{PageResult, internal_error, pages};
use crate::random::{constant_time_eq, generate_secret, hash};

/// Sends the customer to the hub, with a `state` and a PKCE challenge of which we keep the other half.
pub(super) async fn connect(DemoForm(visit, form): DemoForm) -> PageResult {
    let provider = form.get("provider_id").map(String::as_str);
    if provider.is_some_and(|id| visit.demo.find_bank(id).is_none()) {
        return pages::render_message(&visit, &CustomerNotice::new("demo-form", 400), Vec::new());
    }
    visit.renew_session_id()?;
    let (state, verifier) =
        (generate_secret().map_err(internal_error)?, generate_secret().map_err(internal_error)?);
    let settings = &visit.demo.0.settings;
    let mut url = visit.demo.hub_url(&["api", "v1", "authorize"]);
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &settings.redirect_uri)
        .append_pair("scope", &settings.scope)
        .append_pair("state", &state)
        .append_pair("code_challenge", &hash(&verifier))
        .append_pair("code_challenge_method", "S256")
        .append_pair("ui_locales", visit.text.lang())
        .extend_pairs(provider.map(|id| ("provider_id", id)));
    let bank = provider.map_or_else(|| format!("hub-{}", &hash(&state)[..6]), str::to_owned);
    let named = provider.map(|id| format!("provider_id {id} · ")).unwrap_or_default();
    let sent = browser_exchange(url.path(), format!("{named}state {} · S256", redact(&state)));
    let connection = BankConnection { bank, verifier, ..BankConnection::default() };
    visit.session().pending = Some(PendingAuthorization { state, exchange: sent, connection });
    Ok(Redirect::to(url.as_str()).into_response())
}

/// A step of the browser: it carries the secrets of the flow past us, so their values are left out.
fn browser_exchange(path: &str, line: String) -> LoggedExchange {
    LoggedExchange { method: "GET".into(), path: path.into(), status: None, line, took: None }
}

/// The customer comes back. Without the `state` that this session sent, nothing is exchanged.
pub(super) async fn handle_callback(
    Extension(visit): Extension<DemoVisit>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let state = query.get("state").map(String::as_str).unwrap_or_default();
    let pending = visit.session().pending.take_if(|asked| constant_time_eq(&asked.state, state));
    let Some(PendingAuthorization { exchange: sent, connection, .. }) = pending else {
        let log = vec![browser_exchange("/callback", "state ?".into())];
        return pages::render_message(&visit, &CustomerNotice::new("demo-state", 400), log);
    };
    let mut hub = visit.hub_client(connection, vec![sent]);
    let exchanged = match (query.get("error"), query.get("code")) {
        (None, Some(code)) => {
            hub.log.push(browser_exchange("/callback", format!("code {}", redact(code))));
            hub.connection.code.clone_from(code);
            hub.exchange_code().await
        }
        (error, _) => {
            let notice = CustomerNotice::from_code(error.map_or("no-code", String::as_str));
            hub.log.push(browser_exchange("/callback", format!("error {}", notice.code)));
            Err(notice)
        }
    };
    if let Err(notice) = exchanged {
        return Ok(visit.finish_step(notice, hub.log, Vec::new()).into_response());
    }
    visit.renew_session_id()?;
    // An older one to the same bank is ended at the hub, not forgotten: it may be another customer's, and then
    // it lives on there.
    let (connection, mut log) = (hub.connection, hub.log);
    let older = visit.session().find_connection(&connection.bank);
    if let Some(older) = older {
        let mut hub = visit.hub_client(older, log);
        let _ = hub.end_connection().await;
        log = hub.log;
    }
    visit.session().connections.retain(|known| known.bank != connection.bank);
    visit.session().connections.push(connection);
    Ok(visit.finish_step(CustomerNotice::new("demo-done-connected", 200), log, Vec::new()).into_response())
}

/// Another access token, and the proof that it is another.
pub(super) async fn refresh(ChosenConnection(visit, connection): ChosenConnection) -> Redirect {
    let (before, mut hub) = (redact(&connection.access_token), visit.hub_client(connection, Vec::new()));
    let refreshed = hub.refresh_access_token().await.map(|()| CustomerNotice {
        code: format!("{before} → {}", redact(&hub.connection.access_token)),
        ..CustomerNotice::new("demo-done-refreshed", 200)
    });
    visit.finish_step(refreshed.unwrap_or_else(|notice| notice), hub.log, Vec::new())
}

/// Ends a connection, then tries every door. What the hub did not acknowledge is kept, to be ended again.
pub(super) async fn disconnect(ChosenConnection(visit, connection): ChosenConnection) -> Redirect {
    let mut hub = visit.hub_client(connection, Vec::new());
    if let Err(notice) = hub.end_connection().await {
        return visit.finish_step(notice, hub.log, Vec::new());
    }
    visit.session().connections.retain(|known| known.code != hub.connection.code);
    let doors = hub.probe_endpoints().await;
    visit.finish_step(CustomerNotice::new("demo-done-ended", 200), hub.log, doors)
}
