//! Lesson 4 of the demo app's tutorial: the life of a connection, with the steps connect, callback, refresh and
//! disconnect.
//!
//! Each handler ends in a redirect to a page, so that a reload repeats nothing and no code stays in the address bar.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect};

use super::form::{ChosenConnection, DemoForm};
use super::hub::HubClient;
use super::notice::CustomerNotice;
use super::page::{PageResult, internal_error, render_message};
use super::panel::{LoggedExchange, redact};
use super::session::{BankConnection, PendingAuthorization};
use super::visit::DemoVisit;
use crate::random::{constant_time_eq, generate_secret, hash};

/// Redirects the customer to the hub's authorization endpoint with a `state` and a PKCE challenge.
pub(super) async fn connect(DemoForm(visit, form): DemoForm) -> PageResult {
    let provider = form.get("provider_id").map(String::as_str);
    if provider.is_some_and(|id| visit.demo.find_bank(id).is_none()) {
        return render_message(&visit, &CustomerNotice::new("demo-foreign-form", 400), Vec::new());
    }
    visit.renew_session_id().map_err(internal_error)?;
    // Both stay in the session: `state` binds the callback to this browser, the verifier binds the code to this app
    // (RFC 9700, section 2.1).
    let (state, verifier) =
        (generate_secret().map_err(internal_error)?, generate_secret().map_err(internal_error)?);
    let settings = visit.demo.settings();
    let mut url = visit.demo.hub_url(&["api", "v1", "authorize"]);
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &settings.redirect_uri)
        .append_pair("scope", &settings.scope)
        .append_pair("state", &state)
        .append_pair("code_challenge", &hash(&verifier))
        .append_pair("code_challenge_method", "S256")
        .append_pair("ui_locales", visit.language.lang())
        .extend_pairs(provider.map(|id| ("provider_id", id)));
    // A bank that the customer chooses at the hub has no id here; the state makes its name unique in the session.
    let bank = provider.map_or_else(|| format!("hub-{}", &hash(&state)[..6]), str::to_owned);
    let provider_text = provider.map(|id| format!("provider_id {id} · ")).unwrap_or_default();
    let exchange = browser_exchange(url.path(), format!("{provider_text}state {} · S256", redact(&state)));
    let connection = BankConnection { bank, verifier, ..BankConnection::default() };
    visit.session().pending = Some(PendingAuthorization { state, exchange, connection });
    Ok(Redirect::to(url.as_str()).into_response())
}

/// Logs a request of the browser. The summary contains the secrets of the flow in redacted form only.
fn browser_exchange(path: &str, summary: String) -> LoggedExchange {
    LoggedExchange { method: "GET".into(), path: path.into(), status: None, summary, elapsed_ms: None }
}

/// Handles the redirect from the hub and exchanges the code.
pub(super) async fn handle_callback(
    Extension(visit): Extension<DemoVisit>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    // Without the `state` of this session nothing is exchanged: the code may belong to an attacker's account.
    let state = query.get("state").map(String::as_str).unwrap_or_default();
    let pending = visit.session().pending.take_if(|pending| constant_time_eq(&pending.state, state));
    let Some(PendingAuthorization { exchange, connection, .. }) = pending else {
        let log = vec![browser_exchange("/callback", "state ?".into())];
        return render_message(&visit, &CustomerNotice::new("demo-unknown-state", 400), log);
    };
    let mut hub = HubClient::new(&visit, connection, vec![exchange]);
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
    visit.renew_session_id().map_err(internal_error)?;
    // An earlier connection to the same bank is ended at the hub instead of being forgotten: it may belong to another
    // customer and would otherwise remain active there.
    let (connection, mut log) = (hub.connection, hub.log);
    let earlier = visit.session().find_connection(&connection.bank);
    if let Some(earlier) = earlier {
        let mut hub = HubClient::new(&visit, earlier, log);
        let _ = hub.end_connection().await;
        log = hub.log;
    }
    visit.session().connections.retain(|known| known.bank != connection.bank);
    visit.session().connections.push(connection);
    Ok(visit.finish_step(CustomerNotice::new("demo-done-connected", 200), log, Vec::new()).into_response())
}

/// Refreshes the access token and shows the fingerprints of the old and the new one.
pub(super) async fn refresh(ChosenConnection(visit, connection): ChosenConnection) -> Redirect {
    let before = redact(&connection.access_token);
    let mut hub = HubClient::new(&visit, connection, Vec::new());
    let notice = match hub.refresh_access_token().await {
        Ok(()) => CustomerNotice {
            code: format!("{before} → {}", redact(&hub.connection.access_token)),
            ..CustomerNotice::new("demo-done-refreshed", 200)
        },
        Err(notice) => notice,
    };
    visit.finish_step(notice, hub.log, Vec::new())
}

/// Ends a connection at the hub, then calls every endpoint to show that none of them works any more.
pub(super) async fn disconnect(ChosenConnection(visit, connection): ChosenConnection) -> Redirect {
    let mut hub = HubClient::new(&visit, connection, Vec::new());
    // The app removes a connection only after the hub has confirmed the end, so that the customer can try again.
    if let Err(notice) = hub.end_connection().await {
        return visit.finish_step(notice, hub.log, Vec::new());
    }
    visit.session().connections.retain(|known| known.code != hub.connection.code);
    let probes = hub.probe_endpoints().await;
    visit.finish_step(CustomerNotice::new("demo-done-ended", 200), hub.log, probes)
}
