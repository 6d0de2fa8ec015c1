//! PKCE (RFC 7636): computes challenges and verifies code verifiers. Only the method `S256` is supported.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns whether a text can be an `S256` challenge: 43 characters of base64url that encode 32 bytes (§4.2).
pub fn is_valid_challenge(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok_and(|hash| hash.len() == 32)
}

/// Computes the `S256` challenge of a verifier.
pub fn compute_challenge(verifier: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

/// Returns whether the verifier of a token request matches the challenge of the authorization request.
pub fn verifier_matches(challenge_sent: Option<&str>, verifier: Option<&str>) -> bool {
    match (challenge_sent, verifier) {
        (None, None) => true,
        (Some(sent), Some(verifier)) => {
            is_valid_verifier(verifier)
                && crate::secret::constant_time_eq(compute_challenge(verifier).as_bytes(), sent.as_bytes())
        }
        // A challenge requires a verifier, and a verifier without a challenge indicates a downgrade (RFC 9700 §4.8.2).
        _ => false,
    }
}

/// Accepts 43 to 128 unreserved characters (§4.1).
fn is_valid_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636, appendix B
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn rfc7636_appendix_b_example_verifies() {
        assert_eq!(compute_challenge(VERIFIER), CHALLENGE);
        assert!(is_valid_challenge(CHALLENGE));
        assert!(verifier_matches(Some(CHALLENGE), Some(VERIFIER)));
    }

    #[test]
    fn rfc7636_s4_6_missing_wrong_or_short_verifier_is_rejected() {
        assert!(!verifier_matches(Some(CHALLENGE), None));
        assert!(!verifier_matches(Some(CHALLENGE), Some(&VERIFIER.to_lowercase())));
        assert!(!verifier_matches(None, Some(VERIFIER)));
        let short = "abc";
        assert!(!verifier_matches(Some(&compute_challenge(short)), Some(short)));
        assert!(verifier_matches(None, None));
    }

    #[test]
    fn rfc7636_s4_2_malformed_challenge_is_rejected() {
        for bad in ["", "abc", &CHALLENGE[1..], &format!("{CHALLENGE}="), &CHALLENGE.replace('-', "+")] {
            assert!(!is_valid_challenge(bad), "{bad}");
        }
    }
}
