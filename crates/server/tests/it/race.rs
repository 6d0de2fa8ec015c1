//! Ends of every kind against refresh, reads and a read that the bank keeps back, on one node and on two: who
//! begins after an end was acknowledged gets nothing, on any node, and what was won in the race is worth nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline::app::App;
use bowline::cli::Answer;
use bowline::job;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::Cause;
use serde_json::json;
use store::command::{EndConnection, EndOutcome};

use crate::kit::{Api, Kit, OtherNode, Tokens, fresh_database};

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Revoke,
    /// The exchange of a newer login's code, which replaces the connection.
    Replace,
    /// The bank's word that its consent is over.
    Provider,
    /// The sweep, at a moment when the consent is over.
    Expire,
    Refresh,
    Read,
    /// A read whose answer the bank kept back until the moment given.
    Held {
        released: u64,
    },
}

const ENDS: [Act; 4] = [Act::Revoke, Act::Replace, Act::Provider, Act::Expire];

/// One try, by a clock that only counts.
#[derive(Clone, Debug)]
struct Try {
    act: Act,
    /// The node that was asked.
    node: usize,
    begun: u64,
    ended: u64,
    succeeded: bool,
}

/// What a log of tries on one connection shows that must not be.
fn broken(tries: &[Try]) -> Vec<String> {
    let ends = |t: &&Try| ENDS.contains(&t.act) && t.succeeded;
    let Some(end) = tries.iter().filter(ends).min_by_key(|t| t.ended) else { return Vec::new() };
    let late = |t: &&Try| {
        let served = t.succeeded && !ENDS.contains(&t.act);
        let answered_late = matches!(t.act, Act::Held { released } if released > end.ended);
        served && (t.begun > end.ended || answered_late)
    };
    let told = |t: &Try| format!("{t:?} at node {} succeeded after {end:?} at node {}", t.node, end.node);
    tries.iter().filter(late).map(told).collect()
}

#[test]
fn the_checker_tells_a_late_success_from_an_early_one() {
    let of = |act, begun, ended, succeeded| Try { act, node: 1, begun, ended, succeeded };
    let revoke = Try { node: 0, ..of(Act::Revoke, 2, 5, true) };
    for fine in [
        of(Act::Read, 1, 9, true),
        of(Act::Read, 6, 7, false),
        of(Act::Refresh, 4, 8, true),
        of(Act::Held { released: 4 }, 1, 9, true),
        of(Act::Held { released: 6 }, 1, 9, false),
    ] {
        assert_eq!(broken(&[revoke.clone(), fine]), Vec::<String>::new());
    }
    for late in
        [of(Act::Read, 6, 9, true), of(Act::Refresh, 6, 9, true), of(Act::Held { released: 6 }, 1, 9, true)]
    {
        for act in ENDS {
            let end = Try { act, ..revoke.clone() };
            assert_eq!(broken(&[end.clone(), late.clone()]).len(), 1, "{late:?} after {end:?}");
        }
        let failed = Try { succeeded: false, ..revoke.clone() };
        assert!(broken(&[failed, late]).is_empty());
    }
}

/// A counter that every beginning and end takes a number from.
#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Numbers that follow from a round, so that a failure can be repeated.
struct Draws(u64);

impl Draws {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// One time in two.
    fn chance(&mut self) -> bool {
        self.draw(2) == 0
    }

    /// Who goes to which node, after how many turns of the others.
    fn start(&mut self, nodes: usize) -> Start {
        Start { node: usize::try_from(self.draw(nodes as u64)).unwrap(), turns: self.draw(40) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Start {
    node: usize,
    turns: u64,
}

impl Start {
    /// Gives others their turn.
    async fn wait(self) -> usize {
        for _ in 0..self.turns {
            tokio::task::yield_now().await;
        }
        self.node
    }
}

/// The hub's nodes: that of the world, and the other one if there are two.
struct Nodes<'a> {
    kit: &'a Kit,
    other: Option<OtherNode>,
}

impl Nodes<'_> {
    fn count(&self) -> usize {
        1 + usize::from(self.other.is_some())
    }

    fn app(&self, node: usize) -> &App {
        self.other.as_ref().filter(|_| node == 1).map_or(self.kit.app(), |other| &other.app)
    }

    fn api(&self, node: usize) -> Api<'_> {
        let own = self.kit.app().public_url();
        let hub = self.other.as_ref().filter(|_| node == 1).map_or(own, |other| &other.url);
        Api { browser: &self.kit.browser, hub }
    }
}

/// How long a consent lasts that the sweep is to end.
const MOMENT: Duration = Duration::from_millis(10);

