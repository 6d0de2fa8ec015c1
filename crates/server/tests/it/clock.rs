//! Tests of a node whose clock cannot be trusted: it rejects requests on every API, runs no jobs, and reports not
//! ready. After a jump of the clock, many expired connections wait for an operator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bowline::app::App;
use bowline::cli::{BrowserRequest, BrowserResponse};
use bowline::clock::Clock;
use bowline::jobs;
use domain::Timestamp;
use http::Method;

use crate::support::{ConnectionTokens, SCOPE, TestHub, create_database, on_both, spawn_listener};

const DAY_MS: i64 = 86_400_000;

on_both!(stale_clock_measurement_makes_node_unavailable);

/// A second node without workers, whose clock is measured only by the test.
struct ClockTestNode {
    app: App,
    local_clock: Arc<AtomicI64>,
    uptime: Arc<AtomicI64>,
    public: SocketAddr,
    probes: SocketAddr,
}

impl ClockTestNode {
    /// Starts the node with a clock equal to the database's.
    async fn new(kit: &TestHub) -> Self {
        let database = kit.app().store().database_time().await.unwrap();
        let start = database.unwrap_or_else(|| kit.app().now().unwrap()).millis();
        let (own, uptime) = (Arc::new(AtomicI64::new(start)), Arc::new(AtomicI64::new(5_000)));
        let clock = Clock::fixed_with_uptime(Arc::clone(&own), Arc::clone(&uptime));
        let app = kit.build_other_app(clock).await;
        let section = &app.config().server;
        let public = spawn_listener(&app, bowline::router::all_routes(), section).await;
        let probes = spawn_listener(&app, bowline::server::routes(), section).await;
        let node = Self { app, local_clock: own, uptime, public, probes };
        node.set_clock_offset(0).await;
        node
    }

    /// Sets the difference between the node's clock and the database's clock, and measures it.
    async fn set_clock_offset(&self, off: i64) {
        let own = self.local_clock.load(Ordering::Relaxed);
        let database = self.app.store().database_time().await.unwrap();
        self.advance(database.map_or(own, Timestamp::millis) - own + off);
        self.app.measure_clock().await.unwrap();
    }

    /// Lets time pass.
    fn advance(&self, millis: i64) {
        self.jump(millis);
        self.uptime.fetch_add(millis, Ordering::Relaxed);
    }

    /// Changes the time of day.
    fn jump(&self, millis: i64) {
        self.local_clock.fetch_add(millis, Ordering::Relaxed);
    }

    async fn send(&self, kit: &TestHub, method: Method, path: &str, bearer: &str) -> BrowserResponse {
        let mut sent = BrowserRequest::new(method, &format!("http://{}{path}", self.public));
        sent.bearer = Some(bearer.to_owned());
        kit.send(sent).await
    }

    async fn is_clock_ready(&self, kit: &TestHub) -> bool {
        let url = |path| BrowserRequest::new(Method::GET, &format!("http://{}{path}", self.probes));
        assert_eq!(kit.send(url("/livez")).await.status, 200, "liveness does not depend on the clock");
        let ready = kit.send(url("/readyz")).await;
        let clock = ready.json()["checks"]["clock"] == true;
        assert_eq!(ready.status, if clock { 200 } else { 503 }, "{}", ready.body);
        clock
    }

    /// Asserts that the node serves requests: a forged token is rejected as invalid, not with 503.
    async fn assert_serves(&self, kit: &TestHub) {
        assert!(self.is_clock_ready(kit).await);
        assert_eq!(self.send(kit, Method::GET, "/api/fdx/5/accounts", "x").await.status, 401);
        assert_eq!(self.send(kit, Method::DELETE, "/api/v1/revoke", "x").await.status, 400);
        assert_eq!(self.send(kit, Method::GET, "/", "x").await.status, 200);
    }

