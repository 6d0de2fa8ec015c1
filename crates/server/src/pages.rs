//! Pages for people: plain forms without script, English and French.

mod notice;
mod picker;
mod text;

pub(crate) mod http;

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;

pub use notice::{Notice, fault, message};
pub use picker::picker;
pub use text::Text;

/// Pages whose form leads through redirects to other parties: `'self'` would stop those in Chromium.
const FLOW: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                    frame-ancestors 'none'; form-action https:";
const FLOW_LOOPBACK: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                             frame-ancestors 'none'; form-action https: http://127.0.0.1:* http://localhost:*";
const PLAIN: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                     frame-ancestors 'none'; form-action 'self'";

/// How long what is the same for everybody may be kept.
const CACHED: &str = "max-age=3600";

/// A page of the flow.
fn flow_page(status: StatusCode, page: &impl Template, https: bool) -> Response {
    rendered(status, page, if https { FLOW } else { FLOW_LOOPBACK })
}

/// Any other page.
fn plain_page(status: StatusCode, page: &impl Template) -> Response {
    rendered(status, page, PLAIN)
}

fn rendered(status: StatusCode, page: &impl Template, policy: &'static str) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    guarded((status, Html(html)).into_response(), policy)
}

/// A page that is the same for everybody, and was made before.
pub fn published(html: Bytes) -> Response {
    guarded(([(header::CACHE_CONTROL, CACHED)], Html(html)).into_response(), PLAIN)
}

/// What stays as it is for as long as the program runs: what pages are dressed in, and documents.
pub fn asset(kind: &'static str, text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, CACHED)], text).into_response()
}

fn guarded(mut response: Response, policy: &'static str) -> Response {
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
pub fn found(url: &str) -> Response {
    to(StatusCode::FOUND, url)
}

/// 303: whatever the method was, the browser comes back with `GET`.
pub fn see_other(url: &str) -> Response {
    to(StatusCode::SEE_OTHER, url)
}

fn to(status: StatusCode, url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => (status, [(header::LOCATION, location)]).into_response(),
        Err(_) => message(StatusCode::INTERNAL_SERVER_ERROR, Notice::Fault),
    }
}
