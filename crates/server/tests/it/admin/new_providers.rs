//! Tests of providers that operators add: validation of the settings, connectivity checks, and connections.

use http::Method;
use serde_json::{Value, json};

use super::{NAMES, list_non_string_values, replace_field};
use crate::support::{EndpointStub, RawRequest, SCOPE, TestHub, json_response, on_both};

on_both!(
    provider_added_by_api_connects_and_secret_is_sealed,
    add_provider_with_invalid_field_is_rejected,
    add_provider_with_duplicate_json_key_is_rejected,
    provider_test_reports_failures_and_changes_nothing,
);

/// Returns the settings of Prairie (a sandbox bank), after removing the provider from the store.
pub(super) async fn take_prairie_settings(kit: &TestHub) -> Value {
    let shown = kit.run_admin_operation(Method::GET, "/providers/3000", None).await;
    for statement in [
        "DELETE FROM provider_refresh_stats WHERE provider_id = 3000",
        "DELETE FROM providers WHERE id = 3000",
        "DELETE FROM audit_events WHERE subject_kind = 'provider' AND subject_id = '3000'",
    ] {
        kit.sql(statement).await;
    }
    let mut body = shown["settings"].clone();
    let secret = std::fs::read_to_string(kit.data_folder().join("prairie.secret")).unwrap();
    (body["id"], body["client_secret"]) = (json!(3000), json!(secret.trim_end()));
    body
}

async fn provider_added_by_api_connects_and_secret_is_sealed(kit: TestHub) {
    let body = take_prairie_settings(&kit).await;
    let added = kit.post_admin_request("/providers", body.clone()).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let added = added.json();
    assert_eq!((&added["source"], &added["state"]), (&json!("api"), &json!("active")));
    assert!(added["settings"].get("client_secret").is_none(), "{added}");
    assert_eq!(kit.run_admin_operation(Method::GET, "/providers/3000", None).await, added);
    let report = kit.run_admin_operation(Method::POST, "/providers/3000/test", None).await;
    assert_eq!(report["ok"], true, "{report}");
    let recipient = kit.register_recipient(&[3000], SCOPE, false).await;
    let tokens = kit.connect_at(3000, &recipient, "alice", &[], SCOPE).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_until("the provider is notified", async || {
        kit.run_admin_operation(Method::GET, &format!("/connections/{}", tokens.id), None).await["provider_revocation"]
            == "accepted"
    })
    .await;
    let secret = body["client_secret"].as_str().unwrap();
    let row = kit.sql("SELECT settings, secrets, data_key FROM providers WHERE id = 3000").await.concat();
    assert!(row.contains("sealed") && !row.contains(secret));
    assert!(!row.contains(&crate::support::hex(secret.as_bytes())), "the secret is sealed");
    let events =
        kit.run_admin_operation(Method::GET, "/audit?subject_kind=provider&subject_id=3000", None).await;
    assert_eq!(events["items"][0]["actor"], json!({"kind": "operator", "id": "opr_sandbox"}));
    assert!(!events.to_string().contains(secret));

    let before = kit.dump_admin_tables().await;
    for id in [1000, 3000] {
        let mut other = replace_field(&body, "id", Some(json!(id)));
        other["name"] = json!("Other");
        let taken = kit.post_admin_request("/providers", other).await;
        assert_eq!((taken.status, &taken.json()["code"]), (409, &json!("conflict")), "{}", taken.body);
    }
    assert_eq!(kit.dump_admin_tables().await, before, "an existing provider is not changed");
    for (id, name) in (5000..).zip(NAMES) {
        let mut other = replace_field(&body, "id", Some(json!(id)));
        other["name"] = json!(name);
        assert_eq!(
            kit.run_admin_operation(Method::POST, "/providers", Some(other)).await["name"],
            json!(name)
        );
    }
    let paused = kit.run_admin_operation(Method::POST, "/providers/5000/pause", None).await;
    assert_eq!(paused["state"], "paused");
}

