//! Routes of the hub: each is one method of one path, with its handler and the API to which it belongs.
//!
//! The hub has its own table of routes, because `axum::Router` cannot be enumerated. From the table, tests call every
//! route as every kind of caller, and the OpenAPI documents are generated. A route of an API cannot be created without
//! its documentation.

use std::collections::BTreeMap;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};
use domain::model::operator::Role;
use http::{Method, StatusCode};

use super::api_surface::{ApiSurface, PageErrorRenderer};
use crate::app::App;
use crate::operation::OperationSpec;

/// One method of one path, with its handler and the API to which it belongs.
pub struct Route {
    pub surface: ApiSurface,
    /// The HTTP method. A `GET` route serves `HEAD` too.
    pub method: Method,
    /// The path pattern, with its parameters in braces, such as `/accounts/{accountId}`.
    pub path: &'static str,
    /// The minimum role of the operator, for routes of the admin API.
    pub required_role: Option<Role>,
    operation: Option<OperationSpec>,
    handler: MethodRouter<App>,
}

/// The minimum role that a route requires. It is attached to each request of the route as an extension.
#[derive(Clone, Copy, Debug)]
pub struct RequiredRole(pub Role);

/// A marker for requests to routes with the parameter `dry_run`, attached as an extension. All other operations of the
/// admin API that change something reject query parameters.
#[derive(Clone, Copy, Debug)]
pub struct SupportsDryRun;

impl Route {
    /// Creates a route of the Flinks API. Method and path are those of its OpenAPI documentation.
    pub(crate) fn flinks<T: 'static>(operation: OperationSpec, handler: impl Handler<T, App>) -> Self {
        Self::documented(ApiSurface::Flinks, operation, handler)
    }

    /// Creates a route of the FDX API. Method and path are those of its OpenAPI documentation.
    pub(crate) fn fdx<T: 'static>(operation: OperationSpec, handler: impl Handler<T, App>) -> Self {
        Self::documented(ApiSurface::Fdx, operation, handler)
    }

    /// Creates a route of the admin API for operators with at least this role.
    pub(crate) fn admin<T: 'static>(
        required_role: Role,
        operation: OperationSpec,
        handler: impl Handler<T, App>,
    ) -> Self {
        let mut route = Self::documented(ApiSurface::Admin, operation, handler);
        route.required_role = Some(required_role);
        route.with_extension(RequiredRole(required_role))
    }

    /// Creates a route of the pages, which no API document describes.
    pub(crate) fn page<T: 'static>(
        method: Method,
        path: &'static str,
        handler: impl Handler<T, App>,
    ) -> Self {
        Self::new(ApiSurface::Page, method, path, handler)
    }

    /// Creates a route of the probe listener, which no API document describes.
    pub(crate) fn probe<T: 'static>(path: &'static str, handler: impl Handler<T, App>) -> Self {
        Self::new(ApiSurface::Probe, Method::GET, path, handler)
    }

    /// Marks the requests of the route with [`SupportsDryRun`], so that query parameters are not rejected.
    pub(crate) fn with_dry_run(self) -> Self {
        self.with_extension(SupportsDryRun)
    }

    /// Returns the OpenAPI documentation of the route; `None` for pages and probes.
    pub(crate) const fn operation(&self) -> Option<&OperationSpec> {
        self.operation.as_ref()
    }

    fn documented<T: 'static>(
        surface: ApiSurface,
        operation: OperationSpec,
        handler: impl Handler<T, App>,
    ) -> Self {
        let route = Self::new(surface, operation.method.clone(), operation.path, handler);
        Self { operation: Some(operation), ..route }
    }

    fn new<T: 'static>(
        surface: ApiSurface,
        method: Method,
        path: &'static str,
        handler: impl Handler<T, App>,
    ) -> Self {
        // The conversion fails only for methods that RFC 9110 does not define, and no such method is in the table.
        let handler = MethodFilter::try_from(method.clone())
            .map_or_else(|_| MethodRouter::new(), |filter| on(filter, handler));
        Self { surface, method, path, required_role: None, operation: None, handler }
    }

    /// Attaches a value to each request of the route, as an extension that handlers and extractors can read.
    fn with_extension<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        Self { handler: self.handler.layer(Extension(value)), ..self }
    }
}

/// Returns the API of a listener that serves only the admin API or only probes, and `None` for the public listener.
///
/// The other APIs share the public listener, where the path determines the API.
pub(super) fn single_surface(table: &[Route]) -> Option<ApiSurface> {
    let surface = table.first()?.surface;
    let is_single = matches!(surface, ApiSurface::Admin | ApiSurface::Probe)
        && table.iter().all(|route| route.surface == surface);
    is_single.then_some(surface)
}

/// Builds the router for a table of routes.
///
/// `OPTIONS` returns the methods of a path in `Allow`. There are no CORS headers: no browser script of another origin
/// calls these APIs.
pub(super) fn build_router(table: Vec<Route>, render_page: PageErrorRenderer) -> Router<App> {
    let mut paths: BTreeMap<&'static str, (ApiSurface, MethodRouter<App>)> = BTreeMap::new();
    // Methods are merged by path first: `axum` panics if one path gets two fallbacks.
    for route in table {
        let (_, methods) = paths.remove(route.path).unwrap_or_else(|| (route.surface, MethodRouter::new()));
        paths.insert(route.path, (route.surface, methods.merge(route.handler)));
    }
    let router = paths.into_iter().fold(Router::new(), |router, (path, (surface, methods))| {
        let other_method = move |method: Method| async move {
            match method {
                Method::OPTIONS => axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT),
                _ => surface.render_error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "This method is not allowed here",
                    render_page,
                ),
            }
        };
        router.route(path, methods.fallback(other_method))
    });
    router.fallback(move |Extension(surface): Extension<ApiSurface>| async move {
        surface.render_error(StatusCode::NOT_FOUND, "There is nothing at this path", render_page)
    })
}
