//! The evaluation of the responses of a provider's endpoints to requests that change nothing there.

use super::{CheckResult, CheckVerdict};
use crate::model::provider::RevokeMethod;
use crate::rule::provider_response::ProviderErrorCode as Code;

/// The facts about a response of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResponse {
    /// The HTTP status.
    pub status: u16,
    /// True if the response is an HTML page.
    pub is_page: bool,
    /// The error of RFC 6749 §5.2 in the body, with its code if the hub knows it.
    pub error: Option<Option<Code>>,
}

/// The initial access token of a registration request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialAccessToken {
    /// No token is configured.
    NotConfigured,
    /// The token is configured, but could not be read, so it was not sent.
    Unreadable,
    /// The token was sent.
    Sent,
}

const REJECTED_CLIENT: Finding = failed(
    "the client is rejected",
    "correct client_id, auth, and its client_secret, auth_key or tls.certificate",
);
const NO_CREDENTIALS: Finding = undetermined("the endpoint responds; no client credentials were sent");
const UNCLEAR_CLIENT: Finding =
    undetermined("the endpoint responds; the response does not show whether the client is accepted");
const MISSING: &str = "there is no such endpoint at this URL";
const ASK_PROVIDER: &str = "ask the provider whether the endpoint is down";

/// The verdict about a response, with a description and what to change. The latter names the endpoint's setting by `{}`.
#[derive(Clone, Copy)]
struct Finding {
    verdict: CheckVerdict,
    detail: &'static str,
    change: &'static str,
}

const fn passed(detail: &'static str) -> Finding {
    Finding { verdict: CheckVerdict::Passed, detail, change: "" }
}

const fn undetermined(detail: &'static str) -> Finding {
    Finding { verdict: CheckVerdict::Undetermined, detail, change: "" }
}

const fn failed(detail: &'static str, change: &'static str) -> Finding {
    Finding { verdict: CheckVerdict::Failed, detail, change }
}

const fn warning(detail: &'static str, change: &'static str) -> Finding {
    Finding { verdict: CheckVerdict::Warning, detail, change }
}

impl ProbeResponse {
    const fn code(self) -> Option<Code> {
        match self.error {
            Some(code) => code,
            None => None,
        }
    }

    /// Returns the problem of a response that shows that the endpoint does not exist or does not work.
    const fn find_problem(self) -> Option<Finding> {
        match self.status {
            404 | 405 | 410 | 501 => Some(failed(MISSING, "correct {}")),
            500.. => Some(failed("the endpoint fails", ASK_PROVIDER)),
            _ => None,
        }
    }

    /// Returns the problem of a response that cannot be that of an endpoint for programs. Such endpoints send no redirects and
    /// no pages, but the websites of providers do, for every URL.
    const fn find_problem_for_programs(self) -> Option<Finding> {
        match self.status {
            300..=399 => Some(failed(
                "the URL redirects, and the hub follows no redirect",
                "set {} to the target of the redirect, if it belongs to the provider",
            )),
            _ => match self.find_problem() {
                None if self.is_page => Some(failed(
                    "the response is an HTML page, so the URL is not that of an endpoint",
                    "correct {}",
                )),
                problem => problem,
            },
        }
    }

    fn build_result(self, name: &'static str, setting: &str, finding: Finding) -> CheckResult {
        let Finding { verdict, detail, change } = finding;
        let code = self.code().map(|code| format!(" {code}")).unwrap_or_default();
        let change = (!change.is_empty()).then(|| change.replace("{}", setting));
        CheckResult::new(name, verdict, format!("HTTP {}{code}: {detail}", self.status), change)
    }
}

/// Evaluates the response of an authorization endpoint to a request without parameters. A provider that works responds with a
/// page or a redirect.
pub fn evaluate_authorization_response(response: ProbeResponse) -> CheckResult {
    let finding = response.find_problem().unwrap_or(passed("the endpoint responds"));
    response.build_result("authorization", "authorization_endpoint", finding)
}

