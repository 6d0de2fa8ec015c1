//! Tests of the operations of the admin API that show, pause, release and retire providers.

use http::Method;
use serde_json::json;

use crate::support::{TestHub, on_both};

on_both!(provider_pause_release_and_retire_end_no_connection);

async fn provider_pause_release_and_retire_end_no_connection(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let list = kit.send_admin_request(Method::GET, "/providers?limit=2").await.json();
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["name"]), (&json!(1000), &json!("Maple Trust")));
    let rest = format!("/providers?after={}", list["next"].as_str().unwrap());
    assert_eq!(kit.send_admin_request(Method::GET, &rest).await.json()["items"].as_array().unwrap().len(), 1);
    let shown = kit.send_admin_request(Method::GET, "/providers/1000").await.json();
    assert_eq!((&shown["state"], &shown["source"]), (&json!("active"), &json!("config")));
    assert!(
        shown["settings"]["token_endpoint"].is_string() && shown["settings"].get("client_secret").is_none()
    );
    for (operation, state, status) in [
        ("pause", "paused", 503),
        ("release", "active", 200),
        ("retire", "retired", 503),
        ("release", "active", 200),
    ] {
        let answer = kit
            .send_operator_request(
                kit.admin_token(),
                Method::POST,
                &format!("/providers/1000/{operation}"),
                None,
            )
            .await;
        assert_eq!(
            (answer.status, &answer.json()["state"]),
            (200, &json!(state)),
            "{operation}: {}",
            answer.body
        );
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, status, "{operation}");
    }
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
    let events = kit
        .send_admin_request(Method::GET, "/audit?subject_kind=provider&subject_id=1000&actor_kind=operator")
        .await
        .json();
    assert_eq!(events["items"].as_array().unwrap().len(), 4, "{events}");
}
