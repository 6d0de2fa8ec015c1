use super::*;
use proptest::prelude::*;

const OAUTH_CALLS: [ProviderCall; 4] =
    [ProviderCall::CodeExchange, ProviderCall::Refresh, ProviderCall::Revocation, ProviderCall::Registration];

const fn response(status: u16, body: ResponseBody) -> ProviderReply {
    ProviderReply::Response { status, has_retry_after: false, body }
}

const fn unavailable(status: u16) -> ProviderReply {
    ProviderReply::Response { status, has_retry_after: true, body: ResponseBody::Other }
}

fn error(call: ProviderCall, status: u16, code: ProviderErrorCode) -> CallOutcome {
    classify(call, response(status, ResponseBody::OAuthError(code)))
}

fn bodies() -> impl Strategy<Value = ResponseBody> {
    prop_oneof![
        Just(ResponseBody::Complete),
        prop::sample::select(ProviderErrorCode::ALL).prop_map(ResponseBody::OAuthError),
        Just(ResponseBody::ApiError),
        Just(ResponseBody::Other),
        Just(ResponseBody::TooLarge),
        Just(ResponseBody::Encoded),
    ]
}

proptest! {
    #[test]
    fn only_2xx_succeeds_and_only_4xx_refuses(
        call in prop::sample::select(ProviderCall::ALL),
        status in 100_u16..1000,
        has_retry_after: bool,
        body in bodies(),
    ) {
        let outcome = classify(call, ProviderReply::Response { status, has_retry_after, body });
        match outcome {
            CallOutcome::Succeeded => prop_assert!((200..300).contains(&status)),
            CallOutcome::Refused(_) => prop_assert!((400..500).contains(&status)),
            CallOutcome::NeverProcessed(_) => prop_assert!((400..500).contains(&status) || status == 503),
            CallOutcome::Unknown(_) => {}
        }
    }

    #[test]
    fn server_error_of_exchange_or_refresh_is_unknown(
        call in prop::sample::select(&[ProviderCall::CodeExchange, ProviderCall::Refresh][..]),
        status in 500_u16..600,
        has_retry_after: bool,
        body in bodies(),
    ) {
        let reply = ProviderReply::Response { status, has_retry_after, body };
        prop_assert_eq!(classify(call, reply), CallOutcome::Unknown(FailureReason::ServerError));
    }
}

#[test]
fn request_that_was_not_sent_was_never_processed() {
    for call in ProviderCall::ALL.iter().copied() {
        for (reply, reason) in [
            (ProviderReply::NotConnected, FailureReason::NotConnected),
            (ProviderReply::TlsFailed, FailureReason::TlsFailed),
            (ProviderReply::NotSent, FailureReason::NotSent),
            (unavailable(429), FailureReason::RateLimited),
        ] {
            assert_eq!(classify(call, reply), CallOutcome::NeverProcessed(reason), "{call}");
        }
        assert_eq!(
            classify(call, ProviderReply::NoResponse),
            CallOutcome::Unknown(FailureReason::NoResponse)
        );
    }
}

#[test]
fn retry_after_proves_nothing_for_calls_that_issue_tokens() {
    for call in [
        ProviderCall::Data,
        ProviderCall::Revocation,
        ProviderCall::ConsentRevocation,
        ProviderCall::GrantRevocation,
        ProviderCall::ClientCredentials,
        ProviderCall::Introspection,
        ProviderCall::PushedAuthorization,
        ProviderCall::Keys,
        ProviderCall::Deletion,
    ] {
        let outcome = classify(call, unavailable(503));
        assert_eq!(outcome, CallOutcome::NeverProcessed(FailureReason::Unavailable), "{call}");
    }
    for call in [ProviderCall::CodeExchange, ProviderCall::Refresh, ProviderCall::Registration] {
        assert!(classify(call, unavailable(503)).is_unknown(), "{call}");
    }
    for call in ProviderCall::ALL.iter().copied() {
        assert!(classify(call, unavailable(502)).is_unknown(), "{call}");
    }
}

#[test]
fn success_requires_complete_body_unless_it_is_ignored() {
    for body in [ResponseBody::Other, ResponseBody::TooLarge, ResponseBody::Encoded] {
        for status in [200, 201, 202, 204] {
            for call in ProviderCall::ALL.iter().copied() {
                let succeeded = classify(call, response(status, body)) == CallOutcome::Succeeded;
                let ignores_body = matches!(
                    call,
                    ProviderCall::Revocation
                        | ProviderCall::ConsentRevocation
                        | ProviderCall::GrantRevocation
                        | ProviderCall::Deletion
                );
                assert_eq!(succeeded, ignores_body, "{call} {status} {body:?}");
            }
        }
    }
    for call in ProviderCall::ALL.iter().copied() {
        assert_eq!(classify(call, response(201, ResponseBody::Complete)), CallOutcome::Succeeded);
    }
}

