//! A provider that lies: what its token endpoint and its data may say, and what comes of it.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::routing::{get, post};
use domain::id::ProviderId;
use domain::model::audit_event::Actor;
use serde_json::{Value, json};
use store::command::UpsertProvider;
use store::query::ProviderById;

use crate::kit::{Kit, Tokens, on_both, parameter};

on_both!(a_token_reply_beyond_reason_opens_nothing);

/// Answers whatever it is told to.
#[derive(Clone, Default)]
struct Evil {
    tokens: Arc<Mutex<Value>>,
    accounts: Arc<Mutex<Value>>,
}

impl Evil {
    /// Takes the place of Maple Trust's token endpoint and data; the customer still signs in at Maple Trust.
    async fn beside(kit: &Kit) -> Self {
        let evil = Self::default();
        evil.gives(&json!({}));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tokens = |State(evil): State<Self>| async move { Json(evil.tokens.lock().unwrap().clone()) };
        let accounts = |State(evil): State<Self>| async move { Json(evil.accounts.lock().unwrap().clone()) };
        let router = axum::Router::new()
            .route("/token", post(tokens))
            .route("/accounts", get(accounts))
            .with_state(evil.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let ctx = bowline::job::context(kit.app(), "test").unwrap();
        let mut provider = ctx.ask(&ProviderById { id: ProviderId::new(1000) }).await.unwrap().unwrap();
        provider.settings.token_endpoint = format!("{url}/token");
        provider.settings.fdx.base_url = url;
        let (moment, actor) = (ctx.moment().unwrap(), Actor::system("test"));
        ctx.run(UpsertProvider { moment, provider, actor }).await.unwrap();
        evil
    }

    /// A good token reply, with some fields put differently.
    fn gives(&self, other: &Value) {
        let mut reply = json!({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 60,
            "scope": "fdx:accountbasic:read fdx:accountdetailed:read", "customer_id": "c", "grant_id": "g",
            "accounts": ["a1"]});
        for (name, value) in other.as_object().unwrap() {
            reply[name] = value.clone();
        }
        *self.tokens.lock().unwrap() = reply;
    }

    fn lists(&self, accounts: Value) {
        *self.accounts.lock().unwrap() = accounts;
    }

    async fn connect(kit: &Kit) -> Result<Tokens, String> {
        let acme = kit.acme();
        let back = kit.arrive(&Kit::ask(&acme), "alice", &["mt-alice-chequing"]).await;
        match parameter(&back, "code") {
            Some(code) => Ok(Tokens::of(&kit.redeem(&acme, &code).await, code)),
            None => Err(parameter(&back, "error").unwrap()),
        }
    }
}

async fn a_token_reply_beyond_reason_opens_nothing(kit: Kit) {
    let evil = Evil::beside(&kit).await;
    let crowd: Vec<String> = (0..1_001).map(|n| format!("a{n}")).collect();
    for (other, error) in [
        (json!({"access_token": "a\r\nX: y"}), "server_error"),
        (json!({"access_token": "x".repeat(20_000)}), "server_error"),
        (json!({"refresh_token": 7}), "server_error"),
        (json!({"customer_id": null}), "server_error"),
        (json!({"accounts": []}), "access_denied"),
        (json!({"accounts": {"a1": true}}), "server_error"),
        (json!({"accounts": crowd}), "server_error"),
        (json!({"accounts": ["x".repeat(151)]}), "server_error"),
        (json!({"accounts": [""]}), "server_error"),
        (json!({"accounts": ["a\u{0}b"]}), "server_error"),
        (json!({"grant_id": "g".repeat(256)}), "server_error"),
        (json!({"grant_id": "g\u{0}"}), "server_error"),
        (json!({"scope": "fdx:transactions:read"}), "access_denied"),
    ] {
        evil.gives(&other);
        assert_eq!(Evil::connect(&kit).await.unwrap_err(), error, "{:.80}", other.to_string());
    }
    for harmless in [
        json!({"expires_in": -5}),
        json!({"expires_in": 1e300}),
        json!({"scope": "fdx:accountbasic:read fdx:everything fdx:payments:write"}),
        json!({"accounts": crowd[..1_000]}),
    ] {
        evil.gives(&harmless);
        assert!(Evil::connect(&kit).await.is_ok(), "{:.80}", harmless.to_string());
    }
}

#[tokio::test]
async fn an_offset_that_we_would_not_take_back_is_not_given() {
    let kit = Kit::new().await;
    let evil = Evil::beside(&kit).await;
    let tokens = Evil::connect(&kit).await.unwrap();
    let gives = |next: &str| {
        evil.lists(
            json!({"page": {"nextOffset": next}, "accounts": [{"depositAccount": {"accountId": "a1"}}]}),
        );
    };
    gives(&"z".repeat(10_000));
    assert_eq!(kit.read("/accounts?limit=1", &tokens.access).await.json()["code"], 500);
    gives("");
    let last = kit.read("/accounts?limit=1", &tokens.access).await.json();
    assert_eq!(last["page"].get("nextOffset"), None, "an empty offset is none: {last}");
    gives("2");
    let first = kit.read("/accounts?limit=1", &tokens.access).await.json();
    assert!(first["page"]["nextOffset"].is_string());
}

#[tokio::test]
async fn only_what_was_consented_to_is_shown_and_none_of_a_banks_words_about_errors() {
    let kit = Kit::new().await;
    let evil = Evil::beside(&kit).await;
    let tokens = Evil::connect(&kit).await.unwrap();
    let error = json!({"code": "500", "message": "ORA-00942", "debugMessage": "at db7.internal"});
    evil.lists(json!({"accounts": [
        {"depositAccount": {"accountId": "a1", "error": error, "parentAccountId": "a2"}},
        {"depositAccount": {"accountId": "a2", "nickname": "somebody else's"}},
        {"depositAccount": {"nickname": "nobody's"}},
    ]}));
    let list = kit.read("/accounts?resultType=details", &tokens.access).await;
    assert_eq!(list.json()["accounts"].as_array().unwrap().len(), 1, "{}", list.body);
    let account = &list.json()["accounts"][0]["depositAccount"];
    assert_eq!((&account["error"], account.get("parentAccountId")), (&json!({"code": 500}), None));
}
