//! The report of a benchmark, which is rendered as text, as JSON, or as Markdown for the documentation.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::LoadStats;
use crate::operation::{Floor, Operation};
use crate::settings::BenchmarkSettings;

const METHOD: &str = "# Benchmarks

Written by `bowline bench --markdown docs/benchmarks.md`. Read the shares: the absolute numbers hold only for the machine below, at that time.

## Method

The load generator, the hub and a provider that responds immediately share one process and its cores. Each caller keeps one connection and waits
for each response.

- **Share.** The throughput of an operation divided by that of its floor, which is the simplest operation that does the same HTTP, commit or call to a
  provider. Each floor is measured before and after the operation, in the same process and with as many callers, and the share counts against the faster
  of both measurements. The p99 of the floor is that of the same measurement.
- **Draw.** Every request uses a connection that is drawn uniformly from all connections of the store. Each connection has its own key, tokens,
  credential and audit events, as a login would have left them. A connection that is ended is never drawn again.
- **Time.** Each operation runs for the time below and includes all background work of the hub in that time, such as the deletion of what an end leaves.
  It runs in rounds of up to three seconds, between which requests are built. New connections replace those that end, so that requests are drawn from
  the same number of connections. They are inserted before the first round; ended connections and their audit events stay in the store. With several repetitions, the run with the median share is shown.

The floors:

- *empty handler*: an axum handler that does nothing.
- *bare update, no HTTP*: a command of the same store changes one row of one connection, one transaction each.
- *empty handler that fetches*: an axum handler that requests the same bytes as a data read from the same provider, with the same HTTP client, and
  returns them.

The operations:

- *access check*: a data request that is rejected after the check, before a provider is called.
- *data read*: two accounts, requested from the provider, filtered, checked again and returned.
- *code exchange*: the codes are new, as they are in a hub.
- *revoke*: the end of a connection. It queues the job that revokes the provider's token. The provider's revocation endpoint is out of order, so the
  circuit breaker keeps the workers from calling it.
- *revoke, provider notified*: the same, while the endpoint works and the workers revoke the tokens of queued jobs on the same cores.

*Map hits* is the percentage of access checks that found their state in memory.

Measured separately:

- *bytes on disk for each connection*: the growth of the database while an empty store was filled, audit events included, divided by the
  connections.
- *bytes of the log for each end*: 32 callers end connections that are drawn from the whole store, in batches of about 16. On SQLite, the
  length of the log after a truncation; on PostgreSQL, the statistics of the server (`pg_stat_wal`), without full-page images if `pg_walinspect` can be installed. PostgreSQL
  writes an image of a page at its first change after a checkpoint.
- *percent of updates that are HOT*: updates of rows that changed no index (`n_tup_hot_upd`), during the same ends.
- *ms from start to ready*: a hub in a process of its own, after the previous one was killed; the median of five starts.
- *memory*: the resident set of a hub in a process of its own, directly after it became ready, and after a check of each connection (at most a
  million).
";

/// The comparison with earlier measurements, and the reasons why targets are missed. They are written by hand after a measurement.
const ANALYSIS: &str = include_str!("analysis.md");

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

/// The measurement of one operation or floor.
pub(crate) struct BenchmarkRow {
    pub(crate) operation: &'static str,
    pub(crate) stats: LoadStats,
    pub(crate) floor: Option<Floor>,
    /// The percentage of access checks that found their state in memory, if there were any.
    pub(crate) map_hit_percent: Option<f64>,
}

/// The measurements on a store of one size with one number of callers.
struct RowGroup {
    store: &'static str,
    connections: usize,
    callers: usize,
    rows: Vec<BenchmarkRow>,
}

impl BenchmarkRow {
    pub(crate) fn percent_of_floor(&self) -> Option<f64> {
        self.floor.map(|floor| floor.percent(&self.stats))
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

    fn format_floor_p99(&self) -> String {
        self.floor.map(|floor| format!("{:.3}", to_millis(floor.higher().p99))).unwrap_or_default()
    }

    fn format_map_hits(&self) -> String {
        self.map_hit_percent.map(|percent| format!("{percent:.1} %")).unwrap_or_default()
    }
}

/// A single measured number about a store of one size, such as the time to end a connection.
struct Note {
    store: &'static str,
    connections: usize,
    label: &'static str,
    value: f64,
}

/// The names of the database systems, in the order of the report.
const STORE_LABELS: [&str; 2] = ["SQLite", "PostgreSQL"];

/// Returns the name of the database system in a store URL.
pub(crate) fn store_label(store_url: &str) -> &'static str {
    let [sqlite, postgres] = STORE_LABELS;
    if store_url.starts_with("postgres") { postgres } else { sqlite }
}

