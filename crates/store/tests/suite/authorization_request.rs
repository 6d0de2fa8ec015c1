//! Tests of authorization requests: each step can be taken once, before the request expires, by the browser that
//! started it.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::authorization_request::{AuthorizationRequest, RequestStepError};
use domain::model::job::TokenType;
use domain::model::registration::RegistrationStep;
use domain::rule::authorization_failure::INTERRUPTED;
use domain::rule::authorize::ACCESS_DENIED;
use store::command::{
    DenyRequest, FailRequest, OpenOutcome, Purge, ReceiveCode, RedeemOutcome, ReplaceCode,
    ReplaceCodeOutcome, SendToProvider, UnrevokedToken,
};
use store::query::{FindAuthorizationRequestByState, GetAuthorizationRequest, ListRecipientProviders};

use crate::support::{TestStore, connection_id, hash, hashes, on_both, parse_client_id, seal};

on_both!(
    request_steps_are_taken_once_by_same_browser,
    expired_request_step_is_rejected,
    failed_exchange_queues_revocation_of_obtained_token,
    suspension_during_authorization_rejects_next_step,
    failed_request_keeps_the_error_for_its_recipient,
    replaced_code_is_unknown_and_its_successor_activates,
    code_is_replaced_only_for_a_pending_connection,
    code_of_another_connection_is_not_replaced,
    parallel_decisions_store_one_request,
    request_of_old_cookie_never_begins_again,
);

/// Builds the command that denies a request.
fn build_deny_request(kit: &TestStore, name: &str) -> DenyRequest {
    DenyRequest {
        moment: kit.next_moment(),
        request: Box::new(kit.build_request(name, "dc-acme")),
        cookie: hashes(&format!("cookie-{name}")),
    }
}

async fn count_requests(kit: &TestStore, names: &[&str]) -> usize {
    let mut count = 0;
    for name in names {
        let id = kit.build_request(name, "dc-acme").id;
        count += usize::from(kit.store.query(&GetAuthorizationRequest { id }).await.unwrap().is_some());
    }
    count
}

/// Builds the command that fails an authorization request after its exchange has obtained a token.
fn build_fail_request(kit: &TestStore, name: &str) -> FailRequest {
    let unrevoked = vec![UnrevokedToken {
        token: seal("sealed"),
        token_type: TokenType::RefreshToken,
        grant_id: None,
        identity: None,
        is_complete: true,
    }];
    let (moment, request_id) = (kit.next_moment(), kit.build_request(name, "dc-acme").id);
    FailRequest { moment, request_id, error: INTERRUPTED, unrevoked }
}

async fn request_steps_are_taken_once_by_same_browser(kit: TestStore) {
    assert_eq!(
        kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap_err(),
        RequestStepError::Unknown
    );
    kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap();
    let foreign = SendToProvider { cookie: hashes("another"), ..kit.build_send_to_provider("a") };
    assert_eq!(kit.store.run(foreign).await.unwrap().unwrap_err(), RequestStepError::ForeignBrowser);
    let repeated = SendToProvider { verifier: b"another".to_vec(), ..kit.build_send_to_provider("a") };
    let repeated = kit.store.run(repeated).await.unwrap().unwrap();
    assert_eq!(
        repeated.request.verifier.as_deref(),
        Some(&b"sealed verifier"[..]),
        "a repetition continues with the verifier of the first time"
    );
    let foreign = ReceiveCode { cookie: hashes("another"), ..kit.build_receive_code("a") };
    assert_eq!(kit.store.run(foreign).await.unwrap().unwrap_err(), RequestStepError::ForeignBrowser);
    let mixed_up = ReceiveCode { provider_id: ProviderId::new(2000), ..kit.build_receive_code("a") };
    assert_eq!(kit.store.run(mixed_up).await.unwrap().unwrap_err(), RequestStepError::Unknown);
    let request = kit
        .store
        .query(&FindAuthorizationRequestByState { state: hashes("state-a") })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (request.verifier.as_deref(), request.agreed_at),
        (Some(&b"sealed verifier"[..]), Some(kit.now))
    );
    assert!(kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap().may_continue.is_ok());
    assert_eq!(
        kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap_err(),
        RequestStepError::AlreadyTaken
    );
}

async fn expired_request_step_is_rejected(mut kit: TestStore) {
    kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap();
    let (approval, denial) = (kit.build_send_to_provider("a"), build_deny_request(&kit, "c"));
    kit.advance_clock(Duration::from_mins(20));
    let approval = SendToProvider { moment: kit.next_moment(), ..approval };
    assert_eq!(kit.store.run(approval).await.unwrap().unwrap_err(), RequestStepError::Expired);
    assert_eq!(
        kit.store.run(kit.build_receive_code("b")).await.unwrap().unwrap_err(),
        RequestStepError::Expired
    );
    let denial = DenyRequest { moment: kit.next_moment(), ..denial };
    assert_eq!(kit.store.run(denial).await.unwrap().unwrap_err(), RequestStepError::Expired);
}

