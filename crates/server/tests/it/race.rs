//! Tests in which ends of every kind run concurrently with refreshes, reads and delayed reads, on one node and on two.
//! No request that begins after an acknowledged end succeeds on any node, and tokens that were issued during the race
//! are useless.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline::app::App;
use bowline::cli::BrowserResponse;
use bowline::jobs;
use domain::id::ConnectionId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::connection::EndCause;
use serde_json::json;
use store::command::{EndConnection, EndOutcome, SetConsentEnd};

use crate::support::{ConnectionTokens, HubApiClient, OtherNode, TestHub, create_database};

/// An action that runs concurrently with others on the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RaceAction {
    Revoke,
    /// The customer signs in again, and the exchange of the new code replaces the connection.
    Replace,
    /// The hub ends the connection, because the provider has ended the consent.
    ProviderEnd,
    /// The sweep ends the connection, because the consent has expired.
    Expire,
    Refresh,
    Read,
    /// A read whose response the provider delayed until the logical time `released_at`.
    DelayedRead {
        released_at: u64,
    },
}

const ENDS: [RaceAction; 4] =
    [RaceAction::Revoke, RaceAction::Replace, RaceAction::ProviderEnd, RaceAction::Expire];

/// A request that a round has sent, with logical times of its start and its end.
#[derive(Clone, Debug)]
struct RecordedAttempt {
    action: RaceAction,
    /// The node that received the request.
    node: usize,
    started_at: u64,
    finished_at: u64,
    succeeded: bool,
}

/// Returns descriptions of the requests on one connection that succeeded but must not have.
fn find_violations(tries: &[RecordedAttempt]) -> Vec<String> {
    let ends = |t: &&RecordedAttempt| ENDS.contains(&t.action) && t.succeeded;
    let Some(end) = tries.iter().filter(ends).min_by_key(|t| t.finished_at) else { return Vec::new() };
    let late = |t: &&RecordedAttempt| {
        let served = t.succeeded && !ENDS.contains(&t.action);
        let answered_late =
            matches!(t.action, RaceAction::DelayedRead { released_at } if released_at > end.finished_at);
        served && (t.started_at > end.finished_at || answered_late)
    };
    let describe = |t: &RecordedAttempt| {
        format!("{t:?} at node {} succeeded after {end:?} at node {}", t.node, end.node)
    };
    tries.iter().filter(late).map(describe).collect()
}

#[test]
fn race_checker_reports_only_successes_after_connection_end() {
    let of = |act, begun, ended, succeeded| RecordedAttempt {
        action: act,
        node: 1,
        started_at: begun,
        finished_at: ended,
        succeeded,
    };
    let revoke = RecordedAttempt { node: 0, ..of(RaceAction::Revoke, 2, 5, true) };
    for fine in [
        of(RaceAction::Read, 1, 9, true),
        of(RaceAction::Read, 6, 7, false),
        of(RaceAction::Refresh, 4, 8, true),
        of(RaceAction::DelayedRead { released_at: 4 }, 1, 9, true),
        of(RaceAction::DelayedRead { released_at: 6 }, 1, 9, false),
    ] {
        assert_eq!(find_violations(&[revoke.clone(), fine]), Vec::<String>::new());
    }
    for late in [
        of(RaceAction::Read, 6, 9, true),
        of(RaceAction::Refresh, 6, 9, true),
        of(RaceAction::DelayedRead { released_at: 6 }, 1, 9, true),
    ] {
        for act in ENDS {
            let end = RecordedAttempt { action: act, ..revoke.clone() };
            assert_eq!(find_violations(&[end.clone(), late.clone()]).len(), 1, "{late:?} after {end:?}");
        }
        let failed = RecordedAttempt { succeeded: false, ..revoke.clone() };
        assert!(find_violations(&[failed, late]).is_empty());
    }
}

/// A logical clock: each start and each end of a request takes the next number.
#[derive(Default)]
struct EventCounter(AtomicU64);

impl EventCounter {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Random numbers that depend only on the round, so that a failure can be repeated.
struct SeededRandom(u64);

impl SeededRandom {
    fn next_below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// Returns true half of the time.
    fn next_bool(&mut self) -> bool {
        self.next_below(2) == 0
    }

