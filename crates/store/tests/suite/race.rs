//! Tests of concurrent commands on one connection: the rows are consistent in every order.

use std::time::Duration;

use domain::model::connection::{ConnectionStatus, EndCause};
use futures_util::future::{Either, join, join_all, select};
use store::command::{
    ClientSelector, EndOutcome, JobQueueDemand, LeaseCredential, LeaseOutcome, OpenOutcome, RedeemOutcome,
    RemoveClient, StoreCredentialOutcome,
};
use store::query::{FindRefreshToken, GetUpstreamCredential};
use store::{Location, PostgresSettings};

use crate::credential::{acquire_lease, store_credential};
use crate::job::{REVOCATIONS, finish_job, lease_job, lease_jobs};
use crate::support::{TestStore, connect, hashes, on_both, operator_actor, parse_client_id};

on_both!(
    concurrent_lease_requests_grant_one_lease,
    concurrent_refresh_and_connection_end_revoke_every_token,
    concurrent_exchange_and_connection_end_leave_no_token,
    concurrent_end_commands_end_connection_once,
    concurrent_job_leases_give_job_to_one_worker,
);

const ROUNDS: usize = 40;
const LEASE_TTL: Duration = Duration::from_secs(20);

async fn concurrent_lease_requests_grant_one_lease(kit: TestStore) {
    for round in 0..ROUNDS {
        let id = kit.create_active_connection(&format!("n{round}"), "dc-acme", None).await;
        let attempts = (0..6).map(|_| {
            let (moment, connection_id) = (kit.next_moment(), id.clone());
            kit.store.run(LeaseCredential { moment, connection_id, seen_version: 1, lease_ttl: LEASE_TTL })
        });
        let results = join_all(attempts).await;
        let acquired =
            results.iter().filter(|leased| matches!(leased, Ok(LeaseOutcome::Acquired(_)))).count();
        assert_eq!(acquired, 1, "round {round}: {acquired} refreshes run concurrently");
    }
}

async fn concurrent_refresh_and_connection_end_revoke_every_token(kit: TestStore) {
    let (mut stored, mut late) = (0, 0);
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let id = kit.create_active_connection(&name, "dc-acme", None).await;
        let refresh_lease = acquire_lease(&kit, &id, 1).await;
        let (stored_outcome, ended) = join(
            store_credential(&kit, &id, refresh_lease, &name),
            kit.end_connection(&id, EndCause::Recipient, None),
        )
        .await;
        assert_eq!(ended, EndOutcome::Ended(EndCause::Recipient));
        assert!(
            kit.store.query(&GetUpstreamCredential { connection_id: id.clone() }).await.unwrap().is_none()
        );
        let mut revoked_tokens = Vec::new();
        while let Some((job, lease_id)) = lease_job(&kit).await {
            revoked_tokens.push(String::from_utf8(job.token.clone()).unwrap());
            finish_job(&kit, &job, lease_id, domain::model::job::AttemptOutcome::Accepted).await;
        }
        let newest = format!("refresh of {name}");
        assert!(
            revoked_tokens.contains(&newest),
            "round {round}: {stored_outcome:?}, and the newest token is not revoked: {revoked_tokens:?}"
        );
        match stored_outcome {
            StoreCredentialOutcome::Stored => stored += 1,
            StoreCredentialOutcome::LeaseLost => late += 1,
        }
        assert_eq!(
            revoked_tokens.len(),
            if stored_outcome == StoreCredentialOutcome::Stored { 1 } else { 2 },
            "round {round}: {revoked_tokens:?}"
        );
        kit.connection_audit_actions(&id).await;
    }
    assert_eq!(stored + late, ROUNDS);
}

