//! The service of a listener: finds the handler of a request, and adds correlation ids, the request context, a time
//! limit, metrics, one log line for each request, and common headers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

use super::api_surface::{ApiSurface, ErrorRenderer, PageErrorRenderer};
use super::client_address::RemotePeer;
use super::correlation::Correlation;
use super::host_policy::HostPolicy;
use super::json::HEADER_CAPACITY;
use super::page_locale::PageLocale;
use super::problem::Problem;
use super::route::Route;
use super::route_table::{PathRoutes, RouteTable};
use super::state::RequestState;
use crate::app::App;
use crate::context::{RequestContext, fill_random};
use crate::response_memory::{ResponseSlot, ResponsesNotTaken};

/// The service of one listener. Clones share the table of its routes.
#[derive(Clone)]
pub struct RequestDispatcher(Arc<Parts>);

struct Parts {
    app: App,
    table: RouteTable,
    hosts: HostPolicy,
    render_page: PageErrorRenderer,
}

impl RequestDispatcher {
    /// Creates the service for a table of routes.
    pub fn new(app: &App, table: Vec<Route>, hosts: HostPolicy, render_page: PageErrorRenderer) -> Self {
        Self(Arc::new(Parts { app: app.clone(), table: RouteTable::new(table), hosts, render_page }))
    }

    /// Handles a request from a peer. Every result, even a panic of the handler, is a response.
    pub async fn handle(self, request: Request<Body>, peer: Option<RemotePeer>) -> Response {
        self.0.handle(collapse_slashes(request), peer, None).await
    }

    /// Handles a request of a connection, whose memory limits the response.
    pub(crate) async fn handle_with_memory(
        self,
        request: Request<Body>,
        peer: RemotePeer,
        slot: &mut ResponseSlot,
    ) -> Response {
        self.0.handle(collapse_slashes(request), Some(peer), Some(slot)).await
    }

    pub(crate) fn app(&self) -> &App {
        &self.0.app
    }
}

