//! The errors with which recipients and customers learn why an authorization at a provider failed. Each names the real
//! cause. None contains text of the provider.

use crate::error::{OAuthCode, OAuthError};

use super::authorize::ACCESS_DENIED;
use super::provider_response::{CallOutcome, FailureReason};

/// Error for a provider that cannot be reached.
pub const UNAVAILABLE: OAuthError =
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "The provider is not available at present");
/// Error for a provider whose metadata cannot be used.
pub const METADATA_REJECTED: OAuthError = OAuthError::new(
    OAuthCode::TemporarilyUnavailable,
    "The hub cannot use the metadata of the provider, so it sent no request",
);
/// Error for a failure whose cause is not known more exactly.
pub const FAILED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The provider did not complete the authorization");
/// Error for a grant that covers no account.
pub const NO_ACCOUNT_SELECTED: OAuthError =
    OAuthError::new(OAuthCode::AccessDenied, "The user selected no account at the provider");

/// Error for a customer whose identity at the provider cannot be determined.
pub const NOT_IDENTIFIED: OAuthError = OAuthError::new(
    OAuthCode::ServerError,
    "The hub cannot verify the identity of the user at the provider, so it shared nothing",
);

/// Error for an access token of a type that the hub does not accept from the provider.
pub const TOKEN_TYPE_REJECTED: OAuthError = OAuthError::new(
    OAuthCode::ServerError,
    "The provider issued an access token of a type that the hub does not accept, so it shared nothing",
);

/// Error for a grant whose terms at the provider cannot be determined.
pub const TERMS_UNKNOWN: OAuthError = OAuthError::new(
    OAuthCode::ServerError,
    "The hub cannot verify what the user shared at the provider, so it shared nothing",
);

/// Error for an authorization that the customer did not complete within its lifetime.
pub const EXPIRED: OAuthError =
    OAuthError::new(OAuthCode::AccessDenied, "The user did not complete the authorization in time");
/// Error for an exchange whose process ended before it had a result.
pub const INTERRUPTED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The authorization was interrupted before it was complete");

const NOT_SIGNED_IN: OAuthError =
    OAuthError::new(OAuthCode::AccessDenied, "The user did not sign in at the provider");
const NO_CONSENT: OAuthError =
    OAuthError::new(OAuthCode::AccessDenied, "The user did not consent at the provider");
const NO_ACCOUNT: OAuthError =
    OAuthError::new(OAuthCode::AccessDenied, "The user has no account at the provider that can be shared");
const TOO_LATE: OAuthError =
    OAuthError::new(OAuthCode::AccessDenied, "The user did not complete the steps at the provider in time");
const PROVIDER_FAILED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The provider reports an internal error");
const SCOPE_REJECTED: OAuthError =
    OAuthError::new(OAuthCode::InvalidScope, "The provider rejects the requested scope");
/// Error for a provider whose settings or secrets cannot be used.
pub const NOT_CONFIGURED: OAuthError = OAuthError::new(
    OAuthCode::TemporarilyUnavailable,
    "The hub is not configured correctly for this provider, so it sent no request",
);
const CLIENT_REJECTED: OAuthError = OAuthError::new(
    OAuthCode::TemporarilyUnavailable,
    "The provider rejects the hub, whose operator must correct its registration there",
);
const REQUEST_REJECTED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The provider rejects the hub's request");
const CODE_REJECTED: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The provider rejects the authorization code that it issued");
const TLS_FAILED: OAuthError = OAuthError::new(
    OAuthCode::TemporarilyUnavailable,
    "The hub cannot establish a secure connection to the provider",
);
const RATE_LIMITED: OAuthError =
    OAuthError::new(OAuthCode::TemporarilyUnavailable, "The provider limits the number of requests");
const UNREADABLE: OAuthError =
    OAuthError::new(OAuthCode::ServerError, "The hub cannot read the response of the provider");

