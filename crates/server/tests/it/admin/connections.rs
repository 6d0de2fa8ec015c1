//! Tests of the operations of the admin API that search, show and end connections.

use domain::model::connection::EndCause;
use http::Method;
use serde_json::{Value, json};

use crate::support::{SCOPE, TestHub, on_both};

on_both!(
    connections_can_be_filtered_and_paged,
    operator_end_invalidates_tokens_and_notifies_provider,
    end_connection_dry_run_ends_nothing
);

async fn list_connection_ids(kit: &TestHub, query: &str) -> Vec<String> {
    let list = kit.send_admin_request(Method::GET, &format!("/connections?{query}")).await;
    assert_eq!(list.status, 200, "{}", list.body);
    let list = list.json();
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn show_connection(kit: &TestHub, id: &impl std::fmt::Display) -> Value {
    let shown = kit.send_admin_request(Method::GET, &format!("/connections/{id}")).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    shown.json()
}

async fn connections_can_be_filtered_and_paged(kit: TestHub) {
    let other = kit.register_recipient(&[2000], SCOPE, false).await;
    let first = kit.connect(&kit.acme()).await.id.to_string();
    kit.advance(std::time::Duration::from_mins(1));
    let second = kit.connect_at(2000, &other, "bob", &[], SCOPE).await.id.to_string();
    let both = vec![second.clone(), first.clone()];
    let sub = show_connection(&kit, &second).await["sub"].as_str().unwrap().to_owned();
    let created_at = show_connection(&kit, &second).await["created_at"].as_str().unwrap().to_owned();
    assert_eq!(list_connection_ids(&kit, "").await, both);
    assert_eq!(list_connection_ids(&kit, "state=active&limit=1").await, std::slice::from_ref(&second));
    for query in [
        format!("id={second}"),
        format!("client_id={}", other.id),
        "provider_id=2000".to_owned(),
        format!("sub={sub}"),
        format!("created_from={created_at}"),
        format!("provider_id=2000&client_id={}&state=active", other.id),
    ] {
        assert_eq!(list_connection_ids(&kit, &query).await, std::slice::from_ref(&second), "{query}");
    }
    assert_eq!(list_connection_ids(&kit, &format!("created_before={created_at}")).await, [first]);
    for query in [
        "state=revoked".to_owned(),
        format!("sub={sub}&provider_id=1000"),
        format!("ended_from={created_at}"),
    ] {
        assert!(list_connection_ids(&kit, &query).await.is_empty(), "{query}");
    }
    let page = kit.send_admin_request(Method::GET, "/connections?limit=1").await.json();
    let next = page["next"].as_str().unwrap();
    assert_eq!(list_connection_ids(&kit, &format!("limit=1&after={next}")).await, [both[1].clone()]);
    let strange =
        kit.send_admin_request(Method::GET, &format!("/connections?state=active&after={next}")).await;
    assert_eq!(
        (strange.status, &strange.json()["field"]),
        (400, &json!("after")),
        "a cursor of another search is rejected"
    );
}

async fn operator_end_invalidates_tokens_and_notifies_provider(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let path = format!("/connections/{}/end", tokens.id);
    let viewer = kit.create_operator_token("ann", "viewer").await;
    assert_eq!(kit.send_operator_request(&viewer, Method::POST, &path, None).await.status, 403);
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
    let bob = kit.create_operator_token("bob", "operator").await;
    let ended = kit.send_operator_request(&bob, Method::POST, &path, None).await;
    assert_eq!((ended.status, &ended.json()["outcome"]), (200, &json!("ended")), "{}", ended.body);
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Operator));
    assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
    assert_eq!(kit.refresh(&kit.acme(), &tokens.refresh).await.json()["error"], "invalid_grant");
    kit.wait_until("the provider is notified", async || {
        show_connection(&kit, &tokens.id).await["provider_revocation"] == "accepted"
    })
    .await;
    let shown = show_connection(&kit, &tokens.id).await;
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("revoked"), &json!("operator")));
    assert_eq!(shown["actor"]["kind"], "operator");
    assert!(shown["actor"]["id"].as_str().unwrap().starts_with("opr_"), "{shown}");
    assert!(shown["ended_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&shown["terms"]["accounts"], &shown["terms"]["clusters"]), (&json!(2), &json!(SCOPE)));
    assert_eq!(
        (&shown["jobs"][0]["state"], &shown["jobs"][0]["holds_token"]),
        (&json!("done"), &json!(false))
    );
    let events = shown["events"].as_array().unwrap();
    let actions: Vec<_> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "connection.opened",
            "connection.activated",
            "connection.ended",
            "connection.provider_revocation_changed"
        ]
    );
    for secret in ["mt-alice", &tokens.access, &tokens.refresh, &tokens.code] {
        assert!(!shown.to_string().contains(secret), "{shown}");
    }
    let again = kit.send_operator_request(&bob, Method::POST, &path, None).await.json();
    assert_eq!(again["outcome"], "already_ended");
    assert_eq!(again["connection"]["ended_at"], shown["ended_at"], "an end is final");
}

async fn end_connection_dry_run_ends_nothing(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let path = format!("/connections/{}/end?dry_run=", tokens.id);
    let dry =
        kit.send_operator_request(kit.admin_token(), Method::POST, &format!("{path}true"), None).await.json();
    assert_eq!((&dry["outcome"], &dry["connection"]["state"]), (&json!("would_end"), &json!("active")));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    let ended = kit
        .send_operator_request(kit.admin_token(), Method::POST, &format!("{path}false"), None)
        .await
        .json();
    assert_eq!((&ended["outcome"], &ended["connection"]["state"]), (&json!("ended"), &json!("revoked")));
    let dry =
        kit.send_operator_request(kit.admin_token(), Method::POST, &format!("{path}true"), None).await.json();
    assert_eq!(dry["outcome"], "already_ended");
}