/// Evaluates the response of a token endpoint to a code that was never issued.
pub fn evaluate_token_response(response: ProbeResponse, is_authenticated: bool) -> CheckResult {
    let finding = match (response.status, response.error) {
        (200..=299, _) => failed(
            "the endpoint accepts a code that was never issued",
            "connect no customer, and ask the provider",
        ),
        (500.., _) => failed("the endpoint fails", ASK_PROVIDER),
        (429, _) => undetermined("the endpoint limits the rate of requests"),
        // RFC 6749 §5.2 allows 401 for failed client authentication, so the status is sufficient without a known code.
        (_, Some(Some(Code::InvalidClient))) | (401, None | Some(None)) if is_authenticated => {
            REJECTED_CLIENT
        }
        (_, Some(Some(Code::UnauthorizedClient | Code::UnsupportedGrantType))) if is_authenticated => failed(
            "the client is not allowed to use authorization codes",
            "ask the provider to allow authorization_code and refresh_token for client_id",
        ),
        (_, Some(Some(Code::InvalidDpopProof))) => failed(
            "the proof of possession (DPoP) is rejected",
            "correct the clock of this machine, and {} to the URL that the provider knows",
        ),
        (_, Some(Some(Code::UseDpopNonce))) => failed(
            "the provider demands a nonce in the proof (DPoP) again and again",
            "ask the provider about its nonces; dpop = \"off\" helps only new customers, because existing connections keep \
             their keys",
        ),
        // Only this code proves that the client was accepted: a server may check the other parameters first.
        (_, Some(Some(Code::InvalidGrant))) if is_authenticated => passed("the client is accepted"),
        (_, Some(Some(_))) if is_authenticated => UNCLEAR_CLIENT,
        (_, Some(Some(_))) => NO_CREDENTIALS,
        _ => response
            .find_problem_for_programs()
            .unwrap_or(failed("the response is not an error of RFC 6749", "correct {}")),
    };
    response.build_result("token", "token_endpoint", finding)
}

/// Evaluates the response of a revocation endpoint to a token that was never issued (RFC 7009 §2.2).
pub fn evaluate_revocation_response(response: ProbeResponse, is_authenticated: bool) -> CheckResult {
    let finding = match (response.status, response.error) {
        _ if let Some(problem) = response.find_problem_for_programs() => problem,
        (200 | 204, _) if is_authenticated => passed("the client is accepted"),
        (_, Some(Some(Code::UnsupportedTokenType))) => {
            failed("the endpoint does not revoke refresh tokens", "set revoke_tokens = \"access\"")
        }
        (_, Some(Some(Code::UnauthorizedClient))) if is_authenticated => {
            failed("the client is not allowed to revoke tokens", "ask the provider to allow it for client_id")
        }
        (_, Some(Some(Code::InvalidClient))) | (401, _) if is_authenticated => REJECTED_CLIENT,
        // RFC 7009 §2.2 requires 200. These errors concern the token, so the client must have been accepted.
        (400, Some(Some(Code::InvalidGrant | Code::InvalidToken))) if is_authenticated => warning(
            "the client is accepted, but RFC 7009 requires 200 here",
            "no setting: ends are recognized",
        ),
        // A server may check the parameters before the client.
        (400, Some(_)) if is_authenticated => UNCLEAR_CLIENT,
        (429, _) => undetermined("the endpoint limits the rate of requests"),
        (200 | 204 | 401, _) | (_, Some(_)) if !is_authenticated => NO_CREDENTIALS,
        _ => failed("the response is not one of RFC 7009", "correct {}"),
    };
    response.build_result("revocation", "revocation_endpoint", finding)
}

/// Evaluates the response to a pushed authorization request (RFC 9126 §2). `has_request_uri` is true if it can be used.
pub fn evaluate_pushed_request(response: ProbeResponse, has_request_uri: bool) -> CheckResult {
    let finding = match (response.status, response.code()) {
        _ if let Some(problem) = response.find_problem_for_programs() => problem,
        (200..=299, _) if has_request_uri => {
            passed("the client, its redirect URI and the scope are accepted")
        }
        (200..=299, _) => {
            failed("the response has no usable request_uri", "set par = \"off\", if it is allowed")
        }
        (429, _) => undetermined("the endpoint limits the rate of requests"),
        (_, Some(Code::InvalidClient)) | (401, None) => REJECTED_CLIENT,
        (_, Some(Code::UnauthorizedClient)) => failed(
            "the client is not allowed to push requests",
            "set par = \"off\", or ask the provider to allow it for client_id",
        ),
        (_, Some(Code::InvalidScope)) => {
            failed("the scope is rejected", "correct scopes and extra_scopes to those of the client")
        }
        (_, Some(Code::InvalidAuthorizationDetails)) => failed(
            "the consent request of FDX is rejected",
            "set authorization_details = \"off\", or ask the provider to allow fdx_v1.0 for client_id",
        ),
        (_, Some(Code::InvalidRequestObject)) => failed(
            "the signed request object is rejected",
            "correct auth_key and auth_algorithm, or set request_object = \"off\"",
        ),
        _ => failed(
            "the request is rejected",
            "register the redirect URI of this provider there, and compare scopes and authorize_parameters",
        ),
    };
    response.build_result("par", "pushed_authorization_request_endpoint", finding)
}