/// The results of a benchmark, with a row for each operation, store, number of connections and number of callers.
pub struct BenchmarkReport {
    groups: Vec<RowGroup>,
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
             seconds for each operation, median of {}",
            settings.seconds, settings.repetitions
        );
        Self { groups: Vec::new(), notes: Vec::new(), machine: describe_machine(), settings }
    }

    pub(crate) fn add_rows(
        &mut self,
        store: &'static str,
        connections: usize,
        callers: usize,
        rows: Vec<BenchmarkRow>,
    ) {
        self.groups.push(RowGroup { store, connections, callers, rows });
    }

    pub(crate) fn add_note(&mut self, store_url: &str, connections: usize, label: &'static str, value: f64) {
        self.notes.push(Note { store: store_label(store_url), connections, label, value });
    }

    /// Renders the report for a terminal.
    pub fn render_text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.machine, self.settings);
        for RowGroup { store, connections, callers, rows } in &self.groups {
            let _ = writeln!(
                out,
                "\n{:<26} {:>9} {:>9} {:>9} {:>9} {:>8}   share of its floor   ({store}, {connections} connections, {callers} callers)",
                "operation", "a second", "p50 ms", "p99 ms", "floor p99", "map hits"
            );
            for row in rows {
                let [per_second, p50, p99] = row.format_numbers();
                let (floor_p99, map_hits, share) =
                    (row.format_floor_p99(), row.format_map_hits(), row.format_share());
                let line = format!(
                    "{:<26} {per_second:>9} {p50:>9} {p99:>9} {floor_p99:>9} {map_hits:>8}   {share}",
                    row.operation
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        for Note { store, connections, label, value } in &self.notes {
            let _ = write!(out, "\n{store:<10} {connections:>9} connections: {label} {value:.1}");
        }
        out
    }

    /// Renders the report as the page `docs/benchmarks.md`, with one table of shares for each database.
    pub fn render_markdown(&self) -> String {
        let mut out = format!("{METHOD}\n- {}\n- {}\n", self.machine, self.settings);
        for store in STORE_LABELS {
            let groups: Vec<&RowGroup> = self.groups.iter().filter(|group| group.store == store).collect();
            let notes: Vec<&Note> = self.notes.iter().filter(|note| note.store == store).collect();
            if !groups.is_empty() || !notes.is_empty() {
                let _ = write!(out, "\n## {store}\n");
                render_shares(&mut out, &groups);
                render_notes(&mut out, &notes);
            }
        }
        out.push_str(ANALYSIS);
        out.push_str(PEERS);
        out
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> Value {
        let rows_of =
            |group: &RowGroup| group.rows.iter().map(|row| row_to_json(group, row)).collect::<Vec<_>>();
        let rows: Vec<_> = self.groups.iter().flat_map(rows_of).collect();
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

/// Renders the table of a database. Rows of one operation are adjacent, so that sizes and callers can be compared.
fn render_shares(out: &mut String, groups: &[&RowGroup]) {
    out.push_str(
        "\n| operation | connections | callers | share of its floor | a second | p50 ms | p99 ms | p99 of the floor, ms | map hits |\n\
         | --- | --: | --: | --- | --: | --: | --: | --: | --: |\n",
    );
    for operation in Operation::FLOORS.into_iter().chain(Operation::MEASURED) {
        for group in groups {
            let RowGroup { connections, callers, rows, .. } = group;
            for row in rows.iter().filter(|row| row.operation == operation.name()) {
                let [per_second, p50, p99] = row.format_numbers();
                let (share, floor_p99, map_hits) =
                    (row.format_share(), row.format_floor_p99(), row.format_map_hits());
                let _ = writeln!(
                    out,
                    "| {} | {connections} | {callers} | {share} | {per_second} | {p50} | {p99} | {floor_p99} | {map_hits} |",
                    row.operation
                );
            }
        }
    }
}

fn render_notes(out: &mut String, notes: &[&Note]) {
    out.push_str("\n| measured separately | connections | |\n| --- | --: | --: |\n");
    for Note { connections, label, value, .. } in notes {
        let _ = writeln!(out, "| {label} | {connections} | {value:.1} |");
    }
}

fn row_to_json(group: &RowGroup, row: &BenchmarkRow) -> Value {
    json!({
        "store": group.store,
        "connections": group.connections,
        "callers": group.callers,
        "operation": row.operation,
        "per_second": row.stats.per_second,
        "p50_ms": to_millis(row.stats.p50),
        "p99_ms": to_millis(row.stats.p99),
        "floor": row.floor.map(|floor| floor.name),
        "percent_of_floor": row.percent_of_floor(),
        "floor_before_per_second": row.floor.map(|floor| floor.before.per_second),
        "floor_after_per_second": row.floor.map(|floor| floor.after.per_second),
        "floor_p99_ms": row.floor.map(|floor| to_millis(floor.higher().p99)),
        "map_hit_percent": row.map_hit_percent,
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

    fn stats(per_second: f64, p99_ms: u64) -> LoadStats {
        LoadStats { per_second, p50: Duration::from_micros(500), p99: Duration::from_millis(p99_ms) }
    }

    fn report() -> BenchmarkReport {
        let row = |operation, per_second, floor| BenchmarkRow {
            operation,
            stats: stats(per_second, 2),
            floor,
            map_hit_percent: None,
        };
        let floor = Some(Floor { name: "bare update", before: stats(2000.0, 7), after: stats(1000.0, 9) });
        let mut report = BenchmarkReport {
            groups: Vec::new(),
            notes: Vec::new(),
            machine: "machine".into(),
            settings: "settings".into(),
        };
        let sqlite = store_label("sqlite:x");
        let update = row("bare update, no HTTP", 2000.0, None);
        report.add_rows(sqlite, 1000, 1, vec![update, row("revoke", 500.0, floor)]);
        let check = BenchmarkRow { map_hit_percent: Some(99.25), ..row("access check", 4000.0, None) };
        report.add_rows(sqlite, 1000, 16, vec![row("revoke", 1000.0, floor), check]);
        report.add_note("postgres://x", 1000, "seconds to fill the store", 1.5);
        report
    }

    #[test]
    fn text_report_has_one_table_per_store_size_and_callers() {
        let text = report().render_text();

        assert_eq!(text.matches("share of its floor").count(), 2, "{text}");
        let revoke = "revoke                           500     0.500     2.000     7.000            25 % of bare update\n";
        assert!(text.contains(revoke), "{text}");
        assert!(text.contains("   99.2 %\n"), "{text}");
        assert!(text.ends_with("PostgreSQL      1000 connections: seconds to fill the store 1.5"), "{text}");
    }

    #[test]
    fn markdown_report_has_one_table_of_shares_per_database() {
        let markdown = report().render_markdown();

        assert_eq!(markdown.matches("| share of its floor |").count(), 2, "{markdown}");
        let rows = "| bare update, no HTTP | 1000 | 1 |  | 2000 | 0.500 | 2.000 |  |  |\n\
                    | access check | 1000 | 16 |  | 4000 | 0.500 | 2.000 |  | 99.2 % |\n\
                    | revoke | 1000 | 1 | 25 % of bare update | 500 | 0.500 | 2.000 | 7.000 |  |\n\
                    | revoke | 1000 | 16 | 50 % of bare update | 1000 | 0.500 | 2.000 | 7.000 |  |\n";
        assert!(markdown.contains(rows), "{markdown}");
        assert!(markdown.contains("\n## PostgreSQL\n"), "{markdown}");
        assert!(markdown.contains("| seconds to fill the store | 1000 | 1.5 |\n"), "{markdown}");
    }

    #[test]
    fn json_report_has_documented_members() {
        let json = report().to_json();

        assert_eq!(
            json["rows"][1],
            json!({"store": "SQLite", "connections": 1000, "callers": 1, "operation": "revoke", "per_second": 500.0,
                "p50_ms": 0.5, "p99_ms": 2.0, "floor": "bare update", "percent_of_floor": 25.0,
                "floor_before_per_second": 2000.0, "floor_after_per_second": 1000.0, "floor_p99_ms": 7.0,
                "map_hit_percent": null})
        );
        assert_eq!(json["rows"][0]["floor"], Value::Null);
        let note = json!({"store": "PostgreSQL", "connections": 1000, "what": "seconds to fill the store", "number": 1.5});
        assert_eq!(json["notes"], json!([note]));
    }
}
