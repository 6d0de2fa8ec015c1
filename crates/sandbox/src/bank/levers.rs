//! Levers: what testers pull to make the bank slow, broken, full or forgetful.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fdx::Amount;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Bank;

/// The position of every lever. `PUT` may name a part of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each lever is on or off by itself")]
pub struct Levers {
    /// Milliseconds that every OAuth and FDX answer waits.
    pub latency_ms: u64,
    /// The status that OAuth and FDX calls fail with: 500 or 503.
    pub fail: Option<u16>,
    /// The share of calls that fail, from 0 to 1, spread evenly.
    pub fail_share: Amount,
    /// Whether the token endpoint answers at all.
    pub token_endpoint: Endpoint,
    /// What the revocation endpoint says.
    pub revoke: Revoke,
    /// Whether a refresh brings a new refresh token and ends the old one.
    pub rotate_refresh: bool,
    /// Whether every refresh is refused.
    pub invalid_grant_to_all: bool,
    /// Whether every OAuth and FDX call is one too many.
    pub rate_limited: bool,
    /// Seconds that the bank's clock is ahead.
    pub clock_skew_s: i64,
    /// Whether FDX answers are kept back until this is false.
    pub hold: bool,
}

/// Whether an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// It does.
    Up,
    /// 503.
    Down,
}

/// What the revocation endpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoke {
    /// 200, and the grant ends.
    Ok,
    /// 400 `unsupported_token_type`, and the grant lives.
    Refuse,
    /// 200 as for a token that is long gone, and nothing is done.
    Already,
}

impl Default for Levers {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            fail: None,
            fail_share: Amount(Decimal::ONE),
            token_endpoint: Endpoint::Up,
            revoke: Revoke::Ok,
            rotate_refresh: false,
            invalid_grant_to_all: false,
            rate_limited: false,
            clock_skew_s: 0,
            hold: false,
        }
    }
}

pub(super) fn routes() -> Router<Bank> {
    Router::new()
        .route("/levers", get(show).put(set).delete(reset))
        .route("/levers/grants", get(grants))
        .route("/levers/consents/end", post(end_consents))
}

async fn show(State(bank): State<Bank>) -> Json<Levers> {
    Json(bank.0.levers.borrow().clone())
}

async fn set(State(bank): State<Bank>, Json(wanted): Json<serde_json::Value>) -> Response {
    match bank.pull(&wanted) {
        Ok(levers) => Json(levers).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response(),
    }
}

async fn reset(State(bank): State<Bank>) -> Json<Levers> {
    bank.0.levers.send_replace(Levers::default());
    Json(Levers::default())
}

async fn grants(State(bank): State<Bank>) -> Response {
    Json(bank.grants().listed()).into_response()
}

#[derive(Deserialize)]
struct Whose {
    username: String,
}

async fn end_consents(State(bank): State<Bank>, Json(whose): Json<Whose>) -> Response {
    match bank.grants().end_all_of(&whose.username) {
        Ok(ended) => Json(json!({ "ended": ended })).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Bank {
    /// Pulls the levers that are named; the error names the field.
    fn pull(&self, wanted: &serde_json::Value) -> Result<Levers, String> {
        let wanted = wanted.as_object().ok_or("expected an object of levers")?;
        let now = self.0.levers.borrow().clone();
        let mut merged = serde_json::to_value(now).map_err(|e| e.to_string())?;
        if let Some(levers) = merged.as_object_mut() {
            levers.extend(wanted.clone());
        }
        let levers: Levers = serde_json::from_value(merged).map_err(|e| e.to_string())?;
        if !matches!(levers.fail, None | Some(500 | 503)) {
            return Err("fail must be null, 500 or 503".into());
        }
        self.0.levers.send_replace(levers.clone());
        Ok(levers)
    }

    /// Whether this call is one of those that fail.
    fn fails(&self, levers: &Levers) -> bool {
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let share = levers.fail_share.0;
        (Decimal::from(call + 1) * share).floor() > (Decimal::from(call) * share).floor()
    }
}

/// Obeys the levers that concern every OAuth and FDX call.
pub(super) async fn obey(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    let levers = bank.0.levers.borrow().clone();
    if levers.latency_ms > 0 {
        #[expect(clippy::disallowed_methods, reason = "the lever is for slowness itself")]
        tokio::time::sleep(Duration::from_millis(levers.latency_ms)).await;
    }
    if levers.rate_limited {
        let body = Json(json!({"code": 1207, "message": "Too many requests"}));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "2")], body).into_response();
    }
    if let Some(status) = levers.fail.filter(|_| bank.fails(&levers)) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(json!({"code": status.as_u16(), "message": "Out of order"}));
        return (status, body).into_response();
    }
    next.run(request).await
}

/// Dates every answer by the bank's own clock.
pub(super) async fn date(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    let now = jiff::Timestamp::from_millisecond(bank.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut response = next.run(request).await;
    let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::DATE, value);
    }
    let plain = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in plain {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
