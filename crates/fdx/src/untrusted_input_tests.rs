//! Properties of the parser: every response is parsed or rejected, nothing panics, and parsed values round-trip.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Account, Accounts, Customer, ErrorBody, Shaped, Transaction, Transactions, parse};

/// Valid responses. The generated responses contain field names and values from them.
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

fn collect_words() -> Vec<String> {
    fn collect_into(value: &Value, words: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                words.push(name.clone());
                collect_into(value, words);
            }),
            Value::Array(items) => items.iter().for_each(|item| collect_into(item, words)),
            _ => {}
        }
    }
    let mut words = Vec::new();
    for sample in SAMPLES {
        collect_into(&serde_json::from_str(sample).unwrap(), &mut words);
    }
    words
}

/// Generates JSON with mostly known field names and with unusual values.
pub(crate) fn arbitrary_json() -> impl Strategy<Value = Value> {
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
        let name = prop_oneof![8 => prop::sample::select(collect_words()), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// Generates one of `SAMPLES` with one value replaced.
pub(crate) fn mutated_sample() -> impl Strategy<Value = Value> {
    (prop::sample::select(SAMPLES.to_vec()), arbitrary_json(), any::<prop::sample::Index>()).prop_map(
        |(sample, by, at)| {
            let mut sample_value: Value = serde_json::from_str(sample).unwrap();
            let mut left = at.index(count_places(&sample_value));
            replace(&mut sample_value, &mut left, &by);
            sample_value
        },
    )
}

fn count_places(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(count_places).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(count_places).sum::<usize>(),
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

fn assert_round_trip<T: DeserializeOwned + Shaped + Serialize + PartialEq + std::fmt::Debug>(text: &[u8]) {
    if let Ok(read) = parse::<T>(text) {
        let written = serde_json::to_vec(&read.value).unwrap();
        let reparsed = parse::<T>(&written).unwrap();
        assert_eq!((&reparsed.value, reparsed.dropped), (&read.value, 0));
    }
}

fn assert_round_trip_as_every_type(text: &[u8]) {
    assert_round_trip::<Accounts>(text);
    assert_round_trip::<Account>(text);
    assert_round_trip::<Transactions>(text);
    assert_round_trip::<Transaction>(text);
    assert_round_trip::<Customer>(text);
    assert_round_trip::<ErrorBody>(text);
}

proptest! {
    #[test]
    fn parse_of_arbitrary_bytes_never_panics(bytes: Vec<u8>, text: String) {
        assert_round_trip_as_every_type(&bytes);
        assert_round_trip_as_every_type(text.as_bytes());
    }

    #[test]
    fn parse_of_json_with_known_field_names_never_panics(value in arbitrary_json()) {
        assert_round_trip_as_every_type(value.to_string().as_bytes());
    }

    #[test]
    fn parse_of_mutated_response_never_panics(value in mutated_sample(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        assert_round_trip_as_every_type(text.as_bytes());
        assert_round_trip_as_every_type(&text.as_bytes()[..cut.index(text.len() + 1)]);
    }
}

#[test]
fn parse_rejects_deeply_nested_json() {
    for open in ["[", "{\"accounts\":[", "{\"a\":"] {
        assert_round_trip_as_every_type(open.repeat(100_000).as_bytes());
    }
}
