//! The log and the metrics of the process. No id, token or name is a label of a metric, and no query string is logged.

mod log_queue;
mod logs;
mod metrics;
mod panic_log;

pub use logs::{flush_logs, queue_line, start_logs};
pub use metrics::{RouteMetrics, Telemetry};

/// Reads the monotonic clock, for durations in logs, metrics, limits and background work. The value is never stored.
pub fn monotonic_now() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "only for durations within this process")]
    std::time::Instant::now()
}
