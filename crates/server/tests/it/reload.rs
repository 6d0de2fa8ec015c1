//! Tests that the built program reloads the providers of its configuration, and that the command line changes others.

use serde_json::{Value, json};

use crate::admin_cli::{run_json, run_text};
use crate::support::{EndpointStub, HubProcess, RunningHub, json_response, wait_until};

impl HubProcess {
    /// Replaces a text of the configuration file.
    fn edit_config(&self, from: &str, to: &str) {
        let file = self.path("bowline.toml");
        let known = std::fs::read_to_string(&file).unwrap();
        assert!(known.contains(from), "{from}");
        std::fs::write(file, known.replacen(from, to, 1)).unwrap();
    }

    /// Lets the hub read its configuration again, and waits until its log reports the result.
    async fn reload(&self, hub: &RunningHub, result: &str) {
        let times = self.log().matches(result).count();
        hub.signal("HUP");
        self.wait_for_log(result, times + 1).await;
    }
}

fn read_name(site: &HubProcess) -> Value {
    run_json(site, &["provider", "show", "1000"])["name"].clone()
}

/// Starts a hub and lets it reload a configuration with a new name of the provider and other changes, which it must reject.
async fn reject_reload(changes: &[(&str, &str)]) -> (HubProcess, RunningHub) {
    let site = HubProcess::new(None).await;
    let hub = site.serve(&[]).await;
    site.edit_config("name = \"Maple Trust\"", "name = \"Maple Savings\"");
    for (from, to) in changes {
        site.edit_config(from, to);
    }
    site.reload(&hub, "the configuration was not reloaded").await;
    (site, hub)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_applies_valid_providers_and_names_other_keys() {
    let site = HubProcess::new(None).await;
    let hub = site.serve(&[]).await;
    site.edit_config("name = \"Maple Trust\"", "name = \"Maple Savings\"");
    site.edit_config("[limit]\n", "[limit]\nprovider_share = 60\n");

    site.reload(&hub, "configuration reloaded").await;

    assert_eq!(read_name(&site), "Maple Savings");
    let log = site.log();
    assert!(log.contains("only a restart") && log.contains("\"keys\":\"limit.provider_share\""), "{log}");
    let events = run_json(&site, &["audit", "list", "--subject-kind", "provider", "--subject-id", "1000"]);
    assert_eq!(events["items"][0]["detail"]["changed"], json!(["name"]), "{events}");

    hub.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_with_invalid_configuration_changes_nothing() {
    let (site, hub) = reject_reload(&[("country = \"CA\"", "country = \"Canada\"")]).await;
    let log = site.log();
    assert!(log.contains("bowline.toml: provider 1000: country: expected two letters"), "{log}");

    // The command line reads the configuration, too.
    site.edit_config("country = \"Canada\"", "country = \"CA\"");
    assert_eq!(read_name(&site), "Maple Trust", "the former settings apply");
    site.reload(&hub, "configuration reloaded").await;
    assert_eq!(read_name(&site), "Maple Savings");

    hub.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_rejects_provider_that_needs_a_restart() {
    // The lease of a refresh in the running hub is shorter than this provider's timeout.
    let timeouts = [
        ("[upstream]\n", "[upstream]\ntimeout = \"30s\"\n"),
        ("name = \"Maple Savings\"", "name = \"Maple Savings\"\ntimeout = \"25s\""),
    ];

    let (site, hub) = reject_reload(&timeouts).await;

    assert!(site.log().contains("provider 1000: timeout"), "{}", site.log());
    assert_eq!(read_name(&site), "Maple Trust", "the former settings apply");
    hub.stop();
}

/// Returns the URL of the bank in a configuration.
fn find_bank(config: &str) -> String {
    let (_, rest) = config.split_once("token_endpoint = \"").unwrap();
    rest.split_once("/token\"").unwrap().0.to_owned()
}

/// The built program must keep the former endpoints for the revocation of grants, also for a provider of the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grant_before_reload_is_revoked_at_former_endpoints() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    let server = EndpointStub::new(|_| json_response(200, &json!({}))).await;
    let config = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    std::fs::write(site.path("bowline.toml"), config.replace(&find_bank(&config), &server.url)).unwrap();
    site.reload(&hub, "configuration reloaded").await;

    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    wait_until("the revocation is accepted", async || {
        run_json(&site, &["connection", "show", tokens.id.as_str()])["provider_revocation"] == "accepted"
    })
    .await;

    assert_eq!(server.calls().len(), 0, "the grant belongs to the former endpoints");
    hub.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_keeps_upstream_client_that_recipients_use() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let hub = site.serve(&[]).await;
    site.edit_config(
        "name = \"Maple Trust\"",
        "name = \"Maple Savings\"\nupstream_client = \"registration\"",
    );

    site.reload(&hub, "configuration reloaded").await;

    let log = site.log();
    assert!(log.contains("the configuration of a provider was not applied"), "{log}");
    assert!(log.contains("upstream_client cannot be changed from hub to registration"), "{log}");
    assert_eq!(read_name(&site), "Maple Trust", "the former settings apply");
    site.connect(&acme, "alice").await;

    hub.stop();
}

/// The secret of the former client must stay usable, and its file may get another content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_of_former_client_is_not_read_after_reload() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    let server = EndpointStub::new(|_| json_response(200, &json!({}))).await;
    std::fs::write(site.path("new.secret"), "new-secret").unwrap();
    site.edit_config("client_id = \"bowline\"", "client_id = \"new-client\"");
    site.edit_config("bank.secret", "new.secret");
    let bank = find_bank(&std::fs::read_to_string(site.path("bowline.toml")).unwrap());
    site.edit_config(&format!("{bank}/token"), &format!("{}/token", server.url));
    site.reload(&hub, "configuration reloaded").await;
    std::fs::write(site.path("bank.secret"), "new-secret").unwrap();

    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    wait_until("the revocation is accepted", async || {
        run_json(&site, &["connection", "show", tokens.id.as_str()])["provider_revocation"] == "accepted"
    })
    .await;

    hub.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cli_updates_provider_and_replaces_its_secret() {
    let site = HubProcess::new(None).await;
    let _hub = site.serve(&[]).await;
    let configuration = std::fs::read_to_string(site.path("bowline.toml")).unwrap();
    let (_, own) = configuration.split_once("[[provider]]\n").unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(site.path(name), text).unwrap();
        site.path(name).display().to_string()
    };
    let table = own.replace("id = 1000", "id = 2000");
    let added = write("added.toml", &table);
    let keys = table.lines().filter(|line| !line.starts_with("client_secret"));
    let changed = keys.collect::<Vec<_>>().join("\n").replace("Maple Trust", "Maple Savings");
    let changed = write("changed.toml", &changed);
    run_text(&site, &["provider", "add", &added]);

    let preview = run_json(&site, &["provider", "update", &changed, "--dry-run"]);
    let updated = run_json(&site, &["provider", "update", &changed]);
    let tested = run_json(&site, &["provider", "test", "2000"]);
    let wrong = write("wrong.secret", "wrong\n");
    let replaced = run_json(&site, &["provider", "secret", "2000", "--client-secret-file", &wrong]);

    assert_eq!((&preview["outcome"], &preview["connections"]), (&json!("would_update"), &json!(0)));
    assert_eq!((&updated["outcome"], &updated["changed"]), (&json!("updated"), &json!(["name"])));
    assert_eq!(run_json(&site, &["provider", "show", "2000"])["name"], "Maple Savings");
    assert_eq!(tested["ok"], true, "the stored secret stays: {tested}");
    assert_eq!((&replaced["id"], &replaced["changed"]), (&json!(2000), &json!(["client_secret"])));
    let report = site.run(&["--json", "provider", "test", "2000"]);
    assert_eq!(report.status.code(), Some(1), "the new secret is used");
}
