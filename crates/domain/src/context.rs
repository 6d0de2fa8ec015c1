//! The context of one request or job: its time, its seed for ids and its correlation id.

use std::sync::Arc;

use crate::id::Seed;
use crate::time::Timestamp;

/// Time, seed and correlation id of one request or job, determined once when it starts.
///
/// A command that is repeated after a serialization failure gets the same moment and therefore writes the same rows.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Current time, on the clock of the database.
    pub now: Timestamp,
    /// Entropy from which all ids of the request or job are derived.
    pub seed: Seed,
    /// Correlation id of the HTTP exchange.
    pub correlation_id: Arc<str>,
}
