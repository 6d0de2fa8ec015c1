//! Notices, which are short pages in both languages for cases where the customer's language is not known.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use domain::model::authorization_request::RequestStepError;
use domain::rule::authorize::{AuthorizePageError, Language};

use super::render::render_plain_page;
use super::text::PageTexts;
use crate::error::InternalError;

/// The kind of a notice page, which determines its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// The recipient that sent the browser is unknown or has no active registration.
    UnknownClient,
    /// The redirect URI is not registered for the recipient.
    UnknownRedirect,
    /// The authorization request has expired, was already used or belongs to another browser.
    FlowEnded,
    /// A form was not sent by the hub's own page, or is incomplete.
    InvalidForm,
    /// The hub has no page at the requested path.
    NotFound,
    /// A temporary error: a retry may succeed soon.
    TemporarilyUnavailable,
    InternalError,
    /// The text of the home page.
    Welcome,
}

impl NoticeKind {
    const fn locale_key(self) -> &'static str {
        match self {
            Self::UnknownClient => "unknown-client",
            Self::UnknownRedirect => "unknown-redirect",
            Self::FlowEnded => "flow-ended",
            Self::InvalidForm => "invalid-form",
            Self::NotFound => "not-found",
            Self::TemporarilyUnavailable => "temporarily-unavailable",
            Self::InternalError => "internal-error",
            Self::Welcome => "welcome",
        }
    }

    /// Returns the notice for an error for which only the HTTP status is known.
    pub fn for_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Self::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Self::TemporarilyUnavailable,
            _ => Self::InternalError,
        }
    }
}

impl From<AuthorizePageError> for NoticeKind {
    fn from(error: AuthorizePageError) -> Self {
        match error {
            AuthorizePageError::UnknownClient => Self::UnknownClient,
            AuthorizePageError::UnknownRedirect => Self::UnknownRedirect,
        }
    }
}

impl From<RequestStepError> for NoticeKind {
    fn from(_: RequestStepError) -> Self {
        // One notice for all these errors: an attacker who guesses an id must not learn whether the request exists.
        Self::FlowEnded
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticeTemplate {
    title: String,
    sections: [NoticeSection; 2],
}

/// The texts of a notice in one language.
struct NoticeSection {
    lang: &'static str,
    heading: String,
    message: String,
}

impl NoticeSection {
    fn new(language: Language, notice: NoticeKind) -> Self {
        let (texts, key) = (PageTexts::new(language), notice.locale_key());
        Self {
            lang: texts.lang(),
            heading: texts.get(&format!("{key}-title")),
            message: texts.get(&format!("{key}-text")),
        }
    }
}

/// Renders a notice page in English and French.
pub fn render_notice(status: StatusCode, notice: NoticeKind) -> Response {
    let sections = [Language::En, Language::Fr].map(|language| NoticeSection::new(language, notice));
    render_plain_page(status, &NoticeTemplate { title: sections[0].heading.clone(), sections })
}

/// Logs an internal error and renders a notice page without its details.
pub fn render_internal_error(error: &InternalError) -> Response {
    tracing::error!(%error, "page request failed with an internal error");
    if !error.is_transient() {
        return render_notice(StatusCode::INTERNAL_SERVER_ERROR, NoticeKind::InternalError);
    }
    let mut response = render_notice(StatusCode::SERVICE_UNAVAILABLE, NoticeKind::TemporarilyUnavailable);
    crate::http::set_retry_after(&mut response, std::time::Duration::from_secs(1));
    response
}
