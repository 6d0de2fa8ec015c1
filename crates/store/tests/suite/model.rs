//! Tests with random histories of commands, which run on a store and on a simple model and must have the same results.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::model::connection::{ConnectionState, ConnectionStatus, EndCause};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::command::{EndOutcome, ExpireConnection, RedeemOutcome};
use store::query::FindRefreshToken;

use crate::support::{DAY, TestStore, connection_id, hashes};

#[derive(Clone, Debug)]
enum HistoryStep {
    Login { customer: u8 },
    Redeem { nth: usize, by_other: bool },
    End { nth: usize },
    EndSet { nths: Vec<usize> },
    Wait { minutes: u8 },
    Sweep { nth: usize },
}

/// The state of a connection according to the model.
#[derive(Clone, Debug, PartialEq)]
struct ExpectedConnection {
    customer: u8,
    end_cause: Option<EndCause>,
    redeemed: bool,
    code_until: i64,
}

fn history_strategy() -> impl Strategy<Value = Vec<HistoryStep>> {
    let step = prop_oneof![
        3 => (0..2_u8).prop_map(|customer| HistoryStep::Login { customer }),
        4 => (0..6_usize, prop::bool::weighted(0.2)).prop_map(|(nth, by_other)| HistoryStep::Redeem { nth, by_other }),
        2 => (0..6_usize).prop_map(|nth| HistoryStep::End { nth }),
        // A set may contain a connection twice, and connections that have ended or were never opened.
        1 => prop::collection::vec(0..6_usize, 2..6).prop_map(|nths| HistoryStep::EndSet { nths }),
        1 => (0..2_u8).prop_map(|minutes| HistoryStep::Wait { minutes }),
        1 => (0..6_usize).prop_map(|nth| HistoryStep::Sweep { nth }),
    ];
    prop::collection::vec(step, 1..18)
}

impl ExpectedConnection {
    fn is_active(&self) -> bool {
        self.end_cause.is_none() && self.redeemed
    }
}

#[derive(Default)]
struct Model(BTreeMap<String, ExpectedConnection>);

impl Model {
    fn redeem(&mut self, name: &str, by_other: bool, now: i64) {
        let Some(code) = self.0.get(name).cloned() else { return };
        if by_other || now >= code.code_until {
            return;
        }
        if code.redeemed || code.end_cause.is_some() {
            // A replay by the right client ends the connection, unless it has already ended.
            if code.end_cause.is_none() {
                self.end(name, EndCause::CodeReplayed);
            }
            return;
        }
        let older =
            self.0.iter().find(|(_, e)| e.customer == code.customer && e.is_active()).map(|(n, _)| n.clone());
        if let Some(older) = older {
            self.end(&older, EndCause::Replaced);
        }
        if let Some(expected) = self.0.get_mut(name) {
            expected.redeemed = true;
        }
    }

    fn end(&mut self, name: &str, cause: EndCause) {
        if let Some(expected) = self.0.get_mut(name).filter(|e| e.end_cause.is_none()) {
            expected.end_cause = Some(cause);
        }
    }
}

async fn run_history(mut kit: TestStore, steps: Vec<HistoryStep>) {
    let mut model = Model::default();
    let name = |nth: usize| format!("n{nth}");
    for step in steps {
        match step {
            HistoryStep::Login { customer } => {
                let new = name(model.0.len());
                kit.create_pending_connection(&new, "dc-acme", Some(&format!("customer-{customer}"))).await;
                let code_until = kit.now.plus(Duration::from_mins(1)).millis();
                model.0.insert(
                    new,
                    ExpectedConnection { customer, end_cause: None, redeemed: false, code_until },
                );
            }
            HistoryStep::Redeem { nth, by_other } => {
                let redeemed =
                    kit.redeem_code(&name(nth), if by_other { "dc-other" } else { "dc-acme" }).await;
                let before = model.0.get(&name(nth)).is_some_and(ExpectedConnection::is_active);
                model.redeem(&name(nth), by_other, kit.now.millis());
                let after = model.0.get(&name(nth)).is_some_and(ExpectedConnection::is_active);
                assert_eq!(matches!(redeemed, RedeemOutcome::Activated(_)), after && !before, "{nth}");
            }
            HistoryStep::End { nth } => {
                kit.end_connection(&connection_id(&name(nth)), EndCause::Recipient, None).await;
                model.end(&name(nth), EndCause::Recipient);
            }
            HistoryStep::EndSet { nths } => {
                let ids: Vec<_> = nths.iter().map(|nth| connection_id(&name(*nth))).collect();
                let outcomes =
                    join_all(ids.iter().map(|id| kit.end_connection(id, EndCause::Recipient, None))).await;
                let expected: BTreeSet<_> = nths.iter().map(|nth| name(*nth)).collect();
                let expected =
                    expected.iter().filter(|name| model.0.get(*name).is_some_and(|e| e.end_cause.is_none()));
                let expected = expected.count();
                let ended = outcomes.iter().filter(|outcome| matches!(outcome, EndOutcome::Ended(_))).count();
                assert_eq!(ended, expected, "each connection ends once: {outcomes:?}");
                for nth in nths {
                    model.end(&name(nth), EndCause::Recipient);
                }
            }
            HistoryStep::Wait { minutes } => kit.advance_clock(Duration::from_mins(u64::from(minutes))),
            HistoryStep::Sweep { nth } => {
                let sweep = ExpireConnection {
                    moment: kit.next_moment(),
                    connection_id: connection_id(&name(nth)),
                    idle_timeout: DAY * 30,
                };
                kit.store.expire_connection(sweep).await.unwrap();
                let is_expired = |e: &ExpectedConnection| !e.redeemed && kit.now.millis() >= e.code_until;
                if model.0.get(&name(nth)).is_some_and(is_expired) {
                    model.end(&name(nth), EndCause::NeverRedeemed);
                }
            }
        }
        compare_with_model(&kit, &model).await;
    }
}

async fn compare_with_model(kit: &TestStore, model: &Model) {
    let mut active = BTreeMap::new();
    for (name, expected) in &model.0 {
        let id = connection_id(name);
        let connection = kit.get_connection(&id).await;
        assert_eq!(kit.find_end_cause(&id).await, expected.end_cause, "{name}");
        assert_eq!(connection.state == ConnectionState::Active, expected.is_active(), "{name}");
        let token =
            kit.store.query(&FindRefreshToken { hashes: hashes(&format!("refresh-{name}")) }).await.unwrap();
        let is_usable = token.is_some_and(|token| token.access_state.status == ConnectionStatus::Active);
        assert_eq!(
            is_usable,
            expected.is_active(),
            "a refresh token must be usable exactly as long as its connection is active: {name}"
        );
        *active.entry(expected.customer).or_insert(0) +=
            i32::from(connection.state == ConnectionState::Active);
        kit.connection_audit_actions(&id).await;
    }
    assert!(active.values().all(|number| *number <= 1), "at most one active connection for each customer");
}

fn run_histories(cases: u32, open: impl AsyncFn() -> TestStore) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&history_strategy(), |acts| {
        runtime.block_on(async { run_history(open().await, acts).await });
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

#[test]
fn random_histories_match_model_on_sqlite() {
    run_histories(60, TestStore::open_sqlite);
}

#[test]
fn random_histories_match_model_on_postgres() {
    run_histories(15, TestStore::open_postgres);
}
