//! The clock of the measurements.

use std::time::Instant;

/// Starts to measure a duration.
pub(crate) fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "durations are what a benchmark measures; none is stored")]
    Instant::now()
}
