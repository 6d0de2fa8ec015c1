//! The OAuth errors of the Flinks API, each with the error code, the description and the HTTP status that the client
//! receives.

use std::borrow::Cow;
use std::fmt;

crate::str_enum! {
    /// An error code of RFC 6749 that Flinks documents (Flinks Outbound, authorization errors).
    #[expect(missing_docs, reason = "each variant is named after its code")]
    pub enum OAuthCode {
        AccessDenied = "access_denied",
        InvalidRequest = "invalid_request",
        InvalidClient = "invalid_client",
        InvalidGrant = "invalid_grant",
        InvalidScope = "invalid_scope",
        UnauthorizedClient = "unauthorized_client",
        UnsupportedGrantType = "unsupported_grant_type",
        UnsupportedResponseType = "unsupported_response_type",
        ServerError = "server_error",
        TemporarilyUnavailable = "temporarily_unavailable",
    }
}

impl OAuthCode {
    /// Returns the HTTP status of a JSON error response of the Flinks API with this code.
    pub const fn flinks_status(self) -> u16 {
        match self {
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            // Flinks documents 400 for `invalid_client`; RFC 6749 §5.2 requires 401 if HTTP Basic was used.
            _ => 400,
        }
    }
}

/// An OAuth error: a code for programs and a description for developers (RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct OAuthError {
    /// The value of the response field `error`.
    pub code: OAuthCode,
    /// The value of the response field `error_description`.
    pub description: Cow<'static, str>,
}

impl OAuthError {
    /// Creates an error with a constant description.
    pub const fn new(code: OAuthCode, description: &'static str) -> Self {
        Self { code, description: Cow::Borrowed(description) }
    }

    /// Creates an error whose description quotes untrusted input. Forbidden characters are replaced, and a long
    /// description is truncated.
    pub fn with_description(code: OAuthCode, description: impl fmt::Display) -> Self {
        Self { code, description: Cow::Owned(replace_unprintable(&description.to_string())) }
    }

    /// Creates the error for a required parameter that is missing.
    pub fn for_missing_field(field: &str) -> Self {
        Self::with_description(OAuthCode::InvalidRequest, format_args!("{field} is missing"))
    }

    /// Creates the error for a repeated parameter (RFC 6749 §3.1).
    pub fn for_repeated_field(field: &str) -> Self {
        Self::with_description(OAuthCode::InvalidRequest, format_args!("{field} is given twice"))
    }
}

const MAX_DESCRIPTION_CHARS: usize = 200;

/// Replaces the characters that RFC 6749 §5.2 forbids in an error description, and limits its length.
fn replace_unprintable(text: &str) -> String {
    text.chars()
        .take(MAX_DESCRIPTION_CHARS)
        .map(|c| {
            if matches!(c, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5B}' | '\u{5D}'..='\u{7E}') { c } else { '.' }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_s5_2_description_replaces_forbidden_characters() {
        let error = OAuthError::with_description(
            OAuthCode::InvalidScope,
            "scope \"é\\\r\nSet-Cookie: x\" is unknown",
        );
        assert_eq!(error.description, "scope ......Set-Cookie: x. is unknown".replace("......", "....."));
    }

    #[test]
    fn oauth_error_description_is_truncated_to_limit() {
        assert_eq!(
            OAuthError::for_missing_field(&"x".repeat(5_000)).description.len(),
            MAX_DESCRIPTION_CHARS
        );
    }

    #[test]
    fn only_server_side_oauth_errors_map_to_5xx() {
        let fives: Vec<_> = OAuthCode::ALL.iter().filter(|c| c.flinks_status() >= 500).collect();
        assert_eq!(fives, [&OAuthCode::ServerError, &OAuthCode::TemporarilyUnavailable]);
    }

    #[test]
    fn field_errors_name_the_field() {
        assert_eq!(OAuthError::for_missing_field("code").to_string(), "invalid_request: code is missing");
        assert_eq!(
            OAuthError::for_repeated_field("code").to_string(),
            "invalid_request: code is given twice"
        );
    }
}