/// Returns fields of a provider's settings, each with invalid values.
fn list_invalid_fields() -> Vec<(&'static str, Vec<Value>)> {
    let text = || {
        let mut all = list_non_string_values();
        all.extend(["a\u{7}b", "a\nb"].map(|text| json!(text)));
        all
    };
    let address = || {
        let mut all = list_non_string_values();
        all.extend(["ftp://bank.example/", "file:///etc/passwd", "nowhere", "\u{0}"].map(|text| json!(text)));
        all
    };
    vec![
        ("id", vec![json!(0), json!(-1), json!("4000"), json!(1.5), json!([]), json!(u64::MAX)]),
        ("name", [text(), vec![json!("\u{202e}x"), json!("x".repeat(257))]].concat()),
        ("country", [text(), vec![json!("ca"), json!("Canada")]].concat()),
        ("issuer", address()),
        ("authorization_endpoint", address()),
        ("token_endpoint", address()),
        ("revocation_endpoint", address()),
        ("url", address()),
        ("client_id", [text(), vec![json!("é"), json!("x".repeat(2049))]].concat()),
        (
            "client_secret",
            vec![
                json!({"file": "/etc/passwd"}),
                json!({"env": "HOME"}),
                json!("a\nb"),
                json!(5),
                json!(["x"]),
                json!("x".repeat(2049)),
            ],
        ),
        ("auth", vec![json!("none"), json!(5), json!({})]),
        ("upstream_client", vec![json!("mine"), json!(5), json!("registration")]),
        ("fdx", vec![json!("https://bank.example"), json!([]), json!(["https://bank.example", "5"])]),
        ("scopes", vec![json!({}), json!([]), json!("x")]),
        ("account_types", vec![json!("depositAccount"), json!({})]),
        ("consent_shown_by", vec![json!("provider"), json!(5)]),
        ("dpop", vec![json!("on"), json!(true), json!({})]),
        ("grant_scope", vec![json!("mine"), json!(5)]),
        ("customer_identity", vec![json!("mine"), json!(5)]),
        ("accounts_field", text()),
        ("grant_field", text()),
        ("revoke", vec![json!("rfc7009"), json!({})]),
    ]
}

