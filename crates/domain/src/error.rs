//! The OAuth errors that the Flinks face can give.

use std::borrow::Cow;
use std::fmt;

/// The error words of the documented list (Flinks Outbound, authorization errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the word of RFC 6749 that `as_str` gives")]
pub enum OAuthCode {
    AccessDenied,
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    ServerError,
    TemporarilyUnavailable,
}

impl OAuthCode {
    /// Every code, for tables that must not miss one.
    pub const ALL: [Self; 10] = [
        Self::AccessDenied,
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::InvalidScope,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
        Self::ServerError,
        Self::TemporarilyUnavailable,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status on the Flinks face, where a JSON body carries the error.
    pub const fn flinks_status(self) -> u16 {
        match self {
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

/// An OAuth error: a word, and a sentence for the person who reads it.
///
/// The sentence keeps to the characters that RFC 6749 §5.2 allows: what cannot be shown becomes `.`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// The error word.
    pub code: OAuthCode,
    /// The sentence.
    pub description: Cow<'static, str>,
}

impl OAuthError {
    /// An error with a fixed sentence.
    pub const fn new(code: OAuthCode, description: &'static str) -> Self {
        Self { code, description: Cow::Borrowed(description) }
    }

    /// An error whose sentence names something that the caller sent.
    pub fn with_description(code: OAuthCode, description: impl fmt::Display) -> Self {
        Self { code, description: Cow::Owned(replace_unprintable(&description.to_string())) }
    }

    /// A parameter that was not sent.
    pub fn for_missing_field(field: &str) -> Self {
        Self::with_description(OAuthCode::InvalidRequest, format_args!("{field} is missing"))
    }

    /// A parameter that was sent more than once.
    pub fn for_repeated_field(field: &str) -> Self {
        Self::with_description(OAuthCode::InvalidRequest, format_args!("{field} is given twice"))
    }
}

const MAX_DESCRIPTION_CHARS: usize = 200;

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
}