    /// Returns the node that a request is sent to and the number of yields before the request starts.
    fn next_start_slot(&mut self, nodes: usize) -> StartSlot {
        StartSlot {
            node: usize::try_from(self.next_below(nodes as u64)).unwrap(),
            turns: self.next_below(40),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct StartSlot {
    node: usize,
    turns: u64,
}

impl StartSlot {
    /// Yields to the other tasks as often as drawn, and returns the index of the node.
    async fn wait(self) -> usize {
        for _ in 0..self.turns {
            tokio::task::yield_now().await;
        }
        self.node
    }
}

/// The nodes of the hub: one, or several with a shared store.
struct HubNodes<'a> {
    kit: &'a TestHub,
    others: Vec<OtherNode>,
}

impl HubNodes<'_> {
    fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Returns a node other than the first one, which belongs to the test hub.
    fn find_other(&self, node: usize) -> Option<&OtherNode> {
        node.checked_sub(1).map(|index| &self.others[index])
    }

    fn app(&self, node: usize) -> &App {
        self.find_other(node).map_or(self.kit.app(), |other| &other.app)
    }

    fn api(&self, node: usize) -> HubApiClient<'_> {
        let own = self.kit.app().public_url();
        let hub = self.find_other(node).map_or(own, |other| &other.url);
        HubApiClient { browser: &self.kit.browser, hub }
    }
}

/// The remaining duration of a consent that expires during a round, so that the sweep ends it.
const REMAINING_CONSENT: Duration = Duration::from_millis(10);

impl TestHub {
    /// Lets the consent of a connection end after a duration.
    async fn set_consent_end(&self, id: &ConnectionId, remaining: Duration) {
        let ctx = jobs::new_job_context(self.app(), "test").unwrap();
        let expires_at = ctx.now().plus(remaining);
        let set = SetConsentEnd { moment: ctx.new_moment().unwrap(), id: id.clone(), expires_at };
        ctx.run(set).await.unwrap();
    }
}

struct RaceRound<'a> {
    nodes: &'a HubNodes<'a>,
    counter: EventCounter,
    tokens: ConnectionTokens,
    /// The code of a newer login, if the round replaces the connection.
    newer_code: Option<String>,
    ends: Vec<(RaceAction, StartSlot)>,
    starts: [StartSlot; 5],
    /// True if the provider delays the responses to reads in this round.
    delay_read: bool,
}

impl<'a> RaceRound<'a> {
    /// Creates a connection and the actions of a round: one or two ends of any kind, and others.
    async fn new(nodes: &'a HubNodes<'a>, number: u64) -> Self {
        let (kit, acme) = (nodes.kit, nodes.kit.acme());
        let mut draws = SeededRandom(number + 1);
        let tokens = kit.connect(&acme).await;
        let mut acts = vec![ENDS[usize::try_from(number % 4).unwrap()]];
        let second = ENDS[usize::try_from(draws.next_below(4)).unwrap()];
        acts.extend((draws.next_bool() && !acts.contains(&second)).then_some(second));
        let newer =
            if acts.contains(&RaceAction::Replace) { Some(kit.obtain_code(&acme).await) } else { None };
        let id = &tokens.id;
        if acts.contains(&RaceAction::Expire) {
            kit.set_consent_end(id, REMAINING_CONSENT).await;
        }
        if draws.next_bool() {
            // Each read refreshes at the provider first, which issues a new refresh token.
            kit.sql(&format!(
                "UPDATE upstream_credentials SET access_expires_at = 0 WHERE connection_id = '{id}'"
            ))
            .await;
        }
        let mut start = || draws.next_start_slot(nodes.count());
        let ends = acts.into_iter().map(|act| (act, start())).collect();
        let starts = std::array::from_fn(|_| start());
        let hold = draws.next_bool();
        Self {
            nodes,
            counter: EventCounter::default(),
            tokens,
            newer_code: newer,
            ends,
            starts,
            delay_read: hold,
        }
    }

