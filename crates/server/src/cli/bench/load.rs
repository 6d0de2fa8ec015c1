//! The load: callers with a connection each, who wait for every answer before they ask again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::super::error::CliError;

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadStats {
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl LoadStats {
    /// From the time of the whole and of each part.
    pub(super) fn from_durations(total: Duration, mut each: Vec<Duration>) -> Self {
        each.sort_unstable();
        let at = |share: usize| each.get((each.len() * share / 100).min(each.len().saturating_sub(1)));
        let count = u32::try_from(each.len()).unwrap_or(u32::MAX);
        Self {
            per_second: f64::from(count) / total.as_secs_f64().max(1e-9),
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
        }
    }
}

/// Runs `act` so many times, by so many callers at once.
pub(super) async fn run_callers<F: Future<Output = Result<(), CliError>> + Send>(
    callers: usize,
    times: usize,
    act: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<LoadStats, CliError> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let total = crate::telemetry::monotonic_now();
    for _ in 0..callers {
        let (next, act) = (Arc::clone(&next), act.clone());
        tasks.spawn(async move {
            let mut each = Vec::with_capacity(times / callers + 1);
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= times {
                    return Ok::<_, CliError>(each);
                }
                let begun = crate::telemetry::monotonic_now();
                act(nth).await?;
                each.push(begun.elapsed());
            }
        });
    }
    collect_stats(tasks, total).await
}

/// Sends requests that were written before, each caller over a connection of its own.
pub(super) async fn send_requests(
    to: SocketAddr,
    callers: usize,
    requests: Arc<[Bytes]>,
    status: u16,
) -> Result<LoadStats, CliError> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let mut lines = Vec::with_capacity(callers);
    for _ in 0..callers {
        lines.push(LoadConnection::connect(to).await?);
    }
    let total = crate::telemetry::monotonic_now();
    for mut line in lines {
        let (next, requests) = (Arc::clone(&next), Arc::clone(&requests));
        tasks.spawn(async move {
            let mut each = Vec::with_capacity(requests.len() / callers + 1);
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = crate::telemetry::monotonic_now();
                line.exchange(request, status).await?;
                each.push(begun.elapsed());
            }
            Ok::<_, CliError>(each)
        });
    }
    collect_stats(tasks, total).await
}

async fn collect_stats(
    mut tasks: JoinSet<Result<Vec<Duration>, CliError>>,
    total: std::time::Instant,
) -> Result<LoadStats, CliError> {
    let mut each = Vec::new();
    while let Some(done) = tasks.join_next().await {
        each.extend(done.map_err(|e| CliError::Internal(e.into()))??);
    }
    Ok(LoadStats::from_durations(total.elapsed(), each))
}

/// A kept connection. As little as HTTP/1.1 needs, so that the load costs little beside what it measures.
struct LoadConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl LoadConnection {
    async fn connect(to: SocketAddr) -> Result<Self, CliError> {
        let stream = TcpStream::connect(to).await.map_err(map_io_error)?;
        stream.set_nodelay(true).map_err(map_io_error)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    async fn exchange(&mut self, request: &[u8], status: u16) -> Result<(), CliError> {
        self.stream.write_all(request).await.map_err(map_io_error)?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(map_io_error)? == 0 {
                return Err(CliError::Failed("the hub closed a connection under load".into()));
            }
            if let Some(end) = find_response_end(&self.buffer)
                && self.buffer.len() >= end
            {
                break;
            }
        }
        let wanted = format!("HTTP/1.1 {status} ");
        if self.buffer.starts_with(wanted.as_bytes()) {
            return Ok(());
        }
        let response = String::from_utf8_lossy(&self.buffer).into_owned();
        Err(CliError::Failed(format!("expected {status}, got: {response}")))
    }
}

/// The length of the answer that a buffer begins with, once its header is whole.
fn find_response_end(buffer: &[u8]) -> Option<usize> {
    let header = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..header]).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(": "));
    let body = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some(header + body.and_then(|(_, length)| length.parse::<usize>().ok()).unwrap_or(0))
}

fn map_io_error(error: std::io::Error) -> CliError {
    CliError::Internal(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_end_is_found_from_content_length() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(find_response_end(response), Some(response.len()));
        assert_eq!(find_response_end(&response[..30]), None);
        assert_eq!(find_response_end(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(27));
    }

    #[test]
    fn load_stats_compute_percentiles_and_rate() {
        let each = (1..=100).rev().map(Duration::from_millis).collect();
        let figures = LoadStats::from_durations(Duration::from_secs(2), each);
        assert_eq!((figures.p50, figures.p99), (Duration::from_millis(51), Duration::from_millis(100)));
        assert!((figures.per_second - 50.0).abs() < 1e-6);
    }
}
