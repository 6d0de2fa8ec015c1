//! Tests of the operations of the admin API that retry or close failed jobs.

use domain::id::ConnectionId;
use http::Method;
use serde_json::{Value, json};

use crate::support::{TestHub, on_both};

on_both!(
    failed_job_is_retried_on_operator_request,
    close_job_deletes_its_token,
    failed_jobs_of_a_provider_are_retried_in_batches,
    failed_job_of_changed_connection_is_closed,
    changed_rows_do_not_stop_a_retry_of_all_jobs,
);

/// Creates an ended connection whose revocation at the provider has failed.
async fn create_failed_job(kit: &TestHub) -> (ConnectionId, String) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"fail": 503})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_until("it was tried", async || list_jobs(kit, "state=pending").await[0]["attempts"] == 1).await;
    kit.advance(std::time::Duration::from_hours(7 * 24));
    kit.app().job_notify().notify_one();
    kit.wait_until("the job is given up", async || !list_jobs(kit, "state=failed").await.is_empty()).await;
    let job = list_jobs(kit, "state=failed&kind=revoke_at_provider&provider_id=1000").await.remove(0);
    assert_eq!((&job["connection_id"], &job["holds_token"]), (&json!(tokens.id), &json!(true)), "{job}");
    (tokens.id, job["id"].as_str().unwrap().to_owned())
}

async fn list_jobs(kit: &TestHub, query: &str) -> Vec<Value> {
    let list = kit.send_admin_request(Method::GET, &format!("/jobs?{query}")).await;
    assert_eq!(list.status, 200, "{}", list.body);
    list.json()["items"].as_array().unwrap().clone()
}

async fn post(kit: &TestHub, path: &str) -> (u16, Value) {
    let answer = kit.send_operator_request(kit.admin_token(), Method::POST, path, None).await;
    (answer.status, answer.json())
}

async fn get_provider_revocation(kit: &TestHub, id: &ConnectionId) -> Value {
    kit.send_admin_request(Method::GET, &format!("/connections/{id}")).await.json()["provider_revocation"]
        .clone()
}

async fn failed_job_is_retried_on_operator_request(kit: TestHub) {
    let (connection, job) = create_failed_job(&kit).await;
    assert_eq!(get_provider_revocation(&kit, &connection).await, "failed");
    kit.inject_faults(json!({"fail": null})).await;
    assert_eq!(
        post(&kit, &format!("/jobs/{job}/retry")).await,
        (200, json!({"outcome": "retried", "id": job}))
    );
    kit.wait_until("the provider is notified", async || {
        get_provider_revocation(&kit, &connection).await == "accepted"
    })
    .await;
    assert!(list_jobs(&kit, "state=failed").await.is_empty());
    let (status, refused) = post(&kit, &format!("/jobs/{job}/retry")).await;
    assert_eq!((status, &refused["code"]), (409, &json!("conflict")));
    assert_eq!(refused["detail"], "The job is done; only a failed job can be retried or closed");
}

