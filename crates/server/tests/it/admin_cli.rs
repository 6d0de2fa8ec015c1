//! Tests of operators' use of the command line: with a running hub, by URL or socket, and directly on the store when no
//! hub runs.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::server_process::decode_output;
use crate::support::{HubProcess, SCOPE, TestClient, create_durable_database, wait_until};

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

on_both!(
    cli_creates_registers_and_removes_recipient,
    cli_adds_provider_from_file_with_secret_file,
    provider_pause_and_release_affect_reads,
    recipient_add_with_providers_is_atomic,
    recipient_add_starts_dynamic_registration,
    upstream_client_secret_is_read_from_stdin,
    cli_manages_operators_and_ends_connections,
    job_retry_repeats_until_no_failed_job_is_left,
    job_retry_continues_after_jobs_of_changed_provider,
    cli_reports_invalid_arguments_and_unknown_ids,
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

const REDIRECT_URI: &str = "https://app.example.org/back";
const ADD_RECIPIENT: [&str; 12] = [
    "recipient",
    "add",
    "--name",
    "Acme Budget",
    "--purpose-en",
    "To show balances",
    "--purpose-fr",
    "Pour montrer les soldes",
    "--redirect-uri",
    REDIRECT_URI,
    "--scope",
    SCOPE,
];

/// Creates a partner and its recipient with an active registration by commands; returns the recipient's credentials.
fn set_up_recipient(site: &HubProcess) -> TestClient {
    let partner = run_json(site, &["partner", "add", "--name", "Flock of Apps"]);
    let partner_id = partner["partner"]["client_id"].as_str().unwrap();
    let added = run_json(
        site,
        &[&ADD_RECIPIENT[..], &["--partner", partner_id, "--contact", "a@example.org"]].concat(),
    );
    let text = |name: &str| added[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    assert_eq!(added["recipient"]["partner"], partner_id, "{added}");
    let list = run_json(site, &["recipient", "list", "--partner", partner_id, "--state", "active"]);
    assert_eq!(list["items"][0]["client_id"], id.as_str(), "{list}");
    activate_registration(site, partner_id, &id);
    let own = |word: &str| run_text(site, &["partner", word, partner_id]);
    assert_eq!(own("suspend"), format!("{partner_id}  suspended\n"));
    assert_eq!(own("reinstate"), format!("{partner_id}  active\n"));
    assert!(
        own("show").contains("Flock of Apps") && run_text(site, &["partner", "list"]).contains(partner_id)
    );
    assert_ne!(run_json(site, &["partner", "secret", partner_id])["client_secret"], partner["client_secret"]);
    TestClient { id, secret, redirect_uri: REDIRECT_URI.into() }
}

/// Takes every step of a registration by commands until the registration is active.
fn activate_registration(site: &HubProcess, partner: &str, id: &str) {
    let state = |word: &str| run_json_field(site, &["registration", word, id, "1000"], "state");
    let request = ["registration", "request", "--client", id, "--provider", "1000"];
    assert_eq!(run_json(site, &request)["items"][0]["state"], "pending_approval");
    assert_eq!(assert_command_fails(site, &request, "was requested before"), Some(1));
    let waiting = ["registration", "list", "--partner", partner, "--state", "pending_approval"];
    assert!(run_text(site, &waiting).contains(id));
    assert_eq!(state("approve"), "pending_activation");
    assert_eq!(state("activate"), "active");
    assert_eq!(run_text(site, &["registration", "suspend", id, "1000"]), format!("{id}  1000  suspended\n"));
    assert_eq!([state("reinstate"), state("show")], ["active", "active"]);
}

async fn cli_creates_registers_and_removes_recipient(site: HubProcess) {
    let hub = site.serve(&[]).await;
    let acme = set_up_recipient(&site);
    let tokens = site.connect(&acme, "alice").await;
    let read = async || site.api().read("/accounts", &tokens.access).await.status;
    assert_eq!(read().await, 200, "data is served");
    assert_eq!(run_text(&site, &["recipient", "suspend", &acme.id]), format!("{}  suspended\n", acme.id));
    assert_eq!(read().await, 403);
    assert_eq!(run_json_field(&site, &["recipient", "reinstate", &acme.id], "state"), "active");
    let secret = run_json_field(&site, &["recipient", "secret", &acme.id], "client_secret");
    let refreshed = site.api().refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(refreshed["error"], "invalid_client", "the old secret is invalid");
    let acme = TestClient { secret, ..acme };
    assert_eq!(site.api().refresh(&acme, &tokens.refresh).await.status, 200, "the connection remains active");
    let elsewhere = ["recipient", "update", &acme.id, "--redirect-uri", "https://new.example.org/back"];
    assert_eq!(run_json(&site, &elsewhere)["redirect_uris"], json!(["https://new.example.org/back"]));
    let remove = |more: &[&str]| run_text(&site, &[&["recipient", "remove", &*acme.id], more].concat());
    assert_eq!(remove(&["--dry-run"]), format!("{}  would_remove  1 connections\n", acme.id));
    assert_eq!(read().await, 200);
    assert_eq!(remove(&[]), format!("{}  removed  1 connections\n", acme.id));
    let ended_read = site.api().read("/accounts", &tokens.access).await;
    assert_eq!((ended_read.status, &ended_read.json()["code"]), (401, &json!(602)));
    assert_eq!(site.api().refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
    wait_until("the provider was notified", async || site.count_active_grants().await == 0).await;
    hub.stop();

    let recipient_without_connections = set_up_recipient(&site);
    let removed = run_json(&site, &["recipient", "remove", &recipient_without_connections.id]);
    assert_eq!((&removed["connections"], &removed["outcome"]), (&json!(0), &json!("removed")));
}

async fn cli_reports_invalid_arguments_and_unknown_ids(site: HubProcess) {
    let before = run_json(&site, &["recipient", "list"]);
    let odd = |place: usize, text: &'static str| {
        let mut add = ADD_RECIPIENT;
        add[place] = text;
        add.to_vec()
    };
    let more = |more: &[&'static str]| [&ADD_RECIPIENT[..], more].concat();
    for (arguments, named) in [
        (odd(3, ""), "name"),
        (odd(5, ""), "purpose_en"),
        (odd(9, "back"), "redirect_uris"),
        (odd(11, "EVERYTHING"), "scope"),
        (more(&["--partner", "pt-unknown"]), "partner"),
        (more(&["--country", "FR"]), "country"),
        (more(&["--provider", "9"]), "provider: 9"),
        (vec!["partner", "add", "--name", ""], "name"),
        (vec!["recipient", "list", "--state", "odd"], "state"),
        (vec!["registration", "list", "--provider", "x"], "provider_id"),
        (vec!["registration", "activate", "dc-1", "1000", "--upstream-client-id", "x"], "secret-file"),
        (vec!["audit", "list", "--from", "yesterday"], "from"),
        (vec!["connection", "list", "--limit", "0"], "limit"),
        (vec!["connection", "show", ""], "CONNECTION_ID"),
    ] {
        assert_eq!(assert_command_fails(&site, &arguments, named), Some(2), "{arguments:?}");
    }
    assert_eq!(run_json(&site, &["recipient", "list"]), before, "no recipient was added");
    for arguments in [
        &["partner", "show", "pt-unknown"][..],
        &["partner", "secret", "pt-unknown"],
        &["recipient", "show", "dc-unknown"],
        &["recipient", "secret", "dc-unknown"],
        &["recipient", "remove", "dc-unknown", "--dry-run"],
        &["recipient", "update", "dc-unknown", "--redirect-uri", REDIRECT_URI],
        &["registration", "show", "dc-unknown", "1000"],
        &["registration", "approve", "dc-unknown", "1000"],
        &["registration", "reject", "dc-unknown", "1000", "--reason", "Why not"],
        &["provider", "test", "9"],
    ] {
        assert_eq!(assert_command_fails(&site, arguments, "There is no such"), Some(1), "{arguments:?}");
    }
}

async fn cli_adds_provider_from_file_with_secret_file(site: HubProcess) {
    let configuration = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let (_, own) = configuration.split_once("[[provider]]\n").unwrap();
    let keys = own.lines().filter(|line| !line.starts_with("client_secret"));
    let table = keys.collect::<Vec<_>>().join("\n").replace("id = 1000", "id = 2000");
    let file = site.path("second.toml");
    std::fs::write(&file, format!("[[provider]]\n{table}\n")).unwrap();
    let file = file.display().to_string();
    assert_eq!(assert_command_fails(&site, &["provider", "add", &file], "client_secret"), Some(2));
    let secret = site.path("bank.secret").display().to_string();
    let add = ["provider", "add", &*file, "--client-secret-file", &*secret];
    assert_eq!(run_text(&site, &add), "2000  active  Maple Trust\n");
    assert_eq!(assert_command_fails(&site, &add, "exists already"), Some(1));
    let shown = run_json(&site, &["provider", "show", "2000"]);
    assert_eq!((&shown["source"], shown["settings"].get("client_secret")), (&json!("api"), None), "{shown}");
    assert_eq!(run_json(&site, &["provider", "test", "2000"])["ok"], true);
    let added =
        run_json(&site, &[&ADD_RECIPIENT[..], &["--provider", "1000", "--provider", "2000"]].concat());
    let id = added["client_id"].as_str().unwrap();
    let list = run_json(&site, &["registration", "list", "--client", id, "--state", "active"]);
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    std::fs::remove_file(site.path("bank.secret")).unwrap();
    let (code, report, error) = decode_output(&site.run(&["--json", "provider", "test", "1000"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(code == Some(1) && report["ok"] == false, "{report} {error}");
}

async fn recipient_add_with_providers_is_atomic(site: HubProcess) {
    assert_eq!(run_json(&site, &["provider", "retire", "1000"])["state"], "retired");
    let add = [&ADD_RECIPIENT[..], &["--provider", "1000"]].concat();
    assert_eq!(assert_command_fails(&site, &add, "or it is retired; no recipient was added"), Some(1));
    let active = ["recipient", "list", "--state", "active"];
    assert_eq!(run_json(&site, &active)["items"], json!([]));
    run_json(&site, &["provider", "release", "1000"]);
    let waiting = run_json_field(&site, &ADD_RECIPIENT, "client_id");
    run_text(&site, &["registration", "request", "--client", &waiting, "--provider", "1000"]);
    run_json(&site, &["provider", "retire", "1000"]);
    let approve = ["registration", "approve", &*waiting, "1000"];
    assert_eq!(
        assert_command_fails(&site, &approve, "the provider is retired and accepts no recipients"),
        Some(1)
    );
    run_json(&site, &["provider", "release", "1000"]);
    run_json(&site, &["recipient", "remove", &waiting]);
    let _hub = site.serve(&[]).await;
    let added = run_json(&site, &add);
    assert_eq!(run_json(&site, &active)["items"][0]["client_id"], added["client_id"], "{added}");
    assert!(added["client_secret"].is_string() && added["recipient"]["name"] == "Acme Budget", "{added}");
}

async fn upstream_client_secret_is_read_from_stdin(site: HubProcess) {
    let configuration = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let (_, own) = configuration.split_once("[[provider]]\n").unwrap();
    let own = own.replace("id = 1000", "id = 3000\nupstream_client = \"registration\"");
    let fed = |arguments: &[&str], text: &str| {
        let mut command = site.command(&[], arguments);
        let mut fed =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        fed.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        decode_output(&fed.wait_with_output().unwrap())
    };
    assert_eq!(fed(&["provider", "add", "-"], &own).1, "3000  active  Maple Trust\n");
    let each = [&ADD_RECIPIENT[..], &["--provider", "3000"]].concat();
    assert_eq!(
        assert_command_fails(&site, &each, "provider: 3000 needs an upstream client for each registration"),
        Some(2)
    );
    let id = run_json_field(&site, &ADD_RECIPIENT, "client_id");
    run_text(&site, &["registration", "request", "--client", &id, "--provider", "3000"]);
    run_text(&site, &["registration", "approve", &id, "3000"]);
    assert_eq!(
        assert_command_fails(&site, &["registration", "activate", &id, "3000"], "upstream_client_id"),
        Some(2)
    );
    let activate = ["registration", "activate", &*id, "3000", "--upstream-client-id", "acme"];
    let activate = [&activate[..], &["--upstream-client-secret-file", "-"]].concat();
    let (code, _, error) = fed(&activate, "\n");
    assert!(code == Some(2) && error.contains("--upstream-client-secret-file"), "{error}");
    assert_eq!(fed(&activate, "hunter2\n").1, format!("{id}  3000  active\n"));
}

async fn recipient_add_starts_dynamic_registration(site: HubProcess) {
    site.enable_client_registration();
    let _hub = site.serve(&[]).await;
    let add = [&ADD_RECIPIENT[..], &["--provider", "2000", "--provider", "1000"]].concat();
    let (code, _, error) = decode_output(&site.run(&add));
    assert_eq!(code, Some(0), "{error}");
    let expected_note = "Provider 2000 registers a client and so activates the registration. To see its state: \
                bowline registration show dc-";
    assert!(error.contains(expected_note) && !error.contains("Provider 1000"), "{error}");
    let added = run_json(&site, &add);
    let id = added["client_id"].as_str().unwrap();
    let state = |provider: &str| run_json_field(&site, &["registration", "show", id, provider], "state");
    assert_eq!(state("1000"), "active");
    wait_until("the bank's answer activates it", async || state("2000") == "active").await;
}
