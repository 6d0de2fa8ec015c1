//! Jobs that were given up: a person has them tried again, or closes them.

use domain::id::ConnectionId;
use http::Method;
use serde_json::{Value, json};

use crate::kit::{Kit, on_both};

on_both!(a_dead_job_is_tried_again_when_an_operator_says_so, a_closed_job_holds_no_token);

/// A connection whose bank could not be told for a week.
async fn given_up(kit: &Kit) -> (ConnectionId, String) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.levers(json!({"fail": 503})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.until("it was tried", async || jobs(kit, "state=pending").await[0]["attempts"] == 1).await;
    kit.advance(std::time::Duration::from_hours(7 * 24));
    kit.app().jobs().notify_one();
    kit.until("the job is given up", async || !jobs(kit, "state=dead").await.is_empty()).await;
    let job = jobs(kit, "state=dead&kind=tell_bank&provider_id=1000").await.remove(0);
    assert_eq!((&job["connection_id"], &job["holds_token"]), (&json!(tokens.id), &json!(true)), "{job}");
    (tokens.id, job["id"].as_str().unwrap().to_owned())
}

async fn jobs(kit: &Kit, query: &str) -> Vec<Value> {
    let list = kit.admin(Method::GET, &format!("/jobs?{query}")).await;
    assert_eq!(list.status, 200, "{}", list.body);
    list.json()["items"].as_array().unwrap().clone()
}

async fn post(kit: &Kit, path: &str) -> (u16, Value) {
    let answer = kit.as_operator(kit.admin_token(), Method::POST, path, None).await;
    (answer.status, answer.json())
}

async fn bank(kit: &Kit, id: &ConnectionId) -> Value {
    kit.admin(Method::GET, &format!("/connections/{id}")).await.json()["bank"].clone()
}

async fn a_dead_job_is_tried_again_when_an_operator_says_so(kit: Kit) {
    let (connection, job) = given_up(&kit).await;
    assert_eq!(bank(&kit, &connection).await, "dead");
    kit.levers(json!({"fail": null})).await;
    assert_eq!(
        post(&kit, &format!("/jobs/{job}/retry")).await,
        (200, json!({"outcome": "retried", "id": job}))
    );
    kit.until("the bank is told", async || bank(&kit, &connection).await == "accepted").await;
    assert!(jobs(&kit, "state=dead").await.is_empty());
    let (status, refused) = post(&kit, &format!("/jobs/{job}/retry")).await;
    assert_eq!((status, &refused["code"]), (409, &json!("conflict")));
    assert_eq!(refused["detail"], "The job is done: only one that is dead can be retried or closed");
}

async fn a_closed_job_holds_no_token(kit: Kit) {
    let (connection, job) = given_up(&kit).await;
    assert_eq!(post(&kit, &format!("/jobs/{job}/close")).await.0, 200);
    assert_eq!(
        kit.behind("SELECT count(*) FROM jobs WHERE token IS NOT NULL OR data_key IS NOT NULL").await,
        ["0"]
    );
    assert_eq!(bank(&kit, &connection).await, "dead", "what was not told is not called told");
    let shown = kit.admin(Method::GET, &format!("/connections/{connection}")).await.json();
    let last = shown["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["actor"]["id"]), (&json!("job.closed"), &json!("opr_sandbox")));
}
