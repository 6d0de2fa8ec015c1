//! A test that compares the documented examples of the FDX API field by field with the responses to every customer of
//! both banks. One bank uses FDX 5, the other FDX 6; the comparison is the same. Each difference is listed in the file
//! of the example with its reason, and must exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bowline::cli::BrowserResponse;
use serde_json::{Value, json};

use crate::matrix::callers::FULL_SCOPE;
use crate::support::{ConnectionTokens, RawRequest, TestHub};

const BANKS: [i64; 2] = [1000, 2000];
const CUSTOMERS: [&str; 6] = ["alice", "bob", "chloe", "david", "emma", "farid"];

/// Returns the examples with the names of their files.
fn load_examples() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden_data");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    files.map(read).collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Statistics of the fields in all responses of one operation.
#[derive(Default)]
struct ObservedFields {
    /// The number of objects by path.
    objects: BTreeMap<String, usize>,
    /// The number and the types of each field, by path.
    fields: BTreeMap<String, (usize, BTreeSet<&'static str>)>,
}

const fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the only key of a JSON object, which names the kind of the entity in it.
fn find_wrapper_key(value: &Value) -> Option<&String> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.iter().find(|(_, inside)| inside.is_object()).map(|(key, _)| key)
}

/// Returns whether an entity is of the kind of the documented example; other kinds have their own examples.
fn is_comparable(documented: &Value, own: &Value) -> bool {
    find_wrapper_key(documented).is_none_or(|key| find_wrapper_key(own) == Some(key))
}

impl ObservedFields {
    fn observe(&mut self, at: &str, value: &Value, documented: &Value) {
        match value {
            Value::Object(members) => {
                *self.objects.entry(at.to_owned()).or_default() += 1;
                for (name, value) in members {
                    let place = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    let (number, kinds) = self.fields.entry(place.clone()).or_default();
                    *number += 1;
                    kinds.insert(json_type(value));
                    self.observe(&place, value, &documented[name]);
                }
            }
            Value::Array(items) => {
                let documented = &documented[0];
                for item in items.iter().filter(|item| is_comparable(documented, item)) {
                    let place = format!("{at}[]");
                    let (number, kinds) = self.fields.entry(place.clone()).or_default();
                    *number += 1;
                    kinds.insert(json_type(item));
                    self.observe(&place, item, documented);
                }
            }
            _ => {}
        }
    }

    /// Returns how often the field at a path is present, and how often it could be.
    fn count_occurrences(&self, place: &str) -> (usize, usize) {
        let own = self.fields.get(place).map_or(0, |(number, _)| *number);
        let above = place.rsplit_once('.').map_or("", |(above, _)| above);
        // The number of items of a list is free.
        let most = if place.ends_with("[]") { own } else { self.objects.get(above).copied().unwrap_or(0) };
        (own, most)
    }
}

/// Returns whether the example's list `list` contains a path or one of its parents.
fn is_listed(example: &Value, list: &str, place: &str) -> bool {
    let below = |known: &String| {
        place.strip_prefix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    example[list].as_object().is_some_and(|all| all.keys().any(below))
}

/// Lists the differences between the responses of one bank and the example that the file does not list.
fn find_differences(example: &Value, seen: &ObservedFields) -> Vec<String> {
    let body = &example["reply"]["body"];
    let mut documented = ObservedFields::default();
    documented.observe("", body, body);
    let mut found = Vec::new();
    for (place, (_, kinds)) in &seen.fields {
        match documented.fields.get(place) {
            Some((_, expected)) if expected == kinds => {}
            Some((_, expected)) => found.push(format!("{place} is {kinds:?}, not {expected:?}")),
            None if is_listed(example, "beyond", place) || is_listed(example, "at_one_bank", place) => {}
            None => found.push(format!("{place} is not documented")),
        }
    }
    for place in documented.fields.keys().filter(|place| !is_listed(example, "absent", place)) {
        match seen.count_occurrences(place) {
            (0, _) if is_listed(example, "at_one_bank", place) => {}
            (0, _) => found.push(format!("{place} is not there")),
            (own, most)
                if own < most
                    && !["sometimes", "at_one_bank"].iter().any(|l| is_listed(example, l, place)) =>
            {
                found.push(format!("{place} is there {own} times of {most}"));
            }
            _ => {}
        }
    }
    let named = |list: &str, there: bool, what: &str| -> Vec<String> {
        let wrong = list_paths(example, list).filter(|place| (seen.count_occurrences(place).0 > 0) == there);
        wrong.map(|place| format!("{place} {what}")).collect()
    };
    found.extend(named("absent", true, "exists, but is listed as absent"));
    found.extend(named("beyond", false, "never exists"));
    found
}

/// Returns the paths in the example's list `list`.
fn list_paths<'a>(example: &'a Value, list: &str) -> impl Iterator<Item = &'a String> {
    example[list].as_object().into_iter().flatten().map(|(place, _)| place)
}

