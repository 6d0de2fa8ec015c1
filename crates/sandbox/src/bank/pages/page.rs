//! The layout of every page of a bank, and responses that all pages share.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::super::login_sessions::SessionEndReason;
use super::super::profile::BankProfile;
use super::super::state::Bank;
use crate::language::SandboxLanguage;

/// The data that the layout of every page of a bank needs.
pub(super) struct BankPageFrame {
    pub(super) profile: &'static BankProfile,
    pub(super) language: SandboxLanguage,
    /// The path of the page, for the link to the other language.
    pub(super) path: &'static str,
}

/// The functions that the HTML templates of the bank's pages call.
impl BankPageFrame {
    pub(super) fn t(&self, key: &str) -> String {
        self.language.t(key)
    }

    pub(super) fn t_with(&self, key: &str, name: &'static str, value: &str) -> String {
        self.language.texts().format(key, &[(name, value)])
    }

    /// Returns a text that contains the name of the bank.
    pub(super) fn t_with_bank(&self, key: &str) -> String {
        self.t_with(key, "bank", self.profile.name)
    }

    /// Returns the text that describes one value of a group: `bank-GROUP-VALUE`, followed by the suffix.
    pub(super) fn t_value(&self, group: &str, value: &str, suffix: &str) -> String {
        self.t(&format!("bank-{group}-{value}{suffix}"))
    }

    pub(super) fn motto(&self) -> String {
        self.t(&format!("bank-motto-{}", self.profile.key))
    }

    pub(super) fn format_day(&self, millis: i64) -> String {
        let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        self.language.format_long_day(fdx::Date(date))
    }
}

#[derive(Template)]
#[template(path = "bank/message.html")]
struct BankMessagePage {
    frame: BankPageFrame,
    title: String,
    text: String,
}

impl Bank {
    pub(super) fn page_frame(&self, language: SandboxLanguage, path: &'static str) -> BankPageFrame {
        BankPageFrame { profile: self.profile(), language, path }
    }

    /// Renders a page that only shows a message, from the texts `bank-KEY-title` and `bank-KEY-text`.
    pub(super) fn message_page(&self, language: SandboxLanguage, status: StatusCode, key: &str) -> Response {
        let frame = self.page_frame(language, "");
        let title = frame.t(&format!("bank-{key}-title"));
        let text = frame.t_with_bank(&format!("bank-{key}-text"));
        render_page(status, &BankMessagePage { frame, title, text })
    }

    pub(super) fn reject_foreign_form(&self, language: SandboxLanguage) -> Response {
        self.message_page(language, StatusCode::BAD_REQUEST, "foreign-form")
    }

    pub(super) fn session_ended_page(&self, language: SandboxLanguage, reason: SessionEndReason) -> Response {
        self.message_page(language, StatusCode::BAD_REQUEST, &format!("session-{}", reason.text_key()))
    }
}

/// Returns true if the client accepts HTML, as browsers do.
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

pub(super) fn render_page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => internal_error(),
    }
}

/// Redirects to a page of the bank after a form, so that a reload does not send the form again.
pub(super) fn redirect_to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

pub(super) fn internal_error() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::profile::MAPLE;

    #[test]
    fn bank_page_dates_are_written_in_words() {
        let day = |language: SandboxLanguage, millis: i64| {
            BankPageFrame { profile: &MAPLE, language, path: "" }.format_day(millis)
        };

        assert_eq!(day(SandboxLanguage::En, 1_795_500_000_000), "November 24, 2026");
        assert_eq!(day(SandboxLanguage::Fr, 1_795_500_000_000), "24 novembre 2026");
        assert_eq!(day(SandboxLanguage::Fr, 1_793_500_000_000), "1er novembre 2026");
        for month in 0..12 {
            let millis = 1_767_900_000_000 + month * 2_629_800_000;
            for language in [SandboxLanguage::En, SandboxLanguage::Fr] {
                assert!(!day(language, millis).contains("Unknown"), "{}", day(language, millis));
            }
        }
    }
}
