//! Tests of operators' use of the command line: with a running hub, by URL or socket, and directly on the store when no
//! hub runs.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::server_process::decode_output;
use crate::support::{HubProcess, create_durable_database};

/// Creates the configuration, store and key file of a hub, on either database, without starting the hub.
async fn create_site(on_postgres: bool) -> HubProcess {
    let database = if on_postgres { Some(create_durable_database().await) } else { None };
    let site = HubProcess::new(database.as_deref()).await;
    site.initialize().await;
    site
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::create_site(false).await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::create_site(true).await).await;
            }
        )+}
    };
}

// After the macro, which its tests use.
mod recipients;

on_both!(
    provider_pause_and_release_affect_reads,
    cli_manages_operators_and_ends_connections,
    job_retry_repeats_until_no_failed_job_is_left,
    job_retry_continues_after_jobs_of_changed_provider,
);

/// Runs a command with `--json` and returns its output.
pub(crate) fn run_json(site: &HubProcess, arguments: &[&str]) -> Value {
    let (code, printed, error) = decode_output(&site.run(&[&["--json"], arguments].concat()));
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{arguments:?}: {printed}"))
}

/// Runs a command with `--json` and returns one member of its output.
fn run_json_field(site: &HubProcess, arguments: &[&str], field: &str) -> String {
    let printed = run_json(site, arguments);
    printed[field].as_str().unwrap_or_else(|| panic!("{arguments:?}: {printed}")).to_owned()
}

/// Runs a command and returns its text output.
pub(crate) fn run_text(site: &HubProcess, arguments: &[&str]) -> String {
    let (code, printed, error) = decode_output(&site.run(arguments));
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    printed
}

/// Asserts that a command fails with this message, and returns its exit code.
fn assert_command_fails(site: &HubProcess, arguments: &[&str], expected: &str) -> Option<i32> {
    let (code, printed, error) = decode_output(&site.run(arguments));
    assert!(error.contains(expected) && printed.is_empty(), "{arguments:?}: {printed}{error}");
    code
}

/// Returns the URL of the admin API of a running hub, whose listener has a free port that only the log names.
fn find_admin_url(site: &HubProcess) -> String {
    let log = site.log();
    let address = log.rsplit("\"admin\":\"").next().unwrap_or_else(|| panic!("{log}"));
    format!("http://{}", address.split('"').next().unwrap())
}

async fn provider_pause_and_release_affect_reads(site: HubProcess) {
    let acme = site.add_recipient("Acme Budget");
    let list = run_text(&site, &["provider", "list"]);
    let expected = ("id    state   expiry   name", "\n1000  active  running  Maple Trust");
    assert!(list.starts_with(expected.0) && list.contains(expected.1), "{list}");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    let read = async || site.api().read("/accounts", &tokens.access).await.status;
    assert_eq!(run_text(&site, &["provider", "pause", "1000"]), "1000  paused  Maple Trust\n");
    assert_eq!(read().await, 503, "the running hub applied the change");
    assert_eq!(run_json(&site, &["provider", "release", "1000"])["state"], "active");
    assert_eq!(read().await, 200);
    assert_eq!(assert_command_fails(&site, &["provider", "show", "9"], "no such provider"), Some(1));
    assert_eq!(assert_command_fails(&site, &["provider", "show", "nine"], "PROVIDER_ID"), Some(2));
    drop(hub); // SIGKILL: its socket stays
    assert!(site.socket().exists());
    assert_eq!(run_json(&site, &["provider", "retire", "1000"])["state"], "retired", "directly on the store");
    let hub = site.serve(&[]).await;
    assert_eq!(read().await, 503);
    assert_eq!(run_json(&site, &["provider", "release", "1000"])["state"], "active");
    assert_eq!(read().await, 200, "the new hub has replaced the socket");
    hub.stop();
    assert!(!site.socket().exists());
}