/// The error codes of authorization responses, in lower case, with the error for the recipient. In addition to those of RFC 6749
/// §4.1.2.1 and OpenID Connect Core §3.1.2.6, the table has codes that single providers invented.
const AUTHORIZATION_ERRORS: &[(&[&str], OAuthError)] = &[
    (
        &[
            "access_denied",
            "authorization_denied",
            "cancelled",
            "canceled",
            "declined",
            "user_cancelled",
            "user_canceled",
            "user_cancel",
            "user_declined",
            "user_denied",
            "user_rejected",
        ],
        ACCESS_DENIED,
    ),
    (
        &[
            "authentication_failed",
            "authentication_required",
            "interaction_required",
            "login_failed",
            "login_required",
            "unmet_authentication_requirements",
            "user_not_authenticated",
        ],
        NOT_SIGNED_IN,
    ),
    (
        &["consent_declined", "consent_denied", "consent_rejected", "consent_required", "consent_revoked"],
        NO_CONSENT,
    ),
    (&["account_selection_required", "no_account_selected", "no_accounts_selected"], NO_ACCOUNT_SELECTED),
    (&["account_not_eligible", "no_account", "no_accounts", "no_eligible_accounts"], NO_ACCOUNT),
    (&["consent_expired", "login_timeout", "request_expired", "session_expired", "timeout"], TOO_LATE),
    (&["maintenance", "service_unavailable", "temporarily_unavailable"], UNAVAILABLE),
    (&["internal_error", "internal_server_error", "server_error"], PROVIDER_FAILED),
    (&["insufficient_scope", "invalid_scope", "scope_not_allowed"], SCOPE_REJECTED),
    (&["client_not_authorized", "invalid_client", "unauthorized_client"], CLIENT_REJECTED),
    (
        &[
            "invalid_authorization_details",
            "invalid_redirect_uri",
            "invalid_request",
            "invalid_request_object",
            "invalid_request_uri",
            "invalid_target",
            "registration_not_supported",
            "request_not_supported",
            "request_uri_not_supported",
            "unsupported_response_type",
        ],
        REQUEST_REJECTED,
    ),
];

/// Returns whether an error states that the customer declined, at the hub or at the provider.
pub fn is_denial(error: &OAuthError) -> bool {
    [ACCESS_DENIED, NO_CONSENT].contains(error)
}

/// Maps the error code of a provider's authorization response to the error for the recipient.
pub fn map_authorization_error(code: &str) -> OAuthError {
    let code = code.trim().to_ascii_lowercase();
    let known = AUTHORIZATION_ERRORS.iter().find(|(codes, _)| codes.contains(&&*code));
    known.map_or(FAILED, |(_, error)| error.clone())
}

/// Returns the error for an exchange of the provider's code that returned no usable tokens.
pub fn describe_exchange_failure(outcome: CallOutcome) -> OAuthError {
    match outcome.reason() {
        Some(
            FailureReason::NotConnected
            | FailureReason::NoResponse
            | FailureReason::Unavailable
            | FailureReason::ServerError,
        ) => UNAVAILABLE,
        Some(FailureReason::TlsFailed) => TLS_FAILED,
        Some(FailureReason::RateLimited) => RATE_LIMITED,
        Some(FailureReason::ClientRejected) => CLIENT_REJECTED,
        Some(FailureReason::NotSent) => NOT_CONFIGURED,
        Some(FailureReason::GrantRejected) => CODE_REJECTED,
        Some(
            FailureReason::RequestRejected
            | FailureReason::DpopNonceRepeated
            | FailureReason::DpopProofRejected,
        ) => REQUEST_REJECTED,
        Some(FailureReason::Unreadable | FailureReason::TooLarge | FailureReason::Encoded) => UNREADABLE,
        _ => FAILED,
    }
}

