//! A bounded map of rows of one table, and the protocol that keeps its entries equal to the committed rows.
//!
//! - Before a commit, the writer closes the keys of all rows that the commit changes. This removes their entries, and
//!   nothing is inserted for them. Until the keys are reopened, they are looked up in the database, whose readers see
//!   either all of the commit or nothing of it.
//! - After the commit, the writer advances the clock and reopens the keys with the new time.
//! - A reader takes the time of the clock before it reads the database. What it has read is inserted only if no key of
//!   the same shard is closed, and none was reopened after that time.
//! - With barriers, the changes that a barrier has read are closed and reopened immediately, and each entry has the number of the
//!   first barrier that may use it.

use std::hash::{BuildHasher, Hash};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use quick_cache::unsync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Weighter};

use super::barrier::BarrierNumber;
use super::sync::{AtomicU64, Mutex};

/// The number of finished commits that changed a row in the map's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommitTime(u64);

pub(super) struct CommitClock(AtomicU64);

impl CommitClock {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn now(&self) -> CommitTime {
        CommitTime(self.0.load(Ordering::SeqCst))
    }

    /// Advances the clock and returns the new time.
    pub(super) fn advance(&self) -> CommitTime {
        CommitTime(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// A key or value of an entry, whose size counts against the limit of the map.
pub(super) trait HeapSize {
    /// Returns the number of bytes that the value has allocated.
    fn heap_size(&self) -> usize;
}

/// The approximate number of bytes that the map itself needs for an entry: its links, its place in the hash table and
/// the keys of entries that were removed a while ago.
const ENTRY_OVERHEAD: usize = 64;

#[derive(Clone)]
struct ByteWeighter;

impl<K: HeapSize, V: HeapSize> Weighter<K, Entry<V>> for ByteWeighter {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        let inline = size_of::<K>() + size_of::<Entry<V>>() + ENTRY_OVERHEAD;
        (inline + key.heap_size() + entry.value.heap_size()) as u64
    }
}

pub(super) struct EntryMap<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    /// The first barrier whose questions may use the entry.
    usable_from: BarrierNumber,
}

struct Shard<K, V> {
    entries: Cache<K, Entry<V>, ByteWeighter, DefaultHashBuilder>,
    /// The number of keys that are closed.
    closed: usize,
    /// The time at which a key was last reopened.
    reopened_at: CommitTime,
}

impl<K: Eq + Hash + HeapSize, V: Clone + HeapSize> EntryMap<K, V> {
    /// Creates a map of at most `bytes` bytes. With zero it stays empty.
    pub(super) fn new(bytes: u64, shards: usize) -> Self {
        let bytes = bytes / shards as u64;
        // The number of entries is only estimated, for the number of removed keys that the map remembers.
        let items = bytes / (size_of::<K>() + size_of::<Entry<V>>() + 3 * ENTRY_OVERHEAD) as u64;
        let shard = |_| {
            let entries = Cache::with(
                usize::try_from(items).unwrap_or(usize::MAX),
                bytes,
                ByteWeighter,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            );
            Mutex::new(Shard { entries, closed: 0, reopened_at: CommitTime(0) })
        };
        Self { shards: (0..shards).map(shard).collect(), hasher: DefaultHashBuilder::default() }
    }

    /// Finds an entry that a question after a barrier may use.
    pub(super) fn find(&self, key: &K, barrier: BarrierNumber) -> Option<V> {
        self.with_shard(key, |shard| {
            let entry = shard.entries.get(key)?;
            (entry.usable_from <= barrier).then(|| entry.value.clone())
        })
    }

    /// Inserts a row that was read from the database after `read_after`, unless it may have changed since.
    pub(super) fn insert(&self, key: K, value: V, read_after: CommitTime, usable_from: BarrierNumber) {
        let shard = self.shard(&key);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // An entry that exists stays: it is exact, or else the next barrier removes it. Replacing it would only delay its use.
        if shard.closed == 0 && shard.reopened_at <= read_after && shard.entries.peek(&key).is_none() {
            shard.entries.insert(key, Entry { value, usable_from });
        }
    }

    pub(super) fn close(&self, key: &K) {
        self.with_shard(key, |shard| {
            shard.closed += 1;
            shard.entries.remove(key);
        });
    }

    pub(super) fn reopen(&self, key: &K, at: CommitTime) {
        self.with_shard(key, |shard| shard.reopen(at));
    }

    /// Closes all keys.
    pub(super) fn close_all(&self) {
        self.for_each_shard(|shard| {
            shard.closed += 1;
            shard.entries.clear();
        });
    }

    /// Reopens the keys after `close_all`.
    pub(super) fn reopen_all(&self, at: CommitTime) {
        self.for_each_shard(|shard| shard.reopen(at));
    }

    /// Returns the number of entries and their size in bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        let mut size = (0, 0);
        self.for_each_shard(|shard| size = (size.0 + shard.entries.len(), size.1 + shard.entries.weight()));
        size
    }

    fn with_shard<T>(&self, key: &K, run: impl FnOnce(&mut Shard<K, V>) -> T) -> T {
        run(&mut self.shard(key).lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the shard of a key. The hash tables of the shards have other seeds, so their keys do not collide there.
    fn shard(&self, key: &K) -> &Mutex<Shard<K, V>> {
        let index = self.hasher.hash_one(key) % self.shards.len() as u64;
        &self.shards[usize::try_from(index).unwrap_or_default()]
    }

    fn for_each_shard(&self, mut run: impl FnMut(&mut Shard<K, V>)) {
        for shard in &self.shards {
            run(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl<K, V> Shard<K, V> {
    fn reopen(&mut self, at: CommitTime) {
        self.closed -= 1;
        self.reopened_at = at;
    }
}
