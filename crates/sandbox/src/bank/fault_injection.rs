//! Fault injection: makes the bank slow, unavailable or inconsistent, so that a hub can be tested against it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::data_faults::format_http_date;
use super::fault_settings::FaultSettings;
use super::state::Bank;

/// Handles `PUT /faults`: changes the settings that the body contains.
pub(super) async fn set_faults(State(bank): State<Bank>, body: Bytes) -> Response {
    let changes = serde_json::from_slice(&body).map_err(|error| format!("the body is not JSON: {error}"));
    match changes.and_then(|changes| bank.set_faults(&changes)) {
        Ok(faults) => Json(faults).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}

/// Handles `DELETE /faults`: resets all settings to those that the bank started with.
pub(super) async fn reset_faults(State(bank): State<Bank>) -> Json<FaultSettings> {
    Json(bank.reset_faults())
}

/// Handles `GET /faults/grants`: lists all grants, including those that have ended.
pub(super) async fn list_grants(State(bank): State<Bank>) -> Response {
    Json(bank.grants().list_all()).into_response()
}

impl Bank {
    pub(super) fn reset_faults(&self) -> FaultSettings {
        let settings = FaultSettings::for_profile(self.profile());
        self.faults().send_replace(settings.clone());
        settings
    }

    /// Changes some fault settings, or none if one of them is invalid. The error names the invalid setting.
    pub(super) fn set_faults(&self, changes: &Value) -> Result<FaultSettings, String> {
        let mut result = Err(String::new());
        // Delayed responses wait on this channel, so a rejected change must not notify them.
        self.faults().send_if_modified(|settings| {
            result = settings.with_changes(changes);
            result.as_ref().is_ok_and(|changed| {
                settings.clone_from(changed);
                true
            })
        });
        result
    }

    /// Ends every active consent of a customer and returns their number.
    pub(super) fn end_consents_for(&self, username: &str) -> Result<usize, String> {
        if self.profile().catalog.find_customer(username).is_none() {
            return Err(format!("username {username:?} is not a customer of this bank"));
        }
        self.grants().end_all_for_customer(username, self.now()).map_err(|error| error.to_string())
    }

    /// Counts a call, and returns true if the call must fail according to `fail_share`.
    fn should_fail(&self, faults: &FaultSettings) -> bool {
        let call = self.calls().fetch_add(1, Ordering::Relaxed);
        let share = faults.fail_share.0;
        // A call fails if it raises the expected number of failures to the next integer. This spreads failures evenly,
        // without randomness.
        (Decimal::from(call + 1) * share).floor() > (Decimal::from(call) * share).floor()
    }
}

/// Applies the faults of all OAuth and FDX endpoints: delay, rate limit and failures.
pub(super) async fn apply_faults(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    let faults = bank.faults().borrow().clone();
    // The delay comes first, so that it applies to failing calls too.
    if faults.latency_ms > 0 {
        #[expect(clippy::disallowed_methods, reason = "this fault is a delay")]
        tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
    }
    if faults.rate_limited {
        let body = Json(json!({"code": 1207, "message": "Too many requests"}));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "2")], body).into_response();
    }
    if let Some(status) = faults.fail.filter(|_| bank.should_fail(&faults)) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(json!({"code": status.as_u16(), "message": "Out of order"}));
        return (status, body).into_response();
    }
    next.run(request).await
}

/// Adds the headers that every response of the bank has.
pub(super) async fn add_bank_headers(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    // `Date` shows the bank's own clock, so that a clock skew is visible to clients as it would be in reality.
    let now = jiff::Timestamp::from_millisecond(bank.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let date = format_http_date(now);
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, value);
    }
    let headers = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
