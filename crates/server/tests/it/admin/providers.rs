//! Providers: looked at, held, released, retired.

use http::Method;
use serde_json::json;

use crate::kit::{Kit, on_both};

on_both!(a_provider_is_held_released_and_retired_and_nobody_is_ended);

async fn a_provider_is_held_released_and_retired_and_nobody_is_ended(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    let list = kit.admin(Method::GET, "/providers?limit=2").await.json();
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["name"]), (&json!(1000), &json!("Maple Trust")));
    let rest = format!("/providers?after={}", list["next"].as_str().unwrap());
    assert_eq!(kit.admin(Method::GET, &rest).await.json()["items"].as_array().unwrap().len(), 1);
    let shown = kit.admin(Method::GET, "/providers/1000").await.json();
    assert_eq!((&shown["state"], &shown["source"]), (&json!("active"), &json!("config")));
    assert!(
        shown["settings"]["token_endpoint"].is_string() && shown["settings"].get("client_secret").is_none()
    );
    for (word, state, status) in [
        ("pause", "paused", 503),
        ("release", "active", 200),
        ("retire", "retired", 503),
        ("release", "active", 200),
    ] {
        let answer =
            kit.as_operator(kit.admin_token(), Method::POST, &format!("/providers/1000/{word}"), None).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state)), "{word}: {}", answer.body);
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, status, "{word}");
    }
    assert_eq!(kit.cause(&tokens.id).await, None);
    let events = kit
        .admin(Method::GET, "/audit?subject_kind=provider&subject_id=1000&actor_kind=operator")
        .await
        .json();
    assert_eq!(events["items"].as_array().unwrap().len(), 4, "{events}");
}
