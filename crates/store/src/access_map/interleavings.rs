//! Runs questions and commits in every interleaving (with a limited number of preemptions), on the source of the map that
//! the store uses, compiled a second time with the primitives of `loom`.

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::client::{ClientState, Profile};
use domain::model::connection::{ConnectionStatus, UpstreamRevocation};
use domain::model::provider::ProviderState;
use domain::model::registration::RegistrationState;
use domain::rule::access::AccessState;
use domain::{Clusters, Timestamp};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};

use barrier::BarrierNumber;
use map::{AccessMap, ChangedRows};
use rows::{ConnectionRow, RowKey};

mod sync {
    pub(super) use loom::sync::Mutex;
    pub(super) use loom::sync::atomic::AtomicU64;
}

#[path = "barrier.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source with other primitives")]
mod barrier;
#[path = "compact.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source with other primitives")]
mod compact;
#[path = "entry_map.rs"]
#[expect(clippy::duplicate_mod, reason = "the same source with other primitives")]
mod entry_map;
#[path = "map.rs"]
#[expect(clippy::duplicate_mod, dead_code, unreachable_pub, reason = "the same source with other primitives")]
mod map;
#[path = "rows.rs"]
#[expect(clippy::duplicate_mod, dead_code, unreachable_pub, reason = "the same source with other primitives")]
mod rows;

mod nodes;

/// A store with one connection: a database whose reads are consistent, and the map.
struct ModelStore {
    map: AccessMap,
    database: Mutex<ModelDatabase>,
    is_acknowledged: AtomicBool,
}

#[derive(Clone)]
struct ModelDatabase {
    state: AccessState,
    replaced_by: Option<ConnectionId>,
}

fn connection_id(text: &str) -> ConnectionId {
    ConnectionId::parse(text).unwrap()
}

fn build_state() -> AccessState {
    AccessState {
        connection_id: connection_id("con_a"),
        client_id: ClientId::parse("dc-acme").unwrap(),
        provider_id: ProviderId::new(1000),
        sub: "sub".into(),
        status: ConnectionStatus::Active,
        cause: None,
        successor_active: false,
        provider_revocation: UpstreamRevocation::Unsupported,
        expires_at: Timestamp::EPOCH,
        token_generation: 1,
        clusters: Clusters::NONE,
        accounts: None,
        client_state: ClientState::Active,
        profile: Profile::Flinks,
        registration_state: Some(RegistrationState::Active),
        provider_state: ProviderState::Active,
    }
}

fn build_row(ModelDatabase { state, replaced_by }: ModelDatabase) -> ConnectionRow {
    ConnectionRow {
        client_id: state.client_id,
        provider_id: state.provider_id,
        sub: state.sub.into(),
        status: state.status,
        cause: state.cause,
        replaced_by: replaced_by.map(Box::new),
        provider_revocation: state.provider_revocation,
        expires_at: state.expires_at,
        token_generation: state.token_generation,
        clusters: state.clusters,
        accounts: state.accounts,
    }
}

impl ModelStore {
    fn new(state: AccessState) -> Arc<Self> {
        Arc::new(Self {
            map: AccessMap::with_shards(1 << 20, 1, false),
            database: Mutex::new(ModelDatabase { state, replaced_by: None }),
            is_acknowledged: AtomicBool::new(false),
        })
    }

    /// Asks for the state of the connection in the way of the store.
    fn ask(&self) -> AccessState {
        let id = connection_id("con_a");
        if let Some(state) = self.map.answer(BarrierNumber::LAST, |map| map.find_access_state(&id)) {
            return state;
        }
        let fill = self.map.start_fill();
        let row = build_row(self.read_database());
        if let Some(state) = fill.insert_connection(&id, row) {
            return state;
        }
        let ModelDatabase { state, replaced_by } = self.read_database();
        fill.insert_access_state(&state, replaced_by);
        state
    }

    fn read_database(&self) -> ModelDatabase {
        self.database.lock().unwrap().clone()
    }

    /// Commits a change of one row in the way of the writer.
    fn commit(&self, key: RowKey, change: impl FnOnce(&mut AccessState)) {
        let closed = self.map.close(ChangedRows::Keys(vec![key]));
        change(&mut self.database.lock().unwrap().state);
        drop(closed);
    }

    fn end_connection(&self) {
        let key = RowKey::Connection(connection_id("con_a"));
        self.commit(key, |state| state.status = ConnectionStatus::Revoked);
    }
}

/// Runs a model in every interleaving with at most this number of preemptions.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Asks, and checks that the response does not contradict an end that was acknowledged before the question.
fn ask_after_acknowledgement(store: &ModelStore) -> ConnectionStatus {
    let is_acknowledged = store.is_acknowledged.load(Ordering::SeqCst);
    let status = store.ask().status;
    assert!(!is_acknowledged || status == ConnectionStatus::Revoked, "a stale state after the response");
    status
}

#[test]
fn answer_after_acknowledged_end_is_never_stale() {
    check(2, || {
        let store = ModelStore::new(build_state());
        let asking = Arc::clone(&store);
        let reader = loom::thread::spawn(move || {
            ask_after_acknowledgement(&asking);
            ask_after_acknowledgement(&asking);
        });

        store.end_connection();
        store.is_acknowledged.store(true, Ordering::SeqCst);
        ask_after_acknowledgement(&store);

        reader.join().unwrap();
    });
}

#[test]
fn later_answer_is_never_older_than_earlier_one() {
    check(2, || {
        let store = ModelStore::new(build_state());
        let ask_twice = |store: Arc<ModelStore>| {
            move || {
                let first = store.ask().status;
                let second = store.ask().status;
                assert!(
                    first == ConnectionStatus::Active || second == ConnectionStatus::Revoked,
                    "an ended connection is active again"
                );
            }
        };
        let reader = loom::thread::spawn(ask_twice(Arc::clone(&store)));
        let ending = Arc::clone(&store);
        let writer = loom::thread::spawn(move || ending.end_connection());

        ask_twice(Arc::clone(&store))();

        reader.join().unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn joined_rows_existed_at_the_same_time() {
    check(3, || {
        let store = ModelStore::new(AccessState { provider_state: ProviderState::Paused, ..build_state() });
        // The rows are in memory at the beginning.
        store.ask();
        let asking = Arc::clone(&store);
        let reader = loom::thread::spawn(move || {
            let state = asking.ask();
            assert!(
                state.status != ConnectionStatus::Active || state.provider_state != ProviderState::Active,
                "the connection had ended before the provider was released"
            );
        });

        store.end_connection();
        let provider = RowKey::Provider(ProviderId::new(1000));
        store.commit(provider, |state| state.provider_state = ProviderState::Active);
        // Another question inserts the new row of the provider.
        store.ask();

        reader.join().unwrap();
    });
}

#[test]
fn cleared_map_answers_from_the_database() {
    check(3, || {
        let store = ModelStore::new(build_state());
        let asking = Arc::clone(&store);
        let reader = loom::thread::spawn(move || {
            asking.ask();
        });

        // Another process commits, and the next question notices it.
        store.database.lock().unwrap().state.status = ConnectionStatus::Revoked;
        store.map.clear();
        let status = store.ask().status;

        reader.join().unwrap();
        assert_eq!(status, ConnectionStatus::Revoked);
        assert_eq!(store.ask().status, ConnectionStatus::Revoked);
    });
}
