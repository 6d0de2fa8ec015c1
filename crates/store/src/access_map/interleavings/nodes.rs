//! Questions that wait for barriers, while another node commits.

use domain::id::ProviderId;
use domain::model::connection::ConnectionStatus;
use domain::model::provider::ProviderState;
use domain::rule::access::AccessState;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};

use super::barrier::BarrierNumber;
use super::map::{AccessMap, ChangedRows, MapView};
use super::rows::RowKey;
use super::{build_state, check, connection_id};

/// A node with a map, and the server that it shares with another node. The other node is not modelled: it only commits.
struct ModelNode {
    map: AccessMap,
    server: Mutex<ModelServer>,
    /// The number of changes that the barriers of the node have seen. A barrier holds the lock: only one runs at a time.
    seen_changes: Mutex<usize>,
    is_acknowledged: AtomicBool,
}

struct ModelServer {
    state: AccessState,
    /// The committed changes, so that a snapshot is their number.
    changes: Vec<RowKey>,
}

fn find(map: &MapView<'_>) -> Option<AccessState> {
    map.find_access_state(&connection_id("con_a"))
}

const fn provider_key() -> RowKey {
    RowKey::Provider(ProviderId::new(1000))
}

impl ModelNode {
    fn new(state: AccessState) -> Arc<Self> {
        Arc::new(Self {
            map: AccessMap::with_shards(1 << 20, 1, true),
            server: Mutex::new(ModelServer { state, changes: Vec::new() }),
            seen_changes: Mutex::new(0),
            is_acknowledged: AtomicBool::new(false),
        })
    }

    /// Asks for the state of the connection in the way of the store.
    fn ask(&self) -> AccessState {
        if self.map.view_any(|map| map.has_connection(&connection_id("con_a"))) {
            let barrier = self.pass_barrier();
            if let Some(state) = self.map.answer(barrier, find) {
                return state;
            }
        }
        let fill = self.map.start_fill();
        let state = self.server.lock().unwrap().state.clone();
        fill.insert_access_state(&state, None);
        state
    }

    fn pass_barrier(&self) -> BarrierNumber {
        let mut seen = self.seen_changes.lock().unwrap();
        let number = self.map.start_barrier();
        let changes = self.server.lock().unwrap().changes[*seen..].to_vec();
        *seen += changes.len();
        self.map.apply_barrier(ChangedRows::Keys(changes));
        number
    }

    fn commit(&self, key: RowKey, change: impl FnOnce(&mut AccessState)) {
        let mut server = self.server.lock().unwrap();
        change(&mut server.state);
        server.changes.push(key);
    }

    fn end_connection(&self) {
        let key = RowKey::Connection(connection_id("con_a"));
        self.commit(key, |state| state.status = ConnectionStatus::Revoked);
    }
}

/// Asks, and checks that the response does not contradict an end that was acknowledged before the question.
fn ask_after_acknowledgement(node: &ModelNode) {
    let is_acknowledged = node.is_acknowledged.load(Ordering::SeqCst);
    let status = node.ask().status;
    assert!(!is_acknowledged || status == ConnectionStatus::Revoked, "a stale state after the response");
}

#[test]
fn answer_after_end_on_other_node_is_never_stale() {
    check(2, || {
        let node = ModelNode::new(build_state());
        let asking = Arc::clone(&node);
        let reader = loom::thread::spawn(move || {
            ask_after_acknowledgement(&asking);
            ask_after_acknowledgement(&asking);
        });

        node.end_connection();
        node.is_acknowledged.store(true, Ordering::SeqCst);
        ask_after_acknowledgement(&node);

        reader.join().unwrap();
    });
}

#[test]
fn later_answer_after_barrier_is_never_older() {
    check(2, || {
        let node = ModelNode::new(build_state());
        node.ask();
        let ask_twice = |node: Arc<ModelNode>| {
            move || {
                let first = node.ask().status;
                let second = node.ask().status;
                assert!(
                    first == ConnectionStatus::Active || second == ConnectionStatus::Revoked,
                    "an ended connection is active again"
                );
            }
        };
        let reader = loom::thread::spawn(ask_twice(Arc::clone(&node)));
        let ending = Arc::clone(&node);
        let writer = loom::thread::spawn(move || ending.end_connection());

        ask_twice(Arc::clone(&node))();

        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Runs a question while a connection ends and its provider is released afterwards. `between` runs on the node before these commits.
fn check_joined_rows(between: fn(&ModelNode)) {
    check(3, move || {
        let node = ModelNode::new(AccessState { provider_state: ProviderState::Paused, ..build_state() });
        // The rows are in memory at the beginning.
        node.ask();
        let asking = Arc::clone(&node);
        let reader = loom::thread::spawn(move || {
            let state = asking.ask();
            assert!(
                state.status != ConnectionStatus::Active || state.provider_state != ProviderState::Active,
                "the connection had ended before the provider was released"
            );
        });

        // A barrier that sees only this change removes the row of the provider, and keeps that of the connection.
        node.commit(provider_key(), |_| {});
        between(&node);
        node.end_connection();
        node.commit(provider_key(), |state| state.provider_state = ProviderState::Active);
        // Another question inserts the new row of the provider.
        node.ask();

        reader.join().unwrap();
    });
}

#[test]
fn row_read_after_a_barrier_was_sent_is_not_joined() {
    check_joined_rows(|_| {});
}

#[test]
fn row_read_after_a_later_barrier_is_not_joined() {
    check_joined_rows(|node| {
        node.pass_barrier();
    });
}
