//! Tests of reads that fail: what the recipient reads, and what the audit log contains.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::cli::BrowserResponse;
use http::{Method, Response};
use serde_json::{Value, json};

use crate::support::{ConnectionTokens, EndpointStub, TestHub, create_database, json_response, on_both};

on_both!(failed_read_is_in_audit_log_once_a_day);

/// Replaces the FDX API of Maple Trust by a stub that responds with a status, which the test can set.
async fn install_failing_stub(kit: &TestHub, status: u16) -> (EndpointStub, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let shared = Arc::clone(&status);
    let bank = EndpointStub::new(move |_| json_response(shared.load(Ordering::SeqCst), &json!({}))).await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
    (bank, status)
}

/// Lists the reason and status of each failed read in the audit log of a connection.
async fn list_failed_reads(kit: &TestHub, tokens: &ConnectionTokens) -> Vec<(String, Value)> {
    let path = format!("/audit?subject_kind=connection&subject_id={}&limit=100", tokens.id);
    let events = kit.send_admin_request(Method::GET, &path).await.json();
    let details = events["items"].as_array().unwrap().iter().map(|event| &event["detail"]);
    let reads = details.filter(|detail| detail["call"] == "data");
    reads.map(|detail| (detail["reason"].as_str().unwrap().to_owned(), detail["status"].clone())).collect()
}

async fn failed_read_is_in_audit_log_once_a_day(kit: TestHub) {
    let (acme, other) = (kit.acme(), kit.acme());
    let tokens = kit.connect(&acme).await;
    let quiet = kit.connect_at(2000, &other, "alice", &[], "ACCOUNT_BASIC").await;
    let (_bank, status) = install_failing_stub(&kit, 403).await;
    let read = async || kit.read("/accounts", &tokens.access).await.status;
    let wait_for = async |count: usize| {
        let is_recorded = async || list_failed_reads(&kit, &tokens).await.len() >= count;
        kit.wait_until("the failed read is in the audit log", is_recorded).await;
    };

    let reads: [u16; 5] = tokio::join!(read(), read(), read(), read(), read()).into();
    wait_for(1).await;
    status.store(302, Ordering::SeqCst);
    for _ in 0..3 {
        read().await;
    }
    wait_for(2).await;
    status.store(403, Ordering::SeqCst);
    kit.advance(Duration::from_hours(24));
    let access =
        kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &access).await.status, 401);
    wait_for(3).await;

    assert_eq!(reads, [401; 5]);
    let mut failures = list_failed_reads(&kit, &tokens).await;
    failures.sort_by_key(|(reason, _)| reason.clone());
    let refused = ("resource_refused".to_owned(), json!(403));
    assert_eq!(failures, [("redirected".to_owned(), json!(302)), refused.clone(), refused]);
    assert!(list_failed_reads(&kit, &quiet).await.is_empty(), "a read of another connection");
}

#[tokio::test]
async fn missing_data_is_no_failed_read() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let bank = EndpointStub::new(|_| json_response(404, &json!({"code": 1107}))).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = bank.url.clone()).await;

    let read = kit.read("/accounts", &tokens.access).await;

    assert_eq!((read.status, &read.json()["accounts"]), (200, &json!([])));
    assert!(!kit.app().telemetry().render().contains("call=\"data\""));
}

#[tokio::test]
async fn failed_read_does_not_wait_for_audit_log() {
    let kit = TestHub::with_store(Some(create_database().await)).await;
    let tokens = kit.connect(&kit.acme()).await;
    let _stub = install_failing_stub(&kit, 403).await;
    let url = kit.app().config().store.url.clone();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE recorded_failures").await.unwrap();

    // A write that waited for the lock would fail after the time limit of a statement, and record nothing.
    let read = kit.read("/accounts", &tokens.access).await;
    client.batch_execute("COMMIT").await.unwrap();

    assert_eq!((read.status, &read.json()["code"]), (401, &json!(602)));
    kit.wait_until("the failed read is in the audit log", async || {
        !list_failed_reads(&kit, &tokens).await.is_empty()
    })
    .await;
}

