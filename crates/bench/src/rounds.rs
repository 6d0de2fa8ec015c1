//! Runs one operation in rounds on a running hub.
//!
//! The requests of a round are built before it, so that this costs the measured operation no time. Only the rounds count as
//! the time of an operation. Connections that replace those that end are inserted before the first round, because the hub's
//! background work would run on while the measurement pauses to insert them.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use domain::Moment;
use domain::id::ConnectionId;
use store::command::TouchConnection;

use crate::error::BenchmarkError;
use crate::fill::{PROVIDER_TOKEN, RECIPIENT, SeedState, TokenSigner, seed_connections};
use crate::identity::Identities;
use crate::load::{LoadSamples, LoadStats, run_callers, send_requests};
use crate::operation::Operation;
use crate::population::Population;
use crate::requests::RequestBuilder;
use crate::stopwatch::wait_until;
use crate::stub_provider::{StubProvider, serve_on_free_port};
use crate::target::{BenchmarkTarget, MapCounters};

/// The maximum number of requests of a round, which are in memory together.
const MAX_ROUND_REQUESTS: u64 = 100_000;
/// The time that a round is planned for.
const ROUND_DURATION: Duration = Duration::from_secs(3);
/// The number of requests of each caller in the first round, which is not measured.
const WARM_UP_REQUESTS: usize = 16;
/// The maximum number of connections that are inserted for the use of one run. Further ones are inserted between rounds.
const MAX_SUPPLY: u64 = 3_000_000;
/// The maximum time to wait until the connections are in the database file.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

/// A running hub on a store of one size, and the connections in it.
pub(crate) struct Measurement<'a, T> {
    pub(crate) target: &'a T,
    pub(crate) provider: &'a StubProvider,
    pub(crate) identities: &'a Identities,
    pub(crate) population: &'a mut Population,
    pub(crate) requests: RequestBuilder,
    floors: FloorServers,
    /// The number of connections from which requests draw.
    size: u64,
    /// The write-ahead log of SQLite.
    log_file: Option<PathBuf>,
}

/// The servers with which operations over HTTP are compared. No operation can exceed them.
struct FloorServers {
    /// The handler does nothing.
    empty: SocketAddr,
    /// The handler requests a resource from the provider.
    fetch: SocketAddr,
}

/// The result of running one operation.
pub(crate) struct OperationResult {
    pub(crate) stats: LoadStats,
    /// The share of access checks that found their state in memory; `None` if there were none or the hub keeps none there.
    pub(crate) map_hit_percent: Option<f64>,
}

