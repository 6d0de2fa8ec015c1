//! The bank's own pages, in two languages. Plain forms, no script.

mod consents;
mod flow;
mod form;
mod levers;

use askama::Template;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::visits::Over;
use super::{Bank, Look};
use crate::browser;
use crate::text::Text;
use form::Fields;

pub(super) fn routes(bank: &Bank) -> Router<Bank> {
    let flow = flow::routes().layer(map_response(guides_on));
    let others = Router::new().route("/", get(home)).merge(consents::routes()).merge(levers::routes());
    let pages = flow.merge(others).fallback(not_found);
    let speaking = pages.layer(from_fn_with_state(bank.clone(), speak));
    speaking.route("/static/bank.css", get(css)).layer(map_response(browser::secured))
}

/// What every page has around it.
struct Shell {
    look: &'static Look,
    text: Text,
    /// The page in the other language is found here.
    path: &'static str,
}

impl Shell {
    fn t(&self, key: &str) -> String {
        self.text.t(key)
    }

    fn with(&self, key: &str, name: &'static str, value: &str) -> String {
        self.text.with(key, name, value)
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
        self.text.long_day(fdx::Date(date))
    }
}

#[derive(Template)]
#[template(path = "bank/home.html")]
struct Home {
    shell: Shell,
}

#[derive(Template)]
#[template(path = "bank/message.html")]
struct Message {
    shell: Shell,
    title: String,
    text: String,
}

impl Bank {
    fn shell(&self, text: Text, path: &'static str) -> Shell {
        Shell { look: self.0.look, text, path }
    }

    /// A page with nothing to do on it: `bank-KEY-title` and `bank-KEY-text`.
    fn message(&self, text: Text, status: StatusCode, key: &str) -> Response {
        let shell = self.shell(text, "");
        let title = shell.t(&format!("bank-{key}-title"));
        let text = shell.named(&format!("bank-{key}-text"));
        rendered(status, &Message { shell, title, text })
    }

    fn foreign_form(&self, text: Text) -> Response {
        self.message(text, StatusCode::BAD_REQUEST, "foreign-form")
    }

    fn over(&self, text: Text, over: Over) -> Response {
        self.message(text, StatusCode::BAD_REQUEST, &format!("over-{}", over.key()))
    }
}

async fn home(State(bank): State<Bank>, Extension(text): Extension<Text>) -> Response {
    rendered(StatusCode::OK, &Home { shell: bank.shell(text, "/") })
}

/// A page for people, nothing for programs.
async fn not_found(
    State(bank): State<Bank>,
    Extension(text): Extension<Text>,
    headers: HeaderMap,
) -> Response {
    if wants_page(&headers) {
        return bank.message(text, StatusCode::NOT_FOUND, "not-found");
    }
    StatusCode::NOT_FOUND.into_response()
}

/// Whether a browser asks.
fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

async fn css(State(bank): State<Bank>) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], bank.0.look.css).into_response()
}

fn rendered(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A redirect within the bank, after a form.
fn onward(path: &str) -> Response {
    Redirect::to(path).into_response()
}

fn broken() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Finds the language: the one chosen by a link on the page, else the visit's, else the one chosen before, else
/// the bank's own.
async fn speak(State(bank): State<Bank>, mut request: Request, next: Next) -> Response {
    let query = Fields::of(request.uri().query().unwrap_or_default().as_bytes());
    let chosen = query.get("lang").and_then(Text::from_tags);
    let before = bank.cookie(request.headers(), "lang").and_then(Text::from_tags);
    let text = if request.uri().path() == "/authorize" {
        chosen.or_else(|| query.get("ui_locales").and_then(Text::from_tags)).or(before)
    } else {
        let mut visits = bank.visits();
        let visit = bank.cookie(request.headers(), "visit");
        if let (Some(id), Some(text)) = (visit, chosen) {
            visits.speak(id, text);
        }
        chosen.or_else(|| visits.text_of(visit?)).or(before)
    };
    request.extensions_mut().insert(text.unwrap_or(bank.0.look.language));
    let mut response = next.run(request).await;
    let cookie = chosen.map(|text| bank.set_cookie("lang", text.lang(), 31_536_000));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A page that leads to another party.
async fn guides_on(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(browser::ON_THE_WAY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_as_people_write_it() {
        let day =
            |text: Text, millis: i64| Shell { look: &super::super::look::MAPLE, text, path: "" }.day(millis);
        assert_eq!(day(Text::En, 1_795_500_000_000), "November 24, 2026");
        assert_eq!(day(Text::Fr, 1_795_500_000_000), "24 novembre 2026");
        assert_eq!(day(Text::Fr, 1_793_500_000_000), "1er novembre 2026");
        for month in 0..12 {
            let millis = 1_767_900_000_000 + month * 2_629_800_000;
            for text in [Text::En, Text::Fr] {
                assert!(!day(text, millis).contains("Unknown"), "{}", day(text, millis));
            }
        }
    }
}
