//! What operators do from the command line: with a hub that runs, at its address or through its socket, and without
//! one, on the store itself.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kit::{Recipient, Running, SCOPE, Site, durable_database, until};
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

on_both!(
    a_partners_recipient_is_set_up_connected_and_removed,
    a_provider_comes_from_a_file_and_its_secret_from_another,
    a_provider_is_held_and_released,
    a_recipient_comes_with_all_its_providers_or_not_at_all,
    who_registers_clients_by_itself_activates_what_is_added,
    a_registrations_own_client_comes_from_standard_input,
    operators_come_end_connections_and_go,
    wrong_words_are_named_and_unknown_things_told,
);

/// What a command printed for scripts.
fn json_of(site: &Site, arguments: &[&str]) -> Value {
    let (code, printed, error) = said(&site.run(&[&["--json"], arguments].concat()));
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{arguments:?}: {printed}"))
}

/// A field of what a command printed for scripts.
fn field_of(site: &Site, arguments: &[&str], field: &str) -> String {
    let printed = json_of(site, arguments);
    printed[field].as_str().unwrap_or_else(|| panic!("{arguments:?}: {printed}")).to_owned()
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
    let file = site.path("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let of_file = ["job", "list", "--url", &url, "--token-file", file.to_str().unwrap()];
    assert_eq!(said(&site.run(&of_file)).0, Some(0), "a token that nobody sees on the command line");
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

const REDIRECT: &str = "https://app.example.org/back";
const ADD: [&str; 12] = [
    "recipient",
    "add",
    "--name",
    "Acme Budget",
    "--purpose-en",
    "To show balances",
    "--purpose-fr",
    "Pour montrer les soldes",
    "--redirect-uri",
    REDIRECT,
    "--scope",
    SCOPE,
];

/// A partner, a recipient of it, and the registration's whole way to active.
fn set_up(site: &Site) -> Recipient {
    let partner = json_of(site, &["partner", "add", "--name", "Flock of Apps"]);
    let partner_id = partner["partner"]["client_id"].as_str().unwrap();
    let added = json_of(site, &[&ADD[..], &["--partner", partner_id, "--contact", "a@example.org"]].concat());
    let text = |name: &str| added[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    assert_eq!(added["recipient"]["partner"], partner_id, "{added}");
    let list = json_of(site, &["recipient", "list", "--partner", partner_id, "--state", "active"]);
    assert_eq!(list["items"][0]["client_id"], id.as_str(), "{list}");
    admitted(site, partner_id, &id);
    let own = |word: &str| text_of(site, &["partner", word, partner_id]);
    assert_eq!(own("suspend"), format!("{partner_id}  suspended\n"));
    assert_eq!(own("reinstate"), format!("{partner_id}  active\n"));
    assert!(
        own("show").contains("Flock of Apps") && text_of(site, &["partner", "list"]).contains(partner_id)
    );
    assert_ne!(json_of(site, &["partner", "secret", partner_id])["client_secret"], partner["client_secret"]);
    Recipient { id, secret, redirect_uri: REDIRECT.into() }
}

/// Every step of a registration, up to active.
fn admitted(site: &Site, partner: &str, id: &str) {
    let state = |word: &str| field_of(site, &["registration", word, id, "1000"], "state");
    let asked = ["registration", "request", "--client", id, "--provider", "1000"];
    assert_eq!(json_of(site, &asked)["items"][0]["state"], "pending_approval");
    assert_eq!(refused(site, &asked, "all or none"), Some(1), "it was asked for before");
    let waiting = ["registration", "list", "--partner", partner, "--state", "pending_approval"];
    assert!(text_of(site, &waiting).contains(id));
    assert_eq!(state("approve"), "pending_activation");
    assert_eq!(state("activate"), "active");
    assert_eq!(text_of(site, &["registration", "suspend", id, "1000"]), format!("{id}  1000  suspended\n"));
    assert_eq!([state("reinstate"), state("show")], ["active", "active"]);
}

async fn a_partners_recipient_is_set_up_connected_and_removed(site: Site) {
    let hub = site.serve(&[]).await;
    let acme = set_up(&site);
    let tokens = site.connect(&acme, "alice").await;
    let read = async || site.api().read("/accounts", &tokens.access).await.status;
    assert_eq!(read().await, 200, "data flows");
    assert_eq!(text_of(&site, &["recipient", "suspend", &acme.id]), format!("{}  suspended\n", acme.id));
    assert_eq!(read().await, 403);
    assert_eq!(field_of(&site, &["recipient", "reinstate", &acme.id], "state"), "active");
    let secret = field_of(&site, &["recipient", "secret", &acme.id], "client_secret");
    let refreshed = site.api().refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(refreshed["error"], "invalid_client", "the old secret is void");
    let acme = Recipient { secret, ..acme };
    assert_eq!(site.api().refresh(&acme, &tokens.refresh).await.status, 200, "the connection lives on");
    let elsewhere = ["recipient", "update", &acme.id, "--redirect-uri", "https://new.example.org/back"];
    assert_eq!(json_of(&site, &elsewhere)["redirect_uris"], json!(["https://new.example.org/back"]));
    let remove = |more: &[&str]| text_of(&site, &[&["recipient", "remove", &*acme.id], more].concat());
    assert_eq!(remove(&["--dry-run"]), format!("{}  would_remove  1 connections\n", acme.id));
    assert_eq!(read().await, 200);
    assert_eq!(remove(&[]), format!("{}  removed  1 connections\n", acme.id));
    let dead = site.api().read("/accounts", &tokens.access).await;
    assert_eq!((dead.status, &dead.json()["code"]), (401, &json!(602)));
    assert_eq!(site.api().refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
    until("the bank was told", async || site.live_grants().await == 0).await;
    stop(hub);

    let again = set_up(&site);
    let removed = json_of(&site, &["recipient", "remove", &again.id]);
    assert_eq!((&removed["connections"], &removed["outcome"]), (&json!(0), &json!("removed")));
}

async fn wrong_words_are_named_and_unknown_things_told(site: Site) {
    let before = json_of(&site, &["recipient", "list"]);
    let odd = |place: usize, text: &'static str| {
        let mut add = ADD;
        add[place] = text;
        add.to_vec()
    };
    let more = |more: &[&'static str]| [&ADD[..], more].concat();
    for (arguments, named) in [
        (odd(3, ""), "name"),
        (odd(5, ""), "purpose_en"),
        (odd(9, "back"), "redirect_uris"),
        (odd(11, "EVERYTHING"), "scope"),
        (more(&["--partner", "pt-nobody"]), "partner"),
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
        assert_eq!(refused(&site, &arguments, named), Some(2), "{arguments:?}");
    }
    assert_eq!(json_of(&site, &["recipient", "list"]), before, "nobody was added");
    for arguments in [
        &["partner", "show", "pt-nobody"][..],
        &["partner", "secret", "pt-nobody"],
        &["recipient", "show", "dc-nobody"],
        &["recipient", "secret", "dc-nobody"],
        &["recipient", "remove", "dc-nobody", "--dry-run"],
        &["recipient", "update", "dc-nobody", "--redirect-uri", REDIRECT],
        &["registration", "show", "dc-nobody", "1000"],
        &["registration", "approve", "dc-nobody", "1000"],
        &["registration", "reject", "dc-nobody", "1000", "--reason", "Why not"],
        &["provider", "test", "9"],
    ] {
        assert_eq!(refused(&site, arguments, "There is no such"), Some(1), "{arguments:?}");
    }
}

async fn a_provider_comes_from_a_file_and_its_secret_from_another(site: Site) {
    let whole = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let (_, own) = whole.split_once("[[provider]]\n").unwrap();
    let keys = own.lines().filter(|line| !line.starts_with("client_secret"));
    let table = keys.collect::<Vec<_>>().join("\n").replace("id = 1000", "id = 2000");
    let file = site.path("second.toml");
    std::fs::write(&file, format!("[[provider]]\n{table}\n")).unwrap();
    let file = file.display().to_string();
    assert_eq!(refused(&site, &["provider", "add", &file], "client_secret"), Some(2));
    let secret = site.path("bank.secret").display().to_string();
    let add = ["provider", "add", &*file, "--client-secret-file", &*secret];
    assert_eq!(text_of(&site, &add), "2000  active  Maple Trust\n");
    assert_eq!(refused(&site, &add, "is there already"), Some(1));
    let shown = json_of(&site, &["provider", "show", "2000"]);
    assert_eq!((&shown["source"], shown["settings"].get("client_secret")), (&json!("api"), None), "{shown}");
    assert_eq!(json_of(&site, &["provider", "test", "2000"])["ok"], true);
    let added = json_of(&site, &[&ADD[..], &["--provider", "1000", "--provider", "2000"]].concat());
    let id = added["client_id"].as_str().unwrap();
    let list = json_of(&site, &["registration", "list", "--client", id, "--state", "active"]);
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    std::fs::remove_file(site.path("bank.secret")).unwrap();
    let (code, told, error) = said(&site.run(&["--json", "provider", "test", "1000"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(code == Some(1) && told["ok"] == false, "{told} {error}");
}

async fn a_recipient_comes_with_all_its_providers_or_not_at_all(site: Site) {
    assert_eq!(json_of(&site, &["provider", "retire", "1000"])["state"], "retired");
    let add = [&ADD[..], &["--provider", "1000"]].concat();
    assert_eq!(refused(&site, &add, "it takes nobody any more; no recipient was added"), Some(1));
    let active = ["recipient", "list", "--state", "active"];
    assert_eq!(json_of(&site, &active)["items"], json!([]));
    json_of(&site, &["provider", "release", "1000"]);
    let waiting = field_of(&site, &ADD, "client_id");
    text_of(&site, &["registration", "request", "--client", &waiting, "--provider", "1000"]);
    json_of(&site, &["provider", "retire", "1000"]);
    let approve = ["registration", "approve", &*waiting, "1000"];
    assert_eq!(refused(&site, &approve, "the provider is retired: it takes nobody any more"), Some(1));
    json_of(&site, &["provider", "release", "1000"]);
    json_of(&site, &["recipient", "remove", &waiting]);
    let _hub = site.serve(&[]).await;
    let added = json_of(&site, &add);
    assert_eq!(json_of(&site, &active)["items"][0]["client_id"], added["client_id"], "{added}");
    assert!(added["client_secret"].is_string() && added["recipient"]["name"] == "Acme Budget", "{added}");
}

async fn a_registrations_own_client_comes_from_standard_input(site: Site) {
    let whole = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let (_, own) = whole.split_once("[[provider]]\n").unwrap();
    let own = own.replace("id = 1000", "id = 3000\nupstream_client = \"registration\"");
    let fed = |arguments: &[&str], text: &str| {
        let mut command = site.command(&[], arguments);
        let mut fed =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        fed.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        said(&fed.wait_with_output().unwrap())
    };
    assert_eq!(fed(&["provider", "add", "-"], &own).1, "3000  active  Maple Trust\n");
    let each = [&ADD[..], &["--provider", "3000"]].concat();
    assert_eq!(refused(&site, &each, "provider: 3000 has a client for each registration"), Some(2));
    let id = field_of(&site, &ADD, "client_id");
    text_of(&site, &["registration", "request", "--client", &id, "--provider", "3000"]);
    text_of(&site, &["registration", "approve", &id, "3000"]);
    assert_eq!(refused(&site, &["registration", "activate", &id, "3000"], "upstream_client_id"), Some(2));
    let activate = ["registration", "activate", &*id, "3000", "--upstream-client-id", "acme"];
    let activate = [&activate[..], &["--upstream-client-secret-file", "-"]].concat();
    let (code, _, error) = fed(&activate, "\n");
    assert!(code == Some(2) && error.contains("--upstream-client-secret-file"), "{error}");
    assert_eq!(fed(&activate, "hunter2\n").1, format!("{id}  3000  active\n"));
}

async fn who_registers_clients_by_itself_activates_what_is_added(site: Site) {
    site.registers_clients();
    let _hub = site.serve(&[]).await;
    let add = [&ADD[..], &["--provider", "2000", "--provider", "1000"]].concat();
    let (code, _, error) = said(&site.run(&add));
    assert_eq!(code, Some(0), "{error}");
    let told = "Provider 2000 is asked for a client; its answer activates the registration: \
                bowline registration show dc-";
    assert!(error.contains(told) && !error.contains("1000 is asked"), "{error}");
    let added = json_of(&site, &add);
    let id = added["client_id"].as_str().unwrap();
    let state = |provider: &str| field_of(&site, &["registration", "show", id, provider], "state");
    assert_eq!(state("1000"), "active");
    until("the bank's answer activates it", async || state("2000") == "active").await;
}
