//! Tests of an attacker who can write to the database, but has neither the keys nor the tokens of others. Each test changes a
//! row with plain SQL, and shows that the hub uses the row neither for a recipient nor for an operator, and reports it.

use std::time::Duration;

use bowline::cli::BrowserRequest;
use bowline::jobs;
use bowline::recipients::process_removals;
use domain::model::connection::EndCause;
use http::Method;
use serde_json::json;

use crate::recovery::{
    approve_and_capture_callback, create_interrupted_exchange, run_recovery, wait_for_grant_status,
};
use crate::support::{
    ConnectionTokens, HubProcess, RunningHub, SCOPE, TestClient, TestHub, authorize_url, on_both, wait_until,
};

on_both!(
    changed_operator_role_is_rejected_and_counted,
    changed_recipient_of_a_login_is_rejected,
    removal_waits_for_changed_connection,
    changed_rows_are_left_out_of_lists,
    list_continues_after_changed_row,
    changed_rows_are_left_out_of_partner_lists,
    changed_provider_does_not_stop_its_jobs,
    exchanges_are_recovered_despite_changed_requests,
);

/// Declares two tests for each function, which gets a hub with two recipients and a connection of each.
macro_rules! on_both_processes {
    ($($name:ident),+ $(,)?) => {
        mod process_sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::AttackedHub::start(None).await).await;
            }
        )+}
        mod process_postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let store = crate::support::create_database().await;
                super::$name(super::AttackedHub::start(Some(&store)).await).await;
            }
        )+}
    };
}

on_both_processes!(
    changed_refresh_token_gives_no_tokens,
    changed_code_gives_no_tokens,
    changed_connection_gives_no_access,
    moved_provider_token_gives_no_data,
    changed_client_is_rejected,
    changed_registration_or_provider_is_rejected,
    changed_provider_does_not_prevent_the_start,
);

/// A running hub with a connection of alice with a recipient, and one of bob with the recipient of the attacker.
struct AttackedHub {
    site: HubProcess,
    victim: TestClient,
    alice: ConnectionTokens,
    attacker: TestClient,
    bob: ConnectionTokens,
    running: RunningHub,
}

/// A change of one column, for the rows that a condition selects.
struct Change {
    table: &'static str,
    /// The column that identifies a row.
    key: &'static str,
    column: &'static str,
    value: String,
    condition: String,
}

impl Change {
    /// Describes a change of the column `table.column` of the rows whose column `key` is an id.
    fn new(path: &'static str, value: &str, (key, condition): (&'static str, &str)) -> Self {
        let (table, column) = path.split_once('.').unwrap();
        Self { table, key, column, value: value.to_owned(), condition: condition.to_owned() }
    }
}

impl AttackedHub {
    async fn start(store: Option<&str>) -> Self {
        let site = HubProcess::new(store).await;
        site.initialize().await;
        let (victim, attacker) = (site.add_recipient("Acme Budget"), site.add_recipient("Mallory Ltd"));
        let running = site.serve(&[]).await;
        let alice = site.connect(&victim, "alice").await;
        let bob = site.connect(&attacker, "bob").await;
        Self { site, victim, alice, attacker, bob, running }
    }

    /// Asserts that a request which has the status `before` fails with 500 after a change of the database, that the log names the
    /// table, and that the request has its former status again when the change is undone.
    async fn assert_rejected(&self, change: Change, before: u16, request: impl AsyncFn() -> u16) {
        let Change { table, key, column, value, condition } = &change;
        assert_eq!(request().await, before, "before the change of {table}.{column}");
        let mark = self.site.log().len();
        self.site
            .sql(&format!("CREATE TABLE saved AS SELECT {key} AS id, {column} AS value FROM {table}"))
            .await;

        self.site.sql(&format!("UPDATE {table} SET {column} = {value} WHERE {condition}")).await;
        let status = request().await;

        assert_eq!(status, 500, "{table}.{column} = {value}");
        let is_reported = |line: &str| line.contains("ERROR") && line.contains(table);
        let what = format!("the log reports {table}.{column}");
        wait_until(&what, async || self.site.log()[mark..].lines().any(is_reported)).await;
        let restore =
            format!("UPDATE {table} SET {column} = (SELECT value FROM saved WHERE saved.id = {table}.{key})");
        self.site.sql(&restore).await;
        self.site.sql("DROP TABLE saved").await;
        assert_eq!(request().await, before, "after the undone change of {table}.{column}");
    }

    async fn read(&self, tokens: &ConnectionTokens) -> u16 {
        self.site.api().read("/accounts", &tokens.access).await.status
    }

