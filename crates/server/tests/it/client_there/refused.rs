//! What a provider's refusal means (RFC 7591 §3.2.2): of the recipient, or of what the hub said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::kit::{Kit, Recipient, StandIn, on_both, says};

on_both!(what_is_said_of_the_recipient_rejects_it, what_may_be_the_hubs_own_mistake_waits_for_a_person);

impl Kit {
    /// The status and the reason that a partner sees.
    async fn seen(&self, recipient: &Recipient) -> (Value, Value) {
        let path = format!("/api/v1/recipients/{}/providers/1000", recipient.id);
        let token = self.client_token(&self.partner()).await;
        let mut seen = self.call(Method::GET, &path, &token).await.json();
        (seen["registration_status"].take(), seen["reason"].take())
    }

    async fn retried(&self) {
        let dead = self.jobs_of("register_client").await[0]["id"].as_str().unwrap().to_owned();
        self.did(Method::POST, &format!("/jobs/{dead}/retry"), None).await;
    }
}

async fn what_is_said_of_the_recipient_rejects_it(kit: Kit) {
    let word = Arc::new(Mutex::new(""));
    let given = word.clone();
    let bank = StandIn::new(move |_| says(400, &json!({"error": *given.lock().unwrap()}))).await;
    kit.registers_at(&format!("{}/register", bank.url)).await;
    for refusal in ["invalid_software_statement", "unapproved_software_statement"] {
        *word.lock().unwrap() = refusal;
        let recipient = kit.sent_to_the_bank().await;
        kit.until_state(&recipient, "rejected").await;
        let reason = json!(format!("The data provider refuses the registration: {refusal}"));
        assert_eq!(kit.registration(&recipient).await["reason"], reason);
        assert_eq!(kit.seen(&recipient).await, (json!("REJECTED"), reason));
        let job = kit.until_job("register_client", "done").await;
        assert_eq!(job["outcome"], format!("HTTP 400 {refusal}: rejected"));
        assert_eq!(kit.steps(&recipient).await.last().unwrap(), "provider rejected");
        // It may be asked for again.
        kit.requested(&recipient).await;
        // The next job is the newest.
        kit.advance(Duration::from_secs(1));
    }
}

async fn what_may_be_the_hubs_own_mistake_waits_for_a_person(kit: Kit) {
    let bank = StandIn::new(|_| says(400, &json!({"error": "invalid_redirect_uri"}))).await;
    kit.registers_at(&format!("{}/register", bank.url)).await;
    let recipient = kit.sent_to_the_bank().await;
    let rest = "correct the provider's settings and try again, or reject the registration";
    let job = kit.until_job("register_client", "dead").await;
    assert_eq!(job["outcome"], format!("HTTP 400 invalid_redirect_uri: {rest}"));

    kit.registers().await;
    // The bank knows none of these words.
    kit.set_up(1000, |settings| settings.scopes.values_mut().for_each(|word| *word = "unheard:of".into()))
        .await;
    kit.retried().await;
    let outcome = format!("HTTP 400 invalid_client_metadata: {rest}");
    kit.until("it is refused again", async || kit.jobs_of("register_client").await[0]["outcome"] == outcome)
        .await;
    assert_eq!(kit.until_job("register_client", "dead").await["outcome"], outcome);
    assert_eq!(kit.registration(&recipient).await["reason"], Value::Null);
    assert_eq!(kit.seen(&recipient).await, (json!("PENDING_ACTIVATION"), Value::Null), "nothing is rejected");
    assert!(kit.world.maple().bank.clients().is_empty());

    let words = "fdx:accountbasic:read";
    kit.set_up(1000, |settings| settings.scopes.values_mut().for_each(|word| *word = words.into())).await;
    kit.retried().await;
    kit.until_state(&recipient, "active").await;
}
