//! The rows in memory from which the access check is answered. See `docs/decisions/0018-access-map.md`.
//!
//! No answer from memory contradicts a commit that was acknowledged before the question: an entry exists only while it
//! equals the committed row.

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

pub use map::AccessMap;
pub(crate) use map::{ChangedRows, Fill};
pub use rows::AccessMapStats;
pub(crate) use rows::{ConnectionRow, RowKey};