    async fn refresh(&self, recipient: &TestClient, tokens: &ConnectionTokens) -> u16 {
        self.site.api().refresh(recipient, &tokens.refresh).await.status
    }
}

/// The last two changes would let the attacker read alice's data with its own refresh token.
async fn changed_refresh_token_gives_no_tokens(hub: AttackedHub) {
    let (alice, attacker) = (format!("'{}'", hub.alice.id), format!("'{}'", hub.attacker.id));
    let (of_attacker, of_alice) = (format!("client_id = {attacker}"), format!("connection_id = {alice}"));
    let to_alice = || Change::new("refresh_tokens.connection_id", &alice, ("token_hash", &of_attacker));
    let to_attacker = Change::new("refresh_tokens.client_id", &attacker, ("token_hash", &of_alice));

    hub.assert_rejected(to_alice(), 200, async || hub.refresh(&hub.attacker, &hub.bob).await).await;
    hub.assert_rejected(to_attacker, 200, async || hub.refresh(&hub.victim, &hub.alice).await).await;
    hub.site.sql(&format!("UPDATE connections SET client_id = {attacker} WHERE id = {alice}")).await;
    hub.assert_rejected(to_alice(), 200, async || hub.refresh(&hub.attacker, &hub.bob).await).await;
}

async fn changed_code_gives_no_tokens(hub: AttackedHub) {
    for (path, value) in [
        ("authorization_codes.connection_id", format!("'{}'", hub.alice.id)),
        ("authorization_codes.redirect_uri", "'https://mallory.example/'".into()),
        ("authorization_codes.code_challenge", "'x'".into()),
        ("authorization_codes.expires_at", "expires_at + 1".into()),
    ] {
        let code = hub.site.obtain_code(&hub.attacker, "bob").await;
        // A wrong redirect URI is rejected after the row was verified, and does not use up the code.
        let wrong = TestClient { redirect_uri: "https://mallory.example/x".into(), ..hub.attacker.clone() };
        let change = Change::new(path, &value, ("code_hash", "used_at IS NULL"));

        hub.assert_rejected(change, 400, async || hub.site.api().redeem(&wrong, &code).await.status).await;

        assert_eq!(hub.site.api().redeem(&hub.attacker, &code).await.status, 200, "{path}");
    }
}

async fn changed_connection_gives_no_access(hub: AttackedHub) {
    let (alice, bob) = (format!("id = '{}'", hub.alice.id), format!("id = '{}'", hub.bob.id));
    for (path, value) in [
        ("connections.client_id", format!("'{}'", hub.attacker.id)),
        ("connections.customer_id", format!("(SELECT customer_id FROM connections WHERE {bob})")),
        ("connections.sub", "'mallory'".into()),
        ("connections.expires_at", "expires_at + 1".into()),
        ("connections.token_generation", "2".into()),
        ("connections.mac", format!("(SELECT mac FROM connections WHERE {bob})")),
        ("connections.accounts_key", format!("(SELECT accounts_key FROM connections WHERE {bob})")),
        ("connections.accounts_key", "NULL".into()),
    ] {
        let change = || Change::new(path, &value, ("id", &alice));
        hub.assert_rejected(change(), 200, async || hub.read(&hub.alice).await).await;
        hub.assert_rejected(change(), 200, async || hub.refresh(&hub.victim, &hub.alice).await).await;
    }
    let of_bob = format!("connection_id = '{}'", hub.bob.id);
    for (path, value) in [
        ("connection_terms.accounts", format!("(SELECT accounts FROM connection_terms WHERE {of_bob})")),
        ("connection_terms.accounts", "NULL".into()),
        ("connection_terms.clusters", "'ACCOUNT_BASIC'".into()),
        ("connection_terms.expires_at", "expires_at + 1".into()),
    ] {
        let change = Change::new(path, &value, ("connection_id", "version = 1"));
        hub.assert_rejected(change, 200, async || hub.read(&hub.alice).await).await;
    }

    assert_eq!(hub.site.api().revoke(&hub.alice.access).await.status, 204);

    let revive = Change::new("connections.status", "'active'", ("id", &alice));
    hub.assert_rejected(revive, 401, async || hub.read(&hub.alice).await).await;
}

