//! Measures all operations on one store, once for each number of connections and of callers.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use store::command::AnalyzeTables;
use store::query::GetDatabaseSize;

use crate::error::BenchmarkError;
use crate::fill::{PROVIDER, RECIPIENT, SeedState, TokenSigner};
use crate::identity::Identities;
use crate::load::{LoadStats, send_requests};
use crate::operation::{Floor, Operation};
use crate::population::Population;
use crate::report::{BenchmarkReport, BenchmarkRow, store_label};
use crate::requests::RequestBuilder;
use crate::rounds::{Measurement, OperationResult};
use crate::settings::BenchmarkSettings;
use crate::startup::{HubProcess, find_free_addresses, measure_syncs_per_second};
use crate::stopwatch;
use crate::stub_provider::StubProvider;
use crate::target::{BenchmarkTarget, TargetSettings};

/// The measurements of ending a connection: label, and number of refreshes before the end.
const REFRESHES_BEFORE_END: [(&str, u32); 4] = [
    ("ms to end a fresh connection", 0),
    ("ms to end one after 1 refresh", 1),
    ("ms to end one after 100 refreshes", 100),
    ("ms to end one after 10,000 refreshes", 10_000),
];
/// The number of refreshes for each second of a run. A short run measures no end after more refreshes.
const REFRESHES_PER_SECOND: u32 = 100;

/// The time for which the hub does not call the revocation endpoint that is out of order: short, because a measurement
/// waits for it, and long enough that the calls in between do not count.
const BREAKER_OPEN: Duration = Duration::from_secs(3);
/// The number of callers that fill the map of a hub.
const WARM_UP_CALLERS: usize = 16;
/// The number of requests of one round that fills the map of a hub.
const WARM_UP_ROUND: usize = 50_000;
/// The maximum number of connections whose access is checked to fill the map.
const MAX_WARM_CONNECTIONS: usize = 1_000_000;

