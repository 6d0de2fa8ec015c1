//! Levers: what testers pull to make the bank slow, broken, full or forgetful.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fdx::Amount;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Bank, BankProfile};

/// The position of every lever. `PUT` may name a part of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each lever is on or off by itself")]
pub struct FaultSettings {
    /// Milliseconds that every OAuth and FDX answer waits.
    pub latency_ms: u64,
    /// The status that OAuth and FDX calls fail with: 500 or 503.
    pub fail: Option<u16>,
    /// The share of calls that fail, from 0 to 1, spread evenly.
    pub fail_share: Amount,
    /// Whether the token endpoint answers at all.
    pub token_endpoint: EndpointStatus,
    /// What the revocation endpoint says.
    pub revoke: RevocationBehavior,
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
pub enum EndpointStatus {
    /// It does.
    Up,
    /// 503.
    Down,
}

/// What the revocation endpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationBehavior {
    /// 200, and the grant ends.
    Ok,
    /// 400 `unsupported_token_type`, and the grant lives.
    Refuse,
    /// 200 as for a token that is long gone, and nothing is done.
    Already,
}

impl Default for FaultSettings {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            fail: None,
            fail_share: Amount(Decimal::ONE),
            token_endpoint: EndpointStatus::Up,
            revoke: RevocationBehavior::Ok,
            rotate_refresh: false,
            invalid_grant_to_all: false,
            rate_limited: false,
            clock_skew_s: 0,
            hold: false,
        }
    }
}

impl FaultSettings {
    /// The positions that a bank begins with.
    pub(super) fn for_profile(look: &BankProfile) -> Self {
        Self { rotate_refresh: look.rotates_refresh_tokens, ..Self::default() }
    }

    /// What is wrong with the positions, if anything is; it names the lever.
    fn find_invalid(&self) -> Option<String> {
        let bounds = [
            ("latency_ms", self.latency_ms <= MAX_LATENCY_MS, "must be from 0 to 60000"),
            ("fail", matches!(self.fail, None | Some(500 | 503)), "must be null, 500 or 503"),
            (
                "fail_share",
                (Decimal::ZERO..=Decimal::ONE).contains(&self.fail_share.0),
                "must be from 0 to 1",
            ),
            (
                "clock_skew_s",
                self.clock_skew_s.unsigned_abs() <= MAX_CLOCK_SKEW_SECS,
                "must be at most a year",
            ),
        ];
        bounds.iter().find(|(_, right, _)| !right).map(|(name, _, why)| format!("{name} {why}"))
    }

    /// The positions with one lever pulled.
    fn with_value(&self, name: &str, position: &Value) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|e| e.to_string())?;
        match all.get_mut(name) {
            Some(place) => *place = position.clone(),
            None => return Err(format!("{name} is not a lever")),
        }
        serde_json::from_value(all).map_err(|error| format!("{name}: {error}"))
    }
}

const MAX_LATENCY_MS: u64 = 60_000;
const MAX_CLOCK_SKEW_SECS: u64 = 366 * 86_400;

/// `PUT /faults`: pulls those that are named.
pub(super) async fn set_faults(State(bank): State<Bank>, body: Bytes) -> Response {
    let wanted = serde_json::from_slice(&body).map_err(|error| format!("the body is not JSON: {error}"));
    match wanted.and_then(|wanted| bank.set_faults(&wanted)) {
        Ok(levers) => Json(levers).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response(),
    }
}

/// `DELETE /faults`: back to the bank's own positions.
pub(super) async fn reset_faults(State(bank): State<Bank>) -> Json<FaultSettings> {
    Json(bank.reset_faults())
}

/// `GET /faults/grants`.
pub(super) async fn list_grants(State(bank): State<Bank>) -> Response {
    Json(bank.grants().list_all()).into_response()
}

impl Bank {
    pub(super) fn reset_faults(&self) -> FaultSettings {
        let levers = FaultSettings::for_profile(self.0.profile);
        self.0.faults.send_replace(levers.clone());
        levers
    }

    /// Pulls the levers that are named, all or none; the error names the lever.
    pub(super) fn set_faults(&self, wanted: &Value) -> Result<FaultSettings, String> {
        let wanted = wanted.as_object().ok_or("the body must be an object of levers")?;
        let mut updated = Err(String::new());
        self.0.faults.send_if_modified(|levers| {
            updated =
                wanted.iter().try_fold(levers.clone(), |levers, (name, to)| levers.with_value(name, to));
            updated = match updated.clone() {
                Ok(new) => new.find_invalid().map_or(Ok(new), Err),
                error => error,
            };
            updated.as_ref().is_ok_and(|new| {
                levers.clone_from(new);
                true
            })
        });
        updated
    }

    /// Ends every consent of a customer; says how many there were.
    pub(super) fn end_consents_for(&self, username: &str) -> Result<usize, String> {
        if self.0.profile.books.find_customer(username).is_none() {
            return Err(format!("username {username:?} is not a customer here"));
        }
        self.grants().end_all_for_customer(username, self.now()).map_err(|error| error.to_string())
    }

    /// Whether this call is one of those that fail.
    fn should_fail(&self, levers: &FaultSettings) -> bool {
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let share = levers.fail_share.0;
        (Decimal::from(call + 1) * share).floor() > (Decimal::from(call) * share).floor()
    }
}

/// Obeys the levers that concern every OAuth and FDX call.
pub(super) async fn apply_faults(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    let levers = bank.0.faults.borrow().clone();
    if levers.latency_ms > 0 {
        #[expect(clippy::disallowed_methods, reason = "the lever is for slowness itself")]
        tokio::time::sleep(Duration::from_millis(levers.latency_ms)).await;
    }
    if levers.rate_limited {
        let body = Json(json!({"code": 1207, "message": "Too many requests"}));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "2")], body).into_response();
    }
    if let Some(status) = levers.fail.filter(|_| bank.should_fail(&levers)) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Json(json!({"code": status.as_u16(), "message": "Out of order"}));
        return (status, body).into_response();
    }
    next.run(request).await
}

/// Dates every answer by the bank's own clock.
pub(super) async fn add_date_header(State(bank): State<Bank>, request: Request, next: Next) -> Response {
    let now = jiff::Timestamp::from_millisecond(bank.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut response = next.run(request).await;
    let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::DATE, value);
    }
    let extra_headers = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in extra_headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
