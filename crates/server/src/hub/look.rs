//! A look at a provider: whether it has what a connection would need. Nothing is changed, here or there.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderSettings, UpstreamClient};
use futures_util::future::join_all;
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use url::Url;

use super::own_client::{OwnClient, hub_secret, initial_access_token};
use super::provider::{ErrorWord, authenticated, callback_uri};
use crate::ctx::Ctx;
use crate::outbound::{Answer, Outbound, OutboundError};

/// What was looked at, and what was found. Nothing of an answer's body is in it but a word of RFC 6749.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at: `client_secret`, `authorization`, `token`, `revocation`, `data`; `initial_access_token` and
    /// `registration` where the provider registers clients.
    pub name: &'static str,
    /// Whether it is as a connection needs it.
    pub ok: bool,
    /// What was found, in words.
    pub detail: String,
}

impl Check {
    fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into() }
    }
}

/// Looks at a provider of this hub.
pub async fn look(ctx: &Ctx, provider: &Provider) -> Vec<Check> {
    let settings = &provider.settings;
    let (own, secret) = match settings.upstream_client {
        UpstreamClient::Registration => {
            (None, Check::new("client_secret", true, "each registration brings a client of its own"))
        }
        UpstreamClient::Hub => match hub_secret(ctx, provider).await {
            Ok(secret) => {
                let own = OwnClient { id: settings.client_id.clone(), secret };
                (Some(own), Check::new("client_secret", true, "it can be read"))
            }
            Err(fault) => (None, Check::new("client_secret", false, fault.to_string())),
        },
    };
    let (outbound, public_url) = (ctx.app().outbound(), ctx.app().public_url());
    let look = Look { outbound, public_url, id: provider.id, settings };
    let mut checks = vec![secret];
    if let Some(there) = &settings.dynamic_registration {
        let (ok, detail) = match initial_access_token(ctx, provider, there).await {
            Ok(None) => (true, "none is wanted".to_owned()),
            Ok(Some(_)) => (true, "it can be read".to_owned()),
            Err(fault) => (false, fault.to_string()),
        };
        checks.push(Check::new("initial_access_token", ok, detail));
    }
    checks.extend(look.endpoints(own.as_ref()).await);
    checks
}

/// A provider that is looked at.
pub(crate) struct Look<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) public_url: &'a str,
    pub(crate) id: ProviderId,
    pub(crate) settings: &'a ProviderSettings,
}

impl Look<'_> {
    /// Whether its endpoints answer, and whether it knows the client that asks. All are asked at once.
    pub(crate) async fn endpoints(&self, own: Option<&OwnClient>) -> Vec<Check> {
        let s = self.settings;
        let plain = [
            ("authorization", Some(&s.authorization_endpoint)),
            ("revocation", s.revocation_endpoint.as_ref()),
            ("data", Some(&s.fdx.base_url)),
            ("registration", s.dynamic_registration.as_ref().map(|there| &there.endpoint)),
        ];
        let plain =
            plain.into_iter().filter_map(|(name, endpoint)| endpoint.map(|endpoint| (name, endpoint)));
        let plain = join_all(plain.map(|(name, endpoint)| answers(self.outbound, name, endpoint)));
        let (mut checks, token) = futures_util::future::join(plain, self.token(own)).await;
        checks.insert(1, token);
        checks
    }

    /// Asks for tokens with a code that nobody issued: a provider that works says no in the words of RFC 6749 §5.2.
    async fn token(&self, own: Option<&OwnClient>) -> Check {
        let redirect_uri = callback_uri(self.public_url, self.id);
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", "nobody-issued-this"),
            ("redirect_uri", &*redirect_uri),
            ("code_verifier", "nobody-made-a-challenge-of-this-verifier-either"),
        ];
        let asked = async {
            let url = Url::parse(&self.settings.token_endpoint).map_err(|_| OutboundError::Forbidden)?;
            let request = match own {
                Some(own) => authenticated(self.outbound, self.settings.auth, &url, fields, own)?,
                None => self.outbound.post_form(&url, &fields)?,
            };
            self.outbound.send(request.header(header::ACCEPT, "application/json")).await
        };
        match asked.await {
            Ok(answer) => judged(&answer, own.is_some()),
            Err(error) => Check::new("token", false, error.to_string()),
        }
    }
}

/// What an answer to a code that nobody issued says of the provider, and of the client that asked.
fn judged(answer: &Answer, authenticated: bool) -> Check {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return Check::new("token", false, format!("HTTP {status} for a code that nobody issued"));
    }
    let word = serde_json::from_slice::<ErrorWord>(&answer.body).map(|word| word.error);
    let known = [
        "invalid_grant",
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let known = word.ok().and_then(|word| known.into_iter().find(|known| *known == word));
    let (ok, found) = match (known, authenticated) {
        _ if answer.status.is_server_error() => (false, "it fails"),
        (Some("invalid_client"), true) => (false, "it does not accept the client's id and secret"),
        (Some("unauthorized_client" | "unsupported_grant_type"), true) => {
            (false, "it does not let the client ask with a code")
        }
        (Some(_), true) => (true, "it accepts the client"),
        (Some(_), false) => (true, "it answers; no client was shown to it"),
        (None, true) if answer.status == StatusCode::UNAUTHORIZED => {
            (false, "it does not accept the client's id and secret")
        }
        (None, _) => (false, "it answers with no error of RFC 6749"),
    };
    let word = known.map_or(String::new(), |word| format!(" {word}"));
    Check::new("token", ok, format!("HTTP {status}{word}: {found}"))
}

/// Whether anybody answers at an endpoint.
async fn answers(outbound: &Outbound, name: &'static str, endpoint: &str) -> Check {
    let looked = async {
        let url = Url::parse(endpoint).map_err(|_| OutboundError::Forbidden)?;
        // The head alone: what it says is not looked at.
        Ok::<_, OutboundError>(outbound.open(outbound.look(&url)?).await?.status)
    };
    match looked.await {
        Ok(status) => Check::new(name, !status.is_server_error(), format!("HTTP {}", status.as_u16())),
        Err(error) => Check::new(name, false, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str, authenticated: bool) -> (bool, String) {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: http::HeaderMap::new(), body: body.to_owned().into() };
        let check = judged(&answer, authenticated);
        (check.ok, check.detail)
    }

    #[test]
    fn a_token_endpoint_is_judged_by_how_it_says_no() {
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
            assert_eq!(said(status, body, true), (ok, words.to_owned()));
        }
        assert!(said(401, r#"{"error":"invalid_client"}"#, false).0, "nothing was shown to it");
    }
}
