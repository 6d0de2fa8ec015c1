//! Whatever a provider answers is read or refused; nothing panics, and what is read is written so that it reads
//! the same again.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Account, Accounts, Customer, ErrorBody, Transaction, Transactions, parse};

/// Answers as they should be: their words are what the made-up ones are made of.
const SAMPLES: [&str; 4] = [
    r#"{"page":{"nextOffset":"n","totalElements":10},"links":{"next":{"href":"/x"}},"accounts":[{"depositAccount":
    {"accountId":"a1","accountCategory":"DEPOSIT_ACCOUNT","accountType":"CHECKING","status":"OPEN",
    "currency":{"currencyCode":"CAD","currencyRate":1.0},"lastActivityDate":"2024-01-15",
    "balanceAsOf":"2024-01-15T10:30:00Z","currentBalance":12345678901234567890.123456}},
    {"investmentAccount":{"accountId":"i","holdings":[{"holdingId":"h","units":1.2345,
    "assetClasses":[{"assetClass":"DOMESTICBOND","percent":12.5}]}]}}]}"#,
    r#"{"page":{},"links":{},"transactions":[{"locTransaction":{"accountId":"a","transactionId":"t",
    "postedTimestamp":"2020-02-01T00:00:00Z","amount":10.50,"paymentDetails":{"interestAmount":0.01}}}]}"#,
    r#"{"customerId":"c","name":{"first":"Zoë","last":"É"},"dateOfBirth":"1980-01-01",
    "email":["a@b.example"],"accounts":[{"accountId":"a"}]}"#,
    r#"{"code":602,"message":"no","debugMessage":"x"}"#,
];

fn words() -> Vec<String> {
    fn collect(value: &Value, words: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                words.push(name.clone());
                collect(value, words);
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
            _ => {}
        }
    }
    let mut words = Vec::new();
    for sample in SAMPLES {
        collect(&serde_json::from_str(sample).unwrap(), &mut words);
    }
    words
}

/// JSON of our words and of strange values.
fn answer() -> impl Strategy<Value = Value> {
    let numbers = [
        "0",
        "-0.10",
        "1e400",
        "1E-999999999",
        "99999999999999999999999999999999",
        "1.0000000000000000000000000000000001",
    ];
    let texts =
        ["", "2024-02-30", "2024-01-15", "2024-01-15T10:30:00Z", "-9999-12-31", "CAD", "OPEN", "CHECKING"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(numbers.to_vec()).prop_map(|text| serde_json::from_str(text).unwrap()),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let name = prop_oneof![8 => prop::sample::select(words()), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// A sample with a value somewhere in it put in the place of another.
fn bent() -> impl Strategy<Value = Value> {
    (prop::sample::select(SAMPLES.to_vec()), answer(), any::<prop::sample::Index>()).prop_map(
        |(sample, by, at)| {
            let mut whole: Value = serde_json::from_str(sample).unwrap();
            let mut left = at.index(places(&whole));
            replace(&mut whole, &mut left, &by);
            whole
        },
    )
}

fn places(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(places).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(places).sum::<usize>(),
        _ => 1,
    }
}

fn replace(value: &mut Value, left: &mut usize, by: &Value) -> bool {
    if *left == 0 {
        *value = by.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Object(members) => members.values_mut().any(|value| replace(value, left, by)),
        Value::Array(items) => items.iter_mut().any(|value| replace(value, left, by)),
        _ => false,
    }
}

fn stays<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &[u8]) {
    if let Ok(read) = parse::<T>(text) {
        let written = serde_json::to_vec(&read.value).unwrap();
        let again = parse::<T>(&written).unwrap();
        assert_eq!((&again.value, again.dropped), (&read.value, 0));
    }
}

fn every_type(text: &[u8]) {
    stays::<Accounts>(text);
    stays::<Account>(text);
    stays::<Transactions>(text);
    stays::<Transaction>(text);
    stays::<Customer>(text);
    stays::<ErrorBody>(text);
}

proptest! {
    #[test]
    fn bytes_are_read_or_refused(bytes: Vec<u8>, text: String) {
        every_type(&bytes);
        every_type(text.as_bytes());
    }

    #[test]
    fn json_of_our_words_is_read_or_refused(value in answer()) {
        every_type(value.to_string().as_bytes());
    }

    #[test]
    fn a_bent_answer_is_read_or_refused(value in bent(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        every_type(text.as_bytes());
        every_type(&text.as_bytes()[..cut.index(text.len() + 1)]);
    }
}

#[test]
fn a_deep_answer_is_refused() {
    for open in ["[", "{\"accounts\":[", "{\"a\":"] {
        every_type(open.repeat(100_000).as_bytes());
    }
}
