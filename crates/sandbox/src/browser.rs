//! Cookies, origin checks and security headers that the banks and the demo app share.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// The content security policy of pages whose forms stay on their own origin.
const SAME_ORIGIN_FORM_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                     frame-ancestors 'none'; base-uri 'none'";
/// The content security policy of pages whose forms redirect to another origin. `form-action` lists schemes, because
/// browsers apply it to the redirects after a form too, and `'self'` would block them.
pub(crate) const EXTERNAL_FORM_CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                                     form-action https: http://127.0.0.1:* http://localhost:*; \
                                     frame-ancestors 'none'; base-uri 'none'";

/// Returns the value of the cookie with this name.
pub(crate) fn find_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut headers = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    headers.find_map(|cookies| {
        let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    })
}

/// Returns true if a form may come from a page of the given origin.
pub(crate) fn is_from_origin(headers: &HeaderMap, own_origin: &str) -> bool {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (value("sec-fetch-site"), value("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == own_origin,
        // An old browser sends neither header. Then only the CSRF token of the form decides.
        (None, None) => true,
    }
}

/// Adds the security headers to a response that does not set them itself.
pub(crate) async fn add_security_headers(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, SAME_ORIGIN_FORM_CSP),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        // A page with a form to another origin already has a policy, which must stay.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Builds a link from a path and the fields of its query.
pub(crate) fn build_link<S: AsRef<str>>(path: &str, fields: impl IntoIterator<Item = (S, S)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{path}?{query}")
}
