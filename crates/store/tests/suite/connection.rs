//! Tests of the commands on a connection, which is opened, activated, replaced and ended.

use std::time::Duration;

use domain::model::connection::{ConnectionState, ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::provider::ProviderState;
use domain::model::registration::RegistrationStep;
use domain::rule::authorization_failure::INTERRUPTED;
use domain::rule::token::{BAD_CODE, WRONG_REDIRECT};
use store::command::{
    ClientUpdate, DeleteEndedTokens, DeletedTokens, EndOutcome, ExpireConnection, FailRequest, OpenOutcome,
    RecordRefreshTokenUse, RedeemCode, RedeemOutcome, SetProviderState,
};
use store::query::{
    FindRefreshToken, GetAccessState, GetAuthorizationRequest, GetConnectionSummary, GetUpstreamCredential,
    ListDueConnections, SweepPosition,
};

use crate::support::{DAY, TestStore, hash, hashes, on_both, operator_actor, parse_client_id};

on_both!(
    connection_end_deletes_tokens_and_credentials,
    accounts_are_readable_only_while_connection_is_active,
    data_key_of_request_is_erased_after_exchange,
    code_exchange_replaces_older_connection_of_customer,
    login_without_customer_identity_replaces_no_connection,
    code_is_single_use_and_replay_ends_connection,
    rejected_codes_write_limited_number_of_audit_events,
    code_exchange_rechecks_client_and_provider_state,
    expired_and_inactive_connections_are_ended,
    due_connections_are_listed_in_pages,
    refresh_token_use_updates_last_use_and_hash,
    connection_end_for_stale_credential_version_is_ignored,
);

fn expect_refusal(redeemed: &RedeemOutcome) -> &domain::OAuthError {
    match redeemed {
        RedeemOutcome::Refused(error) => error,
        RedeemOutcome::Activated(_) => panic!("the exchange must be rejected"),
    }
}

/// The list is never stored in a form that can be read, and its key is deleted with the end.
async fn accounts_are_readable_only_while_connection_is_active(kit: TestStore) {
    let id = kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    let get_accounts = async || {
        let state = kit.store.query(&GetAccessState { connection_id: id.clone() }).await.unwrap().unwrap();
        state.accounts.map(|accounts| accounts.to_vec())
    };
    let get_count = async || {
        let summary = kit.store.query(&GetConnectionSummary { id: id.clone() }).await.unwrap();
        summary.unwrap().1.account_count
    };
    let pending = get_accounts().await;

    kit.redeem_code("a", "dc-acme").await;
    let active = get_accounts().await;
    kit.end_connection(&id, EndCause::Recipient, None).await;

    assert_eq!((pending, active), (Some(Vec::new()), Some(vec!["a1".to_owned()])));
    assert_eq!((get_accounts().await, get_count().await), (Some(Vec::new()), Some(1)));
}

async fn connection_end_deletes_tokens_and_credentials(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let other = kit.create_active_connection("b", "dc-other", Some("alice")).await;
    let known = kit.store.query(&FindRefreshToken { hashes: hashes("refresh-a") }).await.unwrap().unwrap();
    assert_eq!((known.token.connection_id, known.token.client_id), (id.clone(), parse_client_id("dc-acme")));
    assert!(kit.store.query(&GetUpstreamCredential { connection_id: id.clone() }).await.unwrap().is_some());

    assert_eq!(
        kit.end_connection(&id, EndCause::Recipient, None).await,
        EndOutcome::Ended(EndCause::Recipient)
    );
    assert!(
        matches!(kit.end_connection(&id, EndCause::Operator, None).await, EndOutcome::AlreadyEnded(end) if end.cause == EndCause::Recipient)
    );
    let ended = kit.store.query(&FindRefreshToken { hashes: hashes("refresh-a") }).await.unwrap().unwrap();
    assert_eq!(
        ended.access_state.status,
        ConnectionStatus::Revoked,
        "the token is rejected before it is deleted"
    );
    assert!(kit.store.query(&GetUpstreamCredential { connection_id: id.clone() }).await.unwrap().is_none());
    let delete = DeleteEndedTokens { moment: kit.next_moment(), limit: 10 };
    let deleted = DeletedTokens { connections: 1, oldest_end: Some(kit.now) };
    assert_eq!(kit.store.run(delete).await.unwrap(), deleted);
    assert!(kit.store.query(&FindRefreshToken { hashes: hashes("refresh-a") }).await.unwrap().is_none());
    assert!(kit.store.query(&FindRefreshToken { hashes: hashes("refresh-b") }).await.unwrap().is_some());
    let delete = DeleteEndedTokens { moment: kit.next_moment(), limit: 10 };
    assert_eq!(kit.store.run(delete).await.unwrap(), DeletedTokens::default(), "each end is processed once");
    assert_eq!(
        (kit.find_end_cause(&id).await, kit.get_connection(&id).await.provider_revocation),
        (Some(EndCause::Recipient), UpstreamRevocation::Pending)
    );
    assert_eq!(
        (kit.count_jobs("revoke_at_provider", "pending").await, kit.get_connection(&other).await.state),
        (1, ConnectionState::Active)
    );
    assert_eq!(
        kit.connection_audit_actions(&id).await,
        ["connection.opened", "connection.activated", "connection.ended"]
    );
    let unknown = "con_nobody".parse::<domain::id::ConnectionId>().unwrap();
    assert_eq!(kit.end_connection(&unknown, EndCause::Recipient, None).await, EndOutcome::NotFound);
}

async fn data_key_of_request_is_erased_after_exchange(kit: TestStore) {
    let key_of = async |name: &str| {
        let id = kit.build_request(name, "dc-acme").id;
        kit.store.query(&GetAuthorizationRequest { id }).await.unwrap().unwrap().data_key
    };
    kit.create_exchanging_request("a", "dc-acme").await;
    assert!(!key_of("a").await.is_empty(), "the exchange needs the data key");
    assert_eq!(
        kit.store.run(kit.build_open_connection("a", Some("alice"))).await.unwrap(),
        OpenOutcome::Opened
    );
    assert!(key_of("a").await.is_empty(), "the data key now belongs to the connection only");
    let request_id = kit.create_exchanging_request("b", "dc-acme").await;
    let (moment, error) = (kit.next_moment(), INTERRUPTED);
    kit.store.run(FailRequest { moment, request_id, error, unrevoked: vec![] }).await.unwrap();
    assert!(key_of("b").await.is_empty());
}

async fn code_exchange_replaces_older_connection_of_customer(kit: TestStore) {
    let first = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let second = kit.create_pending_connection("b", "dc-acme", Some("alice")).await;
    assert_eq!(
        kit.get_connection(&first).await.state,
        ConnectionState::Active,
        "a login without an exchange replaces nothing"
    );
    let (redeemed, ended) = kit.store.run(kit.build_redeem_code("b", "dc-acme")).await.unwrap();
    assert!(matches!(redeemed, RedeemOutcome::Activated(_)) && ended == Some(EndCause::Replaced));
    assert_eq!(
        (kit.find_end_cause(&first).await, kit.find_end_cause(&second).await),
        (Some(EndCause::Replaced), None)
    );
    let state = kit.store.query(&GetAccessState { connection_id: first.clone() }).await.unwrap().unwrap();
    assert!(state.successor_active);
    kit.end_connection(&second, EndCause::Recipient, None).await;
    let state = kit.store.query(&GetAccessState { connection_id: first.clone() }).await.unwrap().unwrap();
    assert!(!state.successor_active);
    assert_eq!(
        kit.get_connection(&first).await.sub,
        kit.get_connection(&second).await.sub,
        "the sub of a customer does not change"
    );
    kit.connection_audit_actions(&first).await;
}

async fn login_without_customer_identity_replaces_no_connection(kit: TestStore) {
    let first = kit.create_active_connection("a", "dc-acme", None).await;
    let second = kit.create_active_connection("b", "dc-acme", None).await;
    assert_eq!((kit.find_end_cause(&first).await, kit.find_end_cause(&second).await), (None, None));
    assert_ne!(kit.get_connection(&first).await.sub, kit.get_connection(&second).await.sub);
}

async fn code_is_single_use_and_replay_ends_connection(mut kit: TestStore) {
    let id = kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    assert_eq!(expect_refusal(&kit.redeem_code("a", "dc-other").await), &BAD_CODE);
    let wrong = RedeemCode {
        redirect_uri: "https://app.example.org/Back".into(),
        ..kit.build_redeem_code("a", "dc-acme")
    };
    assert_eq!(expect_refusal(&kit.store.run(wrong).await.unwrap().0), &WRONG_REDIRECT);
    assert_eq!(expect_refusal(&kit.redeem_code("unknown", "dc-acme").await), &BAD_CODE);
    assert!(
        matches!(kit.redeem_code("a", "dc-acme").await, RedeemOutcome::Activated(_)),
        "none of these uses up the code"
    );
    assert_eq!(expect_refusal(&kit.redeem_code("a", "dc-other").await), &BAD_CODE);
    assert_eq!(kit.find_end_cause(&id).await, None, "a foreign client ends nothing");
    let (redeemed, ended) = kit.store.run(kit.build_redeem_code("a", "dc-acme")).await.unwrap();
    assert_eq!((expect_refusal(&redeemed), ended), (&BAD_CODE, Some(EndCause::CodeReplayed)));
    assert_eq!(kit.find_end_cause(&id).await, Some(EndCause::CodeReplayed));
    let words = kit.connection_audit_actions(&id).await;
    assert_eq!(words.iter().filter(|w| **w == "connection.code_rejected").count(), 2);

    let late = kit.create_active_connection("b", "dc-acme", Some("bob")).await;
    kit.advance_clock(Duration::from_mins(1));
    assert_eq!(expect_refusal(&kit.redeem_code("b", "dc-acme").await), &BAD_CODE);
    assert_eq!(kit.find_end_cause(&late).await, None, "a replay after the lifetime of the code ends nothing");
}

async fn rejected_codes_write_limited_number_of_audit_events(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    for _ in 0..60 {
        assert_eq!(expect_refusal(&kit.redeem_code("a", "dc-other").await), &BAD_CODE);
    }
    let words = kit.connection_audit_actions(&id).await;
    assert_eq!(
        words.iter().filter(|w| **w == "connection.code_rejected").count(),
        48,
        "the chain has at most 50 events"
    );
    assert_eq!(
        kit.end_connection(&id, EndCause::Recipient, None).await,
        EndOutcome::Ended(EndCause::Recipient)
    );
    assert_eq!(
        kit.connection_audit_actions(&id).await.last(),
        Some(&"connection.ended"),
        "the end is still recorded"
    );
}

async fn code_exchange_rechecks_client_and_provider_state(kit: TestStore) {
    let id = kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    let word = |redeemed: RedeemOutcome| expect_refusal(&redeemed).code.as_str();
    kit.take_registration_step("dc-acme", RegistrationStep::Suspend).await;
    assert_eq!(word(kit.redeem_code("a", "dc-acme").await), "unauthorized_client");
    kit.take_registration_step("dc-acme", RegistrationStep::Reinstate).await;
    assert!(kit.update_client("dc-acme", ClientUpdate::Suspended(true)).await);
    assert_eq!(word(kit.redeem_code("a", "dc-acme").await), "unauthorized_client");
    assert!(kit.update_client("dc-acme", ClientUpdate::Suspended(false)).await);
    let provider_state = |state| SetProviderState {
        moment: kit.next_moment(),
        provider_id: domain::id::ProviderId::new(1000),
        state,
        actor: operator_actor(),
    };
    assert!(kit.store.run(provider_state(ProviderState::Paused)).await.unwrap());
    assert_eq!(word(kit.redeem_code("a", "dc-acme").await), "temporarily_unavailable");
    kit.store.run(provider_state(ProviderState::Active)).await.unwrap();
    assert!(matches!(kit.redeem_code("a", "dc-acme").await, RedeemOutcome::Activated(_)));
    assert_eq!(kit.find_end_cause(&id).await, None);
}

async fn expired_and_inactive_connections_are_ended(mut kit: TestStore) {
    let pending = kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    let idle = kit.create_active_connection("b", "dc-acme", Some("bob")).await;
    let fresh = kit.create_active_connection("c", "dc-acme", Some("chloe")).await;
    let due = |kit: &TestStore| ListDueConnections {
        now: kit.now,
        idle_timeout: DAY * 30,
        after: SweepPosition::default(),
        limit: 10,
    };
    assert!(kit.store.query(&due(&kit)).await.unwrap().ids().is_empty());
    let expire = |kit: &TestStore, id: &domain::id::ConnectionId| ExpireConnection {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        idle_timeout: DAY * 30,
    };
    assert_eq!(
        kit.store.expire_connection(expire(&kit, &pending)).await.unwrap(),
        EndOutcome::Fenced,
        "the code has not expired yet"
    );
    kit.advance_clock(Duration::from_mins(1));
    assert_eq!(kit.store.query(&due(&kit)).await.unwrap().ids(), std::slice::from_ref(&pending));
    assert_eq!(
        kit.store.expire_connection(expire(&kit, &pending)).await.unwrap(),
        EndOutcome::Ended(EndCause::NeverRedeemed)
    );
    assert_eq!(
        kit.count_jobs("revoke_at_provider", "pending").await,
        1,
        "the grant at the provider must be revoked"
    );
    kit.advance_clock(DAY * 20);
    kit.record_refresh_token_use("refresh-c", "refresh-c").await;
    kit.advance_clock(DAY * 11);
    assert_eq!(kit.store.query(&due(&kit)).await.unwrap().ids(), std::slice::from_ref(&idle));
    assert_eq!(
        kit.store.expire_connection(expire(&kit, &idle)).await.unwrap(),
        EndOutcome::Ended(EndCause::Idle)
    );
    kit.advance_clock(DAY * 60);
    assert_eq!(
        kit.store.expire_connection(expire(&kit, &fresh)).await.unwrap(),
        EndOutcome::Ended(EndCause::ConsentEnd)
    );
    kit.store.run(DeleteEndedTokens { moment: kit.next_moment(), limit: 10 }).await.unwrap();
    assert!(kit.store.query(&due(&kit)).await.unwrap().ids().is_empty());
}

/// Connections of each cause that became due at the same time. None of them ends between the pages.
async fn due_connections_are_listed_in_pages(mut kit: TestStore) {
    let mut expected = Vec::new();
    for n in 0..3 {
        expected.push(kit.create_pending_connection(&format!("p{n}"), "dc-acme", None).await);
        expected.push(kit.create_active_connection(&format!("a{n}"), "dc-acme", None).await);
    }
    expected.sort_unstable();
    for idle_days in [30, 1000] {
        kit.advance_clock(DAY * 200);
        let (mut found, mut after) = (Vec::new(), SweepPosition::default());

        loop {
            let list = ListDueConnections { now: kit.now, idle_timeout: DAY * idle_days, after, limit: 2 };
            let page = kit.store.query(&list).await.unwrap();
            found.extend(page.ids());
            after = page.position;
            if !page.has_more {
                break;
            }
        }

        found.sort_unstable();
        found.dedup();
        assert_eq!(found, expected, "{idle_days}");
    }
}

impl TestStore {
    /// Records the use of a refresh token, whose hash becomes that of another text.
    pub(crate) async fn record_refresh_token_use(&self, stored: &str, current: &str) {
        let known = self.store.query(&FindRefreshToken { hashes: hashes(stored) }).await.unwrap().unwrap();
        let record = RecordRefreshTokenUse {
            moment: self.next_moment(),
            stored_hash: hash(stored),
            current_hash: hash(current),
            token: known.token,
        };
        self.store.run(record).await.unwrap();
    }
}

async fn refresh_token_use_updates_last_use_and_hash(mut kit: TestStore) {
    kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.advance_clock(DAY);
    kit.record_refresh_token_use("refresh-a", "re-hashed").await;
    assert!(kit.store.query(&FindRefreshToken { hashes: hashes("refresh-a") }).await.unwrap().is_none());
    let known = kit.store.query(&FindRefreshToken { hashes: hashes("re-hashed") }).await.unwrap().unwrap();
    assert_eq!(known.token.last_used_at, kit.now);
}

async fn connection_end_for_stale_credential_version_is_ignored(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    assert_eq!(kit.end_connection(&id, EndCause::Provider, Some(0)).await, EndOutcome::Fenced);
    assert_eq!(kit.find_end_cause(&id).await, None);
    assert_eq!(
        kit.end_connection(&id, EndCause::Provider, Some(1)).await,
        EndOutcome::Ended(EndCause::Provider)
    );
}
