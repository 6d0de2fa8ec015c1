//! Measures what ends write: bytes of the log, full-page images, and updates that change no index.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use store::command::InstallLogInspection;
use store::query::{GetPageImageBytes, GetWriteCounters, WriteCounters};

use crate::error::BenchmarkError;
use crate::load::send_requests;
use crate::rounds::Measurement;
use crate::stopwatch::wait_until;
use crate::target::BenchmarkTarget;

/// The number of concurrent ends. While one half of them is committed, the other half arrives, so that a batch has about
/// 16 ends.
const CALLERS: usize = 32;
/// The number of ends on SQLite. Their log is shorter than one that is copied back under load.
const SQLITE_ENDS: u64 = 1_024;
/// The number of ends on PostgreSQL, whose background work is measured with them.
const POSTGRES_ENDS: u64 = 4_096;
/// The time after which all sessions of PostgreSQL have added their numbers to the statistics, if they are idle.
const STATISTICS_DELAY: Duration = Duration::from_secs(11);
/// The number of failed calls after which the hub stops to call the provider.
const CALLS_UNTIL_BREAKER_OPENS: u64 = 5;
/// The maximum time to wait for the circuit breaker or for the end of background work.
const MAX_WAIT: Duration = Duration::from_secs(90);

/// A number for the report, with its label.
pub(crate) type Note = (&'static str, f64);

impl<T: BenchmarkTarget> Measurement<'_, T> {
    /// Ends connections at random, and measures what the database writes for each of them.
    ///
    /// `settle` limits the waiting for statistics, which a short run can do without.
    pub(crate) async fn measure_writes_per_end(
        &mut self,
        store_url: &str,
        settle: Duration,
    ) -> Result<Vec<Note>, T::Error> {
        self.open_breaker().await?;
        match store_url.strip_prefix("sqlite:") {
            Some(path) => self.measure_sqlite_log(Path::new(path)).await,
            None => self.measure_postgres_log(settle.min(STATISTICS_DELAY)).await,
        }
    }

    /// Ends connections until the hub no longer calls the provider, so that its workers write nothing.
    async fn open_breaker(&mut self) -> Result<(), T::Error> {
        self.end_connections(CALLERS as u64).await?;
        let provider = self.provider;
        Ok(wait_until(MAX_WAIT, || provider.rejected_revocations() >= CALLS_UNTIL_BREAKER_OPENS)
            .await
            .context("the hub did not call the revocation endpoint")
            .map_err(BenchmarkError::from)?)
    }

    /// Ends connections that are drawn at random, and returns their number.
    async fn end_connections(&mut self, count: u64) -> Result<u64, T::Error> {
        let numbers: Vec<u64> = (0..count).filter_map(|_| self.population.take()).collect();
        let count = numbers.len() as u64;
        let requests = self.build_revocations(numbers.into_iter())?;
        send_requests(self.target.address(), CALLERS, requests.into(), 204).await?;
        Ok(count)
    }

    async fn measure_sqlite_log(&mut self, file: &Path) -> Result<Vec<Note>, T::Error> {
        let log = file.with_extension("db-wal");
        let log_bytes = || std::fs::metadata(&log).map_or(0, |log| log.len());
        // The writer truncates the log when it is idle. Afterwards the length of the file is what was appended. It is not
        // idle while the hub deletes what an earlier measurement left, and the report then has no such number.
        if wait_until(MAX_WAIT, || log_bytes() == 0).await.is_err() {
            return Ok(Vec::new());
        }
        let ends = self.end_connections(SQLITE_ENDS.min(self.population.active() / 4)).await?;
        Ok(vec![("bytes of the log for each end", per_end(log_bytes(), ends))])
    }

    async fn measure_postgres_log(&mut self, settle: Duration) -> Result<Vec<Note>, T::Error> {
        let moment = self.target.new_moment()?;
        // Without the extension, which only a superuser can install, the report has no bytes of page images.
        let has_inspection = self.target.store().run(InstallLogInspection { moment }).await.is_ok();
        // Sessions that filled the store may still have numbers that they have not published.
        let before = self.read_counters(settle).await?;
        let ends = self.end_connections(POSTGRES_ENDS.min(self.population.active() / 4)).await?;
        let after = self.read_counters(settle).await?;
        let (Some(before), Some(after)) = (before, after) else { return Ok(Vec::new()) };
        let difference =
            |value: fn(&WriteCounters) -> i64| u64::try_from(value(&after) - value(&before)).unwrap_or(0);
        let log_bytes = difference(|counters| counters.log_bytes);
        let images = difference(|counters| counters.page_images);
        let updates = difference(|counters| counters.row_updates);
        let hot_updates = difference(|counters| counters.hot_updates);
        let mut notes = vec![
            ("bytes of the log for each end, with page images", per_end(log_bytes, ends)),
            ("full-page images for each end", per_end(images, ends)),
            ("updated rows for each end", per_end(updates, ends)),
            ("percent of updates that are HOT", per_end(hot_updates * 100, updates)),
        ];
        if has_inspection {
            let range = GetPageImageBytes { from: before.log_position, to: after.log_position };
            let image_bytes = self.target.store().query(&range).await.map_err(BenchmarkError::from)?;
            let without_images = log_bytes.saturating_sub(u64::try_from(image_bytes).unwrap_or(0));
            notes.push(("bytes of the log for each end", per_end(without_images, ends)));
        }
        Ok(notes)
    }

    async fn read_counters(&self, settle: Duration) -> Result<Option<WriteCounters>, T::Error> {
        #[expect(
            clippy::disallowed_methods,
            reason = "sessions publish their statistics after a time, without an event"
        )]
        tokio::time::sleep(settle).await;
        Ok(self.target.store().query(&GetWriteCounters).await.map_err(BenchmarkError::from)?)
    }

    /// Opens the provider's revocation endpoint, and waits until the hub has noticed it.
    pub(crate) async fn open_revocation(&mut self) -> Result<(), T::Error> {
        let provider = self.provider;
        provider.set_revocation_open(true);
        // The hub calls the endpoint only if a job is due, and each queues one.
        self.end_connections(CALLERS as u64).await?;
        let accepted = provider.accepted_revocations();
        Ok(wait_until(MAX_WAIT, || provider.accepted_revocations() > accepted)
            .await
            .context("the hub did not call the revocation endpoint again")
            .map_err(BenchmarkError::from)?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "the result is rounded for a report")]
fn per_end(total: u64, ends: u64) -> f64 {
    total as f64 / ends.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_end_is_a_quotient_even_without_ends() {
        assert!((per_end(10_240, 4) - 2_560.0).abs() < 1e-9);
        assert!(per_end(0, 0).abs() < 1e-9);
    }
}
