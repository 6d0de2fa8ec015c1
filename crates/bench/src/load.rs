//! The load generator. Each of its callers has one connection and waits for a response before it sends the next
//! request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::error::BenchmarkError;
use crate::stopwatch;

/// The durations of calls, and the time that all of them took together.
#[derive(Debug, Default)]
pub(crate) struct LoadSamples {
    pub(crate) elapsed: Duration,
    /// In nanoseconds, up to four seconds, so that the millions of a run fit into memory.
    durations: Vec<u32>,
}

/// Throughput and latency of one measured operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LoadStats {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl LoadSamples {
    fn record(&mut self, duration: Duration) {
        self.durations.push(u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX));
    }

    /// Adds the calls of a later round, and its time.
    pub(crate) fn append(&mut self, round: Self) {
        self.elapsed += round.elapsed;
        self.durations.extend(round.durations);
    }

    pub(crate) fn per_second(&self) -> f64 {
        let count = u32::try_from(self.durations.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(crate) fn into_stats(mut self) -> LoadStats {
        self.durations.sort_unstable();
        let last = self.durations.len().saturating_sub(1);
        let percentile = |percent: usize| {
            let position = (self.durations.len() * percent / 100).min(last);
            Duration::from_nanos(self.durations.get(position).copied().unwrap_or_default().into())
        };
        LoadStats { per_second: self.per_second(), p50: percentile(50), p99: percentile(99) }
    }
}

/// Runs an operation `times` times in total, distributed over concurrent callers.
pub(crate) async fn run_callers<F>(
    callers: usize,
    times: usize,
    operation: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<LoadSamples, BenchmarkError>
where
    F: Future<Output = Result<(), BenchmarkError>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started = stopwatch::start();
    for _ in 0..callers {
        let (next, operation) = (Arc::clone(&next), operation.clone());
        tasks.spawn(async move {
            let mut samples = LoadSamples::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= times {
                    return Ok::<_, BenchmarkError>(samples);
                }
                let started = stopwatch::start();
                operation(index).await?;
                samples.record(started.elapsed());
            }
        });
    }
    collect_samples(tasks, started).await
}

/// Sends prepared requests, each caller over its own connection, and expects the same status for all.
pub(crate) async fn send_requests(
    address: SocketAddr,
    callers: usize,
    requests: Arc<[Bytes]>,
    expected_status: u16,
) -> Result<LoadSamples, BenchmarkError> {
    // All connections are open before the first request: the time to connect is not measured.
    let mut connections = Vec::with_capacity(callers);
    for _ in 0..callers {
        connections.push(LoadConnection::connect(address).await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started = stopwatch::start();
    for mut connection in connections {
        let (next, requests) = (Arc::clone(&next), Arc::clone(&requests));
        tasks.spawn(async move {
            let mut samples = LoadSamples::default();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started = stopwatch::start();
                connection.exchange(request, expected_status).await?;
                samples.record(started.elapsed());
            }
            Ok::<_, BenchmarkError>(samples)
        });
    }
    collect_samples(tasks, started).await
}

async fn collect_samples(
    mut tasks: JoinSet<Result<LoadSamples, BenchmarkError>>,
    started: Instant,
) -> Result<LoadSamples, BenchmarkError> {
    let mut samples = LoadSamples::default();
    while let Some(result) = tasks.join_next().await {
        samples.append(result.context("a caller of the benchmark panicked")??);
    }
    // The callers ran concurrently, so the time is not the sum of theirs.
    samples.elapsed = started.elapsed();
    Ok(samples)
}

/// A persistent HTTP/1.1 connection.
///
/// The load generator shares its cores with the hub, and a complete HTTP client would take a large part of the measured
/// time. So this client reads only the status and the length of a response.
struct LoadConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl LoadConnection {
    async fn connect(address: SocketAddr) -> Result<Self, BenchmarkError> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the hub")?;
        // Nagle's algorithm would delay requests that do not fill a packet.
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    async fn exchange(&mut self, request: &[u8], expected_status: u16) -> Result<(), BenchmarkError> {
        self.stream.write_all(request).await.context("cannot send a request")?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await.context("cannot read a response")? == 0 {
                let message = "the hub closed a connection under load";
                return Err(BenchmarkError::UnexpectedResponse(message.into()));
            }
            if find_response_end(&self.buffer).is_some_and(|end| self.buffer.len() >= end) {
                break;
            }
        }
        if self.buffer.starts_with(format!("HTTP/1.1 {expected_status} ").as_bytes()) {
            return Ok(());
        }
        let response = String::from_utf8_lossy(&self.buffer);
        Err(BenchmarkError::UnexpectedResponse(format!("expected status {expected_status}, got: {response}")))
    }
}

/// Returns the length, with its header, of the response at the beginning of a buffer; `None` until its header is
/// complete.
fn find_response_end(buffer: &[u8]) -> Option<usize> {
    let header = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..header]).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some(header + length.and_then(|(_, length)| length.parse::<usize>().ok()).unwrap_or(0))
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
    fn load_stats_cover_the_samples_of_all_rounds() {
        let mut samples = LoadSamples::default();
        for half in [1..=50, 51..=100] {
            let mut round = LoadSamples { elapsed: Duration::from_secs(1), ..LoadSamples::default() };
            half.rev().map(Duration::from_millis).for_each(|duration| round.record(duration));
            samples.append(round);
        }

        let stats = samples.into_stats();

        assert_eq!((stats.p50, stats.p99), (Duration::from_millis(51), Duration::from_millis(100)));
        assert!((stats.per_second - 50.0).abs() < 1e-6);
    }

    #[tokio::test]
    async fn unexpected_status_fails_the_measurement() {
        let router = axum::Router::new().route("/", axum::routing::get(|| async {}));
        let address = crate::stub_provider::serve_on_free_port(router).await.unwrap();
        let requests: Arc<[Bytes]> =
            vec![Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"); 10].into();

        let matching = send_requests(address, 2, Arc::clone(&requests), 200).await;
        let other = send_requests(address, 2, requests, 204).await;

        assert!(matching.is_ok_and(|samples| samples.per_second() > 0.0));
        assert!(other.unwrap_err().to_string().starts_with("expected status 204, got: HTTP/1.1 200 OK"));
    }
}