/// The attacker's own connection gets the sealed token of alice's connection.
async fn moved_provider_token_gives_no_data(hub: AttackedHub) {
    let (alice, bob) = (&hub.alice.id, &hub.bob.id);
    assert_eq!(hub.read(&hub.bob).await, 200);

    hub.site
        .sql(&format!(
            "UPDATE connections SET access_key = (SELECT access_key FROM connections WHERE id = '{alice}')
             WHERE id = '{bob}'"
        ))
        .await;
    hub.site
        .sql(&format!(
            "UPDATE upstream_credentials
             SET access_token = (SELECT access_token FROM upstream_credentials WHERE connection_id = '{alice}')
             WHERE connection_id = '{bob}'"
        ))
        .await;

    assert_eq!(hub.read(&hub.bob).await, 500);
    let reported = "a sealed value was changed, or belongs to another row";
    wait_until(reported, async || hub.site.log().contains(reported)).await;
    assert_eq!(hub.read(&hub.alice).await, 200);
}

async fn changed_client_is_rejected(hub: AttackedHub) {
    let victim = format!("id = '{}'", hub.victim.id);
    let change = |path, value: &str| Change::new(path, value, ("id", &victim));
    let secret = format!("(SELECT secret_hash FROM clients WHERE id = '{}')", hub.attacker.id);
    let disguised = TestClient { secret: hub.attacker.secret.clone(), ..hub.victim.clone() };
    let authenticate = async || {
        let fields = [("grant_type", "client_credentials")];
        hub.site.api().request_token(&disguised, &fields).await.status
    };
    let uris = "'[\"https://mallory.example/\"]'";
    let authorize = async || {
        let mallory = TestClient { redirect_uri: "https://mallory.example/".into(), ..hub.victim.clone() };
        let url = authorize_url(&hub.site.hub_url, &TestHub::build_authorization_query(&mallory));
        hub.site.browser.send(BrowserRequest::new(Method::GET, &url)).await.unwrap().status
    };

    hub.assert_rejected(change("clients.secret_hash", &secret), 400, authenticate).await;
    hub.assert_rejected(change("clients.redirect_uris", uris), 400, authorize).await;
    for (path, value) in [
        ("clients.scope", "'ACCOUNT_BASIC'"),
        ("clients.name", "'Maple Trust'"),
        ("clients.credential_generation", "7"),
        ("clients.state", "'suspended'"),
        ("clients.profile", "'fapi2'"),
    ] {
        let refresh = async || hub.refresh(&hub.victim, &hub.alice).await;
        hub.assert_rejected(change(path, value), 200, refresh).await;
    }
    assert!(hub.site.run(&["recipient", "suspend", &hub.victim.id]).status.success());
    let reinstate = change("clients.state", "'active'");
    hub.assert_rejected(reinstate, 400, async || hub.refresh(&hub.victim, &hub.alice).await).await;
}

async fn changed_registration_or_provider_is_rejected(hub: AttackedHub) {
    let read = async || hub.read(&hub.alice).await;
    for (path, value) in [
        ("providers.settings", "replace(settings, '/fdx/v5', '/of-mallory')"),
        ("providers.state", "'paused'"),
    ] {
        hub.assert_rejected(Change::new(path, value, ("id", "id = 1000")), 200, read).await;
    }
    let suspend = ["registration", "suspend", &hub.victim.id, "1000", "--reason", "Under review"];
    assert!(hub.site.run(&suspend).status.success());

    let reinstate = Change::new("registrations.state", "'active'", ("client_id", "provider_id = 1000"));

    hub.assert_rejected(reinstate, 403, read).await;
}

async fn changed_provider_does_not_prevent_the_start(hub: AttackedHub) {
    let AttackedHub { site, running, alice, .. } = hub;
    let state = site.sql("SELECT state FROM providers WHERE id = 1000").await.remove(0);
    site.sql("UPDATE providers SET state = 'paused' WHERE id = 1000").await;
    running.stop();

    let offline = site.run(&["connection", "list"]);
    let _running = site.serve(&[]).await;

    assert!(offline.status.success(), "{offline:?}");
    assert_eq!(site.api().read("/accounts", &alice.access).await.status, 500);
    site.sql(&format!("UPDATE providers SET state = '{state}' WHERE id = 1000")).await;
    assert_eq!(site.api().read("/accounts", &alice.access).await.status, 200);
}

async fn changed_operator_role_is_rejected_and_counted(kit: TestHub) {
    let viewer = kit.create_operator_token("mallory", "viewer").await;
    let list = async || kit.send_operator_request(&viewer, Method::GET, "/operators", None).await.status;
    let status = list().await;

    kit.sql("UPDATE operators SET role = 'admin' WHERE name = 'mallory'").await;

    assert_eq!((status, list().await), (403, 500));
    let metrics = kit.fetch_metrics().await;
    let counted = metrics.lines().find(|line| line.starts_with("bowline_unverified_rows_total "));
    assert!(counted.is_some_and(|line| line != "bowline_unverified_rows_total 0"), "{metrics}");
    kit.sql("UPDATE operators SET role = 'viewer' WHERE name = 'mallory'").await;
    assert_eq!(list().await, 403);
}

