//! Renders pages and static files, with their security headers.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;

/// The `Content-Security-Policy` of pages of the authorization flow.
///
/// The response to their forms is a redirect to a provider or a recipient. Chromium applies `form-action` to redirects
/// too and would block them with `'self'`.
const FLOW_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                    frame-ancestors 'none'; form-action https:";
/// The `Content-Security-Policy` of pages of the authorization flow on a hub without TLS, such as the sandbox, whose
/// providers listen on loopback addresses.
const FLOW_LOOPBACK_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                             frame-ancestors 'none'; form-action https: http://127.0.0.1:* http://localhost:*";
const PLAIN_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                     frame-ancestors 'none'; form-action 'self'";

/// `Cache-Control` of content that is the same for all users.
const CACHE_ONE_HOUR: &str = "max-age=3600";

/// Renders a page of the authorization flow.
pub(crate) fn render_flow_page(status: StatusCode, page: &impl Template, https: bool) -> Response {
    render_page(status, page, if https { FLOW_CSP } else { FLOW_LOOPBACK_CSP })
}

/// Renders a page whose form, if it has one, is sent only to the hub's own origin.
pub(super) fn render_plain_page(status: StatusCode, page: &impl Template) -> Response {
    render_page(status, page, PLAIN_CSP)
}

fn render_page(status: StatusCode, page: &impl Template, csp: &'static str) -> Response {
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    add_security_headers((status, Html(html)).into_response(), csp)
}

/// Serves a page that was rendered in advance and is the same for all users.
pub fn serve_cached_page(html: Bytes) -> Response {
    add_security_headers(([(header::CACHE_CONTROL, CACHE_ONE_HOUR)], Html(html)).into_response(), PLAIN_CSP)
}

/// Serves a static file, such as a style sheet or an API document.
pub fn serve_asset(content_type: &'static str, content: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, CACHE_ONE_HOUR)], content).into_response()
}

fn add_security_headers(mut response: Response, csp: &'static str) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, csp),
        // Not `no-referrer`: browsers would then post the hub's own forms with `Origin: null`, and the check of the
        // form's origin would reject them.
        (header::REFERRER_POLICY, "same-origin"),
        // For browsers that do not support `frame-ancestors`.
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
