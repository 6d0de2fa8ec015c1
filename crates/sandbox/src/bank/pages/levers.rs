//! The levers for people: a form for each, the grants, and a way to end a customer's consents.

use askama::Template;
use axum::Router;
use axum::extract::{Extension, RawForm, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::super::grants::Listed;
use super::super::levers::{self, Endpoint, Levers, Revoke};
use super::super::{Bank, Login};
use super::form::Fields;
use super::{Shell, onward, rendered, wants_page};
use crate::text::Text;

const PATH: &str = "/levers";

pub(super) fn routes() -> Router<Bank> {
    let levers = get(show).post(pull).put(levers::set).delete(levers::reset);
    Router::new()
        .route(PATH, levers)
        .route("/levers/grants", get(levers::grants))
        .route("/levers/consents/end", axum::routing::post(end_consents))
}

#[derive(Template)]
#[template(path = "bank/levers.html")]
struct Page<'a> {
    shell: Shell,
    form_token: &'a str,
    levers: Levers,
    grants: Vec<Listed>,
    logins: Vec<Login>,
    done: Option<&'a str>,
    wrong: Option<String>,
}

impl Page<'_> {
    fn fails_with(&self, status: u16) -> bool {
        self.levers.fail == Some(status)
    }

    fn endpoint_down(&self) -> bool {
        self.levers.token_endpoint == Endpoint::Down
    }

    fn revoke_says(&self, word: &str) -> bool {
        let said = match self.levers.revoke {
            Revoke::Ok => "ok",
            Revoke::Refuse => "refuse",
            Revoke::Already => "already",
        };
        said == word
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
async fn show(
    State(bank): State<Bank>,
    Extension(text): Extension<Text>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if !wants_page(&headers) {
        return axum::Json(bank.0.levers.borrow().clone()).into_response();
    }
    let done = query.as_deref().filter(|query| matches!(*query, "set" | "reset" | "ended"));
    page(&bank, text, done, None)
}

fn page(bank: &Bank, text: Text, done: Option<&str>, wrong: Option<String>) -> Response {
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = Page {
        shell: bank.shell(text, PATH),
        form_token: &bank.0.form_token,
        levers: bank.0.levers.borrow().clone(),
        grants: bank.grants().listed(),
        logins: bank.logins(),
        done,
        wrong,
    };
    rendered(status, &page)
}

impl Bank {
    fn own_lever_form(&self, headers: &HeaderMap, form: &Fields) -> bool {
        let token = form.get("form_token").unwrap_or_default();
        self.own_origin(headers) && crate::random::equal(token, &self.0.form_token)
    }
}

async fn pull(
    State(bank): State<Bank>,
    Extension(text): Extension<Text>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Response {
    let form = Fields::of(&form);
    if !bank.own_lever_form(&headers, &form) {
        return bank.foreign_form(text);
    }
    if form.get("action") == Some("reset") {
        bank.reset_levers();
        return onward("/levers?reset");
    }
    match bank.pull(&wanted(&form)) {
        Ok(_) => onward("/levers?set"),
        Err(wrong) => page(&bank, text, None, Some(wrong)),
    }
}

/// A form as the JSON that `PUT` takes: a switch that is off is not sent, what is no number stays a text.
fn wanted(form: &Fields) -> Value {
    let mut wanted = Map::new();
    for name in ["latency_ms", "fail", "fail_share", "clock_skew_s"] {
        let text = form.get(name).unwrap_or_default().trim();
        let number = serde_json::from_str::<serde_json::Number>(text);
        let value = number.map_or_else(|_| Value::from(text), Value::Number);
        wanted.insert(name.to_owned(), if text.is_empty() { Value::Null } else { value });
    }
    for name in ["token_endpoint", "revoke"] {
        wanted.insert(name.to_owned(), form.get(name).unwrap_or_default().into());
    }
    for name in ["rotate_refresh", "invalid_grant_to_all", "rate_limited", "hold"] {
        wanted.insert(name.to_owned(), form.get(name).is_some().into());
    }
    Value::Object(wanted)
}

/// Takes `{"username"}` as JSON, and the page's form.
async fn end_consents(
    State(bank): State<Bank>,
    Extension(text): Extension<Text>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let form = Fields::of(&body);
        if !bank.own_lever_form(&headers, &form) {
            return bank.foreign_form(text);
        }
        return match bank.end_consents_of(form.get("username").unwrap_or_default()) {
            Ok(_) => onward("/levers?ended"),
            Err(wrong) => page(&bank, text, None, Some(wrong)),
        };
    }
    let whose = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match bank.end_consents_of(whose["username"].as_str().unwrap_or_default()) {
        Ok(ended) => axum::Json(json!({ "ended": ended })).into_response(),
        Err(wrong) => (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": wrong }))).into_response(),
    }
}
