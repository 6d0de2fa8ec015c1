//! Tests of changes of providers: settings, secrets, and the endpoints at which existing grants are revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline::cli::BrowserRequest;
use domain::id::{ConnectionId, ProviderId};
use domain::model::audit_event::Actor;
use domain::model::provider::{EndpointGroup, ProviderSettings};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::command::{UpsertOutcome, UpsertProvider};
use store::query::GetProvider;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::new_providers::take_prairie_settings;
use crate::support::{ConnectionTokens, EndpointStub, SCOPE, TestClient, TestHub, json_response, on_both};

on_both!(
    provider_update_changes_settings_and_is_audited,
    provider_update_with_invalid_field_is_rejected,
    replaced_secret_is_used_and_never_shown,
    secret_header_is_replaced_or_removed,
    configured_provider_is_not_changed_by_api,
    upstream_client_is_kept_while_recipients_use_it,
    revocation_goes_to_endpoints_that_issued_the_token,
    refreshed_grant_is_revoked_at_new_endpoints,
    login_before_change_is_exchanged_at_its_endpoints,
    failures_of_new_endpoints_do_not_stop_login_at_former_ones,
    token_of_new_endpoints_is_not_sent_to_former_ones,
);

/// Adds Prairie by the API. Returns its settings with the secret.
pub(super) async fn add_prairie(kit: &TestHub) -> Value {
    let body = take_prairie_settings(kit).await;
    kit.run_admin_operation(Method::POST, "/providers", Some(body.clone())).await;
    body
}

/// Returns the settings as an operator reads them, without secrets.
pub(super) async fn read_settings(kit: &TestHub) -> Value {
    kit.run_admin_operation(Method::GET, "/providers/3000", None).await["settings"].take()
}

pub(super) async fn update_prairie(kit: &TestHub, query: &str, settings: &Value) -> Value {
    kit.run_admin_operation(Method::PUT, &format!("/providers/3000{query}"), Some(settings.clone())).await
}

pub(super) async fn connect_prairie(kit: &TestHub) -> (TestClient, ConnectionTokens) {
    let recipient = kit.register_recipient(&[3000], SCOPE, false).await;
    let tokens = kit.connect_at(3000, &recipient, "alice", &[], SCOPE).await;
    (recipient, tokens)
}

/// Starts another server of the bank, which issues tokens, has one account and accepts revocations.
pub(super) async fn start_new_server() -> EndpointStub {
    EndpointStub::new(|call| match call.path.as_str() {
        "/token" => {
            json_response(200, &json!({"access_token": "new", "token_type": "Bearer", "expires_in": 600}))
        }
        "/fdx/accounts" => json_response(200, &json!({"accounts": []})),
        _ => json_response(200, &json!({})),
    })
    .await
}

/// Returns settings whose endpoints are those of another server.
pub(super) fn move_endpoints(settings: &Value, url: &str) -> Value {
    let mut moved = settings.clone();
    for name in ["authorization_endpoint", "token_endpoint", "revocation_endpoint"] {
        moved[name] = json!(format!("{url}/{}", name.trim_end_matches("_endpoint")));
    }
    moved["revocation_endpoint"] = json!(format!("{url}/revoke"));
    moved["fdx"]["base_url"] = json!(format!("{url}/fdx"));
    moved
}

pub(super) async fn wait_for_accepted_revocation(kit: &TestHub, connection: &ConnectionId) {
    kit.wait_until("the revocation is accepted", async || {
        let shown = kit.run_admin_operation(Method::GET, &format!("/connections/{connection}"), None).await;
        shown["provider_revocation"] == "accepted"
    })
    .await;
}

pub(super) fn list_revocations(server: &EndpointStub) -> Vec<Option<String>> {
    let calls = server.calls().into_iter();
    calls.filter(|call| call.path == "/revoke").map(|call| call.field("token")).collect()
}

async fn list_events(kit: &TestHub) -> Vec<Value> {
    let path = "/audit?subject_kind=provider&subject_id=3000";
    kit.run_admin_operation(Method::GET, path, None).await["items"].as_array().unwrap().clone()
}

