//! Tests of the number of round trips to PostgreSQL that commands on hot paths need. They cost more than the statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::model::connection::EndCause;
use store::command::{EndOutcome, RedeemOutcome, UpsertProvider};
use store::{Location, PostgresSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TestStore, build_provider, create_database, operator_actor};

/// The time in which everything that a client sends without waiting has arrived.
const BURST: Duration = Duration::from_millis(5);

/// A proxy to PostgreSQL that counts how often a client sends something after it has received something.
struct CountingProxy {
    trips: Arc<AtomicU64>,
}

impl CountingProxy {
    /// Starts a proxy, and returns the location of a database through it.
    async fn start(database: &PostgresSettings) -> (Self, Location) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, name) = database.url.expose().rsplit_once('/').unwrap();
        let (user, target) = server.rsplit_once('@').unwrap();
        let location = format!("{user}@{}/{name}", listener.local_addr().unwrap());
        let (trips, target) = (Arc::new(AtomicU64::new(0)), target.to_owned());
        let counted = Arc::clone(&trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&counted)));
            }
        });
        (Self { trips }, Location::parse(&location).unwrap())
    }

    /// Returns the smallest number of trips of some runs. The task that renews the lease sends something from time to time.
    async fn count(&self, mut run: impl AsyncFnMut(usize)) -> u64 {
        let mut least = u64::MAX;
        for round in 0..3 {
            let before = self.trips.load(Ordering::SeqCst);
            run(round).await;
            least = least.min(self.trips.load(Ordering::SeqCst) - before);
        }
        least
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, trips: Arc<AtomicU64>) -> Option<()> {
    let (mut sent, mut received) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_answered = true;
    loop {
        let count = tokio::select! {
            count = client.read(&mut sent) => count.ok()?,
            count = server.read(&mut received) => {
                let count = count.ok().filter(|count| *count > 0)?;
                wait_for_burst().await;
                // What the client has sent in the meantime, it has sent without waiting for this response.
                if let Ok(count) = client.try_read(&mut sent) {
                    send(&mut server, &sent[..count], &mut is_answered, &trips).await?;
                }
                client.write_all(&received[..count]).await.ok()?;
                is_answered = true;
                continue;
            }
        };
        send(&mut server, &sent[..count], &mut is_answered, &trips).await?;
    }
}

/// Sends something to the server. It is another trip if the client has received something before.
async fn send(server: &mut TcpStream, bytes: &[u8], is_answered: &mut bool, trips: &AtomicU64) -> Option<()> {
    if std::mem::take(is_answered) {
        trips.fetch_add(1, Ordering::SeqCst);
    }
    server.write_all(Some(bytes).filter(|bytes| !bytes.is_empty())?).await.ok()
}

async fn wait_for_burst() {
    let mut interval = tokio::time::interval(BURST);
    interval.tick().await;
    interval.tick().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchange_and_end_need_few_round_trips() {
    let Location::Postgres(database) = create_database().await else { panic!("PostgreSQL") };
    let (proxy, location) = CountingProxy::start(&database).await;
    let kit = TestStore::create(location, None).await;
    let mut pending = Vec::new();
    for name in ["a", "b", "c", "d"] {
        pending.push(kit.create_pending_connection(name, "dc-acme", Some(name)).await);
    }
    // The first run prepares the statements.
    kit.redeem_code("d", "dc-acme").await;
    kit.end_connection(&pending.remove(3), EndCause::Recipient, None).await;

    let exchange = proxy.count(async |round| {
        let outcome = kit.redeem_code(["a", "b", "c"][round], "dc-acme").await;
        assert!(matches!(outcome, RedeemOutcome::Activated(_)), "{outcome:?}");
    });
    let exchange = exchange.await;
    let end = proxy.count(async |round| {
        let outcome = kit.end_connection(&pending[round], EndCause::Recipient, None).await;
        assert_eq!(outcome, EndOutcome::Ended(EndCause::Recipient));
    });
    let end = end.await;
    let mut provider = build_provider(1000);
    provider.settings.revoke.clear();
    let (moment, actor) = (kit.next_moment(), operator_actor());
    kit.store.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap();
    let mut others = Vec::new();
    for name in ["e", "f", "g"] {
        others.push(kit.create_pending_connection(name, "dc-acme", Some(name)).await);
    }
    let end_without_revocation = proxy.count(async |round| {
        let outcome = kit.end_connection(&others[round], EndCause::Recipient, None).await;
        assert_eq!(outcome, EndOutcome::Ended(EndCause::Recipient));
    });
    let end_without_revocation = end_without_revocation.await;

    assert_eq!(exchange, 4, "the lock, what is read under it, the lock of the customer, and the commit");
    assert_eq!(end, 3, "the lock with the credential, the settings of the provider, and the commit");
    assert_eq!(end_without_revocation, 3, "former endpoints are not read");
}
