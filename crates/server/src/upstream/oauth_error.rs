//! Reads the error codes of providers. Only codes of a closed list are used; other text of a response never is.

use domain::rule::provider_response::ProviderErrorCode;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

/// An error response of RFC 6749 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OAuthErrorBody {
    /// The code; `None` if the hub does not know it.
    pub(super) code: Option<ProviderErrorCode>,
}

impl OAuthErrorBody {
    /// Parses an error response. Returns `None` if the body is none.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
        Some(Self { code: body.get("error")?.as_str()?.parse().ok() })
    }
}

/// Parses the error code in a challenge of the scheme Bearer (RFC 6750 §3), such as `Bearer error="invalid_token"`.
pub(super) fn parse_bearer_error(headers: &HeaderMap) -> Option<ProviderErrorCode> {
    let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut parameters = challenges.filter_map(|challenge| {
        let (scheme, parameters) = challenge.trim_start().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(parameters)
    });
    parameters.find_map(|parameters| {
        let code = parameters.split(',').find_map(|parameter| parameter.trim().strip_prefix("error="))?;
        code.trim_matches('"').parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_body_has_known_or_unknown_code() {
        let parse = |body: &str| OAuthErrorBody::parse(body.as_bytes()).map(|error| error.code);

        assert_eq!(parse(r#"{"error":"invalid_grant","x":1}"#), Some(Some(ProviderErrorCode::InvalidGrant)));
        assert_eq!(parse(r#"{"error":"mine"}"#), Some(None));
        for none in ["", "<html>", "[]", "{}", r#"{"error":5}"#, r#"{"error":null}"#] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn bearer_challenge_contains_error_code() {
        for (challenge, expected) in [
            (r#"Bearer error="invalid_token""#, Some(ProviderErrorCode::InvalidToken)),
            (
                r#"bearer realm="a", error="invalid_token", error_description="x""#,
                Some(ProviderErrorCode::InvalidToken),
            ),
            ("Bearer error=insufficient_scope", Some(ProviderErrorCode::InsufficientScope)),
            (r#"Bearer error="mine""#, None),
            (r#"Bearer realm="error=invalid_token""#, None),
            (r#"Basic error="invalid_token""#, None),
            ("Bearer", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
            assert_eq!(parse_bearer_error(&headers), expected, "{challenge}");
        }
    }
}