async fn cli_manages_operators_and_ends_connections(site: HubProcess) {
    let acme = site.add_recipient("Acme Budget");
    let first = run_text(&site, &["operator", "bootstrap"]);
    assert_eq!(first.trim().len(), 43);
    let hub = site.serve(&[]).await;
    assert_eq!(std::fs::metadata(site.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let (alice, bob) = (site.connect(&acme, "alice").await, site.connect(&acme, "bob").await);
    let url = find_admin_url(&site);
    let with = |token: &str, args: &[&str]| site.run(&[args, &["--url", &url, "--token", token]].concat());
    let ann = with(first.trim(), &["--json", "operator", "add", "--name", "ann", "--role", "admin"]);
    let ann: Value = serde_json::from_slice(&ann.stdout).unwrap();
    let token = ann["token"].as_str().unwrap();

    let list = run_json(&site, &["operator", "list"]);
    assert_eq!(list["items"][0]["name"], "ann", "{list}");
    let (code, table, _) = decode_output(&with(token, &["connection", "list", "--state", "active"]));
    assert_eq!((code, table.lines().count()), (Some(0), 3), "{table}");
    assert_eq!(
        table,
        run_text(&site, &["connection", "list", "--state", "active"]),
        "the output is the same through URL and socket"
    );
    let (_, list, next) =
        decode_output(&with(token, &["--json", "connection", "list", "--limit", "1", "--client", &acme.id]));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert!(list["next"].is_string() && next.is_empty(), "{list} {next}");
    let id = alice.id.to_string();
    let end = |more: &[&str]| decode_output(&with(token, &[&["connection", "end", &*id], more].concat())).1;
    assert_eq!(end(&["--dry-run"]), format!("{id}  would_end\n"));
    assert_eq!(end(&[]), format!("{id}  ended\n"));
    assert_eq!(site.api().read("/accounts", &alice.access).await.json()["code"], 602);
    let by = run_json(
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
    let file = site.path("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let of_file = ["job", "list", "--url", &url, "--token-file", file.to_str().unwrap()];
    assert_eq!(decode_output(&site.run(&of_file)).0, Some(0), "the token comes from a file");
    let wrong = decode_output(&with("wrong", &["job", "list"]));
    assert!(wrong.0 == Some(2) && wrong.2.contains("operator token"), "{wrong:?}");
    assert_eq!(
        assert_command_fails(&site, &["job", "list", "--url", &url], "--token: expected with --url"),
        Some(2)
    );
    assert_eq!(assert_command_fails(&site, &["operator", "bootstrap"], "An admin exists already"), Some(1));
    assert_eq!(
        assert_command_fails(&site, &["operator", "add", "--name", "x", "--role", "king"], "role: expected"),
        Some(2)
    );

    hub.stop();
    assert_eq!(decode_output(&with(token, &["connection", "list"])).0, Some(3), "no hub listens at this URL");
    let id = bob.id.to_string();
    assert_eq!(run_text(&site, &["connection", "end", &id]), format!("{id}  ended\n"));
    let shown = run_json(&site, &["connection", "show", &id]);
    assert_eq!((&shown["cause"], &shown["actor"]["id"]), (&json!("operator"), &json!("cli")), "{shown}");
    let jobs = run_text(&site, &["job", "list", "--state", "pending", "--kind", "revoke_at_provider"]);
    assert!(jobs.lines().count() == 2 && jobs.contains(&id), "{jobs}");
    for unknown in [
        &["connection", "show", "con_unknown"][..],
        &["connection", "end", "con_unknown"],
        &["job", "retry", "job_unknown"],
        &["job", "close", "job_unknown"],
        &["operator", "remove", "opr_unknown"],
    ] {
        assert_eq!(assert_command_fails(&site, unknown, "There is no such"), Some(1));
    }
    let ann = ann["operator"]["id"].as_str().unwrap();
    assert_eq!(run_text(&site, &["operator", "remove", ann]), format!("{ann}  removed\n"));
    assert_eq!(run_text(&site, &["operator", "bootstrap"]).trim().len(), 43, "no admin is left");
}

/// Ends a connection while no hub is running, so that its job stays pending.
async fn prepare_pending_revocation(site: &HubProcess) {
    let acme = site.add_recipient("Acme Budget");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    hub.stop();
    run_text(site, &["connection", "end", tokens.id.as_str()]);
}

async fn job_retry_repeats_until_no_failed_job_is_left(site: HubProcess) {
    prepare_pending_revocation(&site).await;
    let copied_id = site.build_job_id("'copy' || n");
    let copy = format!(
        "INSERT INTO jobs (id, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
             outcome_unknown, state, attempt, seed, due_at, retry_until, created_at, finished_at)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 210)
         SELECT {copied_id}, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
             outcome_unknown, 'failed', attempt, seed, due_at, retry_until, created_at, created_at
         FROM jobs, numbers"
    );
    site.sql(&copy).await;

    let dry_run = run_text(&site, &["job", "retry", "--provider", "1000", "--dry-run"]);
    let retried = run_text(&site, &["job", "retry", "--all"]);
    let again = run_json(&site, &["job", "retry", "--all"]);

    assert_eq!((dry_run.as_str(), retried.as_str()), ("would_retry  210 jobs\n", "retried  210 jobs\n"));
    assert_eq!((&again["jobs"], &again["has_more"]), (&json!(0), &json!(false)));
    assert_eq!(site.sql("SELECT DISTINCT state FROM jobs").await, ["pending"]);
    for ambiguous in [&["job", "retry"][..], &["job", "retry", "job_1", "--all"]] {
        assert_eq!(assert_command_fails(&site, ambiguous, "Usage"), Some(2));
    }
}

/// More jobs belong to the changed provider than one request retries. They come first.
async fn job_retry_continues_after_jobs_of_changed_provider(site: HubProcess) {
    prepare_pending_revocation(&site).await;
    let copied_id = site.build_job_id("'copy' || n");
    let copy = format!(
        "INSERT INTO jobs (id, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
             outcome_unknown, state, attempt, seed, due_at, retry_until, created_at, finished_at)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 250)
         SELECT {copied_id}, kind, CASE WHEN n > 240 THEN connection_id END, CASE WHEN n > 240 THEN 2000 ELSE 1000 END,
             client_id, endpoint_group, data_key, token, outcome_unknown, 'failed', attempt, seed, due_at, retry_until,
             created_at, created_at
         FROM jobs, numbers"
    );
    site.sql(&copy).await;
    site.sql("UPDATE providers SET state = 'paused' WHERE id = 1000").await;

    let retried = run_json(&site, &["job", "retry", "--all"]);

    assert_eq!((&retried["jobs"], &retried["skipped"]), (&json!(10), &json!(240)), "{retried}");
    assert_eq!((&retried["has_more"], &retried["next"]), (&json!(false), &json!(null)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cli_without_admin_socket_requires_url() {
    let site = HubProcess::new(None).await;
    let without = |arguments: &[&str]| {
        decode_output(&site.command(&[], arguments).env("BOWLINE_SERVER__ADMIN_SOCKET", "").output().unwrap())
    };
    let hub = site.serve(&[]).await;
    let (code, _, error) = without(&["job", "list"]);
    assert!(
        code == Some(3) && error.contains("in use by another bowline") && error.contains("--url"),
        "{error}"
    );
    drop(hub);
    assert_eq!(without(&["job", "list"]).0, Some(0), "no hub is running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_rejects_unsafe_admin_socket_path() {
    let site = HubProcess::new(None).await;
    let serve = |socket: &str| {
        let mut command = site.command(&[], &["serve"]);
        decode_output(&command.env("BOWLINE_SERVER__ADMIN_SOCKET", socket).output().unwrap())
    };
    std::fs::write(site.path("file"), "").unwrap();
    std::fs::create_dir(site.path("open")).unwrap();
    std::fs::set_permissions(site.path("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
    for (path, expected) in [
        (site.path("file"), "is not a socket"),
        (site.path("open").join("admin.sock"), "no other user may write"),
        (site.path(&"x".repeat(108)), "expected at most 107"),
    ] {
        let (code, _, error) = serve(&path.display().to_string());
        assert!(code == Some(2) && error.contains("admin_socket") && error.contains(expected), "{error}");
    }
}