#[test]
fn error_code_with_success_status_proves_nothing() {
    let outcome = error(ProviderCall::Refresh, 200, ProviderErrorCode::InvalidGrant);

    assert_eq!(outcome, CallOutcome::Unknown(FailureReason::Unreadable));
}

#[test]
fn rejected_client_says_nothing_about_the_grant() {
    for call in OAUTH_CALLS {
        for code in [ProviderErrorCode::InvalidClient, ProviderErrorCode::UnauthorizedClient] {
            for status in [400, 401, 403] {
                assert!(error(call, status, code).is_client_rejected(), "{call} {status} {code}");
            }
            assert!(error(call, 503, code).is_unknown(), "{call} {code}");
        }
    }
}

#[test]
fn invalid_grant_is_trusted_only_with_client_error() {
    let code = ProviderErrorCode::InvalidGrant;
    for call in [ProviderCall::CodeExchange, ProviderCall::Refresh, ProviderCall::Revocation] {
        assert_eq!(error(call, 400, code), CallOutcome::Refused(FailureReason::GrantRejected), "{call}");
        for status in [200, 302, 408, 421, 425, 500, 503] {
            let outcome = error(call, status, code);
            assert_ne!(outcome, CallOutcome::Refused(FailureReason::GrantRejected), "{call} {status}");
        }
    }
}

#[test]
fn client_error_without_readable_code_is_unknown() {
    for call in OAUTH_CALLS.into_iter().chain([ProviderCall::Deletion]) {
        for status in [400, 401, 403, 404, 405, 409, 410, 421, 425] {
            let outcome = classify(call, response(status, ResponseBody::Other));
            assert_eq!(outcome, CallOutcome::Unknown(FailureReason::UnexpectedStatus), "{call} {status}");
        }
    }
}

#[test]
fn data_refusal_depends_on_the_status() {
    let outcome = |status| classify(ProviderCall::Data, response(status, ResponseBody::Other));

    assert_eq!(outcome(401), CallOutcome::Refused(FailureReason::AccessTokenRejected));
    for status in [400, 403, 404, 406, 410, 422] {
        assert_eq!(outcome(status), CallOutcome::Refused(FailureReason::ResourceRefused), "{status}");
    }
    for (status, reason) in [
        (199, FailureReason::UnexpectedStatus),
        (300, FailureReason::Redirected),
        (399, FailureReason::Redirected),
        (408, FailureReason::UnexpectedStatus),
        (500, FailureReason::ServerError),
        (504, FailureReason::ServerError),
        (599, FailureReason::ServerError),
        (600, FailureReason::UnexpectedStatus),
    ] {
        assert_eq!(outcome(status), CallOutcome::Unknown(reason), "{status}");
    }
}

#[test]
fn revocation_is_final_only_for_listed_errors() {
    let step = |outcome, invalid_requests| next_revocation_step(outcome, invalid_requests, false);
    let error = |code| error(ProviderCall::Revocation, 400, code);
    for code in ProviderErrorCode::ALL.iter().copied() {
        let expected = match code {
            ProviderErrorCode::InvalidGrant
            | ProviderErrorCode::InvalidToken
            | ProviderErrorCode::UnsupportedTokenType => RevocationStep::Refused,
            ProviderErrorCode::InvalidRequest => RevocationStep::CountAndRetry,
            _ => RevocationStep::Retry,
        };
        assert_eq!(step(error(code), 0), expected, "{code}");
    }
    let invalid_request = error(ProviderErrorCode::InvalidRequest);
    let steps = [0, 1, 2, 3].map(|earlier| step(invalid_request, earlier));
    let (counted, refused) = (RevocationStep::CountAndRetry, RevocationStep::Refused);
    assert_eq!(steps, [counted, counted, refused, refused]);
    let unsupported = error(ProviderErrorCode::UnsupportedTokenType);
    assert_eq!(next_revocation_step(unsupported, 0, true), RevocationStep::TryOtherToken);
    assert_eq!(step(CallOutcome::Succeeded, 1), RevocationStep::Accepted);
    assert_eq!(step(CallOutcome::Unknown(FailureReason::ServerError), 99), RevocationStep::Retry);
    let rejected = CallOutcome::NeverProcessed(FailureReason::ClientRejected);
    assert_eq!(step(rejected, 99), RevocationStep::Retry);
}

