//! Tests of refused requests of clients and operators: the audit log has them, with a limit.

use std::time::Duration;

use bowline::access_attempt::AccessAttempt;
use bowline::admin_api::AdminError;
use bowline::admin_api::auth::{PresentedCredential, authenticate};
use bowline::admin_api::operators::create_bootstrap_token;
use bowline::cli::{BrowserRequest, BrowserResponse};
use bowline::jobs;
use bowline::rate_limit::Network;
use domain::model::audit_event::{Actor, SubjectKind};
use domain::model::operator::Role;
use domain::rule::operator::LocalPeer;
use http::Method;
use serde_json::{Value, json};
use store::query::GetAuditChain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

use crate::support::{HubProcess, RawRequest, SCOPE, TestClient, TestHub, on_both};

on_both!(refused_requests_are_in_audit_log, refusals_of_known_callers_name_their_reason);

/// Returns the details of the events with an action, the oldest first.
async fn list_denials(kit: &TestHub, query: &str) -> Vec<Value> {
    let page = kit.send_admin_request(Method::GET, &format!("/audit?limit=500&{query}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let events = page.json()["items"].as_array().unwrap().clone();
    events.into_iter().rev().map(|event| event["detail"].clone()).collect()
}

fn has(denials: &[Value], reason: &str, operation: &str) -> bool {
    denials.iter().any(|denial| {
        denial["reason"] == reason && denial["operation"] == operation && denial["source"] == "127.0.0.0/24"
    })
}

async fn add_viewer(kit: &TestHub) -> (String, String) {
    let added = kit.post_admin_request("/operators", json!({"name": "vera", "role": "viewer"})).await.json();
    (added["operator"]["id"].as_str().unwrap().to_owned(), added["token"].as_str().unwrap().to_owned())
}

async fn refused_requests_are_in_audit_log(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let (viewer, viewer_token) = add_viewer(&kit).await;
    let wrong = TestClient { secret: "wrong".into(), ..kit.acme() };
    let unknown = TestClient { id: "dc-unknown-and-long".into(), ..kit.acme() };
    let grant = [("grant_type", "client_credentials")];

    let is_refused = |answer: &BrowserResponse| matches!(answer.status, 400..=403);
    for _ in 0..3 {
        assert!(is_refused(&kit.request_token(&wrong, &grant).await));
    }
    assert!(is_refused(&kit.request_token(&unknown, &grant).await));
    let secret_as_id = TestClient { id: "not an id: hunter2".into(), ..kit.acme() };
    assert!(is_refused(&kit.request_token(&secret_as_id, &grant).await));
    let mistaken = [("token", "t"), ("client_id", &*acme.id), ("client_secret", "wrong")];
    assert!(is_refused(&kit.post_form("/api/v1/revoke", &mistaken).await));
    assert!(is_refused(&kit.call(Method::DELETE, "/api/v1/revoke", "forged").await));
    assert!(is_refused(&kit.call(Method::GET, "/api/v1/recipients", &tokens.access).await));
    assert!(is_refused(&kit.read("/accounts", "forged").await));
    let admin = async |token: &str| {
        kit.send_operator_request(token, Method::POST, "/recipients/dc-sandbox/suspend", None).await.status
    };
    assert_eq!((admin(&viewer_token).await, admin("forged").await), (403, 401));

    let client = format!("subject_kind=client&subject_id={}&action=client.access_denied", acme.id);
    let operator = format!("subject_kind=operator&subject_id={viewer}&action=operator.access_denied");
    let hub = "subject_kind=hub&subject_id=hub&action=hub.access_denied";
    kit.wait_until("the refused requests are recorded", async || {
        list_denials(&kit, &client).await.len() >= 3
            && list_denials(&kit, &operator).await.len() == 1
            && list_denials(&kit, hub).await.len() >= 4
    })
    .await;
    let (client, operator) = (list_denials(&kit, &client).await, list_denials(&kit, &operator).await);
    let hub = list_denials(&kit, hub).await;
    assert!(has(&client, "wrong_secret", "POST /api/v1/token"), "{client:?}");
    assert!(has(&client, "wrong_secret", "POST /api/v1/revoke"), "{client:?}");
    assert!(has(&client, "insufficient_scope", "GET /api/v1/recipients"), "{client:?}");
    let suspend = "POST /admin/v1/recipients/{client_id}/suspend";
    assert!(has(&operator, "insufficient_role", suspend), "{operator:?}");
    assert!(has(&hub, "unknown_client", "POST /api/v1/token"), "{hub:?}");
    assert!(has(&hub, "unknown_token", "DELETE /api/v1/revoke"), "{hub:?}");
    assert!(has(&hub, "unknown_token", "GET /api/fdx/5/accounts"), "{hub:?}");
    assert!(has(&hub, "unknown_token", suspend), "{hub:?}");
    let log = format!("{hub:?}{client:?}{operator:?}");
    assert!(log.contains("dc-unknown-a") && !log.contains("dc-unknown-and"), "a claimed id is short: {log}");
    assert!(!log.contains("hunter2") && !log.contains("forged") && !log.contains(&*tokens.access), "{log}");
}

async fn refusals_of_known_callers_name_their_reason(kit: TestHub) {
    let (acme, mobile) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let own = (kit.request_client_token(&acme).await, kit.request_client_token(&mobile).await);
    let (viewer, viewer_token) = add_viewer(&kit).await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let providers = "/api/v1/providers";

    kit.suspend(&acme).await;
    assert_eq!(kit.call(Method::GET, providers, &own.0).await.status, 400);
    let renewed = kit.send_admin_request(Method::POST, &format!("/recipients/{}/secret", mobile.id)).await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    assert_eq!(kit.call(Method::GET, providers, &own.1).await.status, 400);
    for removed in [&*viewer, "opr_sandbox"] {
        let removal = kit.send_admin_request(Method::DELETE, &format!("/operators/{removed}")).await;
        assert_eq!(removal.status, 204, "{}", removal.body);
    }
    let list_jobs =
        async |token: &str| kit.send_operator_request(token, Method::GET, "/jobs", None).await.status;
    assert_eq!(list_jobs(&viewer_token).await, 401);
    let bootstrap = create_bootstrap_token(&ctx, Actor::system("test")).await.unwrap();
    assert_eq!(list_jobs(bootstrap.expose()).await, 403);
    let admin = json!({"name": "ann", "role": "admin"});
    let added = kit.send_operator_request(bootstrap.expose(), Method::POST, "/operators", Some(admin)).await;
    let admin_token = added.json()["token"].as_str().unwrap().to_owned();
    let listed =
        kit.send_operator_request(&admin_token, Method::GET, "/operators?limit=50", None).await.json();
    let operators = listed["items"].as_array().unwrap();
    let bootstrap_id = operators.iter().find(|one| one["role"] == "bootstrap").unwrap()["id"].clone();
    let attempt = AccessAttempt {
        method: Method::GET,
        path: "/admin/v1/jobs",
        network: Network::from_address([0, 0, 0, 0].into()),
        local: Some(LocalPeer { peer_uid: 1001, hub_uid: 1000 }),
    };
    let other_user = PresentedCredential { bearer: None, attempt };
    assert!(matches!(authenticate(&ctx, &other_user, Role::Viewer).await, Err(AdminError::Unauthorized)));

    let bootstrap_id = bootstrap_id.as_str().unwrap();
    let expected = [
        (SubjectKind::Client, &*acme.id, "suspended", "GET /api/v1/providers", "127.0.0.0/24"),
        (SubjectKind::Client, &*mobile.id, "ended_token", "GET /api/v1/providers", "127.0.0.0/24"),
        (SubjectKind::Operator, &*viewer, "ended_token", "GET /admin/v1/jobs", "127.0.0.0/24"),
        (SubjectKind::Operator, bootstrap_id, "bootstrap_token_only", "GET /admin/v1/jobs", "127.0.0.0/24"),
        (SubjectKind::Hub, "hub", "other_local_user", "GET /admin/v1/jobs", "user 1001"),
    ];
    for (kind, id, reason, operation, source) in expected {
        kit.wait_until(reason, async || {
            let chain = GetAuditChain { kind, id: id.to_owned() };
            let events = kit.app().store().query(&chain).await.unwrap();
            let details =
                events.iter().map(|event| serde_json::from_str::<Value>(&event.entry.detail).unwrap());
            let denials: Vec<_> = details.filter(|detail| detail["reason"].is_string()).collect();
            assert!(denials.len() <= 1, "{denials:?}");
            denials.iter().any(|detail| {
                detail["reason"] == reason && detail["operation"] == operation && detail["source"] == source
            })
        })
        .await;
    }
}

/// A request is refused after the node has begun to stop and has recorded the earlier ones.
#[tokio::test]
async fn requests_refused_during_drain_are_recorded() {
    let kit = TestHub::new().await;
    let node = kit.start_other_node().await;
    let form = format!("grant_type=client_credentials&client_id={}&client_secret=wrong", kit.acme().id);
    let address = node.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/token HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();

    let stop = tokio::spawn(node.stop());
    let mut ticks = interval(Duration::from_millis(500));
    ticks.tick().await;
    ticks.tick().await;
    assert!(!stop.is_finished(), "the node waits for the request");
    stream.write_all(form.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    stop.await.unwrap();

    assert!(answer.contains("invalid_client"), "{answer}");
    let recorded = list_denials(&kit, "action=client.access_denied").await;
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0]["reason"], "wrong_secret");
}

#[tokio::test]
async fn flood_of_refused_requests_writes_few_audit_events() {
    const REQUESTS: u64 = 400;
    let kit = TestHub::with_settings(&[("server.trusted_proxies", "1")]).await;
    let body = format!(
        r#"{{"grant_type": "client_credentials", "client_id": "{}", "client_secret": "x"}}"#,
        kit.acme().id
    );
    let post = RawRequest::post("/api/v1/token", "application/json", body);
    let forged = RawRequest::get("/api/fdx/5/accounts").bearer("forged");
    for number in 0..REQUESTS / 2 {
        let address = format!("10.{}.{}.1", number / 200, number % 200);
        for request in [&post, &forged] {
            let answer = kit.send_raw(&request.clone().header("x-forwarded-for", address.clone())).await;
            assert!(matches!(answer.status, 400..=403), "{}", answer.body);
        }
    }
    // The rest of the counts is recorded at the end of the hour.
    kit.advance(Duration::from_hours(1));

    let count = async |action: &str| {
        let denials = list_denials(&kit, &format!("action={action}")).await;
        let number: u64 = denials.iter().map(|denial| denial["number"].as_u64().unwrap()).sum();
        (denials.len(), number)
    };
    kit.wait_until("all refused requests are recorded", async || {
        count("client.access_denied").await.1 + count("hub.access_denied").await.1 == REQUESTS
    })
    .await;

    let (client, hub) = (count("client.access_denied").await, count("hub.access_denied").await);
    assert!(client.0 <= 2 * 11, "{client:?}: each of 10 networks and the others, at first and after an hour");
    assert!(hub.0 <= 2 * 21, "{hub:?}");
}

#[tokio::test]
async fn refused_requests_are_recorded_before_stop_and_listed_by_cli() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let app = site.add_recipient("App");
    let hub = site.serve(&[]).await;
    let mut request = BrowserRequest::new(Method::POST, &format!("{}/api/v1/token", site.hub_url));
    let fields = json!({"grant_type": "client_credentials", "client_id": app.id, "client_secret": "wrong"});
    request.json = Some(fields);
    for _ in 0..2 {
        assert!(matches!(site.browser.send(request.clone()).await.unwrap().status, 400..=403));
    }
    hub.stop();

    let output = site.run(&["--json", "audit", "list", "--action", "client.access_denied"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let numbers =
        listed["items"].as_array().unwrap().iter().map(|event| event["detail"]["number"].as_u64().unwrap());
    assert_eq!(numbers.sum::<u64>(), 2, "{listed}");
}
