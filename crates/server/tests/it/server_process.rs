//! Tests of the built program as an operator runs it: configured by a file, killed, and stopped.

use std::process::Command;

use bowline::vault::KeyFile;

use crate::support::{HubProcess, create_durable_database};

pub(crate) fn decode_output(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cli_checks_config_and_serves_until_sigterm() {
    let site = HubProcess::new(None).await;
    let (_, checked, _) = decode_output(&site.run(&["config", "check"]));
    assert_eq!(checked, "The configuration is valid: 1 provider(s).\n");
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let mut hub = site.serve(&[]).await;
    let (code, _, error) = decode_output(&site.run(&["serve"]));
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("in use by another bowline"), "{error}");
    let tokens = site.connect(&acme, "alice").await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200);
    let refreshed = site.api().refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(site.api().revoke(refreshed["access_token"].as_str().unwrap()).await.status, 204);
    let pid = hub.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(hub.0.wait().unwrap().code(), Some(0), "the hub must stop cleanly: {}", site.log());
    let log = site.log();
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    assert!(log.contains("connection ended") && log.contains("stopping"), "{log}");
    let fresh = refreshed["access_token"].as_str().unwrap();
    for secret in [&acme.secret, &tokens.access, &tokens.refresh, &tokens.code, fresh, "Alice", "the-hub-at"]
    {
        assert!(!log.contains(secret), "the log contains a secret or a name");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_store_requires_migration_before_serve() {
    let site = HubProcess::new(Some(&create_durable_database().await)).await;
    let (code, _, error) = decode_output(&site.run(&["serve"]));
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("run `bowline migrate`"), "{error}");
    let (code, applied, _) = decode_output(&site.run(&["migrate"]));
    assert!(code == Some(0) && applied.contains("Applied migration 0001"), "{applied}");
    let (_, repeated, _) = decode_output(&site.run(&["migrate"]));
    assert!(!repeated.contains("Applied"), "a second migration changes nothing");
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "bob").await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    assert_eq!(site.api().read("/accounts", &tokens.access).await.json()["code"], 602);
}

