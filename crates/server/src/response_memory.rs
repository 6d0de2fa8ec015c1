//! The memory of responses that clients have not taken, for each connection and in total.
//!
//! A client that does not read its responses must not make the hub keep more and more of them. Further requests of its
//! connection wait, and a large response gets 503. In total, the connection that keeps most of the memory is closed, so
//! that clients that read are not affected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::ServerSection;
use crate::rate_limit::Network;

/// The size up to which a response is never refused. An error response, which would replace it, is not smaller.
const SMALL_RESPONSE_BYTES: usize = 4 * 1024;

/// The memory of the responses of this node.
pub(crate) struct ResponseMemory(Arc<NodeMemory>);

struct NodeMemory {
    /// The maximum for all connections.
    total: usize,
    /// The maximum for one connection.
    per_connection: usize,
    used: AtomicUsize,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    last_id: u64,
    open: HashMap<u64, Arc<ConnectionMemory>>,
}

/// The memory of the requests and responses of one connection.
pub(crate) struct ConnectionMemory {
    node: Arc<NodeMemory>,
    network: Option<Network>,
    /// The bytes of requests and responses.
    used: AtomicUsize,
    /// The bytes of responses.
    responses: AtomicUsize,
    /// Notified when the client has taken responses.
    taken: Notify,
    is_evicted: AtomicBool,
    evicted: Notify,
}

/// A connection that is open. It ends when it is dropped.
pub(crate) struct OpenConnection {
    id: u64,
    memory: Arc<ConnectionMemory>,
}

/// The use of an amount of memory, which ends when it is dropped.
pub(crate) struct Charge {
    memory: Arc<ConnectionMemory>,
    bytes: usize,
    is_response: bool,
}

/// The memory of one request and its response.
pub(crate) struct ResponseSlot {
    memory: Arc<ConnectionMemory>,
    /// The part of the response that was admitted, and is not yet charged to one of its chunks.
    admitted: Charge,
    _request: Charge,
}

/// Error for a response that is too large, because the client has not taken earlier ones of its connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponsesNotTaken;

impl ResponseMemory {
    /// Creates the limits from the configuration.
    pub(crate) fn new(section: &ServerSection) -> Self {
        Self::with_limits(section.responses.bytes(), section.connection_responses.bytes())
    }

    fn with_limits(total: usize, per_connection: usize) -> Self {
        Self(Arc::new(NodeMemory {
            total,
            per_connection,
            used: AtomicUsize::new(0),
            connections: Mutex::default(),
        }))
    }

    /// Registers a connection from a network; `None` for the hub's Unix socket.
    pub(crate) fn open_connection(&self, network: Option<Network>) -> OpenConnection {
        let memory = Arc::new(ConnectionMemory {
            node: Arc::clone(&self.0),
            network,
            used: AtomicUsize::new(0),
            responses: AtomicUsize::new(0),
            taken: Notify::new(),
            is_evicted: AtomicBool::new(false),
            evicted: Notify::new(),
        });
        let mut connections = lock(&self.0.connections);
        connections.last_id += 1;
        let id = connections.last_id;
        connections.open.insert(id, Arc::clone(&memory));
        OpenConnection { id, memory }
    }

    /// Returns the number of bytes in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl NodeMemory {
    fn add(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.total {
            self.evict();
        }
    }

    /// Closes the largest connections until the others are within the limit.
    fn evict(&self) {
        let connections = lock(&self.connections);
        let mut networks: HashMap<Option<Network>, usize> = HashMap::new();
        let mut open: Vec<_> = Vec::new();
        for memory in connections.open.values() {
            // A connection that was closed before frees its memory as soon as its task runs.
            let used = memory.used.load(Ordering::Relaxed);
            if used > 0 && !memory.is_evicted.load(Ordering::Relaxed) {
                *networks.entry(memory.network).or_default() += used;
                open.push((used, memory));
            }
        }
        let mut total: usize = networks.values().sum();
        while total > self.total {
            // A client with many small connections must not displace another one with a larger response, so the networks
            // are compared first.
            let largest = open.iter().enumerate().max_by_key(|(_, (used, memory))| {
                (networks.get(&memory.network).copied().unwrap_or_default(), *used)
            });
            let Some((index, _)) = largest else { return };
            let (used, memory) = open.swap_remove(index);
            if let Some(network) = networks.get_mut(&memory.network) {
                *network = network.saturating_sub(used);
            }
            total = total.saturating_sub(used);
            memory.is_evicted.store(true, Ordering::Relaxed);
            memory.evicted.notify_one();
        }
    }
}

impl OpenConnection {
    pub(crate) fn memory(&self) -> &Arc<ConnectionMemory> {
        &self.memory
    }

    /// Waits until this connection must be closed, because the node keeps too many responses and most of them are its own.
    pub(crate) async fn wait_for_eviction(&self) {
        self.memory.evicted.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        lock(&self.memory.node.connections).open.remove(&self.id);
    }
}

impl ConnectionMemory {
    /// Returns a slot for a request of this size and its response.
    pub(crate) fn start_request(self: &Arc<Self>, bytes: usize) -> ResponseSlot {
        ResponseSlot {
            _request: Charge::new(self, bytes, false),
            admitted: Charge::new(self, 0, true),
            memory: Arc::clone(self),
        }
    }
}