/// A customer who connects one recipient must not give access to another one.
async fn changed_recipient_of_a_login_is_rejected(kit: TestHub) {
    let mallory = kit.register_recipient_with_redirect("https://mallory.example/back").await;
    let callback = approve_and_capture_callback(&kit).await;
    let open = async || kit.send(BrowserRequest::new(Method::GET, &callback)).await.status;

    kit.sql(&format!(
        "UPDATE authorization_requests SET client_id = '{}', redirect_uri = '{}'",
        mallory.id, mallory.redirect_uri
    ))
    .await;
    let changed = open().await;
    let acme = kit.acme();
    kit.sql(&format!(
        "UPDATE authorization_requests SET client_id = '{}', redirect_uri = '{}'",
        acme.id, acme.redirect_uri
    ))
    .await;

    assert_eq!((changed, open().await), (500, 302));
    assert_eq!(kit.sql("SELECT count(*) FROM connections").await, ["1"]);
}

/// The hub needs the recipient's client at the provider to revoke the grant of the changed connection, once it is restored.
async fn removal_waits_for_changed_connection(kit: TestHub) {
    kit.enable_client_registration().await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    let changed = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let other = kit.connect_at(1000, &recipient, "bob", &["mt-bob-chequing"], SCOPE).await;
    let of_changed = format!("WHERE id = '{}'", changed.id);
    let sub = kit.sql(&format!("SELECT sub FROM connections {of_changed}")).await.remove(0);
    kit.sql(&format!("UPDATE connections SET sub = 'mallory' {of_changed}")).await;

    kit.run_admin_operation(Method::DELETE, &format!("/recipients/{}", recipient.id), None).await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let has_finished = process_removals(&ctx).await.unwrap();

    assert!(!has_finished, "a removal that has to wait must not be repeated without a pause");
    assert_eq!(kit.load_end_cause(&other.id).await, Some(EndCause::ClientRemoved));
    assert_eq!(kit.sql("SELECT count(*) FROM client_removals").await, ["1"]);
    assert_eq!(kit.world.maple().bank.client_ids().len(), 1, "the client is still needed");
    kit.sql(&format!("UPDATE connections SET sub = '{sub}' {of_changed}")).await;
    kit.app().removal_notify().notify_one();
    kit.wait_until("the client is deleted", async || {
        kit.advance(Duration::from_secs(30));
        kit.world.maple().bank.client_ids().is_empty()
    })
    .await;
    assert_eq!(kit.load_end_cause(&changed.id).await, Some(EndCause::ClientRemoved));
    assert_eq!(kit.list_grant_states().await, ["ended", "ended"]);
}

/// Operators must be able to use the lists during an incident. A changed value may also be one that the hub cannot read.
async fn changed_rows_are_left_out_of_lists(kit: TestHub) {
    let (changed, other) = (kit.connect(&kit.acme()).await, kit.connect(&kit.acme()).await);
    let recipient = kit.register_recipient_with_redirect("https://mallory.example/back").await.id;
    let partner = kit.create_other_partner().await.id;
    kit.create_operator_token("mallory", "viewer").await;
    for statement in [
        format!("UPDATE connections SET sub = 'mallory' WHERE id = '{}'", changed.id),
        format!("UPDATE clients SET redirect_uris = 'x' WHERE id IN ('{recipient}', '{partner}')"),
        "UPDATE registrations SET state = 'x' WHERE provider_id = 2000".into(),
        "UPDATE providers SET state = 'x' WHERE id = 2000".into(),
        "UPDATE operators SET role = 'x' WHERE name = 'mallory'".into(),
    ] {
        kit.sql(&statement).await;
    }

    for list in ["connections", "recipients", "partners", "registrations", "providers", "operators"] {
        let page = kit.send_admin_request(Method::GET, &format!("/{list}?limit=100")).await;

        assert_eq!(page.status, 200, "{list}: {}", page.body);
        let page = page.json();
        assert!(page["unverified"].as_u64() > Some(0), "{list}: {page}");
        assert!(!page["items"].as_array().unwrap().is_empty(), "{list}: {page}");
        for id in [changed.id.as_str(), &recipient, &partner] {
            assert!(list == "registrations" || !page.to_string().contains(id), "{list}: {page}");
        }
    }
    let shown = kit.send_admin_request(Method::GET, &format!("/connections/{}", other.id)).await;
    assert_eq!(shown.status, 200);
}