/// Describes the entries in the lists `at_one_bank` and `sometimes` of an example that no longer apply.
fn find_stale_entries(example: &Value, banks: &[ObservedFields; 2]) -> Vec<String> {
    let at = |place: &str| banks.iter().filter(|seen| seen.count_occurrences(place).0 > 0).count();
    let always =
        |place: &str| banks.iter().map(|seen| seen.count_occurrences(place)).all(|(own, most)| own == most);
    let one = list_paths(example, "at_one_bank").filter(|place| at(place) != 1);
    let one = one.map(|place| format!("{place} is not absent at only one bank"));
    let some = list_paths(example, "sometimes").filter(|place| always(place));
    one.chain(some.map(|place| format!("{place} is always there"))).collect()
}

/// One connection of every customer at one bank, with all clusters, and one with a narrow scope.
struct BankConnections<'a> {
    kit: &'a TestHub,
    connections: Vec<ConnectionTokens>,
    /// A connection with the scope `ACCOUNT_BASIC` only.
    narrow: ConnectionTokens,
}

impl<'a> BankConnections<'a> {
    async fn new(kit: &'a TestHub, provider_id: i64) -> Self {
        let other = kit.register_recipient(&BANKS, "ACCOUNT_BASIC", false).await;
        let narrow = kit.connect_at(provider_id, &other, "alice", &[], "ACCOUNT_BASIC").await;
        let mut connections = Vec::new();
        for username in CUSTOMERS {
            connections.push(kit.connect_at(provider_id, &kit.acme(), username, &[], FULL_SCOPE).await);
        }
        Self { kit, connections, narrow }
    }

    /// Replaces the parameters in the path of an example with the ids of one connection; there may be several results.
    async fn expand_paths(&self, example: &Value, tokens: &ConnectionTokens) -> Vec<String> {
        let path = example["request"]["path"].as_str().unwrap();
        if !path.contains("{account_id}") {
            return vec![path.to_owned()];
        }
        let list = self.kit.read("/accounts?limit=500", &tokens.access).await.json();
        let body = &example["reply"]["body"];
        let wanted = find_wrapper_key(body).filter(|key| key.ends_with("Account"));
        let mut paths = Vec::new();
        for account in list["accounts"].as_array().unwrap() {
            let key = find_wrapper_key(account).unwrap();
            let id = account[key]["accountId"].as_str().unwrap();
            if wanted.is_some_and(|wanted| wanted != key) || account[key]["status"] == "CLOSED" {
                continue;
            }
            let path = path.replace("{account_id}", id);
            if path.contains("{statement_id}") {
                let list = self.kit.read(&format!("/accounts/{id}/statements?limit=1"), &tokens.access).await;
                let list = list.json();
                let statement = list["statements"][0]["statementId"].as_str().unwrap();
                paths.push(path.replace("{statement_id}", statement));
            } else {
                paths.push(path);
            }
        }
        paths
    }

    async fn send_request(&self, example: &Value, path: &str, tokens: &ConnectionTokens) -> BrowserResponse {
        let request = &example["request"];
        let bearer = if request["bearer"] == "of no use" { "x.y.z" } else { &tokens.access };
        let raw = RawRequest::get(format!("/api/fdx/5{path}")).bearer(bearer);
        let accept = request["accept"].as_str();
        let answer = self
            .kit
            .send_raw(&accept.into_iter().fold(raw, |raw, accept| raw.header("accept", accept)))
            .await;
        for header in ["ob-correlation-id", "ob-trace-id"] {
            assert!(answer.headers.contains_key(header), "{path}: {header}");
        }
        answer
    }

