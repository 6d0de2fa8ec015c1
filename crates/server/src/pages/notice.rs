//! Notices, which are short pages for cases that belong to no authorization request of the browser.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use domain::model::authorization_request::RequestStepError;
use domain::rule::authorize::AuthorizePageError;

use super::frame::PageFrame;
use super::render::render_plain_page;
use crate::error::InternalError;
use crate::http::PageLocale;
use crate::rate_limit::RateLimitError;

/// The kind of a notice page, which determines its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// The recipient that sent the browser is unknown or has no active registration.
    UnknownClient,
    /// The redirect URI is not registered for the recipient.
    UnknownRedirect,
    /// The link of a step names no authorization request: it is incomplete, wrong or too old.
    UnknownLink,
    /// The authorization request belongs to another browser, or this one has lost its cookie.
    OtherBrowser,
    /// A form was not sent by the hub's own page, or is incomplete.
    InvalidForm,
    /// The hub has no page at the requested path.
    NotFound,
    /// The network of the browser has sent too many requests.
    TooManyRequests,
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
            Self::UnknownLink => "unknown-link",
            Self::OtherBrowser => "other-browser",
            Self::InvalidForm => "invalid-form",
            Self::NotFound => "not-found",
            Self::TooManyRequests => "too-many-requests",
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
    fn from(error: RequestStepError) -> Self {
        match error {
            RequestStepError::ForeignBrowser => Self::OtherBrowser,
            // The page of a request of this browser shows that it has expired or is complete.
            RequestStepError::Unknown | RequestStepError::AlreadyTaken | RequestStepError::Expired => {
                Self::UnknownLink
            }
        }
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticeTemplate {
    frame: PageFrame,
    heading: String,
    message: String,
}

/// Renders a notice page.
pub fn render_notice(status: StatusCode, notice: NoticeKind, locale: &PageLocale) -> Response {
    let (frame, key) = (PageFrame::new(locale), notice.locale_key());
    let [heading, message] = ["title", "text"].map(|part| frame.texts.get(&format!("{key}-{part}")));
    render_plain_page(status, &NoticeTemplate { frame, heading, message })
}

/// Renders the notice of a temporary error, which asks to try again soon. It is also the response to a request that only explores
/// a link and must take no step: the status makes browsers discard what they have prefetched.
pub fn render_unavailable(locale: &PageLocale) -> Response {
    let kind = NoticeKind::TemporarilyUnavailable;
    let mut response = render_notice(StatusCode::SERVICE_UNAVAILABLE, kind, locale);
    crate::http::set_retry_after(&mut response, std::time::Duration::from_secs(1));
    response
}

/// Renders the notice for a request over a rate limit.
pub fn render_rate_limit_error(RateLimitError(wait): RateLimitError, locale: &PageLocale) -> Response {
    let mut response = render_notice(StatusCode::TOO_MANY_REQUESTS, NoticeKind::TooManyRequests, locale);
    crate::http::set_retry_after(&mut response, wait);
    response
}

/// Logs an internal error and renders a notice page without its details.
pub fn render_internal_error(error: &InternalError, locale: &PageLocale) -> Response {
    tracing::error!(%error, "page request failed with an internal error");
    if error.is_transient() {
        return render_unavailable(locale);
    }
    render_notice(StatusCode::INTERNAL_SERVER_ERROR, NoticeKind::InternalError, locale)
}