/// Two clicks, or two tabs, may decide at the same time. Each has sealed a verifier and chosen the id of a connection.
async fn parallel_decisions_store_one_request(kit: TestStore) {
    let approve = |name: &str| {
        let mut request = kit.build_request("a", "dc-acme");
        request.connection_id = connection_id(name);
        request.data_key = name.as_bytes().to_vec();
        let (request, verifier) = (Box::new(request), name.as_bytes().to_vec());
        kit.store.run(SendToProvider { request, verifier, ..kit.build_send_to_provider("a") })
    };

    let approved = tokio::join!(approve("one"), approve("two"), approve("three"));

    let approved = [approved.0, approved.1, approved.2].map(|sent| sent.unwrap().unwrap().request);
    let stored =
        kit.store.query(&GetAuthorizationRequest { id: approved[0].id.clone() }).await.unwrap().unwrap();
    let parts = |r: &AuthorizationRequest| (r.connection_id.clone(), r.data_key.clone(), r.verifier.clone());
    assert_eq!(stored.verifier.as_ref(), Some(&stored.data_key));
    for request in &approved {
        assert_eq!(parts(request), parts(&stored), "all decisions continue with the same request");
    }
    assert_eq!(
        kit.store.run(build_deny_request(&kit, "a")).await.unwrap().unwrap().verifier,
        stored.verifier
    );
}

/// The cookie outlives the request, and the row outlives the cookie, so a request never begins again.
async fn request_of_old_cookie_never_begins_again(mut kit: TestStore) {
    let (first, denial) = (kit.build_send_to_provider("a"), build_deny_request(&kit, "b"));
    let (again, late, denied_again) =
        (first.request.clone(), kit.build_request("c", "dc-acme"), denial.request.clone());
    kit.store.run(first).await.unwrap().unwrap();
    kit.store.run(denial).await.unwrap().unwrap();

    for minutes in [20, 9, 1, 60] {
        kit.advance_clock(Duration::from_mins(minutes));
        kit.store.run(Purge { moment: kit.next_moment(), limit: 10 }).await.unwrap();
        for request in [again.clone(), Box::new(late.clone())] {
            let cookie = hashes(if request.id == late.id { "cookie-c" } else { "cookie-a" });
            let repeated = SendToProvider { request, cookie, ..kit.build_send_to_provider("a") };
            assert_eq!(kit.store.run(repeated).await.unwrap().unwrap_err(), RequestStepError::Expired);
        }
        let denial = DenyRequest { request: denied_again.clone(), ..build_deny_request(&kit, "b") };
        assert!(kit.store.run(denial).await.unwrap().is_err());
    }

    assert_eq!(count_requests(&kit, &["a", "b", "c"]).await, 0, "no row is inserted after the purge");
}

async fn failed_exchange_queues_revocation_of_obtained_token(kit: TestStore) {
    kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap();
    kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap();
    let request_id = kit.build_request("a", "dc-acme").id;
    kit.store.run(build_fail_request(&kit, "a")).await.unwrap();
    assert_eq!(kit.count_jobs("revoke_orphaned_grant", "pending").await, 1);
    let request = kit.store.query(&GetAuthorizationRequest { id: request_id }).await.unwrap().unwrap();
    assert_eq!((request.status.as_str(), request.verifier), ("failed", None));
    assert!(kit.store.run(build_deny_request(&kit, "b")).await.unwrap().is_ok());
    assert_eq!(
        kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap_err(),
        RequestStepError::AlreadyTaken
    );
}

async fn suspension_during_authorization_rejects_next_step(kit: TestStore) {
    kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap();
    kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap();
    kit.take_registration_step("dc-acme", RegistrationStep::Suspend).await;
    let outcome = kit.store.run(kit.build_open_connection("a", Some("alice"))).await.unwrap();
    assert!(matches!(outcome, OpenOutcome::Refused(error) if error.code.as_str() == "unauthorized_client"));
    assert_eq!(
        kit.count_jobs("revoke_orphaned_grant", "pending").await,
        1,
        "the grant at the provider must be revoked"
    );
    kit.store.run(build_fail_request(&kit, "a")).await.unwrap();
    assert_eq!(
        kit.count_jobs("revoke_orphaned_grant", "pending").await,
        1,
        "a failed request has no data key"
    );
    let agreed = kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap();
    assert_eq!(
        agreed.may_continue.unwrap_err().code.as_str(),
        "unauthorized_client",
        "consent is rejected too"
    );
    assert_eq!(
        kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap_err(),
        RequestStepError::AlreadyTaken
    );
    let list_providers = |id| ListRecipientProviders { client_id: parse_client_id(id) };
    assert!(kit.store.query(&list_providers("dc-acme")).await.unwrap().is_empty());
    let providers = kit.store.query(&list_providers("dc-other")).await.unwrap();
    assert_eq!(providers.iter().map(|p| p.id.number()).collect::<Vec<_>>(), [1000]);
}