async fn concurrent_exchange_and_connection_end_leave_no_token(kit: TestStore) {
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let id = kit.create_pending_connection(&name, "dc-acme", None).await;
        let (redeemed, ended) =
            join(kit.redeem_code(&name, "dc-acme"), kit.end_connection(&id, EndCause::Operator, None)).await;
        assert_eq!(ended, EndOutcome::Ended(EndCause::Operator));
        let query = FindRefreshToken { hashes: hashes(&format!("refresh-{name}")) };
        let token = kit.store.query(&query).await.unwrap();
        let is_live = token.is_some_and(|token| token.access_state.status == ConnectionStatus::Active);
        assert!(!is_live, "round {round}: a token remains active");
        let mut words = vec!["connection.opened", "connection.ended"];
        if matches!(redeemed, RedeemOutcome::Activated(_)) {
            words.insert(1, "connection.activated");
        }
        assert_eq!(kit.connection_audit_actions(&id).await, words, "round {round}");
    }
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, i64::try_from(ROUNDS).unwrap());
}

async fn concurrent_end_commands_end_connection_once(kit: TestStore) {
    for round in 0..ROUNDS {
        let id = kit.create_active_connection(&format!("n{round}"), "dc-acme", None).await;
        let causes = [EndCause::Recipient, EndCause::Customer, EndCause::Provider, EndCause::Operator];
        let outcomes = join_all(causes.map(|cause| kit.end_connection(&id, cause, None))).await;
        let ended = outcomes.iter().filter(|outcome| matches!(outcome, EndOutcome::Ended(_))).count();
        assert_eq!(ended, 1, "round {round}: {outcomes:?}");
        assert_eq!(kit.connection_audit_actions(&id).await.len(), 3, "round {round}");
    }
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, i64::try_from(ROUNDS).unwrap());
}

async fn concurrent_job_leases_give_job_to_one_worker(kit: TestStore) {
    for round in 0..ROUNDS {
        let id = kit.create_active_connection(&format!("n{round}"), "dc-acme", None).await;
        kit.end_connection(&id, EndCause::Recipient, None).await;
        let attempts = (0..4).map(|_| lease_jobs(&kit, &[JobQueueDemand { queue: REVOCATIONS, limit: 4 }]));
        let leased = join_all(attempts).await.concat();
        assert_eq!(leased.len(), 1, "round {round}: a job has more than one worker");
        for leased in leased {
            let accepted = domain::model::job::AttemptOutcome::Accepted;
            finish_job(&kit, &leased.job, leased.lease, accepted).await;
        }
        kit.connection_audit_actions(&id).await;
    }
}

/// On PostgreSQL each statement of a transaction sees what was committed when it began. Opening a connection must wait for
/// the removal of its recipient; otherwise the connection would be opened after all others have ended.
#[tokio::test]
async fn open_connection_waits_for_client_removal_on_postgres() {
    let kit = TestStore::open_postgres().await;
    let Location::Postgres(PostgresSettings { url, .. }) = &kit.location else { panic!("PostgreSQL") };
    kit.create_exchanging_request("n", "dc-acme").await;
    let (remover, observer) = (connect(url.expose()).await, connect(url.expose()).await);
    // The removal is undone and then repeated by the transaction of this test, which commits when the test wants it to.
    let read_mac = "SELECT state_mac FROM clients WHERE id = 'dc-acme'";
    let active: Vec<u8> = remover.query_one(read_mac, &[]).await.unwrap().get(0);
    let selector = ClientSelector { client_id: parse_client_id("dc-acme"), kind: None, partner: None };
    let remove = RemoveClient { moment: kit.next_moment(), selector, actor: operator_actor() };
    kit.store.run(remove).await.unwrap();
    let closed: Vec<u8> = remover.query_one(read_mac, &[]).await.unwrap().get(0);
    let set_state = "UPDATE clients SET state = $1, state_mac = $2 WHERE id = 'dc-acme'";
    remover.execute(set_state, &[&"active", &active]).await.unwrap();
    remover.batch_execute("BEGIN").await.unwrap();
    remover.execute(set_state, &[&"closed", &closed]).await.unwrap();
    let opening = Box::pin(kit.store.run(kit.build_open_connection("n", None)));
    let waits = Box::pin(async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    });
    let opening = match select(opening, waits).await {
        Either::Left((opened, _)) => panic!("{opened:?} while the removal was under way"),
        Either::Right(((), opening)) => opening,
    };
    remover.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(opening.await.unwrap(), OpenOutcome::Refused(_)));
}
