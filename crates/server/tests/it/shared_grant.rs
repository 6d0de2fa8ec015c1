//! A bank where a customer has one grant, whole: it is told when the last connection ends.

use std::time::Duration;

use bowline::job;
use domain::id::ProviderId;
use domain::model::audit_event::Actor;
use domain::model::connection::BankState;
use domain::model::provider::BankGrant;
use serde_json::json;
use store::command::UpsertProvider;
use store::query::ProviderById;

use crate::kit::{Kit, SCOPE};
use crate::recovery::{broken_off, recover, settles};

async fn shares_grants(kit: &Kit) {
    let ctx = job::context(kit.app(), "test").unwrap();
    let mut provider = ctx.ask(&ProviderById { id: ProviderId::new(1000) }).await.unwrap().unwrap();
    provider.settings.bank_grant = BankGrant::PerClientCustomer;
    let upsert = UpsertProvider { moment: ctx.moment().unwrap(), provider, actor: Actor::system("test") };
    ctx.run(upsert).await.unwrap();
}

#[tokio::test]
async fn the_bank_is_told_of_the_last_end_alone() {
    let kit = Kit::new().await;
    shares_grants(&kit).await;
    let other = kit.recipient(&[1000], SCOPE, false).await;
    let (first, last) = (kit.connect(&kit.acme()).await, kit.connect(&other).await);
    assert_eq!(kit.revoke(&first.access).await.status, 204);
    assert_eq!(kit.connection(&first.id).await.bank, BankState::NotNeeded);
    assert_eq!(kit.read("/accounts", &first.access).await.json()["code"], 602);
    assert_eq!(kit.read("/accounts", &last.access).await.status, 200);
    assert_eq!(kit.grants().await, ["active", "active"], "the bank knows of nothing");
    assert_eq!(kit.revoke(&last.access).await.status, 204);
    kit.until("the bank is told", async || kit.connection(&last.id).await.bank == BankState::Accepted).await;
    assert_eq!(kit.grants().await.iter().filter(|state| *state == "ended").count(), 1, "by one call");
}

#[tokio::test]
async fn a_revoke_that_waits_is_dropped_when_the_customer_connects_again() {
    let kit = Kit::new().await;
    shares_grants(&kit).await;
    let old = kit.connect(&kit.acme()).await;
    kit.levers(json!({"fail": 503})).await;
    assert_eq!(kit.revoke(&old.access).await.status, 204);
    kit.until("it was tried", async || {
        kit.app().telemetry().render().lines().any(|l| l.contains(r#"call="revoke""#) && l.contains("503"))
    })
    .await;
    kit.levers(json!({"fail": null})).await;
    let new = kit.connect(&kit.acme()).await;
    kit.advance(Duration::from_secs(10));
    kit.app().jobs().notify_one();
    kit.until("the revoke is dropped", async || kit.connection(&old.id).await.bank == BankState::NotNeeded)
        .await;
    assert_eq!(kit.grants().await, ["active", "active"]);
    assert_eq!(kit.read("/accounts", &new.access).await.status, 200);
}

#[tokio::test]
async fn what_is_recovered_does_not_cut_a_live_connection() {
    let kit = Kit::new().await;
    shares_grants(&kit).await;
    let live = kit.connect(&kit.acme()).await;
    let (request, _) = broken_off(&kit).await;
    kit.advance(kit.app().lease_life());
    recover(&kit).await;
    settles(&kit, &request, "possible").await;
    assert_eq!(kit.grants().await, ["active", "active"]);
    assert_eq!(kit.read("/accounts", &live.access).await.status, 200);
}
