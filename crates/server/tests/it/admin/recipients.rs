//! Tests of the operations of the admin API that create, change, suspend and remove recipients.

use http::Method;
use serde_json::{Value, json};

use super::{NAMES, list_non_string_values, replace_field};
use crate::support::{SCOPE, TestClient, TestHub, on_both};

on_both!(
    recipient_can_be_created_updated_and_suspended,
    recipient_created_for_partner_is_visible_to_partner,
    create_recipient_with_invalid_field_is_rejected,
    remove_recipient_reports_count_of_ended_connections,
    recipient_operations_with_unknown_id_return_404,
);

fn build_recipient_body() -> Value {
    json!({
        "name": "Acme", "purpose_en": "To show your spending.", "purpose_fr": "Pour montrer vos dépenses.",
        "redirect_uris": ["https://acme.example.org/back"], "scope": SCOPE.split(' ').collect::<Vec<_>>(),
    })
}

async fn recipient_can_be_created_updated_and_suspended(kit: TestHub) {
    let optional_fields = json!({
        "require_pkce": true, "max_duration_days": 90, "description": "Budgets 💸", "country": "CA",
        "logo_uri": "https://acme.example.org/logo.png", "terms_uri": "https://acme.example.org/terms",
        "client_uri": "https://acme.example.org/", "contacts": ["a@acme.example.org", "b@acme.example.org"],
    });
    let mut body = build_recipient_body();
    body.as_object_mut().unwrap().extend(optional_fields.as_object().unwrap().clone());
    for name in NAMES {
        let created = kit
            .run_admin_operation(
                Method::POST,
                "/recipients",
                Some(replace_field(&body, "name", Some(json!(name)))),
            )
            .await;
        let shown = &created["recipient"];
        for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "name") {
            assert_eq!(&shown[field], value, "{field}");
        }
        assert_eq!(
            (&shown["name"], &shown["partner"], &shown["state"]),
            (&json!(name), &json!(null), &json!("active"))
        );
    }
    kit.advance(std::time::Duration::from_secs(1));
    let created = kit.run_admin_operation(Method::POST, "/recipients", Some(build_recipient_body())).await;
    let id = created["recipient"]["client_id"].as_str().unwrap().to_owned();
    let recipient = TestClient {
        id: id.clone(),
        secret: created["client_secret"].as_str().unwrap().to_owned(),
        redirect_uri: "https://acme.example.org/back".into(),
    };
    let path = format!("/recipients/{id}");
    assert_eq!(kit.run_admin_operation(Method::GET, &path, None).await, created["recipient"]);
    let list = kit.run_admin_operation(Method::GET, "/recipients?limit=1&state=active", None).await;
    assert_eq!((&list["items"][0], list["next"].is_string()), (&created["recipient"], true));
    for field in ["require_pkce", "max_duration_days", "description", "country", "contacts"] {
        let absent = [json!(false), json!(null), json!([])];
        assert!(absent.contains(&created["recipient"][field]), "{field}");
    }

    let uris = json!({"redirect_uris": ["https://acme.example.org/new", "http://127.0.0.1:1/cb"]});
    let changed = kit.run_admin_operation(Method::PUT, &path, Some(uris.clone())).await;
    assert_eq!(changed["redirect_uris"], uris["redirect_uris"], "loopback is allowed in a sandbox");
    let back = json!({"redirect_uris": [recipient.redirect_uri]});
    kit.run_admin_operation(Method::PUT, &path, Some(back)).await;

    let registration_request = json!({"client_ids": [id], "provider_ids": [1000]});
    kit.run_admin_operation(Method::POST, "/registrations", Some(registration_request)).await;
    for step in ["approve", "activate"] {
        kit.complete_registration_step(&recipient, step, json!({})).await;
    }
    let tokens = kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    assert_eq!(
        kit.run_admin_operation(Method::POST, &format!("{path}/suspend"), None).await["state"],
        "suspended"
    );
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 403);
    assert_eq!(kit.refresh(&recipient, &tokens.refresh).await.json()["error"], "unauthorized_client");
    let suspended = kit.run_admin_operation(Method::GET, "/recipients?state=suspended", None).await;
    assert_eq!(
        (suspended["items"].as_array().unwrap().len(), &suspended["items"][0]["client_id"]),
        (1, &json!(id))
    );
    assert_eq!(
        kit.run_admin_operation(Method::POST, &format!("{path}/reinstate"), None).await["state"],
        "active"
    );
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "nothing must be destroyed");
    let events = kit.list_client_audit_events(&id).await;
    assert!(events.iter().all(|event| event.ends_with(" opr_sandbox")), "{events:?}");
    assert_eq!(events.iter().filter(|event| event.starts_with("client.redirect_uris_replaced")).count(), 2);
}

