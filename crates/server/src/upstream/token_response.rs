//! Reads the responses of token endpoints (RFC 6749 §5.1), including those that cannot be read completely.

use std::time::Duration;

use domain::jose::DpopKey;
use domain::model::job::TokenType;
use domain::model::provider::Dpop;
use domain::rule::dpop::{TokenPresentation, TokenTypeError, evaluate_token_type};
use domain::rule::provider_response::ProviderCall;
use domain::{Secret, Timestamp};
use serde_json::{Map, Value};

use super::call_report::CallReport;
use super::dpop::ResourceToken;
use crate::outbound::{OutboundError, PartialResponse};

/// The assumed lifetime of an access token if the response has no `expires_in`, which RFC 6749 §5.1 only recommends. It
/// is short: refreshing too early is better than using an expired token.
const DEFAULT_TOKEN_TTL_SECS: i64 = 60;
const MAX_TOKEN_TTL_SECS: i64 = 86_400;
/// The longest lifetime of a refresh token that is respected: 100 years. The consent ends earlier in any case.
const MAX_REFRESH_TTL_SECS: i64 = 100 * 366 * 86_400;
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The number of tokens of each type that are searched in an unreadable response.
const MAX_FOUND_TOKENS: usize = 2;

/// A successful response of a token endpoint (RFC 6749 §5.1).
pub struct TokenResponse {
    pub access_token: Secret<String>,
    /// The time at which the access token expires.
    pub access_expires_at: Timestamp,
    /// The refresh token, if the provider issued one.
    pub refresh_token: Option<Secret<String>>,
    /// The time at which the refresh token expires, if the provider announces it.
    pub refresh_expires_at: Option<Timestamp>,
    /// The granted scope, with its values separated by spaces. Absent if it is identical to the requested scope.
    pub scope: Option<String>,
    /// The key that the access token is bound to; `None` if it is a bearer token.
    pub dpop_key: Option<DpopKey>,
    /// False if the access token has a type that the settings do not allow. It is revoked, and used for nothing else.
    pub is_type_accepted: bool,
    /// All members of the response except the two tokens.
    fields: Map<String, Value>,
}

impl TokenResponse {
    /// Parses the body of a response that was received at `now`. Returns `None` if it is not JSON, or if a token or the
    /// scope is not valid.
    fn parse(body: &[u8], now: Timestamp) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let access_token = parse_token(fields.remove("access_token")?)?;
        let refresh_token = match fields.remove("refresh_token") {
            None | Some(Value::Null) => None,
            Some(token) => Some(parse_token(token)?),
        };
        let ttl_secs = fields.get("expires_in").and_then(parse_seconds).unwrap_or(DEFAULT_TOKEN_TTL_SECS);
        let ttl = Duration::from_secs(ttl_secs.clamp(1, MAX_TOKEN_TTL_SECS).unsigned_abs());
        let scope = match fields.get("scope") {
            None | Some(Value::Null) => None,
            // A scope that cannot be read may be narrower than the requested one, so it must not count as absent.
            Some(scope) => Some(parse_scope(scope)?),
        };
        // Not a member of RFC 6749, but of many servers. Zero means for some of them that the token does not expire.
        let refresh_ttl = fields.get("refresh_token_expires_in").and_then(parse_seconds);
        let refresh_ttl = refresh_ttl.filter(|seconds| (1..=MAX_REFRESH_TTL_SECS).contains(seconds));
        let refresh_expires_at =
            refresh_ttl.map(|seconds| now.plus(Duration::from_secs(seconds.unsigned_abs())));
        let access_expires_at = now.plus(ttl);
        Some(Self {
            access_token,
            access_expires_at,
            refresh_token,
            refresh_expires_at,
            scope,
            dpop_key: None,
            is_type_accepted: true,
            fields,
        })
    }

    /// Binds the access token to the key of the proof in the request, if the response states that it is bound. Returns an error if
    /// its type is not accepted.
    pub(super) fn bind(&mut self, setting: Dpop, proved: Option<DpopKey>) -> Result<(), TokenTypeError> {
        let token_type = self.fields.get("token_type").and_then(Value::as_str);
        match evaluate_token_type(setting, proved.is_some(), token_type) {
            Ok(TokenPresentation::Dpop) => self.dpop_key = proved,
            Ok(TokenPresentation::Bearer) => {}
            Err(error) => {
                self.is_type_accepted = false;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns the access token as it is presented; `None` if its type is not accepted.
    pub(super) fn resource_token(&self) -> Option<ResourceToken> {
        let token = || ResourceToken { secret: self.access_token.clone(), dpop_key: self.dpop_key.clone() };
        self.is_type_accepted.then(token)
    }

    /// Returns a member of the response. A value of null counts as absent.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Returns a member of the response as text. A number is accepted too, because some providers identify customers
    /// and grants by numbers.
    pub fn string_field(&self, name: &str) -> Option<String> {
        read_text(self.fields.get(name)?)
    }

    /// Returns a member of the response that is an array of strings; `None` if the member is missing or has other
    /// items.
    pub fn string_list(&self, name: &str) -> Option<Vec<String>> {
        let list = self.fields.get(name)?.as_array()?;
        list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

/// Returns a member as text, if it is a text that is not empty or a number.
pub(super) fn read_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Parses `expires_in`, which some providers send as text or with a fraction. Fractions are dropped.
fn parse_seconds(value: &Value) -> Option<i64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let is_decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) if is_decimal(fraction) => whole.parse().ok(),
        Some(_) => None,
        // A number that is too large for the type is longer than the maximum in any case.
        None if is_decimal(&text) => Some(text.parse().unwrap_or(i64::MAX)),
        None => text.parse().ok(),
    }
}

/// Parses `scope`: a text, or an array of texts, which some providers send.
fn parse_scope(value: &Value) -> Option<String> {
    match value {
        Value::String(scope) => Some(scope.clone()),
        Value::Array(values) => {
            let values: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            Some(values?.join(" "))
        }
        _ => None,
    }
}

/// Validates a token of the response.
fn parse_token(value: Value) -> Option<Secret<String>> {
    let Value::String(token) = value else { return None };
    is_valid_token(&token).then(|| Secret::new(token))
}

/// Returns whether a token consists of characters that can be sent in a header and in a form.
fn is_valid_token(token: &str) -> bool {
    // RFC 6749 appendix A.12 also allows spaces, but a bearer token has none (RFC 6750 §2.1).
    !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic())
}

