//! Tests with OAuth libraries of Python and JavaScript: each connects, refreshes, and revokes with its own call.

use std::path::Path;
use std::process::Stdio;

use http::Method;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::{SCOPE, TestHub, test_variable};

/// Returns the command that runs a Python program with the installed libraries.
fn build_python_command(program: &str) -> Command {
    let mut command = Command::new(test_variable("BOWLINE_TEST_OAUTH_PYTHON"));
    command.args(["-c", program]);
    command
}

/// Returns the command that runs a JavaScript module with the installed libraries.
fn build_node_command(folder: &Path, module: &str) -> Command {
    let packages = test_variable("BOWLINE_TEST_OAUTH_NODE_MODULES");
    // Modules are searched next to the file that imports them.
    std::os::unix::fs::symlink(packages, folder.join("node_modules")).unwrap();
    let file = folder.join("client.mjs");
    std::fs::write(&file, module).unwrap();
    let mut command = Command::new(test_variable("BOWLINE_TEST_NODE"));
    // Node 18 has the Web Cryptography API only with this option.
    command.arg("--experimental-global-webcrypto").arg(file);
    command
}

/// Runs a program that prints the URL of its authorization request, reads the URL of the app to which the hub redirects the
/// customer, and revokes. Asserts that the connection has ended.
async fn assert_library_connects_and_revokes(kit: &TestHub, mut command: Command) {
    let acme = kit.acme();
    let mut process = command
        .env("HUB", kit.app().public_url())
        .env("CLIENT_ID", &acme.id)
        .env("CLIENT_SECRET", &acme.secret)
        .env("REDIRECT_URI", &acme.redirect_uri)
        .env("SCOPE", SCOPE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut url).await.unwrap();

    if !url.is_empty() {
        let query = format!("{}&provider_id=1000", url.trim());
        let callback = kit.complete_flow(&query, "alice").await;
        let mut input = process.stdin.take().unwrap();
        input.write_all(format!("{callback}\n").as_bytes()).await.unwrap();
    }
    let ended = process.wait_with_output().await.unwrap();

    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let connections = kit.run_admin_operation(Method::GET, "/connections", None).await;
    let causes: Vec<_> = connections["items"].as_array().unwrap().iter().map(|item| &item["cause"]).collect();
    assert_eq!(causes, ["recipient"]);
}

async fn assert_python_library_connects_and_revokes(program: &str) {
    let kit = TestHub::new().await;
    assert_library_connects_and_revokes(&kit, build_python_command(program)).await;
}

async fn assert_javascript_library_connects_and_revokes(module: &str) {
    let kit = TestHub::new().await;
    let command = build_node_command(kit.data_folder(), module);
    assert_library_connects_and_revokes(&kit, command).await;
}

#[tokio::test]
async fn authlib_connects_and_revokes() {
    assert_python_library_connects_and_revokes(include_str!("../oauth-libraries/authlib_client.py")).await;
}

#[tokio::test]
async fn requests_oauthlib_connects_and_revokes() {
    assert_python_library_connects_and_revokes(include_str!(
        "../oauth-libraries/requests_oauthlib_client.py"
    ))
    .await;
}

#[tokio::test]
async fn openid_client_connects_and_revokes() {
    assert_javascript_library_connects_and_revokes(include_str!("../oauth-libraries/openid_client.mjs"))
        .await;
}

#[tokio::test]
async fn oauth4webapi_connects_and_revokes() {
    assert_javascript_library_connects_and_revokes(include_str!("../oauth-libraries/oauth4webapi.mjs")).await;
}

#[tokio::test]
async fn simple_oauth2_connects_and_revokes() {
    assert_javascript_library_connects_and_revokes(include_str!("../oauth-libraries/simple_oauth2.mjs"))
        .await;
}
