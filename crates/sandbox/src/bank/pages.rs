//! The bank's own pages, in two languages. Plain forms, no script.

mod consents;
mod fault_injection;
mod flow;
mod form;

use askama::Template;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::login_sessions::SessionEndReason;
use super::{Bank, BankProfile};
use crate::browser;
use crate::text::SandboxLanguage;
use form::FormFields;

pub(super) fn routes(bank: &Bank) -> Router<Bank> {
    let flow = flow::routes().layer(map_response(allow_external_forms));
    let others =
        Router::new().route("/", get(show_home)).merge(consents::routes()).merge(fault_injection::routes());
    let pages = flow.merge(others).fallback(show_not_found);
    let localized = pages.layer(from_fn_with_state(bank.clone(), select_language));
    localized.route("/static/bank.css", get(serve_css)).layer(map_response(browser::add_security_headers))
}

/// What every page has around it.
struct Shell {
    look: &'static BankProfile,
    text: SandboxLanguage,
    /// The page in the other language is found here.
    path: &'static str,
}

impl Shell {
    fn t(&self, key: &str) -> String {
        self.text.t(key)
    }

    fn with(&self, key: &str, name: &'static str, value: &str) -> String {
        self.text.translate_with(key, name, value)
    }

    /// The text of one of several words of a kind.
    fn of(&self, kind: &str, word: &str, end: &str) -> String {
        self.t(&format!("bank-{kind}-{word}{end}"))
    }

    fn named(&self, key: &str) -> String {
        self.with(key, "bank", self.look.name)
    }

    fn motto(&self) -> String {
        self.t(&format!("bank-motto-{}", self.look.key))
    }

    /// A day as people write it.
    fn day(&self, millis: i64) -> String {
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        self.text.format_long_day(fdx::Date(date))
    }
}

#[derive(Template)]
#[template(path = "bank/home.html")]
struct BankHomePage {
    shell: Shell,
}

#[derive(Template)]
#[template(path = "bank/message.html")]
struct BankMessagePage {
    shell: Shell,
    title: String,
    text: String,
}

impl Bank {
    fn shell(&self, text: SandboxLanguage, path: &'static str) -> Shell {
        Shell { look: self.0.profile, text, path }
    }

    /// A page with nothing to do on it: `bank-KEY-title` and `bank-KEY-text`.
    fn message_page(&self, text: SandboxLanguage, status: StatusCode, key: &str) -> Response {
        let shell = self.shell(text, "");
        let title = shell.t(&format!("bank-{key}-title"));
        let text = shell.named(&format!("bank-{key}-text"));
        render_page(status, &BankMessagePage { shell, title, text })
    }

    fn reject_foreign_form(&self, text: SandboxLanguage) -> Response {
        self.message_page(text, StatusCode::BAD_REQUEST, "foreign-form")
    }

    fn session_ended_page(&self, text: SandboxLanguage, over: SessionEndReason) -> Response {
        self.message_page(text, StatusCode::BAD_REQUEST, &format!("over-{}", over.key()))
    }
}

async fn show_home(State(bank): State<Bank>, Extension(text): Extension<SandboxLanguage>) -> Response {
    render_page(StatusCode::OK, &BankHomePage { shell: bank.shell(text, "/") })
}

/// A page for people, nothing for programs.
async fn show_not_found(
    State(bank): State<Bank>,
    Extension(text): Extension<SandboxLanguage>,
    headers: HeaderMap,
) -> Response {
    if accepts_html(&headers) {
        return bank.message_page(text, StatusCode::NOT_FOUND, "not-found");
    }
    StatusCode::NOT_FOUND.into_response()
}

/// Whether a browser asks.
fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

async fn serve_css(State(bank): State<Bank>) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], bank.0.profile.css).into_response()
}

fn render_page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A redirect within the bank, after a form.
fn redirect_to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

fn internal_error() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Finds the language: the one chosen by a link on the page, else the visit's, else the one chosen before, else
/// the bank's own.
async fn select_language(State(bank): State<Bank>, mut request: Request, next: Next) -> Response {
    let query = FormFields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let chosen = query.get("lang").and_then(SandboxLanguage::from_tags);
    let before = bank.find_cookie(request.headers(), "lang").and_then(SandboxLanguage::from_tags);
    let text = if request.uri().path() == "/authorize" {
        chosen.or_else(|| query.get("ui_locales").and_then(SandboxLanguage::from_tags)).or(before)
    } else {
        let mut visits = bank.sign_in_sessions();
        let visit = bank.find_cookie(request.headers(), "visit");
        if let (Some(id), Some(text)) = (visit, chosen) {
            visits.set_language(id, text);
        }
        chosen.or_else(|| visits.language_of(visit?)).or(before)
    };
    request.extensions_mut().insert(text.unwrap_or(bank.0.profile.language));
    let mut response = next.run(request).await;
    let cookie = chosen.map(|text| bank.set_cookie("lang", text.lang(), 31_536_000));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A page that leads to another party.
async fn allow_external_forms(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(browser::EXTERNAL_FORM_CSP);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bank_page_dates_are_written_in_words() {
        let day = |text: SandboxLanguage, millis: i64| {
            Shell { look: &super::super::profile::MAPLE, text, path: "" }.day(millis)
        };
        assert_eq!(day(SandboxLanguage::En, 1_795_500_000_000), "November 24, 2026");
        assert_eq!(day(SandboxLanguage::Fr, 1_795_500_000_000), "24 novembre 2026");
        assert_eq!(day(SandboxLanguage::Fr, 1_793_500_000_000), "1er novembre 2026");
        for month in 0..12 {
            let millis = 1_767_900_000_000 + month * 2_629_800_000;
            for text in [SandboxLanguage::En, SandboxLanguage::Fr] {
                assert!(!day(text, millis).contains("Unknown"), "{}", day(text, millis));
            }
        }
    }
}
