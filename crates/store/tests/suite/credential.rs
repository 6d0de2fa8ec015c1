//! Tests of refreshes at the provider: they run one at a time, store only the version that they refreshed, and lose no
//! token when the connection ends.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::{EndCause, UpstreamRevocation};
use domain::model::job::AttemptOutcome;
use domain::rule::connection_end::RefreshTokenEnd;
use store::command::{
    Lease, LeaseCredential, LeaseOutcome, ReleaseLease, SealedValue, StoreCredential, StoreCredentialOutcome,
};
use store::query::GetUpstreamCredential;

use crate::support::{TestStore, on_both, seal};

on_both!(
    refresh_lease_is_exclusive,
    refresh_finished_after_connection_end_queues_revocation,
    expired_lease_makes_revocation_outcome_unknown,
    revocation_is_accepted_only_after_late_token_is_revoked,
    unfinished_refresh_at_connection_end_makes_outcome_unknown,
    only_first_of_two_refresh_results_is_stored,
    unchanged_token_settles_an_interrupted_refresh,
    late_result_with_new_token_is_never_settled,
);

const LEASE_TTL: Duration = Duration::from_secs(20);

async fn lease_credential(kit: &TestStore, id: &ConnectionId, seen_version: i64) -> LeaseOutcome {
    let lease = LeaseCredential {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        seen_version,
        lease_ttl: LEASE_TTL,
    };
    kit.store.run(lease).await.unwrap()
}

pub(crate) async fn acquire_lease(kit: &TestStore, id: &ConnectionId, version: i64) -> Lease {
    match lease_credential(kit, id, version).await {
        LeaseOutcome::Acquired(lease) => lease,
        other => panic!("expected the lease, got {other:?}"),
    }
}

pub(crate) async fn store_credential(
    kit: &TestStore,
    id: &ConnectionId,
    lease: Lease,
    access: &str,
) -> StoreCredentialOutcome {
    store_tokens(kit, id, lease, access, Some(seal(&format!("refresh of {access}")))).await
}

async fn store_tokens(
    kit: &TestStore,
    id: &ConnectionId,
    lease: Lease,
    access: &str,
    refresh_token: Option<SealedValue>,
) -> StoreCredentialOutcome {
    let stored = StoreCredential {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        lease,
        access_token: seal(access),
        access_expires_at: kit.now.plus(Duration::from_mins(5)),
        has_new_token: refresh_token.is_some(),
        refresh_token,
        granted: None,
        token_end: RefreshTokenEnd::Unchanged,
    };
    kit.store.run(stored).await.unwrap()
}

async fn refresh_lease_is_exclusive(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let refresh_lease = acquire_lease(&kit, &id, 1).await;
    assert_eq!(refresh_lease.refresh_token, Some(seal("sealed refresh a")));
    assert!(
        matches!(lease_credential(&kit, &id, 1).await, LeaseOutcome::Busy(until) if until == kit.now.plus(LEASE_TTL))
    );
    assert_eq!(store_credential(&kit, &id, refresh_lease, "new").await, StoreCredentialOutcome::Stored);
    let credential =
        kit.store.query(&GetUpstreamCredential { connection_id: id.clone() }).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.access_token), (2, seal("new")));
    assert!(matches!(lease_credential(&kit, &id, 1).await, LeaseOutcome::AlreadyRefreshed));
    let next = acquire_lease(&kit, &id, 2).await;
    assert_eq!(next.refresh_token, Some(seal("refresh of new")));
    let release = ReleaseLease {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        lease: next,
        outcome_unknown: false,
    };
    kit.store.run(release).await.unwrap();
    acquire_lease(&kit, &id, 2).await;
}

async fn refresh_finished_after_connection_end_queues_revocation(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let refresh_lease = acquire_lease(&kit, &id, 1).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, 1);
    assert_eq!(store_credential(&kit, &id, refresh_lease, "new").await, StoreCredentialOutcome::LeaseLost);
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, 2, "the late token is revoked too");
    assert!(kit.store.query(&GetUpstreamCredential { connection_id: id.clone() }).await.unwrap().is_none());
    assert!(matches!(lease_credential(&kit, &id, 1).await, LeaseOutcome::ConnectionEnded));
}

async fn expired_lease_makes_revocation_outcome_unknown(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    acquire_lease(&kit, &id, 1).await;
    kit.advance_clock(LEASE_TTL);
    acquire_lease(&kit, &id, 1).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let (job, lease) = crate::job::lease_job(&kit).await.unwrap();
    assert!(job.outcome_unknown);
    crate::job::finish_job(&kit, &job, lease, AttemptOutcome::Accepted).await;
    assert_eq!(kit.get_connection(&id).await.provider_revocation, UpstreamRevocation::Unknown);
}

