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

use super::routes::own_face;
use super::{Correlation, Face, Problem, Route, router};
use crate::app::App;
use crate::ctx::Ctx;

/// A table of routes with everything around it.
pub fn service(
    app: &App,
    table: Vec<Route>,
) -> impl Service<http::Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let outer = Outer { app: app.clone(), own: own_face(&table) };
    let inside: Router<App> = router(table);
    let inside = inside.layer(axum::middleware::from_fn_with_state(outer, around)).with_state(app.clone());
    // Outside of the router, so that it matches the path as it is written here.
    inside.map_request(single_slashes)
}

/// A doubled slash in a path is accepted. One that trails is as wrong as a single one.
fn single_slashes(mut request: http::Request<Body>) -> http::Request<Body> {
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
struct Outer {
    app: App,
    /// The one face of a listener that has but one.
    own: Option<Face>,
}

async fn around(State(outer): State<Outer>, mut request: Request, next: Next) -> Response {
    let Outer { app, own } = outer;
    let face = own.unwrap_or_else(|| Face::of(request.uri().path()));
    // Probes answer whatever the hub's state is, for they tell of it.
    let probes = face == Face::Probe;
    let mut random = [0; 16];
    if app.fill(&mut random).is_err() {
        return face.plain(StatusCode::SERVICE_UNAVAILABLE, "The hub cannot answer now");
    }
    request.extensions_mut().insert(face);
    let correlation = Correlation::of(request.uri(), request.headers(), random);
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let begun = crate::telemetry::stopwatch();
    let limit = app.config().server.request_timeout.duration();
    let mut response = match Ctx::new(app.clone(), correlation.id.clone()) {
        Err(unfit) if !probes => {
            tracing::error!(%unfit, "refusing");
            face.plain(StatusCode::SERVICE_UNAVAILABLE, "The hub cannot answer now")
        }
        ctx => {
            request.extensions_mut().extend(ctx.map(with).unwrap_or_default());
            answered(face, limit, next.run(request)).await
        }
    };
    response = Problem::told(response, &correlation.id);
    correlation.stamp(response.headers_mut());
    for_all(response.headers_mut(), app.is_https());
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    tracing::info!(%method, route, status, micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        correlation_id = %correlation.id, "served");
    app.measured().note(&route, status, took);
    let labels = [("face", face.as_str().to_owned()), ("route", route), ("status", status.to_string())];
    app.telemetry().count("bowline_http_requests_total", &labels);
    app.telemetry().took("bowline_http_request_seconds", &labels[..2], took);
    response
}

fn with(ctx: Ctx) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(ctx);
    extensions
}

/// The answer, or one in its place if it takes too long or panics.
async fn answered(face: Face, limit: Duration, answer: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(limit, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            face.plain(StatusCode::INTERNAL_SERVER_ERROR, "An unhandled error occurred on the server")
        }
        Err(_) => face.plain(StatusCode::SERVICE_UNAVAILABLE, "The hub took too long, please try again"),
    }
}

fn for_all(headers: &mut http::HeaderMap, https: bool) {
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

impl<S: Sync> FromRequestParts<S> for Ctx {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_over_tls_asks_to_be_served_so_for_a_year() {
        let mut headers = http::HeaderMap::new();
        for_all(&mut headers, false);
        assert_eq!(
            (headers.get("strict-transport-security"), &headers["cache-control"]),
            (None, &"no-store".parse().unwrap())
        );
        for_all(&mut headers, true);
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    }
}
