//! A sample app that uses the hub: *Acme Budget*. It knows nothing but the hub's public API.
//!
//! The files are meant to be read in this order, as lessons for the author of an app:
//!
//! 1. `session`, `visit` and `form`: what the app remembers of a browser, and how it recognizes its own forms
//! 2. `hub`: every call to the hub
//! 3. `notice`: what an error of the hub means to a customer
//! 4. `flow`: connect, callback, refresh, disconnect
//! 5. `page` and `pages`: HTML without scripts
//! 6. `entity` and `view`: FDX data as a customer reads it
//! 7. `chart`: exact sums of spending
//!
//! `panel` shows what happens between the app and the hub. A real app has no use for it.

mod chart;
mod entity;
mod flow;
mod form;
mod hub;
mod notice;
mod page;
mod pages;
mod panel;
mod session;
mod state;
mod view;
mod visit;

use std::future::ready;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::browser;
use page::{PageResult, internal_error};
use visit::DemoVisit;

pub use state::{Demo, DemoClock, DemoSettings, OfferedBank};

const CSS: &str = include_str!("../templates/demo/demo.css");
const ICON: &str = include_str!("../templates/demo/demo.svg");

impl Demo {
    /// Builds the router with all pages of the demo app.
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
            // Assets come after the session layer, so that requests for them neither begin nor prolong a session.
            .route("/static/demo.css", get(|| ready(asset_response("text/css; charset=utf-8", CSS))))
            .route("/static/demo.svg", get(|| ready(asset_response("image/svg+xml", ICON))))
            .layer(map_response(browser::add_security_headers))
            .with_state(self.clone())
    }
}

/// Finds or begins the session of the browser, and sets its cookie in the response.
async fn attach_session(State(demo): State<Demo>, mut request: Request, next: Next) -> PageResult {
    let visit = DemoVisit::from_request(demo, &request).map_err(internal_error)?;
    request.extensions_mut().insert(visit.clone());
    let response = next.run(request).await;
    // The cookie is set after the handler, which may have renewed the id of the session.
    let cookie = visit.session_cookie();
    Ok(([(header::SET_COOKIE, &*cookie), (header::CACHE_CONTROL, "no-store")], response).into_response())
}

fn asset_response(content_type: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
