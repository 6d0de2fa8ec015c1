//! Tests of a provider with one grant for each customer: only the end of the last connection revokes it.

use std::time::Duration;

use domain::id::{ConnectionId, ProviderId};
use domain::model::connection::{ConnectionState, EndCause, UpstreamRevocation};
use domain::model::job::{AttemptOutcome, JobKind};
use domain::rule::connection_end::RefreshTokenEnd;
use store::command::{EndOutcome, ExpireConnection, OpenOutcome, StoreCredential, StoreCredentialOutcome};
use store::query::{GetGrantSharing, GrantSharing};

use crate::credential::acquire_lease;
use crate::job::{finish_job, lease_job};
use crate::support::{DAY, TestStore, connection_id, on_both, seal};

on_both!(
    shared_grant_is_revoked_only_at_end_of_last_connection,
    connection_end_with_unshared_grant_queues_revocation,
    shared_grant_survives_replacement_of_connection,
    shared_grant_survives_expiry_of_unredeemed_login,
    revocation_superseded_by_newer_grant_is_not_needed,
    late_token_of_shared_grant_is_not_revoked,
    orphaned_grant_shared_with_live_connection_is_detected,
    shared_grant_concurrent_connection_ends_queue_one_revocation,
    concurrent_connection_end_and_login_keep_new_grant,
    concurrent_connection_end_and_replacement_do_not_deadlock,
);

async fn get_provider_revocation(kit: &TestStore, id: &ConnectionId) -> UpstreamRevocation {
    kit.get_connection(id).await.provider_revocation
}

async fn count_pending_revocations(kit: &TestStore) -> i64 {
    kit.count_jobs("revoke_at_provider", "pending").await
}

async fn get_sharing(kit: &TestStore, id: &ConnectionId, identity: Option<&str>) -> GrantSharing {
    let identity = identity.map(|i| i.as_bytes().to_vec());
    let (provider_id, connection_id) = (ProviderId::new(1000), id.clone());
    kit.store.query(&GetGrantSharing { provider_id, connection_id, identity }).await.unwrap()
}

async fn is_grant_shared(kit: &TestStore, id: &ConnectionId, identity: Option<&str>) -> bool {
    let sharing = get_sharing(kit, id, identity).await;
    assert_ne!(sharing, GrantSharing::Unknown, "{id}");
    sharing == GrantSharing::Shared
}

async fn shared_grant_is_revoked_only_at_end_of_last_connection(kit: TestStore) {
    kit.share_grants().await;
    let first = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let last = kit.create_active_connection("b", "dc-other", Some("alice")).await;
    kit.end_connection(&first, EndCause::Recipient, None).await;
    assert_eq!(
        (get_provider_revocation(&kit, &first).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::NotNeeded, 0)
    );
    assert_eq!(kit.get_connection(&last).await.state, ConnectionState::Active);
    kit.end_connection(&last, EndCause::Recipient, None).await;
    assert_eq!(
        (get_provider_revocation(&kit, &last).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::Pending, 1)
    );
    let (job, _) = lease_job(&kit).await.unwrap();
    assert_eq!((job.connection_id, job.token), (Some(last.clone()), b"sealed refresh b".to_vec()));
    assert!(!is_grant_shared(&kit, &last, None).await);
    kit.connection_audit_actions(&first).await;
    kit.connection_audit_actions(&last).await;
}

async fn connection_end_with_unshared_grant_queues_revocation(kit: TestStore) {
    let unshared = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.create_active_connection("b", "dc-other", Some("alice")).await;
    kit.end_connection(&unshared, EndCause::Recipient, None).await;
    assert_eq!(
        (get_provider_revocation(&kit, &unshared).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::Pending, 1),
        "each customer has one grant"
    );
    kit.share_grants().await;
    kit.create_active_connection("c", "dc-acme", Some("bob")).await;
    let single = kit.create_active_connection("d", "dc-acme", Some("chloe")).await;
    kit.end_connection(&single, EndCause::Recipient, None).await;
    assert_eq!(
        (get_provider_revocation(&kit, &single).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::Pending, 2)
    );
}

