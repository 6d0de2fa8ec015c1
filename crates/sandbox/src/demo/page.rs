//! Lesson 5 of the demo app's tutorial: the layout of every page, and responses that all pages share. Pages have forms
//! and links, no scripts.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::notice::CustomerNotice;
use super::panel::{DemoStep, LoggedExchange};
use super::visit::DemoVisit;
use crate::browser;
use crate::language::SandboxLanguage;

/// The result of a handler: a page or redirect, or the status of an error without a page.
pub(super) type PageResult = Result<Response, StatusCode>;

/// Maps errors that a customer cannot do anything about: no random bytes, or a template that cannot be rendered.
pub(super) fn internal_error<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// The data that the layout of every page of the app needs.
pub(super) struct DemoPageFrame {
    pub(super) language: SandboxLanguage,
    pub(super) csrf_token: String,
    pub(super) step: DemoStep,
    /// The link to this page in the other language.
    pub(super) other_language_link: String,
}

/// The functions that the HTML templates of the app's pages call.
impl DemoPageFrame {
    /// Creates the frame of a page. `log` contains the calls to the hub that were made to build the page.
    pub(super) fn new(visit: &DemoVisit, log: Vec<LoggedExchange>) -> Self {
        let step = visit.current_step(log);
        Self {
            language: visit.language,
            csrf_token: visit.session().csrf_token.clone(),
            step,
            other_language_link: visit.other_language_link.clone(),
        }
    }

    pub(super) fn t(&self, key: &str) -> String {
        self.language.t(key)
    }

    pub(super) fn advice(&self, notice: &CustomerNotice) -> String {
        match notice.retry_after_secs {
            Some(seconds) => self.language.texts().format("demo-wait", &[("seconds", &seconds.to_string())]),
            None => self.t(&format!("{}-advice", notice.key)),
        }
    }
}

#[derive(Template)]
#[template(path = "demo/message.html")]
struct DemoMessagePage<'a> {
    frame: DemoPageFrame,
    notice: &'a CustomerNotice,
}

/// Renders a page that shows only the message of a notice.
pub(super) fn render_message(
    visit: &DemoVisit,
    notice: &CustomerNotice,
    log: Vec<LoggedExchange>,
) -> PageResult {
    let mut frame = DemoPageFrame::new(visit, log);
    // The message is the page; a notice of an earlier step above it would be confusing.
    frame.step.notice = None;
    let status = StatusCode::from_u16(notice.status).map_err(internal_error)?;
    Ok((status, render_page(&DemoMessagePage { frame, notice })?).into_response())
}

pub(super) fn render_page(page: &impl Template) -> PageResult {
    Ok(Html(page.render().map_err(internal_error)?).into_response())
}

/// Renders a page with a form whose handler redirects to the hub, which the content security policy must allow.
pub(super) fn render_with_external_form(page: &impl Template) -> PageResult {
    Ok(([(header::CONTENT_SECURITY_POLICY, browser::EXTERNAL_FORM_CSP)], render_page(page)?).into_response())
}
