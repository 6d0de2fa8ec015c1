//! The fault injection page: a form for every setting, the grants, and a form that ends a customer's consents.

use askama::Template;
use axum::extract::{Extension, RawForm, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Map, Number, Value, json};

use super::super::fault_injection;
use super::super::fault_settings::{DataFault, EndpointStatus, FaultSettings};
use super::super::form_fields::FormFields;
use super::super::grants::GrantSummary;
use super::super::state::{Bank, Login};
use super::super::token_faults::{RevocationBehavior, TokenResponseFault};
use super::page::{BankPageFrame, accepts_html, redirect_to, render_page};
use crate::language::SandboxLanguage;

const PATH: &str = "/faults";

pub(super) fn routes() -> Router<Bank> {
    let faults = get(show_faults)
        .post(submit_faults)
        .put(fault_injection::set_faults)
        .delete(fault_injection::reset_faults);
    let router = Router::new();
    // `/levers` is the former name of these paths. It is removed with the first release.
    [PATH, "/levers"].into_iter().fold(router, |router, path| {
        router
            .route(path, faults.clone())
            .route(&format!("{path}/grants"), get(fault_injection::list_grants))
            .route(&format!("{path}/consents/end"), post(end_consents))
    })
}

#[derive(Template)]
#[template(path = "bank/faults.html")]
struct FaultsPage<'a> {
    frame: BankPageFrame,
    csrf_token: &'a str,
    faults: FaultSettings,
    grants: Vec<GrantSummary>,
    logins: Vec<Login>,
    /// The last part of the text key of the message that reports a success.
    success: Option<&'a str>,
    error: Option<String>,
}

/// The functions that the HTML template of the fault injection page calls.
impl FaultsPage<'_> {
    fn fails_with(&self, status: u16) -> bool {
        self.faults.fail == Some(status)
    }

    fn is_token_endpoint_down(&self) -> bool {
        self.faults.token_endpoint == EndpointStatus::Down
    }

    /// Returns the values of a setting that has several, each with whether it is the current one.
    fn options(&self, name: &str) -> Vec<(&'static str, bool)> {
        let FaultSettings { token_response, revoke, .. } = &self.faults;
        if name == "revoke" {
            RevocationBehavior::ALL.iter().map(|value| (value.as_str(), value == revoke)).collect()
        } else {
            TokenResponseFault::ALL.iter().map(|value| (value.as_str(), value == token_response)).collect()
        }
    }

    /// Returns the values of the setting `data`, and whether each is set.
    fn data_faults(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let current = self.faults.data;
        DataFault::ALL.iter().map(move |fault| (fault.as_str(), *fault == current))
    }

    /// Returns the text of the setting `history_days`.
    fn history_days(&self) -> String {
        self.faults.history_days.map(|days| days.to_string()).unwrap_or_default()
    }

    /// Returns the names and values of those fault settings that are booleans.
    fn switches(&self) -> [(&'static str, bool); 4] {
        [
            ("rotate_refresh", self.faults.rotate_refresh),
            ("invalid_grant_to_all", self.faults.invalid_grant_to_all),
            ("rate_limited", self.faults.rate_limited),
            ("hold", self.faults.hold),
        ]
    }
}

/// Responds with the page to browsers and with JSON to API clients.
async fn show_faults(
    State(bank): State<Bank>,
    Extension(language): Extension<SandboxLanguage>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if !accepts_html(&headers) {
        return Json(bank.faults().borrow().clone()).into_response();
    }
    let success = query.as_deref().filter(|query| matches!(*query, "set" | "reset" | "ended"));
    render_faults_page(&bank, language, success, None)
}

fn render_faults_page(
    bank: &Bank,
    language: SandboxLanguage,
    success: Option<&str>,
    error: Option<String>,
) -> Response {
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = FaultsPage {
        frame: bank.page_frame(language, PATH),
        csrf_token: bank.csrf_token(),
        faults: bank.faults().borrow().clone(),
        grants: bank.grants().list_all(),
        logins: bank.logins(),
        success,
        error,
    };
    render_page(status, &page)
}

impl Bank {
    /// Returns true if a form comes from the fault injection page. The page needs no sign-in, so its forms share one
    /// token for the run of the bank.
    fn is_own_form(&self, headers: &HeaderMap, form: &FormFields) -> bool {
        let token = form.get("csrf_token").unwrap_or_default();
        self.is_same_origin(headers) && crate::random::constant_time_eq(token, self.csrf_token())
    }
}

async fn submit_faults(
    State(bank): State<Bank>,
    Extension(language): Extension<SandboxLanguage>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Response {
    let form = FormFields::parse(&form);
    if !bank.is_own_form(&headers, &form) {
        return bank.reject_foreign_form(language);
    }
    if form.get("action") == Some("reset") {
        bank.reset_faults();
        return redirect_to("/faults?reset");
    }
    match bank.set_faults(&parse_fault_form(&form)) {
        Ok(_) => redirect_to("/faults?set"),
        Err(error) => render_faults_page(&bank, language, None, Some(error)),
    }
}

/// Converts the form to the JSON that `PUT /faults` accepts.
fn parse_fault_form(form: &FormFields) -> Value {
    let mut faults = Map::new();
    for name in ["latency_ms", "fail", "fail_share", "clock_skew_s", "history_days"] {
        let text = form.get(name).unwrap_or_default().trim();
        // Text that is not a number stays text, so that the check of the settings reports it with its name.
        let value = serde_json::from_str::<Number>(text).map_or_else(|_| Value::from(text), Value::Number);
        faults.insert(name.to_owned(), if text.is_empty() { Value::Null } else { value });
    }
    for name in ["token_endpoint", "token_response", "revoke", "data"] {
        faults.insert(name.to_owned(), form.get(name).unwrap_or_default().into());
    }
    // A browser does not send the field of an unchecked checkbox.
    for name in ["rotate_refresh", "invalid_grant_to_all", "rate_limited", "hold"] {
        faults.insert(name.to_owned(), form.get(name).is_some().into());
    }
    Value::Object(faults)
}

/// Ends a customer's consents, requested by the form of the page or as JSON: `{"username": "alice"}`.
async fn end_consents(
    State(bank): State<Bank>,
    Extension(language): Extension<SandboxLanguage>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if media_type.starts_with("application/x-www-form-urlencoded") {
        let form = FormFields::parse(&body);
        if !bank.is_own_form(&headers, &form) {
            return bank.reject_foreign_form(language);
        }
        return match bank.end_consents_for(form.get("username").unwrap_or_default()) {
            Ok(_) => redirect_to("/faults?ended"),
            Err(error) => render_faults_page(&bank, language, None, Some(error)),
        };
    }
    let request = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match bank.end_consents_for(request["username"].as_str().unwrap_or_default()) {
        Ok(ended) => Json(json!({ "ended": ended })).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}