async fn provider_update_changes_settings_and_is_audited(kit: TestHub) {
    let secret = add_prairie(&kit).await["client_secret"].as_str().unwrap().to_owned();
    let (_, tokens) = connect_prairie(&kit).await;
    let settings = read_settings(&kit).await;
    let mut wanted = settings.clone();
    (wanted["name"], wanted["page_size"]) = (json!("Prairie Savings"), json!(50));
    let before = kit.dump_admin_tables().await;

    let unchanged = update_prairie(&kit, "", &settings).await;
    let preview = update_prairie(&kit, "?dry_run=true", &wanted).await;

    assert_eq!((&unchanged["outcome"], &unchanged["changed"]), (&json!("unchanged"), &json!([])));
    assert_eq!((&preview["outcome"], &preview["connections"]), (&json!("would_update"), &json!(1)));
    assert_eq!(preview["changed"], json!(["name", "page_size"]));
    assert_eq!(kit.dump_admin_tables().await, before, "a dry run changes nothing");

    let updated = update_prairie(&kit, "", &wanted).await;

    assert_eq!((&updated["outcome"], &updated["changed"]), (&json!("updated"), &preview["changed"]));
    assert_eq!(updated["provider"]["settings"], wanted);
    assert_eq!(updated["keeps_former_endpoints"], false);
    let event = &list_events(&kit).await[0];
    assert_eq!(
        event["detail"],
        json!({"state": "active", "changed": ["name", "page_size"], "endpoints": []})
    );
    assert_eq!(event["actor"], json!({"kind": "operator", "id": "opr_sandbox"}));
    assert!(!updated.to_string().contains(&secret));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;
}

async fn provider_update_with_invalid_field_is_rejected(kit: TestHub) {
    add_prairie(&kit).await;
    let good = read_settings(&kit).await;
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let bodies = vec![
        (json!({}), "name"),
        (with("name", json!("")), "name"),
        (with("id", json!(3000)), "id"),
        (with("token_endpoint", json!("ftp://x")), "token_endpoint"),
        (with("client_secret", json!("")), "client_secret"),
        (with("client_secret", json!(null)), "client_secret"),
        (with("auth", json!("private_key_jwt")), "auth_key"),
        (with("colour", json!("red")), "colour"),
    ];
    kit.assert_admin_rejects(Method::PUT, "/providers/3000", bodies).await;
    let secrets = vec![
        (json!({}), "client_secret"),
        (json!({"client_secret": ""}), "client_secret"),
        (json!({"auth_key": "x"}), "auth_key"),
        (json!({"name": "x"}), "name"),
    ];
    kit.assert_admin_rejects(Method::POST, "/providers/3000/secret", secrets).await;
}

