//! Tests of a provider that returns `invalid_grant` for many connections: few of them end, the others remain active.

use std::time::Duration;

use domain::id::ConnectionId;
use domain::model::connection::{ConnectionState, EndCause, UpstreamRevocation};
use domain::model::job::JobKind;
use domain::model::provider::ProviderState;
use domain::rule::invalid_grant::{RefreshStats, epoch_minute};
use serde_json::json;
use store::command::{HandleInvalidGrant, InvalidGrantOutcome, Lease, StoreCredentialOutcome};
use store::query::CountProviders;

use crate::credential::{acquire_lease, store_credential};
use crate::support::{TestStore, on_both};

on_both!(
    provider_is_paused_at_twenty_first_invalid_grant,
    concurrent_invalid_grants_end_at_most_twenty_connections,
    reactivating_provider_starts_new_invalid_grant_window,
    invalid_grants_before_window_are_not_counted,
    invalid_grants_up_to_two_percent_end_connections,
    stale_and_repeated_invalid_grants_are_not_counted,
    invalid_grant_at_paused_provider_ends_no_connection,
    second_invalid_grant_ends_connection_and_counts_once,
    first_invalid_grant_is_forgotten_after_refresh_or_release,
);

async fn create_leased_connections(
    kit: &TestStore,
    prefix: &str,
    number: usize,
) -> Vec<(ConnectionId, Lease)> {
    let mut all = Vec::new();
    for n in 0..number {
        let name = format!("{prefix}{n}");
        let id = kit.create_active_connection(&name, "dc-acme", Some(&name)).await;
        let lease = acquire_lease(kit, &id, 1).await;
        all.push((id, lease));
    }
    all
}

fn build_handle_invalid_grant(kit: &TestStore, (id, lease): &(ConnectionId, Lease)) -> HandleInvalidGrant {
    HandleInvalidGrant {
        moment: kit.next_moment(),
        connection_id: id.clone(),
        lease: lease.clone(),
        confirmation_delay: Duration::ZERO,
    }
}

async fn handle_invalid_grant(kit: &TestStore, which: &(ConnectionId, Lease)) -> InvalidGrantOutcome {
    kit.store.run(build_handle_invalid_grant(kit, which)).await.unwrap()
}

const fn auto_paused(number: i64) -> InvalidGrantOutcome {
    InvalidGrantOutcome::ProviderAutoPaused(RefreshStats { completed: number, invalid_grants: number })
}

async fn provider_is_paused_at_twenty_first_invalid_grant(kit: TestStore) {
    let all = create_leased_connections(&kit, "n", 23).await;
    for which in &all[..20] {
        assert_eq!(handle_invalid_grant(&kit, which).await, InvalidGrantOutcome::Ended);
        let connection = kit.get_connection(&which.0).await;
        assert_eq!(kit.find_end_cause(&which.0).await, Some(EndCause::Provider));
        assert_eq!(
            connection.provider_revocation,
            UpstreamRevocation::Pending,
            "the provider is notified, as at every end"
        );
        kit.connection_audit_actions(&which.0).await;
    }
    assert_eq!(kit.get_provider().await.state, ProviderState::Active);
    assert_eq!(handle_invalid_grant(&kit, &all[20]).await, auto_paused(21));
    assert_eq!(kit.get_provider().await.state, ProviderState::AutoPaused);
    for which in &all[21..] {
        assert_eq!(handle_invalid_grant(&kit, which).await, InvalidGrantOutcome::ProviderPaused);
    }
    for (id, _) in &all[20..] {
        assert_eq!(kit.get_connection(id).await.state, ConnectionState::Active);
        acquire_lease(&kit, id, 1).await; // fails unless the lease was released
    }
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, 20);
    let (word, particulars) = kit.provider_audit_events().await.pop().unwrap();
    let expected = json!({"state": "auto_paused", "refreshes": 21, "invalid_grants": 21});
    assert_eq!((word, particulars), ("provider.changed", expected));
    let counts = kit.store.query(&CountProviders).await.unwrap();
    assert_eq!((counts["active"], counts["auto_paused"]), (0, 1));
}

