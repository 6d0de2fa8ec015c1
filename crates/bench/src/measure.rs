//! Measures all operations on one store, once for each number of connections and of callers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use domain::id::{ConnectionId, IdSource};
use store::command::TouchConnection;

use crate::error::BenchmarkError;
use crate::fill::{
    BenchConnection, NON_REVOKING_PROVIDER, PROVIDERS, RECIPIENT, REVOKING_PROVIDER, SeedState, fill_store,
    seed_connections, sign_access_token,
};
use crate::load::{LoadStats, run_callers, send_requests};
use crate::report::{BenchmarkReport, BenchmarkRow, Floor, store_label};
use crate::requests::RequestBuilder;
use crate::settings::BenchmarkSettings;
use crate::startup::{find_free_addresses, measure_startup, measure_syncs_per_second};
use crate::stopwatch;
use crate::stub_provider::{serve_on_free_port, start_stub_provider};
use crate::target::{BenchmarkTarget, TargetSettings};

/// Maximum number of connections that requests use in turn. All further connections only fill the store.
const MAX_ACTIVE_CONNECTIONS: usize = 8_000;

/// The measurements of ending a connection: label, and number of refreshes before the end.
const REFRESHES_BEFORE_END: [(&str, usize); 4] = [
    ("ms to end a fresh connection", 0),
    ("ms to end one after 1 refresh", 1),
    ("ms to end one after 100 refreshes", 100),
    ("ms to end one after 10,000 refreshes", 10_000),
];

/// Starts a hub on one store at each size, measures it, and adds the results to the report.
pub async fn measure_store<T: BenchmarkTarget>(
    settings: &BenchmarkSettings,
    folder: &Path,
    store_url: &str,
    report: &mut BenchmarkReport,
) -> Result<(), T::Error> {
    settings.validate()?;
    report.add_note(store_url, 0, "4 KiB appended and synced", measure_syncs_per_second(folder)?);
    let provider_url = start_stub_provider().await?;
    let target_settings = TargetSettings {
        folder,
        store_url,
        provider_url: &provider_url,
        providers: &PROVIDERS,
        recipient: RECIPIENT,
    };
    let total = to_i64(settings.connections.last().copied().unwrap_or_default())?;
    let mut filled = 0;
    for &connections in &settings.connections {
        let show_progress = |text: &str| {
            (settings.show_progress)(&format!("{connections} connections: {text}"));
        };
        let target = T::start(&target_settings).await?;
        show_progress("filling the store");
        let started = stopwatch::start();
        let active = MAX_ACTIVE_CONNECTIONS.min(connections);
        let inactive = to_i64(connections - active)?.max(filled);
        fill_store(&target, filled..inactive, total).await?;
        filled = inactive;
        let seeded = seed_connections(&target, active, NON_REVOKING_PROVIDER, SeedState::Active).await?;
        report.add_note(store_url, connections, "seconds to fill the store", started.elapsed().as_secs_f64());
        let measurement = Measurement {
            requests: RequestBuilder::new(target.address(), RECIPIENT),
            target: &target,
            settings,
            store: store_label(store_url),
            connections,
            seeded,
            empty_server: start_empty_server().await?,
        };
        for &callers in &settings.callers {
            show_progress(&format!("{callers} callers"));
            report.add_rows(measurement.measure_operations(callers).await?);
        }
        show_progress("ends after refreshes");
        for (label, refreshes) in REFRESHES_BEFORE_END {
            report.add_note(store_url, connections, label, measurement.measure_end_ms(refreshes).await?);
        }
        let config_file = target.stop().await;
        show_progress("starting the hub as a process");
        let [public, probes] = find_free_addresses().await?;
        let startup = measure_startup(T::serve_command(&config_file, &public, &probes)?, &probes).await?;
        let ready_ms = startup.ready_after.as_secs_f64() * 1000.0;
        report.add_note(store_url, connections, "ms from start to ready", ready_ms);
        report.add_note(store_url, connections, "MiB of memory when ready", startup.resident_mib);
    }
    Ok(())
}

fn to_i64(count: usize) -> Result<i64, BenchmarkError> {
    let too_large = || BenchmarkError::InvalidSettings("--connections: expected a smaller number".into());
    i64::try_from(count).map_err(|_| too_large())
}

/// Starts a server whose handler does nothing. The throughput of each operation over HTTP is compared with that of this
/// server, which no operation can exceed.
async fn start_empty_server() -> Result<SocketAddr, BenchmarkError> {
    serve_on_free_port(Router::new().route("/", get(|| async {}))).await
}

/// A running hub on a store of one size, with the connections that requests use.
struct Measurement<'a, T> {
    target: &'a T,
    settings: &'a BenchmarkSettings,
    requests: RequestBuilder,
    store: &'static str,
    connections: usize,
    seeded: Vec<BenchConnection>,
    empty_server: SocketAddr,
}