impl Charge {
    fn new(memory: &Arc<ConnectionMemory>, bytes: usize, is_response: bool) -> Self {
        let mut charge = Self { memory: Arc::clone(memory), bytes: 0, is_response };
        charge.add(bytes);
        charge
    }

    fn add(&mut self, bytes: usize) {
        if bytes > 0 {
            self.bytes += bytes;
            self.memory.used.fetch_add(bytes, Ordering::Relaxed);
            if self.is_response {
                self.memory.responses.fetch_add(bytes, Ordering::Relaxed);
            }
            self.memory.node.add(bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
            self.memory.node.used.fetch_sub(self.bytes, Ordering::Relaxed);
            if self.is_response {
                self.memory.responses.fetch_sub(self.bytes, Ordering::Relaxed);
                self.memory.taken.notify_waiters();
            }
        }
    }
}

impl ResponseSlot {
    /// Waits until the client has taken so many of its earlier responses that another request may run.
    pub(crate) async fn wait_for_space(&self) {
        loop {
            // It is created before the check, so that it is woken by a response that is taken after it.
            let taken = self.memory.taken.notified();
            if self.memory.responses.load(Ordering::Relaxed) <= self.memory.node.per_connection / 2 {
                return;
            }
            taken.await;
        }
    }

    /// Admits a response of this size, or refuses it if the client has not taken earlier ones.
    pub(crate) fn admit(&mut self, bytes: usize) -> Result<(), ResponsesNotTaken> {
        // Responses of several streams may be admitted at the same time, each by a thread of its own, so a connection may exceed
        // its limit by one response for each thread. Their memory counts towards the total limit.
        let others = self.memory.responses.load(Ordering::Relaxed);
        // A response that is larger than the limit is admitted if it is the only one.
        if bytes > SMALL_RESPONSE_BYTES
            && others > 0
            && others.saturating_add(bytes) > self.memory.node.per_connection
        {
            return Err(ResponsesNotTaken);
        }
        self.admitted.add(bytes);
        Ok(())
    }

    /// Returns the charge for the next chunk of the response. Chunks of a response of unknown size are charged now.
    pub(crate) fn charge_chunk(&mut self, bytes: usize) -> Charge {
        let missing = bytes.saturating_sub(self.admitted.bytes);
        self.admitted.add(missing);
        self.admitted.bytes -= bytes;
        Charge { memory: Arc::clone(&self.memory), bytes, is_response: true }
    }
}

fn lock(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn network(number: u8) -> Network {
        Network::from_address([192, 0, number, 1].into())
    }

    fn is_evicted(connection: &OpenConnection) -> bool {
        connection.wait_for_eviction().now_or_never().is_some()
    }

    #[test]
    fn responses_of_connection_wait_and_are_refused_above_limit() {
        let memory = ResponseMemory::with_limits(1 << 30, 100_000);
        let connection = memory.open_connection(Some(network(1)));
        let mut first = connection.memory().start_request(10);
        let mut second = connection.memory().start_request(10);
        let other = memory.open_connection(Some(network(1)));

        let large = first.admit(300_000);
        let refused = (second.admit(5_000), second.admit(SMALL_RESPONSE_BYTES));
        let waits = second.wait_for_space().now_or_never().is_none();
        let admitted = other.memory().start_request(0).admit(90_000);

        assert_eq!((large, refused, admitted), (Ok(()), (Err(ResponsesNotTaken), Ok(())), Ok(())));
        assert!(waits, "a request waits for the responses before it");
        drop(first);
        assert!(second.wait_for_space().now_or_never().is_some());
        drop((second, connection, other));
        assert_eq!((memory.used_bytes(), lock(&memory.0.connections).open.len()), (0, 0));
    }

    #[test]
    fn chunks_keep_charge_of_response_until_they_are_dropped() {
        let memory = ResponseMemory::with_limits(1 << 30, 100_000);
        let connection = memory.open_connection(None);
        let mut slot = connection.memory().start_request(7);
        slot.admit(1_000).unwrap();

        let known = slot.charge_chunk(600);
        let unknown = slot.charge_chunk(900);
        drop(slot);

        assert_eq!(memory.used_bytes(), 1_500);
        drop(known);
        assert_eq!(memory.used_bytes(), 900);
        drop(unknown);
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn largest_connection_of_largest_network_is_closed() {
        let memory = ResponseMemory::with_limits(100_000, 100_000);
        let honest = memory.open_connection(Some(network(1)));
        let mut large = honest.memory().start_request(0);
        large.admit(40_000).unwrap();
        let many: Vec<_> = (1..4)
            .map(|size| {
                let connection = memory.open_connection(Some(network(2)));
                let mut slot = connection.memory().start_request(0);
                slot.admit(10_000 * size).unwrap();
                (connection, slot)
            })
            .collect();
        assert!(many.iter().all(|(connection, _)| !is_evicted(connection)));

        let last = memory.open_connection(Some(network(3))).memory().start_request(1);

        let evicted: Vec<bool> = many.iter().map(|(connection, _)| is_evicted(connection)).collect();
        assert_eq!((is_evicted(&honest), evicted), (false, vec![false, false, true]));
        drop(last);
    }
}