/// Evaluates the response of an introspection endpoint to a token that was never issued (RFC 7662 §2.2).
pub fn evaluate_introspection_response(response: ProbeResponse, is_authenticated: bool) -> CheckResult {
    let finding = match (response.status, response.code()) {
        _ if let Some(problem) = response.find_problem_for_programs() => problem,
        (200, _) if is_authenticated => passed("the client is accepted"),
        (429, _) => undetermined("the endpoint limits the rate of requests"),
        (_, Some(Code::InvalidClient)) | (401, _) if is_authenticated => REJECTED_CLIENT,
        (403, _) | (_, Some(Code::UnauthorizedClient)) if is_authenticated => failed(
            "the client is not allowed to introspect tokens",
            "ask the provider to allow it for client_id, or take customer_identity from another place",
        ),
        _ if is_authenticated => UNCLEAR_CLIENT,
        _ => NO_CREDENTIALS,
    };
    response.build_result("introspection", "introspection_endpoint", finding)
}

/// Evaluates the response of an endpoint that revokes consents or grants to a request without a token.
pub fn evaluate_consent_response(response: ProbeResponse, method: RevokeMethod) -> CheckResult {
    let (name, setting) = match method {
        RevokeMethod::GrantManagement => ("grant_management", "grant_management_endpoint"),
        RevokeMethod::FdxConsent | RevokeMethod::Rfc7009 => ("consent", "consent_endpoint"),
    };
    let finding = match response.status {
        401 | 403 => passed("the endpoint requires an access token"),
        500.. => failed("the endpoint fails", ASK_PROVIDER),
        300..=399 => warning("the URL redirects, and the hub follows no redirect", "correct {}"),
        404 | 405 | 410 => undetermined("the endpoint may exist only for a consent; compare the URL"),
        _ => undetermined("the endpoint responds"),
    };
    response.build_result(name, setting, finding)
}

/// Evaluates the response of the FDX API to a request for accounts without a token.
pub fn evaluate_data_response(response: ProbeResponse) -> CheckResult {
    let finding = match response.status {
        401 | 403 => passed("the API requires an access token"),
        200..=299 => {
            warning("the API responds without an access token", "correct {}, to which /accounts is appended")
        }
        300..=399 => failed("the URL redirects, and the hub follows no redirect", "correct {}"),
        404 | 405 | 410 => warning(
            "there may be no FDX API at this URL",
            "compare {}, to which /accounts is appended, with the provider's documentation",
        ),
        500.. => failed("the endpoint fails", ASK_PROVIDER),
        _ => undetermined("the API responds"),
    };
    response.build_result("data", "fdx.base_url", finding)
}

/// Evaluates the response of a registration endpoint to metadata that is not valid.
pub fn evaluate_registration_response(response: ProbeResponse, token: InitialAccessToken) -> CheckResult {
    const TOKEN: &str = "set dynamic_registration.initial_access_token";
    let finding = match (response.status, token) {
        _ if let Some(problem) = response.find_problem_for_programs() => problem,
        (200..=299, _) => failed(
            "the endpoint accepts metadata that is not valid",
            "register no recipient, and ask the provider",
        ),
        (401 | 403, InitialAccessToken::Sent) => failed("the initial access token is rejected", TOKEN),
        (401 | 403, InitialAccessToken::NotConfigured) => {
            failed("the endpoint requires an initial access token, but none is configured", TOKEN)
        }
        (_, InitialAccessToken::Unreadable) => {
            undetermined("the endpoint responds; no initial access token was sent")
        }
        _ => passed("the endpoint responds"),
    };
    response.build_result("registration", "dynamic_registration.endpoint", finding)
}

#[cfg(test)]
mod tests {
    use super::CheckVerdict::{Failed, Passed, Undetermined, Warning};
    use super::*;

    #[expect(clippy::option_option, reason = "the form of the field: an error with an unknown code")]
    fn response(status: u16, error: Option<Option<Code>>) -> ProbeResponse {
        ProbeResponse { status, is_page: false, error }
    }

    fn page(status: u16) -> ProbeResponse {
        ProbeResponse { status, is_page: true, error: None }
    }

    fn known(status: u16, code: Code) -> ProbeResponse {
        response(status, Some(Some(code)))
    }

    /// Evaluates responses with a function, and compares the verdicts and the beginnings of what to change.
    fn assert_verdicts(
        evaluate: impl Fn(ProbeResponse) -> CheckResult,
        cases: &[(ProbeResponse, CheckVerdict, &str)],
    ) {
        for (response, verdict, change) in cases {
            let result = evaluate(*response);
            assert_eq!(result.verdict, *verdict, "{response:?}: {result:?}");
            assert_eq!(result.ok, *verdict != Failed, "{result:?}");
            assert!(result.change.clone().unwrap_or_default().starts_with(change), "{result:?}");
            assert_eq!(result.change.is_none(), matches!(verdict, Passed | Undetermined), "{result:?}");
        }
    }