/// Asserts that a response is the error 500 with the status 503, a time to wait, and this message.
#[track_caller]
fn assert_unreachable(answer: &BrowserResponse, message: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (503, &json!(500)), "{}", answer.body);
    assert_eq!((&body["message"], &body["debugMessage"]), (&json!("Internal server error"), &json!(message)));
    assert!(answer.headers.contains_key("retry-after"), "{message}");
}

#[tokio::test]
async fn unreachable_provider_is_not_reported_as_maintenance() {
    let kit = TestHub::with_settings(&[("upstream.timeout", "300ms")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let (_silent, silent) = spawn_silent_listener().await;
    let refused = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    // A label of a name has at most 63 bytes, so this one is not sent to any name server.
    let unresolvable = format!("https://{}.invalid", "x".repeat(64));
    let connect = "The hub cannot connect to the data provider";
    let no_response = "The data provider did not send a complete response in time";
    for (url, message) in [
        (&*refused, connect),
        (&unresolvable, connect),
        (&*silent, no_response),
        ("http://10.0.0.1", "The hub cannot call the data provider: its operator must correct the settings"),
    ] {
        kit.update_provider_settings(1000, |settings| url.clone_into(&mut settings.fdx.base_url)).await;

        let answer = kit.read("/accounts", &tokens.access).await;

        assert_unreachable(&answer, message);
        assert!(!answer.body.contains("127.0.0.1") && !answer.body.contains("invalid"), "{}", answer.body);
    }
}

/// Starts a listener that accepts connections and sends nothing.
async fn spawn_silent_listener() -> (tokio::task::JoinHandle<()>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accept = async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    };
    (tokio::spawn(accept), url)
}

#[tokio::test]
async fn failing_gateway_and_open_breaker_are_named() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let (_bank, status) = install_failing_stub(&kit, 502).await;
    let gateway = "A gateway reports that the data provider does not respond";

    let bad_gateway = kit.read("/accounts", &tokens.access).await;
    status.store(504, Ordering::SeqCst);
    let gateway_timeout = kit.read("/accounts", &tokens.access).await;
    status.store(500, Ordering::SeqCst);
    for _ in 0..3 {
        kit.read("/accounts", &tokens.access).await;
    }
    let not_called = kit.read("/accounts", &tokens.access).await;

    assert_unreachable(&bad_gateway, gateway);
    assert_unreachable(&gateway_timeout, gateway);
    let open = "The hub does not call the data provider for a short time: many calls failed";
    assert_unreachable(&not_called, open);
}

#[tokio::test]
async fn failing_token_endpoint_is_named() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for (status, expected) in [(500, "The data provider failed to renew the hub's access"), (503, "")] {
        let endpoint =
            EndpointStub::new(move |_| Response::builder().status(status).body(String::new()).unwrap()).await;
        kit.update_provider_settings(1000, |settings| settings.token_endpoint = Some(endpoint.url.clone()))
            .await;
        kit.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;

        let answer = kit.read("/accounts", &tokens.access).await;

        if status == 503 {
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (503, &json!(503)),
                "the provider reports it"
            );
        } else {
            assert_unreachable(&answer, expected);
        }
    }
}

#[tokio::test]
async fn response_of_other_fdx_version_is_named() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], "ACCOUNT_BASIC ACCOUNT_DETAILED").await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let body = Arc::new(Mutex::new(Value::Null));
    let shared = Arc::clone(&body);
    let bank = EndpointStub::new(move |_| json_response(200, &shared.lock().unwrap())).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = bank.url.clone()).await;
    let flat =
        json!({"accountCategory": "DEPOSIT_ACCOUNT", "accountId": "mt-alice-chequing", "status": "OPEN"});
    for (path, response) in [
        ("/accounts".to_owned(), json!({"accounts": [flat]})),
        (format!("/accounts/{account}"), flat.clone()),
    ] {
        *body.lock().unwrap() = response;

        let answer = kit.read(&path, &tokens.access).await;

        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!(500)), "{path}: {}", answer.body);
        let message = "The data provider responded in another version of FDX than the configured one";
        assert_eq!(answer.json()["debugMessage"], message, "{path}");
    }
}