/// Returns the error for a pushed authorization request that the provider did not accept (RFC 9126 §2.3).
pub fn describe_pushed_request_failure(status: u16, code: Option<&str>) -> OAuthError {
    match (status, code) {
        (429, _) => RATE_LIMITED,
        (500.., _) => UNAVAILABLE,
        (_, Some(code)) => match map_authorization_error(code) {
            // The customer has not been asked yet.
            error if error.code == OAuthCode::AccessDenied => REQUEST_REJECTED,
            error => error,
        },
        (401 | 403, None) => CLIENT_REJECTED,
        (200..300, None) => UNREADABLE,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_code_is_in_the_table_once() {
        let codes: Vec<_> = AUTHORIZATION_ERRORS.iter().flat_map(|(codes, _)| codes.iter()).collect();

        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
        assert!(codes.iter().all(|code| **code == code.to_ascii_lowercase()));
    }

    #[test]
    fn only_a_denial_is_reported_as_one() {
        for (code, expected) in [
            ("access_denied", ACCESS_DENIED),
            ("USER_DENIED", ACCESS_DENIED),
            ("login_required", NOT_SIGNED_IN),
            ("consent_required", NO_CONSENT),
            ("temporarily_unavailable", UNAVAILABLE),
            ("invalid_scope", SCOPE_REJECTED),
            ("unauthorized_client", CLIENT_REJECTED),
            ("something_else", FAILED),
            ("", FAILED),
        ] {
            assert_eq!(map_authorization_error(code), expected, "{code}");
        }
    }

    #[test]
    fn only_declined_requests_and_consents_are_denials() {
        let others = [NOT_SIGNED_IN, NO_ACCOUNT, NO_ACCOUNT_SELECTED, TOO_LATE, EXPIRED, FAILED, UNAVAILABLE];

        assert!([ACCESS_DENIED, NO_CONSENT].iter().all(is_denial));
        assert!(!others.iter().any(is_denial));
    }

    #[test]
    fn failed_pushed_request_names_its_cause() {
        for (status, code, expected) in [
            (400, Some("invalid_scope"), SCOPE_REJECTED),
            (400, Some("access_denied"), REQUEST_REJECTED),
            (400, Some("mine"), FAILED),
            (401, Some("invalid_client"), CLIENT_REJECTED),
            (401, None, CLIENT_REJECTED),
            (201, None, UNREADABLE),
            (404, None, FAILED),
            (429, None, RATE_LIMITED),
            (503, Some("invalid_client"), UNAVAILABLE),
        ] {
            assert_eq!(describe_pushed_request_failure(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn failed_exchange_names_its_cause() {
        for reason in FailureReason::ALL.iter().copied() {
            let expected = match reason {
                FailureReason::NotConnected
                | FailureReason::NoResponse
                | FailureReason::Unavailable
                | FailureReason::ServerError => UNAVAILABLE,
                FailureReason::TlsFailed => TLS_FAILED,
                FailureReason::RateLimited => RATE_LIMITED,
                FailureReason::ClientRejected => CLIENT_REJECTED,
                FailureReason::NotSent => NOT_CONFIGURED,
                FailureReason::GrantRejected => CODE_REJECTED,
                FailureReason::RequestRejected
                | FailureReason::DpopNonceRepeated
                | FailureReason::DpopProofRejected => REQUEST_REJECTED,
                FailureReason::Unreadable | FailureReason::TooLarge | FailureReason::Encoded => UNREADABLE,
                FailureReason::TokenTypeUnsupported
                | FailureReason::AccessTokenRejected
                | FailureReason::ResourceRefused
                | FailureReason::Redirected
                | FailureReason::AlreadyRevoked
                | FailureReason::TokenTypeRejected
                | FailureReason::UnexpectedStatus => FAILED,
            };
            for outcome in [
                CallOutcome::Refused(reason),
                CallOutcome::NeverProcessed(reason),
                CallOutcome::Unknown(reason),
            ] {
                assert_eq!(describe_exchange_failure(outcome), expected, "{outcome:?}");
            }
        }
        assert_eq!(describe_exchange_failure(CallOutcome::Succeeded), FAILED);
    }
}