    #[test]
    fn only_invalid_grant_proves_client() {
        assert_verdicts(
            |response| evaluate_token_response(response, true),
            &[
                (known(400, Code::InvalidGrant), Passed, ""),
                (known(400, Code::InvalidRequest), Undetermined, ""),
                (known(400, Code::InvalidScope), Undetermined, ""),
                (known(400, Code::InvalidDpopProof), Failed, "correct the clock of this machine"),
                (known(400, Code::UseDpopNonce), Failed, "ask the provider about its nonces"),
                (known(401, Code::InvalidClient), Failed, "correct client_id, auth"),
                (page(401), Failed, "correct client_id, auth"),
                (known(400, Code::UnauthorizedClient), Failed, "ask the provider to allow"),
                (response(404, None), Failed, "correct token_endpoint"),
                (response(302, None), Failed, "set token_endpoint to the target"),
                (response(400, Some(None)), Failed, "correct token_endpoint"),
                (response(401, Some(None)), Failed, "correct client_id, auth"),
                (response(429, None), Undetermined, ""),
                (known(503, Code::InvalidGrant), Failed, "ask the provider"),
                (response(200, None), Failed, "connect no customer"),
            ],
        );
        let without = evaluate_token_response(known(401, Code::InvalidClient), false);
        assert_eq!(without.verdict, Undetermined);
    }

    #[test]
    fn detail_contains_status_and_known_code() {
        let detail = |response| evaluate_token_response(response, true).detail;

        assert_eq!(detail(known(400, Code::InvalidGrant)), "HTTP 400 invalid_grant: the client is accepted");
        assert_eq!(detail(response(404, None)), format!("HTTP 404: {MISSING}"));
    }

    #[test]
    fn revocation_with_credentials_depends_on_response() {
        assert_verdicts(
            |response| evaluate_revocation_response(response, true),
            &[
                (response(200, None), Passed, ""),
                (page(404), Failed, "correct revocation_endpoint"),
                (response(405, None), Failed, "correct revocation_endpoint"),
                (response(410, None), Failed, "correct revocation_endpoint"),
                (page(200), Failed, "correct revocation_endpoint"),
                (response(302, None), Failed, "set revocation_endpoint to the target"),
                (known(400, Code::UnsupportedTokenType), Failed, "set revoke_tokens = \"access\""),
                (known(400, Code::UnauthorizedClient), Failed, "ask the provider to allow"),
                (known(401, Code::InvalidClient), Failed, "correct client_id"),
                (response(401, None), Failed, "correct client_id"),
                (known(400, Code::InvalidGrant), Warning, "no setting"),
                (known(400, Code::InvalidToken), Warning, "no setting"),
                (known(400, Code::InvalidRequest), Undetermined, ""),
                (response(400, Some(None)), Undetermined, ""),
                (response(400, None), Failed, "correct revocation_endpoint"),
                (response(429, None), Undetermined, ""),
                (response(503, None), Failed, "ask the provider"),
            ],
        );
    }

    #[test]
    fn revocation_without_credentials_requires_error_or_401() {
        assert_verdicts(
            |response| evaluate_revocation_response(response, false),
            &[
                (response(401, None), Undetermined, ""),
                (known(400, Code::InvalidClient), Undetermined, ""),
                (response(400, None), Failed, ""),
                (response(404, Some(None)), Failed, ""),
                (page(401), Failed, ""),
            ],
        );
    }

    #[test]
    fn pushed_request_names_rejected_part() {
        assert_verdicts(
            |response| evaluate_pushed_request(response, response.status == 201),
            &[
                (response(201, None), Passed, ""),
                (response(200, None), Failed, "set par = \"off\""),
                (known(400, Code::InvalidScope), Failed, "correct scopes"),
                (known(401, Code::InvalidClient), Failed, "correct client_id"),
                (known(400, Code::InvalidAuthorizationDetails), Failed, "set authorization_details"),
                (known(400, Code::InvalidRequestObject), Failed, "correct auth_key"),
                (known(400, Code::UnauthorizedClient), Failed, "set par = \"off\", or ask"),
                (known(400, Code::InvalidRequest), Failed, "register the redirect URI"),
                (response(404, None), Failed, "correct pushed_authorization_request_endpoint"),
                (response(429, None), Undetermined, ""),
            ],
        );
    }

