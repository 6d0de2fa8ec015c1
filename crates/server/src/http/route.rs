//! Routes of the hub: each is one method of one path, with its handler and the API to which it belongs.
//!
//! The hub has its own table of routes, because `axum::Router` cannot be enumerated. From the table, tests call every
//! route as every kind of caller, and the OpenAPI documents are generated. A route of an API cannot be created without
//! its documentation.

use std::pin::Pin;

use axum::body::Body;
use axum::handler::Handler;
use axum::response::Response;
use domain::model::operator::Role;
use http::{Method, Request};

use super::api_surface::ApiSurface;
use super::state::{RequestState, RouteProperties};
use crate::operation::OperationSpec;

/// The response of a handler. `axum` boxes it for every function.
pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A function that handles the requests of a route. Its parameters, of the types `T`, are extracted from the request.
pub trait RouteHandler<T>: Handler<T, RequestState, Future = HandlerFuture> + Sync {}

impl<T, H: Handler<T, RequestState, Future = HandlerFuture> + Sync> RouteHandler<T> for H {}

/// A handler without the types of its parameters.
type BoxedHandler = Box<dyn Fn(Request<Body>, RequestState) -> HandlerFuture + Send + Sync>;

/// One method of one path, with its handler and the API to which it belongs.
pub struct Route {
    pub surface: ApiSurface,
    /// The HTTP method. A `GET` route serves `HEAD` too.
    pub method: Method,
    /// The path pattern, with its parameters in braces, such as `/accounts/{accountId}`.
    pub path: &'static str,
    /// The minimum role of the operator, for routes of the admin API.
    pub required_role: Option<Role>,
    supports_dry_run: bool,
    operation: Option<OperationSpec>,
    handler: BoxedHandler,
}

impl Route {
    /// Creates a route of the Flinks API. Method and path are those of its OpenAPI documentation.
    pub(crate) fn flinks<T: 'static>(operation: OperationSpec, handler: impl RouteHandler<T>) -> Self {
        Self::documented(ApiSurface::Flinks, operation, handler)
    }

    /// Creates a route of the FDX API. Method and path are those of its OpenAPI documentation.
    pub(crate) fn fdx<T: 'static>(operation: OperationSpec, handler: impl RouteHandler<T>) -> Self {
        Self::documented(ApiSurface::Fdx, operation, handler)
    }

    /// Creates a route of the admin API for operators with at least this role.
    pub(crate) fn admin<T: 'static>(
        required_role: Role,
        operation: OperationSpec,
        handler: impl RouteHandler<T>,
    ) -> Self {
        let route = Self::documented(ApiSurface::Admin, operation, handler);
        Self { required_role: Some(required_role), ..route }
    }

    /// Creates a route of the pages, which no API document describes.
    pub(crate) fn page<T: 'static>(
        method: Method,
        path: &'static str,
        handler: impl RouteHandler<T>,
    ) -> Self {
        Self::new(ApiSurface::Page, method, path, handler)
    }

    /// Creates a route of the probe listener, which no API document describes.
    pub(crate) fn probe<T: 'static>(path: &'static str, handler: impl RouteHandler<T>) -> Self {
        Self::new(ApiSurface::Probe, Method::GET, path, handler)
    }

    /// Marks the route as one with the parameter `dry_run`, so that query parameters are not rejected.
    pub(crate) fn with_dry_run(self) -> Self {
        Self { supports_dry_run: true, ..self }
    }

    /// Returns the OpenAPI documentation of the route; `None` for pages and probes.
    pub(crate) const fn operation(&self) -> Option<&OperationSpec> {
        self.operation.as_ref()
    }

    fn documented<T: 'static>(
        surface: ApiSurface,
        operation: OperationSpec,
        handler: impl RouteHandler<T>,
    ) -> Self {
        let route = Self::new(surface, operation.method.clone(), operation.path, handler);
        Self { operation: Some(operation), ..route }
    }

    fn new<T: 'static>(
        surface: ApiSurface,
        method: Method,
        path: &'static str,
        handler: impl RouteHandler<T>,
    ) -> Self {
        let handler =
            Box::new(move |request, state| Handler::call(handler.clone(), request, state)) as BoxedHandler;
        Self { surface, method, path, required_role: None, supports_dry_run: false, operation: None, handler }
    }

    pub(super) const fn properties(&self) -> RouteProperties {
        RouteProperties {
            path: self.path,
            required_role: self.required_role,
            supports_dry_run: self.supports_dry_run,
        }
    }

    /// Extracts the parameters of the handler from a request, and runs the handler.
    pub(super) fn call(&self, request: Request<Body>, state: RequestState) -> HandlerFuture {
        (self.handler)(request, state)
    }
}
