//! Tests of operators who are removed between the authentication of their request and its commit.

use http::Method;

use super::attacks::list_changing_operations;
use crate::support::{TestHub, on_both};

on_both!(operation_of_operator_removed_before_commit_has_no_effect);

/// For each operation, the request is authenticated while another transaction has deleted the operator and is not committed. The
/// command waits for that transaction.
async fn operation_of_operator_removed_before_commit_has_no_effect(kit: TestHub) {
    let changing = list_changing_operations(&kit).await;
    let operations = changing.len();
    for (number, (route, path, body)) in changing.into_iter().enumerate() {
        let (id, token) = kit.create_operator_with_token(&format!("mallory-{number}"), "admin").await;
        let method: Method = route.split(' ').next().unwrap().parse().unwrap();
        let path = format!("/{path}");

        let removal = kit.begin_sql(&format!("DELETE FROM operators WHERE id = '{id}'")).await;
        let commit = async {
            removal.wait_for_blocked_command().await;
            removal.commit().await;
        };
        let request = kit.send_operator_request(&token, method.clone(), &path, body.clone());
        let (answer, ()) = tokio::join!(request, commit);

        assert_eq!(answer.status, 401, "{route}: {}", answer.body);
        // Every operation appends an event with its operator, in the same transaction.
        let events = kit.sql(&format!("SELECT count(*) FROM audit_events WHERE actor_id = '{id}'")).await;
        assert_eq!(events, ["0"], "{route}");
        let carried_out = kit.send_operator_request(kit.admin_token(), method, &path, body).await;
        assert!(matches!(carried_out.status, 200 | 201 | 204), "{route}: {}", carried_out.body);
    }
    // Otherwise the authentication, and not the commit, would have refused the requests. The audit log has the refusals after five
    // seconds. The operators do not exist any more, so the refusals are in the chain of the hub.
    let refused = async |condition: &str| {
        let denied = "SELECT count(*) FROM audit_events WHERE action = 'hub.access_denied'";
        kit.sql(&format!("{denied} AND detail {condition} '%authority_lost%'")).await.remove(0)
    };
    let what = "the refusals are recorded";
    kit.wait_until(what, async || refused("LIKE").await == operations.to_string()).await;
    assert_eq!(refused("NOT LIKE").await, "0", "every request must have been authenticated");
}