async fn failed_request_keeps_the_error_for_its_recipient(kit: TestStore) {
    kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap();
    kit.store.run(build_deny_request(&kit, "a")).await.unwrap().unwrap();
    kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap();
    let refused = ReceiveCode { result: Err(INTERRUPTED), ..kit.build_receive_code("b") };
    kit.store.run(refused).await.unwrap().unwrap();

    for (name, expected) in [("a", ACCESS_DENIED), ("b", INTERRUPTED)] {
        let id = kit.build_request(name, "dc-acme").id;
        let request = kit.store.query(&GetAuthorizationRequest { id }).await.unwrap().unwrap();
        assert_eq!(request.failure, Some(expected), "{name}");
    }
}

/// Builds the command that replaces the code of a connection.
fn build_replace_code(kit: &TestStore, name: &str, code: &str) -> ReplaceCode {
    ReplaceCode {
        moment: kit.next_moment(),
        request_id: kit.build_request(name, "dc-acme").id,
        cookie: hashes(&format!("cookie-{name}")),
        code_hash: hash(code),
        code_expires_at: kit.now.plus(Duration::from_mins(1)),
    }
}

async fn replaced_code_is_unknown_and_its_successor_activates(mut kit: TestStore) {
    kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    kit.advance_clock(Duration::from_secs(50));
    let replaced = kit.store.run(build_replace_code(&kit, "a", "code-a2")).await.unwrap();
    kit.advance_clock(Duration::from_secs(50));

    let former = kit.store.run(kit.build_redeem_code("a", "dc-acme")).await.unwrap();
    let successor = kit.store.run(kit.build_redeem_code("a2", "dc-acme")).await.unwrap();
    let repeated = kit.store.run(kit.build_redeem_code("a", "dc-acme")).await.unwrap();

    assert_eq!(replaced, ReplaceCodeOutcome::Replaced);
    assert!(
        matches!(former, (RedeemOutcome::Refused(error), None) if error.code.as_str() == "invalid_grant")
    );
    assert!(matches!(successor, (RedeemOutcome::Activated(_), None)));
    assert!(matches!(repeated, (RedeemOutcome::Refused(_), None)), "a superseded code is never a second use");
}

async fn code_is_replaced_only_for_a_pending_connection(mut kit: TestStore) {
    kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    let foreign = ReplaceCode { cookie: hashes("another"), ..build_replace_code(&kit, "a", "code-a2") };
    assert_eq!(kit.store.run(foreign).await.unwrap(), ReplaceCodeOutcome::NotReplaceable);
    assert!(matches!(
        kit.store.run(kit.build_redeem_code("a", "dc-acme")).await.unwrap(),
        (RedeemOutcome::Activated(_), None)
    ));
    kit.create_pending_connection("b", "dc-acme", Some("bob")).await;
    kit.create_exchanging_request("c", "dc-acme").await;
    kit.create_pending_connection("d", "dc-acme", Some("dora")).await;
    kit.take_registration_step("dc-acme", RegistrationStep::Suspend).await;
    let refused = kit.store.run(build_replace_code(&kit, "d", "second")).await.unwrap();
    kit.take_registration_step("dc-acme", RegistrationStep::Reinstate).await;
    kit.advance_clock(Duration::from_mins(1));

    for (name, reason) in [("a", "redeemed"), ("b", "expired"), ("c", "being exchanged"), ("e", "unknown")] {
        let outcome = kit.store.run(build_replace_code(&kit, name, "second")).await.unwrap();
        assert_eq!(outcome, ReplaceCodeOutcome::NotReplaceable, "{reason}");
    }

    assert!(matches!(refused, ReplaceCodeOutcome::Refused(_)));
}

async fn code_of_another_connection_is_not_replaced(kit: TestStore) {
    kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    kit.create_pending_connection("b", "dc-acme", Some("bob")).await;
    kit.execute_sql(
        "UPDATE authorization_requests SET code_hash = (SELECT code_hash FROM authorization_requests WHERE id = id'arq_b')
        WHERE id = id'arq_a'",
    )
    .await;

    let outcome = kit.store.run(build_replace_code(&kit, "a", "code-a2")).await.unwrap();

    assert_eq!(outcome, ReplaceCodeOutcome::NotReplaceable);
    let (other, _) = kit.store.run(kit.build_redeem_code("b", "dc-acme")).await.unwrap();
    assert!(matches!(other, RedeemOutcome::Activated(_)));
}
