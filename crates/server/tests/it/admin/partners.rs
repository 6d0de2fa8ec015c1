//! Partners: made, held, given other secrets; and what one lives through from nothing to the end.

use domain::model::connection::Cause;
use http::Method;
use serde_json::{Value, json};

use super::{NAMES, no_texts};
use crate::kit::{Kit, Raw, Recipient, SCOPE, on_both};

on_both!(
    a_partner_is_made_held_and_given_another_secret,
    a_partner_that_is_described_wrongly_is_not_made,
    a_partners_life_from_nothing_to_the_end,
);

/// A partner that an operator makes, as it knows itself.
async fn made(kit: &Kit, name: &str) -> Recipient {
    let made = kit.did(Method::POST, "/partners", Some(json!({"name": name}))).await;
    assert_eq!((&made["partner"]["name"], &made["partner"]["state"]), (&json!(name), &json!("active")));
    Recipient {
        id: made["partner"]["client_id"].as_str().unwrap().to_owned(),
        secret: made["client_secret"].as_str().unwrap().to_owned(),
        redirect_uri: String::new(),
    }
}

async fn a_partner_is_made_held_and_given_another_secret(kit: Kit) {
    let mut ids = Vec::new();
    for name in NAMES {
        kit.advance(std::time::Duration::from_secs(1));
        ids.push(made(&kit, name).await.id);
    }
    kit.advance(std::time::Duration::from_secs(1));
    let partner = made(&kit, "One more").await;
    let shown = kit.did(Method::GET, &format!("/partners/{}", partner.id), None).await;
    assert!(shown["created_at"].as_str().unwrap().ends_with('Z') && shown.get("client_secret").is_none());
    let list = kit.did(Method::GET, "/partners?limit=2", None).await;
    assert_eq!(list["items"][0], shown, "the newest first");
    let next = format!("/partners?after={}", list["next"].as_str().unwrap());
    let rest = kit.did(Method::GET, &next, None).await;
    let rest: Vec<_> = rest["items"].as_array().unwrap().iter().map(|p| p["client_id"].clone()).collect();
    assert_eq!(rest[..3], [json!(ids[2]), json!(ids[1]), json!(ids[0])]);

    let token = kit.client_token(&partner).await;
    let at = |word: &str| format!("/partners/{}/{word}", partner.id);
    for _ in 0..2 {
        let held = kit.did(Method::POST, &at("suspend"), None).await;
        assert_eq!(held["state"], "suspended");
    }
    let refused = kit.call(Method::GET, "/api/v1/recipients", &token).await.json();
    assert_eq!(refused["error"], "unauthorized_client");
    assert_eq!(kit.did(Method::POST, &at("reinstate"), None).await["state"], "active");
    assert_eq!(
        kit.call(Method::GET, "/api/v1/recipients", &token).await.status,
        200,
        "nothing was destroyed"
    );
    let renewed = kit.did(Method::POST, &at("secret"), None).await;
    assert_eq!(renewed["client_id"], json!(partner.id));
    assert_eq!(kit.call(Method::GET, "/api/v1/recipients", &token).await.status, 400, "its tokens ended");
    let grant = [("grant_type", "client_credentials")];
    assert_eq!(kit.token(&partner, &grant).await.json()["error"], "invalid_client");
    let secret = renewed["client_secret"].as_str().unwrap().to_owned();
    kit.client_token(&Recipient { secret, ..partner.clone() }).await;
    let by = |action: &str| format!("client.{action} opr_sandbox");
    let record = ["registered", "state_changed", "state_changed", "secret_regenerated"].map(by);
    assert_eq!(kit.client_events(&partner.id).await, record, "what was so already leaves no trace");
    for id in ["dc-sandbox", "pt-nobody", "%00", "..%2f", "x y"] {
        let calls = [
            (Method::GET, ""),
            (Method::POST, "/secret"),
            (Method::POST, "/suspend"),
            (Method::POST, "/reinstate"),
        ];
        let calls = calls.map(|(method, rest)| (method, format!("/partners/{id}{rest}")));
        kit.finds_nothing(&calls, "partner").await;
    }
}