/// Starts a hub on one store at each size, measures it, and adds the results to the report.
pub async fn measure_store<T: BenchmarkTarget>(
    settings: &BenchmarkSettings,
    folder: &Path,
    store_url: &str,
    report: &mut BenchmarkReport,
) -> Result<(), T::Error> {
    settings.validate()?;
    report.add_note(store_url, 0, "4 KiB appended and synced", measure_syncs_per_second(folder)?);
    let provider = StubProvider::start().await?;
    let target_settings = TargetSettings {
        folder,
        store_url,
        provider_url: &provider.origin,
        provider_id: PROVIDER,
        breaker_open: BREAKER_OPEN,
        recipient: RECIPIENT,
    };
    let mut population = Population::new(1);
    let mut identities = None;
    for &connections in &settings.connections {
        let show_progress = |text: &str| {
            (settings.show_progress)(&format!("{connections} connections: {text}"));
        };
        // A new hub has closed circuit breakers, and its calls are counted from here.
        provider.reset_counts();
        let target = T::start(&target_settings).await?;
        if identities.is_none() {
            let moment = target.new_moment()?;
            identities = Some(Identities::new(moment.seed.bytes(), moment.now));
        }
        let Some(identities) = &identities else { continue };
        show_progress("filling the store");
        let size = to_u64(connections);
        let fill = StoreFill::start(&target, size, &population).await?;
        let mut measurement =
            Measurement::start(&target, &provider, identities, &mut population, (store_url, size)).await?;
        for (label, value) in fill.finish(&target).await? {
            report.add_note(store_url, connections, label, value);
        }
        if settings.is_selected(Operation::Revoke.name()) {
            show_progress("writes of an end");
            for (label, value) in measurement.measure_writes_per_end(store_url, settings.duration()).await? {
                report.add_note(store_url, connections, label, value);
            }
            // The connections that have just ended are replaced, so that the operations find a store of the full size.
            measurement.fill_up().await?;
        }
        for group in measure_operations(&mut measurement, settings, &show_progress).await? {
            report.add_rows(store_label(store_url), connections, group.callers, group.into_rows());
        }
        if settings.is_selected(Operation::Revoke.name()) {
            show_progress("ends after refreshes");
            for (label, refreshes) in REFRESHES_BEFORE_END {
                if Duration::from_secs(refreshes.into()) <= settings.duration() * REFRESHES_PER_SECOND {
                    let end_ms = measure_end_ms(&mut measurement, refreshes).await?;
                    report.add_note(store_url, connections, label, end_ms);
                }
            }
        }
        // The tokens of the next hub are signed by this one's keys, which its stop would take away.
        let signer = measurement.new_signer()?;
        let requests = measurement.requests;
        let config_file = target.stop().await;
        show_progress("starting the hub as a process");
        let [public, probes] = find_free_addresses().await?;
        let serve = || T::serve_command(&config_file, &public, &probes);
        let (process, ready_after) = HubProcess::start_repeatedly(serve, &probes).await?;
        report.add_note(store_url, connections, "ms from start to ready", to_millis(ready_after));
        report.add_note(store_url, connections, "MiB of memory when ready", process.resident_mib());
        let warm_up = WarmUp { public, signer, requests, identities, population: population.clone() };
        warm_up.run().await?;
        report.add_note(store_url, connections, "MiB of memory with a warm map", process.resident_mib());
    }
    Ok(())
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn to_millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The filling of a store, of which the time and the added bytes are measured.
struct StoreFill {
    started: std::time::Instant,
    connections: u64,
    /// The size of a store that had no connections before. Others contain free space, so that their growth shows nothing.
    bytes_before: Option<i64>,
}

impl StoreFill {
    async fn start<T: BenchmarkTarget>(
        target: &T,
        connections: u64,
        population: &Population,
    ) -> Result<Self, T::Error> {
        let bytes = target.store().query(&GetDatabaseSize).await.map_err(BenchmarkError::from)?;
        let bytes_before = (population.active() == 0).then_some(bytes);
        Ok(Self { started: stopwatch::start(), connections, bytes_before })
    }

    async fn finish<T: BenchmarkTarget>(self, target: &T) -> Result<Vec<(&'static str, f64)>, T::Error> {
        let mut notes = vec![("seconds to fill the store", self.started.elapsed().as_secs_f64())];
        if let Some(before) = self.bytes_before {
            let bytes = target.store().query(&GetDatabaseSize).await.map_err(BenchmarkError::from)?;
            #[expect(clippy::cast_precision_loss, reason = "the result is rounded for a report")]
            let per_connection = (bytes - before) as f64 / self.connections.max(1) as f64;
            notes.push(("bytes on disk for each connection", per_connection));
        }
        // The statistics are collected after the time was read, because a hub does not wait for them either.
        let moment = target.new_moment()?;
        target.store().run(AnalyzeTables { moment }).await.map_err(BenchmarkError::from)?;
        Ok(notes)
    }
}

/// Measures the selected operations with each number of callers.
async fn measure_operations<T: BenchmarkTarget>(
    measurement: &mut Measurement<'_, T>,
    settings: &BenchmarkSettings,
    show_progress: &impl Fn(&str),
) -> Result<Vec<CallerResults>, T::Error> {
    let mut groups: Vec<_> = settings.callers.iter().map(|callers| CallerResults::new(*callers)).collect();
    // Exchanges come last, because they leave more active connections in the store than the other operations should find.
    let (exchanges, others): (Vec<_>, Vec<_>) =
        Operation::MEASURED.into_iter().partition(|operation| *operation == Operation::CodeExchange);
    for operations in [others, exchanges] {
        for group in &mut groups {
            for operation in operations.iter().filter(|operation| settings.is_selected(operation.name())) {
                show_progress(&format!("{} callers: {}", group.callers, operation.name()));
                group.measure_operation(measurement, settings, *operation).await?;
            }
        }
    }
    for group in &mut groups {
        // A report of few operations still shows how fast the machine is.
        for floor in [Operation::EmptyHandler, Operation::BareUpdate] {
            if group.fastest_floor(floor).is_none() {
                group.measure_floor(measurement, settings, floor).await?;
            }
        }
    }
    Ok(groups)
}

/// The measurements with one number of callers.
struct CallerResults {
    callers: usize,
    /// The measurements of floors, before and after each operation.
    floors: Vec<(Operation, LoadStats)>,
    operations: Vec<(Operation, BenchmarkRow)>,
}

impl CallerResults {
    const fn new(callers: usize) -> Self {
        Self { callers, floors: Vec::new(), operations: Vec::new() }
    }

    /// Measures an operation as often as the settings require, and keeps the run with the median share.
    async fn measure_operation<T: BenchmarkTarget>(
        &mut self,
        measurement: &mut Measurement<'_, T>,
        settings: &BenchmarkSettings,
        operation: Operation,
    ) -> Result<(), T::Error> {
        let mut runs = Vec::new();
        for _ in 0..settings.repetitions {
            runs.push(self.run_between_floors(measurement, settings, operation).await?);
        }
        self.operations.extend(take_median(runs).map(|row| (operation, row)));
        Ok(())
    }

    /// Runs an operation between two measurements of its floor.
    async fn run_between_floors<T: BenchmarkTarget>(
        &mut self,
        measurement: &mut Measurement<'_, T>,
        settings: &BenchmarkSettings,
        operation: Operation,
    ) -> Result<BenchmarkRow, T::Error> {
        let floor = operation.floor();
        let before = self.measure_floor(measurement, settings, floor).await?;
        if operation == Operation::RevokeNotified {
            measurement.open_revocation().await?;
        }
        let OperationResult { stats, map_hit_percent } =
            measurement.run_operation(operation, self.callers, settings.duration()).await?;
        // The floor is measured without the calls of the workers, as before the operation.
        measurement.provider.set_revocation_open(false);
        let after = self.measure_floor(measurement, settings, floor).await?;
        let floor = Some(Floor { name: floor.floor_name(), before, after });
        Ok(BenchmarkRow { operation: operation.name(), stats, floor, map_hit_percent })
    }

    async fn measure_floor<T: BenchmarkTarget>(
        &mut self,
        measurement: &mut Measurement<'_, T>,
        settings: &BenchmarkSettings,
        floor: Operation,
    ) -> Result<LoadStats, T::Error> {
        let result = measurement.run_operation(floor, self.callers, settings.floor_duration()).await?;
        self.floors.push((floor, result.stats));
        Ok(result.stats)
    }

    fn fastest_floor(&self, floor: Operation) -> Option<LoadStats> {
        let measured = self.floors.iter().filter(|(measured, _)| *measured == floor).map(|(_, stats)| *stats);
        measured.max_by(|one, other| one.per_second.total_cmp(&other.per_second))
    }

    /// Returns the rows of the report: the fastest measurement of each floor, and the operations in their usual order.
    fn into_rows(mut self) -> Vec<BenchmarkRow> {
        let floor_row = |floor: Operation| {
            let stats = self.fastest_floor(floor)?;
            Some(BenchmarkRow { operation: floor.name(), stats, floor: None, map_hit_percent: None })
        };
        let mut rows: Vec<_> = Operation::FLOORS.into_iter().filter_map(floor_row).collect();
        self.operations.sort_by_key(|(measured, _)| {
            Operation::MEASURED.iter().position(|operation| operation == measured)
        });
        rows.extend(self.operations.into_iter().map(|(_, row)| row));
        rows
    }
}

/// Returns the run whose share of its floor is the median of all.
fn take_median(mut runs: Vec<BenchmarkRow>) -> Option<BenchmarkRow> {
    let share = |row: &BenchmarkRow| row.percent_of_floor().unwrap_or_default();
    runs.sort_by(|one, other| share(one).total_cmp(&share(other)));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle)
}

