//! The built program as an operator runs it: configured by a file, killed without a word, told to stop.

use std::process::Command;

use crate::kit::{Site, durable_database};

pub(crate) fn said(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_is_set_up_served_used_and_stopped_from_the_command_line() {
    let site = Site::new(None).await;
    assert_eq!(said(&site.run(&["config", "check"])).1, "the configuration is fine: 1 provider(s)\n");
    let acme = site.recipient("Acme Budget");
    let mut hub = site.serve(&[]).await;
    let (code, _, error) = said(&site.run(&["serve"]));
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("in use by another bowline"), "{error}");
    let tokens = site.connect(&acme, "alice").await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200);
    let refreshed = site.api().refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(site.api().revoke(refreshed["access_token"].as_str().unwrap()).await.status, 204);
    let pid = hub.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(hub.0.wait().unwrap().code(), Some(0), "a clean end: {}", site.log());
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
        assert!(!log.contains(secret), "a secret or a name is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_store_is_migrated_first_and_then_served() {
    let site = Site::new(Some(&durable_database().await)).await;
    let (code, _, error) = said(&site.run(&["serve"]));
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("run `bowline migrate`"), "{error}");
    let (code, applied, _) = said(&site.run(&["migrate"]));
    assert!(code == Some(0) && applied.contains("applied 0001 hub"), "{applied}");
    assert!(!said(&site.run(&["migrate"])).1.contains("applied"), "a second run has nothing to do");
    let acme = site.recipient("Acme Budget");
    let _hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "bob").await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    assert_eq!(site.api().read("/accounts", &tokens.access).await.json()["code"], 602);
}

/// What was answered with 204 stays ended, though the program was killed before it could do anything else.
async fn killed_right_after_its_answers(store: Option<&str>) {
    let site = Site::new(store).await;
    if store.is_some() {
        assert_eq!(said(&site.run(&["migrate"])).0, Some(0));
    }
    let (acme, other) = (site.recipient("Acme Budget"), site.recipient("Other App"));
    let hub = site.serve(&[]).await;
    let mut ended = Vec::new();
    let mut kept = Vec::new();
    for username in ["alice", "bob", "chloe", "david", "emma"] {
        ended.push((&acme, site.connect(&acme, username).await));
        kept.push(site.connect(&other, username).await);
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
    for tokens in &kept {
        assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200, "others live on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_on_sqlite() {
    killed_right_after_its_answers(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_on_postgres() {
    killed_right_after_its_answers(Some(&durable_database().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_other_keys_or_of_a_sandbox_is_refused() {
    let site = Site::new(None).await;
    site.recipient("Acme Budget");
    std::fs::rename(site.path("hub.keys"), site.path("lost.keys")).unwrap();
    let (code, _, error) = said(&site.run(&["serve"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("belongs to another key file"), "{error}");
    std::fs::rename(site.path("lost.keys"), site.path("hub.keys")).unwrap();
    let database = rusqlite::Connection::open(site.path("hub.db")).unwrap();
    database.execute("INSERT INTO marks (name, value) VALUES ('sandbox', 'yes')", []).unwrap();
    drop(database);
    let (code, _, error) = said(&site.run(&["serve"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("this store is a sandbox's"), "{error}");
}

/// What doctor finds wrong: the check, and what to do.
fn found(site: &Site) -> Vec<(String, String)> {
    let (code, list, _) = said(&site.run(&["--json", "doctor"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let checks = list["checks"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let wrong: Vec<_> =
        checks.filter(|c| c["well"] == false).map(|c| (text(&c["check"]), text(&c["mend"]))).collect();
    assert_eq!(code, Some(i32::from(!wrong.is_empty())), "{wrong:?}");
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_what_is_wrong_and_how_to_mend_it() {
    let site = Site::new(None).await;
    let mends = |what: &str, how: &str| {
        let wrong = found(&site);
        assert!(wrong.iter().any(|(check, mend)| check == what && mend.contains(how)), "{what}: {wrong:?}");
        wrong.len()
    };
    assert_eq!(mends("store", "bowline serve"), 2, "nothing was started yet, the keys are missing too");
    site.recipient("Acme Budget");
    assert_eq!(found(&site), [], "all is well");
    let hub = site.serve(&[]).await;
    assert_eq!(found(&site), [], "also beside a hub that runs");
    drop(hub);
    let keys = site.path("hub.keys");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    assert_eq!(mends("keys", "chmod 600"), 1);
    mode(0o600);
    std::fs::rename(site.path("bank.secret"), site.path("elsewhere")).unwrap();
    assert_eq!(mends("provider 1000 secret", "read it"), 1);
    std::fs::rename(site.path("elsewhere"), site.path("bank.secret")).unwrap();
    let whole = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let nobody = whole
        .replace("revocation_endpoint = \"http://127.0.0.1:", "revocation_endpoint = \"http://127.0.0.1:1/#");
    std::fs::write(site.path("bowline.toml"), nobody).unwrap();
    assert_eq!(mends("provider 1000 revocation", "check the address"), 1);
    std::fs::write(site.path("bowline.toml"), whole.replace("[server]", "[sever]")).unwrap();
    assert_eq!(mends("configuration", "config check"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_asks_for_the_migration_of_a_fresh_postgres() {
    let site = Site::new(Some(&durable_database().await)).await;
    let wrong = found(&site);
    assert!(wrong.contains(&("store".into(), "run `bowline migrate`".into())), "{wrong:?}");
}

#[test]
fn every_command_explains_itself_and_mistakes_are_named() {
    let run = |arguments: &[&str]| {
        said(&Command::new(env!("CARGO_BIN_EXE_bowline")).args(arguments).output().unwrap())
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
fn the_tour_holds_and_a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = folder.path().display().to_string();
    let arguments = ["sandbox", "--json", "--data", &data, "--port", &port];
    let output = Command::new(env!("CARGO_BIN_EXE_bowline")).args(arguments).output().unwrap();
    let (code, _, error) = said(&output);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains(&port) && error.contains("--port"), "{error}");
    let tour = Command::new(env!("CARGO_BIN_EXE_bowline")).args(["tour", "--json"]).output().unwrap();
    let (code, doors, error) = said(&tour);
    assert_eq!(code, Some(0), "{error}");
    let doors: serde_json::Value = serde_json::from_str(&doors).unwrap();
    assert_eq!(doors["held"], true);
    assert!(doors["doors"].as_array().unwrap().len() >= 7, "{doors}");
}
