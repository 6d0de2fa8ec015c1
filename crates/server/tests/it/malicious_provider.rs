//! Tests of the hub with a malicious provider: invalid tokens open no connection, and forbidden data is not passed on.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::routing::{get, post};
use domain::id::ProviderId;
use domain::model::audit_event::Actor;
use serde_json::{Value, json};
use store::command::UpsertProvider;
use store::query::GetProvider;

use crate::support::{ConnectionTokens, TestHub, on_both, query_parameter};

on_both!(invalid_token_responses_create_no_connection);

/// A stub of a provider that returns the configured token response and data.
#[derive(Clone, Default)]
struct MaliciousProvider {
    tokens: Arc<Mutex<Value>>,
    accounts: Arc<Mutex<Value>>,
}

impl MaliciousProvider {
    /// Replaces Maple Trust's token endpoint and data; the customer still signs in at Maple Trust.
    async fn install(kit: &TestHub) -> Self {
        let evil = Self::default();
        evil.set_token_response(&json!({}));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tokens = |State(evil): State<Self>| async move { Json(evil.tokens.lock().unwrap().clone()) };
        let accounts = |State(evil): State<Self>| async move { Json(evil.accounts.lock().unwrap().clone()) };
        let router = axum::Router::new()
            .route("/token", post(tokens))
            .route("/accounts", get(accounts))
            .with_state(evil.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ctx = bowline::jobs::new_job_context(kit.app(), "test").unwrap();
        let mut provider = ctx.ask(&GetProvider { id: ProviderId::new(1000) }).await.unwrap().unwrap();
        provider.settings.token_endpoint = Some(format!("{url}/token"));
        provider.settings.fdx.base_url = url;
        let (moment, actor) = (ctx.new_moment().unwrap(), Actor::system("test"));
        ctx.run(UpsertProvider { moment, provider, actor, plan: None }).await.unwrap();
        evil
    }

    /// Configures a valid token response with some fields replaced.
    fn set_token_response(&self, other: &Value) {
        let mut reply = json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 60,
            "scope": "fdx:accountbasic:read fdx:accountdetailed:read", "customer_id": "c", "grant_id": "g",
            "accounts": ["a1"]});
        for (name, value) in other.as_object().unwrap() {
            reply[name] = value.clone();
        }
        *self.tokens.lock().unwrap() = reply;
    }

    fn set_accounts(&self, accounts: Value) {
        *self.accounts.lock().unwrap() = accounts;
    }

    async fn connect(kit: &TestHub) -> Result<ConnectionTokens, String> {
        let acme = kit.acme();
        let back = kit
            .complete_authorization(
                &TestHub::build_authorization_query(&acme),
                "alice",
                &["mt-alice-chequing"],
            )
            .await;
        match query_parameter(&back, "code") {
            Some(code) => Ok(ConnectionTokens::from_response(&kit.redeem(&acme, &code).await, code)),
            None => Err(query_parameter(&back, "error").unwrap()),
        }
    }
}

async fn invalid_token_responses_create_no_connection(kit: TestHub) {
    let evil = MaliciousProvider::install(&kit).await;
    let crowd: Vec<String> = (0..1_001).map(|n| format!("a{n}")).collect();
    for (other, error) in [
        (json!({"access_token": "a\r\nX: y"}), "server_error"),
        (json!({"access_token": "x".repeat(20_000)}), "server_error"),
        (json!({"refresh_token": 7}), "server_error"),
        (json!({"customer_id": null}), "server_error"),
        (json!({"accounts": []}), "access_denied"),
        (json!({"accounts": {"a1": true}}), "server_error"),
        (json!({"accounts": crowd}), "server_error"),
        (json!({"accounts": ["x".repeat(173)]}), "server_error"),
        (json!({"accounts": [""]}), "server_error"),
        (json!({"accounts": ["a\u{0}b"]}), "server_error"),
        (json!({"grant_id": "g".repeat(256)}), "server_error"),
        (json!({"grant_id": "g\u{0}"}), "server_error"),
        (json!({"scope": "fdx:transactions:read"}), "invalid_scope"),
    ] {
        evil.set_token_response(&other);
        assert_eq!(MaliciousProvider::connect(&kit).await.unwrap_err(), error, "{:.80}", other.to_string());
    }
    for harmless in [
        json!({"expires_in": -5}),
        json!({"expires_in": 1e300}),
        json!({"scope": "fdx:accountbasic:read fdx:everything fdx:payments:write"}),
        json!({"accounts": crowd[..1_000]}),
    ] {
        evil.set_token_response(&harmless);
        assert!(MaliciousProvider::connect(&kit).await.is_ok(), "{:.80}", harmless.to_string());
    }
}

#[tokio::test]
async fn oversized_upstream_offset_is_rejected() {
    let kit = TestHub::new().await;
    let evil = MaliciousProvider::install(&kit).await;
    let tokens = MaliciousProvider::connect(&kit).await.unwrap();
    let gives = |next: &str| {
        evil.set_accounts(
            json!({"page": {"nextOffset": next}, "accounts": [{"depositAccount": {"accountId": "a1"}}]}),
        );
    };
    gives(&"z".repeat(10_000));
    assert_eq!(kit.read("/accounts?limit=1", &tokens.access).await.json()["code"], 500);
    gives("");
    let last = kit.read("/accounts?limit=1", &tokens.access).await.json();
    assert_eq!(last["page"].get("nextOffset"), None, "an empty offset ends the list: {last}");
    gives("2");
    let first = kit.read("/accounts?limit=1", &tokens.access).await.json();
    assert!(first["page"]["nextOffset"].is_string());
}

#[tokio::test]
async fn unconsented_accounts_and_error_details_are_hidden() {
    let kit = TestHub::new().await;
    let evil = MaliciousProvider::install(&kit).await;
    let tokens = MaliciousProvider::connect(&kit).await.unwrap();
    let error = json!({"code": "500", "message": "ORA-00942", "debugMessage": "at db7.internal"});
    evil.set_accounts(json!({"accounts": [
        {"depositAccount": {"accountId": "a1", "error": error, "parentAccountId": "a2"}},
        {"depositAccount": {"accountId": "a2", "nickname": "another customer's"}},
        {"depositAccount": {"nickname": "without an id"}},
    ]}));
    let list = kit.read("/accounts?resultType=details", &tokens.access).await;
    assert_eq!(list.json()["accounts"].as_array().unwrap().len(), 1, "{}", list.body);
    let account = &list.json()["accounts"][0]["depositAccount"];
    assert_eq!((&account["error"], account.get("parentAccountId")), (&json!({"code": 500}), None));
}
