//! Lesson 4: a connection's life. Connect, come back, refresh, disconnect: each ends in a redirect to a page,
//! so that a reload repeats nothing and no code stays in the address bar.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect};

use super::hub::Connection;
use super::notice::Notice;
use super::panel::{Exchange, redacted};
use super::session::{Asked, Chosen, Posted, Visit};
use super::{Page, broken, pages};
use crate::random::{equal, fresh, hash};

/// Sends the customer to the hub, with a `state` and a PKCE challenge of which we keep the other half.
pub(super) async fn connect(Posted(visit, form): Posted) -> Page {
    let provider = form.get("provider_id").map(String::as_str);
    if provider.is_some_and(|id| visit.demo.bank(id).is_none()) {
        return pages::message(&visit, &Notice::new("demo-form", 400), Vec::new());
    }
    visit.renew()?;
    let (state, verifier) = (fresh().map_err(broken)?, fresh().map_err(broken)?);
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
    let sent = browser(url.path(), format!("{named}state {} · S256", redacted(&state)));
    let connection = Connection { bank, verifier, ..Connection::default() };
    visit.session().asked = Some(Asked { state, sent, connection });
    Ok(Redirect::to(url.as_str()).into_response())
}

/// A step of the browser: it carries the secrets of the flow past us, so their values are left out.
fn browser(path: &str, line: String) -> Exchange {
    Exchange { method: "GET".into(), path: path.into(), status: None, line, took: None }
}

/// The customer comes back. Without the `state` that this session sent, nothing is exchanged.
pub(super) async fn callback(
    Extension(visit): Extension<Visit>,
    Query(query): Query<HashMap<String, String>>,
) -> Page {
    let state = query.get("state").map(String::as_str).unwrap_or_default();
    let asked = visit.session().asked.take_if(|asked| equal(&asked.state, state));
    let Some(Asked { sent, connection, .. }) = asked else {
        let log = vec![browser("/callback", "state ?".into())];
        return pages::message(&visit, &Notice::new("demo-state", 400), log);
    };
    let mut hub = visit.hub(connection, vec![sent]);
    let exchanged = match (query.get("error"), query.get("code")) {
        (None, Some(code)) => {
            hub.log.push(browser("/callback", format!("code {}", redacted(code))));
            hub.connection.code.clone_from(code);
            hub.exchange().await
        }
        (error, _) => {
            let notice = Notice::of(error.map_or("no-code", String::as_str));
            hub.log.push(browser("/callback", format!("error {}", notice.code)));
            Err(notice)
        }
    };
    if let Err(notice) = exchanged {
        return Ok(visit.did(notice, hub.log, Vec::new()).into_response());
    }
    visit.renew()?;
    // An older one to the same bank is ended at the hub, not forgotten: it may be another customer's, and then
    // it lives on there.
    let (connection, mut log) = (hub.connection, hub.log);
    let older = visit.session().connection(&connection.bank);
    if let Some(older) = older {
        let mut hub = visit.hub(older, log);
        let _ = hub.end().await;
        log = hub.log;
    }
    visit.session().connections.retain(|known| known.bank != connection.bank);
    visit.session().connections.push(connection);
    Ok(visit.did(Notice::new("demo-done-connected", 200), log, Vec::new()).into_response())
}

/// Another access token, and the proof that it is another.
pub(super) async fn refresh(Chosen(visit, connection): Chosen) -> Redirect {
    let (before, mut hub) = (redacted(&connection.access), visit.hub(connection, Vec::new()));
    let refreshed = hub.refresh().await.map(|()| Notice {
        code: format!("{before} → {}", redacted(&hub.connection.access)),
        ..Notice::new("demo-done-refreshed", 200)
    });
    visit.did(refreshed.unwrap_or_else(|notice| notice), hub.log, Vec::new())
}

/// Ends a connection, then tries every door. What the hub did not acknowledge is kept, to be ended again.
pub(super) async fn disconnect(Chosen(visit, connection): Chosen) -> Redirect {
    let mut hub = visit.hub(connection, Vec::new());
    if let Err(notice) = hub.end().await {
        return visit.did(notice, hub.log, Vec::new());
    }
    visit.session().connections.retain(|known| known.code != hub.connection.code);
    let doors = hub.doors().await;
    visit.did(Notice::new("demo-done-ended", 200), hub.log, doors)
}
