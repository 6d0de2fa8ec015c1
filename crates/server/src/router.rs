//! The table of all routes: the only file that names every feature.

use serde_json::Value;

use crate::app::App;
use crate::http::{HostPolicy, RequestDispatcher, Route};
use crate::openapi::ApiDocument;
use crate::pages::{NoticeKind, render_notice};

/// Returns the routes of the public and of the admin listener.
pub fn all_routes() -> Vec<Route> {
    let mut routes = public_routes();
    routes.extend(admin_routes());
    routes
}

/// Returns the routes of the admin listener.
pub fn admin_routes() -> Vec<Route> {
    crate::admin_api::operations::routes()
}

/// Returns the routes of the public listener.
pub fn public_routes() -> Vec<Route> {
    let mut routes = crate::oauth::operations::routes();
    routes.extend(crate::fdx_api::operations::routes());
    routes.extend(crate::partner_api::operations::routes());
    // The generator is passed as a function, because a document can be built only when all routes are known.
    routes.extend(crate::openapi::http::routes(generate_document));
    routes.extend(crate::pages::http::routes());
    routes
}

/// Generates an API document from the routes.
pub fn generate_document(document: ApiDocument) -> Value {
    document.build(&all_routes())
}

/// Builds the service of one listener from its table of routes.
pub fn build_service(app: &App, table: Vec<Route>, hosts: HostPolicy) -> RequestDispatcher {
    RequestDispatcher::new(app, table, hosts, |status, locale| {
        render_notice(status, NoticeKind::for_status(status), locale)
    })
}