async fn replaced_secret_is_used_and_never_shown(kit: TestHub) {
    let good = add_prairie(&kit).await["client_secret"].as_str().unwrap().to_owned();
    let (_, tokens) = connect_prairie(&kit).await;
    let replace = async |secret: &str| {
        let body = Some(json!({"client_secret": secret}));
        kit.run_admin_operation(Method::POST, "/providers/3000/secret", body).await
    };
    let is_accepted = async || {
        let report = kit.run_admin_operation(Method::POST, "/providers/3000/test", None).await;
        report["ok"] == true
    };

    let replaced = replace("not-the-secret").await;
    assert_eq!((&replaced["outcome"], &replaced["changed"]), (&json!("updated"), &json!(["client_secret"])));
    assert!(!is_accepted().await, "the new secret is sent");
    assert_eq!(replace("not-the-secret").await["outcome"], "unchanged");
    assert_eq!(replace(&good).await["outcome"], "updated");
    assert!(is_accepted().await);

    let events = json!(list_events(&kit).await).to_string();
    assert!(!events.contains("not-the-secret") && !events.contains(&good), "{events}");
    assert!(events.contains(r#"["client_secret"]"#), "{events}");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;
}

async fn secret_header_is_replaced_or_removed(kit: TestHub) {
    let bank = start_new_server().await;
    let mut body = move_endpoints(&take_prairie_settings(&kit).await, &bank.url);
    body["secret_headers"] = json!({"x-gateway-key": "first", "x-other": "kept"});
    kit.run_admin_operation(Method::POST, "/providers", Some(body)).await;
    let settings = read_settings(&kit).await;
    // The test of a provider calls its endpoints with the client that has the headers.
    let read_headers = async || {
        kit.run_admin_operation(Method::POST, "/providers/3000/test", None).await;
        let call = bank.calls().pop().unwrap();
        ["x-gateway-key", "x-other"]
            .map(|name| call.headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    let text = |value: &str| Some(value.to_owned());

    assert_eq!(read_headers().await, [text("first"), text("kept")]);
    let new = Some(json!({"secret_headers": {"x-gateway-key": "second"}}));
    kit.run_admin_operation(Method::POST, "/providers/3000/secret", new).await;
    assert_eq!(read_headers().await, [text("second"), text("kept")]);
    assert_eq!(update_prairie(&kit, "", &settings).await["outcome"], "unchanged", "headers stay");
    let mut fewer = settings.clone();
    fewer["secret_headers"] = json!({"x-gateway-key": "third"});
    update_prairie(&kit, "", &fewer).await;
    assert_eq!(read_headers().await, [text("third"), None]);
}

async fn configured_provider_is_not_changed_by_api(kit: TestHub) {
    let settings = kit.run_admin_operation(Method::GET, "/providers/1000", None).await["settings"].take();
    let before = kit.dump_admin_tables().await;

    for (method, path, body) in [
        (Method::PUT, "/providers/1000", settings),
        (Method::POST, "/providers/1000/secret", json!({"client_secret": "x"})),
    ] {
        let refused = kit.send_operator_request(kit.admin_token(), method, path, Some(body)).await;
        assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("conflict")), "{}", refused.body);
        assert!(refused.body.contains("configuration file"), "{}", refused.body);
    }
    assert_eq!(kit.dump_admin_tables().await, before);
}

async fn upstream_client_is_kept_while_recipients_use_it(kit: TestHub) {
    add_prairie(&kit).await;
    let (recipient, _) = connect_prairie(&kit).await;
    let mut wanted = read_settings(&kit).await;
    (wanted["upstream_client"], wanted["grant_scope"]) = (json!("aggregator"), json!("per_token"));
    let before = kit.dump_admin_tables().await;

    for path in ["/providers/3000", "/providers/3000?dry_run=true"] {
        let body = Some(wanted.clone());
        let refused = kit.send_operator_request(kit.admin_token(), Method::PUT, path, body).await;
        assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("conflict")), "{}", refused.body);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("upstream_client cannot be changed from hub to aggregator"), "{detail}");
        assert!(detail.contains("remove these recipients"), "{detail}");
    }
    assert_eq!(kit.dump_admin_tables().await, before);

    kit.run_admin_operation(Method::DELETE, &format!("/recipients/{}", recipient.id), None).await;
    let updated = update_prairie(&kit, "", &wanted).await;
    assert_eq!(updated["provider"]["settings"]["upstream_client"], "aggregator", "{updated}");
}

async fn revocation_goes_to_endpoints_that_issued_the_token(kit: TestHub) {
    let former = add_prairie(&kit).await;
    let (_, tokens) = connect_prairie(&kit).await;
    let server = start_new_server().await;
    let mut wanted = move_endpoints(&read_settings(&kit).await, &server.url);
    // The new server has another client of the hub, whose secret the former one does not know.
    (wanted["client_id"], wanted["client_secret"]) = (json!("new-client"), json!("new-secret"));

    let updated = update_prairie(&kit, "", &wanted).await;
    assert_eq!(updated["keeps_former_endpoints"], true);
    let host =
        |url: &str| url::Url::parse(url).map(|url| format!("127.0.0.1:{}", url.port().unwrap())).unwrap();
    let change = updated["endpoints"].as_array().unwrap().iter().find(|e| e["member"] == "token_endpoint");
    let (old, new) = (host(former["token_endpoint"].as_str().unwrap()), host(&server.url));
    assert_eq!(change, Some(&json!({"member": "token_endpoint", "old_host": old, "new_host": new})));
    assert_eq!(list_events(&kit).await[0]["detail"]["endpoints"], updated["endpoints"]);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;

    assert!(list_revocations(&server).is_empty(), "the token belongs to the former endpoints");
}

async fn refreshed_grant_is_revoked_at_new_endpoints(kit: TestHub) {
    add_prairie(&kit).await;
    let (recipient, tokens) = connect_prairie(&kit).await;
    let server = start_new_server().await;
    update_prairie(&kit, "", &move_endpoints(&read_settings(&kit).await, &server.url)).await;

    kit.advance(Duration::from_hours(1));
    let tokens = kit.refresh(&recipient, &tokens.refresh).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(kit.read("/accounts", access).await.status, 200);
    assert_eq!(kit.revoke(access).await.status, 204);
    kit.wait_until("the new server is called", async || !list_revocations(&server).is_empty()).await;

    let sent = server.calls().into_iter().find(|call| call.path == "/token").unwrap();
    assert_eq!(list_revocations(&server), [sent.field("refresh_token")]);
}