/// Asserts that a connection whose end was acknowledged stays ended, although the process is killed immediately
/// afterwards.
async fn assert_ends_survive_kill(store: Option<&str>) {
    let site = HubProcess::new(store).await;
    site.initialize().await;
    let (acme, other) = (site.add_recipient("Acme Budget"), site.add_recipient("Other App"));
    let hub = site.serve(&[]).await;
    let mut ended = Vec::new();
    let mut active = Vec::new();
    for username in ["alice", "bob", "chloe", "david", "emma"] {
        ended.push((&acme, site.connect(&acme, username).await));
        active.push(site.connect(&other, username).await);
    }
    let api = site.api();
    let revokes = ended.iter().map(|(_, tokens)| api.revoke(&tokens.access));
    for answer in futures_util::future::join_all(revokes).await {
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    drop(hub); // SIGKILL
    let _hub = site.serve(&[]).await;
    for (recipient, tokens) in &ended {
        let read = site.api().read("/accounts", &tokens.access).await;
        assert_eq!((read.status, &read.json()["code"]), (401, &602.into()));
        assert_eq!(site.api().refresh(recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    }
    for tokens in &active {
        assert_eq!(
            site.api().read("/accounts", &tokens.access).await.status,
            200,
            "other connections remain active"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_connection_ends_survive_kill_sqlite() {
    assert_ends_survive_kill(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_connection_ends_survive_kill_postgres() {
    assert_ends_survive_kill(Some(&create_durable_database().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_rejects_store_of_other_keys_or_sandbox() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    std::fs::rename(site.path("hub.keys"), site.path("lost.keys")).unwrap();
    KeyFile::open_or_create(&site.path("hub.keys"), || Ok([7; 32])).unwrap();
    let (code, _, error) = decode_output(&site.run(&["serve"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("belongs to another key file"), "{error}");
    std::fs::rename(site.path("lost.keys"), site.path("hub.keys")).unwrap();
    let database = rusqlite::Connection::open(site.path("hub.db")).unwrap();
    database.execute("INSERT INTO store_metadata (name, value) VALUES ('sandbox', 'yes')", []).unwrap();
    drop(database);
    let (code, _, error) = decode_output(&site.run(&["serve"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("the store belongs to a sandbox"), "{error}");
}

/// Returns the failed checks of `doctor` with their fixes.
fn run_doctor(site: &HubProcess) -> Vec<(String, String)> {
    let (code, list, _) = decode_output(&site.run(&["--json", "doctor"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let checks = list["checks"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let problems: Vec<_> =
        checks.filter(|c| c["ok"] == false).map(|c| (text(&c["check"]), text(&c["fix"]))).collect();
    assert_eq!(code, Some(i32::from(!problems.is_empty())), "{problems:?}");
    problems
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_problems_with_fixes() {
    let site = HubProcess::new(None).await;
    let assert_fix = |what: &str, how: &str| {
        let problems = run_doctor(&site);
        assert!(
            problems.iter().any(|(check, fix)| check == what && fix.contains(how)),
            "{what}: {problems:?}"
        );
        problems.len()
    };
    assert_eq!(assert_fix("store", "bowline serve"), 2, "before the first start the keys are missing too");
    site.initialize().await;
    assert_eq!(run_doctor(&site), [], "every check passes");
    let hub = site.serve(&[]).await;
    assert_eq!(run_doctor(&site), [], "every check passes while a hub runs");
    drop(hub);
    let keys = site.path("hub.keys");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    assert_eq!(assert_fix("keys", "chmod 600"), 1);
    mode(0o600);
    std::fs::rename(site.path("bank.secret"), site.path("elsewhere")).unwrap();
    assert_eq!(assert_fix("provider 1000 client secret", "read it"), 1);
    std::fs::rename(site.path("elsewhere"), site.path("bank.secret")).unwrap();
    let configuration = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let unreachable = configuration
        .replace("revocation_endpoint = \"http://127.0.0.1:", "revocation_endpoint = \"http://127.0.0.1:1/#");
    std::fs::write(site.path("bowline.toml"), unreachable).unwrap();
    assert_eq!(assert_fix("provider 1000 revocation", "host and port of revocation_endpoint"), 1);
    let missing = configuration.replace("/revoke\"", "/unknown\"");
    assert_ne!(missing, configuration);
    std::fs::write(site.path("bowline.toml"), missing).unwrap();
    assert_eq!(assert_fix("provider 1000 revocation", "correct revocation_endpoint"), 1);
    std::fs::write(site.path("bowline.toml"), configuration.replace("[server]", "[sever]")).unwrap();
    assert_eq!(assert_fix("configuration", "config check"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_requests_migration_of_new_postgres() {
    let site = HubProcess::new(Some(&create_durable_database().await)).await;
    let wrong = run_doctor(&site);
    assert!(wrong.contains(&("store".into(), "run `bowline migrate`".into())), "{wrong:?}");
}

#[test]
fn every_command_has_help_and_usage_errors_exit_2() {
    let run = |arguments: &[&str]| {
        decode_output(&Command::new(env!("CARGO_BIN_EXE_bowline")).args(arguments).output().unwrap())
    };
    for command in [
        &["tour"][..],
        &["sandbox"],
        &["serve"],
        &["migrate"],
        &["doctor"],
        &["bench"],
        &["config", "check"],
        &["config", "show"],
    ] {
        let (code, help, _) = run(&[command, &["--help"]].concat());
        assert_eq!(code, Some(0), "{command:?}");
        let first = help.lines().next().unwrap_or_default();
        assert!(first.len() > 20 && help.contains("Usage: bowline"), "{command:?}: {help}");
    }
    let (code, _, error) = run(&["revoke"]);
    assert!(code == Some(2) && error.contains("unrecognized subcommand"), "{error}");
    let (code, _, error) = run(&["--config", "/nowhere/bowline.toml", "config", "check"]);
    assert!(code == Some(2) && error.contains("/nowhere/bowline.toml"), "{error}");
}

#[test]
fn tour_succeeds_and_sandbox_reports_port_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = folder.path().display().to_string();
    let arguments = ["sandbox", "--json", "--data", &data, "--port", &port];
    let output = Command::new(env!("CARGO_BIN_EXE_bowline")).args(arguments).output().unwrap();
    let (code, _, error) = decode_output(&output);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains(&port) && error.contains("--port"), "{error}");
    let tour = Command::new(env!("CARGO_BIN_EXE_bowline")).args(["tour", "--json"]).output().unwrap();
    let (code, report, error) = decode_output(&tour);
    assert_eq!(code, Some(0), "{error}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["closed"], true);
    let endpoints = report["endpoints"].as_array().unwrap();
    assert!(endpoints.len() >= 7, "{report}");
    assert!(endpoints.iter().all(|e| e["endpoint"].is_string() && e["closed"] == true), "{report}");
}
