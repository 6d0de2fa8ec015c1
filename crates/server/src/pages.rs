//! Pages for people: plain forms without script, English and French.

mod notice;
mod picker;
mod text;

pub(crate) mod http;

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;

pub use notice::{NoticeKind, render_internal_error, render_notice};
pub use picker::render_picker;
pub use text::PageTexts;

/// Pages whose form leads through redirects to other parties: `'self'` would stop those in Chromium.
const FLOW_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                    frame-ancestors 'none'; form-action https:";
const FLOW_LOOPBACK_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                             frame-ancestors 'none'; form-action https: http://127.0.0.1:* http://localhost:*";
const PLAIN_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                     frame-ancestors 'none'; form-action 'self'";

/// How long what is the same for everybody may be kept.
const CACHE_ONE_HOUR: &str = "max-age=3600";

/// A page of the flow.
fn render_flow_page(status: StatusCode, page: &impl Template, https: bool) -> Response {
    render_page(status, page, if https { FLOW_CSP } else { FLOW_LOOPBACK_CSP })
}

/// Any other page.
fn render_plain_page(status: StatusCode, page: &impl Template) -> Response {
    render_page(status, page, PLAIN_CSP)
}

fn render_page(status: StatusCode, page: &impl Template, policy: &'static str) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    add_security_headers((status, Html(html)).into_response(), policy)
}

/// A page that is the same for everybody, and was made before.
pub fn serve_cached_page(html: Bytes) -> Response {
    add_security_headers(([(header::CACHE_CONTROL, CACHE_ONE_HOUR)], Html(html)).into_response(), PLAIN_CSP)
}

/// What stays as it is for as long as the program runs: what pages are dressed in, and documents.
pub fn serve_asset(kind: &'static str, text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, CACHE_ONE_HOUR)], text).into_response()
}

fn add_security_headers(mut response: Response, policy: &'static str) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// 302, as the documented flow has it.
pub fn redirect_found(url: &str) -> Response {
    redirect_with_status(StatusCode::FOUND, url)
}

/// 303: whatever the method was, the browser comes back with `GET`.
pub fn redirect_see_other(url: &str) -> Response {
    redirect_with_status(StatusCode::SEE_OTHER, url)
}

fn redirect_with_status(status: StatusCode, url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => (status, [(header::LOCATION, location)]).into_response(),
        Err(_) => render_notice(StatusCode::INTERNAL_SERVER_ERROR, NoticeKind::InternalError),
    }
}
