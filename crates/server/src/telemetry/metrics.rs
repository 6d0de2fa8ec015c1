//! The metrics of a hub in the format of Prometheus. No id, token or name is a label.

use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::logs::count_dropped_log_lines;

/// The metrics of one hub. They are not global, so that several hubs in one process (as in tests) count separately.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

static METADATA: Metadata<'static> = Metadata::new("bowline", Level::INFO, None);
const LATENCY_BUCKETS_SECS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

impl Telemetry {
    /// Creates an empty set of metrics.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let recorder = builder.set_buckets(&LATENCY_BUCKETS_SECS).unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Increments a counter by one.
    pub fn count(&self, name: &'static str, labels: &[(&'static str, String)]) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(1);
    }

    /// Increments a counter by a number of events that were counted before.
    pub fn count_many(&self, name: &'static str, labels: &[(&'static str, String)], number: u64) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(number);
    }

    /// Adds a duration to a histogram.
    pub fn record_duration(&self, name: &'static str, labels: &[(&'static str, String)], duration: Duration) {
        self.recorder.register_histogram(&key(name, labels), &METADATA).record(duration.as_secs_f64());
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
        let dropped = self.recorder.register_counter(&key("bowline_log_lines_dropped_total", &[]), &METADATA);
        dropped.absolute(count_dropped_log_lines());
        self.handle.render()
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

    #[test]
    fn upkeep_keeps_recorded_histogram_samples() {
        let telemetry = Telemetry::new();
        let labels = [("api", "page".to_owned())];

        for _ in 0..3 {
            telemetry.record_duration("bowline_http_request_seconds", &labels, Duration::from_millis(2));
            telemetry.run_upkeep();
        }

        let shown = telemetry.render();
        assert!(shown.contains("bowline_http_request_seconds_count{api=\"page\"} 3"), "{shown}");
    }
}
