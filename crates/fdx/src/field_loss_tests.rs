//! Properties of reading: whatever one field of a response contains, nothing else is lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::sample::complete_values;
use crate::shape::{Shape, Shaped};
use crate::untrusted_input_tests::arbitrary_json;
use crate::v6::{self, CrossVersion};
use crate::{
    Account, AccountContact, Customer, PaymentNetwork, Replay, ReplayCall, Statement, Transaction, Version,
    replay,
};

/// A valid response that contains every field of an entity, and the place of the entity in it.
struct Payload {
    call: ReplayCall,
    version: Version,
    body: Value,
    /// The JSON pointer of the entity.
    entity_at: String,
    /// The key of the account or transaction in FDX 5.
    key: Option<String>,
    /// The result of reading the response.
    served: Value,
}

const VERSIONS: [Version; 2] = [Version::V5, Version::V6];

impl Payload {
    fn new(call: ReplayCall, version: Version, body: Value, entity_at: String, key: Option<String>) -> Self {
        let served = replay(call, version, body.to_string().as_bytes()).unwrap().served;
        Self { call, version, body, entity_at, key, served }
    }
}

/// Creates a list with the entity between two others.
fn list_payload<T: CrossVersion>(
    (call, list): (ReplayCall, &str),
    version: Version,
    (entity, neighbour): (&T, &Value),
) -> Payload {
    let write = |item: &T| match version {
        Version::V5 => serde_json::to_value(item).unwrap(),
        Version::V6 => v6::write(item).unwrap(),
    };
    let neighbour = write(&serde_json::from_value(neighbour.clone()).unwrap());
    let wrapped = serde_json::to_value(entity).unwrap();
    let key =
        wrapped.as_object().filter(|members| members.len() == 1).and_then(|members| members.keys().next());
    let mut entity_at = format!("/{list}/1");
    if let Some(key) = key.filter(|_| version == Version::V5) {
        entity_at.push('/');
        entity_at.push_str(key);
    }
    let body = json!({"page": {}, list: [neighbour, write(entity), neighbour]});
    Payload::new(call, version, body, entity_at, key.cloned())
}

/// Creates a list of an entity whose form is the same in both versions.
fn unchanged_list_payload<T: DeserializeOwned + Serialize>(
    (call, list): (ReplayCall, &str),
    version: Version,
) -> Payload {
    let item = serde_json::to_value(complete_values::<T>().remove(0)).unwrap();
    let body = json!({"page": {}, list: [item, item, item]});
    Payload::new(call, version, body, format!("/{list}/1"), None)
}

fn object_payload<T: CrossVersion>(call: ReplayCall, version: Version) -> Payload {
    let body = serde_json::to_value(complete_values::<T>().remove(0)).unwrap();
    Payload::new(call, version, body, String::new(), None)
}

fn all_payloads() -> Vec<Payload> {
    let mut all = Vec::new();
    for version in VERSIONS {
        let accounts = complete_values::<Account>();
        let list = (ReplayCall::Accounts, "accounts");
        let other = json!({"loanAccount": {"accountId": "n", "loanTerm": 3}});
        all.extend(accounts.iter().map(|account| list_payload(list, version, (account, &other))));
        let transactions = complete_values::<Transaction>();
        let list = (ReplayCall::Transactions, "transactions");
        let other = json!({"loanTransaction": {"transactionId": "n", "amount": 3}});
        all.extend(transactions.iter().map(|item| list_payload(list, version, (item, &other))));
        let list = (ReplayCall::Statements, "statements");
        all.push(unchanged_list_payload::<Statement>(list, version));
        let list = (ReplayCall::PaymentNetworks, "paymentNetworks");
        all.push(unchanged_list_payload::<PaymentNetwork>(list, version));
        all.push(object_payload::<Customer>(ReplayCall::Customer, version));
        all.push(object_payload::<AccountContact>(ReplayCall::Contact, version));
    }
    all
}

/// Lists the JSON pointers of all members at any depth of a value.
fn list_members(value: &Value, at: &str, members: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = format!("{at}/{name}");
                members.push(at.clone());
                list_members(value, &at, members);
            }
        }
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                list_members(item, &format!("{at}/{nth}"), members);
            }
        }
        _ => {}
    }
}

impl Payload {
    fn members(&self) -> Vec<String> {
        let mut members = Vec::new();
        list_members(self.body.pointer(&self.entity_at).unwrap(), "", &mut members);
        members
    }

