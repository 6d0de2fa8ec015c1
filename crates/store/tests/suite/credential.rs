//! Tests of refreshes at the provider: they run one at a time, store only the version that they refreshed, and lose no
//! token when the connection ends.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::{EndCause, UpstreamRevocation};
use domain::model::job::AttemptOutcome;
use store::command::{
    Lease, LeaseCredential, LeaseOutcome, ReleaseLease, StoreCredential, StoreCredentialOutcome,
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
    let stored = StoreCredential {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        lease,
        access_token: seal(access),
        access_expires_at: kit.now.plus(Duration::from_mins(5)),
        refresh_token: Some(seal(&format!("refresh of {access}"))),
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
        lease: next.id,
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
    assert!(job.refresh_outcome_unknown);
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
