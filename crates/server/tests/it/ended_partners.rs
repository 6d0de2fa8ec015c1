//! Tests of partners that are suspended or removed between the authentication of their request and its commit.

use std::collections::BTreeSet;

use bowline::cli::BrowserResponse;
use bowline::jobs;
use bowline::recipients::remove_client;
use domain::model::audit_event::Actor;
use domain::model::client::ClientKind;
use http::Method;
use serde_json::{Value, json};
use store::command::{ClientSelector, RemoveClientOutcome};

use crate::manage::create_active_recipient;
use crate::support::{SCOPE, TestHub, on_both};

on_both!(
    operation_of_partner_suspended_before_commit_has_no_effect,
    operation_of_partner_removed_before_commit_has_no_effect,
);

/// An operation of partners that changes something.
struct Operation {
    id: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
}

/// Lists all operations of partners that change something, in an order in which none prevents the next.
async fn list_operations(kit: &TestHub) -> Vec<Operation> {
    let (recipient, _) = create_active_recipient(kit).await;
    let connection = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await.id;
    let recipients = "/api/v1/recipients";
    let id = &recipient.id;
    let uris = json!(["https://fake.example.org/other"]);
    let created = json!({"name": "Late", "scope": SCOPE, "redirect_uris": uris});
    let operation = |id, method, path: String, body| Operation { id, method, path, body };
    let operations = vec![
        operation("createDataRecipient", Method::POST, recipients.into(), Some(created)),
        operation(
            "requestRegistrations",
            Method::POST,
            format!("{recipients}/providers/requests/{id}/2000"),
            None,
        ),
        operation(
            "updateDataRecipient",
            Method::PUT,
            format!("{recipients}/{id}"),
            Some(json!({"redirect_uris": uris})),
        ),
        operation("regenerateDataRecipientSecret", Method::POST, format!("{recipients}/{id}/secret"), None),
        operation(
            "endRecipientConnection",
            Method::DELETE,
            format!("{recipients}/{id}/connections/{connection}"),
            None,
        ),
        operation("deleteDataRecipient", Method::DELETE, format!("{recipients}/{id}"), None),
    ];
    let document: Value = serde_json::from_str(include_str!("../../../../openapi/flinks.json")).unwrap();
    let paths =
        document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with(recipients));
    let documented = paths.flat_map(|(_, methods)| methods.as_object().unwrap());
    let changing = documented.filter(|(method, _)| ["post", "put", "patch", "delete"].contains(&&***method));
    let changing: BTreeSet<&str> = changing.filter_map(|(_, one)| one["operationId"].as_str()).collect();
    assert_eq!(operations.iter().map(|one| one.id).collect::<BTreeSet<_>>(), changing);
    operations
}

impl TestHub {
    async fn send_operation(&self, operation: &Operation, token: &str) -> BrowserResponse {
        let Operation { method, path, body, .. } = operation;
        match body {
            Some(body) => self.call_with_json(method.clone(), path, token, body.clone()).await,
            None => self.call(method.clone(), path, token).await,
        }
    }

    /// Stores the current state of the partner in a table, with its MAC.
    async fn save_partner_state(&self, table: &str) {
        let id = self.partner().id;
        self.sql(&format!("CREATE TABLE {table} AS SELECT state, state_mac FROM clients WHERE id = '{id}'"))
            .await;
    }

    /// Returns the statement that gives the partner a stored state.
    fn build_state_change(&self, table: &str) -> String {
        let id = self.partner().id;
        format!(
            "UPDATE clients SET state = (SELECT state FROM {table}), state_mac = (SELECT state_mac FROM {table})
             WHERE id = '{id}'"
        )
    }

    async fn count_events_of_partner(&self) -> String {
        let id = self.partner().id;
        self.sql(&format!("SELECT count(*) FROM audit_events WHERE actor_id = '{id}'")).await.remove(0)
    }
}

/// For each operation, the request is authenticated while another transaction has changed the state of the partner and is not
/// committed. The command waits for that transaction.
async fn check_operations(kit: &TestHub, operations: &[Operation], permitted: &[&str]) {
    let token = kit.request_client_token(&kit.partner()).await;
    for operation in operations {
        let events = kit.count_events_of_partner().await;
        let change = kit.begin_sql(&kit.build_state_change("lost_state")).await;
        let commit = async {
            change.wait_for_blocked_command().await;
            change.commit().await;
        };

        let (answer, ()) = tokio::join!(kit.send_operation(operation, &token), commit);

        let is_permitted = permitted.contains(&operation.id);
        let expected = if is_permitted { 204 } else { 400 };
        assert_eq!(answer.status, expected, "{}: {}", operation.id, answer.body);
        let is_unchanged = kit.count_events_of_partner().await == events;
        assert_eq!(is_unchanged, !is_permitted, "{}", operation.id);
        kit.sql(&kit.build_state_change("active_state")).await;
        let carried_out = kit.send_operation(operation, &token).await;
        assert!(matches!(carried_out.status, 200 | 204), "{}: {}", operation.id, carried_out.body);
    }
    // Otherwise the authentication, and not the commit, would have refused some of the requests.
    let refusals = "SELECT detail FROM audit_events
        WHERE action = 'client.access_denied' AND detail LIKE '%authority_lost%'";
    let refused = operations.len() - permitted.len();
    kit.wait_until("the refusals are recorded", async || {
        let details = kit.sql(refusals).await;
        let events = details.iter().map(|detail| serde_json::from_str::<Value>(detail).unwrap());
        events.filter_map(|event| event["number"].as_u64()).sum::<u64>() == refused as u64
    })
    .await;
}

async fn operation_of_partner_suspended_before_commit_has_no_effect(kit: TestHub) {
    let operations = list_operations(&kit).await;
    kit.save_partner_state("active_state").await;
    kit.suspend(&kit.partner()).await;
    kit.save_partner_state("lost_state").await;
    kit.sql(&kit.build_state_change("active_state")).await;

    check_operations(&kit, &operations, &["endRecipientConnection"]).await;
}

async fn operation_of_partner_removed_before_commit_has_no_effect(kit: TestHub) {
    let operations = list_operations(&kit).await;
    kit.save_partner_state("active_state").await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let selector = ClientSelector::for_kind(ClientKind::Partner, kit.partner().id.parse().unwrap());
    let removed = remove_client(&ctx, selector, Actor::system("test")).await.unwrap();
    assert_eq!(removed, RemoveClientOutcome::Removed);
    kit.save_partner_state("lost_state").await;
    kit.sql(&kit.build_state_change("active_state")).await;

    check_operations(&kit, &operations, &[]).await;
}