/// Measures the median time, in milliseconds, to end a connection after a number of refreshes.
async fn measure_end_ms<T: BenchmarkTarget>(
    measurement: &mut Measurement<'_, T>,
    refreshes: u32,
) -> Result<f64, T::Error> {
    const TRIES: u64 = 10;
    let address = measurement.target.address();
    let numbers = measurement.seed(TRIES, SeedState::Active).await?;
    let refreshes = usize::try_from(refreshes).unwrap_or(usize::MAX);
    if refreshes > 0 {
        for number in numbers.clone() {
            let request = measurement.requests.refresh_request(&measurement.identities.secret(number));
            send_requests(address, 16.min(refreshes), vec![request; refreshes].into(), 200).await?;
        }
    }
    let revocations = measurement.build_revocations(numbers)?;
    // One caller at a time, so that no end waits for another one.
    let ends = send_requests(address, 1, revocations.into(), 204).await?;
    Ok(to_millis(ends.into_stats().p50))
}

/// The access checks that fill the map of a hub which was just started.
struct WarmUp<'a> {
    public: String,
    signer: TokenSigner,
    requests: RequestBuilder,
    identities: &'a Identities,
    population: Population,
}

impl WarmUp<'_> {
    /// Checks the access of every connection once, in random order, up to the maximum.
    async fn run(mut self) -> Result<(), BenchmarkError> {
        let address = self.public.parse().map_err(|_| {
            BenchmarkError::InvalidSettings(format!("the address of the hub is invalid: {}", self.public))
        })?;
        for _ in (0..MAX_WARM_CONNECTIONS).step_by(WARM_UP_ROUND) {
            let mut requests: Vec<Bytes> = Vec::with_capacity(WARM_UP_ROUND);
            while requests.len() < WARM_UP_ROUND {
                let Some(number) = self.population.take() else { break };
                let token = self.signer.sign(self.identities.connection_id(number))?;
                requests.push(self.requests.with_bearer("GET", "/api/fdx/5/accounts/acc_x", &token));
            }
            if requests.is_empty() {
                break;
            }
            send_requests(address, WARM_UP_CALLERS, requests.into(), 404).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(per_second: f64) -> LoadStats {
        LoadStats { per_second, p50: Duration::ZERO, p99: Duration::ZERO }
    }

    fn row(operation: Operation, per_second: f64) -> BenchmarkRow {
        let floor = Some(Floor { name: "floor", before: stats(100.0), after: stats(100.0) });
        BenchmarkRow { operation: operation.name(), stats: stats(per_second), floor, map_hit_percent: None }
    }

    #[test]
    fn median_run_has_the_middle_share() {
        let runs = [30.0, 10.0, 20.0].map(|per_second| row(Operation::Revoke, per_second));

        let median = take_median(runs.into()).unwrap();

        assert_eq!(median.stats, stats(20.0));
        assert!(take_median(Vec::new()).is_none());
    }

    #[test]
    fn rows_begin_with_fastest_floors_and_keep_the_order() {
        let mut group = CallerResults::new(16);
        group.floors = vec![
            (Operation::BareUpdate, stats(90.0)),
            (Operation::EmptyHandler, stats(10.0)),
            (Operation::EmptyHandler, stats(30.0)),
        ];
        for operation in [Operation::Revoke, Operation::CodeExchange] {
            group.operations.push((operation, row(operation, 1.0)));
        }

        let rows = group.into_rows();

        let names: Vec<_> = rows.iter().map(|row| row.operation).collect();
        assert_eq!(names, ["empty handler", "bare update, no HTTP", "token: code exchange", "revoke"]);
        assert_eq!(rows[0].stats, stats(30.0));
    }
}