    async fn record_attempt(
        &self,
        act: RaceAction,
        start: StartSlot,
        asked: impl AsyncFnOnce(usize) -> BrowserResponse,
    ) -> (RecordedAttempt, BrowserResponse) {
        let node = start.wait().await;
        let begun = self.counter.next();
        let answer = asked(node).await;
        let succeeded = answer.status == if act == RaceAction::Revoke { 204 } else { 200 };
        (
            RecordedAttempt {
                action: act,
                node,
                started_at: begun,
                finished_at: self.counter.next(),
                succeeded,
            },
            answer,
        )
    }

    async fn end_connection(&self, act: RaceAction, start: StartSlot) -> RecordedAttempt {
        let (kit, nodes, id) = (self.nodes.kit, self.nodes, &self.tokens.id);
        let api = |node| nodes.api(node);
        match act {
            RaceAction::Replace => {
                let code = self.newer_code.as_deref().unwrap();
                self.record_attempt(act, start, async |node| api(node).redeem(&kit.acme(), code).await)
                    .await
                    .0
            }
            RaceAction::ProviderEnd | RaceAction::Expire => {
                let node = start.wait().await;
                let begun = self.counter.next();
                let ctx = if act == RaceAction::Expire {
                    kit.advance(REMAINING_CONSENT);
                    let ctx = jobs::new_job_context(nodes.app(node), "test").unwrap();
                    jobs::sweep(&ctx).await.unwrap();
                    ctx
                } else {
                    let ctx = jobs::new_job_context(nodes.app(node), "test").unwrap();
                    let end = EndConnection {
                        moment: ctx.new_moment().unwrap(),
                        connection_id: id.clone(),
                        cause: EndCause::Provider,
                        actor: Actor::new(ActorKind::Provider, "1000"),
                        fence: None,
                    };
                    let outcome = bowline::connections::end(&ctx, end).await.unwrap();
                    assert!(
                        matches!(outcome, EndOutcome::Ended(_) | EndOutcome::AlreadyEnded(_)),
                        "{outcome:?}"
                    );
                    ctx
                };
                drop(ctx);
                let succeeded = kit.load_end_cause(id).await.is_some();
                RecordedAttempt {
                    action: act,
                    node,
                    started_at: begun,
                    finished_at: self.counter.next(),
                    succeeded,
                }
            }
            _ => {
                let bearer = &self.tokens.access;
                self.record_attempt(RaceAction::Revoke, start, async |node| api(node).revoke(bearer).await)
                    .await
                    .0
            }
        }
    }

    async fn read_with_delay(&self) -> RecordedAttempt {
        let (kit, bank) = (self.nodes.kit, &self.nodes.kit.world.maple().bank);
        let StartSlot { node, turns } = self.starts[0];
        if !self.delay_read {
            return self.read(self.starts[0], &self.tokens.access).await;
        }
        kit.inject_faults(json!({"hold": true})).await;
        let answered = std::sync::atomic::AtomicBool::new(false);
        let read = async {
            let api = self.nodes.api(node);
            let begun = self.counter.next();
            let answer = api.read("/accounts", &self.tokens.access).await;
            answered.store(true, Ordering::SeqCst);
            (begun, answer)
        };
        let released = async {
            kit.wait_until("the bank has a read", async || {
                bank.delayed_response_count() > 0 || answered.load(Ordering::SeqCst)
            })
            .await;
            StartSlot { node, turns }.wait().await;
            let released = self.counter.next();
            kit.inject_faults(json!({"hold": false})).await;
            released
        };
        let ((begun, answer), released) = tokio::join!(read, released);
        let (act, ended) = (RaceAction::DelayedRead { released_at: released }, self.counter.next());
        RecordedAttempt {
            action: act,
            node,
            started_at: begun,
            finished_at: ended,
            succeeded: answer.status == 200,
        }
    }

    async fn read(&self, start: StartSlot, token: &str) -> RecordedAttempt {
        let nodes = self.nodes;
        self.record_attempt(RaceAction::Read, start, async |node| {
            nodes.api(node).read("/accounts", token).await
        })
        .await
        .0
    }

    async fn refresh(&self, start: StartSlot) -> (RecordedAttempt, Option<String>) {
        let (nodes, acme) = (self.nodes, self.nodes.kit.acme());
        let refresh_call = async |node| nodes.api(node).refresh(&acme, &self.tokens.refresh).await;
        let (refreshed, answer) = self.record_attempt(RaceAction::Refresh, start, refresh_call).await;
        (refreshed, answer.json()["access_token"].as_str().map(str::to_owned))
    }

