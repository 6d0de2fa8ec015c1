//! Tests of background work that depends on the time: expiry of connections and codes, and the purge of old rows.

use std::time::Duration;

use bowline::jobs;
use domain::id::ProviderId;
use domain::model::connection::{EndCause, UpstreamRevocation};
use http::Method;
use store::command::{SealedValue, SeedConnections, SeededConnection};

use crate::support::{ConnectionTokens, SCOPE, TestClient, TestHub, create_database};

const DAY: Duration = Duration::from_hours(24);

async fn run_sweep(kit: &TestHub) -> usize {
    jobs::sweep(&jobs::new_job_context(kit.app(), "test").unwrap()).await.unwrap()
}

/// Uses a refresh token, and returns the new access token with its lifetime in seconds.
async fn refresh_token(kit: &TestHub, recipient: &TestClient, tokens: &ConnectionTokens) -> (String, u64) {
    let body = kit.refresh(recipient, &tokens.refresh).await.json();
    let token = body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {body}"));
    (token.to_owned(), body["expires_in"].as_u64().unwrap())
}

/// Asserts that the sweep ended the connection for this cause, and that the provider is notified.
async fn assert_ended_by_sweep(
    kit: &TestHub,
    recipient: &TestClient,
    tokens: &ConnectionTokens,
    cause: EndCause,
) {
    let refused = kit.refresh(recipient, &tokens.refresh).await.json();
    assert_eq!(refused["error"], "invalid_grant", "the sweep has not run yet");
    run_sweep(kit).await;
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(cause));
    assert_eq!(kit.refresh(recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    kit.wait_until("the provider is notified", async || {
        kit.load_connection(&tokens.id).await.provider_revocation == UpstreamRevocation::Accepted
    })
    .await;
    assert_eq!(kit.list_grant_states().await, ["ended"]);
    assert_eq!(run_sweep(kit).await, 0, "once");
}

/// After a long stop of the hub, many connections have expired, or the clock is wrong.
#[tokio::test]
async fn expiry_after_downtime_waits_for_operator() {
    for (is_postgres, limit) in [(false, "1"), (false, "2"), (true, "1")] {
        let store = if is_postgres { Some(create_database().await) } else { None };
        let kit = TestHub::start(store, &[("connection.doubtful_ends", limit)]).await;
        let acme = kit.acme();
        let bob = kit.connect_at(1000, &acme, "bob", &["mt-bob-chequing"], SCOPE).await;
        let connections = [kit.connect(&acme).await.id, bob.id];
        run_sweep(&kit).await;
        let load_causes =
            async || [kit.load_end_cause(&connections[0]).await, kit.load_end_cause(&connections[1]).await];
        let load_expiry =
            async || kit.send_admin_request(Method::GET, "/providers/1000").await.json()["expiry"].clone();

        kit.advance(DAY * 32);
        run_sweep(&kit).await;
        if limit == "1" {
            assert_eq!(load_causes().await, [None; 2], "connections ended without an operator");
            assert_eq!(load_expiry().await, "braked");
            let query = "/audit?subject_kind=provider&subject_id=1000&actor_kind=system&actor_id=sweep";
            let events = kit.send_admin_request(Method::GET, query).await.json();
            assert_eq!(events["items"][0]["detail"]["due"], 2, "{events}");
            let released = kit.send_admin_request(Method::POST, "/providers/1000/release").await.json();
            assert_eq!(released["expiry"], "released");
            run_sweep(&kit).await;
        }

        assert_eq!(load_causes().await, [Some(EndCause::Idle); 2], "limit {limit}");
        assert_eq!(load_expiry().await, "running");
    }
}

/// A connection whose row another program has changed cannot be ended, and must not keep others from ending.
#[tokio::test]
async fn changed_connection_does_not_stop_the_sweep() {
    let kit = TestHub::new().await;
    let (changed, other) = (kit.connect(&kit.acme()).await, kit.obtain_code(&kit.acme()).await);
    kit.sql(&format!("UPDATE connections SET sub = 'mallory' WHERE id = '{}'", changed.id)).await;
    kit.advance(DAY * 91);

    let ended = run_sweep(&kit).await;

    assert_eq!((ended, run_sweep(&kit).await), (1, 0), "{other}");
    let counted = "SELECT status, count(*) FROM connections GROUP BY status ORDER BY status";
    assert_eq!(kit.sql(counted).await, ["abandoned|1", "active|1"]);
}

#[tokio::test]
async fn restored_connection_ends_soon_after_its_consent() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    for _ in 0..3 {
        kit.advance(DAY * 29);
        refresh_token(&kit, &acme, &tokens).await;
    }
    let of_connection = format!("WHERE id = '{}'", tokens.id);
    let sub = kit.sql(&format!("SELECT sub FROM connections {of_connection}")).await.remove(0);
    kit.sql(&format!("UPDATE connections SET sub = 'mallory' {of_connection}")).await;
    // The consent ends after 90 days.
    kit.advance(DAY * 4);
    assert_eq!(run_sweep(&kit).await, 0);

    kit.sql(&format!("UPDATE connections SET sub = '{sub}' {of_connection}")).await;
    kit.advance(Duration::from_mins(1));
    run_sweep(&kit).await;

    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::ConsentEnd));
}

