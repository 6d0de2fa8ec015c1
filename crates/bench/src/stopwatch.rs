//! The clock with which the benchmark measures durations, and waits for conditions.

use std::time::{Duration, Instant};

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Returns the current instant, from which a duration is measured.
pub(crate) fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "durations are what a benchmark measures; none is stored")]
    Instant::now()
}

/// Waits until a condition is true. Fails after the maximum time.
pub(crate) async fn wait_until(max_wait: Duration, is_met: impl Fn() -> bool) -> anyhow::Result<()> {
    let attempts = usize::try_from(max_wait.as_millis() / POLL_INTERVAL.as_millis()).unwrap_or(usize::MAX);
    let delays = ConstantBuilder::default().with_delay(POLL_INTERVAL).with_max_times(attempts);
    let check = || async { is_met().then_some(()).context("the time is over") };
    check.retry(delays).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wait_until_returns_once_the_condition_is_true() {
        let calls = std::cell::Cell::new(0);

        let result = wait_until(Duration::from_secs(10), || calls.replace(calls.get() + 1) == 2).await;

        assert!(result.is_ok() && calls.get() == 3);
    }
}
