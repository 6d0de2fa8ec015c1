//! The rules of DPoP (RFC 9449) that need no key: which nonces are used, and which access tokens are bound to a key.

use crate::model::provider::Dpop;

/// The maximum length of a nonce. Servers that encrypt a time and a key into it need a few hundred characters.
const MAX_NONCE_BYTES: usize = 1024;

/// Returns whether a nonce of a server can be used. RFC 9449 §8.1 allows every printable ASCII character except space, `"` and
/// `\`.
pub fn is_valid_nonce(nonce: &str) -> bool {
    (1..=MAX_NONCE_BYTES).contains(&nonce.len())
        && nonce.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// The way in which an access token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPresentation {
    /// As a bearer token (RFC 6750).
    Bearer,
    /// With a proof of the key that it is bound to.
    Dpop,
}

/// The reason why an access token is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenTypeError {
    /// The settings require a token that is bound to the key of the proof.
    #[error("the provider issued a token that is not bound to the hub's key, and dpop = \"required\"")]
    NotBound,
    /// The token is bound to a key, and the hub has proved none.
    #[error(
        "the provider issued a DPoP token, and the hub sent no proof: set dpop = \"auto\" or \"required\""
    )]
    Unproved,
}

/// Decides how an access token is presented, given its `token_type`. `has_proof` is true if the request contained a proof.
pub fn evaluate_token_type(
    setting: Dpop,
    has_proof: bool,
    token_type: Option<&str>,
) -> Result<TokenPresentation, TokenTypeError> {
    // RFC 6749 §5.1: the value is case-insensitive. A server that names no type, or an unknown one, issues bearer tokens.
    let is_dpop = token_type.is_some_and(|name| name.eq_ignore_ascii_case("dpop"));
    match (is_dpop, has_proof, setting) {
        (true, true, _) => Ok(TokenPresentation::Dpop),
        (true, false, _) => Err(TokenTypeError::Unproved),
        (false, _, Dpop::Required) => Err(TokenTypeError::NotBound),
        (false, _, Dpop::Off | Dpop::Auto) => Ok(TokenPresentation::Bearer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9449_s8_1_nonce_has_limited_characters_and_length() {
        assert!(is_valid_nonce("eyJ7S_zG.eyJH0-Z.HX4w~!#[]^"));
        assert!(is_valid_nonce(&"n".repeat(MAX_NONCE_BYTES)));
        for invalid in ["", "a b", "a\"b", "a\\b", "a\r\nb", "é", &"n".repeat(MAX_NONCE_BYTES + 1)] {
            assert!(!is_valid_nonce(invalid), "{invalid}");
        }
    }

    #[test]
    fn token_type_must_fit_setting_and_proof() {
        use TokenPresentation::{Bearer, Dpop as Bound};
        for (setting, has_proof, token_type, expected) in [
            (Dpop::Auto, true, Some("DPoP"), Ok(Bound)),
            (Dpop::Auto, true, Some("Bearer"), Ok(Bearer)),
            (Dpop::Auto, true, None, Ok(Bearer)),
            (Dpop::Required, true, Some("dpop"), Ok(Bound)),
            (Dpop::Required, true, Some("Bearer"), Err(TokenTypeError::NotBound)),
            (Dpop::Required, true, None, Err(TokenTypeError::NotBound)),
            (Dpop::Off, false, Some("Bearer"), Ok(Bearer)),
            (Dpop::Off, false, None, Ok(Bearer)),
            (Dpop::Off, false, Some("DPoP"), Err(TokenTypeError::Unproved)),
            // A grant keeps its key when the setting changes.
            (Dpop::Off, true, Some("DPoP"), Ok(Bound)),
            (Dpop::Off, true, Some("Bearer"), Ok(Bearer)),
        ] {
            let decided = evaluate_token_type(setting, has_proof, token_type);
            assert_eq!(decided, expected, "{setting:?} {has_proof} {token_type:?}");
        }
    }
}