/// More changed connections than one query reads come before another one.
#[tokio::test]
async fn many_changed_connections_do_not_stop_the_sweep() {
    // The clock of the test advances so far that the time is doubtful.
    let kit = TestHub::with_settings(&[("connection.doubtful_ends", "10000")]).await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let sealed = SealedValue { key: vec![1], sealed: vec![1] };
    let build = |n: u64| SeededConnection::from_key(n * (u64::MAX / 1_000), sealed.clone()).unwrap();
    let fill = SeedConnections {
        moment: ctx.new_moment().unwrap(),
        client_id: kit.acme().id.parse().unwrap(),
        provider_id: ProviderId::new(1000),
        clusters: SCOPE.parse().unwrap(),
        expires_at: ctx.now().plus(DAY * 300),
        redirect_uri: String::new(),
        connections: (0..450).map(build).collect(),
    };
    ctx.run(fill).await.unwrap();
    kit.sql("UPDATE connections SET sub = 'mallory'").await;
    kit.advance(Duration::from_secs(1));
    let other = kit.connect(&kit.acme()).await;
    kit.advance(DAY * 31);

    run_sweep(&kit).await;

    assert_eq!(kit.load_end_cause(&other.id).await, Some(EndCause::Idle));
}

#[tokio::test]
async fn consent_expires_exactly_at_its_end() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    for _ in 0..3 {
        kit.advance(DAY * 29);
        assert_eq!(refresh_token(&kit, &acme, &tokens).await.1, 300, "each use prevents the expiry");
    }
    // The recipient is registered for 90 days.
    let consent_end = kit.load_connection(&tokens.id).await.expires_at;
    kit.advance(consent_end.since(kit.app().now().unwrap()).saturating_sub(Duration::from_mins(1)));
    assert_eq!(run_sweep(&kit).await, 0);
    let (last, expires_in) = refresh_token(&kit, &acme, &tokens).await;
    assert_eq!(expires_in, 60, "the token expires with the consent");
    assert_eq!(kit.read("/accounts", &last).await.status, 200);
    kit.advance(Duration::from_mins(1));
    assert_eq!(kit.read("/accounts", &last).await.status, 401);
    assert_ended_by_sweep(&kit, &acme, &tokens, EndCause::ConsentEnd).await;
}

#[tokio::test]
async fn unused_connection_expires_and_used_one_stays_active() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    // A use is recorded at most once a day, so a token expires after 30 to 31 days without use.
    kit.advance((DAY * 31).saturating_sub(Duration::from_millis(1)));
    assert_eq!(run_sweep(&kit).await, 0);
    let (fresh, _) = refresh_token(&kit, &acme, &tokens).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    kit.advance(Duration::from_millis(1));
    assert_eq!(run_sweep(&kit).await, 0, "the token was just used");
    kit.advance(DAY * 31);
    assert_ended_by_sweep(&kit, &acme, &tokens, EndCause::Idle).await;
}

#[tokio::test]
async fn unredeemed_code_expires_and_grant_is_revoked() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let code = kit.obtain_code(&acme).await;
    kit.advance(Duration::from_secs(59));
    assert_eq!(run_sweep(&kit).await, 0);
    kit.advance(Duration::from_secs(1));
    run_sweep(&kit).await;
    kit.wait_until("the provider is notified", async || kit.list_grant_states().await == ["ended"]).await;
    assert_eq!(kit.redeem(&acme, &code).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn purge_deletes_expired_rows_only() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.advance(Duration::from_hours(2));
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let purged = |removed| jobs::PurgeOutcome { removed, has_more: false };
    assert_eq!(jobs::purge(&ctx).await.unwrap(), purged(2), "a code and a request are deleted");
    assert_eq!(jobs::purge(&ctx).await.unwrap(), purged(0));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    assert_eq!(
        kit.redeem(&acme, &tokens.code).await.json()["error"],
        "invalid_grant",
        "the code stays invalid"
    );
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
}
