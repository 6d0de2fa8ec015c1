//! The table of all routes. This is the only file that names every feature.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use tower::Service;

use crate::app::App;
use crate::http::Route;
use crate::pages::{NoticeKind, render_notice};

/// Returns every route of the public and the admin listener.
pub fn all_routes() -> Vec<Route> {
    let mut routes = public_routes();
    routes.extend(admin_routes());
    routes
}

/// Returns every route of the admin listener.
pub fn admin_routes() -> Vec<Route> {
    crate::admin_api::http::routes()
}

/// Returns every route of the public listener.
pub fn public_routes() -> Vec<Route> {
    let mut routes = crate::oauth::http::routes();
    routes.extend(crate::fdx_api::http::routes());
    routes.extend(crate::partner_api::http::routes());
    routes.extend(crate::openapi::http::routes());
    routes.extend(crate::pages::http::routes());
    routes
}

/// Builds the service of one listener from its table of routes.
pub fn build_service(
    app: &App,
    table: Vec<Route>,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    crate::http::build_service(app, table, |status| render_notice(status, NoticeKind::for_status(status)))
}
