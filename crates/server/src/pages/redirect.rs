//! Redirect responses of the authorization flow, with the HTTP status that each step needs.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::notice::{NoticeKind, render_notice};
use crate::http::PageLocale;

/// Redirects with 302, the status that Flinks documents for the redirect to the recipient.
pub fn redirect_found(url: &str) -> Response {
    redirect_with_status(StatusCode::FOUND, url)
}

/// Redirects with 303, so that the browser continues with GET, even after it has posted a form.
pub fn redirect_see_other(url: &str) -> Response {
    // With 303 every browser continues with GET. After 307 it would post the form to the target (RFC 9700 §4.12).
    redirect_with_status(StatusCode::SEE_OTHER, url)
}

fn redirect_with_status(status: StatusCode, url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => (status, [(header::LOCATION, location)]).into_response(),
        Err(_) => render_notice(
            StatusCode::INTERNAL_SERVER_ERROR,
            NoticeKind::InternalError,
            &PageLocale::default(),
        ),
    }
}