struct Round<'a> {
    nodes: &'a Nodes<'a>,
    counter: Counter,
    tokens: Tokens,
    /// The code of a newer login.
    newer: Option<String>,
    ends: Vec<(Act, Start)>,
    starts: [Start; 5],
    /// Whether the bank keeps answers back.
    hold: bool,
}

impl<'a> Round<'a> {
    /// A connection, and what will be tried on it: one end or two, each of any kind.
    async fn new(nodes: &'a Nodes<'a>, number: u64) -> Self {
        let (kit, acme) = (nodes.kit, nodes.kit.acme());
        let mut draws = Draws(number + 1);
        let tokens = kit.connect(&acme).await;
        let mut acts = vec![ENDS[usize::try_from(number % 4).unwrap()]];
        let second = ENDS[usize::try_from(draws.draw(4)).unwrap()];
        acts.extend((draws.chance() && !acts.contains(&second)).then_some(second));
        let newer = if acts.contains(&Act::Replace) { Some(kit.code(&acme).await) } else { None };
        let id = &tokens.id;
        if acts.contains(&Act::Expire) {
            let until = kit.app().now().unwrap().plus(MOMENT).millis();
            kit.behind(&format!("UPDATE connections SET expires_at = {until} WHERE id = '{id}'")).await;
        }
        if draws.chance() {
            // Whoever reads refreshes at the bank first, and the bank gives a new refresh token.
            kit.behind(&format!(
                "UPDATE upstream_credentials SET access_expires_at = 0 WHERE connection_id = '{id}'"
            ))
            .await;
        }
        let mut start = || draws.start(nodes.count());
        let ends = acts.into_iter().map(|act| (act, start())).collect();
        let starts = std::array::from_fn(|_| start());
        let hold = draws.chance();
        Self { nodes, counter: Counter::default(), tokens, newer, ends, starts, hold }
    }

    async fn observed(
        &self,
        act: Act,
        start: Start,
        asked: impl AsyncFnOnce(usize) -> Answer,
    ) -> (Try, Answer) {
        let node = start.wait().await;
        let begun = self.counter.next();
        let answer = asked(node).await;
        let succeeded = answer.status == if act == Act::Revoke { 204 } else { 200 };
        (Try { act, node, begun, ended: self.counter.next(), succeeded }, answer)
    }

    async fn end(&self, act: Act, start: Start) -> Try {
        let (kit, nodes, id) = (self.nodes.kit, self.nodes, &self.tokens.id);
        let api = |node| nodes.api(node);
        match act {
            Act::Replace => {
                let code = self.newer.as_deref().unwrap();
                self.observed(act, start, async |node| api(node).redeem(&kit.acme(), code).await).await.0
            }
            Act::Provider | Act::Expire => {
                let node = start.wait().await;
                let begun = self.counter.next();
                let ctx = if act == Act::Expire {
                    kit.advance(MOMENT);
                    let ctx = job::context(nodes.app(node), "test").unwrap();
                    job::sweep(&ctx).await.unwrap();
                    ctx
                } else {
                    let ctx = job::context(nodes.app(node), "test").unwrap();
                    let end = EndConnection {
                        moment: ctx.moment().unwrap(),
                        connection_id: id.clone(),
                        cause: Cause::Provider,
                        actor: Actor::new(ActorKind::Provider, "1000"),
                        fence: None,
                    };
                    let outcome = bowline::connection::end(&ctx, end).await.unwrap();
                    assert!(matches!(outcome, EndOutcome::Ended | EndOutcome::Already(_)), "{outcome:?}");
                    ctx
                };
                drop(ctx);
                let succeeded = kit.cause(id).await.is_some();
                Try { act, node, begun, ended: self.counter.next(), succeeded }
            }
            _ => {
                let bearer = &self.tokens.access;
                self.observed(Act::Revoke, start, async |node| api(node).revoke(bearer).await).await.0
            }
        }
    }

    async fn held(&self) -> Try {
        let (kit, bank) = (self.nodes.kit, &self.nodes.kit.world.maple().bank);
        let Start { node, turns } = self.starts[0];
        if !self.hold {
            return self.read(self.starts[0], &self.tokens.access).await;
        }
        kit.levers(json!({"hold": true})).await;
        let answered = std::sync::atomic::AtomicBool::new(false);
        let read = async {
            let api = self.nodes.api(node);
            let begun = self.counter.next();
            let answer = api.read("/accounts", &self.tokens.access).await;
            answered.store(true, Ordering::SeqCst);
            (begun, answer)
        };
        let released = async {
            kit.until("the bank has a read", async || bank.held() > 0 || answered.load(Ordering::SeqCst))
                .await;
            Start { node, turns }.wait().await;
            let released = self.counter.next();
            kit.levers(json!({"hold": false})).await;
            released
        };
        let ((begun, answer), released) = tokio::join!(read, released);
        let (act, ended) = (Act::Held { released }, self.counter.next());
        Try { act, node, begun, ended, succeeded: answer.status == 200 }
    }

