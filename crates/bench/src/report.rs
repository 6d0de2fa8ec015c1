//! The report of a benchmark, which is rendered as text, as JSON, or as Markdown for the documentation.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::LoadStats;
use crate::settings::BenchmarkSettings;

const METHOD: &str = "# Benchmarks

Written by `bowline bench --markdown docs/benchmarks.md`.

The load generator, the hub and a provider that responds immediately share one process and its cores. Each caller keeps one connection and waits
for each response. Read the shares: the absolute numbers hold only for the machine below, at that time.

- *empty handler*: an axum handler that does nothing, called in the same way. It is the floor of everything that only reads.
- *bare update, no HTTP*: a command of the same store changes one row of one connection, one commit each. It is the floor of everything that
  is durable before its response.
- *access check*: a data request that is rejected after the check, before a provider is called.
- *data read*: two accounts, requested from the provider, filtered, checked again and returned.
- *revoke, provider notified*: the same as *revoke*, while the workers revoke each token at the provider on the same cores.
";

const PEERS: &str = "
## Comparison with other servers

Two other servers that end grants, measured with the same method on another machine with two cores, at 16 callers, each with every write
synced. The floors differ, so compare each number with its floor.

| operation | a peer on PostgreSQL | a peer on Redis |
| --- | --: | --: |
| empty handler | 90,900 | 90,900 |
| bare update | 12,989 | |
| client credentials | 1,261 | 2,601 |
| refresh | 951 | 1,062 |
| access check (introspection) | 2,533 | 2,867 |
| revoke | 1,451 (p99 22 ms) | 1,746 |
";

/// The floor that an operation is compared with: the throughput of a simpler operation in the same run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) name: &'static str,
    pub(crate) per_second: f64,
}

/// The measurement of one operation, which is a row of a table.
pub(crate) struct BenchmarkRow {
    pub(crate) store: &'static str,
    pub(crate) connections: usize,
    pub(crate) callers: usize,
    pub(crate) operation: &'static str,
    pub(crate) stats: LoadStats,
    pub(crate) floor: Option<Floor>,
}

impl BenchmarkRow {
    fn percent_of_floor(&self) -> Option<f64> {
        self.floor.map(|floor| self.stats.per_second / floor.per_second * 100.0)
    }

    const fn group(&self) -> RowGroup {
        (self.store, self.connections, self.callers)
    }

    fn format_numbers(&self) -> [String; 3] {
        [
            format!("{:.0}", self.stats.per_second),
            format!("{:.3}", to_millis(self.stats.p50)),
            format!("{:.3}", to_millis(self.stats.p99)),
        ]
    }

    fn format_share(&self) -> String {
        match (self.percent_of_floor(), self.floor) {
            (Some(percent), Some(floor)) => format!("{percent:.0} % of {}", floor.name),
            _ => String::new(),
        }
    }
}

/// The values by which measurements are grouped into tables: store, connections and callers.
type RowGroup = (&'static str, usize, usize);

/// A single measured number about a store of one size, such as the time to end a connection.
struct Note {
    store: &'static str,
    connections: usize,
    label: &'static str,
    value: f64,
}

/// Returns the name of the database system in a store URL: PostgreSQL or SQLite.
pub(crate) fn store_label(store_url: &str) -> &'static str {
    if store_url.starts_with("postgres") { "PostgreSQL" } else { "SQLite" }
}

/// The results of a benchmark: a row for each operation, store, number of connections and number of callers.
pub struct BenchmarkReport {
    rows: Vec<BenchmarkRow>,
    notes: Vec<Note>,
    machine: String,
    settings: String,
}

