//! The one table of routes: what is served is what stands here.

use std::collections::BTreeMap;

use axum::routing::MethodRouter;
use axum::{Extension, Router};
use domain::model::operator::Role;
use http::{Method, StatusCode};

use super::Face;
use crate::app::App;

/// One method of one path.
pub struct Route {
    /// Whose it is.
    pub face: Face,
    /// The method. `HEAD` goes with `GET`.
    pub method: Method,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// The least role that it is served to, on the operators' face.
    pub least: Option<Role>,
    handler: MethodRouter<App>,
}

/// The least role of the route that a request has come to.
#[derive(Clone, Copy, Debug)]
pub struct Least(pub Role);

/// A deed that can be tried: its handler reads the query. The query of any other deed is empty.
#[derive(Clone, Copy, Debug)]
pub struct Tried;

impl Route {
    /// A row of the table.
    pub fn new(face: Face, method: Method, path: &'static str, handler: MethodRouter<App>) -> Self {
        Self { face, method, path, least: None, handler }
    }

    /// A row of the operators' face, for those whose role covers `least`.
    pub fn admin(least: Role, method: Method, path: &'static str, handler: MethodRouter<App>) -> Self {
        let handler = handler.layer(Extension(Least(least)));
        Self { least: Some(least), ..Self::new(Face::Admin, method, path, handler) }
    }

    /// The same for a deed that can be tried.
    pub fn tried(self) -> Self {
        Self { handler: self.handler.layer(Extension(Tried)), ..self }
    }
}

/// Every route of the public listener and of the operators'.
pub fn table() -> Vec<Route> {
    let mut routes = public_table();
    routes.extend(admin_table());
    routes
}

/// Every route of the operators' listener.
pub fn admin_table() -> Vec<Route> {
    crate::admin::http::routes()
}

/// The face of a table that has but one, whatever is asked for there.
pub(super) fn own_face(table: &[Route]) -> Option<Face> {
    let face = table.first()?.face;
    let own = matches!(face, Face::Admin | Face::Probe) && table.iter().all(|route| route.face == face);
    own.then_some(face)
}

/// Every route of the public listener.
pub fn public_table() -> Vec<Route> {
    let mut routes = crate::authz::http::routes();
    routes.extend(crate::gateway::http::routes());
    routes.extend(crate::manage::http::routes());
    routes.extend(crate::openapi::http::routes());
    routes.extend(crate::pages::http::routes());
    routes
}

/// The router of a table. `OPTIONS` is answered with what a path allows; there is no CORS.
pub fn router(table: Vec<Route>) -> Router<App> {
    let mut paths: BTreeMap<&'static str, (Face, MethodRouter<App>)> = BTreeMap::new();
    for route in table {
        let (_, methods) = paths.remove(route.path).unwrap_or_else(|| (route.face, MethodRouter::new()));
        paths.insert(route.path, (route.face, methods.merge(route.handler)));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, (face, methods))| {
        let otherwise = move |method: Method| async move {
            match method {
                Method::OPTIONS => axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT),
                _ => face.plain(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here"),
            }
        };
        router.route(path, methods.fallback(otherwise))
    });
    router.fallback(|Extension(face): Extension<Face>| async move {
        face.plain(StatusCode::NOT_FOUND, "There is nothing at this path")
    })
}
