//! The results of the connectivity check of a provider, evaluated from the responses of its endpoints.

use domain::model::provider::DateParameters;
use domain::rule::provider_response::ProviderErrorCode as Code;
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::oauth_error::OAuthErrorBody;
use crate::outbound::UpstreamResponse;

/// The result of one check of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckResult {
    /// The checked item: `client_secret` or `auth_key`, `transport`, `metadata`, `authorization`, `token`, `revocation` or `data`; also
    /// `initial_access_token` and `registration` if the provider registers clients, and `date_parameters` if the provider's
    /// links show that it uses others.
    pub name: &'static str,
    /// Whether the check has passed.
    pub ok: bool,
    /// A description of the result. It contains no text from the provider other than an error code of RFC 6749.
    pub detail: String,
}

impl CheckResult {
    pub(super) fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into() }
    }
}

/// The initial access token of a registration request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InitialAccessToken {
    NotConfigured,
    /// The token is configured, but could not be read, so it was not sent.
    Unreadable,
    Sent,
}

const REJECTED_CLIENT: &str =
    "the client is rejected; check client_id, auth and its secret, key or certificate";
const NO_CREDENTIALS: &str = "the endpoint responds; no client credentials were sent";

/// Returns a description of the problem if a status shows that the endpoint does not exist or does not work.
fn find_problem(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        404 | 405 | 410 | 501 => Some("there is no such endpoint at this URL"),
        500.. => Some("the endpoint fails"),
        _ => None,
    }
}

/// Evaluates the status of an endpoint about which nothing else can be found out.
pub(super) fn evaluate_status(name: &'static str, status: StatusCode) -> CheckResult {
    let (number, problem) = (status.as_u16(), find_problem(status));
    let detail = problem.map_or(format!("HTTP {number}"), |problem| format!("HTTP {number}: {problem}"));
    CheckResult::new(name, problem.is_none(), detail)
}

/// Returns a description of the problem if a response cannot be that of an endpoint for programs. Such endpoints send no
/// redirects and no pages, but the websites of providers do, for every URL.
fn find_problem_of_response(response: &UpstreamResponse) -> Option<&'static str> {
    let is_html = response.headers.get(header::CONTENT_TYPE).is_some_and(|media_type| {
        let media_type = media_type.as_bytes().to_ascii_lowercase();
        media_type.starts_with(b"text/html") || media_type.starts_with(b"application/xhtml")
    });
    find_problem(response.status).or(match response.status.is_redirection() {
        true => Some("the URL redirects, and the hub follows no redirect: configure the target"),
        false if is_html => Some("the response is an HTML page, so the URL is not that of an endpoint"),
        false => None,
    })
}

/// Builds the result of a check from its finding and the error code of the response.
fn build_result(
    name: &'static str,
    response: &UpstreamResponse,
    error_code: Option<Code>,
    (ok, finding): (bool, &str),
) -> CheckResult {
    let status = response.status.as_u16();
    let error_code = error_code.map(|code| format!(" {code}")).unwrap_or_default();
    CheckResult::new(name, ok, format!("HTTP {status}{error_code}: {finding}"))
}

/// Evaluates the response of a token endpoint to a code that was never issued.
pub(super) fn evaluate_token_response(response: &UpstreamResponse, is_authenticated: bool) -> CheckResult {
    if response.status.is_success() {
        let finding = (false, "the endpoint accepts a code that was never issued");
        return build_result("token", response, None, finding);
    }
    let error_code = OAuthErrorBody::parse(&response.body).and_then(|error| error.code);
    let finding = match (error_code, is_authenticated) {
        _ if response.status.is_server_error() => (false, "the endpoint fails"),
        (Some(Code::InvalidClient), true) => (false, REJECTED_CLIENT),
        (Some(Code::UnauthorizedClient | Code::UnsupportedGrantType), true) => {
            (false, "the client is not allowed to use authorization codes")
        }
        // `invalid_grant` is the expected code. The remaining codes do not mean that the client is rejected either.
        (Some(Code::InvalidGrant | Code::InvalidRequest | Code::InvalidScope), true) => {
            (true, "the client is accepted")
        }
        (
            Some(
                Code::InvalidClient
                | Code::UnauthorizedClient
                | Code::UnsupportedGrantType
                | Code::InvalidGrant
                | Code::InvalidRequest
                | Code::InvalidScope,
            ),
            false,
        ) => (true, NO_CREDENTIALS),
        // RFC 6749 §5.2 allows 401 for failed client authentication, so the status is sufficient without a body.
        (_, true) if response.status == StatusCode::UNAUTHORIZED => (false, REJECTED_CLIENT),
        (_, _) => (false, "the response is not an error of RFC 6749"),
    };
    build_result("token", response, error_code, finding)
}

