//! Probes for the platform: alive, ready, measured.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::app::App;
use crate::job;
use crate::web::{Face, Route};

/// The routes of the probes' own listener.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Face::Probe, Method::GET, "/livez", get(livez)),
        Route::new(Face::Probe, Method::GET, "/readyz", get(readyz)),
        Route::new(Face::Probe, Method::GET, "/metrics", get(metrics)),
    ]
}

async fn livez() -> &'static str {
    "ok"
}

/// Ready means that a request could be decided now.
async fn readyz(State(app): State<App>) -> Response {
    let clock = app.now().is_ok();
    let store = match job::context(&app, "probe") {
        Ok(ctx) => job::count(&ctx).await.is_ok(),
        Err(_) => false,
    };
    let ready = clock && store;
    // The schema and the keys are checked when the node starts: it does not serve with wrong ones.
    let checks = json!({"store": store, "schema": true, "keys": true, "clock": clock});
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "checks": checks}))).into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    if let Ok(ctx) = job::context(&app, "probe") {
        let _ = job::count(&ctx).await;
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.telemetry().render()).into_response()
}
