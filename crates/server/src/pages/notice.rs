//! Notices: one page in both languages, where nothing else is known of the reader.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use domain::model::authorization_request::RequestStepError;
use domain::rule::authorize::{AuthorizePageError, Language};

use super::{PageTexts, render_plain_page};
use crate::error::InternalError;

/// What a person is told when there is nowhere to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// The service that sent the browser is not known, or may not send it.
    UnknownClient,
    /// The address to come back to is not registered.
    UnknownRedirect,
    /// The visit is over, was used, or is another browser's.
    FlowEnded,
    /// The form did not come from our page.
    ForeignForm,
    /// There is nothing here.
    NotFound,
    /// Try again.
    TemporarilyUnavailable,
    /// Our own trouble.
    InternalError,
    /// The front door.
    Welcome,
}

impl NoticeKind {
    const fn key(self) -> &'static str {
        match self {
            Self::UnknownClient => "unknown-client",
            Self::UnknownRedirect => "unknown-redirect",
            Self::FlowEnded => "over",
            Self::ForeignForm => "foreign-form",
            Self::NotFound => "not-found",
            Self::TemporarilyUnavailable => "later",
            Self::InternalError => "fault",
            Self::Welcome => "welcome",
        }
    }

    /// What fits a status that has no page of its own.
    pub fn for_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Self::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Self::TemporarilyUnavailable,
            _ => Self::InternalError,
        }
    }
}

impl From<AuthorizePageError> for NoticeKind {
    fn from(refusal: AuthorizePageError) -> Self {
        match refusal {
            AuthorizePageError::UnknownClient => Self::UnknownClient,
            AuthorizePageError::UnknownRedirect => Self::UnknownRedirect,
        }
    }
}

impl From<RequestStepError> for NoticeKind {
    /// One page for all: a stranger learns nothing of whose request it is.
    fn from(_: RequestStepError) -> Self {
        Self::FlowEnded
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage {
    texts: [PageTexts; 2],
    title: String,
    text: String,
}

impl NoticePage {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the template iterates by reference")]
    fn of(&self, text: &PageTexts, part: &str) -> String {
        text.t(&format!("{}-{part}", self.text))
    }
}

/// A notice as a page.
pub fn render_notice(status: StatusCode, notice: NoticeKind) -> Response {
    let texts = [PageTexts::new(Language::En), PageTexts::new(Language::Fr)];
    let title = texts[0].t(&format!("{}-title", notice.key()));
    render_plain_page(status, &NoticePage { texts, title, text: notice.key().to_owned() })
}

/// Our own trouble as a page; the log has the whole of it.
pub fn render_internal_error(fault: &InternalError) -> Response {
    tracing::error!(%fault, "a page failed");
    if !fault.is_transient() {
        return render_notice(StatusCode::INTERNAL_SERVER_ERROR, NoticeKind::InternalError);
    }
    let mut response = render_notice(StatusCode::SERVICE_UNAVAILABLE, NoticeKind::TemporarilyUnavailable);
    crate::http::set_retry_after(&mut response, std::time::Duration::from_secs(1));
    response
}
