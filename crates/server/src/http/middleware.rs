//! What surrounds every route: ids, context, time limit, counts, one log line, headers for all.

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

/// A table of routes with everything around it.
pub fn build_service(
    app: &App,
    table: Vec<Route>,
    render_page: PageErrorRenderer,
) -> impl Service<http::Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let outer = MiddlewareState { app: app.clone(), single_surface: single_surface(&table), render_page };
    let inside: Router<App> = build_router(table, render_page);
    let inside =
        inside.layer(axum::middleware::from_fn_with_state(outer, wrap_request)).with_state(app.clone());
    // Outside of the router, so that it matches the path as it is written here.
    inside.map_request(collapse_slashes)
}

/// A doubled slash in a path is accepted. One that trails is as wrong as a single one.
fn collapse_slashes(mut request: http::Request<Body>) -> http::Request<Body> {
    let path = request.uri().path();
    if path.contains("//") {
        let mut before = None;
        let single: String = path.chars().filter(|c| before.replace(*c) != Some('/') || *c != '/').collect();
        let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        if let Ok(uri) = format!("{single}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What is known of a table of routes.
#[derive(Clone)]
struct MiddlewareState {
    app: App,
    /// The one face of a listener that has but one.
    single_surface: Option<ApiSurface>,
    render_page: PageErrorRenderer,
}

async fn wrap_request(State(outer): State<MiddlewareState>, mut request: Request, next: Next) -> Response {
    let MiddlewareState { app, single_surface: own, render_page } = outer;
    let surface = own.unwrap_or_else(|| ApiSurface::from_path(request.uri().path()));
    // Probes answer whatever the hub's state is, for they tell of it.
    let is_probe = surface == ApiSurface::Probe;
    let mut random = [0; 16];
    if fill_random(&mut random).is_err() {
        return surface.render_error(
            StatusCode::SERVICE_UNAVAILABLE,
            "The hub cannot answer now",
            render_page,
        );
    }
    request.extensions_mut().insert(surface);
    let correlation = Correlation::from_request(request.uri(), request.headers(), random);
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let started = crate::telemetry::monotonic_now();
    let limit = app.config().server.request_timeout.duration();
    let mut response = match RequestContext::new(app.clone(), correlation.id.clone()) {
        Err(unfit) if !is_probe => {
            tracing::error!(%unfit, "refusing");
            surface.render_error(StatusCode::SERVICE_UNAVAILABLE, "The hub cannot answer now", render_page)
        }
        ctx => {
            request.extensions_mut().extend(ctx.map(wrap_context).unwrap_or_default());
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
    let labels = [("face", surface.as_str().to_owned()), ("route", route), ("status", status.to_string())];
    app.telemetry().count("bowline_http_requests_total", &labels);
    app.telemetry().record_duration("bowline_http_request_seconds", &labels[..2], took);
    response
}

fn wrap_context(ctx: RequestContext) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(ctx);
    extensions
}

/// The answer, or one in its place if it takes too long or panics.
async fn run_handler(
    surface: ApiSurface,
    render_page: PageErrorRenderer,
    limit: Duration,
    handler: impl Future<Output = Response>,
) -> Response {
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
    if https {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
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
