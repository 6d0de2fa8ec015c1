//! The exchange of an authorization code (RFC 6749 §4.1.3).

use crate::error::OAuthError;
use crate::id::ClientId;
use crate::model::authorization_code::AuthorizationCode;
use crate::time::Timestamp;

use super::pkce;
use super::token::{BAD_CODE, WRONG_REDIRECT, WRONG_VERIFIER};

/// The decision on an attempt to exchange a code.
#[derive(Debug, PartialEq, Eq)]
pub enum Redemption {
    /// The first use, with matching parameters. The connection can be activated.
    FirstUse,
    /// A second use by the code's client with matching parameters, before expiry. The connection must end.
    Replayed,
    /// The exchange is rejected and has no effect.
    Rejected {
        /// The error for the response of the token endpoint.
        error: OAuthError,
        /// True if the code was used already or belongs to another client, so that the attempt must be in the audit
        /// log.
        suspicious: bool,
    },
}

/// Decides on the exchange of a stored code. A rejected exchange does not use up the code, so that its client can
/// still exchange it.
pub fn redeem(
    code: &AuthorizationCode,
    client_id: &ClientId,
    redirect_uri: &str,
    verifier: Option<&str>,
    now: Timestamp,
) -> Redemption {
    let reject = |error, suspicious| Redemption::Rejected { error, suspicious };
    // The client is checked first, because another client must not learn anything else about the code.
    if code.client_id != *client_id {
        return reject(BAD_CODE, true);
    }
    if now >= code.expires_at {
        return reject(BAD_CODE, code.used_at.is_some());
    }
    // For a used code every mismatch is reported as an unusable code. Otherwise a thief could
    // test guesses of the other parameters.
    let used = code.used_at.is_some();
    if code.redirect_uri != redirect_uri {
        return reject(if used { BAD_CODE } else { WRONG_REDIRECT }, used);
    }
    if !pkce::verifier_matches(code.code_challenge.as_deref(), verifier) {
        return reject(if used { BAD_CODE } else { WRONG_VERIFIER }, used);
    }
    // Only a replay with every secret proves that the tokens may be in the wrong hands (RFC 6749 §4.1.2). A weaker test
    // would let anyone who saw the code end the connection.
    if used { Redemption::Replayed } else { Redemption::FirstUse }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::TokenHash;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const URI: &str = "https://app.example/cb";

    fn code(used: bool) -> AuthorizationCode {
        let pepper = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 32]);
        AuthorizationCode {
            hash: TokenHash::for_token(1, &pepper, b"code"),
            connection_id: "con_1".parse().unwrap(),
            client_id: client("dc-1"),
            redirect_uri: URI.into(),
            code_challenge: Some(pkce::compute_challenge(VERIFIER)),
            expires_at: NOW.plus(std::time::Duration::from_mins(1)),
            used_at: used.then_some(NOW),
        }
    }

    fn client(id: &str) -> ClientId {
        id.parse::<ClientId>().unwrap()
    }

    fn expect_rejection(
        code: &AuthorizationCode,
        client_id: &str,
        uri: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> (OAuthError, bool) {
        match redeem(code, &client(client_id), uri, verifier, now) {
            Redemption::Rejected { error, suspicious } => (error, suspicious),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rfc6749_s4_1_2_second_code_use_is_detected_as_replay() {
        assert_eq!(redeem(&code(false), &client("dc-1"), URI, Some(VERIFIER), NOW), Redemption::FirstUse);
        assert_eq!(redeem(&code(true), &client("dc-1"), URI, Some(VERIFIER), NOW), Redemption::Replayed);
    }

    #[test]
    fn invalid_second_code_use_is_rejected_as_suspicious() {
        let after = code(true).expires_at;
        for (client_id, uri, verifier, now) in [
            ("dc-2", URI, Some(VERIFIER), NOW),
            ("dc-1", "https://app.example/cb/", Some(VERIFIER), NOW),
            ("dc-1", URI, None, NOW),
            ("dc-1", URI, Some(VERIFIER), after),
        ] {
            assert_eq!(expect_rejection(&code(true), client_id, uri, verifier, now), (BAD_CODE, true));
        }
    }

    #[test]
    fn code_mismatch_reason_is_returned_only_to_client_of_code() {
        assert_eq!(
            expect_rejection(&code(false), "dc-1", "https://app.example/CB", Some(VERIFIER), NOW),
            (WRONG_REDIRECT, false)
        );
        assert_eq!(expect_rejection(&code(false), "dc-1", URI, None, NOW), (WRONG_VERIFIER, false));
        assert_eq!(
            expect_rejection(&code(false), "dc-1", URI, Some(VERIFIER), code(false).expires_at),
            (BAD_CODE, false)
        );
        assert_eq!(expect_rejection(&code(false), "dc-2", "wrong", None, NOW), (BAD_CODE, true));
    }
}
