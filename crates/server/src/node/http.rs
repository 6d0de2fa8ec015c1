//! Probes for the platform: alive, ready, measured.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::app::App;
use crate::job;
use crate::ready::Readiness;
use crate::web::{Face, Route};

/// The routes of the probes' own listener.
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Face::Probe, Method::GET, "/livez", get(livez)),
        Route::new(Face::Probe, Method::GET, "/readyz", get(readyz)),
        Route::new(Face::Probe, Method::GET, "/metrics", get(metrics)),
    ]
}

async fn livez() -> &'static str {
    "ok"
}

async fn readyz(State(app): State<App>) -> Response {
    let found = Readiness::of(&app).await;
    let Readiness { store, schema, keys, clock } = found;
    let checks = json!({"store": store, "schema": schema, "keys": keys, "clock": clock});
    let status = if found.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": found.is_ready(), "checks": checks}))).into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    if let Ok(ctx) = job::context(&app, "probe") {
        let _ = job::count(&ctx).await;
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.telemetry().render()).into_response()
}
