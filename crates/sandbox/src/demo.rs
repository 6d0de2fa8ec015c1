//! A recipient as a fintech would write it: *Acme Budget*. It knows the hub's public API and nothing else.
//!
//! Each file below is a lesson: `session` (what a browser is remembered by), `hub` (every call to the hub),
//! `notice` (what an error means to a customer), `flow` (connect, come back, refresh, disconnect), `pages`,
//! `view` (FDX in the words of a reader), `chart` (spending, added up exactly). `panel` is what the demo adds to
//! show what happens; an app has no use for it.

mod chart;
mod flow;
mod hub;
mod notice;
mod pages;
mod panel;
mod session;
mod view;

use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::browser;
use session::{DemoVisit, Sessions};

const CSS: &str = include_str!("../templates/demo/demo.css");
const ICON: &str = include_str!("../templates/demo/demo.svg");

/// A clock that is handed in: milliseconds since the epoch.
pub type DemoClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the app is started with.
pub struct DemoSettings {
    /// Its own origin, as in `http://127.0.0.1:8401`.
    pub origin: String,
    /// The hub's origin.
    pub hub: String,
    /// Its id at the hub.
    pub client_id: String,
    /// Its secret at the hub.
    pub client_secret: String,
    /// Where customers come back to: `/callback` of its origin, as registered with the hub.
    pub redirect_uri: String,
    /// What it asks for.
    pub scope: String,
    /// The banks that it offers by name.
    pub providers: Vec<OfferedBank>,
    /// Its clock.
    pub clock: DemoClock,
}

/// A bank that is offered by name.
#[derive(Clone, Debug)]
pub struct OfferedBank {
    /// Its `provider_id`.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// The app, to be served.
#[derive(Clone)]
pub struct Demo(Arc<DemoInner>);

struct DemoInner {
    settings: DemoSettings,
    client: reqwest::Client,
    hub: url::Url,
    sessions: Mutex<Sessions>,
}

impl Demo {
    /// Prepares the app. Nothing is called yet.
    pub fn new(settings: DemoSettings) -> io::Result<Self> {
        let client = hub::build_client().map_err(io::Error::other)?;
        let hub = url::Url::parse(&settings.hub).map_err(io::Error::other)?;
        Ok(Self(Arc::new(DemoInner { settings, client, hub, sessions: Mutex::default() })))
    }

    /// Everything that the app serves.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(pages::show_home))
            .route("/connect", post(flow::connect))
            .route("/callback", get(flow::handle_callback))
            .route("/accounts", get(pages::list_accounts))
            .route("/accounts/{id}", get(pages::show_account))
            .route("/refresh", post(flow::refresh))
            .route("/disconnect", post(flow::disconnect))
            .fallback(pages::show_not_found)
            .layer(from_fn_with_state(self.clone(), attach_session))
            .route("/static/demo.css", get(|| ready(asset_response("text/css; charset=utf-8", CSS))))
            .route("/static/demo.svg", get(|| ready(asset_response("image/svg+xml", ICON))))
            .layer(map_response(browser::add_security_headers))
            .with_state(self.clone())
    }

    /// The app's sessions. The guard is short-lived: nothing is awaited under it.
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An address of the hub. A segment is encoded, so that an id cannot leave its place.
    fn hub_url(&self, path: &[&str]) -> url::Url {
        let mut url = self.0.hub.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url
    }

    /// The bank that is offered under an id.
    fn find_bank(&self, id: &str) -> Option<&OfferedBank> {
        self.0.settings.providers.iter().find(|known| known.id.to_string() == id)
    }
}

/// What a handler answers.
type PageResult = Result<Response, StatusCode>;

/// The answer to whatever has no better one: the system gives no random bytes, a template cannot be rendered.
fn internal_error<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// Finds the browser's session, or begins one, and hands the browser its cookie.
async fn attach_session(State(demo): State<Demo>, mut request: Request, next: Next) -> PageResult {
    let visit = DemoVisit::from_request(demo, &request).map_err(internal_error)?;
    request.extensions_mut().insert(visit.clone());
    let response = next.run(request).await;
    let cookie = visit.session_cookie();
    Ok(([(header::SET_COOKIE, &*cookie), (header::CACHE_CONTROL, "no-store")], response).into_response())
}

fn asset_response(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
