//! Routes: one method of one path, with the API that it belongs to.
//!
//! The hub has a table of routes of its own, because `axum::Router` cannot be enumerated. With a table, tests send every
//! kind of caller to every route, and compare the routes with the OpenAPI documents.

use std::collections::BTreeMap;

use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use domain::model::operator::Role;
use http::{Method, StatusCode};

use super::api_surface::{ApiSurface, PageErrorRenderer};
use crate::app::App;

/// One method of one path.
pub struct Route {
    /// The API that the route belongs to.
    pub surface: ApiSurface,
    /// The HTTP method. A `GET` route serves `HEAD` too.
    pub method: Method,
    /// The path pattern, with `{parameters}`.
    pub path: &'static str,
    /// The minimum role of the operator, for routes of the admin API.
    pub required_role: Option<Role>,
    handler: MethodRouter<App>,
}

/// The minimum role for the route of a request, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct RequiredRole(pub Role);

/// Marks requests to routes with the parameter `dry_run`. Other operations of the admin API reject every query parameter.
#[derive(Clone, Copy, Debug)]
pub struct SupportsDryRun;

impl Route {
    /// Creates a route.
    pub fn new(surface: ApiSurface, method: Method, path: &'static str, handler: MethodRouter<App>) -> Self {
        Self { surface, method, path, required_role: None, handler }
    }

    /// Creates a route of the admin API, for operators with at least `required_role`.
    pub fn admin(
        required_role: Role,
        method: Method,
        path: &'static str,
        handler: MethodRouter<App>,
    ) -> Self {
        let handler = handler.layer(Extension(RequiredRole(required_role)));
        Self { required_role: Some(required_role), ..Self::new(ApiSurface::Admin, method, path, handler) }
    }

    /// Adds the parameter `dry_run`.
    #[must_use]
    pub fn with_dry_run(self) -> Self {
        Self { handler: self.handler.layer(Extension(SupportsDryRun)), ..self }
    }
}

/// Returns the API of a listener that serves only the admin API or only probes.
///
/// The other APIs share the public listener, where the path decides.
pub(super) fn single_surface(table: &[Route]) -> Option<ApiSurface> {
    let surface = table.first()?.surface;
    let is_single = matches!(surface, ApiSurface::Admin | ApiSurface::Probe)
        && table.iter().all(|route| route.surface == surface);
    is_single.then_some(surface)
}

/// Builds the router of a table.
///
/// `OPTIONS` returns the methods of a path in `Allow`. There are no CORS headers: no browser script of another origin
/// calls these APIs.
pub(super) fn build_router(table: Vec<Route>, render_page: PageErrorRenderer) -> Router<App> {
    let mut paths: BTreeMap<&'static str, (ApiSurface, MethodRouter<App>)> = BTreeMap::new();
    for route in table {
        let (_, methods) = paths.remove(route.path).unwrap_or_else(|| (route.surface, MethodRouter::new()));
        paths.insert(route.path, (route.surface, methods.merge(route.handler)));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, (surface, methods))| {
        let fallback = move |method: Method| async move {
            match method {
                Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
                _ => surface.render_error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "This method is not allowed here",
                    render_page,
                ),
            }
        };
        router.route(path, methods.fallback(fallback))
    });
    router.fallback(move |Extension(surface): Extension<ApiSurface>| async move {
        surface.render_error(StatusCode::NOT_FOUND, "There is nothing at this path", render_page)
    })
}