    fn replay(&self, body: &Value) -> Replay {
        replay(self.call, self.version, body.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// Returns whether an entity is left out if this member cannot be read.
    fn is_strict(&self, member: &str) -> bool {
        let name = member.trim_start_matches('/');
        match self.call {
            ReplayCall::Accounts => ["accountId", "accountCategory"].contains(&name),
            ReplayCall::Transactions => {
                ["accountId", "accountCategory", "transactionId", "amount", "debitCreditMemo"].contains(&name)
            }
            ReplayCall::Statements => ["accountId", "statementId"].contains(&name),
            _ => false,
        }
    }

    /// Replaces a member by a value and asserts that at most this member differs in what is served.
    fn assert_only_member_is_lost(&self, member: &str, value: &Value) {
        let mut body = self.body.clone();
        *body.pointer_mut(&format!("{}{member}", self.entity_at)).unwrap() = value.clone();
        let after = self.replay(&body);
        let context = || format!("{:?} {:?} {member}: {value}", self.call, self.version);
        let (entity_before, entity_after) = if self.entity_at.is_empty() {
            (&self.served, &after.served)
        } else {
            let (first, last) = (&after.served[0], after.served.as_array().unwrap().last().unwrap());
            assert_eq!((first, last), (&self.served[0], &self.served[2]), "{}", context());
            if after.served.as_array().unwrap().len() == 2 {
                assert!(self.is_strict(member), "{}", context());
                assert!(after.report.dropped() > 0, "{}", context());
                return;
            }
            (&self.served[1], &after.served[1])
        };
        let inner = |served: &Value| self.key.as_ref().map_or(served.clone(), |key| served[key].clone());
        if member == "/accountCategory" && self.version == Version::V6 {
            // Another type has other fields.
            return;
        }
        let mut differences = Vec::new();
        find_differences(&inner(entity_before), &inner(entity_after), "", &mut differences);
        for difference in differences {
            assert!(may_differ(member, &difference), "{difference}: {}", context());
        }
    }
}

/// Returns whether a member of the result may differ if a member of the response is changed.
fn may_differ(changed: &str, difference: &str) -> bool {
    // In FDX 6 the ids of a security have another form.
    let changed = changed.split("/securityIds").next().map_or("", |before| before);
    difference.starts_with(changed) || changed.starts_with(difference)
}

fn find_differences(before: &Value, after: &Value, at: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
                let at = format!("{at}/{name}");
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => find_differences(left, right, &at, found),
                    _ => found.push(at),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (nth, (left, right)) in left.iter().zip(right).enumerate() {
                find_differences(left, right, &format!("{at}/{nth}"), found);
            }
        }
        (left, right) if left == right => {}
        _ => found.push(at.to_owned()),
    }
}

/// Values that are unreadable for most fields, and accepted spellings for others.
fn unusual_values() -> Vec<Value> {
    let texts = ["", "x", "12", "0012", "CAD", "2024-02-30", "2024-01-15", "2024-01-15T10:30:00", "\u{0}"];
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(7),
        json!(-1.5),
        json!([]),
        json!({}),
        json!([null]),
        json!([{}]),
        json!([[7]]),
        json!({"a": {"b": [1]}}),
        json!("x".repeat(5_000)),
        serde_json::from_str("1e400").unwrap(),
        serde_json::from_str("12345678901234567890123456789012345").unwrap(),
    ];
    values.extend(texts.map(Value::from));
    values
}

/// Returns the path of a member as in a report, without indexes.
fn path_of(payload: &Payload, member: &str) -> String {
    let kind = match payload.call {
        ReplayCall::Accounts | ReplayCall::Transactions => payload.key.clone().unwrap_or_default(),
        ReplayCall::Statements => "statement".into(),
        ReplayCall::PaymentNetworks => "paymentNetwork".into(),
        ReplayCall::Customer => "customer".into(),
        _ => "accountContact".into(),
    };
    let names = member.split('/').filter(|name| !name.is_empty() && name.parse::<usize>().is_err());
    names.fold(kind, |path, name| format!("{path}.{name}"))
}

#[test]
fn unusual_value_of_any_field_loses_nothing_else() {
    let values = unusual_values();
    let mut counts = BTreeMap::new();

    for payload in all_payloads() {
        for member in payload.members() {
            for value in &values {
                payload.assert_only_member_is_lost(&member, value);
            }
            let key = (format!("{:?}", payload.version), path_of(&payload, &member));
            *counts.entry(key).or_insert(0) += values.len();
        }
    }

    for ((version, path), count) in &counts {
        println!("{version} {path}: {count}");
    }
    let reached = |version: &str| counts.keys().filter(|(known, _)| known == version).count();
    assert_eq!(missing_fields(&counts), Vec::<String>::new(), "every field of FDX 5 is reached");
    assert!(reached("V6") > 600, "{}", reached("V6"));
}

/// Returns the fields of all entities in FDX 5 that were not reached.
fn missing_fields(counts: &BTreeMap<(String, String), usize>) -> Vec<String> {
    let mut fields = Vec::new();
    for (kind, shape) in [
        ("", Account::SHAPE),
        ("", Transaction::SHAPE),
        ("statement", Statement::SHAPE),
        ("paymentNetwork", PaymentNetwork::SHAPE),
        ("customer", Customer::SHAPE),
        ("accountContact", AccountContact::SHAPE),
    ] {
        list_fields(shape, kind, &mut fields);
    }
    assert!(fields.len() > 600, "{}", fields.len());
    fields.retain(|field| !counts.contains_key(&("V5".to_owned(), field.clone())));
    fields
}

fn list_fields(shape: &Shape, at: &str, found: &mut Vec<String>) {
    match shape {
        Shape::Element(types) => types.iter().for_each(|kind| list_fields(kind.shape, kind.name, found)),
        Shape::Object(fields) | Shape::Currency(fields) => {
            for field in *fields {
                let at = format!("{at}.{}", field.name);
                list_fields(field.shape, &at, found);
                found.push(at);
            }
        }
        Shape::List(shape) => list_fields(shape, at, found),
        _ => {}
    }
}

#[test]
fn random_value_of_random_field_loses_nothing_else() {
    let payloads = all_payloads();
    let members: Vec<(usize, String)> = payloads
        .iter()
        .enumerate()
        .flat_map(|(nth, payload)| payload.members().into_iter().map(move |member| (nth, member)))
        .collect();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2_000));

    runner
        .run(&(prop::sample::select(members), arbitrary_json()), |((nth, member), value)| {
            payloads[nth].assert_only_member_is_lost(&member, &value);
            Ok(())
        })
        .unwrap();
}
