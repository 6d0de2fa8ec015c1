//! Tests of the commands for recipients, their registrations and the providers that they use.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{assert_command_fails, create_site, run_json, run_json_field, run_text};
use crate::server_process::decode_output;
use crate::support::{HubProcess, SCOPE, TestClient, wait_until};

on_both!(
    cli_creates_registers_and_removes_recipient,
    cli_adds_provider_from_file_with_secret_file,
    recipient_add_with_providers_is_atomic,
    recipient_add_starts_dynamic_registration,
    upstream_client_secret_is_read_from_stdin,
    cli_reports_invalid_arguments_and_unknown_ids,
);

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
        (
            vec!["registration", "activate", "dc-1", "1000", "--upstream-client-secret-file", "x"],
            "upstream-client-id",
        ),
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
