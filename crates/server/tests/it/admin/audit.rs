//! The record, looked through.

use http::Method;
use serde_json::Value;

use crate::kit::{Kit, on_both};

on_both!(an_event_is_found_by_whatever_is_known_of_it);

async fn found(kit: &Kit, query: &str) -> Vec<Value> {
    let list = kit.admin(Method::GET, &format!("/audit?{query}")).await;
    assert_eq!(list.status, 200, "{}", list.body);
    list.json()["items"].as_array().unwrap().clone()
}

async fn words(kit: &Kit, query: &str) -> Vec<String> {
    let events = found(kit, query).await;
    events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

async fn an_event_is_found_by_whatever_is_known_of_it(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.advance(std::time::Duration::from_mins(1));
    let now = kit.app().now().unwrap();
    let path = format!("/connections/{}/end", tokens.id);
    assert_eq!(kit.as_operator(kit.admin_token(), Method::POST, &path, None).await.status, 200);
    let of = format!("subject_kind=connection&subject_id={}", tokens.id);
    kit.until("the bank is told", async || found(&kit, &of).await.len() == 4).await;
    let mut record = words(&kit, &of).await;
    record.sort();
    let all = ["connection.activated", "connection.bank_told", "connection.ended", "connection.opened"];
    assert_eq!(record, all);
    for query in [
        "action=connection.ended".to_owned(),
        "actor_kind=operator&actor_id=opr_sandbox".to_owned(),
        format!("from={now}&actor_kind=operator"),
        format!("{of}&from={now}&action=connection.ended"),
    ] {
        assert_eq!(words(&kit, &query).await, ["connection.ended"], "{query}");
    }
    assert!(!words(&kit, &format!("before={now}&limit=500")).await.contains(&"connection.ended".to_owned()));
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = kit.admin(Method::GET, &format!("/audit?limit=3{next}")).await.json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(after) = page["next"].as_str() else { break };
        next = format!("&after={after}");
    }
    assert_eq!(paged, found(&kit, "limit=500").await, "pages leave nothing out and repeat nothing");
}
