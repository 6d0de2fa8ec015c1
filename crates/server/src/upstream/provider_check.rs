//! The connectivity check of a provider. It changes nothing in the hub or at the provider.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderSettings, UpstreamClientMode};
use futures_util::future::{join, join_all};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use url::Url;

use super::client::{
    UpstreamClientCredentials, build_authenticated_form, load_hub_secret, load_initial_access_token,
};
use super::token_endpoint::TokenErrorBody;
use super::urls::callback_uri;
use crate::context::RequestContext;
use crate::outbound::{Outbound, OutboundError, UpstreamResponse};

/// The error codes of RFC 6749 §5.2. They are the only text of a provider's response that a result may contain.
const TOKEN_ERROR_CODES: [&str; 6] = [
    "invalid_grant",
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// The result of one check of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckResult {
    /// The checked item: `client_secret`, `authorization`, `token`, `revocation` or `data`; also
    /// `initial_access_token` and `registration` if the provider registers clients.
    pub name: &'static str,
    /// Whether the check has passed.
    pub ok: bool,
    /// A description of the result. It contains no text from the provider other than an error code of RFC 6749.
    pub detail: String,
}

impl CheckResult {
    fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into() }
    }
}

/// Checks the secrets and the endpoints of a stored provider. Returns one result per check.
pub async fn check_provider(ctx: &RequestContext, provider: &Provider) -> Vec<CheckResult> {
    let settings = &provider.settings;
    let (credentials, secret_check) = match settings.upstream_client {
        UpstreamClientMode::PerRegistration => {
            let detail = "not needed: each registration has a client of its own";
            (None, CheckResult::new("client_secret", true, detail))
        }
        UpstreamClientMode::Shared => match load_hub_secret(ctx, provider).await {
            Ok(secret) => {
                let credentials = UpstreamClientCredentials { id: settings.client_id.clone(), secret };
                (Some(credentials), CheckResult::new("client_secret", true, "the secret is readable"))
            }
            Err(error) => (None, CheckResult::new("client_secret", false, error.to_string())),
        },
    };
    let (outbound, public_url) = (ctx.app().outbound(), ctx.app().public_url());
    let endpoint_checks = ProviderCheck { outbound, public_url, id: provider.id, settings };
    let mut checks = vec![secret_check];
    if let Some(registration) = &settings.dynamic_registration {
        let (ok, detail) = match load_initial_access_token(ctx, provider, registration).await {
            Ok(None) => (true, "not needed: the provider requires no token".to_owned()),
            Ok(Some(_)) => (true, "the token is readable".to_owned()),
            Err(error) => (false, error.to_string()),
        };
        checks.push(CheckResult::new("initial_access_token", ok, detail));
    }
    checks.extend(endpoint_checks.check_endpoints(credentials.as_ref()).await);
    checks
}

/// The input of the checks of a provider's endpoints, which do not use the store.
pub(crate) struct ProviderCheck<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) public_url: &'a str,
    pub(crate) id: ProviderId,
    pub(crate) settings: &'a ProviderSettings,
}

