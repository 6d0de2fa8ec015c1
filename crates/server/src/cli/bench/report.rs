//! The tables, for people, for scripts and for the documentation.

use std::fmt::Write as _;

use serde_json::json;

use super::BenchArgs;
use super::load::LoadStats;

const METHOD: &str = "# Benchmarks

Written by `bowline bench --markdown docs/benchmarks.md`. The load, the hub and a bank that answers at once share one
process and its cores. Callers keep one connection each and wait for every answer. Read the shares: the absolute numbers
are those of the machine below, at that moment.

- *empty handler*: an axum handler that does nothing, asked in the same way. Everything that only reads is held against it.
- *bare update, no HTTP*: one row of one connection changed by a command of the same store, one commit each. Everything
  that is durable before its answer is held against it.
- *access check*: a data request that is refused after the check, before a bank is asked.
- *data read*: two accounts, asked of the bank, filtered, checked again and served.
- *revoke, bank told*: the same as *revoke*, while the workers tell the bank of each end on the same cores.
";

const PEERS: &str = "
## Beside others

Two other servers that end grants, measured by the same method on another machine of two cores, at 16 callers, each
with its every write synced. The floors differ, so read them beside the floors.

| operation | a peer on PostgreSQL | a peer on Redis |
| --- | --: | --: |
| empty handler | 90,900 | 90,900 |
| bare update | 12,989 | |
| client credentials | 1,261 | 2,601 |
| refresh | 951 | 1,062 |
| access check (introspection) | 2,533 | 2,867 |
| revoke | 1,451 (p99 22 ms) | 1,746 |
";

/// One measurement.
pub(super) struct BenchRow {
    pub(super) store: &'static str,
    pub(super) connections: usize,
    pub(super) callers: usize,
    pub(super) what: &'static str,
    pub(super) figures: LoadStats,
    /// What it is held against, and how often a second that went.
    pub(super) floor: Option<(&'static str, f64)>,
}

impl BenchRow {
    /// The share of its floor, in percent.
    fn percent_of_floor(&self) -> Option<f64> {
        self.floor.map(|(_, floor)| self.figures.per_second / floor * 100.0)
    }
}

/// One number that stands by itself: of a store, at so many connections.
type BenchNote = (&'static str, usize, &'static str, f64);

/// What kind of store a URL names.
pub(super) fn store_label(store: &str) -> &'static str {
    if store.starts_with("postgres") { "PostgreSQL" } else { "SQLite" }
}

/// Everything that was measured.
pub(super) struct BenchReport {
    pub(super) rows: Vec<BenchRow>,
    notes: Vec<BenchNote>,
    machine: String,
    settings: String,
}

impl BenchReport {
    pub(super) fn new(args: &BenchArgs) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let build = if cfg!(debug_assertions) { "debug build: not for comparison" } else { "release build" };
        let settings = format!(
            "bowline {version}, {build}; SQLite: WAL, synchronous=FULL, group commit; PostgreSQL: as it was given; {} \
             requests",
            args.requests
        );
        Self { rows: Vec::new(), notes: Vec::new(), machine: describe_machine(), settings }
    }

    pub(super) fn add_note(&mut self, store: &str, connections: usize, what: &'static str, number: f64) {
        self.notes.push((store_label(store), connections, what, number));
    }

    pub(super) fn render_text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.machine, self.settings);
        let mut last = ("", 0, 0);
        for row in &self.rows {
            let group = (row.store, row.connections, row.callers);
            if group != last {
                last = group;
                let (store, connections, callers) = last;
                let _ = writeln!(
                    out,
                    "\n{:<26} {:>9} {:>9} {:>9}   share of its floor   ({store}, {connections} connections, {callers} callers)",
                    "operation", "a second", "p50 ms", "p99 ms"
                );
            }
            let [per_second, p50, p99] = format_numbers(row);
            let _ =
                writeln!(out, "{:<26} {per_second:>9} {p50:>9} {p99:>9}   {}", row.what, format_share(row));
        }
        for (store, connections, what, number) in &self.notes {
            let _ = write!(out, "\n{store:<10} {connections:>9} connections: {what} {number:.1}");
        }
        out
    }

    pub(super) fn render_markdown(&self) -> String {
        let mut out = format!("{METHOD}\n- {}\n- {}\n", self.machine, self.settings);
        let mut last = ("", 0, 0);
        for row in &self.rows {
            let group = (row.store, row.connections, row.callers);
            if group != last {
                last = group;
                let _ = write!(
                    out,
                    "\n{}, {} connections, {} callers:\n\n| operation | a second | p50 ms | p99 ms | share of its floor |\n\
                     | --- | --: | --: | --: | --- |\n",
                    last.0, last.1, last.2
                );
            }
            let [per_second, p50, p99] = format_numbers(row);
            let _ = writeln!(out, "| {} | {per_second} | {p50} | {p99} | {} |", row.what, format_share(row));
        }
        out.push_str("\n| store | connections | by itself | |\n| --- | --: | --- | --: |\n");
        for (store, connections, what, number) in &self.notes {
            let _ = writeln!(out, "| {store} | {connections} | {what} | {number:.1} |");
        }
        out.push_str(PEERS);
        out
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|r| {
                json!({"store": r.store, "connections": r.connections, "callers": r.callers, "operation": r.what,
                    "per_second": r.figures.per_second, "p50_ms": to_millis(r.figures.p50), "p99_ms": to_millis(r.figures.p99),
                    "floor": r.floor.map(|(name, _)| name), "percent_of_floor": r.percent_of_floor()})
            })
            .collect();
        let notes: Vec<_> = self
            .notes
            .iter()
            .map(|(store, connections, what, number)| {
                json!({"store": store, "connections": connections, "what": what, "number": number})
            })
            .collect();
        json!({"machine": self.machine, "settings": self.settings, "rows": rows, "notes": notes})
    }
}

fn format_numbers(row: &BenchRow) -> [String; 3] {
    let figures = row.figures;
    [
        format!("{:.0}", figures.per_second),
        format!("{:.3}", to_millis(figures.p50)),
        format!("{:.3}", to_millis(figures.p99)),
    ]
}

fn format_share(row: &BenchRow) -> String {
    match (row.percent_of_floor(), row.floor) {
        (Some(share), Some((floor, _))) => format!("{share:.0} % of {floor}"),
        _ => String::new(),
    }
}

fn to_millis(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// What was measured on, as far as it says so itself.
fn describe_machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|m| m.1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cores} cores, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}
