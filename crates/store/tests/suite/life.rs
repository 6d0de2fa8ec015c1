//! A connection's life: opened, activated, replaced, ended.

use std::time::Duration;

use domain::model::connection::{BankState, Cause, State};
use domain::model::provider::ProviderState;
use domain::model::registration::RegistrationState;
use domain::rule::token::{BAD_CODE, WRONG_REDIRECT};
use store::command::{
    ClientChange, EndOutcome, ExpireConnection, FailRequest, OpenOutcome, RecordRefreshUse, RedeemCode,
    Redeemed, SetProviderState,
};
use store::query::{AccessStateOf, CredentialOf, DueEnds, RefreshTokenBy, RequestById};

use crate::kit::{DAY, Kit, client, hash, hashes, on_both, operator};

on_both!(
    an_end_takes_everything_along,
    an_end_leaves_no_key_behind,
    a_second_login_replaces_the_first_at_its_exchange,
    customers_without_an_identity_do_not_replace_each_other,
    a_code_works_once_and_its_rightful_replay_ends_the_connection,
    a_code_that_is_tried_again_and_again_leaves_a_bounded_trace,
    what_changed_meanwhile_is_seen_at_the_exchange,
    time_ends_what_is_due,
    the_use_of_a_refresh_token_is_recorded,
    an_old_news_is_fenced,
);

fn refused(redeemed: &Redeemed) -> &domain::OAuthError {
    match redeemed {
        Redeemed::Refused(error) => error,
        Redeemed::Activated(_) => panic!("must be refused"),
    }
}

async fn an_end_takes_everything_along(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    let other = kit.active("b", "dc-other", Some("alice")).await;
    let known = kit.store.ask(&RefreshTokenBy { hashes: hashes("refresh-a") }).await.unwrap().unwrap();
    assert_eq!((known.token.connection_id, known.token.client_id), (id.clone(), client("dc-acme")));
    assert!(kit.store.ask(&CredentialOf { connection_id: id.clone() }).await.unwrap().is_some());

    assert_eq!(kit.end(&id, Cause::Recipient, None).await, EndOutcome::Ended);
    assert!(
        matches!(kit.end(&id, Cause::Operator, None).await, EndOutcome::Already(end) if end.cause == Cause::Recipient)
    );
    assert!(kit.store.ask(&RefreshTokenBy { hashes: hashes("refresh-a") }).await.unwrap().is_none());
    assert!(kit.store.ask(&CredentialOf { connection_id: id.clone() }).await.unwrap().is_none());
    assert_eq!(
        (kit.cause(&id).await, kit.connection(&id).await.bank),
        (Some(Cause::Recipient), BankState::Pending)
    );
    assert_eq!(
        (kit.jobs("tell_bank", "pending").await, kit.connection(&other).await.state),
        (1, State::Active)
    );
    assert_eq!(kit.record(&id).await, ["connection.opened", "connection.activated", "connection.ended"]);
    let unknown = domain::id::ConnectionId::parse("con_nobody").unwrap();
    assert_eq!(kit.end(&unknown, Cause::Recipient, None).await, EndOutcome::Unknown);
}

async fn an_end_leaves_no_key_behind(kit: Kit) {
    let key_of = async |name: &str| {
        let id = kit.request(name, "dc-acme").id;
        kit.store.ask(&RequestById { id }).await.unwrap().unwrap().data_key
    };
    kit.exchanging("a", "dc-acme").await;
    assert!(!key_of("a").await.is_empty(), "the exchange needs it");
    assert_eq!(kit.store.run(kit.opened("a", Some("alice"))).await.unwrap(), OpenOutcome::Opened);
    assert!(key_of("a").await.is_empty(), "it is the connection's now, and dies with it");
    let request_id = kit.exchanging("b", "dc-acme").await;
    kit.store.run(FailRequest { moment: kit.moment(), request_id, in_hand: None }).await.unwrap();
    assert!(key_of("b").await.is_empty());
}

