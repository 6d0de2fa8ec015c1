//! A look at a provider: whether it has what a connection would need. Nothing is changed, here or there.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderSettings, UpstreamClientMode};
use futures_util::future::join_all;
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

/// What was looked at, and what was found. Nothing of an answer's body is in it but a word of RFC 6749.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckResult {
    /// What was looked at: `client_secret`, `authorization`, `token`, `revocation`, `data`; `initial_access_token` and
    /// `registration` where the provider registers clients.
    pub name: &'static str,
    /// Whether it is as a connection needs it.
    pub ok: bool,
    /// What was found, in words.
    pub detail: String,
}

impl CheckResult {
    fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into() }
    }
}

/// Looks at a provider of this hub.
pub async fn check_provider(ctx: &RequestContext, provider: &Provider) -> Vec<CheckResult> {
    let settings = &provider.settings;
    let (own, secret) = match settings.upstream_client {
        UpstreamClientMode::PerRegistration => {
            (None, CheckResult::new("client_secret", true, "each registration brings a client of its own"))
        }
        UpstreamClientMode::Shared => match load_hub_secret(ctx, provider).await {
            Ok(secret) => {
                let own = UpstreamClientCredentials { id: settings.client_id.clone(), secret };
                (Some(own), CheckResult::new("client_secret", true, "it can be read"))
            }
            Err(fault) => (None, CheckResult::new("client_secret", false, fault.to_string())),
        },
    };
    let (outbound, public_url) = (ctx.app().outbound(), ctx.app().public_url());
    let check = ProviderCheck { outbound, public_url, id: provider.id, settings };
    let mut checks = vec![secret];
    if let Some(registration) = &settings.dynamic_registration {
        let (ok, detail) = match load_initial_access_token(ctx, provider, registration).await {
            Ok(None) => (true, "none is wanted".to_owned()),
            Ok(Some(_)) => (true, "it can be read".to_owned()),
            Err(fault) => (false, fault.to_string()),
        };
        checks.push(CheckResult::new("initial_access_token", ok, detail));
    }
    checks.extend(check.check_endpoints(own.as_ref()).await);
    checks
}

/// A provider that is looked at.
pub(crate) struct ProviderCheck<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) public_url: &'a str,
    pub(crate) id: ProviderId,
    pub(crate) settings: &'a ProviderSettings,
}

impl ProviderCheck<'_> {
    /// Whether its endpoints answer, and whether it knows the client that asks. All are asked at once.
    pub(crate) async fn check_endpoints(&self, own: Option<&UpstreamClientCredentials>) -> Vec<CheckResult> {
        let s = self.settings;
        let plain = [
            ("authorization", Some(&s.authorization_endpoint)),
            ("revocation", s.revocation_endpoint.as_ref()),
            ("data", Some(&s.fdx.base_url)),
            ("registration", s.dynamic_registration.as_ref().map(|there| &there.endpoint)),
        ];
        let plain =
            plain.into_iter().filter_map(|(name, endpoint)| endpoint.map(|endpoint| (name, endpoint)));
        let plain = join_all(plain.map(|(name, endpoint)| check_reachable(self.outbound, name, endpoint)));
        let (mut checks, token) = futures_util::future::join(plain, self.check_token_endpoint(own)).await;
        checks.insert(1, token);
        checks
    }

    /// Asks for tokens with a code that nobody issued: a provider that works says no in the words of RFC 6749 §5.2.
    async fn check_token_endpoint(&self, own: Option<&UpstreamClientCredentials>) -> CheckResult {
        let redirect_uri = callback_uri(self.public_url, self.id);
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", "nobody-issued-this"),
            ("redirect_uri", &*redirect_uri),
            ("code_verifier", "nobody-made-a-challenge-of-this-verifier-either"),
        ];
        let response = async {
            let url = Url::parse(&self.settings.token_endpoint).map_err(|_| OutboundError::Forbidden)?;
            let request = match own {
                Some(own) => build_authenticated_form(self.outbound, self.settings.auth, &url, fields, own)?,
                None => self.outbound.post_form(&url, &fields)?,
            };
            self.outbound.send(request.header(header::ACCEPT, "application/json")).await
        };
        match response.await {
            Ok(answer) => evaluate_token_response(&answer, own.is_some()),
            Err(error) => CheckResult::new("token", false, error.to_string()),
        }
    }
}