/// A string that was found in a response that cannot be read, and that may be a token.
pub(super) struct FoundToken {
    pub(super) token: Secret<String>,
    pub(super) token_type: TokenType,
}

/// The result of a call to a token endpoint.
pub(super) struct TokenReply {
    pub(super) report: CallReport,
    /// The tokens, if the call succeeded.
    pub(super) tokens: Option<TokenResponse>,
    /// The tokens that were found in a response that proves nothing.
    pub(super) found: Vec<FoundToken>,
}

impl TokenReply {
    /// Reads the result of a call that ended at `now`.
    pub(super) fn read(
        call: ProviderCall,
        result: Result<PartialResponse, OutboundError>,
        now: Timestamp,
    ) -> Self {
        let response = match result {
            Ok(response) => response,
            Err(error) => return Self::without_tokens(CallReport::from_error(call, &error)),
        };
        let tokens = TokenResponse::parse(&response.body, now);
        let report = CallReport::from_response(call, &response, tokens.is_some());
        if report.outcome.is_unknown() {
            return Self { report, tokens: None, found: find_tokens(&response.body) };
        }
        // A body with tokens is trusted only together with a status of success.
        let is_success = report.outcome.reason().is_none();
        Self { report, tokens: tokens.filter(|_| is_success), found: Vec::new() }
    }

    pub(super) const fn without_tokens(report: CallReport) -> Self {
        Self { report, tokens: None, found: Vec::new() }
    }
}

/// Searches a body that cannot be read as a token response for the values of `refresh_token` and `access_token`, in JSON
/// or in a form.
fn find_tokens(body: &[u8]) -> Vec<FoundToken> {
    let mut found: Vec<FoundToken> = Vec::new();
    for token_type in TokenType::ALL.iter().copied() {
        let name = token_type.as_str().as_bytes();
        let ends = body.windows(name.len()).enumerate().filter(|(_, window)| *window == name);
        let values = ends.filter_map(|(start, _)| parse_found_value(&body[start + name.len()..]));
        for value in values.filter(|value| is_valid_token(value)).take(MAX_FOUND_TOKENS) {
            if found.iter().all(|known| *known.token.expose() != value) {
                found.push(FoundToken { token: Secret::new(value), token_type });
            }
        }
    }
    found
}

/// Parses the value after the name of a member (`": "value"`) or of a form field (`=value`).
fn parse_found_value(rest: &[u8]) -> Option<String> {
    if let Some(value) = rest.strip_prefix(b"=") {
        let end = value.iter().position(|byte| !is_form_byte(*byte)).unwrap_or(value.len());
        let field = [b"v=", &value[..end.min(3 * MAX_TOKEN_BYTES)]].concat();
        return form_urlencoded::parse(&field).next().map(|(_, value)| value.into_owned());
    }
    let rest = rest.strip_prefix(b"\"")?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let value = rest.strip_prefix(b"\"")?;
    // JSON escapes a quotation mark with a backslash, so the value ends at the first one without.
    let mut is_escaped = false;
    let end = value.iter().take(2 * MAX_TOKEN_BYTES).position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })?;
    serde_json::from_slice(&rest[..end + 2]).ok()
}

const fn is_form_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'*' | b'+' | b'%' | b'/' | b'=')
}

#[cfg(test)]
#[path = "token_response_tests.rs"]
mod tests;