async fn recipient_created_for_partner_is_visible_to_partner(kit: TestHub) {
    let body = replace_field(&build_recipient_body(), "partner", Some(json!("pt-sandbox")));
    let created = kit.run_admin_operation(Method::POST, "/recipients", Some(body)).await;
    let id = created["recipient"]["client_id"].as_str().unwrap();
    let token = kit.request_client_token(&kit.partner()).await;
    let seen = kit.call(Method::GET, &format!("/api/v1/recipients/{id}"), &token).await;
    assert_eq!((seen.status, &seen.json()["name"]), (200, &json!("Acme")));
    let partner_recipients =
        kit.run_admin_operation(Method::GET, "/recipients?partner=pt-sandbox", None).await;
    assert_eq!(partner_recipients["items"], json!([created["recipient"]]));
    let no_recipients = kit.run_admin_operation(Method::GET, "/recipients?partner=dc-sandbox", None).await;
    assert_eq!(no_recipients, json!({"items": [], "next": null, "unverified": 0}));
}

/// Returns fields of the request to create a recipient, each with invalid values.
fn list_invalid_fields() -> Vec<(&'static str, Vec<Value>)> {
    let text = |max_chars: usize| {
        let mut all = list_non_string_values();
        all.extend(["a\u{7}b", "a\r\nb", "\u{202e}a", "  "].map(|text| json!(text)));
        all.push(json!("x".repeat(max_chars + 1)));
        all
    };
    let link = || {
        let mut all = list_non_string_values();
        all.extend(
            ["http://acme.example.org/", "javascript:alert(1)", "https://a@acme.example.org/", "/x"]
                .map(|text| json!(text)),
        );
        all
    };
    vec![
        ("name", text(256)),
        ("purpose_en", text(300)),
        ("purpose_fr", text(300)),
        ("description", text(512)),
        ("logo_uri", link()),
        ("terms_uri", link()),
        ("client_uri", link()),
        ("country", vec![json!("ca"), json!("FR"), json!("Canada"), json!(1), json!(["CA"])]),
        (
            "redirect_uris",
            vec![json!([]), json!("https://acme.example.org/"), json!([1]), json!({}), json!([null])],
        ),
        (
            "scope",
            vec![
                json!([]),
                json!("ACCOUNT_BASIC"),
                json!(["accounts"]),
                json!(["TRANSACTIONS"]),
                json!([1]),
                json!({}),
                json!(["ACCOUNT_BASIC\u{0}"]),
            ],
        ),
        (
            "contacts",
            vec![
                json!("a@b.example"),
                json!([{"email": "a@b.example"}]),
                json!([1]),
                json!(vec!["a@b.example"; 21]),
            ],
        ),
        ("require_pkce", vec![json!("true"), json!(1), json!([])]),
        (
            "max_duration_days",
            vec![json!(0), json!(367), json!(-1), json!(1.5), json!("90"), json!(99_999_999_999_u64)],
        ),
        ("partner", vec![json!("pt-unknown"), json!("dc-sandbox"), json!("\u{0}"), json!(5)]),
    ]
}

