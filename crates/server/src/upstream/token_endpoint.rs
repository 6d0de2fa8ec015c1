//! Requests to the token endpoint (RFC 6749 §3.2) and the revocation endpoint (RFC 7009 §2) of a provider.

use std::time::Duration;

use domain::model::job::AttemptOutcome;
use domain::model::provider::EndpointGroup;
use domain::{Secret, Timestamp};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::attempt_report::AttemptReport;
use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::response::{classify_error_response, retry_later};
use crate::breaker::BreakerOpenError;
use crate::outbound::UpstreamResponse;

/// The assumed lifetime of an access token if the response has no `expires_in`, which RFC 6749 §5.1 only recommends. It
/// is short: refreshing too early is better than using an expired token.
const DEFAULT_TOKEN_TTL_SECS: i64 = 60;
const MAX_TOKEN_TTL_SECS: i64 = 86_400;
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A successful response of a token endpoint (RFC 6749 §5.1).
pub struct TokenResponse {
    pub access_token: Secret<String>,
    /// The time at which the access token expires.
    pub access_expires_at: Timestamp,
    /// The refresh token, if the provider issued one.
    pub refresh_token: Option<Secret<String>>,
    /// The granted scope. Absent if it is identical to the requested scope.
    pub scope: Option<String>,
    /// All members of the response except the two tokens.
    fields: Map<String, Value>,
}

impl TokenResponse {
    /// Parses the body of a response that was received at `now`. Returns `None` if it is not JSON or a token is missing
    /// or invalid.
    fn parse(body: &[u8], now: Timestamp) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let access_token = parse_token(fields.remove("access_token")?)?;
        let refresh_token = match fields.remove("refresh_token") {
            None | Some(Value::Null) => None,
            Some(token) => Some(parse_token(token)?),
        };
        let ttl_secs = fields.get("expires_in").and_then(Value::as_i64).unwrap_or(DEFAULT_TOKEN_TTL_SECS);
        let ttl = Duration::from_secs(ttl_secs.clamp(1, MAX_TOKEN_TTL_SECS).unsigned_abs());
        let scope = fields.get("scope").and_then(Value::as_str).map(str::to_owned);
        Some(Self { access_token, access_expires_at: now.plus(ttl), refresh_token, scope, fields })
    }

    /// Returns a member of the response as text. A number is accepted too, because some providers identify customers
    /// and grants by numbers.
    pub fn string_field(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Returns a member of the response that is an array of strings; `None` if the member is missing or has other
    /// items.
    pub fn string_list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.fields.get(name)?.as_array()?;
        list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

/// Validates a token of the response. It must consist of characters that can be sent in a header and in a form.
fn parse_token(value: Value) -> Option<Secret<String>> {
    let Value::String(token) = value else { return None };
    // RFC 6749 appendix A.12 also allows spaces, but a bearer token has none (RFC 6750 §2.1).
    let is_valid =
        !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
    is_valid.then(|| Secret::new(token))
}

/// The grant in a token request: a code or a refresh token.
pub(super) enum TokenGrant<'a> {
    /// An authorization code (RFC 6749 §4.1.3) with its PKCE verifier (RFC 7636 §4.5).
    Code { code: &'a str, redirect_uri: &'a str, verifier: &'a str },
    /// A refresh token (RFC 6749 §6).
    Refresh { token: &'a str },
}

impl<'a> TokenGrant<'a> {
    fn to_form_fields(&self) -> Vec<(&'static str, &'a str)> {
        match *self {
            Self::Code { code, redirect_uri, verifier } => vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier),
            ],
            Self::Refresh { token } => vec![("grant_type", "refresh_token"), ("refresh_token", token)],
        }
    }
}

/// An error response of a token endpoint (RFC 6749 §5.2).
#[derive(Deserialize)]
pub(super) struct TokenErrorBody {
    pub(super) error: String,
}

