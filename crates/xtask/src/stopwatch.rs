//! The clock that measures how long a step of a check takes.

/// Returns the current instant, from which a duration is measured.
pub(crate) fn start_stopwatch() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "the time is only printed")]
    std::time::Instant::now()
}
