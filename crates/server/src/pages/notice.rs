//! Notices: one page in both languages, where nothing else is known of the reader.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use domain::model::authorization_request::StepRefusal;
use domain::rule::authorize::{Language, PageRefusal};

use super::{Text, plain_page};
use crate::fault::Fault;

/// What a person is told when there is nowhere to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The service that sent the browser is not known, or may not send it.
    UnknownClient,
    /// The address to come back to is not registered.
    UnknownRedirect,
    /// The visit is over, was used, or is another browser's.
    Over,
    /// The form did not come from our page.
    ForeignForm,
    /// There is nothing here.
    NotFound,
    /// Try again.
    Later,
    /// Our own trouble.
    Fault,
    /// The front door.
    Welcome,
}

impl Notice {
    const fn key(self) -> &'static str {
        match self {
            Self::UnknownClient => "unknown-client",
            Self::UnknownRedirect => "unknown-redirect",
            Self::Over => "over",
            Self::ForeignForm => "foreign-form",
            Self::NotFound => "not-found",
            Self::Later => "later",
            Self::Fault => "fault",
            Self::Welcome => "welcome",
        }
    }

    /// What fits a status that has no page of its own.
    pub fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Self::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Self::Later,
            _ => Self::Fault,
        }
    }
}

impl From<PageRefusal> for Notice {
    fn from(refusal: PageRefusal) -> Self {
        match refusal {
            PageRefusal::UnknownClient => Self::UnknownClient,
            PageRefusal::UnknownRedirect => Self::UnknownRedirect,
        }
    }
}

impl From<StepRefusal> for Notice {
    /// One page for all: a stranger learns nothing of whose request it is.
    fn from(_: StepRefusal) -> Self {
        Self::Over
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage {
    texts: [Text; 2],
    title: String,
    text: String,
}

impl NoticePage {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the template iterates by reference")]
    fn of(&self, text: &Text, part: &str) -> String {
        text.t(&format!("{}-{part}", self.text))
    }
}

/// A notice as a page.
pub fn message(status: StatusCode, notice: Notice) -> Response {
    let texts = [Text::new(Language::En), Text::new(Language::Fr)];
    let title = texts[0].t(&format!("{}-title", notice.key()));
    plain_page(status, &NoticePage { texts, title, text: notice.key().to_owned() })
}

/// Our own trouble as a page; the log has the whole of it.
pub fn fault(fault: &Fault) -> Response {
    tracing::error!(%fault, "a page failed");
    if !fault.is_transient() {
        return message(StatusCode::INTERNAL_SERVER_ERROR, Notice::Fault);
    }
    let mut response = message(StatusCode::SERVICE_UNAVAILABLE, Notice::Later);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