/// What an answer to a code that nobody issued says of the provider, and of the client that asked.
fn evaluate_token_response(response: &UpstreamResponse, authenticated: bool) -> CheckResult {
    let status = response.status.as_u16();
    if response.status.is_success() {
        return CheckResult::new("token", false, format!("HTTP {status} for a code that nobody issued"));
    }
    let error_code = serde_json::from_slice::<TokenErrorBody>(&response.body).map(|word| word.error);
    let known = [
        "invalid_grant",
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let known = error_code.ok().and_then(|word| known.into_iter().find(|known| *known == word));
    let (ok, found) = match (known, authenticated) {
        _ if response.status.is_server_error() => (false, "it fails"),
        (Some("invalid_client"), true) => (false, "it does not accept the client's id and secret"),
        (Some("unauthorized_client" | "unsupported_grant_type"), true) => {
            (false, "it does not let the client ask with a code")
        }
        (Some(_), true) => (true, "it accepts the client"),
        (Some(_), false) => (true, "it answers; no client was shown to it"),
        (None, true) if response.status == StatusCode::UNAUTHORIZED => {
            (false, "it does not accept the client's id and secret")
        }
        (None, _) => (false, "it answers with no error of RFC 6749"),
    };
    let word = known.map_or(String::new(), |word| format!(" {word}"));
    CheckResult::new("token", ok, format!("HTTP {status}{word}: {found}"))
}

/// Whether anybody answers at an endpoint.
async fn check_reachable(outbound: &Outbound, name: &'static str, endpoint: &str) -> CheckResult {
    let probe = async {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        // The head alone: what it says is not looked at.
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

    fn evaluate(status: u16, body: &str, authenticated: bool) -> (bool, String) {
        let status = StatusCode::from_u16(status).unwrap();
        let response =
            UpstreamResponse { status, headers: http::HeaderMap::new(), body: body.to_owned().into() };
        let check = evaluate_token_response(&response, authenticated);
        (check.ok, check.detail)
    }

    #[test]
    fn token_endpoint_check_depends_on_error_code() {
        for (status, body, ok, words) in [
            (400, r#"{"error":"invalid_grant"}"#, true, "HTTP 400 invalid_grant: it accepts the client"),
            (
                400,
                r#"{"error":"invalid_request","x":1}"#,
                true,
                "HTTP 400 invalid_request: it accepts the client",
            ),
            (
                401,
                r#"{"error":"invalid_client"}"#,
                false,
                "HTTP 401 invalid_client: it does not accept the client's id and secret",
            ),
            (401, "<html>", false, "HTTP 401: it does not accept the client's id and secret"),
            (
                400,
                r#"{"error":"unauthorized_client"}"#,
                false,
                "HTTP 400 unauthorized_client: it does not let the client ask with a code",
            ),
            (404, "mine", false, "HTTP 404: it answers with no error of RFC 6749"),
            (400, r#"{"error":"mine"}"#, false, "HTTP 400: it answers with no error of RFC 6749"),
            (503, r#"{"error":"invalid_grant"}"#, false, "HTTP 503 invalid_grant: it fails"),
            (200, r#"{"access_token":"mine"}"#, false, "HTTP 200 for a code that nobody issued"),
        ] {
            assert_eq!(evaluate(status, body, true), (ok, words.to_owned()));
        }
        assert!(evaluate(401, r#"{"error":"invalid_client"}"#, false).0, "nothing was shown to it");
    }
}