#[test]
fn only_issued_tokens_prove_that_a_code_was_processed() {
    let unknown = CallOutcome::Unknown(FailureReason::Unreadable);
    for status in [200, 202, 302, 408, 500, 502, 503, 504] {
        assert!(may_still_be_processed(unknown, Some(status), false), "{status}");
    }
    for status in [None, Some(302), Some(502), Some(504)] {
        assert!(may_still_be_processed(unknown, status, true), "{status:?}");
    }
    assert!(!may_still_be_processed(unknown, Some(200), true));
    for outcome in [
        CallOutcome::Refused(FailureReason::GrantRejected),
        CallOutcome::NeverProcessed(FailureReason::NotConnected),
    ] {
        assert!(!may_still_be_processed(outcome, None, false), "{outcome:?}");
    }
}

#[test]
fn deletion_is_refused_only_for_readable_errors() {
    for code in ProviderErrorCode::ALL.iter().copied() {
        let expected = match code {
            ProviderErrorCode::InvalidToken | ProviderErrorCode::InvalidClient => {
                CallOutcome::Refused(FailureReason::GrantRejected)
            }
            ProviderErrorCode::AccessDenied
            | ProviderErrorCode::InsufficientScope
            | ProviderErrorCode::UnauthorizedClient => CallOutcome::Refused(FailureReason::RequestRejected),
            _ => CallOutcome::Unknown(FailureReason::UnexpectedStatus),
        };
        assert_eq!(error(ProviderCall::Deletion, 401, code), expected, "{code}");
        assert!(error(ProviderCall::Deletion, 500, code).is_unknown(), "{code}");
    }
}

#[test]
fn revocation_by_id_trusts_only_readable_errors() {
    let outcome = |call, status, body| classify(call, response(status, body));
    for call in [ProviderCall::ConsentRevocation, ProviderCall::GrantRevocation] {
        for (status, reason) in [
            (404, FailureReason::GrantRejected),
            (410, FailureReason::GrantRejected),
            (400, FailureReason::RequestRejected),
            (403, FailureReason::RequestRejected),
        ] {
            let readable = outcome(call, status, ResponseBody::ApiError);
            assert_eq!(readable, CallOutcome::Refused(reason), "{call} {status}");
            assert!(outcome(call, status, ResponseBody::Other).is_unknown(), "{call} {status}");
        }
        let rejected = CallOutcome::NeverProcessed(FailureReason::AccessTokenRejected);
        assert_eq!(outcome(call, 401, ResponseBody::Other), rejected, "{call}");
    }
    let conflict = outcome(ProviderCall::ConsentRevocation, 409, ResponseBody::ApiError);
    assert_eq!(conflict, CallOutcome::Refused(FailureReason::AlreadyRevoked));
    assert_eq!(next_revocation_step(conflict, 0, false), RevocationStep::Accepted);
    let other = outcome(ProviderCall::GrantRevocation, 409, ResponseBody::ApiError);
    assert_eq!(next_revocation_step(other, 2, false), RevocationStep::Refused);
    assert!(outcome(ProviderCall::ConsentRevocation, 409, ResponseBody::Other).is_unknown());
}

#[test]
fn client_that_gets_no_token_of_its_own_is_not_blocked() {
    let call = ProviderCall::ClientCredentials;

    assert!(error(call, 401, ProviderErrorCode::InvalidClient).is_client_rejected());
    assert!(!error(call, 400, ProviderErrorCode::InvalidGrant).is_client_rejected());
    for code in [ProviderErrorCode::UnauthorizedClient, ProviderErrorCode::InvalidScope] {
        assert_eq!(error(call, 400, code), CallOutcome::Refused(FailureReason::RequestRejected), "{code}");
    }
    let pushed = error(ProviderCall::PushedAuthorization, 400, ProviderErrorCode::UnauthorizedClient);
    assert_eq!(pushed, CallOutcome::Refused(FailureReason::RequestRejected));
}

#[test]
fn rfc9449_s8_demanded_nonce_proves_no_processing() {
    let (nonce, proof) = (ProviderErrorCode::UseDpopNonce, ProviderErrorCode::InvalidDpopProof);
    for call in [
        ProviderCall::CodeExchange,
        ProviderCall::Refresh,
        ProviderCall::ClientCredentials,
        ProviderCall::ConsentRevocation,
        ProviderCall::GrantRevocation,
        ProviderCall::Data,
    ] {
        for status in [400, 401] {
            let demanded = CallOutcome::NeverProcessed(FailureReason::DpopNonceRepeated);
            assert_eq!(error(call, status, nonce), demanded, "{call} {status}");
            let rejected = CallOutcome::NeverProcessed(FailureReason::DpopProofRejected);
            assert_eq!(error(call, status, proof), rejected, "{call} {status}");
        }
        for status in [302, 408, 500] {
            assert!(error(call, status, nonce).is_unknown(), "{call} {status}");
        }
    }
    for call in [ProviderCall::PushedAuthorization, ProviderCall::Revocation, ProviderCall::Introspection] {
        assert!(error(call, 400, nonce).is_unknown(), "{call}: the request has no proof");
    }
}
