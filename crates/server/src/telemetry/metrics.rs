//! The metrics of a hub in the format of Prometheus. No id, token or name is a label.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use domain::id::ProviderId;
use http::StatusCode;
use metrics::{Counter, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::logs::count_dropped_log_lines;

/// The metrics of one hub. They are not global, so that several hubs in one process (as in tests) count separately.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    upstream_requests: RwLock<HashMap<UpstreamCall, Counter>>,
}

/// A kind of call to a provider, and the status of the response; `None` if there was no response.
type UpstreamCall = (ProviderId, &'static str, Option<StatusCode>);

static METADATA: Metadata<'static> = Metadata::new("bowline", Level::INFO, None);
const LATENCY_BUCKETS_SECS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

impl Telemetry {
    /// Creates an empty set of metrics.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let recorder = builder.set_buckets(&LATENCY_BUCKETS_SECS).unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle, upstream_requests: RwLock::default() }
    }

    /// Increments a counter by one.
    pub fn count(&self, name: &'static str, labels: &[(&'static str, String)]) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(1);
    }

    /// Counts a connection, a stream or a response that was ended or refused because of a limit.
    pub(crate) fn count_listener_rejection(&self, reason: &'static str) {
        self.count("bowline_listener_rejections_total", &[("reason", reason.to_owned())]);
    }

    /// Increments a counter by a number of events that were counted before.
    pub fn count_many(&self, name: &'static str, labels: &[(&'static str, String)], number: u64) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(number);
    }

    /// Sets a counter to a number that is counted elsewhere.
    pub fn set_counter(&self, name: &'static str, number: u64) {
        self.recorder.register_counter(&key(name, &[]), &METADATA).absolute(number);
    }

    /// Counts a call to a provider. `status` is `None` if there was no response.
    pub fn count_upstream_request(
        &self,
        provider: ProviderId,
        call: &'static str,
        status: Option<StatusCode>,
    ) {
        let upstream_call = (provider, call, status);
        let known = self.upstream_requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(&upstream_call) {
            return counter.increment(1);
        }
        drop(known);
        let outcome = status.map_or_else(|| "none".to_owned(), |status| status.as_str().to_owned());
        let labels = [("provider", provider.to_string()), ("call", call.to_owned()), ("outcome", outcome)];
        let name = "bowline_upstream_requests_total";
        let counter = self.recorder.register_counter(&key(name, &labels), &METADATA);
        counter.increment(1);
        // The recorder returns the same counter to concurrent callers, so it does not matter whose handle is kept.
        self.upstream_requests.write().unwrap_or_else(PoisonError::into_inner).insert(upstream_call, counter);
    }

    pub fn set_gauge(&self, name: &'static str, labels: &[(&'static str, String)], value: u32) {
        self.recorder.register_gauge(&key(name, labels), &METADATA).set(f64::from(value));
    }

    /// Aggregates the recorded samples.
    ///
    /// Samples are kept one by one until they are aggregated or rendered. Without a scraper, memory would grow without
    /// bound if this were not called regularly.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Renders all metrics in the text format of Prometheus.
    pub fn render(&self) -> String {
        // The log belongs to the process, so its counter is kept there and copied when the metrics are read.
        self.set_counter("bowline_log_lines_dropped_total", count_dropped_log_lines());
        self.handle.render()
    }
}

/// The number of statuses of one route whose counters are kept. A route has fewer than this.
const MAX_KEPT_STATUSES: usize = 16;

/// The metrics of the requests of one route.
///
/// A counter or histogram is looked up by its labels when it is first used, and kept, because a lookup allocates and
/// compares the text of all labels.
pub struct RouteMetrics {
    labels: [Label; 2],
    seconds: OnceLock<Histogram>,
    /// The counter of each status, in the order in which the statuses occurred first.
    responses: [OnceLock<(StatusCode, Counter)>; MAX_KEPT_STATUSES],
}

impl RouteMetrics {
    /// Creates the metrics of a route. They are not rendered before the first request.
    pub fn new(api: &'static str, route: &'static str) -> Self {
        let labels = [Label::from_static_parts("api", api), Label::from_static_parts("route", route)];
        Self { labels, seconds: OnceLock::new(), responses: [const { OnceLock::new() }; MAX_KEPT_STATUSES] }
    }

    /// Counts a response with its status and duration.
    pub fn record(&self, telemetry: &Telemetry, status: StatusCode, took: Duration) {
        let seconds = self.seconds.get_or_init(|| {
            let name = KeyName::from_const_str("bowline_http_request_seconds");
            let key = Key::from_parts(name, self.labels.to_vec());
            telemetry.recorder.register_histogram(&key, &METADATA)
        });
        seconds.record(took.as_secs_f64());
        for slot in &self.responses {
            let (kept, counter) = slot.get_or_init(|| (status, self.find_counter(telemetry, status)));
            if *kept == status {
                return counter.increment(1);
            }
        }
        self.find_counter(telemetry, status).increment(1);
    }

    fn find_counter(&self, telemetry: &Telemetry, status: StatusCode) -> Counter {
        let name = KeyName::from_const_str("bowline_http_requests_total");
        let mut labels = self.labels.to_vec();
        labels.push(Label::new("status", status.as_str().to_owned()));
        telemetry.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

fn key(name: &'static str, labels: &[(&'static str, String)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(k, v)| Label::new(*k, v.clone())).collect();
    Key::from_parts(KeyName::from_const_str(name), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_MS: Duration = Duration::from_millis(2);

    #[test]
    fn upkeep_keeps_recorded_histogram_samples() {
        let telemetry = Telemetry::new();
        let metrics = RouteMetrics::new("page", "/");

        for _ in 0..3 {
            metrics.record(&telemetry, StatusCode::OK, TWO_MS);
            telemetry.run_upkeep();
        }

        let shown = telemetry.render();
        let count = "bowline_http_request_seconds_count{api=\"page\",route=\"/\"} 3";
        assert!(shown.contains(count), "{shown}");
    }

    #[test]
    fn responses_are_counted_by_status_beyond_kept_counters() {
        let telemetry = Telemetry::new();
        let metrics = RouteMetrics::new("fdx", "/x");
        let statuses = 200..200 + u16::try_from(MAX_KEPT_STATUSES).unwrap() + 2;

        for _ in 0..2 {
            for status in statuses.clone() {
                metrics.record(&telemetry, StatusCode::from_u16(status).unwrap(), TWO_MS);
            }
        }

        let shown = telemetry.render();
        for status in statuses {
            let line =
                format!("bowline_http_requests_total{{api=\"fdx\",route=\"/x\",status=\"{status}\"}} 2\n");
            assert!(shown.contains(&line), "{line} is missing in {shown}");
        }
    }

    #[test]
    fn metrics_of_unused_route_are_not_rendered() {
        let telemetry = Telemetry::new();
        let _unused = RouteMetrics::new("fdx", "/unused");

        assert!(!telemetry.render().contains("/unused"));
    }

    #[test]
    fn upstream_requests_are_counted_by_provider_call_and_status() {
        let telemetry = Telemetry::new();
        let provider = ProviderId::new(7);

        for status in [Some(StatusCode::OK), None, Some(StatusCode::OK)] {
            telemetry.count_upstream_request(provider, "fdx", status);
        }

        let shown = telemetry.render();
        for (outcome, count) in [("200", 2), ("none", 1)] {
            let line = format!(
                "bowline_upstream_requests_total{{provider=\"7\",call=\"fdx\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(shown.contains(&line), "{line} is missing in {shown}");
        }
    }
}