/// A repeated member is ambiguous, so it must be rejected at any depth.
async fn add_provider_with_duplicate_json_key_is_rejected(kit: TestHub) {
    let good = replace_field(&take_prairie_settings(&kit).await, "id", Some(json!(4000))).to_string();
    let before = kit.dump_admin_tables().await;
    for (name, json_path) in
        [("base_url", "fdx.base_url"), ("ACCOUNT_BASIC", "scopes.ACCOUNT_BASIC"), ("name", "name")]
    {
        let member = format!(r#""{name}":"#);
        let duplicated =
            good.replacen(&member, &format!(r#"{member}"https://elsewhere.example",{member}"#), 1);
        assert_ne!(duplicated, good);
        let raw =
            RawRequest::post("/admin/v1/providers", "application/json", duplicated).bearer(kit.admin_token());
        let answer = kit.send_raw(&raw).await;
        let problem = (answer.status, answer.json()["field"].clone(), answer.json()["detail"].clone());
        assert_eq!(
            problem,
            (400, json!(json_path), json!(format!("{json_path}: is given twice"))),
            "{}",
            answer.body
        );
    }
    assert_eq!(kit.dump_admin_tables().await, before, "nothing must change");
}

async fn add_provider_with_invalid_field_is_rejected(kit: TestHub) {
    let good = replace_field(&take_prairie_settings(&kit).await, "id", Some(json!(4000)));
    // The metadata of an issuer could name an endpoint that is missing here.
    let good = replace_field(&good, "issuer", None);
    let mut bodies = Vec::new();
    for (field, values) in list_invalid_fields() {
        bodies.extend(values.into_iter().map(|value| (replace_field(&good, field, Some(value)), field)));
    }
    for field in [
        "id",
        "name",
        "country",
        "authorization_endpoint",
        "token_endpoint",
        "client_id",
        "client_secret",
        "fdx",
        "scopes",
    ] {
        bodies.extend([None, Some(json!(null))].map(|value| (replace_field(&good, field, value), field)));
    }
    let within = |field: &str, key: &str, value: Value| {
        let mut body = good.clone();
        body[field][key] = value;
        body
    };
    bodies.extend([
        (replace_field(&good, "fdx", Some(json!({}))), "fdx.base_url"),
        (replace_field(&good, "fdx", Some(json!({"base_url": "https://bank.example"}))), "fdx.version"),
        (within("fdx", "version", json!("7")), "fdx.version"),
        (within("fdx", "base_url", json!(5)), "fdx.base_url"),
        (within("fdx", "base_url", json!("ftp://x/")), "fdx.base_url"),
        (within("scopes", "ACCOUNT_BASIC", json!("a b")), "scopes.ACCOUNT_BASIC"),
        (replace_field(&good, "account_types", Some(json!(["boat"]))), "account_types[0]"),
        (replace_field(&good, "revoke", Some(json!(["rfc7009", "fax"]))), "revoke[1]"),
        (replace_field(&good, "revocation_endpoint", None), "revoke"),
        (replace_field(&good, "customer_identity", Some(json!("none"))), "grant_scope"),
        (replace_field(&good, "colour", Some(json!("red"))), "colour"),
        (replace_field(&good, "source", Some(json!("config"))), "source"),
        (replace_field(&good, "state", Some(json!("paused"))), "state"),
    ]);
    kit.assert_admin_rejects(Method::POST, "/providers", bodies).await;
    let rejected = kit.post_admin_request("/providers", replace_field(&good, "auth", Some(json!("x")))).await;
    assert!(!rejected.body.contains(good["client_secret"].as_str().unwrap()), "{}", rejected.body);
}

async fn test_provider(kit: &TestHub, id: i64) -> Value {
    kit.run_admin_operation(Method::POST, &format!("/providers/{id}/test"), None).await
}

fn find_check<'a>(report: &'a Value, name: &str) -> (&'a Value, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    let found =
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
    (&found["ok"], found["detail"].as_str().unwrap())
}

async fn provider_test_reports_failures_and_changes_nothing(kit: TestHub) {
    let healthy = test_provider(&kit, 1000).await;
    assert_eq!(healthy["ok"], true, "{healthy}");
    let names: Vec<_> =
        healthy["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    let expected =
        ["client_secret", "authorization", "token", "revocation", "data", "fdx_version", "date_parameters"];
    assert_eq!(names.iter().filter(|name| **name != "metadata").copied().collect::<Vec<_>>(), expected);
    assert_eq!(find_check(&healthy, "token").1, "HTTP 400 invalid_grant: the client is accepted");
    assert_eq!(find_check(&healthy, "revocation").1, "HTTP 200: the client is accepted");

    let mut body = take_prairie_settings(&kit).await;
    body["client_secret"] = json!("wrong");
    kit.run_admin_operation(Method::POST, "/providers", Some(body)).await;
    let before = kit.dump_admin_tables().await;
    let refused = test_provider(&kit, 3000).await;
    assert_eq!(
        (&refused["ok"], find_check(&refused, "token").0),
        (&json!(false), &json!(false)),
        "{refused}"
    );
    assert!(find_check(&refused, "token").1.contains("invalid_client: the client is rejected"));
    assert_eq!(kit.dump_admin_tables().await, before, "nothing must change");

    let bank = EndpointStub::new(|_| json_response(503, &json!({"error": "secret-text"}))).await;
    let url = bank.url.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.fdx.base_url.clone_from(&url);
        settings.token_endpoint = Some(format!("{url}/token"));
        settings.revocation_endpoint = Some("http://127.0.0.1:1/revoke".into());
        settings.authorization_endpoint = Some("http://10.0.0.1/authorize".into());
    })
    .await;
    let broken = test_provider(&kit, 1000).await;
    for (name, detail) in [
        ("authorization", "the address is not allowed"),
        ("token", "HTTP 503: the endpoint fails"),
        ("revocation", "no connection"),
        ("data", "HTTP 503: the endpoint fails"),
    ] {
        assert_eq!(find_check(&broken, name), (&json!(false), detail));
    }
    assert!(
        !broken.to_string().contains("secret-text"),
        "nothing of the provider's body must be shown: {broken}"
    );
    let site = EndpointStub::new(|_| json_response(404, &json!({"error": "secret-text"}))).await;
    let url = site.url.clone();
    kit.update_provider_settings(1000, |settings| {
        settings.authorization_endpoint = Some(format!("{url}/authorize"));
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
    })
    .await;
    let misconfigured = test_provider(&kit, 1000).await;
    for name in ["authorization", "revocation"] {
        let expected = (&json!(false), "HTTP 404: there is no such endpoint at this URL");
        assert_eq!(find_check(&misconfigured, name), expected, "{name}");
    }
    for id in ["9999", "x", "0", "%00"] {
        kit.assert_admin_not_found(&[(Method::POST, format!("/providers/{id}/test"))], "provider").await;
    }
}
