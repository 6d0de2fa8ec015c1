//! Tests that a failing registration endpoint does not affect data, and that a paused provider receives no
//! registrations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use domain::model::provider::ProviderState;
use http::Method;
use serde_json::json;

use super::{GatedEndpoint, assert_late_client_deleted, build_registration_response};
use crate::support::{EndpointStub, TestClient, TestHub, json_response, on_both};

on_both!(
    registration_endpoint_failures_do_not_affect_data,
    client_registration_waits_until_provider_is_released,
    retired_provider_rejects_approval_and_activation,
    provider_retired_during_registration_activates_nothing,
);

const PROVIDER_RETIRED: &str = "the provider is retired and accepts no recipients";

impl TestHub {
    /// Asserts that a step of the registration is rejected because the provider is retired.
    async fn assert_step_rejected(&self, recipient: &TestClient, step: &str, body: serde_json::Value) {
        let before = self.load_registration(recipient).await;
        let refused =
            self.post_admin_request(&format!("/registrations/{}/1000/{step}", recipient.id), body).await;
        assert_eq!(refused.status, 409, "{step}: {}", refused.body);
        assert!(refused.body.contains(PROVIDER_RETIRED), "{}", refused.body);
        assert_eq!(self.load_registration(recipient).await, before, "{step}");
    }
}

async fn registration_endpoint_failures_do_not_affect_data(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let status = Arc::new(AtomicU16::new(503));
    let given = status.clone();
    let endpoint = EndpointStub::new(move |_| {
        json_response(given.load(Ordering::SeqCst), &build_registration_response("there-1"))
    })
    .await;
    kit.enable_client_registration_at(&format!("{}/register", endpoint.url)).await;
    let most = usize::try_from(kit.app().config().upstream.breaker_failures).unwrap();
    for _ in 0..=most {
        kit.create_approved_recipient().await;
    }
    kit.wait_until("the breaker of the registration endpoint opens", async || {
        let jobs = kit.list_jobs_of_kind("register_upstream_client").await;
        jobs.len() == most + 1 && jobs.iter().filter(|job| job["outcome"] == "HTTP 503").count() == most
    })
    .await;
    assert_eq!(endpoint.calls().len(), most);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "data is served");
    let page = format!("http://{}/metrics", kit.world.node.probes);
    let page = kit.send(bowline::cli::BrowserRequest::new(Method::GET, &page)).await.body;
    let counted = page.lines().find(|line| line.contains("call=\"register\"")).unwrap();
    let total = format!(" {most}");
    assert!(
        counted.starts_with("bowline_upstream_requests_total{") && counted.ends_with(&total),
        "{counted}"
    );

    status.store(201, Ordering::SeqCst);
    kit.advance(kit.app().config().upstream.breaker_open.duration());
    kit.inject_faults(json!({"fail": 500})).await;
    for _ in 0..most {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 500);
    }
    kit.inject_faults(json!({"fail": null})).await;
    let recipient = kit.create_approved_recipient().await;
    kit.wait_for_registration_state(&recipient, "active").await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503, "the circuit breaker is still open");
}

async fn client_registration_waits_until_provider_is_released(kit: TestHub) {
    let endpoint = EndpointStub::new(|_| json_response(201, &build_registration_response("there-1"))).await;
    kit.enable_client_registration_at(&format!("{}/register", endpoint.url)).await;
    for (nth, state) in [ProviderState::Paused, ProviderState::AutoPaused].into_iter().enumerate() {
        kit.set_provider_state(1000, state).await;
        let recipient = kit.create_approved_recipient().await;
        let job = kit.wait_for_job("register_upstream_client", "pending").await;
        let expected_outcome = format!("the provider is {state}: the client is requested after its release");
        assert_eq!(job["outcome"], expected_outcome);
        assert_eq!(kit.load_registration(&recipient).await["state"], "pending_activation");
        assert_eq!(endpoint.calls().len(), nth, "no request is sent");
        kit.set_provider_state(1000, ProviderState::Active).await;
        kit.advance(Duration::from_mins(1));
        kit.wait_for_registration_state(&recipient, "active").await;
    }
}

async fn retired_provider_rejects_approval_and_activation(kit: TestHub) {
    let endpoint = EndpointStub::new(|_| json_response(503, &json!({}))).await;
    kit.enable_client_registration_at(&format!("{}/register", endpoint.url)).await;
    let recipient = kit.create_recipient(&kit.request_client_token(&kit.partner()).await).await;
    kit.request_registration(&recipient).await;
    kit.set_provider_state(1000, ProviderState::Retired).await;
    kit.assert_step_rejected(&recipient, "approve", json!({})).await;
    assert!(kit.list_jobs_of_kind("register_upstream_client").await.is_empty());

    kit.set_provider_state(1000, ProviderState::Active).await;
    kit.complete_registration_step(&recipient, "approve", json!({})).await;
    kit.wait_for_job("register_upstream_client", "pending").await;
    kit.set_provider_state(1000, ProviderState::Retired).await;
    let calls_before = endpoint.calls().len();
    kit.advance(Duration::from_mins(1));
    let job = kit.wait_for_job("register_upstream_client", "failed").await;
    assert_eq!((&job["outcome"], endpoint.calls().len()), (&json!(PROVIDER_RETIRED), calls_before));
    let by_hand = json!({"upstream_client_id": "by-hand", "upstream_client_secret": "x"});
    kit.assert_step_rejected(&recipient, "activate", by_hand).await;
    kit.complete_registration_step(&recipient, "reject", json!({"reason": "The provider leaves"})).await;
}

async fn provider_retired_during_registration_activates_nothing(kit: TestHub) {
    let gate = GatedEndpoint::new().await;
    kit.enable_client_registration_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.create_approved_recipient().await;
    gate.wait_for_request().await;
    kit.set_provider_state(1000, ProviderState::Retired).await;
    gate.release_response();
    let job = kit.wait_for_job("register_upstream_client", "failed").await;
    assert_eq!(
        job["outcome"],
        format!("HTTP 201: {PROVIDER_RETIRED}; the client will be deleted at the provider")
    );
    assert_eq!(kit.load_registration(&recipient).await["state"], "pending_activation");
    assert_late_client_deleted(&kit, &gate).await;
}