async fn shared_grant_survives_replacement_of_connection(kit: TestStore) {
    kit.share_grants().await;
    let first = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let second = kit.create_active_connection("b", "dc-acme", Some("alice")).await;
    assert_eq!(kit.find_end_cause(&first).await, Some(EndCause::Replaced));
    assert_eq!(
        (get_provider_revocation(&kit, &first).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::NotNeeded, 0)
    );
    kit.end_connection(&second, EndCause::Customer, None).await;
    assert_eq!(
        (get_provider_revocation(&kit, &second).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::Pending, 1)
    );
}

async fn shared_grant_survives_expiry_of_unredeemed_login(mut kit: TestStore) {
    kit.share_grants().await;
    let live = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let waiting = kit.create_pending_connection("b", "dc-other", Some("alice")).await;
    let other = kit.create_active_connection("c", "dc-other", Some("bob")).await;
    kit.end_connection(&other, EndCause::Recipient, None).await;
    kit.advance_clock(Duration::from_mins(1));
    let expire = ExpireConnection {
        moment: kit.next_moment(),
        connection_id: waiting.clone(),
        idle_timeout: DAY * 30,
    };
    assert_eq!(
        kit.store.expire_connection(expire).await.unwrap(),
        EndOutcome::Ended(EndCause::NeverRedeemed)
    );
    assert_eq!(
        (get_provider_revocation(&kit, &waiting).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::NotNeeded, 1)
    );
    let again = kit.create_pending_connection("d", "dc-other", Some("alice")).await;
    kit.end_connection(&live, EndCause::Recipient, None).await;
    assert_eq!(
        get_provider_revocation(&kit, &live).await,
        UpstreamRevocation::NotNeeded,
        "a pending connection counts"
    );
    kit.end_connection(&again, EndCause::Recipient, None).await;
    assert_eq!(
        (get_provider_revocation(&kit, &again).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::Pending, 2)
    );
}

async fn revocation_superseded_by_newer_grant_is_not_needed(kit: TestStore) {
    kit.share_grants().await;
    let old = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.end_connection(&old, EndCause::Recipient, None).await;
    assert!(!is_grant_shared(&kit, &old, None).await);
    let new = kit.create_pending_connection("b", "dc-other", Some("alice")).await;
    assert!(is_grant_shared(&kit, &old, None).await);
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    finish_job(&kit, &job, lease_id, AttemptOutcome::Superseded).await;
    assert_eq!(
        (get_provider_revocation(&kit, &old).await, kit.count_jobs("revoke_at_provider", "done").await),
        (UpstreamRevocation::NotNeeded, 1)
    );
    assert_eq!(
        kit.connection_audit_actions(&old).await.last(),
        Some(&"connection.provider_revocation_changed")
    );
    kit.end_connection(&new, EndCause::Recipient, None).await;
    assert!(!is_grant_shared(&kit, &new, None).await);
    assert_eq!(
        (get_provider_revocation(&kit, &new).await, count_pending_revocations(&kit).await),
        (UpstreamRevocation::Pending, 1)
    );
}

async fn late_token_of_shared_grant_is_not_revoked(kit: TestStore) {
    kit.share_grants().await;
    let first = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    kit.create_active_connection("b", "dc-other", Some("alice")).await;
    let refresh_lease = acquire_lease(&kit, &first, 1).await;
    kit.end_connection(&first, EndCause::Recipient, None).await;
    let late = StoreCredential {
        moment: kit.next_moment(),
        connection_id: first.clone(),
        lease: refresh_lease,
        access_token: seal("access"),
        access_expires_at: kit.now,
        refresh_token: Some(seal("refresh")),
        has_new_token: true,
        granted: None,
        token_end: RefreshTokenEnd::Unchanged,
    };
    assert_eq!(kit.store.run(late).await.unwrap(), StoreCredentialOutcome::LeaseLost);
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert!(is_grant_shared(&kit, job.connection_id.as_ref().unwrap(), None).await);
    finish_job(&kit, &job, lease_id, AttemptOutcome::Superseded).await;
    assert_eq!(get_provider_revocation(&kit, &first).await, UpstreamRevocation::NotNeeded);
}

