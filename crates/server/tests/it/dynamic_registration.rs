//! Tests of providers that register a client for each recipient (RFC 7591) and whose response activates the
//! registration.

mod gated_endpoint;
mod refused;
mod suspension;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::model::provider::{ClientAuthentication, DynamicRegistration, SecretSource, UpstreamClientMode};
use http::{Method, Response};
use serde_json::{Value, json};

use gated_endpoint::{GatedEndpoint, build_registration_response};

use crate::support::{
    ConnectionTokens, EndpointStub, SCOPE, TestClient, TestHub, hex, json_response, on_both, query_parameter,
};

on_both!(
    dynamic_registration_activates_and_uses_new_client,
    client_registration_is_retried_after_provider_failure,
    rejection_during_client_registration_deletes_client,
    recipient_removal_during_registration_deletes_new_client,
    manual_activation_during_registration_deletes_new_client,
    rfc7591_s3_2_1_unusable_response_activates_nothing,
    removed_recipient_client_is_deleted_after_revocations,
    provider_added_by_api_seals_initial_access_token,
    rejected_or_manual_registration_requests_no_client,
);

impl TestHub {
    /// Configures Maple Trust to have a client for each registration, which the hub registers at an endpoint.
    async fn enable_client_registration_at(&self, endpoint: &str) {
        let file = self.data_folder().join("initial.token");
        std::fs::write(&file, self.world.maple().bank.initial_access_token().unwrap()).unwrap();
        let (endpoint, file) = (endpoint.to_owned(), file.display().to_string());
        self.update_provider_settings(1000, |settings| {
            settings.upstream_client = UpstreamClientMode::PerRegistration;
            settings.client_id = "unused".into();
            settings.client_secret = Some(SecretSource::Env("BOWLINE_NO_SUCH_SECRET".into()));
            let initial_access_token = Some(SecretSource::File(file));
            settings.dynamic_registration = Some(DynamicRegistration { endpoint, initial_access_token });
        })
        .await;
    }

    pub(crate) async fn enable_client_registration(&self) {
        self.enable_client_registration_at(&format!("{}/register", self.world.maple().url)).await;
    }

    /// Creates a recipient whose registration is approved.
    pub(crate) async fn create_approved_recipient(&self) -> TestClient {
        let recipient = self.create_recipient(&self.request_client_token(&self.partner()).await).await;
        self.request_registration(&recipient).await;
        self.complete_registration_step(&recipient, "approve", json!({})).await;
        recipient
    }

    async fn request_registration(&self, recipient: &TestClient) {
        let path = format!("/api/v1/recipients/providers/requests/{}/1000", recipient.id);
        let response =
            self.call(Method::POST, &path, &self.request_client_token(&self.partner()).await).await;
        assert_eq!(response.status, 200, "{}", response.body);
    }

    async fn load_registration(&self, recipient: &TestClient) -> Value {
        self.run_admin_operation(Method::GET, &format!("/registrations/{}/1000", recipient.id), None).await
    }

    pub(crate) async fn wait_for_registration_state(&self, recipient: &TestClient, state: &str) {
        self.wait_until(state, async || self.load_registration(recipient).await["state"] == state).await;
    }

    /// Lists the jobs of a kind as the admin API shows them, newest first.
    pub(crate) async fn list_jobs_of_kind(&self, kind: &str) -> Vec<Value> {
        let listed = self.run_admin_operation(Method::GET, &format!("/jobs?kind={kind}"), None).await;
        listed["items"].as_array().unwrap().clone()
    }

    /// Waits until the newest job of a kind has finished or was attempted, and returns it.
    pub(crate) async fn wait_for_job(&self, kind: &str, state: &str) -> Value {
        let newest = async || self.list_jobs_of_kind(kind).await.first().cloned().unwrap_or_default();
        let tried = async || {
            let job = newest().await;
            job["state"] == state && job["attempts"].as_i64() > Some(0)
        };
        self.wait_until(&format!("{kind} {state}"), tried).await;
        newest().await
    }

