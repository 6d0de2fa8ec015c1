//! What browsers send to a party of the sandbox, and what every page of one tells them.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// The policy of pages that post to their own party alone.
const SAME_ORIGIN_FORM_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                     frame-ancestors 'none'; base-uri 'none'";
/// The policy of pages with a form that leads to another party. `form-action` names schemes: `'self'` would stop
/// the redirects that follow the form.
pub(crate) const EXTERNAL_FORM_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                                     form-action https: http://127.0.0.1:* http://localhost:*; \
                                     frame-ancestors 'none'; base-uri 'none'";

/// The value of a cookie.
pub(crate) fn find_cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let mut cookies = headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
    cookies.find_map(|cookies| {
        let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    })
}

/// Whether a post may have come from a page of that origin: the browser says so, or is so old that it says
/// nothing, and the form's token decides.
pub(crate) fn is_from_origin(headers: &HeaderMap, own_origin: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == own_origin,
        (None, None) => true,
    }
}

/// Secures a page; one that leads to another party brings a policy of its own.
pub(crate) async fn add_security_headers(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, SAME_ORIGIN_FORM_CSP),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
