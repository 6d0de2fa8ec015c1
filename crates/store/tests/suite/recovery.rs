//! Tests of the recovery of interrupted exchanges, and of the outcome of grants that have no connection.

use std::time::Duration;

use domain::id::AuthorizationRequestId;
use domain::model::job::{AttemptOutcome, JobKind, TokenType};
use domain::rule::authorization_failure::INTERRUPTED;
use serde_json::json;
use store::command::{FailRequest, RecoverExchange, RecoveryCause, UnrevokedToken};
use store::query::{GetAuthorizationRequest, ListInterruptedExchanges};

use crate::job::{finish_job, finish_job_with, lease_job};
use crate::support::{DAY, EXCHANGE_TIMEOUT, TestStore, connection_id, on_both, seal};

on_both!(
    interrupted_exchange_is_recovered_by_one_job,
    exchange_without_deadline_is_recovered_after_expiry,
    finished_exchange_is_not_recovered,
    orphaned_grant_outcome_is_in_provider_audit_log,
    unrevoked_recovered_token_gets_its_own_job,
    exchange_is_either_connected_or_recovered,
);

fn build_unrevoked_token(token: &str) -> UnrevokedToken {
    UnrevokedToken {
        token: seal(token),
        token_type: TokenType::RefreshToken,
        grant_id: Some(b"sealed grant".to_vec()),
        identity: Some(b"alice".to_vec()),
        is_complete: true,
    }
}

fn build_recover_exchange(kit: &TestStore, id: &AuthorizationRequestId) -> RecoverExchange {
    RecoverExchange { moment: kit.next_moment(), request_id: id.clone(), cause: RecoveryCause::LeaseExpired }
}

async fn list_due_recoveries(kit: &TestStore) -> Vec<AuthorizationRequestId> {
    kit.store.query(&ListInterruptedExchanges { now: kit.now, skip: 0, limit: 10 }).await.unwrap()
}

async fn interrupted_exchange_is_recovered_by_one_job(mut kit: TestStore) {
    let id = kit.create_exchanging_request("a", "dc-acme").await;
    kit.advance_clock(EXCHANGE_TIMEOUT.saturating_sub(Duration::from_millis(1)));
    assert_eq!(list_due_recoveries(&kit).await, []);
    assert!(
        !kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap(),
        "the exchange may still be running"
    );
    kit.advance_clock(Duration::from_millis(1));
    assert_eq!(list_due_recoveries(&kit).await, std::slice::from_ref(&id));
    assert!(kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap());
    assert!(
        !kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap(),
        "another node has recovered it"
    );
    assert_eq!(list_due_recoveries(&kit).await, []);
    let request = kit.store.query(&GetAuthorizationRequest { id }).await.unwrap().unwrap();
    assert_eq!((request.status.as_str(), request.verifier), ("failed", None));
    let (job, _) = lease_job(&kit).await.unwrap();
    assert_eq!(
        (job.kind, job.connection_id),
        (JobKind::RecoverAuthorizationCode, Some(request.connection_id))
    );
    assert_eq!((job.token.as_slice(), job.data_key.as_slice()), (&b"sealed code"[..], &b"wrapped"[..]));
    assert_eq!(job.verifier.as_deref(), Some(&b"sealed verifier"[..]));
    assert!(lease_job(&kit).await.is_none(), "only one job is queued");
    assert!(
        kit.store.run(kit.build_open_connection("a", Some("alice"))).await.is_err(),
        "a recovered request opens no connection"
    );
}

async fn exchange_without_deadline_is_recovered_after_expiry(mut kit: TestStore) {
    let id = kit.create_exchanging_request("a", "dc-acme").await;
    kit.execute_sql("UPDATE authorization_requests SET exchange_until = NULL").await;
    kit.advance_clock(EXCHANGE_TIMEOUT);
    assert_eq!(list_due_recoveries(&kit).await, []);
    kit.advance_clock(Duration::from_mins(20));
    assert_eq!(list_due_recoveries(&kit).await, std::slice::from_ref(&id));
    assert!(kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap());
}

async fn finished_exchange_is_not_recovered(mut kit: TestStore) {
    kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    let failed = kit.create_exchanging_request("b", "dc-acme").await;
    let moment = kit.next_moment();
    kit.store
        .run(FailRequest { moment, request_id: failed.clone(), error: INTERRUPTED, unrevoked: vec![] })
        .await
        .unwrap();
    kit.advance_clock(DAY);
    assert_eq!(list_due_recoveries(&kit).await, []);
    let connected = kit.build_request("a", "dc-acme").id;
    for id in [connected, failed, "arq_nobody".parse::<AuthorizationRequestId>().unwrap()] {
        assert!(!kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap());
    }
    assert_eq!(kit.count_jobs("recover_authorization_code", "pending").await, 0);
}