    /// Lists the actor and the state of each step of a recipient's registration.
    async fn list_registration_steps(&self, recipient: &TestClient) -> Vec<String> {
        let steps = format!(
            "SELECT actor_kind, detail FROM audit_events WHERE action = 'registration.changed' AND subject_id = '{}' \
             ORDER BY seq",
            recipient.id
        );
        let describe_step = |row: String| {
            let (actor, detail) = row.split_once('|').unwrap();
            let detail: Value = serde_json::from_str(detail).unwrap();
            format!("{actor} {}", detail["state"].as_str().unwrap())
        };
        self.sql(&steps).await.into_iter().map(describe_step).collect()
    }
}

async fn dynamic_registration_activates_and_uses_new_client(kit: TestHub) {
    kit.enable_client_registration().await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    let clients = kit.world.maple().bank.client_ids();
    let stored_client_ids =
        kit.sql("SELECT upstream_client_id FROM registrations WHERE client_configuration IS NOT NULL").await;
    assert_eq!((clients.len(), &stored_client_ids), (1, &clients));
    let job = kit.wait_for_job("register_upstream_client", "done").await;
    assert_eq!((&job["outcome"], &job["attempts"]), (&json!("HTTP 201: activated"), &json!(1)));
    assert_eq!((&job["connection_id"], &job["client_id"]), (&Value::Null, &json!(recipient.id)));
    let steps = ["partner pending_approval", "operator pending_activation", "provider active"];
    assert_eq!(kit.list_registration_steps(&recipient).await, steps);
    kit.assert_uses_upstream_client(&recipient).await;
}