impl ProviderEndpoints<'_> {
    /// Requests tokens for a grant. Returns [`UpstreamError::GrantEnded`] only if the provider responds
    /// `invalid_grant`.
    pub(super) async fn request_tokens(&self, grant: TokenGrant<'_>) -> Result<TokenResponse, UpstreamError> {
        self.ensure_circuit_closed(EndpointGroup::Token)?;
        self.send_token_request(grant).await
    }

    /// Requests tokens for a grant. The caller has ensured that the circuit breaker of the token endpoint is closed.
    pub(super) async fn send_token_request(
        &self,
        grant: TokenGrant<'_>,
    ) -> Result<TokenResponse, UpstreamError> {
        let response = self.post_form(&self.provider.settings.token_endpoint, grant.to_form_fields()).await;
        self.record_outcome("token", EndpointGroup::Token, response.as_ref().map(|response| response.status));
        let response = response?;
        if response.status == StatusCode::OK {
            return TokenResponse::parse(&response.body, self.ctx.now()).ok_or(UpstreamError::Failed);
        }
        let error = serde_json::from_slice::<TokenErrorBody>(&response.body).map(|body| body.error);
        match error.as_deref() {
            // With a 5xx status, the error code of a failing server cannot be trusted and must not end a connection.
            Ok("invalid_grant") if response.status.is_client_error() => Err(UpstreamError::GrantEnded),
            _ => Err(classify_error_response(&response)),
        }
    }

    /// Revokes a refresh token at the provider (RFC 7009). Returns an error if the circuit breaker of the revocation
    /// endpoint is open; nothing was sent then.
    pub(super) async fn revoke(&self, token: &str) -> Result<AttemptReport, BreakerOpenError> {
        let Some(endpoint) = &self.provider.settings.revocation_endpoint else {
            return Ok(AttemptReport::new(
                AttemptOutcome::Refused,
                "the provider has no revocation endpoint in its settings",
            ));
        };
        self.ensure_circuit_closed(EndpointGroup::Revocation)?;
        let fields = vec![("token", token), ("token_type_hint", "refresh_token")];
        let response = self.post_form(endpoint, fields).await;
        self.record_outcome(
            "revoke",
            EndpointGroup::Revocation,
            response.as_ref().map(|response| response.status),
        );
        Ok(match response {
            Ok(response) => {
                let description = format!("HTTP {}", response.status.as_u16());
                AttemptReport::new(evaluate_revocation_response(&response), description)
            }
            // The provider may have revoked the token. Repeating the request is safe, because RFC 7009 §2.2 requires
            // 200 for a revoked token too.
            Err(error) => AttemptReport::retry_later(&error),
        })
    }
}

fn evaluate_revocation_response(response: &UpstreamResponse) -> AttemptOutcome {
    match response.status {
        // RFC 7009 §2.2 requires 200, even for an invalid token. Some providers send 204.
        StatusCode::OK | StatusCode::NO_CONTENT => AttemptOutcome::Accepted,
        // These can be temporary: an operator can correct wrong client credentials while the job retries.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => retry_later(response),
        status if status.is_client_error() => AttemptOutcome::Refused,
        // After 503, the hub must assume that the token is still valid (RFC 7009 §2.2.1).
        _ => retry_later(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[!-~]{1,40}".prop_map(Value::from),
            Just(json!(["a1", 2])),
            Just(serde_json::from_str("1e999").unwrap_or_default()),
        ]
    }

    proptest! {
        #[test]
        fn token_response_is_parsed_or_rejected(
            members in prop::collection::vec((prop::sample::select(vec!["access_token", "refresh_token", "expires_in", "scope", "customer_id", "accounts"]), value()), 0..8),
            bytes: Vec<u8>,
        ) {
            let object = Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
            for body in [object.to_string().into_bytes(), bytes] {
                let Some(tokens) = TokenResponse::parse(&body, NOW) else { continue };

                let fits_header = |token: &Secret<String>| http::HeaderValue::from_str(token.expose()).is_ok();
                prop_assert!(fits_header(&tokens.access_token));
                prop_assert!(tokens.refresh_token.as_ref().is_none_or(fits_header));
                let ttl = tokens.access_expires_at.since(NOW).as_secs();
                prop_assert!((1..=86_400).contains(&ttl), "{}", ttl);
                let _ = (tokens.string_field("customer_id"), tokens.string_list("accounts"));
            }
        }
    }
}
