//! The browser's way: each step once, in the browser that began, in time.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::authorization_request::StepRefusal;
use domain::model::registration::RegistrationState;
use store::command::{
    DenyRequest, FailRequest, InHand, OpenAuthorizationRequest, OpenOutcome, ReceiveCode, SendToProvider,
};
use store::query::{ProvidersOf, RequestById, RequestByState};

use crate::kit::{Kit, client, hashes, on_both};

on_both!(
    each_step_is_taken_once_by_the_browser_that_began,
    a_step_that_comes_too_late_is_refused,
    what_is_in_hand_is_revoked_when_nothing_comes_of_it,
    a_recipient_that_is_held_meanwhile_gets_nothing,
);

async fn open(kit: &Kit, name: &str) {
    let request = kit.request(name, "dc-acme");
    kit.store.run(OpenAuthorizationRequest { moment: kit.moment(), request }).await.unwrap();
}

/// An exchange that failed with a token in hand.
fn failed(kit: &Kit, name: &str) -> FailRequest {
    let in_hand = Some(InHand { token: b"sealed".to_vec(), identity: None });
    FailRequest { moment: kit.moment(), request_id: kit.request(name, "dc-acme").id, in_hand }
}

async fn each_step_is_taken_once_by_the_browser_that_began(kit: Kit) {
    open(&kit, "a").await;
    let foreign = SendToProvider { cookie: hashes("another"), ..kit.sent("a") };
    assert_eq!(kit.store.run(foreign).await.unwrap().unwrap_err(), StepRefusal::ForeignBrowser);
    assert_eq!(kit.store.run(kit.received("a")).await.unwrap().unwrap_err(), StepRefusal::Unknown);
    kit.store.run(kit.sent("a")).await.unwrap().unwrap();
    assert_eq!(kit.store.run(kit.sent("a")).await.unwrap().unwrap_err(), StepRefusal::AlreadyTaken);
    let foreign = ReceiveCode { cookie: hashes("another"), ..kit.received("a") };
    assert_eq!(kit.store.run(foreign).await.unwrap().unwrap_err(), StepRefusal::ForeignBrowser);
    let mixed_up = ReceiveCode { provider_id: ProviderId::new(2000), ..kit.received("a") };
    assert_eq!(kit.store.run(mixed_up).await.unwrap().unwrap_err(), StepRefusal::Unknown);
    let request = kit.store.ask(&RequestByState { state: hashes("state-a") }).await.unwrap().unwrap();
    assert_eq!(
        (request.verifier.as_deref(), request.agreed_at),
        (Some(&b"sealed verifier"[..]), Some(kit.now))
    );
    assert!(kit.store.run(kit.received("a")).await.unwrap().unwrap().goes_on.is_ok());
    assert_eq!(kit.store.run(kit.received("a")).await.unwrap().unwrap_err(), StepRefusal::AlreadyTaken);
}

async fn a_step_that_comes_too_late_is_refused(mut kit: Kit) {
    open(&kit, "a").await;
    open(&kit, "b").await;
    kit.store.run(kit.sent("b")).await.unwrap().unwrap();
    kit.advance(Duration::from_mins(20));
    assert_eq!(kit.store.run(kit.sent("a")).await.unwrap().unwrap_err(), StepRefusal::Expired);
    assert_eq!(kit.store.run(kit.received("b")).await.unwrap().unwrap_err(), StepRefusal::Expired);
}

async fn what_is_in_hand_is_revoked_when_nothing_comes_of_it(kit: Kit) {
    open(&kit, "a").await;
    kit.store.run(kit.sent("a")).await.unwrap().unwrap();
    kit.store.run(kit.received("a")).await.unwrap().unwrap();
    let request_id = kit.request("a", "dc-acme").id;
    kit.store.run(failed(&kit, "a")).await.unwrap();
    assert_eq!(kit.jobs("revoke_orphan", "pending").await, 1);
    let request = kit.store.ask(&RequestById { id: request_id }).await.unwrap().unwrap();
    assert_eq!((request.status.as_str(), request.verifier), ("failed", None));
    open(&kit, "b").await;
    let deny = DenyRequest {
        moment: kit.moment(),
        request_id: kit.request("b", "dc-acme").id,
        cookie: hashes("cookie-b"),
    };
    assert!(kit.store.run(deny).await.unwrap().is_ok());
    assert_eq!(kit.store.run(kit.sent("b")).await.unwrap().unwrap_err(), StepRefusal::AlreadyTaken);
}

async fn a_recipient_that_is_held_meanwhile_gets_nothing(kit: Kit) {
    open(&kit, "a").await;
    open(&kit, "b").await;
    kit.store.run(kit.sent("a")).await.unwrap().unwrap();
    kit.store.run(kit.received("a")).await.unwrap().unwrap();
    kit.set_registration("dc-acme", RegistrationState::Suspended).await;
    let outcome = kit.store.run(kit.opened("a", Some("alice"))).await.unwrap();
    assert!(matches!(outcome, OpenOutcome::Refused(error) if error.code.as_str() == "unauthorized_client"));
    assert_eq!(kit.jobs("revoke_orphan", "pending").await, 1, "the bank's grant must not be left alone");
    kit.store.run(failed(&kit, "a")).await.unwrap();
    assert_eq!(kit.jobs("revoke_orphan", "pending").await, 1, "it has failed, and has no key any more");
    let agreed = kit.store.run(kit.sent("b")).await.unwrap().unwrap();
    assert_eq!(agreed.goes_on.unwrap_err().code.as_str(), "unauthorized_client", "nor is a yes taken");
    assert_eq!(kit.store.run(kit.sent("b")).await.unwrap().unwrap_err(), StepRefusal::AlreadyTaken);
    let of = |id| ProvidersOf { client_id: client(id) };
    assert!(kit.store.ask(&of("dc-acme")).await.unwrap().is_empty());
    let providers = kit.store.ask(&of("dc-other")).await.unwrap();
    assert_eq!(providers.iter().map(|p| p.id.number()).collect::<Vec<_>>(), [1000]);
}
