//! Tests of the access map: no answer contradicts a commit that was acknowledged before the question.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::id::ConnectionId;
use domain::model::client::ClientState;
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::provider::ProviderState;
use domain::rule::access::AccessState;
use store::AccessMapStats;
use store::command::ClientUpdate;
use store::query::{FindRefreshToken, GetAccessState, GetClient};

use crate::support::{TestStore, connection_id, hashes, on_both, parse_client_id, seal_accounts};

on_both!(
    acknowledged_change_of_each_row_is_seen_by_next_question,
    acknowledged_connection_end_is_seen_by_next_question,
    end_of_successor_is_seen_by_replaced_connection,
    commit_of_other_process_is_seen_by_next_question,
    rows_stay_in_memory_while_others_change,
    access_map_stays_below_its_limit,
);

pub(crate) async fn ask(kit: &TestStore, id: &ConnectionId) -> AccessState {
    kit.store.query(&GetAccessState { connection_id: id.clone() }).await.unwrap().unwrap()
}

pub(crate) fn stats(kit: &TestStore) -> AccessMapStats {
    kit.store.access_map_stats()
}

/// Asks until the rows are in memory. The first barrier on PostgreSQL empties the memory.
pub(crate) async fn warm_up(kit: &TestStore, id: &ConnectionId) {
    for _ in 0..3 {
        ask(kit, id).await;
    }
}

/// Runs `commits` while other tasks ask for the access state, so that rows are read and inserted at every moment.
async fn run_with_readers(kit: Arc<TestStore>, id: ConnectionId, commits: impl AsyncFnOnce(&TestStore)) {
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (kit, id, is_over) = (Arc::clone(&kit), id.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut pause = tokio::time::interval(std::time::Duration::from_millis(1));
                while !is_over.load(Ordering::Relaxed) {
                    ask(&kit, &id).await;
                    // Readers that never wait would leave the writer no time on a machine with few cores.
                    pause.tick().await;
                }
            })
        })
        .collect();

    commits(&kit).await;

    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn acknowledged_change_of_each_row_is_seen_by_next_question(kit: TestStore) {
    let kit = Arc::new(kit);
    let id = kit.create_active_connection("a", "dc-acme", None).await;
    run_with_readers(Arc::clone(&kit), id.clone(), async |kit| {
        for round in 0..400 {
            let (client, provider) = match round % 2 {
                0 => (ClientState::Suspended, ProviderState::Paused),
                _ => (ClientState::Active, ProviderState::Active),
            };

            assert!(
                kit.update_client("dc-acme", ClientUpdate::Suspended(client == ClientState::Suspended)).await
            );
            assert_eq!(ask(kit, &id).await.client_state, client, "round {round}");
            let acme = kit.store.query(&GetClient { id: parse_client_id("dc-acme") }).await.unwrap();
            assert_eq!(acme.unwrap().state, client, "round {round}");
            kit.set_provider_state(provider).await;
            assert_eq!(ask(kit, &id).await.provider_state, provider, "round {round}");
            assert_eq!(kit.get_provider().await.state, provider, "round {round}");
        }
    })
    .await;

    assert!(stats(&kit).hits > 0, "{:?}", stats(&kit));
}

async fn acknowledged_connection_end_is_seen_by_next_question(kit: TestStore) {
    let kit = Arc::new(kit);
    for round in 0..150 {
        let name = format!("n{round}");
        let id = kit.create_active_connection(&name, "dc-acme", None).await;
        let query = FindRefreshToken { hashes: hashes(&format!("refresh-{name}")) };
        run_with_readers(Arc::clone(&kit), id.clone(), async |kit| {
            assert!(kit.store.query(&query).await.unwrap().is_some());

            kit.end_connection(&id, EndCause::Recipient, None).await;

            assert_eq!(ask(kit, &id).await.status, ConnectionStatus::Revoked, "round {round}");
            // The row of the token is deleted later, in the background.
            let token = kit.store.query(&query).await.unwrap();
            let status = token.map(|token| token.access_state.status);
            assert!(status.is_none_or(|status| status == ConnectionStatus::Revoked), "round {round}");
        })
        .await;
    }
}

async fn end_of_successor_is_seen_by_replaced_connection(kit: TestStore) {
    let replaced = kit.create_active_connection("a", "dc-acme", Some("alice")).await;
    let successor = kit.create_active_connection("b", "dc-acme", Some("alice")).await;
    for id in [&successor, &replaced] {
        warm_up(&kit, id).await;
    }
    let before = stats(&kit);
    assert!(ask(&kit, &replaced).await.successor_active);
    assert_eq!(stats(&kit).hits - before.hits, 1, "both connections are in memory");

    kit.end_connection(&successor, EndCause::Recipient, None).await;

    assert!(!ask(&kit, &replaced).await.successor_active);
}

async fn commit_of_other_process_is_seen_by_next_question(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", None).await;
    warm_up(&kit, &id).await;
    for round in 0..20 {
        ask(&kit, &id).await;
        let before = stats(&kit);
        ask(&kit, &id).await;
        assert_eq!(stats(&kit).hits - before.hits, 1, "the rows are in memory");

        // The statement runs on a connection that the store does not know.
        kit.execute_sql("UPDATE connections SET provider_revocation = 'unknown'").await;

        let state = ask(&kit, &id).await;
        assert_eq!(state.provider_revocation, UpstreamRevocation::Unknown, "round {round}");
        // The next commit of the store must not hide that of the other connection.
        kit.execute_sql("UPDATE connections SET provider_revocation = 'refused'").await;
        assert!(
            kit.update_client(
                "dc-other",
                ClientUpdate::RedirectUris(vec![format!("https://app.example.org/{round}")])
            )
            .await
        );
        let state = ask(&kit, &id).await;
        assert_eq!(state.provider_revocation, UpstreamRevocation::Refused, "round {round}");
    }
}

async fn rows_stay_in_memory_while_others_change(kit: TestStore) {
    let id = kit.create_active_connection("a", "dc-acme", None).await;
    warm_up(&kit, &id).await;
    let before = stats(&kit);

    for round in 0..20 {
        kit.create_active_connection(&format!("n{round}"), "dc-other", None).await;
        ask(&kit, &id).await;
    }

    let after = stats(&kit);
    assert_eq!((after.hits - before.hits, after.misses - before.misses), (20, 0));
}

async fn access_map_stays_below_its_limit(kit: TestStore) {
    let mut ids = Vec::new();
    for round in 0..60 {
        let name = format!("n{round}");
        kit.create_exchanging_request(&name, "dc-acme").await;
        let mut open = kit.build_open_connection(&name, None);
        open.accounts = Some(seal_accounts(&vec!["an-account-of-the-provider".repeat(8); 100]));
        kit.store.run(open).await.unwrap();
        kit.redeem_code(&name, "dc-acme").await;
        ids.push(connection_id(&name));
    }

    for id in ids.iter().chain(&ids) {
        assert_eq!(ask(&kit, id).await.accounts.unwrap().len(), 100);
    }
    let unknown = GetAccessState { connection_id: connection_id("unknown") };
    assert!(kit.store.query(&unknown).await.unwrap().is_none());

    let stats = stats(&kit);
    assert!(stats.bytes <= 1024 * 1024, "{stats:?}");
    assert!(stats.entries > 0 && stats.entries < 60, "lists of 30 KiB do not all fit: {stats:?}");
}
