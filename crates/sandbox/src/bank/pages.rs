//! The bank's own pages in two languages: plain forms without scripts.

mod consents;
mod fault_injection;
mod flow;
mod form;
mod page;

use askama::Template;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::form_fields::FormFields;
use super::state::Bank;
use crate::browser;
use crate::language::SandboxLanguage;
use page::{BankPageFrame, accepts_html, render_page};

pub(super) fn routes(bank: &Bank) -> Router<Bank> {
    let flow = flow::routes().layer(map_response(allow_external_forms));
    let others =
        Router::new().route("/", get(show_home)).merge(consents::routes()).merge(fault_injection::routes());
    let pages = flow.merge(others).fallback(show_not_found);
    let localized = pages.layer(from_fn_with_state(bank.clone(), select_language));
    localized.route("/static/bank.css", get(serve_css)).layer(map_response(browser::add_security_headers))
}

#[derive(Template)]
#[template(path = "bank/home.html")]
struct BankHomePage {
    frame: BankPageFrame,
}

async fn show_home(State(bank): State<Bank>, Extension(language): Extension<SandboxLanguage>) -> Response {
    render_page(StatusCode::OK, &BankHomePage { frame: bank.page_frame(language, "/") })
}

/// Responds with a page to browsers and with an empty body to API clients.
async fn show_not_found(
    State(bank): State<Bank>,
    Extension(language): Extension<SandboxLanguage>,
    headers: HeaderMap,
) -> Response {
    if accepts_html(&headers) {
        return bank.message_page(language, StatusCode::NOT_FOUND, "not-found");
    }
    StatusCode::NOT_FOUND.into_response()
}

async fn serve_css(State(bank): State<Bank>) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], bank.profile().css).into_response()
}

/// Selects the language of the page: from the link on a page, the sign-in session, the cookie, or the profile, in
/// this order.
async fn select_language(State(bank): State<Bank>, mut request: Request, next: Next) -> Response {
    let query = FormFields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let requested = query.get("lang").and_then(SandboxLanguage::from_tags);
    let remembered = bank.find_cookie(request.headers(), "lang").and_then(SandboxLanguage::from_tags);
    let language = if request.uri().path() == "/authorize" {
        // A new session has no language yet. What the client requests takes precedence over the cookie.
        requested.or_else(|| query.get("ui_locales").and_then(SandboxLanguage::from_tags)).or(remembered)
    } else {
        let mut sessions = bank.sign_in_sessions();
        let session_id = bank.find_cookie(request.headers(), "visit");
        if let (Some(id), Some(language)) = (session_id, requested) {
            sessions.set_language(id, language);
        }
        requested.or_else(|| sessions.language_of(session_id?)).or(remembered)
    };
    request.extensions_mut().insert(language.unwrap_or(bank.profile().language));
    let mut response = next.run(request).await;
    let cookie = requested.map(|language| bank.set_cookie("lang", language.lang(), 31_536_000));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Sets a content security policy that allows the forms of the authorization flow to redirect to the client.
async fn allow_external_forms(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(browser::EXTERNAL_FORM_CSP);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