impl<'a, T: BenchmarkTarget> Measurement<'a, T> {
    /// Starts the servers of the floors, and fills the store.
    pub(crate) async fn start(
        target: &'a T,
        provider: &'a StubProvider,
        identities: &'a Identities,
        population: &'a mut Population,
        (store_url, size): (&str, u64),
    ) -> Result<Self, T::Error> {
        let fetch = target.provider_fetch(&provider.accounts_url(), PROVIDER_TOKEN)?;
        // The handler does what a data read cannot avoid: one request to the provider, and a response of the same size.
        let fetch_handler = move || {
            let response = fetch();
            async move {
                match response.await {
                    Ok(body) => ([(http::header::CONTENT_TYPE, "application/json")], body).into_response(),
                    Err(error) => (http::StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
                }
            }
        };
        let floors = FloorServers {
            empty: serve_on_free_port(Router::new().route("/", get(|| async {}))).await?,
            fetch: serve_on_free_port(Router::new().route("/", get(fetch_handler))).await?,
        };
        let requests = RequestBuilder::new(target.address(), RECIPIENT);
        let log_file = store_url.strip_prefix("sqlite:").map(|file| Path::new(file).with_extension("db-wal"));
        let mut measurement =
            Self { target, provider, identities, population, requests, floors, size, log_file };
        measurement.fill_up().await?;
        Ok(measurement)
    }

    /// Adds connections to the population until it has its size.
    pub(crate) async fn fill_up(&mut self) -> Result<(), T::Error> {
        let missing = self.size.saturating_sub(self.population.active());
        let numbers =
            self.seed(missing.saturating_sub(self.population.spare.len()), SeedState::Active).await?;
        self.population.spare.add(numbers);
        for numbers in self.population.spare.take(missing) {
            self.population.add(numbers);
        }
        Ok(())
    }

    /// Inserts connections that are not part of the population, and returns their numbers.
    pub(crate) async fn seed(&mut self, count: u64, state: SeedState) -> Result<Range<u64>, T::Error> {
        let numbers = self.population.reserve(count);
        seed_connections(self.target, self.identities, numbers.clone(), state).await?;
        Ok(numbers)
    }

    /// Inserts the connections that a run of an operation will probably use up.
    async fn prepare_supply(
        &mut self,
        operation: Operation,
        per_second: f64,
        duration: Duration,
    ) -> Result<(), T::Error> {
        let (state, supply) = match operation {
            Operation::CodeExchange => (SeedState::AwaitingExchange, &self.population.pending),
            Operation::Revoke | Operation::RevokeNotified => (SeedState::Active, &self.population.spare),
            _ => return Ok(()),
        };
        let missing = count_calls(per_second, duration).min(MAX_SUPPLY).saturating_sub(supply.len());
        let numbers = self.seed(missing, state).await?;
        match state {
            SeedState::AwaitingExchange => self.population.pending.add(numbers),
            SeedState::Active => self.population.spare.add(numbers),
        }
        self.wait_for_log().await;
        Ok(())
    }

    /// Waits until SQLite has copied its log into the file, because the operation would pay for the copy of what was
    /// inserted before it. A log that stays in use is not waited for.
    async fn wait_for_log(&self) {
        if let Some(log) = &self.log_file {
            let is_empty = || std::fs::metadata(log).map_or(0, |log| log.len()) == 0;
            let _ = wait_until(SETTLE_TIMEOUT, is_empty).await;
        }
    }

    /// Runs an operation until its rounds have taken `duration` in total.
    pub(crate) async fn run_operation(
        &mut self,
        operation: Operation,
        callers: usize,
        duration: Duration,
    ) -> Result<OperationResult, T::Error> {
        // The first round opens connections to the database and the provider, and shows how fast the operation is.
        let warm_up = self.run_round(operation, callers, callers * WARM_UP_REQUESTS).await?;
        let mut per_second = warm_up.per_second();
        self.prepare_supply(operation, per_second, duration).await?;
        let mut samples = LoadSamples::default();
        // Counted from here, because a map is empty at the start of a hub and the first round fills a part of it.
        let counters = self.target.map_counters();
        while samples.elapsed < duration {
            let planned = ROUND_DURATION.min(duration.saturating_sub(samples.elapsed));
            let count = plan_requests(per_second, planned, callers);
            samples.append(self.run_round(operation, callers, count).await?);
            // All rounds together predict the next one better than the last round does.
            per_second = samples.per_second();
        }
        let map_hit_percent = hit_percent(self.target.map_counters(), counters);
        Ok(OperationResult { stats: samples.into_stats(), map_hit_percent })
    }

    /// Builds requests and sends them. Sends fewer than `count` if each needs a connection of its own and there are not
    /// as many.
    async fn run_round(
        &mut self,
        operation: Operation,
        callers: usize,
        count: usize,
    ) -> Result<LoadSamples, T::Error> {
        let address = match operation {
            Operation::EmptyHandler => self.floors.empty,
            Operation::FetchHandler => self.floors.fetch,
            _ => self.target.address(),
        };
        let (expected_status, requests) = match operation {
            Operation::BareUpdate => return self.run_updates(callers, count).await,
            Operation::CodeExchange => return self.exchange_codes(callers, count).await,
            Operation::EmptyHandler | Operation::FetchHandler => {
                (200, vec![Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"); count])
            }
            Operation::ClientCredentials => {
                (200, vec![self.requests.token_request("grant_type=client_credentials"); count])
            }
            Operation::Refresh => (200, self.build_refreshes(count)),
            // The account is unknown, so the hub responds right after the access check.
            Operation::AccessCheck => (404, self.build_data_requests("/accounts/acc_x", count)?),
            Operation::DataRead => (200, self.build_data_requests("/accounts", count)?),
            Operation::Revoke | Operation::RevokeNotified => (204, self.take_revocations(count).await?),
        };
        Ok(send_requests(address, callers, requests.into(), expected_status).await?)
    }

    fn build_refreshes(&mut self, count: usize) -> Vec<Bytes> {
        let drawn = (0..count).filter_map(|_| self.population.draw_with_known_token());
        drawn.map(|number| self.requests.refresh_request(&self.identities.secret(number))).collect()
    }

    fn build_data_requests(&mut self, path: &str, count: usize) -> Result<Vec<Bytes>, T::Error> {
        let numbers: Vec<u64> = (0..count).filter_map(|_| self.population.draw()).collect();
        self.build_with_tokens("GET", &format!("/api/fdx/5{path}"), numbers.into_iter())
    }

    /// Builds requests that end connections, at most half of the population, which is filled up before.
    async fn take_revocations(&mut self, count: usize) -> Result<Vec<Bytes>, T::Error> {
        self.fill_up().await?;
        let count = (count as u64).min(self.size.div_ceil(2));
        let numbers: Vec<u64> = (0..count).filter_map(|_| self.population.take()).collect();
        self.build_revocations(numbers.into_iter())
    }

    /// Builds requests that end the connections with the given numbers.
    pub(crate) fn build_revocations(
        &self,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<Vec<Bytes>, T::Error> {
        self.build_with_tokens("DELETE", "/api/v1/revoke", numbers)
    }

    fn build_with_tokens(
        &self,
        method: &str,
        path: &str,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<Vec<Bytes>, T::Error> {
        // A signer for each round, because the tokens of a long run would expire.
        let mut signer = self.new_signer()?;
        let build = |number| {
            let token = signer.sign(self.identities.connection_id(number))?;
            Ok(self.requests.with_bearer(method, path, &token))
        };
        numbers.map(build).collect()
    }

    /// Creates a signer of access tokens that are issued now.
    pub(crate) fn new_signer(&self) -> Result<TokenSigner, T::Error> {
        Ok(TokenSigner::new(self.target.access_token_keys(), self.target.new_moment()?)?)
    }

    /// Exchanges the codes of pending connections, which are new, as the codes of a hub are.
    async fn exchange_codes(&mut self, callers: usize, count: usize) -> Result<LoadSamples, T::Error> {
        let count = count as u64;
        let missing = count.saturating_sub(self.population.pending.len());
        let numbers = self.seed(missing, SeedState::AwaitingExchange).await?;
        self.population.pending.add(numbers);
        let exchanged = self.population.pending.take(count);
        let build = |number| self.requests.code_request(&self.identities.secret(number));
        let requests: Vec<Bytes> = exchanged.iter().cloned().flatten().map(build).collect();
        let samples = send_requests(self.target.address(), callers, requests.into(), 200).await?;
        // The connections are active now. A later revocation ends them, like all others.
        for numbers in exchanged {
            self.population.add_exchanged(numbers);
        }
        Ok(samples)
    }

    /// Runs the smallest durable command on the same store, each time in a transaction of its own.
    async fn run_updates(&mut self, callers: usize, count: usize) -> Result<LoadSamples, T::Error> {
        let mut updates = Vec::with_capacity(count);
        while updates.len() < count {
            let Some(number) = self.population.draw() else { break };
            updates.push((self.target.new_moment()?, self.identities.connection_id(number)));
        }
        let count = updates.len();
        let updates: Arc<[(Moment, ConnectionId)]> = updates.into();
        let store = self.target.store().clone();
        let samples = run_callers(callers, count, move |index| {
            let (store, (moment, id)) = (store.clone(), updates[index].clone());
            async move { Ok::<_, BenchmarkError>(store.run(TouchConnection { moment, id }).await?) }
        });
        Ok(samples.await?)
    }
}

/// Returns the number of requests that probably take the planned time.
fn plan_requests(per_second: f64, planned: Duration, callers: usize) -> usize {
    let count = count_calls(per_second, planned).min(MAX_ROUND_REQUESTS);
    usize::try_from(count).unwrap_or(0).max(callers)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of calls is small and positive"
)]
fn count_calls(per_second: f64, duration: Duration) -> u64 {
    (per_second * duration.as_secs_f64()) as u64
}

fn hit_percent(after: MapCounters, before: MapCounters) -> Option<f64> {
    let (hits, misses) = (after.hits.checked_sub(before.hits)?, after.misses.checked_sub(before.misses)?);
    #[expect(clippy::cast_precision_loss, reason = "the result is rounded for a report")]
    let percent = hits as f64 / (hits + misses) as f64 * 100.0;
    (hits + misses > 0).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_requests_fit_the_time_and_the_memory() {
        let second = Duration::from_secs(1);

        assert_eq!(plan_requests(5_000.0, 2 * second, 16), 10_000);
        assert_eq!(plan_requests(5_000_000.0, second, 16), 100_000);
        assert_eq!(plan_requests(1.0, second, 16), 16, "every caller sends a request");
    }

    #[test]
    fn hit_percent_covers_one_run_only() {
        let before = MapCounters { hits: 1_000, misses: 1_000 };

        assert_eq!(hit_percent(MapCounters { hits: 1_090, misses: 1_010 }, before), Some(90.0));
        assert_eq!(hit_percent(before, before), None, "the operation checked no access");
    }
}
