//! The token and revocation endpoints of a provider.

use std::time::Duration;

use domain::model::job::AttemptOutcome;
use domain::{Secret, Timestamp};
use http::StatusCode;
use serde::Deserialize;

use super::endpoints::ProviderEndpoints;
use super::error::UpstreamError;
use super::response::{classify_error_response, retry_later};

/// What a token endpoint gave.
pub struct TokenResponse {
    /// The access token.
    pub access_token: Secret<String>,
    /// When it dies.
    pub access_expires_at: Timestamp,
    /// The refresh token, if one was given.
    pub refresh_token: Option<Secret<String>>,
    /// The granted scope, if it was said.
    pub scope: Option<String>,
    /// Every text and list of texts in the reply beside the tokens.
    fields: serde_json::Map<String, serde_json::Value>,
}

impl TokenResponse {
    /// Reads an answer that came at `now`.
    fn parse(body: &[u8], now: Timestamp) -> Option<Self> {
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let access_token = parse_token(fields.remove("access_token")?)?;
        let refresh_token = match fields.remove("refresh_token") {
            None | Some(serde_json::Value::Null) => None,
            Some(refresh) => Some(parse_token(refresh)?),
        };
        let life =
            fields.get("expires_in").and_then(serde_json::Value::as_i64).unwrap_or(DEFAULT_TOKEN_TTL_SECS);
        let life = Duration::from_secs(life.clamp(1, MAX_TOKEN_TTL_SECS).unsigned_abs());
        let scope = fields.get("scope").and_then(|s| s.as_str()).map(str::to_owned);
        Some(Self { access_token, access_expires_at: now.plus(life), refresh_token, scope, fields })
    }

    /// A text field, numbers included.
    pub fn string_field(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A field that is a list of texts.
    pub fn string_list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.fields.get(name)?.as_array()?;
        list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

/// A grant at the token endpoint.
pub(super) enum TokenGrant<'a> {
    /// RFC 6749 §4.1.3 with RFC 7636.
    Code { code: &'a str, redirect_uri: &'a str, verifier: &'a str },
    /// RFC 6749 §6.
    Refresh { token: &'a str },
}

/// An access token without a stated life is used for this long.
const DEFAULT_TOKEN_TTL_SECS: i64 = 60;
const MAX_TOKEN_TTL_SECS: i64 = 86_400;
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The error of a token endpoint (RFC 6749 §5.2).
#[derive(Deserialize)]
pub(super) struct TokenErrorBody {
    pub(super) error: String,
}

impl ProviderEndpoints<'_> {
    /// Asks the token endpoint.
    pub(super) async fn request_tokens(&self, grant: TokenGrant<'_>) -> Result<TokenResponse, UpstreamError> {
        let fields = match &grant {
            TokenGrant::Code { code, redirect_uri, verifier } => vec![
                ("grant_type", "authorization_code"),
                ("code", *code),
                ("redirect_uri", *redirect_uri),
                ("code_verifier", *verifier),
            ],
            TokenGrant::Refresh { token } => vec![("grant_type", "refresh_token"), ("refresh_token", *token)],
        };
        self.ensure_closed()?;
        let response = self.post(&self.provider.settings.token_endpoint, fields).await;
        let response = self.record_outcome("token", response, |answer| answer.status)?;
        if response.status == StatusCode::OK {
            return TokenResponse::parse(&response.body, self.ctx.now()).ok_or(UpstreamError::Failed);
        }
        let error_code = serde_json::from_slice::<TokenErrorBody>(&response.body).map(|e| e.error);
        match error_code.as_deref() {
            Ok("invalid_grant") if response.status.is_client_error() => Err(UpstreamError::GrantEnded),
            _ => Err(classify_error_response(&response)),
        }
    }

    /// Revokes a refresh token (RFC 7009 §2): 200 also for one that is already gone.
    pub(super) async fn revoke(&self, token: &str) -> (AttemptOutcome, String) {
        let Some(endpoint) = &self.provider.settings.revocation_endpoint else {
            return (AttemptOutcome::Refused, "the provider has no revocation endpoint".into());
        };
        let fields = vec![("token", token), ("token_type_hint", "refresh_token")];
        let response = self.post(endpoint, fields).await;
        self.count("revoke", response.as_ref().ok().map(|a| a.status));
        match response {
            Err(error) => (AttemptOutcome::RetryLater { retry_after: None }, error.to_string()),
            Ok(response) => {
                let description = format!("HTTP {}", response.status.as_u16());
                let attempt = match response.status {
                    StatusCode::OK | StatusCode::NO_CONTENT => AttemptOutcome::Accepted,
                    // Wrong credentials and full queues may be set right within the days that a job has.
                    StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS => retry_later(&response),
                    status if status.is_client_error() => AttemptOutcome::Refused,
                    _ => retry_later(&response),
                };
                (attempt, description)
            }
        }
    }
}

/// A token that can stand in a header.
fn parse_token(value: serde_json::Value) -> Option<Secret<String>> {
    let serde_json::Value::String(token) = value else { return None };
    let usable =
        !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
    usable.then(|| Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
                let Some(reply) = TokenResponse::parse(&body, NOW) else { continue };
                let header = |token: &Secret<String>| http::HeaderValue::from_str(token.expose()).is_ok();
                prop_assert!(header(&reply.access_token) && reply.refresh_token.as_ref().is_none_or(header));
                let life = reply.access_expires_at.since(NOW).as_secs();
                prop_assert!((1..=86_400).contains(&life), "{}", life);
                let _ = (reply.string_field("customer_id"), reply.string_list("accounts"));
            }
        }
    }
}