    async fn read(&self, start: Start, token: &str) -> Try {
        let nodes = self.nodes;
        self.observed(Act::Read, start, async |node| nodes.api(node).read("/accounts", token).await).await.0
    }

    async fn refresh(&self, start: Start) -> (Try, Option<String>) {
        let (nodes, acme) = (self.nodes, self.nodes.kit.acme());
        let asked = async |node| nodes.api(node).refresh(&acme, &self.tokens.refresh).await;
        let (refreshed, answer) = self.observed(Act::Refresh, start, asked).await;
        (refreshed, answer.json()["access_token"].as_str().map(str::to_owned))
    }

    async fn run(&self) -> Vec<Try> {
        let ends = self.ends.iter().map(|(act, start)| self.end(*act, *start));
        let [_, second, third, fourth, fifth] = self.starts;
        let access = &self.tokens.access;
        let (mut tries, held, one, two, read, other) = tokio::join!(
            futures_util::future::join_all(ends),
            self.held(),
            self.refresh(second),
            self.refresh(third),
            self.read(fourth, access),
            self.read(fifth, access),
        );
        tries.extend([held, one.0, two.0, read, other]);
        for node in 0..self.nodes.count() {
            let at_once = Start { node, turns: 0 };
            for token in [Some(access), one.1.as_ref(), two.1.as_ref()].into_iter().flatten() {
                tries.push(self.read(at_once, token).await);
            }
            tries.push(self.refresh(at_once).await.0);
        }
        tries
    }
}

async fn rounds(kit: Kit, other: Option<OtherNode>) {
    let rounds = std::env::var("BOWLINE_RACE_ROUNDS").map_or(500, |text| text.parse().unwrap());
    let acme = kit.acme();
    kit.levers(json!({"rotate_refresh": true})).await;
    let nodes = Nodes { kit: &kit, other };
    for number in 0..rounds {
        let round = Round::new(&nodes, number).await;
        let tries = round.run().await;
        assert_eq!(broken(&tries), Vec::<String>::new(), "round {number}: {tries:#?}");
        assert!(
            kit.cause(&round.tokens.id).await.is_some(),
            "round {number} ends its connection: {tries:#?}"
        );
    }
    // Whatever was won late at the bank is given back there: no grant outlives its connection.
    let last = kit.connect(&acme).await;
    assert_eq!(kit.revoke(&last.access).await.status, 204);
    kit.until("every grant is ended at the bank", async || {
        kit.app().jobs().notify_one();
        kit.grants().await.iter().all(|state| state == "ended")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_after_an_end_on_sqlite() {
    rounds(Kit::new().await, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_after_an_end_on_postgres() {
    rounds(Kit::on(Some(fresh_database().await)).await, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_after_an_end_on_another_node() {
    let kit = Kit::on(Some(fresh_database().await)).await;
    let other = kit.other_node().await;
    rounds(kit, Some(other)).await;
}

/// How often the bank has given a new refresh token, by its own journal.
fn rotations(kit: &Kit) -> usize {
    let journal = std::fs::read_to_string(kit.data_folder().join("maple.jsonl")).unwrap();
    journal.lines().filter(|line| line.contains(r#""event":"rotated""#)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_refresh_at_the_bank_once() {
    let kit = Kit::on(Some(fresh_database().await)).await;
    let nodes = Nodes { kit: &kit, other: Some(kit.other_node().await) };
    kit.levers(json!({"rotate_refresh": true})).await;
    let tokens = kit.connect(&kit.acme()).await;
    for round in 0..20 {
        kit.behind("UPDATE upstream_credentials SET access_expires_at = 0").await;
        let before = rotations(&kit);
        let apis: Vec<Api<'_>> = (0..8).map(|number| nodes.api(number % 2)).collect();
        let reads = apis.iter().map(|api| api.read("/accounts", &tokens.access));
        for read in futures_util::future::join_all(reads).await {
            assert_eq!(read.status, 200, "round {round}: {}", read.body);
        }
        assert_eq!(rotations(&kit) - before, 1, "round {round}");
    }
    assert_eq!(kit.connection(&tokens.id).await.credential_version, 21);
}
