//! Tests of the operations of the admin API that create and suspend partners and rotate their secrets.

use domain::model::connection::EndCause;
use http::Method;
use serde_json::{Value, json};

use super::{NAMES, list_non_string_values};
use crate::support::{RawRequest, SCOPE, TestClient, TestHub, on_both};

on_both!(
    partner_can_be_created_suspended_and_secret_rotated,
    create_partner_with_invalid_body_is_rejected,
    partner_lifecycle_ends_connections_at_recipient_removal,
);

/// Creates a partner as an operator; returns the partner's credentials.
async fn create_partner(kit: &TestHub, name: &str) -> TestClient {
    let created = kit.run_admin_operation(Method::POST, "/partners", Some(json!({"name": name}))).await;
    assert_eq!((&created["partner"]["name"], &created["partner"]["state"]), (&json!(name), &json!("active")));
    TestClient {
        id: created["partner"]["client_id"].as_str().unwrap().to_owned(),
        secret: created["client_secret"].as_str().unwrap().to_owned(),
        redirect_uri: String::new(),
    }
}

async fn partner_can_be_created_suspended_and_secret_rotated(kit: TestHub) {
    let mut ids = Vec::new();
    for name in NAMES {
        kit.advance(std::time::Duration::from_secs(1));
        ids.push(create_partner(&kit, name).await.id);
    }
    kit.advance(std::time::Duration::from_secs(1));
    let partner = create_partner(&kit, "One more").await;
    let shown = kit.run_admin_operation(Method::GET, &format!("/partners/{}", partner.id), None).await;
    assert!(shown["created_at"].as_str().unwrap().ends_with('Z') && shown.get("client_secret").is_none());
    let list = kit.run_admin_operation(Method::GET, "/partners?limit=2", None).await;
    assert_eq!(list["items"][0], shown, "newest first");
    let next = format!("/partners?after={}", list["next"].as_str().unwrap());
    let rest = kit.run_admin_operation(Method::GET, &next, None).await;
    let rest: Vec<_> = rest["items"].as_array().unwrap().iter().map(|p| p["client_id"].clone()).collect();
    assert_eq!(rest[..3], [json!(ids[2]), json!(ids[1]), json!(ids[0])]);

    let token = kit.request_client_token(&partner).await;
    let partner_path = |operation: &str| format!("/partners/{}/{operation}", partner.id);
    for _ in 0..2 {
        let suspended = kit.run_admin_operation(Method::POST, &partner_path("suspend"), None).await;
        assert_eq!(suspended["state"], "suspended");
    }
    let refused = kit.call(Method::GET, "/api/v1/providers", &token).await.json();
    assert_eq!(refused["error"], "unauthorized_client");
    assert_eq!(
        kit.run_admin_operation(Method::POST, &partner_path("reinstate"), None).await["state"],
        "active"
    );
    assert_eq!(
        kit.call(Method::GET, "/api/v1/recipients", &token).await.status,
        200,
        "nothing must be destroyed"
    );
    let renewed = kit.run_admin_operation(Method::POST, &partner_path("secret"), None).await;
    assert_eq!(renewed["client_id"], json!(partner.id));
    assert_eq!(
        kit.call(Method::GET, "/api/v1/recipients", &token).await.status,
        400,
        "its tokens are invalid"
    );
    let grant = [("grant_type", "client_credentials")];
    assert_eq!(kit.request_token(&partner, &grant).await.json()["error"], "invalid_client");
    let secret = renewed["client_secret"].as_str().unwrap().to_owned();
    kit.request_client_token(&TestClient { secret, ..partner.clone() }).await;
    let event_by_operator = |action: &str| format!("client.{action} opr_sandbox");
    let expected_events =
        ["registered", "state_changed", "state_changed", "secret_regenerated"].map(event_by_operator);
    assert_eq!(
        kit.list_client_audit_events(&partner.id).await,
        expected_events,
        "a repeated change writes no event"
    );
    for id in ["dc-sandbox", "pt-unknown", "%00", "..%2f", "x y"] {
        let calls = [
            (Method::GET, ""),
            (Method::POST, "/secret"),
            (Method::POST, "/suspend"),
            (Method::POST, "/reinstate"),
        ];
        let calls = calls.map(|(method, rest)| (method, format!("/partners/{id}{rest}")));
        kit.assert_admin_not_found(&calls, "partner").await;
    }
}