async fn client_registration_is_retried_after_provider_failure(kit: TestHub) {
    kit.enable_client_registration().await;
    kit.inject_faults(json!({"fail": 503})).await;
    let recipient = kit.create_approved_recipient().await;
    let job = kit.wait_for_job("register_upstream_client", "pending").await;
    assert_eq!(job["outcome"], "HTTP 503");
    assert_eq!(kit.load_registration(&recipient).await["state"], "pending_activation");
    kit.inject_faults(json!({"fail": null, "rate_limited": true})).await;
    kit.advance(Duration::from_secs(6));
    kit.wait_until("it is asked again", async || {
        kit.list_jobs_of_kind("register_upstream_client").await[0]["attempts"] == 2
    })
    .await;
    assert_eq!(kit.list_jobs_of_kind("register_upstream_client").await[0]["outcome"], "HTTP 429");
    kit.inject_faults(json!({"rate_limited": false})).await;
    std::fs::write(kit.data_folder().join("initial.token"), "wrong").unwrap();
    kit.advance(Duration::from_secs(24));
    kit.wait_until("and again", async || {
        kit.list_jobs_of_kind("register_upstream_client").await[0]["attempts"] == 3
    })
    .await;
    assert_eq!(
        kit.list_jobs_of_kind("register_upstream_client").await[0]["outcome"],
        "HTTP 401 invalid_token",
        "the settings can be corrected"
    );
    std::fs::write(
        kit.data_folder().join("initial.token"),
        kit.world.maple().bank.initial_access_token().unwrap(),
    )
    .unwrap();
    kit.advance(Duration::from_mins(2));
    kit.wait_for_registration_state(&recipient, "active").await;
    assert_eq!(kit.world.maple().bank.client_ids().len(), 1);
    let events =
        kit.send_admin_request(Method::GET, "/audit?action=client.call_failed&limit=100").await.json();
    let mut reasons: Vec<_> = events["items"].as_array().unwrap().iter().collect();
    reasons.sort_by_key(|event| event["at"].as_str().unwrap().to_owned());
    let reasons: Vec<_> = reasons
        .iter()
        .map(|event| (&event["detail"]["reason"], &event["detail"]["call"], &event["subject"]["id"]))
        .collect();
    let (call, subject) = (json!("registration"), json!(recipient.id));
    let expected = ["server_error", "rate_limited", "client_rejected"].map(|reason| json!(reason));
    assert_eq!(reasons, expected.iter().map(|reason| (reason, &call, &subject)).collect::<Vec<_>>());
    let metrics = kit.app().telemetry().render();
    for reason in ["server_error", "rate_limited", "client_rejected"] {
        let labels = format!("{{provider=\"1000\",call=\"registration\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&format!("bowline_provider_call_failures_total{labels}")), "{metrics}");
    }
}

/// Asserts that a client that the provider registered too late is deleted there, with its registration access token.
async fn assert_late_client_deleted(kit: &TestHub, gate: &GatedEndpoint) {
    let job = kit.wait_for_job("delete_upstream_client", "done").await;
    assert_eq!(job["outcome"], "HTTP 204");
    let (request_line, bearer) = gate.calls().pop().unwrap();
    assert_eq!(
        (request_line.as_str(), bearer.as_str()),
        ("DELETE /register/there-1", "Bearer managed-by-this")
    );
}

async fn rejection_during_client_registration_deletes_client(kit: TestHub) {
    let gate = GatedEndpoint::new().await;
    kit.enable_client_registration_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.create_approved_recipient().await;
    gate.wait_for_request().await;
    kit.complete_registration_step(&recipient, "reject", json!({"reason": "Not a licensed company"})).await;
    gate.release_response();
    let job = kit.wait_for_job("register_upstream_client", "done").await;
    let found = kit.load_registration(&recipient).await;
    assert_eq!(found["state"], "rejected", "the rejection remains");
    assert_eq!(found["reason"], "Not a licensed company");
    let expected_outcome =
        "HTTP 201: the registration is no longer pending; the client will be deleted at the provider";
    assert_eq!(job["outcome"], expected_outcome);
    assert_late_client_deleted(&kit, &gate).await;
    let stored =
        kit.sql("SELECT client_id FROM registrations WHERE upstream_client_secret IS NOT NULL").await;
    assert_eq!(stored, [""; 0]);
}

async fn recipient_removal_during_registration_deletes_new_client(kit: TestHub) {
    let gate = GatedEndpoint::new().await;
    kit.enable_client_registration_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.create_approved_recipient().await;
    gate.wait_for_request().await;
    let path = format!("/api/v1/recipients/{}", recipient.id);
    let token = kit.request_client_token(&kit.partner()).await;
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
    gate.release_response();
    assert_late_client_deleted(&kit, &gate).await;
    let state = format!("SELECT state FROM registrations WHERE client_id = '{}'", recipient.id);
    assert_eq!(kit.sql(&state).await, ["pending_activation"], "nothing was activated");
}

async fn manual_activation_during_registration_deletes_new_client(kit: TestHub) {
    let gate = GatedEndpoint::new().await;
    kit.enable_client_registration_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.create_approved_recipient().await;
    gate.wait_for_request().await;
    let by_hand = json!({"upstream_client_id": "by-hand", "upstream_client_secret": "x"});
    kit.complete_registration_step(&recipient, "activate", by_hand).await;
    gate.release_response();
    assert_late_client_deleted(&kit, &gate).await;
    let used = kit.sql("SELECT upstream_client_id FROM registrations WHERE state = 'active'").await;
    assert!(used.contains(&"by-hand".to_owned()) && !used.contains(&"there-1".to_owned()), "{used:?}");
}

async fn rfc7591_s3_2_1_unusable_response_activates_nothing(kit: TestHub) {
    let answer = Arc::new(Mutex::new((201, String::new())));
    let given = answer.clone();
    let bank = EndpointStub::new(move |call| {
        if call.path != "/register" {
            return Response::builder().status(204).body(String::new()).unwrap();
        }
        let (status, body) = given.lock().unwrap().clone();
        Response::builder().status(status).body(body).unwrap()
    })
    .await;
    kit.enable_client_registration_at(&format!("{}/register", bank.url)).await;
    kit.update_provider_settings(1000, |settings| settings.auth = ClientAuthentication::ClientSecretBasic)
        .await;
    let with = |field: &str, value: Value| {
        let mut body = build_registration_response("there-2");
        body[field] = value;
        body.to_string()
    };
    let deleted = "; the client will be deleted at the provider";
    let left = "; a client may remain at the provider, which did not say how to delete it";
    let evil = [
        ("{".into(), "the response cannot be parsed", left),
        ("x".repeat(100_000), "the response is too large", left),
        (with("client_id", json!("a\r\nb")), "client_id is missing, too long or not printable", left),
        (
            with("client_secret", json!("x".repeat(5000))),
            "client_secret is missing, too long or not printable",
            deleted,
        ),
        (
            with("client_secret_expires_at", json!(1)),
            "the client secret expires, and the hub cannot renew it",
            deleted,
        ),
        (
            with("token_endpoint_auth_method", json!("private_key_jwt")),
            "the client's authentication method differs from the provider's settings",
            deleted,
        ),
        (
            with("redirect_uris", json!(["https://evil.example.org/"])),
            "the client is registered without the hub's redirect URI",
            deleted,
        ),
    ];
    let recipient = {
        *answer.lock().unwrap() = (201, evil[0].0.clone());
        kit.create_approved_recipient().await
    };
    let mut deletions = 0;
    for (nth, (body, why, consequence)) in evil.iter().enumerate() {
        if nth > 0 {
            *answer.lock().unwrap() = (201, body.clone());
            let failed_job =
                kit.list_jobs_of_kind("register_upstream_client").await[0]["id"].as_str().unwrap().to_owned();
            kit.run_admin_operation(Method::POST, &format!("/jobs/{failed_job}/retry"), None).await;
        }
        let job = kit.wait_for_job("register_upstream_client", "failed").await;
        assert_eq!(job["outcome"], format!("HTTP 201: {why}{consequence}"));
        assert_eq!(kit.load_registration(&recipient).await["state"], "pending_activation", "{why}");
        deletions += usize::from(*consequence == deleted);
        kit.wait_until("it is deleted", async || {
            bank.calls().iter().filter(|call| call.path == "/register/there-2").count() == deletions
        })
        .await;
    }
    // A host of another origin is never called.
    *answer.lock().unwrap() = (
        201,
        with("registration_client_uri", json!("http://127.0.0.1:1/steal")).replace("there-2", "there-3"),
    );
    let failed_job =
        kit.list_jobs_of_kind("register_upstream_client").await[0]["id"].as_str().unwrap().to_owned();
    kit.run_admin_operation(Method::POST, &format!("/jobs/{failed_job}/retry"), None).await;
    kit.wait_for_registration_state(&recipient, "active").await;
    let stored =
        kit.sql("SELECT client_configuration FROM registrations WHERE upstream_client_id = 'there-3'").await;
    assert_eq!(stored, [""], "the URI is not stored");
}

async fn removed_recipient_client_is_deleted_after_revocations(kit: TestHub) {
    kit.enable_client_registration().await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    kit.connect_at(1000, &recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    kit.connect(&kit.create_recipient_with_hub_client().await).await;
    kit.inject_faults(json!({"fail": 503})).await;
    let path = format!("/api/v1/recipients/{}", recipient.id);
    let token = kit.request_client_token(&kit.partner()).await;
    assert_eq!(kit.call(Method::DELETE, &path, &token).await.status, 204);
    let job = kit.wait_for_job("delete_upstream_client", "pending").await;
    assert_eq!(job["outcome"], "revocations by this client may still be pending at the provider");
    assert_eq!(kit.world.maple().bank.client_ids().len(), 1);
    kit.inject_faults(json!({"fail": null})).await;
    kit.wait_until("the client is gone", async || {
        kit.advance(Duration::from_secs(30));
        kit.world.maple().bank.client_ids().is_empty()
    })
    .await;
    let revocation_job = kit.wait_for_job("revoke_at_provider", "done").await;
    assert_eq!(revocation_job["outcome"], "HTTP 200", "the client revokes before it is deleted");
    let mut grants = kit.list_grant_states().await;
    grants.sort();
    assert_eq!(grants, ["active", "ended"], "no other grant ended");
    assert_eq!(kit.wait_for_job("delete_upstream_client", "done").await["holds_token"], false);
}

impl TestHub {
    /// Creates a recipient whose upstream client at Maple Trust is the client that the hub used for all recipients
    /// before.
    async fn create_recipient_with_hub_client(&self) -> TestClient {
        let secret = std::fs::read_to_string(self.data_folder().join("maple.secret")).unwrap();
        let other = self.create_recipient(&self.request_client_token(&self.partner()).await).await;
        self.request_registration(&other).await;
        self.inject_faults(json!({"fail": 503})).await;
        self.complete_registration_step(&other, "approve", json!({})).await;
        let there = json!({"upstream_client_id": "bowline", "upstream_client_secret": secret.trim_end()});
        self.complete_registration_step(&other, "activate", there).await;
        self.inject_faults(json!({"fail": null})).await;
        other
    }
}

async fn provider_added_by_api_seals_initial_access_token(kit: TestHub) {
    let token = kit.world.maple().bank.initial_access_token().unwrap();
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    let mut body = shown["settings"].clone();
    let endpoint = format!("{}/register", kit.world.maple().url);
    for (field, value) in [
        ("id", json!(4000)),
        ("client_secret", json!("unused-secret")),
        ("upstream_client", json!("registration")),
        ("dynamic_registration", json!({"endpoint": endpoint, "initial_access_token": token})),
    ] {
        body[field] = value;
    }
    let before = kit.sql("SELECT id FROM providers").await;
    for (there, client, field) in [
        (json!({"endpoint": endpoint}), "hub", "dynamic_registration"),
        (json!({"endpoint": "ftp://x/"}), "registration", "dynamic_registration.endpoint"),
        (json!({}), "registration", "dynamic_registration.endpoint"),
        (json!("x"), "registration", "dynamic_registration"),
        (json!({"endpoint": endpoint, "colour": 1}), "registration", "dynamic_registration.colour"),
        (
            json!({"endpoint": endpoint, "initial_access_token": {"env": "HOME"}}),
            "registration",
            "dynamic_registration.initial_access_token",
        ),
        (
            json!({"endpoint": endpoint, "initial_access_token": "a\nb"}),
            "registration",
            "dynamic_registration.initial_access_token",
        ),
    ] {
        let mut bad = body.clone();
        (bad["dynamic_registration"], bad["upstream_client"]) = (there, json!(client));
        let refused = kit.post_admin_request("/providers", bad).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(field)), "{}", refused.body);
    }
    assert_eq!(kit.sql("SELECT id FROM providers").await, before, "nothing was added");

    let added = kit.post_admin_request("/providers", body).await;
    assert_eq!(added.status, 201, "{}", added.body);
    assert_eq!(added.json()["settings"]["dynamic_registration"], json!({"endpoint": endpoint}));
    let row = kit.sql("SELECT settings, secrets FROM providers WHERE id = 4000").await.concat();
    assert!(!row.contains(&token) && !row.contains(&hex(token.as_bytes())), "the token is sealed");
    let check = kit.run_admin_operation(Method::POST, "/providers/4000/test", None).await;
    assert_eq!(check["ok"], true, "{check}");
    let names: Vec<_> =
        check["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"initial_access_token") && names.contains(&"registration"), "{names:?}");

    let recipient = kit.create_recipient(&kit.request_client_token(&kit.partner()).await).await;
    let ids = json!({"client_ids": [recipient.id], "provider_ids": [4000]});
    kit.run_admin_operation(Method::POST, "/registrations", Some(ids)).await;
    let path = format!("/registrations/{}/4000", recipient.id);
    kit.run_admin_operation(Method::POST, &format!("{path}/approve"), None).await;
    kit.wait_until("the bank activates", async || {
        kit.run_admin_operation(Method::GET, &path, None).await["state"] == "active"
    })
    .await;
    let mut query = TestHub::build_authorization_query(&recipient);
    query.retain(|(name, _)| *name != "provider_id");
    query.push(("provider_id", "4000".into()));
    let code =
        query_parameter(&kit.complete_authorization(&query, "alice", &["mt-alice-chequing"]).await, "code")
            .unwrap();
    let tokens = ConnectionTokens::from_response(&kit.redeem(&recipient, &code).await, code);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
}

async fn rejected_or_manual_registration_requests_no_client(kit: TestHub) {
    let bank = EndpointStub::new(|_| json_response(503, &json!({}))).await;
    kit.enable_client_registration_at(&format!("{}/register", bank.url)).await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_job("register_upstream_client", "pending").await;
    let calls_before = bank.calls().len();
    kit.complete_registration_step(&recipient, "reject", json!({"reason": "no"})).await;
    kit.advance(Duration::from_mins(1));
    let job = kit.wait_for_job("register_upstream_client", "done").await;
    assert_eq!(job["outcome"], "the registration is no longer pending");
    kit.update_provider_settings(1000, |settings| settings.dynamic_registration = None).await;
    kit.request_registration(&recipient).await;
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    assert_eq!(
        kit.list_jobs_of_kind("register_upstream_client").await.len(),
        1,
        "the registration is activated manually"
    );
    assert_eq!(bank.calls().len(), calls_before, "the provider is not called needlessly");
    let sent: Value = serde_json::from_str(&bank.calls()[0].body).unwrap();
    assert_eq!((&sent["client_name"], &sent["software_id"]), (&json!("Flinks Fake"), &json!(recipient.id)));
    assert_eq!(sent["redirect_uris"], json!([kit.url("/callback/1000")]));
}
