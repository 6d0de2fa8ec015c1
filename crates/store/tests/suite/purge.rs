//! Tests that the purge deletes rows that are no longer needed, and nothing else.

use std::time::Duration;

use domain::model::connection::{ConnectionState, EndCause, UpstreamRevocation};
use domain::model::job::AttemptOutcome;
use domain::rule::invalid_grant::epoch_minute;
use store::command::Purge;
use store::query::{
    FindRefreshToken, GetAccessState, GetAuthorizationRequest, GetUpstreamCredential, ListDueConnections,
    SweepPosition,
};

use crate::job::{finish_job, lease_job};
use crate::support::{DAY, TestStore, hashes, on_both};

on_both!(
    purge_removes_ended_requests_and_codes_after_an_hour,
    purge_batch_is_limited_and_next_batch_continues,
    concurrent_purges_remove_each_row_once,
    purge_removes_refresh_stats_after_an_hour,
    purge_keeps_everything_of_live_connections,
    purge_removes_done_jobs_after_30_days_and_keeps_failed,
);

const ONE_MS: Duration = Duration::from_millis(1);

fn minutes_less_one_ms(minutes: u64) -> Duration {
    Duration::from_mins(minutes).saturating_sub(ONE_MS)
}

async fn purge(kit: &TestStore, limit: u32) -> u32 {
    kit.store.run(Purge { moment: kit.next_moment(), limit }).await.unwrap()
}

async fn approve_request(kit: &TestStore, name: &str) {
    kit.store.run(kit.build_send_to_provider(name)).await.unwrap().unwrap();
}

async fn request_exists(kit: &TestStore, name: &str) -> bool {
    let id = kit.build_request(name, "dc-acme").id;
    kit.store.query(&GetAuthorizationRequest { id }).await.unwrap().is_some()
}

async fn purge_removes_ended_requests_and_codes_after_an_hour(mut kit: TestStore) {
    kit.create_pending_connection("a", "dc-acme", Some("alice")).await;
    approve_request(&kit, "b").await;
    kit.create_exchanging_request("c", "dc-acme").await;
    kit.advance_clock(minutes_less_one_ms(61));
    assert_eq!(purge(&kit, 10).await, 0, "the code expired less than an hour ago");
    kit.advance_clock(ONE_MS);
    assert_eq!(purge(&kit, 10).await, 1, "the code is deleted");
    kit.advance_clock(minutes_less_one_ms(19));
    assert_eq!(purge(&kit, 10).await, 0, "the requests expired less than an hour ago");
    kit.advance_clock(ONE_MS);
    assert_eq!(purge(&kit, 10).await, 2, "a connected request and one that was not continued");
    assert!(!request_exists(&kit, "a").await && !request_exists(&kit, "b").await);
    kit.advance_clock(DAY * 400);
    assert_eq!(purge(&kit, 10).await, 0);
    assert!(request_exists(&kit, "c").await, "a stored provider code must be recovered first");
}

async fn purge_batch_is_limited_and_next_batch_continues(mut kit: TestStore) {
    for name in ["a", "b", "c", "d", "e"] {
        approve_request(&kit, name).await;
    }
    kit.advance_clock(DAY);
    assert_eq!([purge(&kit, 2).await, purge(&kit, 2).await, purge(&kit, 2).await], [2, 2, 1]);
    assert_eq!(purge(&kit, 2).await, 0);
}

async fn concurrent_purges_remove_each_row_once(mut kit: TestStore) {
    for n in 0..30 {
        approve_request(&kit, &format!("n{n}")).await;
    }
    kit.advance_clock(DAY);
    let (one, two, three) = tokio::join!(purge(&kit, 10), purge(&kit, 10), purge(&kit, 10));
    let mut removed = one + two + three;
    while let more @ 1.. = purge(&kit, 10).await {
        removed += more;
    }
    assert_eq!(removed, 30, "each row is deleted once");
}

async fn purge_removes_refresh_stats_after_an_hour(mut kit: TestStore) {
    let minute = epoch_minute(kit.now);
    let row = |minute: i64, shard: u8| {
        format!("INSERT INTO provider_refresh_stats VALUES (1000, 0, {minute}, {shard}, 1, 0);")
    };
    kit.execute_sql(&format!("{}{}{}", row(minute, 0), row(minute, 1), row(minute + 1, 0))).await;
    kit.advance_clock(Duration::from_hours(1));
    assert_eq!(purge(&kit, 10).await, 0);
    kit.advance_clock(Duration::from_mins(1));
    assert_eq!(purge(&kit, 10).await, 2);
    kit.advance_clock(Duration::from_mins(1));
    assert_eq!(purge(&kit, 10).await, 1);
}

async fn purge_keeps_everything_of_live_connections(mut kit: TestStore) {
    let active = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let waiting = kit.create_pending_connection("b", "dc-acme", Some("bob")).await;
    kit.advance_clock(DAY * 40);
    assert_eq!(purge(&kit, 500).await, 4, "two codes and two requests");
    assert_eq!(kit.get_connection(&active).await.state, ConnectionState::Active);
    let access = kit.store.query(&GetAccessState { connection_id: active.clone() }).await.unwrap();
    assert!(access.unwrap().accounts.is_some(), "the terms are kept");
    assert!(
        kit.store.query(&GetUpstreamCredential { connection_id: active.clone() }).await.unwrap().is_some()
    );
    assert!(kit.store.query(&FindRefreshToken { hashes: hashes("refresh-a") }).await.unwrap().is_some());
    assert!(
        matches!(kit.get_connection(&waiting).await.state, ConnectionState::Pending { .. }),
        "the sweep ends the connection"
    );
    let due = ListDueConnections {
        now: kit.now,
        idle_timeout: DAY * 90,
        after: SweepPosition::default(),
        limit: 10,
    };
    assert_eq!(kit.store.query(&due).await.unwrap().ids(), [waiting]);
    kit.connection_audit_actions(&active).await;
}

async fn purge_removes_done_jobs_after_30_days_and_keeps_failed(mut kit: TestStore) {
    for (name, customer) in [("a", "alice"), ("b", "bob"), ("c", "chloe")] {
        let id = kit.create_active_connection(name, "dc-acme", Some(customer)).await;
        kit.end_connection(&id, EndCause::Recipient, None).await;
    }
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    finish_job(&kit, &job, lease_id, AttemptOutcome::Accepted).await;
    let (job, lease_id) = lease_job(&kit).await.unwrap();
    finish_job(&kit, &job, lease_id, AttemptOutcome::Refused).await;
    kit.advance_clock(minutes_less_one_ms(30 * 24 * 60));
    assert_eq!(purge(&kit, 500).await, 6, "three codes and three requests");
    assert_eq!(kit.count_jobs("revoke_at_provider", "done").await, 1);
    kit.advance_clock(ONE_MS);
    assert_eq!(purge(&kit, 500).await, 1);
    kit.advance_clock(DAY * 400);
    assert_eq!(purge(&kit, 500).await, 1, "the failed job has lost its token");
    assert_eq!(purge(&kit, 500).await, 0);
    let left = [
        kit.count_jobs("revoke_at_provider", "done").await,
        kit.count_jobs("revoke_at_provider", "failed").await,
    ];
    assert_eq!((left, kit.count_jobs("revoke_at_provider", "pending").await), ([0, 1], 1));
    let id = crate::support::connection_id("a");
    assert_eq!(
        kit.get_connection(&id).await.provider_revocation,
        UpstreamRevocation::Accepted,
        "the outcome is kept"
    );
}
