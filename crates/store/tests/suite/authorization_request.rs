//! Tests of authorization requests: each step can be taken once, before the request expires, by the browser that
//! started it.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::authorization_request::RequestStepError;
use domain::model::job::TokenType;
use domain::model::registration::RegistrationStep;
use store::command::{
    DenyRequest, FailRequest, OpenAuthorizationRequest, OpenOutcome, ReceiveCode, SendToProvider,
    UnrevokedToken,
};
use store::query::{FindAuthorizationRequestByState, GetAuthorizationRequest, ListRecipientProviders};

use crate::support::{TestStore, hashes, on_both, parse_client_id, seal};

on_both!(
    request_steps_are_taken_once_by_same_browser,
    expired_request_step_is_rejected,
    failed_exchange_queues_revocation_of_obtained_token,
    suspension_during_authorization_rejects_next_step,
);

async fn open_request(kit: &TestStore, name: &str) {
    let request = kit.build_request(name, "dc-acme");
    kit.store.run(OpenAuthorizationRequest { moment: kit.next_moment(), request }).await.unwrap();
}

/// Builds the command that fails an authorization request after its exchange has obtained a token.
fn build_fail_request(kit: &TestStore, name: &str) -> FailRequest {
    let unrevoked = vec![UnrevokedToken {
        token: seal("sealed"),
        token_type: TokenType::RefreshToken,
        identity: None,
        is_complete: true,
    }];
    FailRequest { moment: kit.next_moment(), request_id: kit.build_request(name, "dc-acme").id, unrevoked }
}

async fn request_steps_are_taken_once_by_same_browser(kit: TestStore) {
    open_request(&kit, "a").await;
    let foreign = SendToProvider { cookie: hashes("another"), ..kit.build_send_to_provider("a") };
    assert_eq!(kit.store.run(foreign).await.unwrap().unwrap_err(), RequestStepError::ForeignBrowser);
    assert_eq!(
        kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap_err(),
        RequestStepError::Unknown
    );
    kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap();
    assert_eq!(
        kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap_err(),
        RequestStepError::AlreadyTaken
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
    open_request(&kit, "a").await;
    open_request(&kit, "b").await;
    kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap();
    kit.advance_clock(Duration::from_mins(20));
    assert_eq!(
        kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap_err(),
        RequestStepError::Expired
    );
    assert_eq!(
        kit.store.run(kit.build_receive_code("b")).await.unwrap().unwrap_err(),
        RequestStepError::Expired
    );
}

async fn failed_exchange_queues_revocation_of_obtained_token(kit: TestStore) {
    open_request(&kit, "a").await;
    kit.store.run(kit.build_send_to_provider("a")).await.unwrap().unwrap();
    kit.store.run(kit.build_receive_code("a")).await.unwrap().unwrap();
    let request_id = kit.build_request("a", "dc-acme").id;
    kit.store.run(build_fail_request(&kit, "a")).await.unwrap();
    assert_eq!(kit.count_jobs("revoke_orphaned_grant", "pending").await, 1);
    let request = kit.store.query(&GetAuthorizationRequest { id: request_id }).await.unwrap().unwrap();
    assert_eq!((request.status.as_str(), request.verifier), ("failed", None));
    open_request(&kit, "b").await;
    let deny = DenyRequest {
        moment: kit.next_moment(),
        request_id: kit.build_request("b", "dc-acme").id,
        cookie: hashes("cookie-b"),
    };
    assert!(kit.store.run(deny).await.unwrap().is_ok());
    assert_eq!(
        kit.store.run(kit.build_send_to_provider("b")).await.unwrap().unwrap_err(),
        RequestStepError::AlreadyTaken
    );
}

async fn suspension_during_authorization_rejects_next_step(kit: TestStore) {
    open_request(&kit, "a").await;
    open_request(&kit, "b").await;
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