async fn concurrent_invalid_grants_end_at_most_twenty_connections(kit: TestStore) {
    let all = create_leased_connections(&kit, "n", 40).await;
    let commands = all.iter().map(|which| kit.store.run(build_handle_invalid_grant(&kit, which)));
    let outcomes = futures_util::future::join_all(commands).await;
    let outcomes: Vec<InvalidGrantOutcome> = outcomes.into_iter().map(Result::unwrap).collect();
    let number = |wanted: InvalidGrantOutcome| outcomes.iter().filter(|h| **h == wanted).count();
    assert_eq!(
        [
            number(InvalidGrantOutcome::Ended),
            number(auto_paused(21)),
            number(InvalidGrantOutcome::ProviderPaused)
        ],
        [20, 1, 19],
        "{outcomes:?}"
    );
    kit.provider_audit_events().await;
}

async fn reactivating_provider_starts_new_invalid_grant_window(kit: TestStore) {
    let all = create_leased_connections(&kit, "n", 3 * 21).await;
    // The clock of the test does not advance: the new window is identified by the change of state, not by the time.
    for span in all.chunks(21) {
        for which in &span[..20] {
            assert_eq!(handle_invalid_grant(&kit, which).await, InvalidGrantOutcome::Ended);
        }
        assert_eq!(handle_invalid_grant(&kit, &span[20]).await, auto_paused(21));
        kit.set_provider_state(ProviderState::Active).await;
    }
    kit.set_provider_state(ProviderState::Active).await;
    assert_eq!(kit.get_provider().await.state, ProviderState::Active);
    let last = acquire_lease(&kit, &all[20].0, 1).await;
    assert_eq!(
        store_credential(&kit, &all[20].0, last, "new").await,
        StoreCredentialOutcome::Stored,
        "it remains active"
    );
}

async fn invalid_grants_before_window_are_not_counted(mut kit: TestStore) {
    let mut all = create_leased_connections(&kit, "n", 22).await;
    for which in &all[..20] {
        assert_eq!(handle_invalid_grant(&kit, which).await, InvalidGrantOutcome::Ended);
    }
    kit.advance_clock(Duration::from_mins(10));
    for which in &mut all[20..] {
        which.1 = acquire_lease(&kit, &which.0, 1).await;
    }
    assert_eq!(handle_invalid_grant(&kit, &all[20]).await, InvalidGrantOutcome::Ended);
    assert_eq!(handle_invalid_grant(&kit, &all[21]).await, InvalidGrantOutcome::Ended);
}

async fn invalid_grants_up_to_two_percent_end_connections(kit: TestStore) {
    let all = create_leased_connections(&kit, "n", 3).await;
    assert_eq!(
        store_credential(&kit, &all[0].0, all[0].1.clone(), "new").await,
        StoreCredentialOutcome::Stored
    );
    // These counts, the stored refresh and the two failures below result in 22 failures of 1102 refreshes, then 23 of
    // 1103.
    let counted = |refreshes: i64, invalid: i64| {
        let minute = epoch_minute(kit.now);
        format!("INSERT INTO provider_refresh_stats VALUES (1000, 0, {minute}, 99, {refreshes}, {invalid})")
    };
    kit.execute_sql(&counted(1_100, 21)).await;
    assert_eq!(handle_invalid_grant(&kit, &all[1]).await, InvalidGrantOutcome::Ended, "22 of 1102");
    let refreshes = RefreshStats { completed: 1_103, invalid_grants: 23 };
    assert_eq!(
        handle_invalid_grant(&kit, &all[2]).await,
        InvalidGrantOutcome::ProviderAutoPaused(refreshes),
        "23 of 1103"
    );
}

