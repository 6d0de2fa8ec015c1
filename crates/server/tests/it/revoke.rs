//! Tests of `DELETE /api/v1/revoke`, with which a recipient ends a connection.

use std::time::Duration;

use domain::model::connection::{EndCause, UpstreamRevocation};
use http::Method;

use crate::support::{ConnectionTokens, HubProcess, SCOPE, TestClient, TestHub, on_both};
use bowline::cli::BrowserRequest;

on_both!(
    revoke_invalidates_tokens_and_notifies_provider,
    post_revoke_behaves_like_delete_and_ignores_body,
    revoke_with_foreign_or_forged_token_has_no_effect,
    revoke_leaves_other_connections_of_customer_active,
    newer_login_ends_connection_and_old_token_ends_nothing,
);

async fn assert_connection_ended(kit: &TestHub, recipient: &TestClient, tokens: &ConnectionTokens) {
    for path in
        ["/accounts", "/accounts?resultType=details", "/accounts/acc_x", "/accounts/acc_x/transactions"]
    {
        let answer = kit.read(path, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &602.into()), "{path}");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    }
    assert_eq!(kit.refresh(recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.redeem(recipient, &tokens.code).await.json()["error"], "invalid_grant");
}

async fn revoke_invalidates_tokens_and_notifies_provider(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let second =
        kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    let answer = kit.revoke(&second).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_connection_ended(&kit, &acme, &tokens).await;
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::Recipient));
    kit.wait_until("the provider is notified", async || {
        kit.load_connection(&tokens.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "a client can retry after a lost response");
}

async fn post_revoke_behaves_like_delete_and_ignores_body(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let mut sent = BrowserRequest::new(Method::POST, &kit.url("/api/v1/revoke"));
    sent.bearer = Some(tokens.access.clone());
    let other = sent.clone().form(&[("token", "another")]);
    assert_eq!(kit.send(other).await.json()["error"], "invalid_request");
    assert_eq!(kit.load_end_cause(&tokens.id).await, None, "connection must stay active");
    sent.json = Some(serde_json::json!({"LoginId": "x", "MostRecentCached": true}));
    assert_eq!(kit.send(sent).await.status, 204);
    assert_connection_ended(&kit, &acme, &tokens).await;
}

async fn revoke_with_foreign_or_forged_token_has_no_effect(kit: TestHub) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let own = kit.request_token(&acme, &[("grant_type", "client_credentials")]).await.json();
    let client_token = own["access_token"].as_str().unwrap();
    let answer = kit.revoke(client_token).await;
    assert_eq!(answer.json()["error_description"], "This access token does not belong to a connection");
    let mut altered = tokens.access.clone();
    altered.pop();
    for bad in ["", "x", "a.b.c", &altered, &tokens.refresh, &tokens.code] {
        let answer = kit.revoke(bad).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()), "{bad}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    let unsigned = {
        let payload = tokens.access.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}.")
    };
    assert_eq!(kit.revoke(&unsigned).await.status, 400);
    let without = kit.send(BrowserRequest::new(Method::DELETE, &kit.url("/api/v1/revoke"))).await;
    assert_eq!(without.status, 400);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "the connection is active");
    kit.advance(Duration::from_mins(5));
    assert_eq!(kit.revoke(&tokens.access).await.status, 400, "expired");
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}

async fn revoke_leaves_other_connections_of_customer_active(kit: TestHub) {
    let other = kit.register_recipient(&[1000], SCOPE, false).await;
    let (first, second) = (kit.connect(&kit.acme()).await, kit.connect(&other).await);
    assert_ne!(
        kit.load_connection(&first.id).await.sub,
        kit.load_connection(&second.id).await.sub,
        "ids of two recipients cannot be correlated"
    );
    let (of_first, of_second) =
        (kit.fetch_account_id(&first.access).await, kit.fetch_account_id(&second.access).await);
    assert_ne!(of_first, of_second);
    assert_eq!(kit.read(&format!("/accounts/{of_first}"), &second.access).await.json()["code"], 701);
    kit.revoke(&first.access).await;
    kit.wait_until("the provider is notified", async || {
        kit.load_connection(&first.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(kit.read("/accounts", &second.access).await.status, 200);
    assert_eq!(kit.list_grant_states().await.iter().filter(|state| *state == "active").count(), 1);
}

async fn newer_login_ends_connection_and_old_token_ends_nothing(kit: TestHub) {
    let acme = kit.acme();
    let first = kit.connect(&acme).await;
    let code = kit.obtain_code(&acme).await;
    assert_eq!(
        kit.read("/accounts", &first.access).await.status,
        200,
        "the older connection is active until the exchange"
    );
    assert_eq!(kit.redeem(&acme, &code).await.status, 200);
    assert_connection_ended(&kit, &acme, &ConnectionTokens { code, ..first.clone() }).await;
    assert_eq!(kit.load_end_cause(&first.id).await, Some(EndCause::Replaced));
    let second = kit.connect(&acme).await;
    let answer = kit.revoke(&first.access).await;
    assert_eq!(answer.status, 204, "the successor ended with the replay above");
    let third = kit.connect(&acme).await;
    let answer = kit.revoke(&second.access).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()));
    assert!(answer.json()["error_description"].as_str().unwrap().contains("newer login"));
    assert_eq!(kit.read("/accounts", &third.access).await.status, 200);
}

/// The states of both connections are in memory after the first two calls; that of the newer one then changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_of_replaced_connection_depends_on_current_successor() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme Budget");
    let hub = site.serve(&[]).await;
    let replaced = site.connect(&acme, "alice").await;
    let successor = site.connect(&acme, "alice").await;
    let api = site.api();

    let before = [api.read("/accounts", &successor.access).await, api.revoke(&replaced.access).await];
    let repeated = api.revoke(&replaced.access).await;
    let ended = api.revoke(&successor.access).await;
    let after = api.revoke(&replaced.access).await;

    assert_eq!(before.map(|response| response.status), [200, 400], "the customer has a newer connection");
    assert_eq!(repeated.status, 400, "{}", repeated.body);
    assert_eq!(ended.status, 204, "{}", ended.body);
    assert_eq!(after.status, 204, "the successor has ended: {}", after.body);
    hub.stop();
}