/// Evaluates the response of a revocation endpoint to a token that was never issued.
pub(super) fn evaluate_revocation_response(
    response: &UpstreamResponse,
    is_authenticated: bool,
) -> CheckResult {
    let error = OAuthErrorBody::parse(&response.body);
    let error_code = error.and_then(|error| error.code);
    let finding = match (response.status.as_u16(), error_code) {
        _ if let Some(problem) = find_problem_of_response(response) => (false, problem),
        (200 | 204, _) if is_authenticated => (true, "the client is accepted"),
        (_, Some(Code::UnsupportedTokenType)) => (false, "the endpoint does not revoke refresh tokens"),
        (_, Some(Code::UnauthorizedClient)) if is_authenticated => {
            (false, "the client is not allowed to revoke tokens")
        }
        (_, Some(Code::InvalidClient)) | (401, _) if is_authenticated => (false, REJECTED_CLIENT),
        // The other errors concern the token, which is not valid, so the client must have been accepted.
        (400, _) if is_authenticated && error.is_some() => (true, "the client is accepted"),
        (429, _) => (true, "the endpoint limits the rate of requests"),
        (200 | 204 | 401, _) if !is_authenticated => (true, NO_CREDENTIALS),
        _ if !is_authenticated && error.is_some() => (true, NO_CREDENTIALS),
        _ => (false, "the response is not one of RFC 7009"),
    };
    build_result("revocation", response, error_code, finding)
}

/// Evaluates the response of a registration endpoint to metadata that is not valid.
pub(super) fn evaluate_registration_response(
    response: &UpstreamResponse,
    token: InitialAccessToken,
) -> CheckResult {
    let finding = match (response.status.as_u16(), token) {
        _ if let Some(problem) = find_problem_of_response(response) => (false, problem),
        (200..=299, _) => (false, "the endpoint accepts metadata that is not valid"),
        (401 | 403, InitialAccessToken::Sent) => (false, "the initial access token is rejected"),
        (401 | 403, InitialAccessToken::NotConfigured) => {
            (false, "the endpoint requires an initial access token, but none is configured")
        }
        (_, InitialAccessToken::Unreadable) => {
            (true, "the endpoint responds; no initial access token was sent")
        }
        _ => (true, "the endpoint responds"),
    };
    build_result("registration", response, None, finding)
}

