//! The rows in memory from which the access check is answered. See `docs/decisions/0018-access-map.md`.
//!
//! No answer from memory contradicts a commit that was acknowledged before the question. On SQLite an entry exists only while
//! it equals the committed row. On PostgreSQL, where other nodes commit too, each question first waits for a barrier, which
//! removes the entries of rows that have changed.

mod barrier;
mod compact;
mod entry_map;
mod map;
mod rows;

#[cfg(test)]
mod interleavings;

/// The primitives of the map, which the test of all interleavings replaces by its own.
mod sync {
    pub(super) use std::sync::Mutex;
    pub(super) use std::sync::atomic::AtomicU64;
}

pub(crate) use barrier::BarrierNumber;
pub use map::MapView;
pub(crate) use map::{AccessMap, ChangedRows, Fill};
pub use rows::AccessMapStats;
pub(crate) use rows::{ConnectionRow, RowKey};