async fn a_second_login_replaces_the_first_at_its_exchange(kit: Kit) {
    let first = kit.active("a", "dc-acme", Some("alice")).await;
    let second = kit.pending("b", "dc-acme", Some("alice")).await;
    assert_eq!(kit.connection(&first).await.state, State::Active, "a login alone replaces nothing");
    let (redeemed, ended) = kit.store.run(kit.redemption("b", "dc-acme")).await.unwrap();
    assert!(matches!(redeemed, Redeemed::Activated(_)) && ended == Some(Cause::Replaced));
    assert_eq!((kit.cause(&first).await, kit.cause(&second).await), (Some(Cause::Replaced), None));
    let state = kit.store.ask(&AccessStateOf { connection_id: first.clone() }).await.unwrap().unwrap();
    assert!(state.successor_active);
    kit.end(&second, Cause::Recipient, None).await;
    let state = kit.store.ask(&AccessStateOf { connection_id: first.clone() }).await.unwrap().unwrap();
    assert!(!state.successor_active);
    assert_eq!(
        kit.connection(&first).await.sub,
        kit.connection(&second).await.sub,
        "the name of a customer stays"
    );
    kit.record(&first).await;
}

async fn customers_without_an_identity_do_not_replace_each_other(kit: Kit) {
    let first = kit.active("a", "dc-acme", None).await;
    let second = kit.active("b", "dc-acme", None).await;
    assert_eq!((kit.cause(&first).await, kit.cause(&second).await), (None, None));
    assert_ne!(kit.connection(&first).await.sub, kit.connection(&second).await.sub);
}

async fn a_code_works_once_and_its_rightful_replay_ends_the_connection(mut kit: Kit) {
    let id = kit.pending("a", "dc-acme", Some("alice")).await;
    assert_eq!(refused(&kit.redeem("a", "dc-other").await), &BAD_CODE);
    let wrong =
        RedeemCode { redirect_uri: "https://app.example.org/Back".into(), ..kit.redemption("a", "dc-acme") };
    assert_eq!(refused(&kit.store.run(wrong).await.unwrap().0), &WRONG_REDIRECT);
    assert_eq!(refused(&kit.redeem("nobody", "dc-acme").await), &BAD_CODE);
    assert!(matches!(kit.redeem("a", "dc-acme").await, Redeemed::Activated(_)), "none of these spent it");
    assert_eq!(refused(&kit.redeem("a", "dc-other").await), &BAD_CODE);
    assert_eq!(kit.cause(&id).await, None, "a stranger ends nothing");
    let (redeemed, ended) = kit.store.run(kit.redemption("a", "dc-acme")).await.unwrap();
    assert_eq!((refused(&redeemed), ended), (&BAD_CODE, Some(Cause::CodeReplayed)));
    assert_eq!(kit.cause(&id).await, Some(Cause::CodeReplayed));
    let words = kit.record(&id).await;
    assert_eq!(words.iter().filter(|w| **w == "connection.code_refused").count(), 2);

    let late = kit.active("b", "dc-acme", Some("bob")).await;
    kit.advance(Duration::from_mins(1));
    assert_eq!(refused(&kit.redeem("b", "dc-acme").await), &BAD_CODE);
    assert_eq!(kit.cause(&late).await, None, "a late replay ends nothing");
}

async fn a_code_that_is_tried_again_and_again_leaves_a_bounded_trace(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    for _ in 0..60 {
        assert_eq!(refused(&kit.redeem("a", "dc-other").await), &BAD_CODE);
    }
    let words = kit.record(&id).await;
    assert_eq!(words.iter().filter(|w| **w == "connection.code_refused").count(), 48, "of 50 events in all");
    assert_eq!(kit.end(&id, Cause::Recipient, None).await, EndOutcome::Ended);
    assert_eq!(kit.record(&id).await.last(), Some(&"connection.ended"), "what matters is recorded as ever");
}

