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

use super::{Bank, Look};

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

impl Levers {
    /// The positions that a bank begins with.
    pub(super) fn of(look: &Look) -> Self {
        Self { rotate_refresh: look.rotates, ..Self::default() }
    }

    /// What is wrong with the positions, if anything is; it names the lever.
    fn wrong(&self) -> Option<String> {
        let bounds = [
            ("latency_ms", self.latency_ms <= MOST_LATENCY, "must be from 0 to 60000"),
            ("fail", matches!(self.fail, None | Some(500 | 503)), "must be null, 500 or 503"),
            (
                "fail_share",
                (Decimal::ZERO..=Decimal::ONE).contains(&self.fail_share.0),
                "must be from 0 to 1",
            ),
            ("clock_skew_s", self.clock_skew_s.unsigned_abs() <= MOST_SKEW, "must be at most a year"),
        ];
        bounds.iter().find(|(_, right, _)| !right).map(|(name, _, why)| format!("{name} {why}"))
    }

    /// The positions with one lever pulled.
    fn with(&self, name: &str, position: &Value) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|e| e.to_string())?;
        match all.get_mut(name) {
            Some(place) => *place = position.clone(),
            None => return Err(format!("{name} is not a lever")),
        }
        serde_json::from_value(all).map_err(|error| format!("{name}: {error}"))
    }
}

const MOST_LATENCY: u64 = 60_000;
const MOST_SKEW: u64 = 366 * 86_400;

/// `PUT /levers`: pulls those that are named.
pub(super) async fn set(State(bank): State<Bank>, body: Bytes) -> Response {
    let wanted = serde_json::from_slice(&body).map_err(|error| format!("the body is not JSON: {error}"));
    match wanted.and_then(|wanted| bank.pull(&wanted)) {
        Ok(levers) => Json(levers).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response(),
    }
}

/// `DELETE /levers`: back to the bank's own positions.
pub(super) async fn reset(State(bank): State<Bank>) -> Json<Levers> {
    Json(bank.reset_levers())
}

/// `GET /levers/grants`.
pub(super) async fn grants(State(bank): State<Bank>) -> Response {
    Json(bank.grants().listed()).into_response()
}

impl Bank {
    pub(super) fn reset_levers(&self) -> Levers {
        let levers = Levers::of(self.0.look);
        self.0.levers.send_replace(levers.clone());
        levers
    }

    /// Pulls the levers that are named, all or none; the error names the lever.
    pub(super) fn pull(&self, wanted: &Value) -> Result<Levers, String> {
        let wanted = wanted.as_object().ok_or("the body must be an object of levers")?;
        let mut pulled = Err(String::new());
        self.0.levers.send_if_modified(|levers| {
            pulled = wanted.iter().try_fold(levers.clone(), |levers, (name, to)| levers.with(name, to));
            pulled = match pulled.clone() {
                Ok(new) => new.wrong().map_or(Ok(new), Err),
                error => error,
            };
            pulled.as_ref().is_ok_and(|new| {
                levers.clone_from(new);
                true
            })
        });
        pulled
    }

    /// Ends every consent of a customer; says how many there were.
    pub(super) fn end_consents_of(&self, username: &str) -> Result<usize, String> {
        if self.0.look.books.person(username).is_none() {
            return Err(format!("username {username:?} is not a customer here"));
        }
        self.grants().end_all_of(username, self.now()).map_err(|error| error.to_string())
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
