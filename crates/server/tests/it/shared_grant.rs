//! Tests of a provider with one grant for each customer: it is notified when the last connection ends.

use std::time::Duration;

use bowline::jobs;
use domain::id::ProviderId;
use domain::model::audit_event::Actor;
use domain::model::connection::UpstreamRevocation;
use domain::model::provider::{CustomerIdentity, GrantScope};
use http::Method;
use serde_json::json;
use store::command::UpsertProvider;
use store::query::GetProvider;

use crate::recovery::{create_interrupted_exchange, run_recovery, wait_for_grant_status};
use crate::support::{SCOPE, TestHub, query_parameter};

async fn use_shared_grants(kit: &TestHub) {
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let mut provider = ctx.ask(&GetProvider { id: ProviderId::new(1000) }).await.unwrap().unwrap();
    provider.settings.grant_scope = GrantScope::PerClientCustomer;
    let upsert = UpsertProvider {
        moment: ctx.new_moment().unwrap(),
        provider,
        actor: Actor::system("test"),
        plan: None,
    };
    ctx.run(upsert).await.unwrap();
}

#[tokio::test]
async fn shared_grant_is_revoked_with_last_connection_only() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;
    let other = kit.register_recipient(&[1000], SCOPE, false).await;
    let (first, last) = (kit.connect(&kit.acme()).await, kit.connect(&other).await);
    assert_eq!(kit.revoke(&first.access).await.status, 204);
    assert_eq!(kit.load_connection(&first.id).await.provider_revocation, UpstreamRevocation::NotNeeded);
    assert_eq!(kit.read("/accounts", &first.access).await.json()["code"], 602);
    assert_eq!(kit.read("/accounts", &last.access).await.status, 200);
    assert_eq!(kit.list_grant_states().await, ["active", "active"], "no grant was revoked");
    assert_eq!(kit.revoke(&last.access).await.status, 204);
    kit.wait_until("the provider is notified", async || {
        kit.load_connection(&last.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(
        kit.list_grant_states().await.iter().filter(|state| *state == "ended").count(),
        1,
        "one call revokes the grant"
    );
}

#[tokio::test]
async fn pending_revocation_is_dropped_on_reconnect() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;
    let old = kit.connect(&kit.acme()).await;
    kit.inject_faults(json!({"fail": 503})).await;
    assert_eq!(kit.revoke(&old.access).await.status, 204);
    kit.wait_until("it was tried", async || {
        kit.app().telemetry().render().lines().any(|l| l.contains(r#"call="revoke""#) && l.contains("503"))
    })
    .await;
    kit.inject_faults(json!({"fail": null})).await;
    let new = kit.connect(&kit.acme()).await;
    kit.advance(Duration::from_secs(10));
    kit.app().job_notify().notify_one();
    kit.wait_until("the revoke is dropped", async || {
        kit.load_connection(&old.id).await.provider_revocation == UpstreamRevocation::NotNeeded
    })
    .await;
    assert_eq!(kit.list_grant_states().await, ["active", "active"]);
    assert_eq!(kit.read("/accounts", &new.access).await.status, 200);
}

#[tokio::test]
async fn recovered_code_leaves_shared_grant_active() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;
    let active = kit.connect(&kit.acme()).await;
    let (request, _) = create_interrupted_exchange(&kit).await;
    kit.advance(kit.app().refresh_lease_duration());
    run_recovery(&kit).await;
    wait_for_grant_status(&kit, &request, "possibly_active").await;
    assert_eq!(kit.list_grant_states().await, ["active", "active"]);
    assert_eq!(kit.read("/accounts", &active.access).await.status, 200);
}

async fn remove_identity(kit: &TestHub) {
    kit.update_provider_settings(1000, |settings| {
        settings.customer_identity = CustomerIdentity::TokenField("missing".into());
    })
    .await;
}

/// Completes a login whose customer cannot be identified, and waits until its job has ended in a state.
async fn log_in_without_identity(kit: &TestHub, state: &str) {
    remove_identity(kit).await;
    let query = TestHub::build_authorization_query(&kit.acme());
    let back = kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await;
    assert!(query_parameter(&back, "error").is_some(), "{back}");
    kit.wait_until("the job of the login ends", async || {
        kit.sql("SELECT kind, state FROM jobs").await == [format!("revoke_orphaned_grant|{state}")]
    })
    .await;
}

/// A login whose customer cannot be identified must not end the grant of the customer's other connections, and an operator must learn
/// of its grant.
#[tokio::test]
async fn login_without_identity_leaves_shared_grant_active() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;
    let active = kit.connect(&kit.acme()).await;

    log_in_without_identity(&kit, "failed").await;

    let jobs = kit.send_admin_request(Method::GET, "/jobs?state=failed").await;
    assert!(jobs.body.contains("the customer of the grant is not known"), "{}", jobs.body);
    assert_eq!(kit.list_grant_states().await, ["active", "active"], "the grant may be shared");
    assert_eq!(kit.read("/accounts", &active.access).await.status, 200);
}

/// Without a live connection, the grant of a login can be that of no other connection.
#[tokio::test]
async fn login_without_identity_is_revoked_if_no_connection_is_live() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;

    log_in_without_identity(&kit, "done").await;

    assert_eq!(kit.list_grant_states().await, ["ended"]);
}

/// Stores a code whose customer cannot be identified, and waits until the recovery has settled it.
async fn recover_code_without_identity(kit: &TestHub, jobs: &[&str]) {
    create_interrupted_exchange(kit).await;
    remove_identity(kit).await;
    kit.advance(kit.app().refresh_lease_duration());
    run_recovery(kit).await;
    kit.wait_until("the code is settled", async || {
        kit.sql("SELECT kind, state FROM jobs ORDER BY kind").await == jobs
    })
    .await;
}

/// The recovery of a code whose customer cannot be identified must not end the grant of the customer's other connections either.
#[tokio::test]
async fn recovered_code_without_identity_waits_for_operator() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;
    let active = kit.connect(&kit.acme()).await;

    let settled = ["recover_authorization_code|done", "revoke_orphaned_grant|failed"];
    recover_code_without_identity(&kit, &settled).await;

    let jobs = kit.send_admin_request(Method::GET, "/jobs?state=failed").await;
    assert!(jobs.body.contains("the customer of the grant is not known"), "{}", jobs.body);
    assert_eq!(kit.list_grant_states().await, ["active", "active"], "the grant may be shared");
    assert_eq!(kit.read("/accounts", &active.access).await.status, 200);
}

#[tokio::test]
async fn recovered_code_without_identity_or_connection_is_revoked() {
    let kit = TestHub::new().await;
    use_shared_grants(&kit).await;

    recover_code_without_identity(&kit, &["recover_authorization_code|done"]).await;

    assert_eq!(kit.list_grant_states().await, ["ended"]);
}
