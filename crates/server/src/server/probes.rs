//! The endpoints with which the platform checks a node: liveness, readiness and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::readiness::Readiness;
use crate::app::App;
use crate::http::Route;
use crate::jobs;

/// Returns the routes of the probe listener.
pub fn routes() -> Vec<Route> {
    vec![
        Route::probe("/livez", show_liveness),
        Route::probe("/readyz", show_readiness),
        Route::probe("/metrics", show_metrics),
    ]
}

/// Reports that the process runs. The database is not checked, because a restart of the process would not repair it.
async fn show_liveness() -> &'static str {
    "ok"
}

async fn show_readiness(State(app): State<App>) -> Response {
    let readiness = Readiness::check(&app).await;
    let is_ready = readiness.is_ready();
    let Readiness { store, lease, writes, schema, keys, purpose, clock, problem } = readiness;
    let checks = json!({"store": store, "lease": lease, "writes": writes, "schema": schema, "keys": keys,
        "purpose": purpose, "clock": clock});
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": is_ready, "checks": checks, "problem": problem}))).into_response()
}

async fn show_metrics(State(app): State<App>) -> Response {
    jobs::update_gauges(&app).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.telemetry().render()).into_response()
}