impl BenchmarkReport {
    /// Creates a report without results. It describes this machine and the settings.
    pub fn new(settings: &BenchmarkSettings) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let build = if cfg!(debug_assertions) { "debug build: not for comparison" } else { "release build" };
        let settings = format!(
            "bowline {version}, {build}; SQLite: WAL, synchronous=FULL, group commit; PostgreSQL: as configured; {} \
             requests",
            settings.requests
        );
        Self { rows: Vec::new(), notes: Vec::new(), machine: describe_machine(), settings }
    }

    pub(crate) fn add_rows(&mut self, rows: Vec<BenchmarkRow>) {
        self.rows.extend(rows);
    }

    pub(crate) fn add_note(&mut self, store_url: &str, connections: usize, label: &'static str, value: f64) {
        self.notes.push(Note { store: store_label(store_url), connections, label, value });
    }

    /// Renders the report for a terminal.
    pub fn render_text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.machine, self.settings);
        for rows in self.rows.chunk_by(|one, next| one.group() == next.group()) {
            let (store, connections, callers) = rows[0].group();
            let _ = writeln!(
                out,
                "\n{:<26} {:>9} {:>9} {:>9}   share of its floor   ({store}, {connections} connections, {callers} callers)",
                "operation", "a second", "p50 ms", "p99 ms"
            );
            for row in rows {
                let [per_second, p50, p99] = row.format_numbers();
                let share = row.format_share();
                let _ = writeln!(out, "{:<26} {per_second:>9} {p50:>9} {p99:>9}   {share}", row.operation);
            }
        }
        for Note { store, connections, label, value } in &self.notes {
            let _ = write!(out, "\n{store:<10} {connections:>9} connections: {label} {value:.1}");
        }
        out
    }

    /// Renders the report as the page `docs/benchmarks.md`.
    pub fn render_markdown(&self) -> String {
        let mut out = format!("{METHOD}\n- {}\n- {}\n", self.machine, self.settings);
        for rows in self.rows.chunk_by(|one, next| one.group() == next.group()) {
            let (store, connections, callers) = rows[0].group();
            let _ = write!(
                out,
                "\n{store}, {connections} connections, {callers} callers:\n\n\
                 | operation | a second | p50 ms | p99 ms | share of its floor |\n| --- | --: | --: | --: | --- |\n"
            );
            for row in rows {
                let [per_second, p50, p99] = row.format_numbers();
                let share = row.format_share();
                let _ = writeln!(out, "| {} | {per_second} | {p50} | {p99} | {share} |", row.operation);
            }
        }
        out.push_str("\n| store | connections | measured separately | |\n| --- | --: | --- | --: |\n");
        for Note { store, connections, label, value } in &self.notes {
            let _ = writeln!(out, "| {store} | {connections} | {label} | {value:.1} |");
        }
        out.push_str(PEERS);
        out
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(row_to_json).collect();
        let notes: Vec<_> = self
            .notes
            .iter()
            .map(|note| {
                json!({"store": note.store, "connections": note.connections, "what": note.label, "number": note.value})
            })
            .collect();
        json!({"machine": self.machine, "settings": self.settings, "rows": rows, "notes": notes})
    }
}

fn row_to_json(row: &BenchmarkRow) -> Value {
    json!({
        "store": row.store,
        "connections": row.connections,
        "callers": row.callers,
        "operation": row.operation,
        "per_second": row.stats.per_second,
        "p50_ms": to_millis(row.stats.p50),
        "p99_ms": to_millis(row.stats.p99),
        "floor": row.floor.map(|floor| floor.name),
        "percent_of_floor": row.percent_of_floor(),
    })
}

fn to_millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Describes processor and kernel, as far as `/proc` names them.
fn describe_machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|m| m.1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cores} cores, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BenchmarkReport {
        let row = |operation, callers, per_second, floor| BenchmarkRow {
            store: store_label("sqlite:x"),
            connections: 1000,
            callers,
            operation,
            stats: LoadStats { per_second, p50: Duration::from_micros(500), p99: Duration::from_millis(2) },
            floor,
        };
        let floor = Some(Floor { name: "bare update", per_second: 2000.0 });
        let mut report = BenchmarkReport {
            rows: Vec::new(),
            notes: Vec::new(),
            machine: "machine".into(),
            settings: "settings".into(),
        };
        report.add_rows(vec![row("bare update, no HTTP", 1, 2000.0, None), row("revoke", 1, 500.0, floor)]);
        report.add_rows(vec![row("revoke", 16, 1000.0, floor)]);
        report.add_note("postgres://x", 1000, "seconds to fill the store", 1.5);
        report
    }

    #[test]
    fn report_has_one_table_per_store_size_and_callers() {
        let (text, markdown) = (report().render_text(), report().render_markdown());

        assert_eq!(text.matches("share of its floor").count(), 2, "{text}");
        assert!(
            text.contains("revoke                           500     0.500     2.000   25 % of bare update"),
            "{text}"
        );
        assert!(text.ends_with("PostgreSQL      1000 connections: seconds to fill the store 1.5"), "{text}");
        assert!(markdown.contains("\nSQLite, 1000 connections, 16 callers:\n"), "{markdown}");
        assert!(markdown.contains("| revoke | 1000 | 0.500 | 2.000 | 50 % of bare update |\n"), "{markdown}");
        assert!(markdown.contains("| PostgreSQL | 1000 | seconds to fill the store | 1.5 |\n"), "{markdown}");
    }

    #[test]
    fn json_report_has_documented_members() {
        let json = report().to_json();

        assert_eq!(
            json["rows"][1],
            json!({"store": "SQLite", "connections": 1000, "callers": 1, "operation": "revoke", "per_second": 500.0,
                "p50_ms": 0.5, "p99_ms": 2.0, "floor": "bare update", "percent_of_floor": 25.0})
        );
        assert_eq!(json["rows"][0]["floor"], Value::Null);
        let note = json!({"store": "PostgreSQL", "connections": 1000, "what": "seconds to fill the store", "number": 1.5});
        assert_eq!(json["notes"], json!([note]));
    }
}
