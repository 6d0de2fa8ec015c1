//! Tests of registrations in the admin API: all-or-nothing requests, searches, and the steps that operators take.

use http::Method;
use serde_json::{Value, json};

use super::list_non_string_values;
use crate::support::{SCOPE, TestClient, TestHub, on_both};

on_both!(
    registrations_are_requested_atomically_and_listed,
    registration_steps_follow_state_machine_and_are_audited,
    registration_request_with_invalid_field_is_rejected,
);

async fn request_registrations(kit: &TestHub, clients: &[&str], providers: &[i64]) -> (u16, Value) {
    let body = json!({"client_ids": clients, "provider_ids": providers});
    let answer = kit.post_admin_request("/registrations", body).await;
    (answer.status, answer.json())
}

async fn registrations_are_requested_atomically_and_listed(kit: TestHub) {
    let one = kit.register_recipient(&[], SCOPE, false).await;
    let two = kit.register_recipient(&[], SCOPE, false).await;
    let token = kit.request_client_token(&kit.partner()).await;
    let partners = kit.create_recipient(&token).await;
    kit.advance(std::time::Duration::from_secs(1));
    let (status, requested) = request_registrations(&kit, &[&one.id, &two.id], &[1000, 2000]).await;
    assert_eq!((status, requested["items"].as_array().unwrap().len()), (200, 4), "{requested}");
    let shown = kit.run_admin_operation(Method::GET, &format!("/registrations/{}/2000", two.id), None).await;
    assert_eq!(shown, requested["items"][3]);
    assert_eq!((&shown["state"], &shown["partner"]), (&json!("pending_approval"), &json!(null)));
    assert_eq!(shown["provider_name"], "Caisse Rideau");
    kit.advance(std::time::Duration::from_secs(1));
    let before = kit.dump_admin_tables().await;
    let clients = [partners.id.as_str(), &one.id, "dc-unknown", "pt-sandbox"];
    let (status, refused) = request_registrations(&kit, &clients, &[1000, 9999]).await;
    assert_eq!((status, &refused["code"]), (404, &json!("not_found")), "{refused}");
    let pairs = refused["pairs"].as_array().unwrap();
    let bad: Vec<_> = pairs
        .iter()
        .map(|pair| (pair["client_id"].as_str().unwrap(), pair["provider_id"].as_i64().unwrap()))
        .collect();
    assert_eq!(bad.len(), 7, "each rejected pair is listed: {refused}");
    assert!(!bad.contains(&(&partners.id, 1000)) && bad.contains(&(&partners.id, 9999)));
    let existing =
        pairs.iter().find(|pair| pair["client_id"] == json!(one.id) && pair["provider_id"] == 1000);
    assert_eq!(existing.unwrap()["detail"], "This registration was requested before and is pending_approval");
    let (status, refused) = request_registrations(&kit, &[&one.id, &partners.id], &[1000]).await;
    assert_eq!((status, refused["pairs"].as_array().unwrap().len()), (409, 1), "{refused}");
    assert_eq!(kit.dump_admin_tables().await, before, "the request is all-or-nothing");

    assert_eq!(request_registrations(&kit, &[&partners.id], &[1000]).await.0, 200);
    let found = async |query: &str| {
        let list = kit.run_admin_operation(Method::GET, &format!("/registrations?{query}"), None).await;
        let items = list["items"].as_array().unwrap().clone();
        (items.len(), items.first().map(|item| item["client_id"].clone()), list["next"].clone())
    };
    let newest = Some(json!(partners.id));
    assert_eq!(found("limit=1").await.1, newest);
    for (query, count) in [
        (format!("client_id={}", one.id), 2),
        ("state=pending_approval".to_owned(), 5),
        ("state=pending_approval&provider_id=2000".to_owned(), 2),
        (format!("provider_id=2000&client_id={}", one.id), 1),
        ("partner=pt-sandbox".to_owned(), 1),
        ("partner=pt-unknown".to_owned(), 0),
        ("state=rejected".to_owned(), 0),
        ("provider_id=3000".to_owned(), 0),
    ] {
        assert_eq!(found(&query).await.0, count, "{query}");
    }
    let (mut paged, mut after) = (0, String::new());
    loop {
        let (count, _, next) = found(&format!("state=pending_approval&limit=2{after}")).await;
        paged += count;
        let Some(next) = next.as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(paged, 5, "paging must return each registration once");
}

async fn registration_steps_follow_state_machine_and_are_audited(kit: TestHub) {
    let recipient = kit.register_recipient(&[], SCOPE, false).await;
    assert_eq!(
        kit.take_registration_step(&recipient, "approve", json!({})).await.status,
        404,
        "the provider was not requested"
    );
    request_registrations(&kit, &[&recipient.id], &[1000]).await;
    let refused = async |step: &str| {
        let answer = kit.take_registration_step(&recipient, step, json!({"reason": "x"})).await;
        assert_eq!(answer.status, 409, "{step}: {}", answer.body);
    };
    refused("suspend").await;
    let rejected = kit
        .complete_registration_step(&recipient, "reject", json!({"reason": "Not a licensed company 🏦"}))
        .await;
    assert_eq!(
        (&rejected["state"], &rejected["reason"]),
        (&json!("rejected"), &json!("Not a licensed company 🏦"))
    );
    refused("reject").await;
    assert_eq!(
        request_registrations(&kit, &[&recipient.id], &[1000]).await.0,
        200,
        "the registration can be requested again"
    );
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    assert_eq!(kit.take_registration_step(&recipient, "approve", json!({})).await.status, 409);
    let upstream_client = json!({"upstream_client_id": "a", "upstream_client_secret": "b"});
    let problem = kit.take_registration_step(&recipient, "activate", upstream_client).await.json();
    assert_eq!(
        problem["detail"],
        "upstream_client_id: must be absent: the provider knows one client of the hub for all recipients"
    );
    let path = format!("/registrations/{}/1000", recipient.id);
    let active = kit.run_admin_operation(Method::POST, &format!("{path}/activate"), None).await;
    assert_eq!(active["state"], "active", "no body is required");
    let suspended = kit.run_admin_operation(Method::POST, &format!("{path}/suspend"), None).await;
    assert_eq!((&suspended["state"], &suspended["reason"]), (&json!("suspended"), &json!(null)));
    kit.run_admin_operation(Method::POST, &format!("{path}/reinstate"), None).await;
    let suspended = kit.complete_registration_step(&recipient, "suspend", json!({"reason": "تعليق"})).await;
    assert_eq!(suspended["reason"], "تعليق");
    kit.complete_registration_step(&recipient, "reinstate", json!({})).await;
    let events = kit.list_client_audit_events(&recipient.id).await;
    let changed = events.iter().filter(|event| *event == "registration.changed opr_sandbox").count();
    assert_eq!(changed, 9, "{events:?}");
}

async fn registration_request_with_invalid_field_is_rejected(kit: TestHub) {
    let recipient = kit.register_recipient(&[1000], SCOPE, false).await;
    let pending = kit.register_recipient(&[], SCOPE, false).await;
    request_registrations(&kit, &[&pending.id], &[1000]).await;
    let id = recipient.id.as_str();
    let bodies = vec![
        (json!({}), "client_ids"),
        (json!({"client_ids": [id]}), "provider_ids"),
        (json!({"client_ids": null, "provider_ids": [2000]}), "client_ids"),
        (json!({"client_ids": [], "provider_ids": [2000]}), "client_ids"),
        (json!({"client_ids": id, "provider_ids": [2000]}), "client_ids"),
        (json!({"client_ids": [5], "provider_ids": [2000]}), "client_ids"),
        (json!({"client_ids": ["\u{0}"], "provider_ids": [2000]}), "client_ids[0]"),
        (json!({"client_ids": [id, id], "provider_ids": [2000]}), "client_ids[1]"),
        (json!({"client_ids": [id], "provider_ids": ["2000"]}), "provider_ids"),
        (json!({"client_ids": [id], "provider_ids": [2000.5]}), "provider_ids"),
        (json!({"client_ids": [id], "provider_ids": 2000}), "provider_ids"),
        (json!({"client_ids": [id], "provider_ids": [0]}), "provider_ids[0]"),
        (json!({"client_ids": [id], "provider_ids": [2000, 2000]}), "provider_ids[1]"),
        (json!({"client_ids": [id], "provider_ids": (1..=1001).collect::<Vec<_>>()}), "client_ids"),
        (json!({"client_ids": [id], "provider_ids": [2000], "state": "active"}), "state"),
    ];
    kit.assert_admin_rejects(Method::POST, "/registrations", bodies).await;
    let step =
        |operation: &str, client: &TestClient| format!("/registrations/{}/1000/{operation}", client.id);
    let texts = |field: &'static str| {
        let mut all: Vec<_> =
            list_non_string_values().into_iter().map(|value| (json!({field: value}), field)).collect();
        all.extend(["a\u{7}b", "\u{202e}", "  "].map(|text| (json!({field: text}), field)));
        all.push((json!({field: "x".repeat(501)}), field));
        all.push((json!({"colour": "red"}), "colour"));
        all
    };
    kit.assert_admin_rejects(Method::POST, &step("suspend", &recipient), texts("reason")).await;
    let mut bodies = texts("reason");
    bodies.extend([
        (json!({}), "reason"),
        (json!({"reason": null}), "reason"),
        (json!({"reason": ""}), "reason"),
    ]);
    kit.assert_admin_rejects(Method::POST, &step("reject", &pending), bodies).await;
    let (own, secret) = ("upstream_client_id", "upstream_client_secret");
    let mut bodies: Vec<_> =
        list_non_string_values().into_iter().map(|value| (json!({own: value, secret: "x"}), own)).collect();
    bodies
        .extend(list_non_string_values().into_iter().map(|value| (json!({own: "x", secret: value}), secret)));
    bodies.extend([
        (json!({secret: "x"}), own),
        (json!({own: "a\u{0}", secret: "x"}), own),
        (json!({own: "x", secret: "é"}), secret),
        (json!({own: "x", secret: "x".repeat(2049)}), secret),
        (json!({own: "x", secret: "x", "reason": "x"}), "reason"),
    ]);
    kit.assert_admin_rejects(Method::POST, &step("activate", &pending), bodies).await;
    for path in [
        format!("{id}/2000"),
        "dc-unknown/1000".into(),
        "pt-sandbox/1000".into(),
        format!("{id}/x"),
        "%00/1000".into(),
        format!("{id}/%00"),
    ] {
        let mut calls = vec![(Method::GET, format!("/registrations/{path}"))];
        for operation in ["approve", "activate", "suspend", "reinstate"] {
            calls.push((Method::POST, format!("/registrations/{path}/{operation}")));
        }
        kit.assert_admin_not_found(&calls, "registration").await;
    }
}
