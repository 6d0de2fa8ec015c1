//! Tests of the endpoints that a provider has no longer: their secrets, their HTTP clients, and the end of their settings.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::model::connection::UpstreamRevocation;
use domain::model::provider::SigningAlgorithm;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::new_providers::take_prairie_settings;
use super::provider_changes::{
    add_prairie, change_configured, connect_prairie, list_revocations, move_endpoints, read_settings,
    start_new_server, update_prairie, wait_for_accepted_revocation,
};
use crate::independent_provider::create_signing_key;
use crate::support::{SCOPE, TestHub, json_response, on_both};

on_both!(
    replaced_secret_applies_to_former_endpoints,
    replaced_key_of_former_endpoints_is_not_published,
    former_settings_are_deleted_when_no_grant_needs_them,
    expired_access_token_is_revoked_at_former_endpoints,
    client_of_registration_revokes_at_former_endpoints,
    http_client_of_deleted_former_settings_is_dropped,
);

/// Lets some hours pass and runs the purge, until it has examined every connection and deleted what is not needed.
async fn purge(kit: &TestHub) {
    for _ in 0..3 {
        kit.advance(Duration::from_hours(3));
        let ctx = bowline::jobs::new_job_context(kit.app(), "test").unwrap();
        bowline::jobs::purge(&ctx).await.unwrap();
    }
}

async fn count_former_settings(kit: &TestHub, provider: u32) -> String {
    let count = format!("SELECT count(*) FROM former_provider_settings WHERE provider_id = {provider}");
    kit.sql(&count).await.remove(0)
}

async fn replaced_secret_applies_to_former_endpoints(kit: TestHub) {
    let good = add_prairie(&kit).await["client_secret"].clone();
    let (_, tokens) = connect_prairie(&kit).await;
    let server = start_new_server().await;
    let replace = async |secret: &Value| {
        let body = Some(json!({"client_secret": secret}));
        kit.run_admin_operation(Method::POST, "/providers/3000/secret", body).await
    };
    // The bank accepts only the secret that comes last.
    replace(&json!("former-secret")).await;
    update_prairie(&kit, "", &move_endpoints(&read_settings(&kit).await, &server.url)).await;
    // The client authenticates with the same secret in another way.
    let mut settings = read_settings(&kit).await;
    settings["auth"] = json!("client_secret_post");
    assert_eq!(update_prairie(&kit, "", &settings).await["changed"], json!(["auth"]));
    replace(&good).await;

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;

    assert!(list_revocations(&server).is_empty(), "the token belongs to the former endpoints");
}

async fn replaced_key_of_former_endpoints_is_not_published(kit: TestHub) {
    let mut body = take_prairie_settings(&kit).await;
    body.as_object_mut().unwrap().remove("client_secret");
    (body["auth"], body["auth_algorithm"]) = (json!("private_key_jwt"), json!("ES256"));
    let create_key = || json!(create_signing_key(SigningAlgorithm::Es256));
    body["auth_key"] = create_key();
    kit.run_admin_operation(Method::POST, "/providers", Some(body)).await;
    update_prairie(&kit, "", &move_endpoints(&read_settings(&kit).await, "http://127.0.0.1:9")).await;
    let read_key_ids = async || {
        // The document is kept for some seconds.
        kit.advance(Duration::from_secs(11));
        let document = kit.get("/.well-known/jwks.json").await.json();
        let keys = document["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    let before = read_key_ids().await;

    let replaced = Some(json!({"auth_key": create_key()}));
    kit.run_admin_operation(Method::POST, "/providers/3000/secret", replaced).await;
    let after = read_key_ids().await;

    assert_eq!((before.len(), after.len()), (1, 1), "the stolen key must not stay published");
    assert_ne!(before, after);
}

async fn former_settings_are_deleted_when_no_grant_needs_them(kit: TestHub) {
    add_prairie(&kit).await;
    let (recipient, tokens) = connect_prairie(&kit).await;
    let server = start_new_server().await;
    update_prairie(&kit, "", &move_endpoints(&read_settings(&kit).await, &server.url)).await;

    purge(&kit).await;
    assert_eq!(count_former_settings(&kit, 3000).await, "1", "a connection needs them");
    let refreshed = kit.refresh(&recipient, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(refreshed["access_token"].as_str().unwrap()).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;
    purge(&kit).await;

    assert_eq!(count_former_settings(&kit, 3000).await, "0");
}

/// Moves the configured provider to the endpoints of another server.
async fn move_configured(kit: &TestHub, url: &str) {
    change_configured(kit, |settings| {
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
    })
    .await;
}

/// Without a refresh token, the end of a connection revokes its access token, whose expiry a provider may not enforce.
async fn expired_access_token_is_revoked_at_former_endpoints(kit: TestHub) {
    let acme = kit.acme();
    kit.inject_faults(json!({"token_response": "no_refresh_token"})).await;
    let tokens = kit.connect(&acme).await;
    kit.inject_faults(json!({"token_response": "normal"})).await;
    let server = start_new_server().await;
    move_configured(&kit, &server.url).await;

    purge(&kit).await;
    assert_eq!(count_former_settings(&kit, 1000).await, "1", "the end of the connection needs them");
    let refreshed = kit.refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(refreshed["access_token"].as_str().unwrap()).await.status, 204);
    // The bank accepts the revocation of an expired token, which proves nothing.
    kit.wait_until("the access token is revoked", async || {
        kit.load_connection(&tokens.id).await.provider_revocation == UpstreamRevocation::Unknown
    })
    .await;
    purge(&kit).await;

    assert_eq!(count_former_settings(&kit, 1000).await, "0");
    assert!(server.calls().is_empty(), "the token belongs to the former endpoints");
}

async fn client_of_registration_revokes_at_former_endpoints(kit: TestHub) {
    kit.enable_client_registration().await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let server = start_new_server().await;
    move_configured(&kit, &server.url).await;
    let other = json!({"upstream_client_id": "other", "upstream_client_secret": "secret"});
    let replaced = kit.take_registration_step(&recipient, "activate", other).await;
    assert_eq!(replaced.status, 409, "the client of an active registration is never replaced");

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;

    assert_eq!(kit.list_grant_states().await, ["ended"]);
    assert!(server.calls().is_empty(), "the token belongs to the former endpoints");
}

/// A server of the bank that accepts every call, and counts its open connections.
struct CountingServer {
    url: String,
    open: Arc<AtomicUsize>,
}

impl CountingServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let open = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let answer = service_fn(|_: Request<Incoming>| async {
                        Ok::<_, Infallible>(json_response(200, &json!({})))
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                    counter.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { url, open }
    }

    fn count_open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

async fn http_client_of_deleted_former_settings_is_dropped(kit: TestHub) {
    let former = CountingServer::start().await;
    let mut body = take_prairie_settings(&kit).await;
    body["revocation_endpoint"] = json!(format!("{}/revoke", former.url));
    // With settings for its calls, the provider has an HTTP client of its own.
    body["headers"] = json!({"x-fapi-financial-id": "prairie"});
    kit.run_admin_operation(Method::POST, "/providers", Some(body)).await;
    let (_, tokens) = connect_prairie(&kit).await;
    let server = start_new_server().await;
    update_prairie(&kit, "", &move_endpoints(&read_settings(&kit).await, &server.url)).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    wait_for_accepted_revocation(&kit, &tokens.id).await;
    assert_eq!(former.count_open_connections(), 1, "the connection is kept for the next call");

    purge(&kit).await;

    assert_eq!(count_former_settings(&kit, 3000).await, "0");
    kit.wait_until("the connections are closed", async || former.count_open_connections() == 0).await;
}
