//! Lesson 4: a connection's life. Connect, come back, refresh, disconnect: each ends in a redirect to a page,
//! so that a reload repeats nothing and no code stays in the address bar.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::hub::{Calls, Exchange, redacted};
use super::notice::Notice;
use super::session::{Asked, Connection, Posted, Visit};
use super::{Demo, pages};
use crate::random::{equal, fresh, hash};

/// Sends the customer to the hub, with a `state` and a PKCE challenge of which we keep the other half.
pub(super) async fn connect(
    State(demo): State<Demo>,
    Extension(visit): Extension<Visit>,
    Posted(form): Posted,
) -> Response {
    let provider = form.get("provider_id").map(String::as_str);
    let offered = |id: &str| demo.0.settings.providers.iter().any(|known| known.id.to_string() == id);
    if provider.is_some_and(|id| !offered(id)) {
        return pages::message(&visit, StatusCode::BAD_REQUEST, &Notice::new("demo-form"), Vec::new());
    }
    let drawn = demo.with_sessions(|sessions| sessions.renew(&visit)).and_then(|()| Ok((fresh()?, fresh()?)));
    let Ok((state, verifier)) = drawn else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let url = authorize_url(&demo, &visit, provider, &state, &hash(&verifier));
    let bank = provider.map_or_else(|| format!("hub-{}", &hash(&state)[..6]), str::to_owned);
    let named = provider.map(|id| format!("provider_id {id} · ")).unwrap_or_default();
    let line = format!("{named}state {} · S256", redacted(&state));
    let sent = browser(url.path(), line);
    visit.session().asked = Some(Asked { state, verifier, bank, sent });
    Redirect::to(url.as_str()).into_response()
}

fn authorize_url(
    demo: &Demo,
    visit: &Visit,
    provider: Option<&str>,
    state: &str,
    challenge: &str,
) -> url::Url {
    let settings = &demo.0.settings;
    let mut url = demo.0.hub.url(&["api", "v1", "authorize"]);
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &settings.redirect_uri)
        .append_pair("scope", &settings.scope)
        .append_pair("state", state)
        .append_pair("code_challenge", challenge)
        .append_pair("code_challenge_method", "S256")
        .append_pair("ui_locales", visit.text.lang())
        .extend_pairs(provider.map(|id| ("provider_id", id)));
    url
}

/// A step of the browser: it carries the secrets of the flow past us, so their values are left out.
fn browser(path: &str, line: String) -> Exchange {
    Exchange { method: "GET".into(), path: path.into(), status: None, line, took: None }
}

/// The customer comes back. Without the `state` that this session sent, nothing is exchanged.
pub(super) async fn callback(
    State(demo): State<Demo>,
    Extension(visit): Extension<Visit>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let state = query.get("state").map(String::as_str).unwrap_or_default();
    let asked = visit.session().asked.take_if(|asked| equal(&asked.state, state));
    let Some(asked) = asked else {
        let log = vec![browser("/callback", "state ?".into())];
        return pages::message(&visit, StatusCode::BAD_REQUEST, &Notice::new("demo-state"), log);
    };
    let (came, line) = came_back(&query);
    let mut calls = demo.0.hub.calls(vec![asked.sent, browser("/callback", line)]);
    let connection = match came {
        Ok(code) => calls.exchange(asked.bank, code, asked.verifier).await,
        Err(notice) => Err(notice),
    };
    match connection {
        Ok(connection) => opened(&demo, &visit, connection, calls).await,
        Err(notice) => {
            visit.did(notice, calls.log, Vec::new());
            Redirect::to("/").into_response()
        }
    }
}

/// The code, or what the hub's error means; and how the panel shows it.
fn came_back(query: &HashMap<String, String>) -> (Result<String, Notice>, String) {
    match (query.get("error"), query.get("code")) {
        (None, Some(code)) => (Ok(code.clone()), format!("code {}", redacted(code))),
        (error, _) => {
            let notice = Notice::of(error.map_or("no-code", String::as_str), None);
            let line = format!("error {}", notice.code);
            (Err(notice), line)
        }
    }
}

/// Keeps a new connection. An older one to the same bank is ended at the hub, not forgotten: it may be
/// another customer's, and then it lives on there.
async fn opened(demo: &Demo, visit: &Visit, connection: Connection, mut calls: Calls<'_>) -> Response {
    if demo.with_sessions(|sessions| sessions.renew(visit)).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let older = visit.session().connection(&connection.bank);
    if let Some(mut older) = older {
        let _ = calls.end(&mut older).await;
    }
    let mut session = visit.session();
    session.connections.retain(|known| known.bank != connection.bank);
    session.connections.push(connection);
    drop(session);
    visit.did(Notice::new("demo-done-connected"), calls.log, Vec::new());
    Redirect::to("/accounts").into_response()
}

/// Another access token, and the proof that it is another.
pub(super) async fn refresh(
    State(demo): State<Demo>,
    Extension(visit): Extension<Visit>,
    Posted(form): Posted,
) -> Response {
    let bank = form.get("bank").map(String::as_str).unwrap_or_default();
    let Some(mut connection) = visit.session().connection(bank) else {
        return Redirect::to("/").into_response();
    };
    let (mut calls, before) = (demo.0.hub.calls(Vec::new()), redacted(&connection.access));
    let notice = match calls.refresh(&mut connection).await {
        Ok(()) => Notice::with("demo-done-refreshed", format!("{before} → {}", redacted(&connection.access))),
        Err(notice) => notice,
    };
    visit.session().keep(&connection);
    visit.did(notice, calls.log, Vec::new());
    Redirect::to("/").into_response()
}

/// Ends a connection, then tries every door. What the hub did not acknowledge is kept, to be ended again.
pub(super) async fn disconnect(
    State(demo): State<Demo>,
    Extension(visit): Extension<Visit>,
    Posted(form): Posted,
) -> Response {
    let bank = form.get("bank").map(String::as_str).unwrap_or_default();
    let Some(mut connection) = visit.session().connection(bank) else {
        return Redirect::to("/").into_response();
    };
    let mut calls = demo.0.hub.calls(Vec::new());
    match calls.end(&mut connection).await {
        Ok(()) => {
            visit.session().connections.retain(|known| known.code != connection.code);
            let doors = calls.doors(&connection).await;
            visit.did(Notice::new("demo-done-ended"), calls.log, doors);
        }
        Err(notice) => {
            visit.session().keep(&connection);
            visit.did(notice, calls.log, Vec::new());
        }
    }
    Redirect::to("/").into_response()
}
