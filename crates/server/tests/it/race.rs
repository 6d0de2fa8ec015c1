//! Revoke against refresh, exchange, reads and a read that the bank keeps back: who begins after a 204 gets
//! nothing, and what was won in the race is worth nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::json;

use crate::kit::{Kit, Tokens, fresh_database};
use bowline::cli::{Answer, Sent};

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Revoke,
    /// The exchange of a newer login's code, which replaces the connection.
    Replace,
    Refresh,
    Read,
    /// A read whose answer the bank kept back until the moment given.
    Held {
        released: u64,
    },
}

/// One try, by a clock that only counts.
#[derive(Clone, Debug)]
struct Try {
    act: Act,
    begun: u64,
    ended: u64,
    succeeded: bool,
}

/// What a log of tries on one connection shows that must not be.
fn broken(tries: &[Try]) -> Vec<String> {
    let ends = |t: &&Try| matches!(t.act, Act::Revoke | Act::Replace) && t.succeeded;
    let Some(end) = tries.iter().filter(ends).min_by_key(|t| t.ended) else { return Vec::new() };
    let late = |t: &&Try| {
        let served = t.succeeded && matches!(t.act, Act::Refresh | Act::Read | Act::Held { .. });
        let answered_late = matches!(t.act, Act::Held { released } if released > end.ended);
        served && (t.begun > end.ended || answered_late)
    };
    tries.iter().filter(late).map(|t| format!("{t:?} succeeded after {end:?}")).collect()
}

#[test]
fn the_checker_tells_a_late_success_from_an_early_one() {
    let of = |act, begun, ended, succeeded| Try { act, begun, ended, succeeded };
    let revoke = of(Act::Revoke, 2, 5, true);
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
        assert_eq!(broken(&[revoke.clone(), late.clone()]).len(), 1, "{late:?}");
        let replaced = Try { act: Act::Replace, ..revoke.clone() };
        assert_eq!(broken(&[replaced, late.clone()]).len(), 1, "{late:?}");
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

    async fn observed(&self, act: Act, status: u16, asked: impl Future<Output = Answer>) -> (Try, Answer) {
        let begun = self.next();
        let answer = asked.await;
        (Try { act, begun, ended: self.next(), succeeded: answer.status == status }, answer)
    }
}

/// Numbers that follow from a round, so that a failure can be repeated.
struct Draws(u64);

impl Draws {
    fn draw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Gives others their turn so many times.
async fn offset(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

struct Round<'a> {
    kit: &'a Kit,
    counter: Counter,
    tokens: Tokens,
    newer: Option<String>,
    turns: [u64; 5],
}

impl Round<'_> {
    async fn held(&self) -> (Try, Answer) {
        self.kit.levers(json!({"hold": true})).await;
        let begun = self.counter.next();
        let released = async {
            self.kit.until("the bank has the request", async || self.bank_has_it().await).await;
            offset(self.turns[0]).await;
            let released = self.counter.next();
            self.kit.levers(json!({"hold": false})).await;
            released
        };
        let (answer, released) = tokio::join!(self.kit.read("/accounts", &self.tokens.access), released);
        let (act, ended) = (Act::Held { released }, self.counter.next());
        (Try { act, begun, ended, succeeded: answer.status == 200 }, answer)
    }

    /// Whether the bank has seen a read of this connection, or the hub has refused it before.
    async fn bank_has_it(&self) -> bool {
        let url = format!("{}/grants", self.kit.world.maple().levers());
        let listed = self.kit.send(Sent::new(Method::GET, &url)).await.json();
        let grants = listed.as_array().unwrap();
        grants.iter().any(|g| !g["last_used_at"].is_null()) || self.kit.cause(&self.tokens.id).await.is_some()
    }

    async fn run(&self) -> Vec<Try> {
        let (kit, acme, counter) = (self.kit, self.kit.acme(), &self.counter);
        let revoke = async {
            offset(self.turns[1]).await;
            counter.observed(Act::Revoke, 204, kit.revoke(&self.tokens.access)).await
        };
        let refresh = async {
            offset(self.turns[2]).await;
            counter.observed(Act::Refresh, 200, kit.refresh(&acme, &self.tokens.refresh)).await
        };
        let read = async {
            offset(self.turns[3]).await;
            counter.observed(Act::Read, 200, kit.read("/customers/current", &self.tokens.access)).await
        };
        let replace = async {
            offset(self.turns[4]).await;
            match &self.newer {
                Some(code) => Some(counter.observed(Act::Replace, 200, kit.redeem(&acme, code)).await),
                None => None,
            }
        };
        let (held, revoke, refresh, read, replace) =
            tokio::join!(self.held(), revoke, refresh, read, replace);
        let mut tries = vec![held.0, revoke.0, read.0];
        let won = refresh.1.json()["access_token"].as_str().map(str::to_owned);
        tries.push(refresh.0);
        tries.extend(replace.map(|(replaced, _)| replaced));
        for token in [Some(self.tokens.access.clone()), won].into_iter().flatten() {
            tries.push(counter.observed(Act::Read, 200, kit.read("/accounts", &token)).await.0);
        }
        tries.push(counter.observed(Act::Refresh, 200, kit.refresh(&acme, &self.tokens.refresh)).await.0);
        tries
    }
}

async fn rounds(kit: Kit) {
    let rounds = std::env::var("BOWLINE_RACE_ROUNDS").map_or(100, |text| text.parse().unwrap());
    let acme = kit.acme();
    let mut ended = 0;
    for number in 0..rounds {
        let mut draws = Draws(number + 1);
        let tokens = kit.connect(&acme).await;
        let newer = if draws.draw(2) == 0 { Some(kit.code(&acme).await) } else { None };
        let turns = std::array::from_fn(|_| draws.draw(40));
        let round = Round { kit: &kit, counter: Counter::default(), tokens, newer, turns };
        let tries = round.run().await;
        assert_eq!(broken(&tries), Vec::<String>::new(), "round {number}: {tries:#?}");
        ended += usize::from(kit.cause(&round.tokens.id).await.is_some());
    }
    assert_eq!(ended, usize::try_from(rounds).unwrap(), "each round ends its connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_after_an_end_on_sqlite() {
    rounds(Kit::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_served_after_an_end_on_postgres() {
    rounds(Kit::on(Some(fresh_database().await)).await).await;
}