async fn stale_and_repeated_invalid_grants_are_not_counted(kit: TestStore) {
    let all = create_leased_connections(&kit, "n", 22).await;
    let (id, old) = all[0].clone();
    assert_eq!(store_credential(&kit, &id, old.clone(), "new").await, StoreCredentialOutcome::Stored);
    kit.end_connection(&all[1].0, EndCause::Recipient, None).await;
    for _ in 0..30 {
        assert_eq!(handle_invalid_grant(&kit, &(id.clone(), old.clone())).await, InvalidGrantOutcome::Fenced);
        assert_eq!(handle_invalid_grant(&kit, &all[1]).await, InvalidGrantOutcome::AlreadyEnded);
    }
    for which in &all[2..] {
        assert_eq!(handle_invalid_grant(&kit, which).await, InvalidGrantOutcome::Ended);
    }
    assert_eq!(kit.get_connection(&id).await.state, ConnectionState::Active);
    assert_eq!(kit.find_end_cause(&all[1].0).await, Some(EndCause::Recipient));
}

async fn invalid_grant_at_paused_provider_ends_no_connection(kit: TestStore) {
    let all = create_leased_connections(&kit, "n", 1).await;
    for state in [ProviderState::Paused, ProviderState::Retired] {
        kit.set_provider_state(state).await;
        assert_eq!(handle_invalid_grant(&kit, &all[0]).await, InvalidGrantOutcome::ProviderPaused);
    }
    kit.set_provider_state(ProviderState::Active).await;
    assert_eq!(handle_invalid_grant(&kit, &all[0]).await, InvalidGrantOutcome::Ended);
}

const DELAY: Duration = Duration::from_secs(5);

async fn report_invalid_grant(kit: &TestStore, id: &ConnectionId, version: i64) -> InvalidGrantOutcome {
    let lease = acquire_lease(kit, id, version).await;
    let (moment, connection_id) = (kit.next_moment(), id.clone());
    kit.store
        .run(HandleInvalidGrant { moment, connection_id, lease, confirmation_delay: DELAY })
        .await
        .unwrap()
}

async fn second_invalid_grant_ends_connection_and_counts_once(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;

    assert_eq!(report_invalid_grant(&kit, &id, 1).await, InvalidGrantOutcome::AwaitingConfirmation);
    assert_eq!(report_invalid_grant(&kit, &id, 1).await, InvalidGrantOutcome::AwaitingConfirmation);
    assert!(crate::job::lease_job(&kit).await.is_none(), "the job is not due yet");
    kit.advance_clock(DELAY);

    let (job, _) = crate::job::lease_job(&kit).await.unwrap();
    assert_eq!((job.kind, job.connection_id), (JobKind::ConfirmInvalidGrant, Some(id.clone())));
    assert_eq!(report_invalid_grant(&kit, &id, 1).await, InvalidGrantOutcome::Ended);
    assert_eq!(kit.find_end_cause(&id).await, Some(EndCause::Provider));
    assert_eq!(kit.count_jobs("confirm_invalid_grant", "pending").await, 1, "it was queued once");
    // Nineteen others are within the limit of twenty, and the next one is not.
    for n in 0..20 {
        let name = format!("n{n}");
        let id = kit.create_active_connection(&name, "dc-acme", Some(&name)).await;
        let outcome = report_invalid_grant(&kit, &id, 1).await;
        let expected = if n < 19 { InvalidGrantOutcome::AwaitingConfirmation } else { auto_paused(21) };
        assert_eq!(outcome, expected, "{n}");
    }
}

async fn first_invalid_grant_is_forgotten_after_refresh_or_release(mut kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    report_invalid_grant(&kit, &id, 1).await;
    kit.advance_clock(DELAY);
    let lease = acquire_lease(&kit, &id, 1).await;
    store_credential(&kit, &id, lease, "new").await;

    assert_eq!(report_invalid_grant(&kit, &id, 2).await, InvalidGrantOutcome::AwaitingConfirmation);
    kit.advance_clock(DELAY);
    kit.set_provider_state(ProviderState::Paused).await;
    assert_eq!(report_invalid_grant(&kit, &id, 2).await, InvalidGrantOutcome::ProviderPaused);
    kit.set_provider_state(ProviderState::Active).await;
    assert_eq!(report_invalid_grant(&kit, &id, 2).await, InvalidGrantOutcome::AwaitingConfirmation);
}
