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

/// Parses the error code in a challenge of the scheme Bearer (RFC 6750 §3) or DPoP (RFC 9449 §7.1), such as
/// `Bearer error="invalid_token"`. A response may contain several challenges: an error of a proof has precedence, because the token was
/// not evaluated then, and a server may repeat a general challenge for bearer tokens.
pub(super) fn parse_challenge_error(headers: &HeaderMap) -> Option<ProviderErrorCode> {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
    let codes: Vec<_> = values.filter_map(|value| value.to_str().ok()).flat_map(parse_challenges).collect();
    codes.iter().copied().find(|code| is_proof_error(*code)).or(codes.first().copied())
}

/// Returns whether the provider rejects the proof of a request (RFC 9449), so that it has not evaluated the token.
pub(super) const fn is_proof_error(code: ProviderErrorCode) -> bool {
    matches!(code, ProviderErrorCode::UseDpopNonce | ProviderErrorCode::InvalidDpopProof)
}

/// Returns the known error codes in the challenges of a header, in their order.
fn parse_challenges(value: &str) -> Vec<ProviderErrorCode> {
    // A quoted text may contain commas.
    let mut is_quoted = false;
    let parts = value.split(|next: char| {
        is_quoted ^= next == '"';
        next == ',' && !is_quoted
    });
    let (mut codes, mut is_of_token) = (Vec::new(), false);
    for part in parts.map(str::trim) {
        let (first, rest) = part.split_once(' ').unwrap_or((part, ""));
        let parameter = if first.contains('=') {
            part
        } else {
            // A word without `=` is the scheme of a new challenge, and its first parameter follows.
            is_of_token = ["Bearer", "DPoP"].iter().any(|scheme| first.eq_ignore_ascii_case(scheme));
            rest.trim_start()
        };
        if let Some(code) = parameter.strip_prefix("error=")
            && is_of_token
        {
            codes.extend(code.trim_matches('"').parse::<ProviderErrorCode>().ok());
        }
    }
    codes
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
    fn challenge_contains_error_code() {
        for (challenge, expected) in [
            (r#"Bearer error="invalid_token""#, Some(ProviderErrorCode::InvalidToken)),
            (
                r#"bearer realm="a", error="invalid_token", error_description="x""#,
                Some(ProviderErrorCode::InvalidToken),
            ),
            ("Bearer error=insufficient_scope", Some(ProviderErrorCode::InsufficientScope)),
            (
                r#"DPoP algs="ES256 PS256", error="use_dpop_nonce", error_description="a, b""#,
                Some(ProviderErrorCode::UseDpopNonce),
            ),
            (r#"DPoP error="invalid_dpop_proof""#, Some(ProviderErrorCode::InvalidDpopProof)),
            (
                r#"Bearer, DPoP error_description="a, error=invalid_token", error="use_dpop_nonce""#,
                Some(ProviderErrorCode::UseDpopNonce),
            ),
            (
                r#"Bearer error="invalid_token", DPoP error="use_dpop_nonce""#,
                Some(ProviderErrorCode::UseDpopNonce),
            ),
            (r#"DPoP algs="ES256", Basic error="use_dpop_nonce""#, None),
            (r#"Bearer error="mine""#, None),
            (r#"Bearer realm="error=invalid_token""#, None),
            (r#"Basic error="invalid_token""#, None),
            ("Bearer", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
            assert_eq!(parse_challenge_error(&headers), expected, "{challenge}");
        }
    }
}
