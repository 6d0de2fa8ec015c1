//! A state machine: random histories on a store and on a model that is simple enough to be seen right.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::model::connection::{Cause, State};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::command::{ExpireConnection, Redeemed};
use store::query::RefreshTokenBy;

use crate::kit::{DAY, Kit, connection_id, hashes};

#[derive(Clone, Debug)]
enum Act {
    Login { customer: u8 },
    Redeem { nth: usize, by_other: bool },
    End { nth: usize },
    Wait { minutes: u8 },
    Sweep { nth: usize },
}

/// What a connection is, as far as the model knows.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    customer: u8,
    state: Option<Cause>,
    redeemed: bool,
    code_until: i64,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..2_u8).prop_map(|customer| Act::Login { customer }),
        4 => (0..6_usize, prop::bool::weighted(0.2)).prop_map(|(nth, by_other)| Act::Redeem { nth, by_other }),
        2 => (0..6_usize).prop_map(|nth| Act::End { nth }),
        1 => (0..2_u8).prop_map(|minutes| Act::Wait { minutes }),
        1 => (0..6_usize).prop_map(|nth| Act::Sweep { nth }),
    ];
    prop::collection::vec(act, 1..18)
}

impl Expected {
    fn live(&self) -> bool {
        self.state.is_none() && self.redeemed
    }
}

#[derive(Default)]
struct Model(BTreeMap<String, Expected>);

impl Model {
    fn redeem(&mut self, name: &str, by_other: bool, now: i64) {
        let Some(code) = self.0.get(name).cloned() else { return };
        if by_other || now >= code.code_until {
            return;
        }
        if code.redeemed || code.state.is_some() {
            // A rightful second use; of an ended connection it changes nothing.
            if code.state.is_none() {
                self.end(name, Cause::CodeReplayed);
            }
            return;
        }
        let older =
            self.0.iter().find(|(_, e)| e.customer == code.customer && e.live()).map(|(n, _)| n.clone());
        if let Some(older) = older {
            self.end(&older, Cause::Replaced);
        }
        if let Some(expected) = self.0.get_mut(name) {
            expected.redeemed = true;
        }
    }

    fn end(&mut self, name: &str, cause: Cause) {
        if let Some(expected) = self.0.get_mut(name).filter(|e| e.state.is_none()) {
            expected.state = Some(cause);
        }
    }
}

async fn history(mut kit: Kit, acts: Vec<Act>) {
    let mut model = Model::default();
    let name = |nth: usize| format!("n{nth}");
    for act in acts {
        match act {
            Act::Login { customer } => {
                let new = name(model.0.len());
                kit.pending(&new, "dc-acme", Some(&format!("customer-{customer}"))).await;
                let code_until = kit.now.plus(Duration::from_mins(1)).millis();
                model.0.insert(new, Expected { customer, state: None, redeemed: false, code_until });
            }
            Act::Redeem { nth, by_other } => {
                let redeemed = kit.redeem(&name(nth), if by_other { "dc-other" } else { "dc-acme" }).await;
                let before = model.0.get(&name(nth)).is_some_and(Expected::live);
                model.redeem(&name(nth), by_other, kit.now.millis());
                let after = model.0.get(&name(nth)).is_some_and(Expected::live);
                assert_eq!(matches!(redeemed, Redeemed::Activated(_)), after && !before, "{nth}");
            }
            Act::End { nth } => {
                kit.end(&connection_id(&name(nth)), Cause::Recipient, None).await;
                model.end(&name(nth), Cause::Recipient);
            }
            Act::Wait { minutes } => kit.advance(Duration::from_mins(u64::from(minutes))),
            Act::Sweep { nth } => {
                let sweep = ExpireConnection {
                    moment: kit.moment(),
                    connection_id: connection_id(&name(nth)),
                    idle: DAY * 30,
                };
                kit.store.run(sweep).await.unwrap();
                let over = |e: &Expected| !e.redeemed && kit.now.millis() >= e.code_until;
                if model.0.get(&name(nth)).is_some_and(over) {
                    model.end(&name(nth), Cause::NeverRedeemed);
                }
            }
        }
        compare(&kit, &model).await;
    }
}

async fn compare(kit: &Kit, model: &Model) {
    let mut active = BTreeMap::new();
    for (name, expected) in &model.0 {
        let id = connection_id(name);
        let connection = kit.connection(&id).await;
        assert_eq!(kit.cause(&id).await, expected.state, "{name}");
        assert_eq!(connection.state == State::Active, expected.live(), "{name}");
        let token =
            kit.store.ask(&RefreshTokenBy { hashes: hashes(&format!("refresh-{name}")) }).await.unwrap();
        assert_eq!(
            token.is_some(),
            expected.live(),
            "a refresh token lives as long as its connection: {name}"
        );
        *active.entry(expected.customer).or_insert(0) += i32::from(connection.state == State::Active);
        kit.record(&id).await;
    }
    assert!(active.values().all(|number| *number <= 1), "at most one active connection for each customer");
}

fn histories(cases: u32, open: impl AsyncFn() -> Kit) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&acts(), |acts| {
        runtime.block_on(async { history(open().await, acts).await });
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

#[test]
fn histories_on_sqlite_go_as_the_model_says() {
    histories(60, Kit::sqlite);
}

#[test]
fn histories_on_postgres_go_as_the_model_says() {
    histories(15, Kit::postgres);
}
