//! A recipient as a fintech would write it: *Acme Budget*. It knows the hub's public API and nothing else.
//!
//! Each file below is a lesson: `session` (what a browser is remembered by), `hub` (every call to the hub),
//! `flow` (connect, come back, refresh, disconnect), `notice` (what an error means to a customer), `pages`,
//! `view` (FDX in the words of a reader), `chart` (spending, added up exactly), `words` (money and dates).

mod chart;
mod flow;
mod hub;
mod notice;
mod pages;
mod session;
mod view;
mod words;

use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use hub::Hub;
use session::{Sessions, Visit};

const CSS: &str = include_str!("../templates/demo/demo.css");
const ICON: &str = include_str!("../templates/demo/demo.svg");

/// A clock that is handed in: milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the app is started with.
pub struct Settings {
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
    pub providers: Vec<Choice>,
    /// Its clock.
    pub clock: Clock,
}

/// A bank that is offered by name.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its `provider_id`.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// The app, to be served.
#[derive(Clone)]
pub struct Demo(Arc<Inner>);

struct Inner {
    settings: Settings,
    hub: Hub,
    sessions: Mutex<Sessions>,
}

impl Demo {
    /// Prepares the app. Nothing is called yet.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let hub = Hub::new(&settings)?;
        Ok(Self(Arc::new(Inner { settings, hub, sessions: Mutex::default() })))
    }

    /// Everything that the app serves.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(pages::home))
            .route("/connect", post(flow::connect))
            .route("/callback", get(flow::callback))
            .route("/accounts", get(pages::accounts))
            .route("/accounts/{id}", get(pages::account))
            .route("/refresh", post(flow::refresh))
            .route("/disconnect", post(flow::disconnect))
            .fallback(pages::nothing_here)
            .layer(from_fn_with_state(self.clone(), visited))
            .route("/static/demo.css", get(|| ready(asset("text/css; charset=utf-8", CSS))))
            .route("/static/demo.svg", get(|| ready(asset("image/svg+xml", ICON))))
            .layer(map_response(secured))
            .with_state(self.clone())
    }

    /// The app's sessions. The guard is short-lived: nothing is awaited under it.
    fn with_sessions<T>(&self, act: impl FnOnce(&mut Sessions) -> T) -> T {
        act(&mut self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Finds the browser's session, or begins one, and hands the browser its cookie.
async fn visited(State(demo): State<Demo>, mut request: Request, next: Next) -> Response {
    let Ok(visit) = Visit::of(&demo, &request) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    request.extensions_mut().insert(visit.clone());
    let mut response = next.run(request).await;
    if let Ok(cookie) = HeaderValue::from_str(&visit.cookie(&demo)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn asset(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// A page whose form leads to the hub has a policy of its own; all others may post to us alone.
async fn secured(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, pages::PLAIN),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
