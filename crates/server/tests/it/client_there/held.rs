//! A provider's registration of clients and the rest of it: a dead endpoint leaves data alone, and whoever is held is
//! not asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use domain::model::provider::ProviderState;
use http::Method;
use serde_json::json;

use super::{Gate, deleted, good};
use crate::kit::{Kit, Recipient, StandIn, on_both, says};

on_both!(
    a_dead_registration_endpoint_leaves_data_alone_and_data_leaves_it_alone,
    who_is_held_is_asked_when_it_is_released,
    who_is_retired_takes_nobody_any_more,
    who_is_retired_meanwhile_takes_nobody,
);

const RETIRED: &str = "the provider is retired: it takes nobody any more";

impl Kit {
    /// A step that a retired provider is in the way of.
    async fn not_taken(&self, recipient: &Recipient, step: &str, body: serde_json::Value) {
        let before = self.registration(recipient).await;
        let refused = self.admin_post(&format!("/registrations/{}/1000/{step}", recipient.id), body).await;
        assert_eq!(refused.status, 409, "{step}: {}", refused.body);
        assert!(refused.body.contains(RETIRED), "{}", refused.body);
        assert_eq!(self.registration(recipient).await, before, "{step}");
    }
}

async fn a_dead_registration_endpoint_leaves_data_alone_and_data_leaves_it_alone(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    let status = Arc::new(AtomicU16::new(503));
    let given = status.clone();
    let endpoint = StandIn::new(move |_| says(given.load(Ordering::SeqCst), &good("there-1"))).await;
    kit.registers_at(&format!("{}/register", endpoint.url)).await;
    let most = usize::try_from(kit.app().config().upstream.breaker_failures).unwrap();
    for _ in 0..=most {
        kit.sent_to_the_bank().await;
    }
    kit.until("each is asked for", async || {
        let jobs = kit.jobs_of("register_client").await;
        jobs.len() == most + 1 && jobs.iter().all(|job| job["outcome"] == "HTTP 503")
    })
    .await;
    assert_eq!(endpoint.calls().len(), most + 1);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "data flows");
    let page = format!("http://{}/metrics", kit.world.node.probes);
    let page = kit.send(bowline::cli::Sent::new(Method::GET, &page)).await.body;
    let counted = page.lines().find(|line| line.contains("call=\"register\"")).unwrap();
    let total = format!(" {}", most + 1);
    assert!(
        counted.starts_with("bowline_upstream_requests_total{") && counted.ends_with(&total),
        "{counted}"
    );

    kit.levers(json!({"fail": 500})).await;
    for _ in 0..most {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 500);
    }
    kit.levers(json!({"fail": null})).await;
    status.store(201, Ordering::SeqCst);
    let recipient = kit.sent_to_the_bank().await;
    kit.until_state(&recipient, "active").await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503, "the bank is still left alone");
}

async fn who_is_held_is_asked_when_it_is_released(kit: Kit) {
    let endpoint = StandIn::new(|_| says(201, &good("there-1"))).await;
    kit.registers_at(&format!("{}/register", endpoint.url)).await;
    for (nth, state) in [ProviderState::Paused, ProviderState::Tripped].into_iter().enumerate() {
        kit.hold_provider(1000, state).await;
        let recipient = kit.sent_to_the_bank().await;
        let job = kit.until_job("register_client", "pending").await;
        let told = format!("the provider is {state}: it is asked when it is released");
        assert_eq!(job["outcome"], told);
        assert_eq!(kit.registration(&recipient).await["state"], "pending_activation");
        assert_eq!(endpoint.calls().len(), nth, "nobody is asked");
        kit.hold_provider(1000, ProviderState::Active).await;
        kit.advance(Duration::from_mins(1));
        kit.until_state(&recipient, "active").await;
    }
}

async fn who_is_retired_takes_nobody_any_more(kit: Kit) {
    let endpoint = StandIn::new(|_| says(503, &json!({}))).await;
    kit.registers_at(&format!("{}/register", endpoint.url)).await;
    let recipient = kit.created(&kit.client_token(&kit.partner()).await).await;
    kit.requested(&recipient).await;
    kit.hold_provider(1000, ProviderState::Retired).await;
    kit.not_taken(&recipient, "approve", json!({})).await;
    assert!(kit.jobs_of("register_client").await.is_empty());

    kit.hold_provider(1000, ProviderState::Active).await;
    kit.took(&recipient, "approve", json!({})).await;
    kit.until_job("register_client", "pending").await;
    kit.hold_provider(1000, ProviderState::Retired).await;
    let asked = endpoint.calls().len();
    kit.advance(Duration::from_mins(1));
    let job = kit.until_job("register_client", "dead").await;
    assert_eq!((&job["outcome"], endpoint.calls().len()), (&json!(RETIRED), asked));
    let by_hand = json!({"upstream_client_id": "by-hand", "upstream_client_secret": "x"});
    kit.not_taken(&recipient, "activate", by_hand).await;
    kit.took(&recipient, "reject", json!({"reason": "The provider leaves"})).await;
}

async fn who_is_retired_meanwhile_takes_nobody(kit: Kit) {
    let gate = Gate::new().await;
    kit.registers_at(&format!("{}/register", gate.url)).await;
    let recipient = kit.sent_to_the_bank().await;
    gate.arrived().await;
    kit.hold_provider(1000, ProviderState::Retired).await;
    gate.answers();
    let job = kit.until_job("register_client", "dead").await;
    assert_eq!(job["outcome"], format!("HTTP 201: {RETIRED}; the client is deleted there"));
    assert_eq!(kit.registration(&recipient).await["state"], "pending_activation");
    deleted(&kit, &gate).await;
}
