//! Tests of refused requests of clients and operators: the audit log has them, with a limit.

use std::time::Duration;

use bowline::cli::{BrowserRequest, BrowserResponse};
use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, RawRequest, TestClient, TestHub, on_both};

on_both!(refused_requests_are_in_audit_log);

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