    /// Returns the differences between the responses to all customers and an example, and the fields of the responses.
    async fn compare(&self, example: &Value) -> (Vec<String>, ObservedFields) {
        let reply = &example["reply"];
        let narrow = std::slice::from_ref(&self.narrow);
        let of_scope = example["request"]["bearer"] == "with ACCOUNT_BASIC only";
        let connections = if of_scope { narrow } else { &self.connections };
        let (mut seen, mut found) = (ObservedFields::default(), Vec::new());
        for tokens in connections {
            for path in self.expand_paths(example, tokens).await {
                let answer = self.send_request(example, &path, tokens).await;
                if reply["status"] != answer.status {
                    found.push(format!("{path}: {} {}", answer.status, answer.body));
                    continue;
                }
                let kind = &answer.headers["content-type"];
                if reply["content_type"].as_str().unwrap_or("application/json") != kind.to_str().unwrap() {
                    found.push(format!("{path}: {kind:?}"));
                }
                let body = answer.json();
                seen.observe("", &body, &reply["body"]);
                let same = example["same"].as_array().into_iter().flatten().filter_map(Value::as_str);
                found.extend(
                    same.filter(|name| body[*name] != reply["body"][*name])
                        .map(|name| format!("{path}: {name} is {}", body[name])),
                );
                let begins = reply["begins"].as_str().unwrap_or_default();
                if !answer.body.starts_with(begins) {
                    found.push(format!("{path} does not begin with {begins}"));
                }
            }
        }
        found.extend(find_differences(example, &seen));
        found.sort();
        found.dedup();
        (found, seen)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fdx_examples_match_responses_of_both_banks() {
    let kit = TestHub::new().await;
    let examples = load_examples();
    assert_eq!(examples.len(), 22, "each example has a file");
    let mut wrong = Vec::new();
    let banks = [BankConnections::new(&kit, BANKS[0]).await, BankConnections::new(&kit, BANKS[1]).await];
    for (name, example) in &examples {
        let [(five, of_five), (six, of_six)] =
            [banks[0].compare(example).await, banks[1].compare(example).await];
        let both = find_stale_entries(example, &[of_five, of_six])
            .into_iter()
            .map(|what| format!("both {name}: {what}"));
        wrong.extend(five.into_iter().map(|what| format!("FDX 5 {name}: {what}")));
        wrong.extend(six.into_iter().map(|what| format!("FDX 6 {name}: {what}")));
        wrong.extend(both);
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn golden_data_checker_reports_every_difference() {
    let example = json!({
        "reply": {"body": {"list": [{"a": {"id": "x", "amount": 1.5, "note": "n", "gone": "g"}}]}},
        "sometimes": {"list[].a.note": ""}, "absent": {"list[].a.gone": ""}, "beyond": {"list[].a.more": ""},
    });
    let found = |items: Value| {
        let mut seen = ObservedFields::default();
        seen.observe("", &json!({"list": items}), &example["reply"]["body"]);
        find_differences(&example, &seen)
    };
    let good = json!({"a": {"id": "1", "amount": 2, "note": "n", "more": {"deep": true}}});
    let other_kind = json!({"b": {"strange": 1}});
    assert_eq!(found(json!([good, other_kind])), Vec::<String>::new());
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed["a"][name] = value;
        found(json!([good, changed]))
    };
    assert_eq!(with("amount", json!("2")), [r#"list[].a.amount is {"number", "string"}, not {"number"}"#]);
    assert_eq!(with("strange", json!(1)), ["list[].a.strange is not documented"]);
    assert_eq!(with("gone", json!("g")), ["list[].a.gone exists, but is listed as absent"]);
    let without = |name: &str| {
        let mut changed = good.clone();
        changed["a"].as_object_mut().unwrap().remove(name);
        (found(json!([good, changed])), found(json!([changed])))
    };
    assert_eq!(without("note"), (vec![], vec!["list[].a.note is not there".to_owned()]));
    assert_eq!(without("id").0, ["list[].a.id is there 1 times of 2"]);
    assert_eq!(without("more"), (vec![], vec!["list[].a.more never exists".to_owned()]));
    assert_eq!(
        found(json!([])),
        [
            "list[] is not there",
            "list[].a is not there",
            "list[].a.amount is not there",
            "list[].a.id is not there",
            "list[].a.note is not there",
            "list[].a.more never exists"
        ]
    );
}