    /// Asserts that the node rejects requests on every API, valid ones too.
    async fn assert_unavailable(&self, kit: &TestHub, tokens: &ConnectionTokens) {
        assert!(!self.is_clock_ready(kit).await);
        let read = self.send(kit, Method::GET, "/api/fdx/5/accounts", &tokens.access).await;
        assert_eq!((read.status, &read.json()["code"]), (503, &503.into()), "{}", read.body);
        let revoke = self.send(kit, Method::DELETE, "/api/v1/revoke", &tokens.access).await;
        assert_eq!((revoke.status, &revoke.json()["error"]), (503, &"temporarily_unavailable".into()));
        let page = self.send(kit, Method::GET, "/", &tokens.access).await;
        assert!(page.status == 503 && page.body.contains("<!doctype html>"), "{}", page.body);
        for answer in [read, revoke, page] {
            assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        }
    }
}

async fn stale_clock_measurement_makes_node_unavailable(kit: TestHub) {
    let tokens = kit.connect(&kit.acme()).await;
    let node = ClockTestNode::new(&kit).await;
    node.assert_serves(&kit).await;
    node.advance(30_000);
    node.assert_serves(&kit).await;
    node.advance(1);
    node.assert_unavailable(&kit, &tokens).await;
    node.advance(-1);
    node.assert_serves(&kit).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "the rejected request had no effect");
}

#[tokio::test]
async fn clock_skew_to_database_makes_node_unavailable() {
    let kit = TestHub::start(Some(create_database().await), &[("server.clock_settle", "1s")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let node = ClockTestNode::new(&kit).await;
    for off in [3_000, -3_000] {
        node.set_clock_offset(off).await;
        node.assert_unavailable(&kit, &tokens).await;
        node.set_clock_offset(0).await;
        // The database's clock has jumped twice, in comparison with the uptime of this machine.
        node.assert_unavailable(&kit, &tokens).await;
        node.advance(1_000);
        node.assert_serves(&kit).await;
    }
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "the rejected request had no effect");
}

#[tokio::test]
async fn clock_jump_makes_node_unavailable_until_steady() {
    for is_postgres in [false, true] {
        let store = if is_postgres { Some(create_database().await) } else { None };
        let kit = TestHub::start(store, &[("server.clock_settle", "1s")]).await;
        let tokens = kit.connect(&kit.acme()).await;
        let node = ClockTestNode::new(&kit).await;
        node.jump(2_000);
        node.assert_serves(&kit).await;
        node.jump(1);
        node.assert_unavailable(&kit, &tokens).await;
        node.jump(-2_001);
        node.assert_unavailable(&kit, &tokens).await;
        node.advance(999);
        node.assert_unavailable(&kit, &tokens).await;
        node.advance(1);
        node.assert_serves(&kit).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204, "the rejected request had no effect");
    }
}

/// A clock that is 33 days ahead for a moment makes every connection seem unused for too long.
#[tokio::test]
async fn sweep_after_clock_jump_waits_for_operator() {
    let settings = [("connection.doubtful_ends", "1"), ("server.clock_settle", "1s")];
    let kit = TestHub::start(None, &settings).await;
    let acme = kit.acme();
    let bob = kit.connect_at(1000, &acme, "bob", &["mt-bob-chequing"], SCOPE).await;
    let connections = [kit.connect(&acme).await.id, bob.id];
    let node = ClockTestNode::new(&kit).await;
    node.advance(1_000);
    let sweep = async || jobs::sweep(&jobs::new_job_context(&node.app, "test").unwrap()).await.unwrap();
    assert_eq!(sweep().await, 0);

    node.jump(33 * DAY_MS);
    assert!(jobs::new_job_context(&node.app, "test").is_err(), "no job runs while the clock is not steady");
    node.advance(1_000);
    let ended_ahead = sweep().await;
    node.jump(-33 * DAY_MS);
    node.app.now().unwrap_err();
    node.advance(1_000);
    assert_eq!((ended_ahead, sweep().await), (0, 0), "connections ended because of a wrong clock");
    let shown = kit.send_admin_request(Method::GET, "/providers/1000").await.json();
    assert_eq!(shown["expiry"], "braked", "an operator must confirm the time");
    let released = kit.send_admin_request(Method::POST, "/providers/1000/release").await.json();
    assert_eq!(released["expiry"], "released");
    assert_eq!(sweep().await, 0);

    for id in connections {
        assert_eq!(kit.load_end_cause(&id).await, None);
    }
    let shown = kit.send_admin_request(Method::GET, "/providers/1000").await.json();
    assert_eq!(shown["expiry"], "running");
}
