//! A test that `bowline bench` measures every operation, on a small store and for a short time.

use std::process::Command;

use serde_json::Value;

/// Runs the benchmark and returns its report.
fn run_benchmark(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    let output =
        command.args(["bench", "--json", "--quiet", "--data", &data]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn benchmark_reports_every_operation_with_its_floor() {
    let report = run_benchmark(&["--seconds", "0.1", "--connections", "300", "--callers", "4"]);

    let rows = report["rows"].as_array().unwrap();
    let operations: Vec<_> = rows.iter().map(|row| (&row["operation"], &row["floor"])).collect();
    let expected = serde_json::json!([
        ["empty handler", null],
        ["bare update, no HTTP", null],
        ["empty handler that fetches", null],
        ["token: client_credentials", "empty handler"],
        ["token: refresh", "empty handler"],
        ["access check", "empty handler"],
        ["data read", "empty handler that fetches"],
        ["token: code exchange", "bare update"],
        ["revoke", "bare update"],
        ["revoke, provider notified", "bare update"],
    ]);
    assert_eq!(serde_json::json!(operations), expected);
    for row in rows {
        assert!(row["per_second"].as_f64().unwrap() > 0.0, "{row}");
        let has_floor = row["floor"].is_string();
        for member in
            ["percent_of_floor", "floor_before_per_second", "floor_after_per_second", "floor_p99_ms"]
        {
            assert_eq!(row[member].is_number(), has_floor, "{member}: {row}");
        }
    }
    let check = rows.iter().find(|row| row["operation"] == "access check").unwrap();
    assert!(check["map_hit_percent"].as_f64().unwrap() > 0.0, "{check}");
    let notes: Vec<_> = report["notes"].as_array().unwrap().iter().map(|note| &note["what"]).collect();
    for expected in [
        "bytes on disk for each connection",
        "bytes of the log for each end",
        "ms to end one after 1 refresh",
        "ms from start to ready",
        "MiB of memory when ready",
        "MiB of memory with a warm map",
    ] {
        assert!(notes.iter().any(|note| *note == expected), "{expected}: {notes:?}");
    }
}