/// Evaluates the setting for date parameters of a provider whose links have the parameters `found`.
pub(super) fn evaluate_date_parameters(
    setting: Option<DateParameters>,
    found: DateParameters,
) -> CheckResult {
    let [start, end] = found.names();
    let (ok, consequence) = match setting {
        None => (true, "the hub uses them until its next start"),
        Some(setting) if setting == found => (true, "the setting agrees"),
        Some(_) => (false, "the hub sends others, which the provider may ignore"),
    };
    let detail = format!(
        "the provider's links have {start} and {end}: {consequence}; set `fdx.date_parameters` to \"{start}\""
    );
    CheckResult::new("date_parameters", ok, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(status: u16, body: &str, is_authenticated: bool) -> (bool, String) {
        let status = StatusCode::from_u16(status).unwrap();
        let response =
            UpstreamResponse { status, headers: http::HeaderMap::new(), body: body.to_owned().into() };
        let check = evaluate_token_response(&response, is_authenticated);
        (check.ok, check.detail)
    }

    #[test]
    fn token_endpoint_check_depends_on_error_code() {
        for (status, body, ok, detail) in [
            (400, r#"{"error":"invalid_grant"}"#, true, "HTTP 400 invalid_grant: the client is accepted"),
            (
                400,
                r#"{"error":"invalid_request","x":1}"#,
                true,
                "HTTP 400 invalid_request: the client is accepted",
            ),
            (
                401,
                r#"{"error":"invalid_client"}"#,
                false,
                "HTTP 401 invalid_client: the client is rejected; check client_id, auth and its secret, key or certificate",
            ),
            (
                401,
                "<html>",
                false,
                "HTTP 401: the client is rejected; check client_id, auth and its secret, key or certificate",
            ),
            (
                400,
                r#"{"error":"unauthorized_client"}"#,
                false,
                "HTTP 400 unauthorized_client: the client is not allowed to use authorization codes",
            ),
            (404, "mine", false, "HTTP 404: the response is not an error of RFC 6749"),
            (400, r#"{"error":"mine"}"#, false, "HTTP 400: the response is not an error of RFC 6749"),
            (503, r#"{"error":"invalid_grant"}"#, false, "HTTP 503 invalid_grant: the endpoint fails"),
            (
                200,
                r#"{"access_token":"mine"}"#,
                false,
                "HTTP 200: the endpoint accepts a code that was never issued",
            ),
        ] {
            assert_eq!(evaluate(status, body, true), (ok, detail.to_owned()));
        }
    }

    type Evaluate = fn(&UpstreamResponse) -> CheckResult;

    /// Evaluates a response with a status, a media type and a body.
    fn evaluate_response(
        evaluate: Evaluate,
        (status, media_type, body): (u16, &str, &str),
    ) -> (bool, String) {
        let status = StatusCode::from_u16(status).unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        let check = evaluate(&UpstreamResponse { status, headers, body: body.to_owned().into() });
        (check.ok, check.detail)
    }

    const JSON: &str = "application/json";
    const MISSING: &str = "there is no such endpoint at this URL";

    #[test]
    fn revocation_check_with_credentials_depends_on_response() {
        for (response, ok, detail) in [
            ((200, JSON, ""), true, "HTTP 200: the client is accepted"),
            ((404, "text/html", "<html>"), false, "HTTP 404: there is no such endpoint at this URL"),
            ((405, JSON, "{}"), false, "HTTP 405: there is no such endpoint at this URL"),
            ((410, JSON, "{}"), false, "HTTP 410: there is no such endpoint at this URL"),
            (
                (200, "text/html; charset=utf-8", "<html>"),
                false,
                "HTTP 200: the response is an HTML page, so the URL is not that of an endpoint",
            ),
            (
                (302, JSON, ""),
                false,
                "HTTP 302: the URL redirects, and the hub follows no redirect: configure the target",
            ),
            (
                (400, JSON, r#"{"error":"unsupported_token_type"}"#),
                false,
                "HTTP 400 unsupported_token_type: the endpoint does not revoke refresh tokens",
            ),
            (
                (401, JSON, r#"{"error":"invalid_client"}"#),
                false,
                "HTTP 401 invalid_client: the client is rejected; check client_id, auth and its secret, key or certificate",
            ),
            (
                (401, JSON, ""),
                false,
                "HTTP 401: the client is rejected; check client_id, auth and its secret, key or certificate",
            ),
            ((400, JSON, r#"{"error":"mine"}"#), true, "HTTP 400: the client is accepted"),
            ((400, JSON, "{}"), false, "HTTP 400: the response is not one of RFC 7009"),
            ((503, JSON, ""), false, "HTTP 503: the endpoint fails"),
        ] {
            let evaluated =
                evaluate_response(|response| evaluate_revocation_response(response, true), response);

            assert_eq!(evaluated, (ok, detail.to_owned()));
        }
    }

    #[test]
    fn revocation_check_without_credentials_requires_error_or_401() {
        for (response, ok) in [
            ((401, JSON, ""), true),
            ((400, JSON, r#"{"error":"invalid_client"}"#), true),
            ((400, JSON, "{}"), false),
            ((404, JSON, r#"{"error":"not_found"}"#), false),
            ((401, "text/html", "<html>"), false),
        ] {
            let evaluated =
                evaluate_response(|response| evaluate_revocation_response(response, false), response);

            assert_eq!(evaluated.0, ok, "{}", evaluated.1);
        }
    }

    #[test]
    fn registration_check_depends_on_response_and_token() {
        let with_token: Evaluate = |r| evaluate_registration_response(r, InitialAccessToken::Sent);
        let without: Evaluate = |r| evaluate_registration_response(r, InitialAccessToken::NotConfigured);
        let unreadable: Evaluate = |r| evaluate_registration_response(r, InitialAccessToken::Unreadable);
        let not_valid = (400, JSON, r#"{"error":"invalid_client_metadata"}"#);
        for (evaluate, response, ok) in [
            (with_token, not_valid, true),
            (with_token, (401, JSON, ""), false),
            (without, (401, JSON, ""), false),
            (unreadable, (401, JSON, ""), true),
            (without, (201, JSON, "{}"), false),
            (without, (404, JSON, ""), false),
            (without, (400, "text/html", "<html>"), false),
        ] {
            let evaluated = evaluate_response(evaluate, response);

            assert_eq!(evaluated.0, ok, "{}", evaluated.1);
        }
    }

    #[test]
    fn authorization_endpoint_must_exist() {
        let evaluate = |status| {
            let check = evaluate_status("authorization", StatusCode::from_u16(status).unwrap());
            (check.ok, check.detail)
        };

        for status in [404, 405, 410] {
            assert_eq!(evaluate(status), (false, format!("HTTP {status}: {MISSING}")));
        }
        assert_eq!([200, 302, 400].map(|status| evaluate(status).0), [true; 3]);
    }

    #[test]
    fn token_check_without_credentials_accepts_invalid_client() {
        assert!(evaluate(401, r#"{"error":"invalid_client"}"#, false).0);
    }
}