async fn create_recipient_with_invalid_field_is_rejected(kit: TestHub) {
    let good = build_recipient_body();
    let mut bodies = Vec::new();
    for (field, values) in list_invalid_fields() {
        bodies.extend(values.into_iter().map(|value| (replace_field(&good, field, Some(value)), field)));
    }
    for field in ["name", "purpose_en", "purpose_fr", "redirect_uris", "scope"] {
        bodies.extend(
            [None, Some(json!(null)), Some(json!(""))]
                .map(|value| (replace_field(&good, field, value), field)),
        );
    }
    bodies.push((replace_field(&good, "colour", Some(json!("red"))), "colour"));
    bodies.push((replace_field(&good, "client_secret", Some(json!("mine"))), "client_secret"));
    for uri in ["http://acme.example.org/", "https://acme.example.org/#x", "nowhere", "https://a b.example/"]
    {
        bodies.push((replace_field(&good, "redirect_uris", Some(json!([uri]))), "redirect_uris[0]"));
    }
    bodies.push((
        replace_field(&good, "redirect_uris", Some(json!(["https://a.example/", "https://a.example/"]))),
        "redirect_uris[1]",
    ));
    bodies
        .push((replace_field(&good, "contacts", Some(json!(["a@b.example", "no-address"]))), "contacts[1]"));
    kit.assert_admin_rejects(Method::POST, "/recipients", bodies).await;
    let uris = |uris: Value| json!({"redirect_uris": uris});
    let bodies = vec![
        (json!({}), "redirect_uris"),
        (uris(json!(null)), "redirect_uris"),
        (uris(json!([])), "redirect_uris"),
        (uris(json!("https://acme.example.org/")), "redirect_uris"),
        (uris(json!(["https://acme.example.org/", 5])), "redirect_uris"),
        (uris(json!(["ftp://acme.example.org/"])), "redirect_uris[0]"),
        (json!({"redirect_uris": ["https://acme.example.org/"], "name": "Other"}), "name"),
    ];
    kit.assert_admin_rejects(Method::PUT, "/recipients/dc-sandbox", bodies).await;
}

/// The reported count includes the connections that the removal has ended and will end, whenever it is requested.
async fn remove_recipient_reports_count_of_ended_connections(kit: TestHub) {
    let acme = kit.acme();
    let ended_before = kit.connect(&acme).await;
    assert_eq!(kit.revoke(&ended_before.access).await.status, 204);
    let alice = kit.connect(&acme).await;
    let bob = kit.connect_at(1000, &acme, "bob", &[], SCOPE).await;
    kit.obtain_code(&kit.register_recipient(&[1000], SCOPE, false).await).await;
    let path = format!("/recipients/{}", acme.id);
    let before = kit.dump_admin_tables().await;
    let dry = kit.run_admin_operation(Method::DELETE, &format!("{path}?dry_run=true"), None).await;
    assert_eq!(dry, json!({"connections": 2, "outcome": "would_remove"}));
    assert_eq!(kit.dump_admin_tables().await, before, "a dry run leaves no trace");
    assert_eq!((kit.load_end_cause(&alice.id).await, kit.load_end_cause(&bob.id).await), (None, None));
    let removed = kit.run_admin_operation(Method::DELETE, &path, None).await;
    assert_eq!(removed, json!({"connections": 2, "outcome": "removed"}));
    kit.wait_until("both have ended", async || {
        kit.load_end_cause(&alice.id).await.is_some() && kit.load_end_cause(&bob.id).await.is_some()
    })
    .await;
    for query in ["", "?dry_run=true"] {
        let again = kit.run_admin_operation(Method::DELETE, &format!("{path}{query}"), None).await;
        assert_eq!(again, json!({"connections": 2, "outcome": "already_removed"}), "{query}");
    }
}

async fn recipient_operations_with_unknown_id_return_404(kit: TestHub) {
    for id in ["pt-sandbox", "dc-unknown", "%00", "..%2f"] {
        let calls = [
            (Method::GET, ""),
            (Method::PUT, ""),
            (Method::DELETE, ""),
            (Method::DELETE, "?dry_run=true"),
            (Method::POST, "/secret"),
            (Method::POST, "/suspend"),
            (Method::POST, "/reinstate"),
        ];
        let calls = calls.map(|(method, rest)| (method, format!("/recipients/{id}{rest}")));
        kit.assert_admin_not_found(&calls, "recipient").await;
    }
    let before = kit.dump_admin_tables().await;
    for query in ["dry_run=yes", "dryrun=true", "dry_run=true&dry_run=true"] {
        let answer = kit.send_admin_request(Method::DELETE, &format!("/recipients/dc-sandbox?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
    assert_eq!(kit.dump_admin_tables().await, before, "a misspelt dry run removes nothing");
}
