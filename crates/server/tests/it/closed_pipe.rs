//! Tests that commands end quietly if the reader of their output has ended, and with an error if the disk is full.

use std::fs::File;
use std::io::pipe;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use bowline::cli::{Browser, BrowserRequest};
use http::Method;
use rstest::rstest;

use crate::server_process::decode_output;
use crate::support::{HubProcess, RunningHub, reserve_ports, wait_until};

/// Returns a pipe whose reader has ended.
fn open_closed_pipe() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn open_full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// Runs a command in an empty folder.
fn run(arguments: &[&str], stdout: Stdio) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    command.args(arguments).current_dir(folder.path()).stdout(stdout).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[rstest]
#[case::long_document(&["openapi", "flinks"], 0)]
#[case::help(&["--help"], 0)]
#[case::help_of_command(&["connection", "list", "--help"], 0)]
#[case::version(&["--version"], 0)]
#[case::configuration(&["config", "show"], 0)]
#[case::progress(&["tour"], 0)]
#[case::failed_checks(&["doctor"], 1)]
fn closed_output_ends_quietly_with_code_of_result(#[case] arguments: &[&str], #[case] expected: i32) {
    let output = run(arguments, open_closed_pipe());

    let (code, _, error) = decode_output(&output);
    assert_eq!(code, Some(expected), "{error}");
    assert!(!error.contains("panic") && !error.contains("pipe"), "{error}");
    assert!(expected != 0 || error.is_empty(), "{error}");
}

#[rstest]
#[case::long_document(&["openapi", "flinks"])]
#[case::help(&["--help"])]
#[case::configuration(&["config", "check"])]
#[case::progress(&["tour"])]
#[case::sandbox(&["sandbox", "--json", "--port", "0"])]
fn full_disk_of_output_is_reported_with_exit_1(#[case] arguments: &[&str]) {
    let output = run(arguments, open_full_disk());

    let (code, _, error) = decode_output(&output);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("error: cannot write to standard output: No space left on device"), "{error}");
}

#[rstest]
#[case::reader_gone(open_closed_pipe())]
#[case::disk_full(open_full_disk())]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unwritable_error_message_keeps_exit_code(#[case] stderr: Stdio) {
    let site = HubProcess::new(None).await;

    let usage = site.command(&[], &["no-such-command"]).stderr(stderr).status().unwrap();
    let unreachable = site.command(&[], &["connection", "list"]).stderr(open_closed_pipe()).status().unwrap();

    assert_eq!((usage.code(), unreachable.code()), (Some(2), Some(3)));
}

#[rstest]
#[case::description(&[])]
#[case::json(&["--json"])]
#[tokio::test]
async fn sandbox_serves_after_reader_of_output_ended(#[case] flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let port = reserve_ports(10);
    let browser = Browser::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    command.args(["sandbox", "--port", &port.to_string(), "--data"]).arg(folder.path()).args(flags);

    let mut sandbox = RunningHub(command.stdout(open_closed_pipe()).process_group(0).spawn().unwrap());
    let is_alive = async || {
        let request = BrowserRequest::new(Method::GET, &format!("http://127.0.0.1:{}/livez", port + 9));
        browser.send(request).await.is_ok_and(|response| response.status == 200)
    };
    wait_until("the sandbox serves", is_alive).await;
    // The description is printed when the sandbox already serves, so the sandbox is given the time to end.
    let mut was_alive = 0;
    while was_alive < 20 && is_alive().await {
        was_alive += 1;
    }
    sandbox.signal("TERM");

    assert_eq!(was_alive, 20);
    assert_eq!(sandbox.wait_for_exit().await, Some(0));
}
