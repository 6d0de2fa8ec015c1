//! Measures how long a step takes, for the output.

/// Starts to measure time.
pub(crate) fn start_stopwatch() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "the time is only printed")]
    std::time::Instant::now()
}
