//! Tests of the search in the audit log by operators.

use http::Method;
use serde_json::Value;

use crate::support::{TestHub, on_both};

on_both!(audit_events_can_be_filtered_and_paged);

async fn list_events(kit: &TestHub, query: &str) -> Vec<Value> {
    let list = kit.send_admin_request(Method::GET, &format!("/audit?{query}")).await;
    assert_eq!(list.status, 200, "{}", list.body);
    list.json()["items"].as_array().unwrap().clone()
}

async fn list_event_actions(kit: &TestHub, query: &str) -> Vec<String> {
    let events = list_events(kit, query).await;
    events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

async fn audit_events_can_be_filtered_and_paged(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.advance(std::time::Duration::from_mins(1));
    let now = kit.app().now().unwrap();
    let path = format!("/connections/{}/end", tokens.id);
    assert_eq!(kit.send_operator_request(kit.admin_token(), Method::POST, &path, None).await.status, 200);
    let subject_query = format!("subject_kind=connection&subject_id={}", tokens.id);
    kit.wait_until("the provider is notified", async || list_events(&kit, &subject_query).await.len() == 4)
        .await;
    let mut actions = list_event_actions(&kit, &subject_query).await;
    actions.sort();
    let all = [
        "connection.activated",
        "connection.ended",
        "connection.opened",
        "connection.provider_revocation_changed",
    ];
    assert_eq!(actions, all);
    for query in [
        "action=connection.ended".to_owned(),
        "actor_kind=operator&actor_id=opr_sandbox".to_owned(),
        format!("from={now}&actor_kind=operator"),
        format!("{subject_query}&from={now}&action=connection.ended"),
    ] {
        assert_eq!(list_event_actions(&kit, &query).await, ["connection.ended"], "{query}");
    }
    assert!(
        !list_event_actions(&kit, &format!("before={now}&limit=500"))
            .await
            .contains(&"connection.ended".to_owned())
    );
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = kit.send_admin_request(Method::GET, &format!("/audit?limit=3{next}")).await.json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(after) = page["next"].as_str() else { break };
        next = format!("&after={after}");
    }
    assert_eq!(paged, list_events(&kit, "limit=500").await, "paging must return each event once");
}