/// Replaces repeated slashes in the path by one, for clients that join a base URL and a path carelessly.
///
/// A trailing slash remains and matches no route, whether it is doubled or not.
fn collapse_slashes(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    if path.contains("//") {
        let mut previous = None;
        let collapsed: String =
            path.chars().filter(|c| previous.replace(*c) != Some('/') || *c != '/').collect();
        let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        // The authority stays, because the policy for hosts checks it.
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("{collapsed}{query}").parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

impl Parts {
    async fn handle(
        &self,
        request: Request<Body>,
        peer: Option<RemotePeer>,
        slot: Option<&mut ResponseSlot>,
    ) -> Response {
        let Self { app, table, render_page, .. } = self;
        let surface = table.surface(request.uri().path());
        // Only pages have a language, and other requests must not pay for it.
        let locale = if surface == ApiSurface::Page {
            PageLocale::from_request(request.uri(), request.headers())
        } else {
            PageLocale::default()
        };
        let errors = &ErrorRenderer { surface, render_page: *render_page, locale };
        let unavailable = || errors.render(StatusCode::SERVICE_UNAVAILABLE, "The hub cannot answer now");
        let mut random = [[0; 16]; 2];
        if fill_random(random.as_flattened_mut()).is_err() {
            return unavailable();
        }
        let [id_bytes, seed] = random;
        let correlation = Correlation::from_request(request.uri(), request.headers(), id_bytes);
        let paths = table.find(request.uri().path());
        // Logs and metrics get the pattern of the route. The path and the query of the request may contain ids and
        // secrets.
        let route = paths.map_or("none", PathRoutes::path);
        let method = request.method().clone();
        let started = crate::telemetry::monotonic_now();
        let response = match RequestContext::with_seed(app.clone(), Arc::clone(&correlation.id), seed) {
            // Without a trusted clock, no expiry can be checked. Probes run anyway, because they report the cause.
            Err(error) if surface != ApiSurface::Probe => {
                tracing::error!(%error, "request rejected because the clock or the random generator is unavailable");
                unavailable()
            }
            context => {
                let handler = self.respond(paths, errors, request, context.ok(), peer);
                self.run_handler(errors, handler).await
            }
        };
        let response = self.admit(response, slot, errors);
        let mut response = Problem::write_into_response(response, &correlation.id);
        if method == Method::HEAD {
            remove_body(&mut response);
        }
        let correlation_id = Arc::clone(&correlation.id);
        let headers = response.headers_mut();
        headers.reserve(HEADER_CAPACITY.saturating_sub(headers.len()));
        correlation.add_headers(headers);
        add_common_headers(headers, app.is_https());
        let (status, took) = (response.status(), started.elapsed());
        tracing::info!(%method, route, status = status.as_u16(),
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), %correlation_id, "served");
        if let Some(operation) = paths.and_then(|paths| paths.operation) {
            app.operation_stats().record(operation, status, took);
        }
        if let Some(metrics) = paths.map(|paths| &paths.metrics).or_else(|| table.unmatched_metrics(surface))
        {
            metrics.record(app.telemetry(), status, took);
        }
        response
    }

    /// Runs the handler of the route, or responds with an error if no route matches path and method.
    async fn respond(
        &self,
        paths: Option<&PathRoutes>,
        errors: &ErrorRenderer,
        request: Request<Body>,
        context: Option<RequestContext>,
        peer: Option<RemotePeer>,
    ) -> Response {
        if !self.hosts.permits(request.uri(), request.headers()) {
            return errors.render(StatusCode::MISDIRECTED_REQUEST, "The host is not a name of this hub");
        }
        let Some(paths) = paths else {
            let message = "There is nothing at this path";
            return errors.render(StatusCode::NOT_FOUND, message);
        };
        match paths.find(request.method()) {
            Some(route) => {
                let state = RequestState::new(self.app.clone(), context, peer, route.properties());
                route.call(request, state).await
            }
            None => paths.respond_to_other_method(request.method(), errors),
        }
    }

    /// Returns the response, or an error (503) if the client has not taken earlier ones of its connection.
    fn admit(&self, response: Response, slot: Option<&mut ResponseSlot>, errors: &ErrorRenderer) -> Response {
        let (Some(slot), Some(length)) = (slot, response.body().size_hint().exact()) else { return response };
        if let Err(ResponsesNotTaken) = slot.admit(usize::try_from(length).unwrap_or(usize::MAX)) {
            self.app.telemetry().count_listener_rejection("connection_responses");
            let message = "Earlier responses of this connection were not read";
            return errors.render(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        response
    }

    /// Runs a handler. If it exceeds the time limit or panics, an error response is returned instead (503 or 500).
    async fn run_handler(&self, errors: &ErrorRenderer, handler: impl Future<Output = Response>) -> Response {
        let limit: Duration = self.app.config().server.request_timeout.duration();
        // A panic must end one request, not the connection with the other requests on it (HTTP/2).
        // `AssertUnwindSafe` is sound here: the handler is dropped, and what it shares with others is behind locks or
        // in the database.
        match tokio::time::timeout(limit, AssertUnwindSafe(handler).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!("a handler panicked");
                errors.render(StatusCode::INTERNAL_SERVER_ERROR, "An unhandled error occurred on the server")
            }
            Err(_) => {
                errors.render(StatusCode::SERVICE_UNAVAILABLE, "The hub took too long, please try again")
            }
        }
    }
}

/// Removes the body of a response to `HEAD`, whose `Content-Length` is that of the response to `GET` (RFC 9110, section
/// 9.3.2).
fn remove_body(response: &mut Response) {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}

fn add_common_headers(headers: &mut http::HeaderMap, https: bool) {
    // Browsers ignore this header over plain HTTP (RFC 6797, section 8.1).
    if https {
        let one_year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, one_year);
    }
    // Responses may contain tokens or customer data, so they are not cached unless a handler has set this header.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(HeaderName::from_static("referrer-policy"))
        .or_insert(HeaderValue::from_static("no-referrer"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsts_header_is_sent_only_over_tls() {
        let mut headers = http::HeaderMap::new();

        add_common_headers(&mut headers, false);

        assert_eq!(
            (headers.get("strict-transport-security"), &headers["cache-control"]),
            (None, &"no-store".parse().unwrap())
        );

        add_common_headers(&mut headers, true);

        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    }

    #[test]
    fn response_to_head_keeps_length_of_removed_body() {
        let mut response = Response::new(Body::from("four"));

        remove_body(&mut response);

        assert_eq!(response.headers()["content-length"], "4");
        assert_eq!(response.body().size_hint().exact(), Some(0));
    }

    #[test]
    fn repeated_slashes_are_collapsed() {
        for (sent, expected) in [("//a///b?c=//", "/a/b?c=//"), ("/a/b//", "/a/b/"), ("/a", "/a")] {
            let request = Request::get(sent).body(Body::empty()).unwrap();

            assert_eq!(collapse_slashes(request).uri(), expected, "{sent}");
        }
    }
}
