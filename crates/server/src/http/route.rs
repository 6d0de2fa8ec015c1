//! The one table of routes: what is served is what stands here.

use std::collections::BTreeMap;

use axum::routing::MethodRouter;
use axum::{Extension, Router};
use domain::model::operator::Role;
use http::{Method, StatusCode};

use super::api_surface::{ApiSurface, PageErrorRenderer};
use crate::app::App;

/// One method of one path.
pub struct Route {
    /// Whose it is.
    pub surface: ApiSurface,
    /// The method. `HEAD` goes with `GET`.
    pub method: Method,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// The least role that it is served to, on the operators' face.
    pub required_role: Option<Role>,
    handler: MethodRouter<App>,
}

/// The least role of the route that a request has come to.
#[derive(Clone, Copy, Debug)]
pub struct RequiredRole(pub Role);

/// A deed that can be tried: its handler reads the query. The query of any other deed is empty.
#[derive(Clone, Copy, Debug)]
pub struct SupportsDryRun;

impl Route {
    /// A row of the table.
    pub fn new(surface: ApiSurface, method: Method, path: &'static str, handler: MethodRouter<App>) -> Self {
        Self { surface, method, path, required_role: None, handler }
    }

    /// A row of the operators' face, for those whose role covers `least`.
    pub fn admin(
        required_role: Role,
        method: Method,
        path: &'static str,
        handler: MethodRouter<App>,
    ) -> Self {
        let handler = handler.layer(Extension(RequiredRole(required_role)));
        Self { required_role: Some(required_role), ..Self::new(ApiSurface::Admin, method, path, handler) }
    }

    /// The same for a deed that can be tried.
    pub fn with_dry_run(self) -> Self {
        Self { handler: self.handler.layer(Extension(SupportsDryRun)), ..self }
    }
}

/// The face of a table that has but one, whatever is asked for there.
pub(super) fn single_surface(table: &[Route]) -> Option<ApiSurface> {
    let face = table.first()?.surface;
    let own = matches!(face, ApiSurface::Admin | ApiSurface::Probe)
        && table.iter().all(|route| route.surface == face);
    own.then_some(face)
}

/// The router of a table. `OPTIONS` is answered with what a path allows; there is no CORS.
pub(super) fn build_router(table: Vec<Route>, render_page: PageErrorRenderer) -> Router<App> {
    let mut paths: BTreeMap<&'static str, (ApiSurface, MethodRouter<App>)> = BTreeMap::new();
    for route in table {
        let (_, methods) = paths.remove(route.path).unwrap_or_else(|| (route.surface, MethodRouter::new()));
        paths.insert(route.path, (route.surface, methods.merge(route.handler)));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, (face, methods))| {
        let otherwise = move |method: Method| async move {
            match method {
                Method::OPTIONS => axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT),
                _ => face.render_error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "This method is not allowed here",
                    render_page,
                ),
            }
        };
        router.route(path, methods.fallback(otherwise))
    });
    router.fallback(move |Extension(face): Extension<ApiSurface>| async move {
        face.render_error(StatusCode::NOT_FOUND, "There is nothing at this path", render_page)
    })
}