async fn orphaned_grant_shared_with_live_connection_is_detected(kit: TestStore) {
    kit.share_grants().await;
    let live = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let orphan = connection_id("b");
    kit.create_exchanging_request("b", "dc-other").await;
    kit.take_registration_step("dc-other", domain::model::registration::RegistrationStep::Suspend).await;
    let outcome = kit.store.run(kit.build_open_connection("b", Some("alice"))).await.unwrap();
    assert!(matches!(outcome, OpenOutcome::Refused(_)));
    let (job, _) = lease_job(&kit).await.unwrap();
    assert_eq!((job.kind, job.connection_id.as_ref()), (JobKind::RevokeOrphanedGrant, Some(&orphan)));
    assert_eq!(job.identity.as_deref(), Some(&b"alice"[..]));
    assert!(is_grant_shared(&kit, &orphan, Some("alice")).await);
    assert!(!is_grant_shared(&kit, &orphan, Some("bob")).await);
    assert_eq!(
        get_sharing(&kit, &orphan, None).await,
        GrantSharing::Unknown,
        "it may be that of any connection"
    );
    kit.end_connection(&live, EndCause::Recipient, None).await;
    assert!(!is_grant_shared(&kit, &orphan, Some("alice")).await);
    assert!(!is_grant_shared(&kit, &orphan, None).await, "no connection is left that a revocation could end");
}

async fn shared_grant_concurrent_connection_ends_queue_one_revocation(kit: TestStore) {
    kit.share_grants().await;
    for round in 0..60 {
        let customer = format!("c{round}");
        let one = kit.create_active_connection(&format!("a{round}"), "dc-acme", Some(&customer)).await;
        let two = kit.create_active_connection(&format!("b{round}"), "dc-other", Some(&customer)).await;
        tokio::join!(
            kit.end_connection(&one, EndCause::Recipient, None),
            kit.end_connection(&two, EndCause::Customer, None)
        );
        let mut banks = [
            get_provider_revocation(&kit, &one).await.as_str(),
            get_provider_revocation(&kit, &two).await.as_str(),
        ];
        banks.sort_unstable();
        assert_eq!(banks, ["not_needed", "pending"], "round {round}");
        assert_eq!(count_pending_revocations(&kit).await, round + 1);
    }
}

async fn concurrent_connection_end_and_login_keep_new_grant(kit: TestStore) {
    kit.share_grants().await;
    for round in 0..40 {
        let (customer, new) = (format!("c{round}"), format!("b{round}"));
        let old = kit.create_active_connection(&format!("a{round}"), "dc-acme", Some(&customer)).await;
        kit.create_exchanging_request(&new, "dc-other").await;
        let opened = kit.store.run(kit.build_open_connection(&new, Some(&customer)));
        let (_, opened) = tokio::join!(kit.end_connection(&old, EndCause::Recipient, None), opened);
        assert_eq!(opened.unwrap(), OpenOutcome::Opened);
        let dropped = match lease_job(&kit).await {
            None => get_provider_revocation(&kit, &old).await == UpstreamRevocation::NotNeeded,
            Some((job, held)) => {
                let overtaken = is_grant_shared(&kit, job.connection_id.as_ref().unwrap(), None).await;
                finish_job(&kit, &job, held, AttemptOutcome::Superseded).await;
                overtaken
            }
        };
        assert!(dropped, "round {round}");
    }
}

async fn concurrent_connection_end_and_replacement_do_not_deadlock(kit: TestStore) {
    kit.share_grants().await;
    for round in 0..10 {
        let (customer, new) = (format!("c{round}"), format!("b{round}"));
        let old = kit.create_active_connection(&format!("a{round}"), "dc-acme", Some(&customer)).await;
        let successor = kit.create_pending_connection(&new, "dc-acme", Some(&customer)).await;
        let end = async {
            for _ in 0..round {
                kit.get_connection(&old).await; // delays the end a little more in each round
            }
            kit.end_connection(&old, EndCause::Customer, None).await
        };
        tokio::join!(end, kit.redeem_code(&new, "dc-acme"));
        assert!(matches!(kit.find_end_cause(&old).await, Some(EndCause::Customer | EndCause::Replaced)));
        assert_eq!(kit.get_connection(&successor).await.state, ConnectionState::Active);
        assert_eq!(
            (get_provider_revocation(&kit, &old).await, count_pending_revocations(&kit).await),
            (UpstreamRevocation::NotNeeded, 0),
            "{round}"
        );
        kit.connection_audit_actions(&old).await;
        kit.connection_audit_actions(&successor).await;
    }
}