async fn orphaned_grant_outcome_is_in_provider_audit_log(mut kit: TestStore) {
    let later = AttemptOutcome::RetryLater { retry_after: None };
    let before = kit.provider_audit_events().await.len();
    let cases = [
        ("a", AttemptOutcome::Accepted, "revoked"),
        ("b", AttemptOutcome::AlreadyGone, "possibly_active"),
        ("c", AttemptOutcome::Refused, "possibly_active"),
        ("d", later, "possibly_active"),
    ];
    for (n, (name, attempt, _)) in cases.into_iter().enumerate() {
        let id = kit.create_exchanging_request(name, "dc-acme").await;
        kit.advance_clock(EXCHANGE_TIMEOUT);
        kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap();
        let (job, lease_id) = lease_job(&kit).await.unwrap();
        if attempt == later {
            finish_job(&kit, &job, lease_id, later).await;
            assert_eq!(kit.provider_audit_events().await.len(), before + n, "the job is retried");
            kit.advance_clock(DAY * 7);
            let (job, lease_id) = lease_job(&kit).await.unwrap();
            finish_job(&kit, &job, lease_id, later).await;
        } else {
            finish_job(&kit, &job, lease_id, attempt).await;
        }
    }
    let id = kit.create_exchanging_request("e", "dc-acme").await;
    let fail = FailRequest {
        moment: kit.next_moment(),
        request_id: id,
        error: INTERRUPTED,
        unrevoked: vec![build_unrevoked_token("sealed")],
    };
    kit.store.run(fail).await.unwrap();
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!(job.kind, JobKind::RevokeOrphanedGrant);
    finish_job(&kit, &job, lease_id, AttemptOutcome::Accepted).await;
    let expected = |name: &str, status| {
        ("provider.orphaned_grant_resolved", json!({"connection": connection_id(name), "grant": status}))
    };
    let mut wanted: Vec<_> = cases.iter().map(|(name, _, status)| expected(name, *status)).collect();
    wanted.push(expected("e", "revoked"));
    assert_eq!(kit.provider_audit_events().await[before..], wanted);
    let dead = [
        kit.count_jobs("recover_authorization_code", "done").await,
        kit.count_jobs("recover_authorization_code", "failed").await,
    ];
    assert_eq!(dead, [2, 2]);
}

async fn unrevoked_recovered_token_gets_its_own_job(mut kit: TestStore) {
    let id = kit.create_exchanging_request("a", "dc-acme").await;
    kit.advance_clock(EXCHANGE_TIMEOUT);
    kit.store.run(build_recover_exchange(&kit, &id)).await.unwrap();
    let before = kit.provider_audit_events().await.len();
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    finish_job_with(
        &kit,
        &job,
        lease_id,
        AttemptOutcome::Accepted,
        vec![build_unrevoked_token("sealed refresh")],
    )
    .await;
    assert_eq!(kit.provider_audit_events().await.len(), before, "the outcome is still open");
    let (next, lease_id) = lease_job(&kit).await.unwrap();
    assert_eq!((next.kind, &next.connection_id), (JobKind::RevokeOrphanedGrant, &job.connection_id));
    assert_eq!(
        (next.token.as_slice(), &next.data_key, &next.verifier),
        (&b"sealed refresh"[..], &b"key of sealed refresh".to_vec(), &None)
    );
    assert_eq!(next.identity.as_deref(), Some(&b"alice"[..]));
    finish_job(&kit, &next, lease_id, AttemptOutcome::Accepted).await;
    let record = kit.provider_audit_events().await;
    assert_eq!(record[before..].iter().map(|(_, d)| &d["grant"]).collect::<Vec<_>>(), ["revoked"]);
}

async fn exchange_is_either_connected_or_recovered(mut kit: TestStore) {
    for n in 0..40 {
        let name = format!("n{n}");
        let id = kit.create_exchanging_request(&name, "dc-acme").await;
        kit.advance_clock(EXCHANGE_TIMEOUT);
        let opened = kit.store.run(kit.build_open_connection(&name, Some(&name)));
        let (one, two) = (
            kit.store.run(build_recover_exchange(&kit, &id)),
            kit.store.run(build_recover_exchange(&kit, &id)),
        );
        let (opened, one, two) = tokio::join!(opened, one, two);
        let succeeded = [opened.is_ok(), one.unwrap(), two.unwrap()];
        assert_eq!(succeeded.iter().filter(|succeeded| **succeeded).count(), 1, "round {n}: {succeeded:?}");
    }
}
