//! Refreshes at the provider: once at a time, fenced, and nothing is lost to an end.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::{BankState, Cause};
use domain::model::job::Attempt;
use store::command::{Lease, LeaseCredential, Leased, ReleaseLease, StoreCredential, Stored};
use store::query::CredentialOf;

use crate::kit::{Kit, on_both};

on_both!(
    one_refreshes_at_a_time,
    who_loses_to_an_end_hands_the_new_token_over,
    a_lease_that_died_leaves_a_doubt,
    an_end_under_a_refresh_is_told_only_when_the_late_token_is_revoked,
    a_refresh_that_dies_after_an_end_leaves_a_doubt,
    the_first_of_two_refreshes_wins,
);

const LIFE: Duration = Duration::from_secs(20);

async fn lease(kit: &Kit, id: &ConnectionId, seen_version: i64) -> Leased {
    let lease = LeaseCredential { moment: kit.moment(), connection_id: id.clone(), seen_version, life: LIFE };
    kit.store.run(lease).await.unwrap()
}

pub(crate) async fn mine(kit: &Kit, id: &ConnectionId, version: i64) -> Lease {
    match lease(kit, id, version).await {
        Leased::Yours(lease) => lease,
        other => panic!("expected the lease, got {other:?}"),
    }
}

pub(crate) async fn store(kit: &Kit, id: &ConnectionId, lease: Lease, access: &str) -> Stored {
    let stored = StoreCredential {
        moment: kit.moment(),
        connection_id: id.clone(),
        lease,
        access_token: access.as_bytes().to_vec(),
        access_expires_at: kit.now.plus(Duration::from_mins(5)),
        refresh_token: Some(format!("refresh of {access}").into_bytes()),
    };
    kit.store.run(stored).await.unwrap()
}

async fn one_refreshes_at_a_time(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    let held = mine(&kit, &id, 1).await;
    assert_eq!(held.refresh_token.as_deref(), Some(&b"sealed refresh a"[..]));
    assert!(matches!(lease(&kit, &id, 1).await, Leased::Busy(until) if until == kit.now.plus(LIFE)));
    assert_eq!(store(&kit, &id, held, "new").await, Stored::Stored);
    let credential = kit.store.ask(&CredentialOf { connection_id: id.clone() }).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.access_token), (2, b"new".to_vec()));
    assert!(matches!(lease(&kit, &id, 1).await, Leased::Fresh));
    let next = mine(&kit, &id, 2).await;
    assert_eq!(next.refresh_token.as_deref(), Some(&b"refresh of new"[..]));
    let release =
        ReleaseLease { moment: kit.moment(), connection_id: id.clone(), lease: next.id, doubt: false };
    kit.store.run(release).await.unwrap();
    mine(&kit, &id, 2).await;
}

async fn who_loses_to_an_end_hands_the_new_token_over(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    let held = mine(&kit, &id, 1).await;
    kit.end(&id, Cause::Recipient, None).await;
    assert_eq!(kit.jobs("tell_bank", "pending").await, 1);
    assert_eq!(store(&kit, &id, held, "new").await, Stored::TooLate);
    assert_eq!(kit.jobs("tell_bank", "pending").await, 2, "the token that came too late is revoked as well");
    assert!(kit.store.ask(&CredentialOf { connection_id: id.clone() }).await.unwrap().is_none());
    assert!(matches!(lease(&kit, &id, 1).await, Leased::Over));
}

async fn a_lease_that_died_leaves_a_doubt(mut kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    mine(&kit, &id, 1).await;
    kit.advance(LIFE);
    mine(&kit, &id, 1).await;
    kit.end(&id, Cause::Recipient, None).await;
    let (job, lease) = crate::job::lease(&kit).await.unwrap();
    assert!(job.uncertain);
    crate::job::finish(&kit, &job, lease, Attempt::Accepted).await;
    assert_eq!(kit.connection(&id).await.bank, BankState::Unverified);
}

async fn an_end_under_a_refresh_is_told_only_when_the_late_token_is_revoked(kit: Kit) {
    for (name, late_first) in [("a", true), ("b", false)] {
        let id = kit.active(name, "dc-acme", None).await;
        let bank = async || kit.connection(&id).await.bank;
        let held = mine(&kit, &id, 1).await;
        kit.end(&id, Cause::Recipient, None).await;
        let (old, lease) = crate::job::lease(&kit).await.unwrap();
        if late_first {
            assert_eq!(store(&kit, &id, held.clone(), "new").await, Stored::TooLate);
            crate::job::finish(&kit, &old, lease, Attempt::Accepted).await;
        } else {
            crate::job::finish(&kit, &old, lease, Attempt::Accepted).await;
            assert_eq!(bank().await, BankState::Unverified, "the refresh may have brought a token");
            assert_eq!(store(&kit, &id, held.clone(), "new").await, Stored::TooLate);
        }
        assert_eq!(bank().await, BankState::Pending, "a token lives that the provider is still to revoke");
        let (new, lease) = crate::job::lease(&kit).await.unwrap();
        assert_eq!(new.token, b"refresh of new");
        crate::job::finish(&kit, &new, lease, Attempt::Accepted).await;
        assert_eq!(bank().await, BankState::Accepted);
        kit.record(&id).await;
    }
}

async fn a_refresh_that_dies_after_an_end_leaves_a_doubt(kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    mine(&kit, &id, 1).await;
    kit.end(&id, Cause::Recipient, None).await;
    let (job, lease) = crate::job::lease(&kit).await.unwrap();
    crate::job::finish(&kit, &job, lease, Attempt::Accepted).await;
    assert_eq!(kit.connection(&id).await.bank, BankState::Unverified, "nobody says what the refresh brought");
}

async fn the_first_of_two_refreshes_wins(mut kit: Kit) {
    let id = kit.active("a", "dc-acme", Some("alice")).await;
    let slow = mine(&kit, &id, 1).await;
    kit.advance(LIFE);
    let quick = mine(&kit, &id, 1).await;
    assert_eq!(store(&kit, &id, slow, "slow").await, Stored::Stored);
    assert_eq!(store(&kit, &id, quick, "quick").await, Stored::TooLate);
    let credential = kit.store.ask(&CredentialOf { connection_id: id.clone() }).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.access_token), (2, b"slow".to_vec()));
}
