//! The clock with which the benchmark measures durations.

use std::time::Instant;

/// Returns the current instant, from which a duration is measured.
pub(crate) fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "durations are what a benchmark measures; none is stored")]
    Instant::now()
}
