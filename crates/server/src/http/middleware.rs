//! The middleware around all handlers. It adds correlation ids, the request context, a time limit, metrics, one log
//! line for each request, and common headers.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::Router;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Extensions, HeaderName, HeaderValue, StatusCode, Uri, header};
use tower::{Service, ServiceExt};

use super::api_surface::{ApiSurface, PageErrorRenderer};
use super::correlation::Correlation;
use super::problem::Problem;
use super::route::{Route, build_router, single_surface};
use crate::app::App;
use crate::context::{RequestContext, fill_random};

/// Builds the service of one listener: a router for its table of routes, wrapped in the middleware.
pub fn build_service(
    app: &App,
    table: Vec<Route>,
    render_page: PageErrorRenderer,
) -> impl Service<http::Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let state = MiddlewareState { app: app.clone(), single_surface: single_surface(&table), render_page };
    let router: Router<App> = build_router(table, render_page);
    let router =
        router.layer(axum::middleware::from_fn_with_state(state, wrap_request)).with_state(app.clone());
    // This wraps the router, because a layer of the router would run after the path has been matched.
    router.map_request(collapse_slashes)
}

/// Replaces repeated slashes in the path by one, for clients that join a base URL and a path carelessly.
///
/// A trailing slash remains and matches no route, whether it is doubled or not.
fn collapse_slashes(mut request: http::Request<Body>) -> http::Request<Body> {
    let path = request.uri().path();
    if path.contains("//") {
        let mut previous = None;
        let collapsed: String =
            path.chars().filter(|c| previous.replace(*c) != Some('/') || *c != '/').collect();
        let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        if let Ok(uri) = format!("{collapsed}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

#[derive(Clone)]
struct MiddlewareState {
    app: App,
    /// The API that a listener serves if it serves only one. All errors of this listener then have its format, even for
    /// unknown paths.
    single_surface: Option<ApiSurface>,
    render_page: PageErrorRenderer,
}

async fn wrap_request(State(state): State<MiddlewareState>, mut request: Request, next: Next) -> Response {
    let MiddlewareState { app, single_surface, render_page } = state;
    let surface = single_surface.unwrap_or_else(|| ApiSurface::from_path(request.uri().path()));
    let unavailable =
        || surface.render_error(StatusCode::SERVICE_UNAVAILABLE, "The hub cannot answer now", render_page);
    let mut random = [0; 16];
    if fill_random(&mut random).is_err() {
        return unavailable();
    }
    request.extensions_mut().insert(surface);
    let correlation = Correlation::from_request(request.uri(), request.headers(), random);
    // Logs and metrics get the pattern of the route. The path and the query of the request may contain ids and secrets.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let started = crate::telemetry::monotonic_now();
    let limit = app.config().server.request_timeout.duration();
    let mut response = match RequestContext::new(app.clone(), correlation.id.clone()) {
        // Without a trusted clock, no expiry can be checked. Probes run anyway, because they report the cause.
        Err(error) if surface != ApiSurface::Probe => {
            tracing::error!(%error, "request rejected because the clock or the random generator is unavailable");
            unavailable()
        }
        context => {
            request.extensions_mut().extend(context.map(wrap_context).unwrap_or_default());
            run_handler(surface, render_page, limit, next.run(request)).await
        }
    };
    response = Problem::write_into_response(response, &correlation.id);
    correlation.add_headers(response.headers_mut());
    add_common_headers(response.headers_mut(), app.is_https());
    let (status, took) = (response.status().as_u16(), started.elapsed());
    tracing::info!(%method, route, status, micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        correlation_id = %correlation.id, "served");
    app.operation_stats().record(&route, status, took);
    let labels = [("api", surface.as_str().to_owned()), ("route", route), ("status", status.to_string())];
    app.telemetry().count("bowline_http_requests_total", &labels);
    app.telemetry().record_duration("bowline_http_request_seconds", &labels[..2], took);
    response
}

fn wrap_context(context: RequestContext) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(context);
    extensions
}

/// Runs a handler. If it exceeds the time limit or panics, an error response is returned instead (503 or 500).
async fn run_handler(
    surface: ApiSurface,
    render_page: PageErrorRenderer,
    limit: Duration,
    handler: impl Future<Output = Response>,
) -> Response {
    // A panic must end one request, not the connection with the other requests on it (HTTP/2).
    // `AssertUnwindSafe` is sound here: the handler is dropped, and what it shares with others is behind locks or in
    // the database.
    match tokio::time::timeout(limit, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            surface.render_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "An unhandled error occurred on the server",
                render_page,
            )
        }
        Err(_) => surface.render_error(
            StatusCode::SERVICE_UNAVAILABLE,
            "The hub took too long, please try again",
            render_page,
        ),
    }
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

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
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
}
