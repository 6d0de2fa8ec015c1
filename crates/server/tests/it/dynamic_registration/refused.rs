//! Tests of error responses of a registration endpoint (RFC 7591 §3.2.2), which concern either the recipient or the
//! hub's request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{EndpointStub, TestClient, TestHub, json_response, on_both};

on_both!(rfc7591_s3_2_2_software_statement_error_rejects, rfc7591_s3_2_2_other_error_needs_manual_action);

impl TestHub {
    /// Returns the status and the reason of a recipient's registration as the partner sees them.
    async fn load_partner_view(&self, recipient: &TestClient) -> (Value, Value) {
        let path = format!("/api/v1/recipients/{}/providers/1000", recipient.id);
        let token = self.request_client_token(&self.partner()).await;
        let mut seen = self.call(Method::GET, &path, &token).await.json();
        (seen["registration_status"].take(), seen["reason"].take())
    }

    async fn retry_registration_job(&self) {
        let failed_job =
            self.list_jobs_of_kind("register_upstream_client").await[0]["id"].as_str().unwrap().to_owned();
        self.run_admin_operation(Method::POST, &format!("/jobs/{failed_job}/retry"), None).await;
    }
}

async fn rfc7591_s3_2_2_software_statement_error_rejects(kit: TestHub) {
    let word = Arc::new(Mutex::new(""));
    let given = word.clone();
    let bank =
        EndpointStub::new(move |_| json_response(400, &json!({"error": *given.lock().unwrap()}))).await;
    kit.enable_client_registration_at(&format!("{}/register", bank.url)).await;
    for refusal in ["invalid_software_statement", "unapproved_software_statement"] {
        *word.lock().unwrap() = refusal;
        let recipient = kit.create_approved_recipient().await;
        kit.wait_for_registration_state(&recipient, "rejected").await;
        let reason = json!(format!("The data provider rejected the registration: {refusal}"));
        assert_eq!(kit.load_registration(&recipient).await["reason"], reason);
        assert_eq!(kit.load_partner_view(&recipient).await, (json!("REJECTED"), reason));
        let job = kit.wait_for_job("register_upstream_client", "done").await;
        assert_eq!(job["outcome"], format!("HTTP 400 {refusal}: rejected"));
        assert_eq!(kit.list_registration_steps(&recipient).await.last().unwrap(), "provider rejected");
        // The registration can be requested again.
        kit.request_registration(&recipient).await;
        // The next job is listed first.
        kit.advance(Duration::from_secs(1));
    }
}

async fn rfc7591_s3_2_2_other_error_needs_manual_action(kit: TestHub) {
    let bank = EndpointStub::new(|_| json_response(400, &json!({"error": "invalid_redirect_uri"}))).await;
    kit.enable_client_registration_at(&format!("{}/register", bank.url)).await;
    let recipient = kit.create_approved_recipient().await;
    let rest = "correct the provider's settings and retry the job, or reject the registration";
    let job = kit.wait_for_job("register_upstream_client", "failed").await;
    assert_eq!(job["outcome"], format!("HTTP 400 invalid_redirect_uri: {rest}"));

    kit.enable_client_registration().await;
    // These error codes are not registered.
    kit.update_provider_settings(1000, |settings| {
        settings.scopes.values_mut().for_each(|word| *word = "unheard:of".into());
    })
    .await;
    kit.retry_registration_job().await;
    let outcome = format!("HTTP 400 invalid_client_metadata: {rest}");
    kit.wait_until("it is refused again", async || {
        kit.list_jobs_of_kind("register_upstream_client").await[0]["outcome"] == outcome
    })
    .await;
    assert_eq!(kit.wait_for_job("register_upstream_client", "failed").await["outcome"], outcome);
    assert_eq!(kit.load_registration(&recipient).await["reason"], Value::Null);
    assert_eq!(
        kit.load_partner_view(&recipient).await,
        (json!("PENDING_ACTIVATION"), Value::Null),
        "nothing is rejected"
    );
    assert!(kit.world.maple().bank.client_ids().is_empty());

    let words = "fdx:accountbasic:read";
    kit.update_provider_settings(1000, |settings| {
        settings.scopes.values_mut().for_each(|word| *word = words.into());
    })
    .await;
    kit.retry_registration_job().await;
    kit.wait_for_registration_state(&recipient, "active").await;
}
