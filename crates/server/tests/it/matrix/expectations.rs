//! The expected responses to unauthorized callers, and checks of properties that every response must have.

use std::borrow::Cow;

use bowline::cli::BrowserResponse;
use domain::error::OAuthCode;
use fdx::ErrorCode;

use crate::support::query_parameter;

/// The title of the error page for an unknown client. The next constants are the titles of other pages.
pub(super) const UNKNOWN_CLIENT: &str = "We do not recognize this service";
pub(super) const UNKNOWN_REDIRECT: &str = "The link from this service is incorrect";
pub(super) const UNKNOWN_LINK: &str = "This link is not valid";
pub(super) const OTHER_BROWSER: &str = "Please continue in your first browser";
pub(super) const INVALID_FORM: &str = "We could not accept this form";
pub(super) const NOT_FOUND: &str = "Page not found";

/// The only acceptable response to a request.
#[derive(Clone, Debug)]
pub(crate) enum ExpectedResponse {
    /// An OAuth error as JSON: status, code, description.
    OAuth(u16, OAuthCode, Cow<'static, str>),
    /// An OAuth error as JSON with the rejected pairs.
    PairErrors(u16, Cow<'static, str>),
    /// An OAuth error at the recipient's redirect URI: code, description.
    RedirectError(OAuthCode, Cow<'static, str>),
    /// A data error with its code and debug message.
    Fdx(ErrorCode, &'static str),
    /// A 401 of the FDX API with a message only, for an invalid token.
    InvalidToken,
    /// A 401 of the FDX API with a message only, for the token of a client.
    ClientToken,
    /// An FDX API error outside of the documented list: a message only.
    MessageOnly(u16),
    /// An HTML page with this title.
    Page(u16, &'static str),
    /// A redirect to the consent page.
    RedirectToConsent,
    /// A redirect to the provider's authorization endpoint.
    RedirectToProvider,
    /// A problem of the admin API: status, code, field, detail.
    Problem(u16, &'static str, Option<&'static str>, Cow<'static, str>),
    /// A successful response of the token endpoint.
    Tokens,
    /// A successful response of the FDX API.
    Data,
    /// A successful response with a PDF document.
    PdfFile,
    /// A plain text of the probe listener.
    Text(u16, &'static str),
    /// A response with status 204 and no body.
    NoContent,
    /// An error of the HTTP library without a body.
    RejectedByHttpServer(u16),
}

impl ExpectedResponse {
    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::OAuth(400, OAuthCode::InvalidRequest, description.into())
    }

    /// Returns the response to a caller without a valid operator token.
    pub(super) fn invalid_operator_token() -> Self {
        let detail = "The operator token is missing, unknown, expired or removed";
        Self::Problem(401, "unauthorized", None, detail.into())
    }

    /// Ensures that a response matches and is well-formed; otherwise the error describes the response.
    pub(super) fn check(&self, answer: &BrowserResponse, what: &str) -> Result<(), String> {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.assert_matches(answer, what)));
        outcome.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_else(|| what.to_owned()))
    }

    /// Asserts that a response matches and is well-formed.
    pub(crate) fn assert_matches(&self, answer: &BrowserResponse, what: &str) {
        let body = answer.json();
        let context = || {
            format!("{what}: expected {self:?}, not {} {} {:?}", answer.status, answer.body, answer.headers)
        };
        let ensure = |condition: bool| assert!(condition, "{}", context());
        if let Self::RejectedByHttpServer(status) = self {
            ensure(answer.status == *status && answer.body.is_empty());
            return;
        }
        if let Self::Text(status, text) = self {
            assert_common_headers(answer, what);
            let kind = answer.headers["content-type"].to_str().unwrap();
            ensure(kind.starts_with("text/plain") && answer.status == *status && answer.body.contains(text));
            return;
        }
        assert_valid_response(answer, what);
        match self {
            Self::OAuth(status, code, description) => {
                ensure(answer.status == *status && body["error"] == code.as_str());
                ensure(
                    body["error_description"] == **description
                        && body.as_object().is_some_and(|o| o.len() == 2),
                );
            }
            Self::PairErrors(status, description) => {
                ensure(answer.status == *status && body["error"] == "invalid_request");
                ensure(
                    body["error_description"] == **description
                        && body.as_object().is_some_and(|o| o.len() == 3),
                );
                let pairs = body["pairs"].as_array();
                ensure(pairs.is_some_and(|all| {
                    !all.is_empty() && all.iter().all(|p| p["error_description"].is_string())
                }));
            }
            Self::RedirectError(code, description) => {
                ensure(answer.status == 302 || answer.status == 303);
                let location = answer.location.as_deref().unwrap_or_default();
                ensure(query_parameter(location, "error").as_deref() == Some(code.as_str()));
                ensure(query_parameter(location, "error_description").as_deref() == Some(description));
            }
            Self::Fdx(code, debug_message) => {
                ensure(answer.status == code.status() && body["code"] == code.number());
                ensure(body["message"] == code.message() && body["debugMessage"] == *debug_message);
            }
            Self::InvalidToken => {
                ensure(answer.status == 401 && body["message"].is_string() && body.get("code").is_none());
                ensure(answer.headers.contains_key("www-authenticate"));
            }
            Self::ClientToken => {
                let message = "This token names no connection: use the token of a connection";
                ensure(answer.status == 401 && body["message"] == message && body.get("code").is_none());
                ensure(answer.headers.contains_key("www-authenticate"));
            }
            Self::MessageOnly(status) => {
                ensure(answer.status == *status && body["message"].is_string() && body.get("code").is_none());
            }
            Self::Problem(status, code, field, detail) => {
                ensure(answer.status == *status && body["status"] == *status && body["code"] == *code);
                ensure(body["detail"] == **detail && body["field"].as_str() == *field);
                ensure(body["type"] == "about:blank" && body["title"].is_string());
                ensure(body["correlation_id"] == answer.headers["ob-correlation-id"].to_str().unwrap());
            }
            Self::Page(status, title) => ensure(answer.status == *status && answer.body.contains(title)),
            Self::RedirectToConsent => {
                ensure(answer.status == 303);
                ensure(answer.location.as_deref().is_some_and(|to| to.starts_with("/consent/arq_")));
            }
            Self::RedirectToProvider => ensure(
                answer.status == 303
                    && answer.location.as_deref().is_some_and(|to| to.contains("/authorize?")),
            ),
            Self::Tokens => ensure(answer.status == 200 && body["access_token"].is_string()),
            Self::Data => {
                ensure(answer.status == 200 && body.get("code").is_none() && body.get("error").is_none());
            }
            Self::PdfFile => ensure(answer.status == 200 && answer.body.starts_with("%PDF-")),
            Self::NoContent => ensure(answer.status == 204 && answer.body.is_empty()),
            Self::RejectedByHttpServer(_) | Self::Text(..) => {}
        }
    }
}

/// Every header that a response may have. A header that a caller injects is not in this list.
const ALLOWED_HEADERS: [&str; 19] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "date",
    "link",
    "location",
    "ob-correlation-id",
    "ob-trace-id",
    "pragma",
    "referrer-policy",
    "retry-after",
    "set-cookie",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];

/// Checks the properties that every response of an API has.
pub(super) fn assert_valid_response(answer: &BrowserResponse, what: &str) {
    assert_common_headers(answer, what);
    let context = || format!("{what}: {} {:?} {}", answer.status, answer.headers, answer.body);
    let kind = answer.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    if kind.starts_with("text/html") {
        assert_safe_page(answer, &context());
    } else if kind == "application/pdf" {
        assert!(answer.status == 200 && answer.body.starts_with("%PDF-"), "{}", context());
    } else if !answer.body.is_empty() && !kind.starts_with("text/css") && kind != "image/svg+xml" {
        let problem = answer.status >= 400 && answer.json().get("correlation_id").is_some();
        let wanted = match (problem, answer.json()["keys"].is_array()) {
            (true, _) => "application/problem+json",
            (false, true) => "application/jwk-set+json",
            (false, false) => "application/json",
        };
        assert_eq!(kind, wanted, "{}", context());
        assert!(answer.json().is_object() || answer.json().is_array(), "{}", context());
    }
}

/// Asserts that a response has all required headers, and no header that is not allowed.
fn assert_common_headers(answer: &BrowserResponse, what: &str) {
    let context = || format!("{what}: {} {:?} {}", answer.status, answer.headers, answer.body);
    let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
    for name in answer.headers.keys() {
        assert!(ALLOWED_HEADERS.contains(&name.as_str()), "{name} is not ours: {}", context());
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}: {}", context());
    }
    let kind = header("content-type");
    let reference = kind.starts_with("text/html") && answer.body.contains("/static/docs.css");
    let is_static_asset = kind.starts_with("text/css") || kind == "image/svg+xml";
    let is_document = answer.json()["openapi"].is_string() || answer.json()["issuer"].is_string();
    let asset = is_static_asset || is_document || reference;
    let cache = match kind {
        // A provider must find a new key soon.
        "application/jwk-set+json" => "max-age=60",
        _ if asset => "max-age=3600",
        _ => "no-store",
    };
    assert_eq!(header("cache-control"), cache, "{}", context());
    assert_eq!(header("x-content-type-options"), "nosniff", "{}", context());
    for name in ["ob-correlation-id", "ob-trace-id", "referrer-policy"] {
        assert!(!header(name).is_empty(), "{name}: {}", context());
    }
    let cookie = header("set-cookie");
    assert!(
        cookie.is_empty() || cookie.starts_with("bowline_flow_") && cookie.contains("HttpOnly"),
        "{}",
        context()
    );
    assert!(
        answer.location.as_ref().is_none_or(|to| to.bytes().all(|b| b.is_ascii_graphic())),
        "{}",
        context()
    );
    assert_eq!(
        answer.status == 401,
        !header("www-authenticate").is_empty() && answer.status != 400,
        "{}",
        context()
    );
    assert!(answer.status != 503 || !header("retry-after").is_empty(), "{}", context());
}

fn assert_safe_page(answer: &BrowserResponse, context: &str) {
    let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "] {
        assert!(policy.contains(part), "{part}: {context}");
    }
    assert!(!policy.contains("unsafe") && header("x-frame-options") == "DENY", "{context}");
    assert_eq!(header("referrer-policy"), "same-origin", "{context}");
    assert!(!answer.body.contains("<script") && !answer.body.contains("stolen=1\""), "{context}");
}