impl ProviderCheck<'_> {
    /// Checks that the endpoints respond, and, with `credentials`, that the token endpoint accepts the client. The
    /// checks run concurrently.
    pub(crate) async fn check_endpoints(
        &self,
        credentials: Option<&UpstreamClientCredentials>,
    ) -> Vec<CheckResult> {
        let settings = self.settings;
        let endpoints = [
            ("authorization", Some(&settings.authorization_endpoint)),
            ("revocation", settings.revocation_endpoint.as_ref()),
            ("data", Some(&settings.fdx.base_url)),
            ("registration", settings.dynamic_registration.as_ref().map(|r| &r.endpoint)),
        ];
        let configured = endpoints.into_iter().filter_map(|(name, url)| url.map(|url| (name, url)));
        let reachable = join_all(configured.map(|(name, url)| check_reachable(self.outbound, name, url)));
        let (mut checks, token_check) = join(reachable, self.check_token_endpoint(credentials)).await;
        // The results are listed in the order in which a connection uses the endpoints: authorization, then token.
        checks.insert(1, token_check);
        checks
    }

    /// Sends an authorization code that was never issued to the token endpoint.
    ///
    /// A provider that works responds with an error code of RFC 6749 §5.2. The code shows whether the provider accepts
    /// the client.
    async fn check_token_endpoint(&self, credentials: Option<&UpstreamClientCredentials>) -> CheckResult {
        let redirect_uri = callback_uri(self.public_url, self.id);
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", "bowline-provider-check"),
            ("redirect_uri", &*redirect_uri),
            // RFC 7636 §4.1 requires at least 43 characters.
            ("code_verifier", "bowline-provider-check-without-a-code-challenge"),
        ];
        let response = async {
            let url = Url::parse(&self.settings.token_endpoint).map_err(|_| OutboundError::Forbidden)?;
            let request = match credentials {
                Some(credentials) => {
                    let auth = self.settings.auth;
                    build_authenticated_form(self.outbound, auth, &url, fields, credentials)?
                }
                None => self.outbound.post_form(&url, &fields)?,
            };
            self.outbound.send(request.header(header::ACCEPT, "application/json")).await
        };
        match response.await {
            Ok(response) => evaluate_token_response(&response, credentials.is_some()),
            Err(error) => CheckResult::new("token", false, error.to_string()),
        }
    }
}

/// Evaluates the response of a token endpoint to a code that was never issued.
fn evaluate_token_response(response: &UpstreamResponse, is_authenticated: bool) -> CheckResult {
    let status = response.status.as_u16();
    if response.status.is_success() {
        let detail = format!("HTTP {status}: the endpoint accepts a code that was never issued");
        return CheckResult::new("token", false, detail);
    }
    let error = serde_json::from_slice::<TokenErrorBody>(&response.body).map(|body| body.error).ok();
    let error_code = error.and_then(|error| TOKEN_ERROR_CODES.into_iter().find(|code| *code == error));
    let (ok, finding) = match (error_code, is_authenticated) {
        _ if response.status.is_server_error() => (false, "the endpoint fails"),
        (Some("invalid_client"), true) => (false, "the client id or secret is rejected"),
        (Some("unauthorized_client" | "unsupported_grant_type"), true) => {
            (false, "the client is not allowed to use authorization codes")
        }
        // `invalid_grant` is the expected code. The remaining codes do not mean that the client is rejected either.
        (Some(_), true) => (true, "the client is accepted"),
        (Some(_), false) => (true, "the endpoint responds; no client credentials were sent"),
        // RFC 6749 §5.2 allows 401 for failed client authentication, so the status is sufficient without a body.
        (None, true) if response.status == StatusCode::UNAUTHORIZED => {
            (false, "the client id or secret is rejected")
        }
        (None, _) => (false, "the response is not an error of RFC 6749"),
    };
    let error_code = error_code.map_or(String::new(), |code| format!(" {code}"));
    CheckResult::new("token", ok, format!("HTTP {status}{error_code}: {finding}"))
}

/// Checks that an endpoint responds with a status below 500.
async fn check_reachable(outbound: &Outbound, name: &'static str, endpoint: &str) -> CheckResult {
    let probe = async {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        // A request without credentials and parameters is usually rejected. Any status below 500 is sufficient, so the
        // body is not read.
        Ok::<_, OutboundError>(outbound.open(outbound.get_unauthenticated(&url)?).await?.status)
    };
    match probe.await {
        Ok(status) => CheckResult::new(name, !status.is_server_error(), format!("HTTP {}", status.as_u16())),
        Err(error) => CheckResult::new(name, false, error.to_string()),
    }
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
                "HTTP 401 invalid_client: the client id or secret is rejected",
            ),
            (401, "<html>", false, "HTTP 401: the client id or secret is rejected"),
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

    #[test]
    fn token_check_without_credentials_accepts_invalid_client() {
        assert!(evaluate(401, r#"{"error":"invalid_client"}"#, false).0);
    }
}