impl<T: BenchmarkTarget> Measurement<'_, T> {
    async fn measure_operations(&self, callers: usize) -> Result<Vec<BenchmarkRow>, T::Error> {
        let row = |operation, stats, floor| BenchmarkRow {
            store: self.store,
            connections: self.connections,
            callers,
            operation,
            stats,
            floor,
        };
        // A single caller sends a quarter of the requests, because it waits for each response and would take several
        // times as long.
        let reads = if callers == 1 { self.settings.requests / 4 } else { self.settings.requests };
        let writes = reads / 4;
        let empty_request = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let empty = send_requests(self.empty_server, callers, vec![empty_request; reads].into(), 200).await?;
        let http_floor = Some(Floor { name: "empty handler", per_second: empty.per_second });
        let update = self.measure_bare_updates(callers, writes).await?;
        let commit_floor = Some(Floor { name: "bare update", per_second: update.per_second });
        let mut rows = vec![row("empty handler", empty, None), row("bare update, no HTTP", update, None)];
        let client_credentials = self.requests.token_request("grant_type=client_credentials");
        for (operation, status, requests) in [
            ("token: client_credentials", 200, vec![client_credentials; reads]),
            ("token: refresh", 200, self.build_refreshes(reads)),
            // The account is unknown, so the hub responds right after the access check.
            ("access check", 404, self.build_data_requests("/accounts/acc_x", reads)?),
            ("data read", 200, self.build_data_requests("/accounts", writes)?),
        ] {
            if self.is_selected(operation) {
                rows.push(row(operation, self.send_all(callers, requests, status).await?, http_floor));
            }
        }
        let exchange = "token: code exchange";
        if self.is_selected(exchange) {
            let state = SeedState::AwaitingExchange;
            let pending = seed_connections(self.target, writes, NON_REVOKING_PROVIDER, state).await?;
            let requests = pending.iter().map(|c| self.requests.code_request(&c.secret)).collect();
            rows.push(row(exchange, self.send_all(callers, requests, 200).await?, commit_floor));
        }
        for (operation, provider) in
            [("revoke", NON_REVOKING_PROVIDER), ("revoke, provider notified", REVOKING_PROVIDER)]
        {
            if self.is_selected(operation) {
                let active = seed_connections(self.target, writes, provider, SeedState::Active).await?;
                let requests = self.build_revocations(&active)?;
                rows.push(row(operation, self.send_all(callers, requests, 204).await?, commit_floor));
            }
        }
        Ok(rows)
    }

    fn is_selected(&self, operation: &str) -> bool {
        operation.contains(&self.settings.name_filter)
    }

    async fn send_all(
        &self,
        callers: usize,
        requests: Vec<Bytes>,
        expected_status: u16,
    ) -> Result<LoadStats, BenchmarkError> {
        send_requests(self.target.address(), callers, requests.into(), expected_status).await
    }

    /// Picks seeded connections in an order that is unrelated to the order of their creation.
    fn scattered_connections(&self, count: usize) -> impl Iterator<Item = &BenchConnection> {
        // 7,919 is prime and no divisor of the number of connections, so each one gets its turn.
        (0..count).map(|n| &self.seeded[n.wrapping_mul(7_919) % self.seeded.len()])
    }

    fn build_refreshes(&self, count: usize) -> Vec<Bytes> {
        self.scattered_connections(count).map(|c| self.requests.refresh_request(&c.secret)).collect()
    }

    fn build_data_requests(&self, path: &str, count: usize) -> Result<Vec<Bytes>, T::Error> {
        self.build_with_tokens("GET", &format!("/api/fdx/5{path}"), self.scattered_connections(count))
    }

    fn build_revocations(&self, connections: &[BenchConnection]) -> Result<Vec<Bytes>, T::Error> {
        self.build_with_tokens("DELETE", "/api/v1/revoke", connections.iter())
    }

    fn build_with_tokens<'c>(
        &self,
        method: &str,
        path: &str,
        connections: impl Iterator<Item = &'c BenchConnection>,
    ) -> Result<Vec<Bytes>, T::Error> {
        let moment = self.target.new_moment()?;
        let mut ids = IdSource::new(moment.now, moment.seed);
        let build = |connection| {
            let token = sign_access_token(self.target, &moment, &mut ids, connection)?;
            Ok(self.requests.with_bearer(method, path, &token))
        };
        connections.map(build).collect()
    }

    /// Measures the smallest durable command on the same store. Its throughput is the floor of every operation that
    /// writes.
    async fn measure_bare_updates(&self, callers: usize, count: usize) -> Result<LoadStats, T::Error> {
        let mut updates = Vec::with_capacity(count);
        for connection in self.scattered_connections(count) {
            updates.push((self.target.new_moment()?, connection.id.clone()));
        }
        let updates: Arc<[(domain::Moment, ConnectionId)]> = updates.into();
        let store = self.target.store().clone();
        let stats = run_callers(callers, count, move |index| {
            let (store, (moment, id)) = (store.clone(), updates[index].clone());
            async move { Ok(store.run(TouchConnection { moment, id }).await?) }
        });
        Ok(stats.await?)
    }

    /// Measures the median time, in milliseconds, to end a connection after a number of refreshes.
    async fn measure_end_ms(&self, refreshes: usize) -> Result<f64, T::Error> {
        const TRIES: usize = 10;
        let connections =
            seed_connections(self.target, TRIES, NON_REVOKING_PROVIDER, SeedState::Active).await?;
        if refreshes > 0 {
            for connection in &connections {
                let requests = vec![self.requests.refresh_request(&connection.secret); refreshes];
                self.send_all(16.min(refreshes), requests, 200).await?;
            }
        }
        let ends = self.send_all(1, self.build_revocations(&connections)?, 204).await?;
        Ok(ends.p50.as_secs_f64() * 1000.0)
    }
}
