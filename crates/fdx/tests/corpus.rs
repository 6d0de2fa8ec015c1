//! A corpus of responses of data providers. Each file has the call, the response and the expected outcome. A response is
//! written in the form of FDX 5 and, where it applies, also read in the form of FDX 6.
//!
//! The members of a file: `call`, `versions` (both if absent), the response as `body` (JSON), `text` or `hex`, and the
//! outcome: either `error`, or `served`, `dropped`, `omitted`, `total` and `next`.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fdx::{ReplayCall, Version, replay};
use serde_json::{Map, Value, json};

/// For each account and transaction of FDX 5: the key and the category in FDX 6.
const CATEGORIES: [(&str, &str); 7] = [
    ("deposit", "DEPOSIT_ACCOUNT"),
    ("loc", "LOC_ACCOUNT"),
    ("loan", "LOAN_ACCOUNT"),
    ("investment", "INVESTMENT_ACCOUNT"),
    ("insurance", "INSURANCE_ACCOUNT"),
    ("annuity", "ANNUITY_ACCOUNT"),
    ("commercial", "COMMERCIAL_ACCOUNT"),
];

/// Loads the cases, by the name of their kind and of their file.
fn load_cases() -> BTreeMap<String, Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let files = list(&folder).into_iter().flat_map(|kind| list(&kind));
    let load = |file: PathBuf| {
        let name = file.strip_prefix(&folder).unwrap().with_extension("").display().to_string();
        (name, serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
    };
    files.map(load).collect()
}

fn response_body(case: &Value, version: Version) -> Vec<u8> {
    if let Some(text) = case["text"].as_str() {
        return text.as_bytes().to_vec();
    }
    if let Some(hex) = case["hex"].as_str() {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        return (0..hex.len()).step_by(2).map(byte).collect();
    }
    let body = &case["body"];
    match version {
        Version::V5 => body.to_string().into_bytes(),
        // A case of FDX 6 only has its form already.
        Version::V6 if case["versions"] == json!([6]) => body.to_string().into_bytes(),
        Version::V6 => to_v6(case["call"].as_str().unwrap(), body.clone()).to_string().into_bytes(),
    }
}

/// Converts a response in the form of FDX 5 to that of FDX 6, without regard to the values.
fn to_v6(call: &str, mut body: Value) -> Value {
    match call {
        "account" => to_v6_element(body),
        "accounts" | "transactions" => {
            if let Some(elements) = body.get_mut(call).and_then(Value::as_array_mut) {
                for element in elements {
                    *element = to_v6_element(element.take());
                }
            }
            body
        }
        _ => body,
    }
}

fn to_v6_element(element: Value) -> Value {
    let members = element.as_object().filter(|members| members.len() == 1);
    let Some((key, Value::Object(content))) = members.and_then(|members| members.iter().next()) else {
        return element;
    };
    if ["accounts", "error", "code"].contains(&key.as_str()) {
        return element;
    }
    let mut content = content.clone();
    content.insert("accountCategory".into(), category_of(key).unwrap_or(key).into());
    if let Some(number) = content.get_mut("checkNumber").filter(|number| number.is_number()) {
        *number = number.to_string().into();
    }
    content.into()
}

fn category_of(key: &str) -> Option<&'static str> {
    let kind = key.strip_suffix("Account").or_else(|| key.strip_suffix("Transaction"))?;
    // FDX 5 has no transactions of annuities, so that the hub does not serve them.
    let is_known = key != "annuityTransaction";
    CATEGORIES.iter().find(|(known, _)| *known == kind && is_known).map(|(_, category)| *category)
}

/// Adds the category, which every account of FDX 6 has, to the expected accounts.
fn with_categories(call: &str, served: &Value) -> Value {
    let add = |element: &Value| -> Value {
        let Some((key, content)) = element.as_object().and_then(|members| members.iter().next()) else {
            return element.clone();
        };
        let mut content = content.as_object().unwrap().clone();
        content.entry("accountCategory").or_insert_with(|| category_of(key).into());
        Map::from_iter([(key.clone(), content.into())]).into()
    };
    match (call, served) {
        ("accounts", Value::Array(elements)) => elements.iter().map(add).collect(),
        ("account", element) => add(element),
        (_, served) => served.clone(),
    }
}

fn read(case: &Value, version: Version) -> Value {
    let call: ReplayCall = case["call"].as_str().unwrap().parse().unwrap();
    let read = match replay(call, version, &response_body(case, version)) {
        Err(error) => return json!({"error": error.reason()}),
        Ok(read) => read,
    };
    let mut dropped: Vec<String> = Vec::new();
    for field in read.report.fields() {
        let times = if field.count > 1 { format!(" x{}", field.count) } else { String::new() };
        dropped.push(format!("{}: {}{times}", field.path, field.reason.as_str()));
    }
    dropped.sort();
    json!({
        "served": read.served,
        "dropped": dropped,
        "omitted": read.omitted,
        "total": read.total,
        "next": read.next.map(|next| format!("{}={}", next.parameter.name(), next.value)),
    })
}

fn expected(case: &Value, version: Version) -> Value {
    if case["error"].is_string() {
        return json!({"error": case["error"]});
    }
    let mut dropped: Vec<String> = serde_json::from_value(case["dropped"].clone()).unwrap_or_default();
    dropped.sort();
    let served = match version {
        Version::V5 => case["served"].clone(),
        Version::V6 => with_categories(case["call"].as_str().unwrap(), &case["served"]),
    };
    json!({
        "served": served,
        "dropped": dropped,
        "omitted": case["omitted"].as_u64().unwrap_or(0),
        "total": case["total"],
        "next": case["next"],
    })
}

#[test]
fn corpus_of_responses_is_read_as_expected() {
    let cases = load_cases();
    let (mut failures, mut kinds) = (Vec::new(), BTreeMap::new());

    for (name, case) in &cases {
        for (number, version) in [(5, Version::V5), (6, Version::V6)] {
            let applies =
                case["versions"].as_array().is_none_or(|versions| versions.contains(&json!(number)));
            let (read, expected) = (read(case, version), expected(case, version));
            if applies && read != expected {
                failures.push(format!("{name} in FDX {number}:\n  read     {read}\n  expected {expected}"));
            }
        }
        let kind = name.split(['/', '\\']).next().unwrap();
        *kinds.entry(kind).or_insert(0) += 1;
    }

    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    println!("{} cases: {kinds:?}", cases.len());
    assert!(cases.len() >= 200 && kinds.values().all(|count| *count >= 5), "{kinds:?}");
}