async fn list_continues_after_changed_row(kit: TestHub) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        kit.advance(Duration::from_secs(1));
        ids.push(kit.connect(&kit.acme()).await.id);
    }
    kit.sql(&format!("UPDATE connections SET sub = 'mallory' WHERE id IN ('{}', '{}')", ids[1], ids[2]))
        .await;
    let (mut listed, mut after) = (Vec::new(), String::new());

    loop {
        let page = kit.send_admin_request(Method::GET, &format!("/connections?limit=1{after}")).await.json();
        listed.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }

    assert_eq!(listed, [ids[3].as_str(), ids[0].as_str()]);
}

async fn changed_rows_are_left_out_of_partner_lists(kit: TestHub) {
    let partner = kit.request_client_token(&kit.partner()).await;
    let client_token = kit.request_client_token(&kit.acme()).await;
    let (kept, changed) = (kit.create_recipient(&partner).await.id, kit.create_recipient(&partner).await.id);
    for provider in [1000, 2000] {
        let path = format!("/api/v1/recipients/providers/requests/{kept}/{provider}");
        assert_eq!(kit.call(Method::POST, &path, &partner).await.status, 200);
    }
    let lists = async || {
        let mut bodies = Vec::new();
        for (path, token) in [
            ("/api/v1/recipients", &partner),
            ("/api/v1/recipients/providers/requests", &partner),
            ("/api/v1/authorize/providers", &client_token),
            ("/api/v2/providers", &client_token),
        ] {
            let list = kit.call(Method::GET, path, token).await;
            assert_eq!(list.status, 200, "{path}: {}", list.body);
            bodies.push(list.body);
        }
        bodies
    };
    let before = lists().await;
    for statement in [
        format!("UPDATE clients SET redirect_uris = 'x' WHERE id = '{changed}'"),
        "UPDATE registrations SET state = 'x' WHERE provider_id = 2000".into(),
        "UPDATE providers SET settings = 'x' WHERE id = 2000".into(),
    ] {
        kit.sql(&statement).await;
    }

    let after = lists().await;

    let count = |body: &str, text: &str| body.matches(text).count();
    assert_eq!((count(&before[0], &changed), count(&after[0], &changed)), (1, 0), "{}", after[0]);
    assert_eq!(count(&after[0], &kept), 1, "{}", after[0]);
    for (before, after) in before.iter().zip(&after).skip(1) {
        assert!(before.contains("2000") && !after.contains("2000"), "{before} {after}");
        assert!(after.contains("1000"), "{after}");
    }
}

/// The grant is revoked with the settings of the provider, and only its audit chain cannot be written.
async fn changed_provider_does_not_stop_its_jobs(kit: TestHub) {
    let (request, _) = create_interrupted_exchange(&kit).await;
    kit.advance(kit.app().refresh_lease_duration());
    kit.inject_faults(json!({"latency_ms": 500})).await;
    assert_eq!(run_recovery(&kit).await, 1);
    let leased = "SELECT id FROM jobs WHERE lease_until IS NOT NULL";
    kit.wait_until("the job has loaded the provider", async || !kit.sql(leased).await.is_empty()).await;
    kit.wait_until("the bank is called", async || kit.list_grant_states().await.len() == 1).await;
    kit.sql("UPDATE providers SET state = 'paused' WHERE id = 1000").await;

    kit.wait_until("the job is done", async || kit.sql("SELECT state FROM jobs").await == ["done"]).await;

    assert_eq!(kit.list_grant_states().await, ["ended"], "{}", request.id);
}

/// More requests are changed than one query of the sweep reads.
async fn exchanges_are_recovered_despite_changed_requests(kit: TestHub) {
    let (request, _) = create_interrupted_exchange(&kit).await;
    let copied_id = kit.build_job_id("'copy' || n").replace("'job'", "'arq'");
    let columns = "connection_id, client_id, provider_id, redirect_uri, scope, client_state, code_challenge, language, status,
        cookie_hash, data_key, mac, verifier, provider_code, purpose, page_version, agreed_at, correlation_id, created_at,
        expires_at";
    kit.sql(&format!(
        "INSERT INTO authorization_requests (id, {columns}, exchange_until)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 450)
         SELECT {copied_id}, {columns}, 0 FROM authorization_requests, numbers"
    ))
    .await;
    kit.advance(kit.app().refresh_lease_duration());

    assert_eq!(run_recovery(&kit).await, 1);

    wait_for_grant_status(&kit, &request, "revoked").await;
    assert_eq!(run_recovery(&kit).await, 0);
}