async fn a_partner_that_is_described_wrongly_is_not_made(kit: Kit) {
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
    bodies.extend(no_texts().into_iter().map(|value| (json!({"name": value}), "name")));
    kit.refuses(Method::POST, "/partners", bodies).await;
    let post = |kind: &str, body: &str| {
        Raw::post("/admin/v1/partners", kind, body.as_bytes()).bearer(kit.admin_token())
    };
    let before = kit.set_up_so_far().await;
    for (kind, body, status, told) in [
        ("application/json", r#"{"name":"a","name":"b"}"#, 400, "name: is given twice"),
        ("application/json", "[]", 400, "The body is no JSON object: line 1, column 0"),
        ("application/json", "", 400, "The body is no JSON object: line 1, column 0"),
        ("application/x-www-form-urlencoded", "name=a", 415, "The content type must be application/json"),
    ] {
        let answer = kit.wire(&post(kind, body)).await;
        assert_eq!((answer.status, &answer.json()["detail"]), (status, &json!(told)), "{body}");
    }
    assert_eq!(kit.set_up_so_far().await, before);
}

/// Over `/admin/v1` and the public face alone: a partner comes, its recipient is admitted, a customer connects, and
/// the recipient goes with all that it had.
async fn a_partners_life_from_nothing_to_the_end(kit: Kit) {
    let partner = made(&kit, "Agency").await;
    let token = kit.client_token(&partner).await;
    let recipient = kit.created(&token).await;
    let listed = kit.did(Method::GET, &format!("/recipients?partner={}", partner.id), None).await;
    assert_eq!(listed["items"][0]["client_id"], json!(recipient.id));
    let ask = format!("/api/v1/recipients/providers/requests/{}/1000,2000", recipient.id);
    assert_eq!(kit.call(Method::POST, &ask, &token).await.status, 200);
    let waiting = format!("/registrations?state=pending_approval&partner={}", partner.id);
    let waiting = kit.did(Method::GET, &waiting, None).await;
    assert_eq!(waiting["items"].as_array().unwrap().len(), 2, "{waiting}");
    assert_eq!(kit.took(&recipient, "approve", json!({})).await["state"], "pending_activation");
    assert_eq!(kit.took(&recipient, "activate", json!({})).await["state"], "active");

    let alice = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    let bob = kit.connect_at(1000, &recipient, "bob", &["mt-bob-chequing"], SCOPE).await;
    assert_eq!(kit.read("/accounts", &alice.access).await.status, 200);
    let path = format!("/recipients/{}", recipient.id);
    let renewed = kit.did(Method::POST, &format!("{path}/secret"), None).await;
    assert_eq!(kit.refresh(&recipient, &alice.refresh).await.json()["error"], "invalid_client");
    let secret = renewed["client_secret"].as_str().unwrap().to_owned();
    let recipient = Recipient { secret, ..recipient };
    assert_eq!(kit.refresh(&recipient, &alice.refresh).await.status, 200);

    let dry = kit.did(Method::DELETE, &format!("{path}?dry_run=true"), None).await;
    assert_eq!(dry, json!({"connections": 2, "outcome": "would_remove"}));
    assert_eq!(kit.read("/accounts", &alice.access).await.status, 200, "a dry run changes nothing");
    let removed = kit.did(Method::DELETE, &path, None).await;
    assert_eq!(removed, json!({"connections": 2, "outcome": "removed"}));
    for tokens in [&alice, &bob] {
        assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
        assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    }
    assert_eq!(kit.call(Method::GET, &format!("/api/v1{path}"), &token).await.status, 404);
    kit.until("the bank is told of both", async || kit.grants().await == ["ended", "ended"]).await;
    kit.until("the removal is over", async || kit.behind("SELECT 1 FROM removals").await.is_empty()).await;
    for tokens in [&alice, &bob] {
        assert_eq!(kit.cause(&tokens.id).await, Some(Cause::ClientRemoved));
        let seen: Value = kit.did(Method::GET, &format!("/connections/{}", tokens.id), None).await;
        assert_eq!(seen["actor"], json!({"kind": "operator", "id": "opr_sandbox"}));
    }
    let again = kit.did(Method::DELETE, &path, None).await;
    assert_eq!(again, json!({"connections": 2, "outcome": "already_removed"}));
    assert_eq!(kit.did(Method::GET, &path, None).await["state"], "closed");
    assert_eq!(kit.step(&recipient, "suspend", json!({})).await.status, 404);
}