async fn create_partner_with_invalid_body_is_rejected(kit: TestHub) {
    let mut bodies = vec![
        (json!({}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "  "}), "name"),
        (json!({"name": "a\u{0}b"}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "Acme\u{202e}knaB"}), "name"),
        (json!({"name": "x".repeat(257)}), "name"),
        (json!({"name": "Acme", "scope": "x"}), "scope"),
        (json!({"name": "Acme", "client_id": "pt-mine"}), "client_id"),
    ];
    bodies.extend(list_non_string_values().into_iter().map(|value| (json!({"name": value}), "name")));
    kit.assert_admin_rejects(Method::POST, "/partners", bodies).await;
    let post = |kind: &str, body: &str| {
        RawRequest::post("/admin/v1/partners", kind, body.as_bytes()).bearer(kit.admin_token())
    };
    let before = kit.dump_admin_tables().await;
    for (kind, body, status, detail) in [
        ("application/json", r#"{"name":"a","name":"b"}"#, 400, "name: is given twice"),
        ("application/json", "[]", 400, "The body is not a JSON object: line 1, column 0"),
        ("application/json", "", 400, "The body is not a JSON object: line 1, column 0"),
        ("application/x-www-form-urlencoded", "name=a", 415, "The content type must be application/json"),
    ] {
        let answer = kit.send_raw(&post(kind, body)).await;
        assert_eq!((answer.status, &answer.json()["detail"]), (status, &json!(detail)), "{body}");
    }
    assert_eq!(kit.dump_admin_tables().await, before);
}

/// Uses only the admin API and the public API: creates a partner, registers its recipient, connects a customer, and
/// removes the recipient with everything that belongs to it.
async fn partner_lifecycle_ends_connections_at_recipient_removal(kit: TestHub) {
    let partner = create_partner(&kit, "Agency").await;
    let token = kit.request_client_token(&partner).await;
    let recipient = kit.create_recipient(&token).await;
    let listed =
        kit.run_admin_operation(Method::GET, &format!("/recipients?partner={}", partner.id), None).await;
    assert_eq!(listed["items"][0]["client_id"], json!(recipient.id));
    let ask = format!("/api/v1/recipients/providers/requests/{}/1000,2000", recipient.id);
    assert_eq!(kit.call(Method::POST, &ask, &token).await.status, 200);
    let waiting = format!("/registrations?state=pending_approval&partner={}", partner.id);
    let waiting = kit.run_admin_operation(Method::GET, &waiting, None).await;
    assert_eq!(waiting["items"].as_array().unwrap().len(), 2, "{waiting}");
    assert_eq!(
        kit.complete_registration_step(&recipient, "approve", json!({})).await["state"],
        "pending_activation"
    );
    assert_eq!(kit.complete_registration_step(&recipient, "activate", json!({})).await["state"], "active");

    let alice = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let bob = kit.connect_at(1000, &recipient, "bob", &["mt-bob-chequing"], SCOPE).await;
    assert_eq!(kit.read("/accounts", &alice.access).await.status, 200);
    let path = format!("/recipients/{}", recipient.id);
    let renewed = kit.run_admin_operation(Method::POST, &format!("{path}/secret"), None).await;
    assert_eq!(kit.refresh(&recipient, &alice.refresh).await.json()["error"], "invalid_client");
    let secret = renewed["client_secret"].as_str().unwrap().to_owned();
    let recipient = TestClient { secret, ..recipient };
    assert_eq!(kit.refresh(&recipient, &alice.refresh).await.status, 200);

    let dry = kit.run_admin_operation(Method::DELETE, &format!("{path}?dry_run=true"), None).await;
    assert_eq!(dry, json!({"connections": 2, "outcome": "would_remove"}));
    assert_eq!(kit.read("/accounts", &alice.access).await.status, 200, "a dry run changes nothing");
    let removed = kit.run_admin_operation(Method::DELETE, &path, None).await;
    assert_eq!(removed, json!({"connections": 2, "outcome": "removed"}));
    for tokens in [&alice, &bob] {
        assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
        assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    }
    assert_eq!(kit.call(Method::GET, &format!("/api/v1{path}"), &token).await.status, 404);
    kit.wait_until("the provider is notified of both ends", async || {
        kit.list_grant_states().await == ["ended", "ended"]
    })
    .await;
    kit.wait_until("the removal is over", async || kit.sql("SELECT 1 FROM client_removals").await.is_empty())
        .await;
    for tokens in [&alice, &bob] {
        assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::ClientRemoved));
        let seen: Value =
            kit.run_admin_operation(Method::GET, &format!("/connections/{}", tokens.id), None).await;
        assert_eq!(seen["actor"], json!({"kind": "operator", "id": "opr_sandbox"}));
    }
    let again = kit.run_admin_operation(Method::DELETE, &path, None).await;
    assert_eq!(again, json!({"connections": 2, "outcome": "already_removed"}));
    assert_eq!(kit.run_admin_operation(Method::GET, &path, None).await["state"], "closed");
    assert_eq!(kit.take_registration_step(&recipient, "suspend", json!({})).await.status, 404);
}
