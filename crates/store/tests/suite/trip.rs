//! A provider that answers `invalid_grant` to many: few are believed, the rest live.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::{BankState, Cause, State};
use domain::model::provider::ProviderState;
use domain::rule::trip::{Refreshes, minute};
use serde_json::json;
use store::command::{HeedInvalidGrant, Heeded, Lease, Stored};
use store::query::ProviderCounts;

use crate::credential::{mine, store};
use crate::kit::{Kit, on_both};

on_both!(
    twenty_are_believed_and_the_rest_live,
    however_many_come_at_once_exactly_twenty_end,
    a_window_begins_anew_when_an_operator_sets_the_provider_active,
    what_is_older_than_the_window_does_not_count,
    among_many_refreshes_two_in_a_hundred_are_believed,
    old_news_and_ended_connections_do_not_count,
    a_held_provider_ends_nobody,
);

async fn connections(kit: &Kit, prefix: &str, number: usize) -> Vec<(ConnectionId, Lease)> {
    let mut all = Vec::new();
    for n in 0..number {
        let name = format!("{prefix}{n}");
        let id = kit.active(&name, "dc-acme", Some(&name)).await;
        let lease = mine(kit, &id, 1).await;
        all.push((id, lease));
    }
    all
}

fn command(kit: &Kit, (id, lease): &(ConnectionId, Lease)) -> HeedInvalidGrant {
    HeedInvalidGrant { moment: kit.moment(), connection_id: id.clone(), lease: lease.clone() }
}

async fn heed(kit: &Kit, which: &(ConnectionId, Lease)) -> Heeded {
    kit.store.run(command(kit, which)).await.unwrap()
}

const fn tripped(number: i64) -> Heeded {
    Heeded::Tripped(Refreshes { answered: number, invalid: number })
}

async fn twenty_are_believed_and_the_rest_live(kit: Kit) {
    let all = connections(&kit, "n", 23).await;
    for which in &all[..20] {
        assert_eq!(heed(&kit, which).await, Heeded::Ended);
        let connection = kit.connection(&which.0).await;
        assert_eq!(kit.cause(&which.0).await, Some(Cause::Provider));
        assert_eq!(connection.bank, BankState::Pending, "the bank is told, as by every end");
        kit.record(&which.0).await;
    }
    assert_eq!(kit.stored_provider().await.state, ProviderState::Active);
    assert_eq!(heed(&kit, &all[20]).await, tripped(21));
    assert_eq!(kit.stored_provider().await.state, ProviderState::Tripped);
    for which in &all[21..] {
        assert_eq!(heed(&kit, which).await, Heeded::Held);
    }
    for (id, _) in &all[20..] {
        assert_eq!(kit.connection(id).await.state, State::Active);
        mine(&kit, id, 1).await; // the lease was given back
    }
    assert_eq!(kit.jobs("tell_bank", "pending").await, 20);
    let (word, particulars) = kit.provider_record().await.pop().unwrap();
    let expected = json!({"state": "tripped", "refreshes": 21, "invalid_grants": 21});
    assert_eq!((word, particulars), ("provider.changed", expected));
    let counts = kit.store.ask(&ProviderCounts).await.unwrap();
    assert_eq!((counts["active"], counts["tripped"]), (0, 1));
}

async fn however_many_come_at_once_exactly_twenty_end(kit: Kit) {
    let all = connections(&kit, "n", 40).await;
    let at_once = all.iter().map(|which| kit.store.run(command(&kit, which)));
    let heeded = futures_util::future::join_all(at_once).await;
    let heeded: Vec<Heeded> = heeded.into_iter().map(Result::unwrap).collect();
    let number = |wanted: Heeded| heeded.iter().filter(|h| **h == wanted).count();
    assert_eq!([number(Heeded::Ended), number(tripped(21)), number(Heeded::Held)], [20, 1, 19], "{heeded:?}");
    kit.provider_record().await;
}

async fn a_window_begins_anew_when_an_operator_sets_the_provider_active(kit: Kit) {
    let all = connections(&kit, "n", 3 * 21).await;
    // The clock stands: not the time tells the spans apart, but the change.
    for span in all.chunks(21) {
        for which in &span[..20] {
            assert_eq!(heed(&kit, which).await, Heeded::Ended);
        }
        assert_eq!(heed(&kit, &span[20]).await, tripped(21));
        kit.set_provider(ProviderState::Active).await;
    }
    kit.set_provider(ProviderState::Active).await;
    assert_eq!(kit.stored_provider().await.state, ProviderState::Active);
    let last = mine(&kit, &all[20].0, 1).await;
    assert_eq!(store(&kit, &all[20].0, last, "new").await, Stored::Stored, "it lives on");
}

async fn what_is_older_than_the_window_does_not_count(mut kit: Kit) {
    let mut all = connections(&kit, "n", 22).await;
    for which in &all[..20] {
        assert_eq!(heed(&kit, which).await, Heeded::Ended);
    }
    kit.advance(Duration::from_mins(10));
    for which in &mut all[20..] {
        which.1 = mine(&kit, &which.0, 1).await;
    }
    assert_eq!(heed(&kit, &all[20]).await, Heeded::Ended);
    assert_eq!(heed(&kit, &all[21]).await, Heeded::Ended);
}

async fn among_many_refreshes_two_in_a_hundred_are_believed(kit: Kit) {
    let all = connections(&kit, "n", 3).await;
    assert_eq!(store(&kit, &all[0].0, all[0].1.clone(), "new").await, Stored::Stored);
    // With the one that was stored and the two that follow these are 1102 and 22, 1103 and 23.
    let counted = |refreshes: i64, invalid: i64| {
        let minute = minute(kit.now);
        format!("INSERT INTO refresh_counts VALUES (1000, 0, {minute}, 99, {refreshes}, {invalid})")
    };
    kit.behind_its_back(&counted(1_100, 21)).await;
    assert_eq!(heed(&kit, &all[1]).await, Heeded::Ended, "22 of 1102");
    let refreshes = Refreshes { answered: 1_103, invalid: 23 };
    assert_eq!(heed(&kit, &all[2]).await, Heeded::Tripped(refreshes), "23 of 1103");
}

async fn old_news_and_ended_connections_do_not_count(kit: Kit) {
    let all = connections(&kit, "n", 22).await;
    let (id, old) = all[0].clone();
    assert_eq!(store(&kit, &id, old.clone(), "new").await, Stored::Stored);
    kit.end(&all[1].0, Cause::Recipient, None).await;
    for _ in 0..30 {
        assert_eq!(heed(&kit, &(id.clone(), old.clone())).await, Heeded::Fenced);
        assert_eq!(heed(&kit, &all[1]).await, Heeded::Over);
    }
    for which in &all[2..] {
        assert_eq!(heed(&kit, which).await, Heeded::Ended);
    }
    assert_eq!(kit.connection(&id).await.state, State::Active);
    assert_eq!(kit.cause(&all[1].0).await, Some(Cause::Recipient));
}

async fn a_held_provider_ends_nobody(kit: Kit) {
    let all = connections(&kit, "n", 1).await;
    for state in [ProviderState::Paused, ProviderState::Retired] {
        kit.set_provider(state).await;
        assert_eq!(heed(&kit, &all[0]).await, Heeded::Held);
    }
    kit.set_provider(ProviderState::Active).await;
    assert_eq!(heed(&kit, &all[0]).await, Heeded::Ended);
}