    async fn run(&self) -> Vec<RecordedAttempt> {
        let ends = self.ends.iter().map(|(act, start)| self.end_connection(*act, *start));
        let [_, second, third, fourth, fifth] = self.starts;
        let access = &self.tokens.access;
        let (mut tries, delayed, one, two, read, other) = tokio::join!(
            futures_util::future::join_all(ends),
            self.read_with_delay(),
            self.refresh(second),
            self.refresh(third),
            self.read(fourth, access),
            self.read(fifth, access),
        );
        tries.extend([delayed, one.0, two.0, read, other]);
        for node in 0..self.nodes.count() {
            let at_once = StartSlot { node, turns: 0 };
            for token in [Some(access), one.1.as_ref(), two.1.as_ref()].into_iter().flatten() {
                tries.push(self.read(at_once, token).await);
            }
            tries.push(self.refresh(at_once).await.0);
        }
        tries
    }
}

async fn run_rounds(kit: TestHub, others: Vec<OtherNode>) {
    // Three nodes take longer and differ little from two, so a short run has fewer rounds of them.
    let default_rounds = if others.len() > 1 { 150 } else { 500 };
    let rounds = std::env::var("BOWLINE_RACE_ROUNDS").map_or(default_rounds, |text| text.parse().unwrap());
    let acme = kit.acme();
    kit.inject_faults(json!({"rotate_refresh": true})).await;
    let nodes = HubNodes { kit: &kit, others };
    for number in 0..rounds {
        let round = RaceRound::new(&nodes, number).await;
        let tries = round.run().await;
        assert_eq!(find_violations(&tries), Vec::<String>::new(), "round {number}: {tries:#?}");
        assert!(
            kit.load_end_cause(&round.tokens.id).await.is_some(),
            "round {number} ends its connection: {tries:#?}"
        );
    }
    // Late tokens are revoked at the provider: no grant outlives its connection.
    let last = kit.connect(&acme).await;
    assert_eq!(kit.revoke(&last.access).await.status, 204);
    kit.wait_until("every grant is ended at the bank", async || {
        kit.app().job_notify().notify_one();
        kit.list_grant_states().await.iter().all(|state| state == "ended")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_succeeds_after_connection_end_sqlite() {
    run_rounds(TestHub::new().await, Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_succeeds_after_connection_end_postgres() {
    run_rounds(TestHub::with_store(Some(create_database().await)).await, Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_succeeds_after_connection_end_on_other_node() {
    let kit = TestHub::with_store(Some(create_database().await)).await;
    let others = vec![kit.start_other_node().await];
    run_rounds(kit, others).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_succeeds_after_connection_end_on_third_node() {
    let kit = TestHub::with_store(Some(create_database().await)).await;
    let others = vec![kit.start_other_node().await, kit.start_other_node().await];
    run_rounds(kit, others).await;
}

/// Counts the refresh tokens that the provider has issued, from its journal.
fn count_rotations(kit: &TestHub) -> usize {
    let journal = std::fs::read_to_string(kit.data_folder().join("maple.jsonl")).unwrap();
    journal.lines().filter(|line| line.contains(r#""event":"rotated""#)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_refresh_on_two_nodes_calls_provider_once() {
    let kit = TestHub::with_store(Some(create_database().await)).await;
    let nodes = HubNodes { kit: &kit, others: vec![kit.start_other_node().await] };
    kit.inject_faults(json!({"rotate_refresh": true})).await;
    let tokens = kit.connect(&kit.acme()).await;
    for round in 0..20 {
        kit.sql("UPDATE upstream_credentials SET access_expires_at = 0").await;
        let before = count_rotations(&kit);
        let apis: Vec<HubApiClient<'_>> = (0..8).map(|number| nodes.api(number % 2)).collect();
        let reads = apis.iter().map(|api| api.read("/accounts", &tokens.access));
        for read in futures_util::future::join_all(reads).await {
            assert_eq!(read.status, 200, "round {round}: {}", read.body);
        }
        assert_eq!(count_rotations(&kit) - before, 1, "round {round}");
    }
    assert_eq!(kit.load_connection(&tokens.id).await.credential_version, 21);
}
