//! What is of no more use goes, and nothing else.

use std::time::Duration;

use domain::model::connection::{BankState, Cause, State};
use domain::model::job::Attempt;
use domain::rule::trip::minute;
use store::command::{OpenAuthorizationRequest, Purge};
use store::query::{AccessStateOf, CredentialOf, DueEnds, RefreshTokenBy, RequestById};

use crate::job::{finish, lease};
use crate::kit::{DAY, Kit, hashes, on_both};

on_both!(
    requests_go_at_their_end_and_codes_an_hour_after_theirs,
    a_batch_is_bounded_and_the_rest_goes_with_the_next,
    nodes_purge_beside_each_other,
    counters_go_when_no_window_looks_at_them,
    a_live_connection_loses_nothing_that_it_needs,
    done_jobs_go_after_thirty_days_and_dead_ones_stay,
);

const MOMENT: Duration = Duration::from_millis(1);

fn all_but_a_moment(minutes: u64) -> Duration {
    Duration::from_mins(minutes).saturating_sub(MOMENT)
}

async fn purge(kit: &Kit, limit: u32) -> u32 {
    kit.store.run(Purge { moment: kit.moment(), limit }).await.unwrap()
}

async fn open(kit: &Kit, name: &str) {
    let request = kit.request(name, "dc-acme");
    kit.store.run(OpenAuthorizationRequest { moment: kit.moment(), request }).await.unwrap();
}

async fn is_there(kit: &Kit, name: &str) -> bool {
    let id = kit.request(name, "dc-acme").id;
    kit.store.ask(&RequestById { id }).await.unwrap().is_some()
}

async fn requests_go_at_their_end_and_codes_an_hour_after_theirs(mut kit: Kit) {
    kit.pending("a", "dc-acme", Some("alice")).await;
    open(&kit, "b").await;
    kit.exchanging("c", "dc-acme").await;
    kit.advance(all_but_a_moment(20));
    assert_eq!(purge(&kit, 10).await, 0);
    kit.advance(MOMENT);
    assert_eq!(purge(&kit, 10).await, 2, "what was connected and what was never begun");
    assert!(!is_there(&kit, "a").await && !is_there(&kit, "b").await);
    kit.advance(all_but_a_moment(41));
    assert_eq!(purge(&kit, 10).await, 0, "the code has ended less than an hour ago");
    kit.advance(MOMENT);
    assert_eq!(purge(&kit, 10).await, 1, "the code");
    kit.advance(DAY * 400);
    assert_eq!(purge(&kit, 10).await, 0);
    assert!(is_there(&kit, "c").await, "a provider's code is in hand: it must be recovered first");
}

async fn a_batch_is_bounded_and_the_rest_goes_with_the_next(mut kit: Kit) {
    for name in ["a", "b", "c", "d", "e"] {
        open(&kit, name).await;
    }
    kit.advance(DAY);
    assert_eq!([purge(&kit, 2).await, purge(&kit, 2).await, purge(&kit, 2).await], [2, 2, 1]);
    assert_eq!(purge(&kit, 2).await, 0);
}

async fn nodes_purge_beside_each_other(mut kit: Kit) {
    for n in 0..30 {
        open(&kit, &format!("n{n}")).await;
    }
    kit.advance(DAY);
    let (one, two, three) = tokio::join!(purge(&kit, 10), purge(&kit, 10), purge(&kit, 10));
    let mut removed = one + two + three;
    while let more @ 1.. = purge(&kit, 10).await {
        removed += more;
    }
    assert_eq!(removed, 30, "each row once");
}

async fn counters_go_when_no_window_looks_at_them(mut kit: Kit) {
    let minute = minute(kit.now);
    let row = |minute: i64, shard: u8| {
        format!("INSERT INTO refresh_counts VALUES (1000, 0, {minute}, {shard}, 1, 0);")
    };
    kit.behind_its_back(&format!("{}{}{}", row(minute, 0), row(minute, 1), row(minute + 1, 0))).await;
    kit.advance(Duration::from_hours(1));
    assert_eq!(purge(&kit, 10).await, 0);
    kit.advance(Duration::from_mins(1));
    assert_eq!(purge(&kit, 10).await, 2);
    kit.advance(Duration::from_mins(1));
    assert_eq!(purge(&kit, 10).await, 1);
}

async fn a_live_connection_loses_nothing_that_it_needs(mut kit: Kit) {
    let active = kit.active("a", "dc-acme", Some("alice")).await;
    let waiting = kit.pending("b", "dc-acme", Some("bob")).await;
    kit.advance(DAY * 40);
    assert_eq!(purge(&kit, 500).await, 4, "two codes and two requests, and nothing else");
    assert_eq!(kit.connection(&active).await.state, State::Active);
    let access = kit.store.ask(&AccessStateOf { connection_id: active.clone() }).await.unwrap();
    assert!(access.unwrap().accounts.is_some(), "its terms");
    assert!(kit.store.ask(&CredentialOf { connection_id: active.clone() }).await.unwrap().is_some());
    assert!(kit.store.ask(&RefreshTokenBy { hashes: hashes("refresh-a") }).await.unwrap().is_some());
    assert!(matches!(kit.connection(&waiting).await.state, State::Pending { .. }), "the sweep ends it");
    let due = DueEnds { now: kit.now, idle: DAY * 90, limit: 10 };
    assert_eq!(kit.store.ask(&due).await.unwrap(), [waiting]);
    kit.record(&active).await;
}

async fn done_jobs_go_after_thirty_days_and_dead_ones_stay(mut kit: Kit) {
    for (name, customer) in [("a", "alice"), ("b", "bob"), ("c", "chloe")] {
        let id = kit.active(name, "dc-acme", Some(customer)).await;
        kit.end(&id, Cause::Recipient, None).await;
    }
    let (job, held) = lease(&kit).await.unwrap();
    finish(&kit, &job, held, Attempt::Accepted).await;
    let (job, held) = lease(&kit).await.unwrap();
    finish(&kit, &job, held, Attempt::Refused).await;
    kit.advance(all_but_a_moment(30 * 24 * 60));
    assert_eq!(purge(&kit, 500).await, 6, "three codes and three requests");
    assert_eq!(kit.jobs("tell_bank", "done").await, 1);
    kit.advance(MOMENT);
    assert_eq!(purge(&kit, 500).await, 1);
    kit.advance(DAY * 400);
    assert_eq!(purge(&kit, 500).await, 0);
    let left = [kit.jobs("tell_bank", "done").await, kit.jobs("tell_bank", "dead").await];
    assert_eq!((left, kit.jobs("tell_bank", "pending").await), ([0, 1], 1));
    let id = crate::kit::connection_id("a");
    assert_eq!(kit.connection(&id).await.bank, BankState::Accepted, "what came of it is remembered");
}
