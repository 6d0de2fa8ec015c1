//! A node that does not know the time: it refuses in every face, does nothing, and says so to the platform.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bowline::app::{App, Clock};
use bowline::cli::{Answer, Sent};
use domain::Timestamp;
use http::Method;

use crate::kit::{Kit, Tokens, fresh_database, listen, on_both};

on_both!(a_node_that_has_not_measured_its_clock_for_long_refuses);

/// A node beside the world's own, without workers: its clock is measured when a test says so.
struct Node {
    app: App,
    own: Arc<AtomicI64>,
    public: SocketAddr,
    probes: SocketAddr,
}

impl Node {
    /// With a clock that shows what the database's does.
    async fn new(kit: &Kit) -> Self {
        let own = Arc::new(AtomicI64::new(kit.app().now().unwrap().millis()));
        let app = kit.other_app(Clock::corrected(Arc::clone(&own))).await;
        let section = &app.config().server;
        let public = listen(&app, bowline::web::table(), section).await;
        let probes = listen(&app, bowline::node::routes(), section).await;
        let node = Self { app, own, public, probes };
        node.show(0).await;
        node
    }

    /// Sets its clock so far off the database's, and measures that.
    async fn show(&self, off: i64) {
        let own = Timestamp::from_millis(self.own.load(Ordering::Relaxed));
        self.advance(self.app.store().clock_ahead(own).await.unwrap() + off);
        self.app.measure_clock().await.unwrap();
    }

    fn advance(&self, millis: i64) {
        self.own.fetch_add(millis, Ordering::Relaxed);
    }

    async fn answer(&self, kit: &Kit, method: Method, path: &str, bearer: &str) -> Answer {
        let mut sent = Sent::new(method, &format!("http://{}{path}", self.public));
        sent.bearer = Some(bearer.to_owned());
        kit.send(sent).await
    }

    async fn clock_is_ready(&self, kit: &Kit) -> bool {
        let url = |path| Sent::new(Method::GET, &format!("http://{}{path}", self.probes));
        assert_eq!(kit.send(url("/livez")).await.status, 200, "it lives whatever the time is");
        let ready = kit.send(url("/readyz")).await;
        let clock = ready.json()["checks"]["clock"] == true;
        assert_eq!(ready.status, if clock { 200 } else { 503 }, "{}", ready.body);
        clock
    }

    /// It serves as any node does: a token that nobody issued is looked at.
    async fn serves(&self, kit: &Kit) {
        assert!(self.clock_is_ready(kit).await);
        assert_eq!(self.answer(kit, Method::GET, "/api/fdx/5/accounts", "x").await.status, 401);
        assert_eq!(self.answer(kit, Method::DELETE, "/api/v1/revoke", "x").await.status, 400);
        assert_eq!(self.answer(kit, Method::GET, "/", "x").await.status, 200);
    }

    /// It refuses in every face, the rightful too.
    async fn refuses(&self, kit: &Kit, tokens: &Tokens) {
        assert!(!self.clock_is_ready(kit).await);
        let read = self.answer(kit, Method::GET, "/api/fdx/5/accounts", &tokens.access).await;
        assert_eq!((read.status, &read.json()["code"]), (503, &503.into()), "{}", read.body);
        let revoke = self.answer(kit, Method::DELETE, "/api/v1/revoke", &tokens.access).await;
        assert_eq!((revoke.status, &revoke.json()["error"]), (503, &"temporarily_unavailable".into()));
        let page = self.answer(kit, Method::GET, "/", &tokens.access).await;
        assert!(page.status == 503 && page.body.contains("<!doctype html>"), "{}", page.body);
        for answer in [read, revoke, page] {
            assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        }
    }
}

async fn a_node_that_has_not_measured_its_clock_for_long_refuses(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    let node = Node::new(&kit).await;
    node.serves(&kit).await;
    node.advance(30_000);
    node.serves(&kit).await;
    node.advance(1);
    node.refuses(&kit, &tokens).await;
    node.advance(-1);
    node.serves(&kit).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "what was refused was not done");
}

#[tokio::test]
async fn a_node_whose_clock_is_off_the_databases_refuses() {
    let kit = Kit::on(Some(fresh_database().await)).await;
    let tokens = kit.connect(&kit.acme()).await;
    let node = Node::new(&kit).await;
    for off in [3_000, -3_000] {
        node.show(off).await;
        node.refuses(&kit, &tokens).await;
        node.show(0).await;
        node.serves(&kit).await;
    }
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "what was refused was not done");
}
