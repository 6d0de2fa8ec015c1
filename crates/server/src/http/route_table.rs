//! Finds the route of a request.
//!
//! `axum::Router` clones and boxes a service for each request and adds extensions to it. The hub needs none of this,
//! because all of its routes are known when a listener starts.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use matchit::Router;

use super::api_surface::{ApiSurface, ErrorRenderer};
use super::route::Route;
use crate::stats::CountedOperation;
use crate::telemetry::RouteMetrics;

/// The routes of one listener, by path.
pub(super) struct RouteTable {
    router: Router<PathRoutes>,
    /// The API of a listener that serves only one. All errors of this listener then have its format, even for unknown
    /// paths.
    single_surface: Option<ApiSurface>,
    /// The metrics of requests without a route, for each API.
    unmatched: BTreeMap<ApiSurface, RouteMetrics>,
}

/// The routes of one path.
pub(super) struct PathRoutes {
    routes: Vec<Route>,
    /// The value of the header `Allow`.
    allow: HeaderValue,
    pub(super) metrics: RouteMetrics,
    pub(super) operation: Option<CountedOperation>,
}

impl RouteTable {
    /// Creates the table of a listener.
    pub(super) fn new(table: Vec<Route>) -> Self {
        let single_surface = single_surface(&table);
        let mut paths: BTreeMap<&'static str, Vec<Route>> = BTreeMap::new();
        for route in table {
            paths.entry(route.path).or_default().push(route);
        }
        let mut router = Router::new();
        for (path, routes) in paths {
            // The tests call every route, so this message cannot appear in a release.
            if let Err(error) = router.insert(path, PathRoutes::new(path, routes)) {
                tracing::error!(path, %error, "a path cannot be served");
            }
        }
        let unmatched = ApiSurface::ALL.map(|surface| (surface, RouteMetrics::new(surface.as_str(), "none")));
        Self { router, single_surface, unmatched: unmatched.into() }
    }

    /// Returns the routes of a path.
    pub(super) fn find(&self, path: &str) -> Option<&PathRoutes> {
        self.router.at(path).ok().map(|matched| matched.value)
    }

    /// Returns the API to which a path belongs, whether it has a route or not.
    pub(super) fn surface(&self, path: &str) -> ApiSurface {
        self.single_surface.unwrap_or_else(|| ApiSurface::from_path(path))
    }

    /// Returns the metrics of requests without a route.
    pub(super) fn unmatched_metrics(&self, surface: ApiSurface) -> Option<&RouteMetrics> {
        self.unmatched.get(&surface)
    }
}

impl PathRoutes {
    fn new(path: &'static str, routes: Vec<Route>) -> Self {
        let surface = routes.first().map_or(ApiSurface::Page, |route| route.surface);
        let methods = routes.iter().map(|route| match route.method {
            Method::GET => "GET,HEAD",
            ref method => method.as_str(),
        });
        let methods: Vec<&str> = methods.collect();
        Self {
            allow: HeaderValue::try_from(methods.join(",")).unwrap_or(HeaderValue::from_static("OPTIONS")),
            metrics: RouteMetrics::new(surface.as_str(), path),
            operation: CountedOperation::find(path),
            routes,
        }
    }

    /// Returns the path pattern.
    pub(super) fn path(&self) -> &'static str {
        self.routes.first().map_or("none", |route| route.path)
    }

    /// Returns the route for a method. A `GET` route serves `HEAD` too.
    pub(super) fn find(&self, method: &Method) -> Option<&Route> {
        let served = if method == Method::HEAD { &Method::GET } else { method };
        self.routes.iter().find(|route| route.method == *method || route.method == *served)
    }

    /// Responds to a method without a route. `OPTIONS` returns the methods of the path in `Allow`. There are no CORS
    /// headers: no browser script of another origin calls these APIs.
    pub(super) fn respond_to_other_method(&self, method: &Method, errors: &ErrorRenderer) -> Response {
        let mut response = if method == Method::OPTIONS {
            StatusCode::NO_CONTENT.into_response()
        } else {
            let message = "This method is not allowed here";
            errors.render(StatusCode::METHOD_NOT_ALLOWED, message)
        };
        response.headers_mut().insert(header::ALLOW, self.allow.clone());
        response
    }
}

/// Returns the API of a listener that serves only the admin API or only probes, and `None` for the public listener.
///
/// The other APIs share the public listener, where the path determines the API.
fn single_surface(table: &[Route]) -> Option<ApiSurface> {
    let surface = table.first()?.surface;
    let is_single = matches!(surface, ApiSurface::Admin | ApiSurface::Probe)
        && table.iter().all(|route| route.surface == surface);
    is_single.then_some(surface)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::PageLocale;

    fn table() -> RouteTable {
        let routes = [
            (Method::GET, "/a/{id}"),
            (Method::POST, "/a/{id}"),
            (Method::GET, "/a/b"),
            (Method::DELETE, "/c"),
        ];
        let routes = routes.map(|(method, path)| Route::page(method, path, || async {}));
        RouteTable::new(routes.into())
    }

    #[test]
    fn route_is_found_by_path_and_method() {
        let table = table();
        let find = |method: &Method, path: &str| {
            Some(table.find(path)?.find(method)?).map(|route| (route.method.clone(), route.path))
        };

        assert_eq!(find(&Method::GET, "/a/x"), Some((Method::GET, "/a/{id}")));
        assert_eq!(find(&Method::HEAD, "/a/x"), Some((Method::GET, "/a/{id}")));
        assert_eq!(find(&Method::POST, "/a/%2F"), Some((Method::POST, "/a/{id}")));
        assert_eq!(find(&Method::GET, "/a/b"), Some((Method::GET, "/a/b")));
        for (method, path) in [
            (Method::PUT, "/a/x"),
            (Method::HEAD, "/c"),
            (Method::POST, "/a/b"),
            (Method::GET, "/a/"),
            (Method::GET, "/a/x/"),
            (Method::GET, "/a/x/y"),
            (Method::GET, ""),
        ] {
            assert_eq!(find(&method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn other_method_gets_allowed_methods_of_path() {
        let table = table();
        let errors = ErrorRenderer {
            surface: ApiSurface::Page,
            render_page: |status, _| status.into_response(),
            locale: PageLocale::default(),
        };
        let respond = |method: Method| {
            let paths = table.find("/a/x").unwrap();
            let response = paths.respond_to_other_method(&method, &errors);
            (response.status().as_u16(), response.headers()["allow"].clone())
        };

        assert_eq!(respond(Method::OPTIONS), (204, HeaderValue::from_static("GET,HEAD,POST")));
        assert_eq!(respond(Method::PUT), (405, HeaderValue::from_static("GET,HEAD,POST")));
    }
}