async fn revocation_is_accepted_only_after_late_token_is_revoked(kit: TestStore) {
    for (name, late_first) in [("a", true), ("b", false)] {
        let id = kit.create_active_connection(name, "dc-acme", None).await;
        let bank = async || kit.get_connection(&id).await.provider_revocation;
        let refresh_lease = acquire_lease(&kit, &id, 1).await;
        kit.end_connection(&id, EndCause::Recipient, None).await;
        let (old, lease) = crate::job::lease_job(&kit).await.unwrap();
        if late_first {
            assert_eq!(
                store_credential(&kit, &id, refresh_lease.clone(), "new").await,
                StoreCredentialOutcome::LeaseLost
            );
            crate::job::finish_job(&kit, &old, lease, AttemptOutcome::Accepted).await;
        } else {
            crate::job::finish_job(&kit, &old, lease, AttemptOutcome::Accepted).await;
            assert_eq!(bank().await, UpstreamRevocation::Unknown, "the refresh may have returned a token");
            assert_eq!(
                store_credential(&kit, &id, refresh_lease.clone(), "new").await,
                StoreCredentialOutcome::LeaseLost
            );
        }
        assert_eq!(bank().await, UpstreamRevocation::Pending, "an active token still has to be revoked");
        let (new, lease) = crate::job::lease_job(&kit).await.unwrap();
        assert_eq!(new.token, b"refresh of new");
        crate::job::finish_job(&kit, &new, lease, AttemptOutcome::Accepted).await;
        assert_eq!(bank().await, UpstreamRevocation::Accepted);
        kit.connection_audit_actions(&id).await;
    }
}

async fn unfinished_refresh_at_connection_end_makes_outcome_unknown(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    acquire_lease(&kit, &id, 1).await;
    kit.end_connection(&id, EndCause::Recipient, None).await;
    let (job, lease) = crate::job::lease_job(&kit).await.unwrap();
    crate::job::finish_job(&kit, &job, lease, AttemptOutcome::Accepted).await;
    assert_eq!(
        kit.get_connection(&id).await.provider_revocation,
        UpstreamRevocation::Unknown,
        "the result of the refresh is unknown"
    );
}

async fn only_first_of_two_refresh_results_is_stored(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let slow = acquire_lease(&kit, &id, 1).await;
    kit.advance_clock(LEASE_TTL);
    let quick = acquire_lease(&kit, &id, 1).await;
    assert_eq!(store_credential(&kit, &id, slow, "slow").await, StoreCredentialOutcome::Stored);
    assert_eq!(store_credential(&kit, &id, quick, "quick").await, StoreCredentialOutcome::LeaseLost);
    let credential =
        kit.store.query(&GetUpstreamCredential { connection_id: id.clone() }).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.access_token), (2, seal("slow")));
}

async fn release_without_response(kit: &TestStore, id: &ConnectionId, lease: Lease) {
    let (moment, connection_id) = (kit.next_moment(), id.clone());
    kit.store.run(ReleaseLease { moment, connection_id, lease, outcome_unknown: true }).await.unwrap();
}

/// Ends a connection whose revocation the provider accepts, and returns what the hub then reports.
async fn end_and_revoke(kit: &TestStore, id: &ConnectionId) -> UpstreamRevocation {
    kit.end_connection(id, EndCause::Recipient, None).await;
    let (job, lease) = crate::job::lease_job(kit).await.unwrap();
    crate::job::finish_job(kit, &job, lease, AttemptOutcome::Accepted).await;
    kit.get_connection(id).await.provider_revocation
}

async fn unchanged_token_settles_an_interrupted_refresh(mut kit: TestStore) {
    // The new refresh tokens of the refreshes after the unknown one, the time before the first of them, and what the end of
    // the connection reports.
    let cases: [(&str, &[Option<&str>], Duration, UpstreamRevocation); 5] = [
        ("a", &[], LEASE_TTL, UpstreamRevocation::Unknown),
        ("b", &[None], LEASE_TTL, UpstreamRevocation::Accepted),
        ("c", &[None], Duration::from_secs(19), UpstreamRevocation::Unknown),
        ("d", &[Some("new")], LEASE_TTL, UpstreamRevocation::Unknown),
        ("e", &[Some("new"), None], LEASE_TTL, UpstreamRevocation::Unknown),
    ];
    for (name, later, wait, expected) in cases {
        for is_released in [true, false] {
            let name = &format!("{name}{is_released}");
            let id = kit.create_active_connection(name, "dc-acme", None).await;
            let lease = acquire_lease(&kit, &id, 1).await;
            if is_released {
                release_without_response(&kit, &id, lease).await;
            } else if wait < LEASE_TTL {
                continue;
            }
            kit.advance_clock(wait);
            for (version, refresh_token) in (1..).zip(later) {
                let lease = acquire_lease(&kit, &id, version).await;
                store_tokens(&kit, &id, lease, "access", refresh_token.map(seal)).await;
                kit.advance_clock(LEASE_TTL);
            }

            assert_eq!(end_and_revoke(&kit, &id).await, expected, "{name}");
        }
    }
}

async fn late_result_with_new_token_is_never_settled(mut kit: TestStore) {
    for (name, late_token, expected) in
        [("a", Some("late"), UpstreamRevocation::Unknown), ("b", None, UpstreamRevocation::Accepted)]
    {
        let id = kit.create_active_connection(name, "dc-acme", None).await;
        let late = acquire_lease(&kit, &id, 1).await;
        kit.advance_clock(LEASE_TTL);
        let second = acquire_lease(&kit, &id, 1).await;
        store_tokens(&kit, &id, second, "second", None).await;
        let third = acquire_lease(&kit, &id, 2).await;
        // The first result arrives while the third refresh is running, which loaded the mark before.
        store_tokens(&kit, &id, late, "late", late_token.map(seal)).await;
        store_tokens(&kit, &id, third, "third", None).await;

        assert_eq!(end_and_revoke(&kit, &id).await, expected, "{name}");
    }
}
