//! The ground gives way under a running hub: its database goes away, its disk is full. It refuses, it never
//! guesses, and what it acknowledged holds when the ground is back.

use std::process::Command;

use bowline::cli::{Answer, Sent};
use futures_util::future::join_all;
use http::Method;

use crate::kit::{Cluster, Site, until};

/// Asks a probe.
async fn probe(site: &Site, path: &str) -> Answer {
    let url = format!("{}{path}", site.probes());
    site.browser.send(Sent::new(Method::GET, &url)).await.unwrap()
}

/// An answer that decides nothing: 503, with a word of when to come back.
fn refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {}", answer.body);
    assert!(answer.headers.contains_key("retry-after"), "{what}: no Retry-After");
    let body = answer.json();
    let documented = body["error"] == "temporarily_unavailable" || body["code"] == 503;
    assert!(documented, "{what}: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_hub_refuses_and_with_it_goes_on() {
    let mut cluster = Cluster::start().await;
    let site = Site::new(Some(&cluster.url())).await;
    assert!(site.run(&["migrate"]).status.success());
    let (acme, other) = (site.recipient("Acme Budget"), site.recipient("Other App"));
    let _hub = site.serve(&[]).await;
    let (ended, alive) = (site.connect(&acme, "alice").await, site.connect(&other, "alice").await);
    let code = site.code(&acme, "bob").await;
    let api = site.api();
    assert_eq!(api.revoke(&ended.access).await.status, 204);

    cluster.crash();
    for _ in 0..3 {
        for tokens in [&ended, &alive] {
            refused(&api.read("/accounts", &tokens.access).await, "data");
            refused(&api.revoke(&tokens.access).await, "revoke");
        }
        refused(&api.refresh(&other, &alive.refresh).await, "refresh");
        refused(&api.refresh(&acme, &ended.refresh).await, "refresh of what has ended");
        refused(&api.redeem(&acme, &code).await, "exchange");
        refused(&api.token(&acme, &[("grant_type", "client_credentials")]).await, "client token");
        assert_eq!(probe(&site, "/livez").await.status, 200);
        let ready = probe(&site, "/readyz").await;
        assert_eq!((ready.status, &ready.json()["checks"]["store"]), (503, &false.into()));
    }
    let forged = api.read("/accounts", "no.such.token").await;
    assert_eq!(forged.status, 401, "what needs no database is answered: {}", forged.body);

    cluster.begin().await;
    until("the hub is ready again", async || probe(&site, "/readyz").await.status == 200).await;
    let read = api.read("/accounts", &ended.access).await;
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()), "what was ended stays so");
    assert_eq!(api.refresh(&acme, &ended.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(api.read("/accounts", &alive.access).await.status, 200, "{}", site.log());
    assert_eq!(api.refresh(&other, &alive.refresh).await.status, 200);
    assert_eq!(api.redeem(&acme, &code).await.status, 200, "a code is not spent by a refusal");
    assert_eq!(api.revoke(&alive.access).await.status, 204);
    site.forget_leases().await;
    until("the bank is told of both", async || site.live_grants().await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_crash_of_the_database() {
    let mut cluster = Cluster::start().await;
    let site = Site::new(Some(&cluster.url())).await;
    assert!(site.run(&["migrate"]).status.success());
    let recipients: Vec<_> = (0..4).map(|number| site.recipient(&format!("App {number}"))).collect();
    let _hub = site.serve(&[]).await;
    let mut all = Vec::new();
    for recipient in &recipients {
        for username in ["alice", "bob", "chloe"] {
            all.push(site.connect(recipient, username).await);
        }
    }
    let api = site.api();
    let first = api.revoke(&all[0].access).await;
    assert_eq!(first.status, 204);
    // The rest are on their way while the database crashes.
    let crash = async {
        tokio::task::yield_now().await;
        tokio::task::block_in_place(|| cluster.crash());
    };
    let (answers, ()) =
        tokio::join!(join_all(all[1..].iter().map(|tokens| api.revoke(&tokens.access))), crash);
    for answer in answers.iter().filter(|answer| answer.status != 204) {
        refused(answer, "revoke while the database crashes");
    }
    cluster.begin().await;
    until("the hub is ready again", async || probe(&site, "/readyz").await.status == 200).await;
    for (tokens, answer) in all.iter().zip(std::iter::once(&first).chain(&answers)) {
        let read = api.read("/accounts", &tokens.access).await;
        let ended = read.json()["code"] == 602;
        assert!(ended || answer.status == 503, "acknowledged, and it lives: {}", read.body);
        assert!(ended || read.status == 200, "{}", read.body);
        assert_eq!(api.revoke(&tokens.access).await.status, 204, "repeating is safe");
        site.whole(&tokens.id).await;
    }
    site.forget_leases().await;
    until("the bank is told of all", async || site.live_grants().await == 0).await;
}

/// Starts the hub so that a limit on the size of its files is an error to it and not its death.
const UNLIMITED: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\"", "env"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_refusal_and_nothing_is_half_done() {
    let site = Site::new(None).await;
    let acme = site.recipient("Acme Budget");
    let mut hub = site.serve(&[&UNLIMITED[..], &["BOWLINE_LOG__LEVEL=warn"]].concat()).await;
    let tokens = site.connect(&acme, "alice").await;
    let limit = |bytes: &str| {
        let (process, bytes) = (hub.0.id().to_string(), format!("--fsize={bytes}:"));
        assert!(Command::new("prlimit").args(["--pid", &process, &bytes]).status().unwrap().success());
    };
    limit("4096");
    refused(&site.api().revoke(&tokens.access).await, "revoke on a full disk");
    assert_eq!(hub.0.wait().unwrap().code(), Some(70), "{}", site.log());
    assert!(site.log().contains("the store is lost"), "{}", site.log());

    let _hub = site.serve(&[]).await;
    site.whole(&tokens.id).await;
    assert_eq!(site.api().read("/accounts", &tokens.access).await.status, 200, "it was not ended");
    assert_eq!(site.live_grants().await, 1);
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    assert_eq!(site.api().read("/accounts", &tokens.access).await.json()["code"], 602);
    until("the bank is told", async || site.live_grants().await == 0).await;
}
