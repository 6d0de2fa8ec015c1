//! The levers for people: a form for each, the grants, and a way to end a customer's consents.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, RawForm, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::super::fault_injection::{self, EndpointStatus, FaultSettings, RevocationBehavior};
use super::super::grants::GrantSummary;
use super::super::{Bank, Login};
use super::form::FormFields;
use super::{Shell, accepts_html, redirect_to, render_page};
use crate::text::SandboxLanguage;

const PATH: &str = "/faults";

pub(super) fn routes() -> Router<Bank> {
    let faults = get(show_faults)
        .post(submit_faults)
        .put(fault_injection::set_faults)
        .delete(fault_injection::reset_faults);
    let router = Router::new();
    // `/levers` is the former name of these paths. It keeps working until the first release, and goes then.
    [PATH, "/levers"].into_iter().fold(router, |router, path| {
        router
            .route(path, faults.clone())
            .route(&format!("{path}/grants"), get(fault_injection::list_grants))
            .route(&format!("{path}/consents/end"), axum::routing::post(end_consents))
    })
}

#[derive(Template)]
#[template(path = "bank/levers.html")]
struct FaultsPage<'a> {
    shell: Shell,
    csrf_token: &'a str,
    levers: FaultSettings,
    grants: Vec<GrantSummary>,
    logins: Vec<Login>,
    done: Option<&'a str>,
    wrong: Option<String>,
}

impl FaultsPage<'_> {
    fn fails_with(&self, status: u16) -> bool {
        self.levers.fail == Some(status)
    }

    fn endpoint_down(&self) -> bool {
        self.levers.token_endpoint == EndpointStatus::Down
    }

    fn revoke_says(&self, word: &str) -> bool {
        let current = match self.levers.revoke {
            RevocationBehavior::Ok => "ok",
            RevocationBehavior::Refuse => "refuse",
            RevocationBehavior::Already => "already",
        };
        current == word
    }

    /// The switches: name, position.
    fn switches(&self) -> [(&'static str, bool); 4] {
        [
            ("rotate_refresh", self.levers.rotate_refresh),
            ("invalid_grant_to_all", self.levers.invalid_grant_to_all),
            ("rate_limited", self.levers.rate_limited),
            ("hold", self.levers.hold),
        ]
    }
}

/// A browser gets a page, anything else JSON.
async fn show_faults(
    State(bank): State<Bank>,
    Extension(text): Extension<SandboxLanguage>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if !accepts_html(&headers) {
        return axum::Json(bank.0.faults.borrow().clone()).into_response();
    }
    let done = query.as_deref().filter(|query| matches!(*query, "set" | "reset" | "ended"));
    render_faults_page(&bank, text, done, None)
}

fn render_faults_page(
    bank: &Bank,
    text: SandboxLanguage,
    done: Option<&str>,
    wrong: Option<String>,
) -> Response {
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = FaultsPage {
        shell: bank.shell(text, PATH),
        csrf_token: &bank.0.csrf_token,
        levers: bank.0.faults.borrow().clone(),
        grants: bank.grants().list_all(),
        logins: bank.logins(),
        done,
        wrong,
    };
    render_page(status, &page)
}

impl Bank {
    fn is_own_form(&self, headers: &HeaderMap, form: &FormFields) -> bool {
        let token = form.get("csrf_token").unwrap_or_default();
        self.is_same_origin(headers) && crate::random::constant_time_eq(token, &self.0.csrf_token)
    }
}

async fn submit_faults(
    State(bank): State<Bank>,
    Extension(text): Extension<SandboxLanguage>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Response {
    let form = FormFields::parse(&form);
    if !bank.is_own_form(&headers, &form) {
        return bank.reject_foreign_form(text);
    }
    if form.get("action") == Some("reset") {
        bank.reset_faults();
        return redirect_to("/faults?reset");
    }
    match bank.set_faults(&parse_fault_form(&form)) {
        Ok(_) => redirect_to("/faults?set"),
        Err(wrong) => render_faults_page(&bank, text, None, Some(wrong)),
    }
}

/// A form as the JSON that `PUT` takes: a switch that is off is not sent, what is no number stays a text.
fn parse_fault_form(form: &FormFields) -> Value {
    let mut faults = Map::new();
    for name in ["latency_ms", "fail", "fail_share", "clock_skew_s"] {
        let text = form.get(name).unwrap_or_default().trim();
        let number = serde_json::from_str::<serde_json::Number>(text);
        let value = number.map_or_else(|_| Value::from(text), Value::Number);
        faults.insert(name.to_owned(), if text.is_empty() { Value::Null } else { value });
    }
    for name in ["token_endpoint", "revoke"] {
        faults.insert(name.to_owned(), form.get(name).unwrap_or_default().into());
    }
    for name in ["rotate_refresh", "invalid_grant_to_all", "rate_limited", "hold"] {
        faults.insert(name.to_owned(), form.get(name).is_some().into());
    }
    Value::Object(faults)
}

/// Takes `{"username"}` as JSON, and the page's form.
async fn end_consents(
    State(bank): State<Bank>,
    Extension(text): Extension<SandboxLanguage>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let form = FormFields::parse(&body);
        if !bank.is_own_form(&headers, &form) {
            return bank.reject_foreign_form(text);
        }
        return match bank.end_consents_for(form.get("username").unwrap_or_default()) {
            Ok(_) => redirect_to("/faults?ended"),
            Err(wrong) => render_faults_page(&bank, text, None, Some(wrong)),
        };
    }
    let request = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match bank.end_consents_for(request["username"].as_str().unwrap_or_default()) {
        Ok(ended) => axum::Json(json!({ "ended": ended })).into_response(),
        Err(wrong) => (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": wrong }))).into_response(),
    }
}