/// Changes a configured provider, as a reload of the configuration does.
pub(super) async fn change_configured(kit: &TestHub, change: impl FnOnce(&mut ProviderSettings)) {
    let ctx = bowline::jobs::new_job_context(kit.app(), "test").unwrap();
    let mut provider = ctx.ask(&GetProvider { id: ProviderId::new(1000) }).await.unwrap().unwrap();
    change(&mut provider.settings);
    let (moment, actor) = (ctx.new_moment().unwrap(), Actor::system("test"));
    assert_eq!(
        ctx.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap(),
        UpsertOutcome::Written
    );
}

async fn login_before_change_is_exchanged_at_its_endpoints(kit: TestHub) {
    let acme = kit.acme();
    let callback = kit.approve_at_bank(&acme).await;
    let server = start_new_server().await;
    let url = server.url.clone();
    change_configured(&kit, |settings| {
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
    })
    .await;

    let back = kit.send(BrowserRequest::new(Method::GET, &callback)).await.location.unwrap();

    assert!(crate::support::query_parameter(&back, "code").is_some(), "{back}");
    assert_eq!(server.calls().len(), 0, "the code belongs to the former endpoints");
    kit.wait_until("an abandoned login is revoked", async || {
        kit.advance(Duration::from_mins(10));
        kit.list_grant_states().await == ["ended"]
    })
    .await;
    assert_eq!(server.calls().len(), 0);
}

async fn failures_of_new_endpoints_do_not_stop_login_at_former_ones(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let callback = kit.approve_at_bank(&acme).await;
    let server = EndpointStub::new(|_| json_response(500, &json!({}))).await;
    let url = server.url.clone();
    change_configured(&kit, |settings| settings.token_endpoint = Some(format!("{url}/token"))).await;
    let client = acme.id.parse().unwrap();
    let is_open = || {
        let now = kit.app().now().unwrap();
        kit.app().breaker().is_open(ProviderId::new(1000), EndpointGroup::Token, &client, now)
    };
    for _ in 0..100 {
        kit.sql("UPDATE upstream_credentials SET access_expires_at = 1").await;
        kit.read("/accounts", &tokens.access).await;
        if is_open() {
            break;
        }
    }
    assert!(is_open(), "the new token endpoint must have failed often enough");

    let back = kit.send(BrowserRequest::new(Method::GET, &callback)).await.location.unwrap();

    assert!(crate::support::query_parameter(&back, "code").is_some(), "{back}");
}

/// A server of the bank that rejects every call when the test lets it respond.
struct SlowServer {
    url: String,
    arrived: Arc<Notify>,
    release: Arc<Notify>,
    calls: Arc<AtomicUsize>,
}

impl SlowServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let calls = Arc::new(AtomicUsize::new(0));
        let (on_arrival, on_release, count) =
            (Arc::clone(&arrived), Arc::clone(&release), Arc::clone(&calls));
        let router = axum::Router::new().fallback(move || async move {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                on_arrival.notify_one();
                on_release.notified().await;
            }
            StatusCode::UNAUTHORIZED
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, arrived, release, calls }
    }
}

async fn token_of_new_endpoints_is_not_sent_to_former_ones(kit: TestHub) {
    add_prairie(&kit).await;
    let (_, tokens) = connect_prairie(&kit).await;
    let (slow, server) = (SlowServer::start().await, start_new_server().await);
    let mut settings = read_settings(&kit).await;
    settings["fdx"]["base_url"] = json!(format!("{}/fdx", slow.url));
    update_prairie(&kit, "", &settings).await;

    let change = async {
        slow.arrived.notified().await;
        update_prairie(&kit, "", &move_endpoints(&settings, &server.url)).await;
        kit.sql("UPDATE upstream_credentials SET access_expires_at = 1").await;
        let refreshed = kit.read("/accounts", &tokens.access).await;
        slow.release.notify_one();
        refreshed
    };
    let (waiting, refreshed) = tokio::join!(kit.read("/accounts", &tokens.access), change);

    assert_eq!(slow.calls.load(Ordering::Relaxed), 1, "the token belongs to the new endpoints");
    assert_eq!((waiting.status, refreshed.status), (200, 200), "{}", waiting.body);
    let reads = server.calls().into_iter().filter(|call| call.path == "/fdx/accounts");
    assert_eq!(reads.count(), 2);
}