    #[test]
    fn data_endpoint_is_expected_to_require_token() {
        assert_verdicts(
            evaluate_data_response,
            &[
                (response(401, None), Passed, ""),
                (response(403, None), Passed, ""),
                (response(404, None), Warning, "compare fdx.base_url"),
                (response(200, None), Warning, "correct fdx.base_url"),
                (response(302, None), Failed, "correct fdx.base_url"),
                (response(400, None), Undetermined, ""),
                (response(503, None), Failed, "ask the provider"),
            ],
        );
    }

    #[test]
    fn introspection_and_consents_depend_on_response() {
        assert_verdicts(
            |response| evaluate_introspection_response(response, true),
            &[
                (response(200, None), Passed, ""),
                (response(401, None), Failed, "correct client_id"),
                (response(403, None), Failed, "ask the provider"),
                (known(400, Code::UnauthorizedClient), Failed, "ask the provider"),
                (response(404, None), Failed, "correct introspection_endpoint"),
                (response(429, None), Undetermined, ""),
                (known(400, Code::InvalidRequest), Undetermined, ""),
            ],
        );
        let limited = evaluate_introspection_response(response(429, None), true).detail;
        assert!(limited.contains("limits the rate"), "{limited}");
        assert_verdicts(
            |response| evaluate_consent_response(response, RevokeMethod::FdxConsent),
            &[
                (response(401, None), Passed, ""),
                (response(404, None), Undetermined, ""),
                (response(302, None), Warning, "correct consent_endpoint"),
                (response(502, None), Failed, "ask the provider"),
            ],
        );
        for status in [404, 405, 410] {
            let detail = evaluate_consent_response(response(status, None), RevokeMethod::FdxConsent).detail;
            assert!(detail.contains("only for a consent"), "{detail}");
        }
    }

    #[test]
    fn response_without_credentials_proves_nothing_about_client() {
        let codes = [Code::InvalidClient, Code::UnauthorizedClient, Code::InvalidGrant, Code::InvalidRequest];
        let errors = codes.map(|code| known(400, code));
        let statuses = [200, 401, 403].map(|status| response(status, None));
        let assert_unproven = |evaluate: fn(ProbeResponse, bool) -> CheckResult, response: ProbeResponse| {
            let result = evaluate(response, false);
            assert_eq!(result.verdict, Undetermined, "{response:?}");
            assert!(result.detail.contains(NO_CREDENTIALS.detail), "{response:?}: {result:?}");
        };

        for error in errors {
            assert_unproven(evaluate_token_response, error);
            assert_unproven(evaluate_revocation_response, error);
            assert_unproven(evaluate_introspection_response, error);
        }
        for response in statuses {
            assert_unproven(evaluate_introspection_response, response);
        }
        assert_unproven(evaluate_revocation_response, response(401, None));
    }

    #[test]
    fn other_error_leaves_client_unclear() {
        let evaluations =
            [evaluate_token_response, evaluate_revocation_response, evaluate_introspection_response];
        for evaluate in evaluations {
            let result = evaluate(known(400, Code::InvalidRequest), true);
            assert!(result.detail.contains(UNCLEAR_CLIENT.detail), "{result:?}");
        }
        let result = evaluate_revocation_response(known(403, Code::InvalidRequest), true);
        assert!(result.detail.contains("not one of RFC 7009"), "{result:?}");
    }

    #[test]
    fn registration_check_depends_on_response_and_token() {
        let invalid = known(400, Code::InvalidClientMetadata);
        let evaluate = |token| move |response| evaluate_registration_response(response, token);
        let token = "set dynamic_registration.initial_access_token";

        let sent = [(invalid, Passed, ""), (response(401, None), Failed, token)];
        assert_verdicts(evaluate(InitialAccessToken::Sent), &sent);
        assert_verdicts(evaluate(InitialAccessToken::Unreadable), &[(response(401, None), Undetermined, "")]);
        assert_verdicts(
            evaluate(InitialAccessToken::NotConfigured),
            &[
                (response(401, None), Failed, token),
                (response(201, None), Failed, "register no recipient"),
                (response(404, None), Failed, "correct dynamic_registration.endpoint"),
                (page(400), Failed, "correct dynamic_registration.endpoint"),
            ],
        );
    }

    #[test]
    fn authorization_endpoint_must_exist() {
        let missing = [404, 405, 410].map(|status| (response(status, None), Failed, "correct authorization"));
        let existing = [200, 302, 400].map(|status| (page(status), Passed, ""));

        assert_verdicts(evaluate_authorization_response, &missing);
        assert_verdicts(evaluate_authorization_response, &existing);
    }
}