async fn close_job_deletes_its_token(kit: TestHub) {
    let (connection, job) = create_failed_job(&kit).await;
    assert_eq!(post(&kit, &format!("/jobs/{job}/close")).await.0, 200);
    assert_eq!(
        kit.sql("SELECT count(*) FROM jobs WHERE token IS NOT NULL OR data_key IS NOT NULL").await,
        ["0"]
    );
    assert_eq!(
        get_provider_revocation(&kit, &connection).await,
        "failed",
        "a closed job must not count as a revocation"
    );
    let shown = kit.send_admin_request(Method::GET, &format!("/connections/{connection}")).await.json();
    let last = shown["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["actor"]["id"]), (&json!("job.closed"), &json!("opr_sandbox")));
}

async fn failed_jobs_of_a_provider_are_retried_in_batches(kit: TestHub) {
    let (connection, job) = create_failed_job(&kit).await;
    let copied_id = kit.build_job_id("'copy' || n");
    let copy = format!("INSERT INTO jobs (id, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
             outcome_unknown, state, attempt, seed, due_at, retry_until, created_at, finished_at)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 149)
         SELECT {copied_id}, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
             outcome_unknown, state, attempt, seed, due_at, retry_until, created_at, finished_at FROM jobs, numbers");
    kit.sql(&copy).await;
    // The token was deleted after 90 days, so the job can only be closed.
    kit.sql("UPDATE jobs SET token = NULL WHERE id = 'job_copy7'").await;
    kit.sql("UPDATE jobs SET provider_id = 2000 WHERE id IN ('job_copy8', 'job_copy9')").await;
    kit.inject_faults(json!({"revoke": "already", "fail": null})).await;
    let send = async |query: &str, body: Value| {
        let path = format!("/jobs/retry{query}");
        let sent = kit.send_operator_request(kit.admin_token(), Method::POST, &path, Some(body)).await;
        (sent.status, sent.json())
    };

    let (_, dry) = send("?dry_run=true", json!({"provider_id": 1000})).await;
    let (_, first) = send("", json!({"provider_id": 1000})).await;
    kit.advance(std::time::Duration::from_secs(1));
    let rest = json!({"provider_id": 1000, "failed_until": first["failed_until"]});
    let (_, second) = send("", rest.clone()).await;
    let (status, none) = send("", rest).await;
    let (_, others) = send("", json!({"all": true})).await;

    let facts = |batch: &Value| (batch["outcome"].clone(), batch["jobs"].clone(), batch["has_more"].clone());
    let expected =
        |outcome: &str, jobs: usize, has_more: bool| (json!(outcome), json!(jobs), json!(has_more));
    assert_eq!(facts(&dry), expected("would_retry", 147, false));
    assert_eq!(facts(&first), expected("retried", 100, true));
    assert_eq!(facts(&second), expected("retried", 47, false));
    assert_eq!((status, facts(&none)), (200, expected("retried", 0, false)));
    assert_eq!(facts(&others), expected("retried", 2, false));
    let failed: Vec<_> = list_jobs(&kit, "state=failed").await;
    assert!(failed.len() == 1 && failed[0]["id"] == "job_copy7", "{failed:?}");
    let shown = kit.send_admin_request(Method::GET, &format!("/connections/{connection}")).await.json();
    let retries: Vec<_> =
        shown["events"].as_array().unwrap().iter().filter(|e| e["action"] == "job.retried").collect();
    assert_eq!(retries.len(), 149, "each retry has an audit event");
    assert!(retries.iter().any(|event| event["detail"]["job"] == job.as_str()), "{job}");
}

/// Changes the connection by plain SQL, so that its row does not verify.
async fn change_connection(kit: &TestHub, id: &ConnectionId) {
    kit.sql(&format!("UPDATE connections SET sub = 'mallory' WHERE id = '{id}'")).await;
}

/// Returns the number of audit events of a provider with an action.
async fn count_provider_events(kit: &TestHub, provider: &str, action: &str) -> usize {
    let path = format!("/audit?subject_kind=provider&subject_id={provider}&action={action}");
    kit.send_admin_request(Method::GET, &path).await.json()["items"].as_array().unwrap().len()
}

async fn failed_job_of_changed_connection_is_closed(kit: TestHub) {
    let (connection, job) = create_failed_job(&kit).await;
    change_connection(&kit, &connection).await;

    let (status, closed) = post(&kit, &format!("/jobs/{job}/close")).await;

    assert_eq!((status, closed), (200, json!({"outcome": "closed", "id": job})));
    assert_eq!(count_provider_events(&kit, "1000", "job.closed").await, 1);
}

/// The connection of both jobs and the provider of one of them were changed.
async fn changed_rows_do_not_stop_a_retry_of_all_jobs(kit: TestHub) {
    let (connection, job) = create_failed_job(&kit).await;
    let copied_id = kit.build_job_id("'copy'");
    kit.sql(&format!(
        "INSERT INTO jobs (id, kind, connection_id, provider_id, client_id, endpoint_group, data_key, token,
             outcome_unknown, state, attempt, seed, due_at, retry_until, created_at, finished_at)
         SELECT {copied_id}, kind, connection_id, 2000, client_id, endpoint_group, data_key, token,
             outcome_unknown, state, attempt, seed, due_at, retry_until, created_at, finished_at FROM jobs"
    ))
    .await;
    change_connection(&kit, &connection).await;
    kit.sql("UPDATE providers SET state = 'paused' WHERE id = 2000").await;
    kit.inject_faults(json!({"fail": null})).await;

    let body = Some(json!({"all": true}));
    let batch = kit.send_operator_request(kit.admin_token(), Method::POST, "/jobs/retry", body).await.json();

    assert_eq!((&batch["jobs"], &batch["skipped"]), (&json!(1), &json!(1)), "{batch}");
    kit.wait_until("the job is done", async || !list_jobs(&kit, "state=done").await.is_empty()).await;
    assert_eq!(list_jobs(&kit, "state=done").await[0]["id"], job.as_str());
    assert_eq!(count_provider_events(&kit, "1000", "job.retried").await, 1);
    assert_eq!(list_jobs(&kit, "state=failed").await[0]["provider_id"], 2000);
}
