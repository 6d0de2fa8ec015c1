//! Tests of the commands and queries that only the benchmark uses.

use domain::id::{CustomerId, ProviderId};
use domain::model::connection::{ConnectionState, EndCause};
use store::Location;
use store::command::{AnalyzeTables, EndOutcome, InstallLogInspection, SeedConnections, SeededConnection};
use store::query::{GetDatabaseSize, GetPageImageBytes, GetWriteCounters};

use crate::support::{DAY, TestStore, connection_id, hash, on_both, parse_client_id, seal, test_clusters};

on_both!(
    seeded_connections_have_the_audit_events_of_a_login,
    database_size_grows_with_the_connections,
    write_counters_exist_on_postgres_only,
);

impl TestStore {
    /// Seeds connections: active ones with the refresh token `refresh-NAME`.
    async fn seed_active(&self, names: impl Iterator<Item = String>) {
        let connections = names.map(|name| SeededConnection {
            id: connection_id(&name),
            customer_id: format!("cus_{name}").parse::<CustomerId>().unwrap(),
            refresh_hash: Some(hash(&format!("refresh-{name}"))),
            code_hash: None,
            access_token: seal("access token"),
            refresh_token: seal("refresh token"),
        });
        self.seed(connections.collect()).await;
    }

    async fn seed(&self, connections: Vec<SeededConnection>) {
        let seed = SeedConnections {
            moment: self.next_moment(),
            client_id: parse_client_id("dc-acme"),
            provider_id: ProviderId::new(1000),
            clusters: test_clusters(),
            expires_at: self.now.plus(30 * DAY),
            redirect_uri: "https://acme.example.org/back".into(),
            connections,
        };
        self.store.run(seed).await.unwrap();
    }
}

async fn seeded_connections_have_the_audit_events_of_a_login(kit: TestStore) {
    kit.seed_active(["one".to_owned(), "other".to_owned()].into_iter()).await;
    let id = connection_id("one");

    let before = kit.get_connection(&id).await.state;
    let outcome = kit.end_connection(&id, EndCause::Recipient, None).await;

    assert_eq!((before, outcome), (ConnectionState::Active, EndOutcome::Ended(EndCause::Recipient)));
    let actions = kit.connection_audit_actions(&id).await;
    assert_eq!(actions, ["connection.opened", "connection.activated", "connection.ended"]);
    assert_eq!(kit.count_jobs("revoke_at_provider", "pending").await, 1);
}

async fn database_size_grows_with_the_connections(kit: TestStore) {
    let before = kit.store.query(&GetDatabaseSize).await.unwrap();

    kit.seed_active((0..500).map(|n| format!("n{n}"))).await;
    kit.store.run(AnalyzeTables { moment: kit.next_moment() }).await.unwrap();

    let after = kit.store.query(&GetDatabaseSize).await.unwrap();
    let per_connection = (after - before) / 500;
    assert!((500..20_000).contains(&per_connection), "{before} bytes, then {after}");
}

async fn write_counters_exist_on_postgres_only(kit: TestStore) {
    kit.store.run(InstallLogInspection { moment: kit.next_moment() }).await.unwrap();
    let before = kit.store.query(&GetWriteCounters).await.unwrap();
    kit.seed_active((0..500).map(|n| format!("n{n}"))).await;
    let after = kit.store.query(&GetWriteCounters).await.unwrap();

    let is_postgres = matches!(kit.location, Location::Postgres(_));
    assert_eq!((before.is_some(), after.is_some()), (is_postgres, is_postgres));
    let positions = before.zip(after).map(|(before, after)| (before.log_position, after.log_position));
    let (from, to) = positions.unwrap_or((0, 1));
    // The server writes the log of every test, so that only a lower limit is known.
    assert!(to > from, "{from} to {to}");
    let images = kit.store.query(&GetPageImageBytes { from, to }).await.unwrap();
    assert!((0..=to - from).contains(&images), "{images} bytes of images in {} bytes of log", to - from);
}
