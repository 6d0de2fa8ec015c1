//! What operators do from the command line: with a hub that runs, at its address or through its socket, and without
//! one, on the store itself.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::{Running, Site, durable_database};
use crate::process::said;

/// A site that is ready to be served, on either database.
async fn site(on_postgres: bool) -> Site {
    if !on_postgres {
        return Site::new(None).await;
    }
    let site = Site::new(Some(&durable_database().await)).await;
    assert_eq!(said(&site.run(&["migrate"])).0, Some(0));
    site
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::site(false).await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::site(true).await).await;
            }
        )+}
    };
}

on_both!(a_provider_is_held_and_released, operators_come_end_connections_and_go,);

/// What a command printed for scripts.
fn json_of(site: &Site, arguments: &[&str]) -> Value {
    let (code, printed, error) = said(&site.run(&[&["--json"], arguments].concat()));
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{arguments:?}: {printed}"))
}

/// What a command printed for people.
fn text_of(site: &Site, arguments: &[&str]) -> String {
    let (code, printed, error) = said(&site.run(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    printed
}

/// How a command fails: its code, if it says what it should.
fn refused(site: &Site, arguments: &[&str], expected: &str) -> Option<i32> {
    let (code, printed, error) = said(&site.run(arguments));
    assert!(error.contains(expected) && printed.is_empty(), "{arguments:?}: {printed}{error}");
    code
}

/// Ends a hub as the platform does.
fn stop(mut hub: Running) {
    let pid = hub.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(hub.0.wait().unwrap().code(), Some(0));
}

/// Where a hub that runs has its operators' listener: it takes any port that is free.
fn admin_of(site: &Site) -> String {
    let log = site.log();
    let address = log.rsplit("\"admin\":\"").next().unwrap_or_else(|| panic!("{log}"));
    format!("http://{}", address.split('"').next().unwrap())
}

async fn a_provider_is_held_and_released(site: Site) {
    let acme = site.recipient("Acme Budget");
    let list = text_of(&site, &["provider", "list"]);
    assert!(list.starts_with("id    state   name") && list.contains("\n1000  active  Maple Trust"), "{list}");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    let read = async || site.api().read("/accounts", &tokens.access).await.status;
    assert_eq!(text_of(&site, &["provider", "pause", "1000"]), "1000  paused  Maple Trust\n");
    assert_eq!(read().await, 503, "the hub that runs was told");
    assert_eq!(json_of(&site, &["provider", "release", "1000"])["state"], "active");
    assert_eq!(read().await, 200);
    assert_eq!(refused(&site, &["provider", "show", "9"], "no such provider"), Some(1));
    assert_eq!(refused(&site, &["provider", "show", "nine"], "PROVIDER_ID"), Some(2));
    drop(hub); // SIGKILL: its socket stays
    assert!(site.socket().exists());
    assert_eq!(json_of(&site, &["provider", "retire", "1000"])["state"], "retired", "on the store itself");
    let hub = site.serve(&[]).await;
    assert_eq!(read().await, 503);
    assert_eq!(json_of(&site, &["provider", "release", "1000"])["state"], "active");
    assert_eq!(read().await, 200, "the socket is the new hub's");
    stop(hub);
    assert!(!site.socket().exists());
}

async fn operators_come_end_connections_and_go(site: Site) {
    let acme = site.recipient("Acme Budget");
    let first = text_of(&site, &["operator", "bootstrap"]);
    assert_eq!(first.trim().len(), 43);
    let hub = site.serve(&[]).await;
    assert_eq!(std::fs::metadata(site.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let (alice, bob) = (site.connect(&acme, "alice").await, site.connect(&acme, "bob").await);
    let url = admin_of(&site);
    let with =
        |token: &str, arguments: &[&str]| site.run(&[arguments, &["--url", &url, "--token", token]].concat());
    let ann = with(first.trim(), &["--json", "operator", "add", "--name", "ann", "--role", "admin"]);
    let ann: Value = serde_json::from_slice(&ann.stdout).unwrap();
    let token = ann["token"].as_str().unwrap();

    let list = json_of(&site, &["operator", "list"]);
    assert_eq!(list["items"][0]["name"], "ann", "{list}");
    let (code, table, _) = said(&with(token, &["connection", "list", "--state", "active"]));
    assert_eq!((code, table.lines().count()), (Some(0), 3), "{table}");
    assert_eq!(table, text_of(&site, &["connection", "list", "--state", "active"]), "the same by either way");
    let (_, list, next) =
        said(&with(token, &["--json", "connection", "list", "--limit", "1", "--client", &acme.id]));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert!(list["next"].is_string() && next.is_empty(), "{list} {next}");
    let id = alice.id.to_string();
    let end = |more: &[&str]| said(&with(token, &[&["connection", "end", &*id], more].concat())).1;
    assert_eq!(end(&["--dry-run"]), format!("{id}  would_end\n"));
    assert_eq!(end(&[]), format!("{id}  ended\n"));
    assert_eq!(site.api().read("/accounts", &alice.access).await.json()["code"], 602);
    let by = json_of(
        &site,
        &[
            "audit",
            "list",
            "--subject-kind",
            "connection",
            "--subject-id",
            &id,
            "--action",
            "connection.ended",
        ],
    );
    assert_eq!(by["items"][0]["actor"]["id"], ann["operator"]["id"], "{by}");
    let wrong = said(&with("wrong", &["job", "list"]));
    assert!(wrong.0 == Some(2) && wrong.2.contains("operator token"), "{wrong:?}");
    assert_eq!(refused(&site, &["job", "list", "--url", &url], "--token: expected with --url"), Some(2));
    assert_eq!(refused(&site, &["operator", "bootstrap"], "There is an admin already"), Some(1));
    assert_eq!(
        refused(&site, &["operator", "add", "--name", "x", "--role", "king"], "role: expected"),
        Some(2)
    );

    stop(hub);
    assert_eq!(said(&with(token, &["connection", "list"])).0, Some(3), "nobody is there");
    let id = bob.id.to_string();
    assert_eq!(text_of(&site, &["connection", "end", &id]), format!("{id}  ended\n"));
    let shown = json_of(&site, &["connection", "show", &id]);
    assert_eq!((&shown["cause"], &shown["actor"]["id"]), (&json!("operator"), &json!("cli")), "{shown}");
    let jobs = text_of(&site, &["job", "list", "--state", "pending", "--kind", "tell_bank"]);
    assert!(jobs.lines().count() == 2 && jobs.contains(&id), "{jobs}");
    for unknown in [
        &["connection", "show", "con_nobody"][..],
        &["connection", "end", "con_nobody"],
        &["job", "retry", "job_nobody"],
        &["job", "close", "job_nobody"],
        &["operator", "remove", "opr_nobody"],
    ] {
        assert_eq!(refused(&site, unknown, "There is no such"), Some(1));
    }
    let ann = ann["operator"]["id"].as_str().unwrap();
    assert_eq!(text_of(&site, &["operator", "remove", ann]), format!("{ann}  removed\n"));
    assert_eq!(text_of(&site, &["operator", "bootstrap"]).trim().len(), 43, "nobody is an admin any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_runs_without_a_socket_is_reached_by_its_address_alone() {
    let site = Site::new(None).await;
    let without = |arguments: &[&str]| {
        said(&site.command(&[], arguments).env("BOWLINE_SERVER__ADMIN_SOCKET", "").output().unwrap())
    };
    let hub = site.serve(&[]).await;
    let (code, _, error) = without(&["job", "list"]);
    assert!(
        code == Some(3) && error.contains("in use by another bowline") && error.contains("--url"),
        "{error}"
    );
    drop(hub);
    assert_eq!(without(&["job", "list"]).0, Some(0), "nobody runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_refuses_a_socket_in_a_place_that_is_not_fit() {
    let site = Site::new(None).await;
    let serve = |socket: &str| {
        let mut command = site.command(&[], &["serve"]);
        said(&command.env("BOWLINE_SERVER__ADMIN_SOCKET", socket).output().unwrap())
    };
    std::fs::write(site.path("file"), "").unwrap();
    std::fs::create_dir(site.path("open")).unwrap();
    std::fs::set_permissions(site.path("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
    for (path, expected) in [
        (site.path("file"), "is no socket"),
        (site.path("open").join("admin.sock"), "nobody else may write"),
        (site.path(&"x".repeat(108)), "expected at most 107"),
    ] {
        let (code, _, error) = serve(&path.display().to_string());
        assert!(code == Some(2) && error.contains("admin_socket") && error.contains(expected), "{error}");
    }
}