async fn what_changed_meanwhile_is_seen_at_the_exchange(kit: Kit) {
    let id = kit.pending("a", "dc-acme", Some("alice")).await;
    let word = |redeemed: Redeemed| refused(&redeemed).code.as_str();
    kit.set_registration("dc-acme", RegistrationState::Suspended).await;
    assert_eq!(word(kit.redeem("a", "dc-acme").await), "unauthorized_client");
    kit.set_registration("dc-acme", RegistrationState::Active).await;
    assert!(kit.change("dc-acme", ClientChange::Held(true)).await);
    assert_eq!(word(kit.redeem("a", "dc-acme").await), "unauthorized_client");
    assert!(kit.change("dc-acme", ClientChange::Held(false)).await);
    let provider_state = |state| SetProviderState {
        moment: kit.moment(),
        provider_id: domain::id::ProviderId::new(1000),
        state,
        actor: operator(),
    };
    assert!(kit.store.run(provider_state(ProviderState::Paused)).await.unwrap());
    assert_eq!(word(kit.redeem("a", "dc-acme").await), "temporarily_unavailable");
    kit.store.run(provider_state(ProviderState::Active)).await.unwrap();
    assert!(matches!(kit.redeem("a", "dc-acme").await, Redeemed::Activated(_)));
    assert_eq!(kit.cause(&id).await, None);
}

async fn time_ends_what_is_due(mut kit: Kit) {
    let pending = kit.pending("a", "dc-acme", Some("alice")).await;
    let idle = kit.active("b", "dc-acme", Some("bob")).await;
    let fresh = kit.active("c", "dc-acme", Some("chloe")).await;
    let due = |kit: &Kit| DueEnds { now: kit.now, idle: DAY * 30, limit: 10 };
    assert!(kit.store.ask(&due(&kit)).await.unwrap().is_empty());
    let expire = |kit: &Kit, id: &domain::id::ConnectionId| ExpireConnection {
        moment: kit.moment(),
        connection_id: id.clone(),
        idle: DAY * 30,
    };
    assert_eq!(kit.store.run(expire(&kit, &pending)).await.unwrap().1, None, "not yet");
    kit.advance(Duration::from_mins(1));
    assert_eq!(kit.store.ask(&due(&kit)).await.unwrap(), std::slice::from_ref(&pending));
    assert_eq!(kit.store.run(expire(&kit, &pending)).await.unwrap().1, Some(Cause::NeverRedeemed));
    assert_eq!(kit.jobs("tell_bank", "pending").await, 1, "the bank's grant must not be left alone");
    kit.advance(DAY * 20);
    let moment = kit.moment();
    kit.store
        .run(RecordRefreshUse { moment, stored: hash("refresh-c"), current: hash("refresh-c") })
        .await
        .unwrap();
    kit.advance(DAY * 11);
    assert_eq!(kit.store.ask(&due(&kit)).await.unwrap(), std::slice::from_ref(&idle));
    assert_eq!(kit.store.run(expire(&kit, &idle)).await.unwrap().1, Some(Cause::Idle));
    kit.advance(DAY * 60);
    assert_eq!(kit.store.run(expire(&kit, &fresh)).await.unwrap().1, Some(Cause::ConsentEnd));
    assert!(kit.store.ask(&due(&kit)).await.unwrap().is_empty());
}

async fn the_use_of_a_refresh_token_is_recorded(mut kit: Kit) {
    kit.active("a", "dc-acme", Some("alice")).await;
    kit.advance(DAY);
    let moment = kit.moment();
    kit.store
        .run(RecordRefreshUse { moment, stored: hash("refresh-a"), current: hash("re-hashed") })
        .await
        .unwrap();
    assert!(kit.store.ask(&RefreshTokenBy { hashes: hashes("refresh-a") }).await.unwrap().is_none());
    let known = kit.store.ask(&RefreshTokenBy { hashes: hashes("re-hashed") }).await.unwrap().unwrap();
    assert_eq!(known.token.last_used_at, kit.now);
}

async fn an_old_news_is_fenced(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    assert_eq!(kit.end(&id, Cause::Provider, Some(0)).await, EndOutcome::Fenced);
    assert_eq!(kit.cause(&id).await, None);
    assert_eq!(kit.end(&id, Cause::Provider, Some(1)).await, EndOutcome::Ended);
}
