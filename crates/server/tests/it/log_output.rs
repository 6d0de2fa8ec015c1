//! Tests that a reader of the built program's log that is stuck or gone, or a full disk, affects neither requests nor
//! the stop of the hub.

use std::io::{PipeReader, Read, pipe};
use std::process::Stdio;

use bowline::cli::BrowserRequest;
use http::Method;
use rstest::rstest;

use crate::support::{HubProcess, wait_until};

/// Logs so much that a few hundred requests fill the queue.
const TRACE: (&str, &str) = ("BOWLINE_LOG__LEVEL", "trace");

/// Sends a request to a probe, and returns the body of its response.
async fn get_probe(site: &HubProcess, path: &str) -> String {
    let request = BrowserRequest::new(Method::GET, &format!("{}{path}", site.probe_url()));
    let response = site.browser.send(request).await;
    // The browser has a time limit.
    assert!(response.is_ok(), "the request must not wait for the log: {response:?}");
    let response = response.unwrap();
    assert_eq!(response.status, 200, "{path} must not depend on the log");
    response.body
}

/// Returns the value of a metric without labels.
async fn read_metric(site: &HubProcess, name: &str) -> u64 {
    let metrics = get_probe(site, "/metrics").await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Sends requests until the hub has dropped log lines, and returns their number.
async fn fill_log(site: &HubProcess) -> u64 {
    wait_until("the hub drops log lines", async || {
        for _ in 0..100 {
            get_probe(site, "/livez").await;
        }
        read_metric(site, "bowline_log_lines_dropped_total").await > 0
    })
    .await;
    read_metric(site, "bowline_log_lines_dropped_total").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_log_reader_blocks_neither_requests_nor_stop() {
    let site = HubProcess::new(None).await;
    let (_reader, stderr) = pipe().unwrap();

    let mut hub = site.serve_with(&[TRACE], stderr).await;
    let dropped = fill_log(&site).await;
    hub.signal("TERM");

    assert!(dropped > 0);
    assert_eq!(hub.wait_for_exit().await, Some(0));
}

fn open_broken_pipe() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn open_full_disk() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

#[rstest]
#[case::reader_gone(open_broken_pipe())]
#[case::disk_full(open_full_disk())]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unwritable_log_fails_neither_requests_nor_stop(#[case] stderr: Stdio) {
    let site = HubProcess::new(None).await;

    let mut hub = site.serve_with(&[], stderr).await;
    let dropped = fill_log(&site).await;
    hub.signal("TERM");

    assert!(dropped > 0);
    assert_eq!(hub.wait_for_exit().await, Some(0));
}

fn read_log(mut reader: PipeReader) -> Vec<serde_json::Value> {
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_log_lines_are_reported_when_reading_resumes() {
    let site = HubProcess::new(None).await;
    let (reader, stderr) = pipe().unwrap();

    let mut hub = site.serve_with(&[TRACE], stderr).await;
    fill_log(&site).await;
    let reading = tokio::task::spawn_blocking(move || read_log(reader));
    wait_until("the hub has written its log", async || {
        let before = read_metric(&site, "bowline_log_lines_dropped_total").await;
        get_probe(&site, "/livez").await;
        read_metric(&site, "bowline_log_lines_dropped_total").await == before
    })
    .await;
    let dropped = read_metric(&site, "bowline_log_lines_dropped_total").await;
    hub.signal("TERM");
    assert_eq!(hub.wait_for_exit().await, Some(0));

    let log = reading.await.unwrap();
    let reports =
        log.iter().filter(|line| line["message"] == "log lines could not be written and were dropped");
    let reported: u64 = reports
        .inspect(|line| assert_eq!(line["level"], "WARN"))
        .map(|line| line["lines"].as_u64().unwrap())
        .sum();
    assert_eq!(reported, dropped);
    assert!(log.iter().any(|line| line["message"] == "stopping"), "the log continues after the report");
}

#[rstest]
#[case::by_default("auto", false)]
#[case::on_request("always", true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_file_has_color_only_on_request(#[case] color: &str, #[case] is_colored: bool) {
    let site = HubProcess::new(None).await;
    let mut command = site.command(&[], &["serve", "--color", color]);
    command.env("BOWLINE_LOG__FORMAT", "text").env_remove("NO_COLOR");

    let mut hub = site.spawn_and_wait(command.stderr(site.open_log())).await;
    hub.signal("TERM");
    hub.wait_for_exit().await;

    let log = site.log();
    assert!(log.contains("serving"), "{log}");
    assert_eq!(log.contains('\u{1b}'), is_colored, "{log}");
}
