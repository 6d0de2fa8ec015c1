//! A test of the documented examples of the Flinks API: each request is sent, and the response is compared field by
//! field.

use std::path::PathBuf;

use bowline::cli::{BrowserRequest, BrowserResponse};
use serde_json::Value;

use crate::support::{SCOPE, TestClient, TestHub, on_both};

on_both!(flinks_examples_match_documented_responses);

/// The clients and objects that the requests of the examples may refer to.
struct ExampleParties {
    partner: TestClient,
    recipient: TestClient,
    partner_token: String,
    recipient_token: String,
    access: String,
    refresh: String,
}

/// Lists the examples in the order of their numbers.
fn load_examples() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    names.into_iter().map(read).collect()
}

async fn send_example(kit: &TestHub, cast: &ExampleParties, request: &Value) -> BrowserResponse {
    let fill = |text: &str| {
        text.replace("{client_id}", &cast.recipient.id).replace("{refresh_token}", &cast.refresh)
    };
    let method = request["method"].as_str().unwrap().parse().unwrap();
    let mut sent = BrowserRequest::new(method, &kit.url(&fill(request["path"].as_str().unwrap())));
    sent.bearer = request["bearer"].as_str().map(|party| {
        match party {
            "partner" => &cast.partner_token,
            "recipient" => &cast.recipient_token,
            _ => &cast.access,
        }
        .clone()
    });
    if let Some(body) = request.get("body") {
        let mut body: Value = serde_json::from_str(&fill(&body.to_string())).unwrap();
        if let Some(whose) = request["credentials"].as_str() {
            let own = if whose == "partner" { &cast.partner } else { &cast.recipient };
            body["client_id"] = own.id.as_str().into();
            body["client_secret"] = own.secret.as_str().into();
        }
        sent.json = Some(body);
    }
    kit.send(sent).await
}

/// Adds to `found` each path at which a value of the hub differs in form from the documented one. `beyond` contains the
/// names of members that the hub adds. An empty array matches any documented array.
fn collect_differences(at: &str, documented: &Value, ours: &Value, beyond: &[&str], found: &mut Vec<String>) {
    match (documented, ours) {
        (Value::Object(documented), Value::Object(ours)) => {
            for (name, value) in documented {
                match ours.get(name) {
                    Some(own) => collect_differences(&format!("{at}.{name}"), value, own, beyond, found),
                    None => found.push(format!("{at}.{name} is not there")),
                }
            }
            let strange = ours
                .keys()
                .filter(|name| !documented.contains_key(*name) && !beyond.contains(&name.as_str()));
            found.extend(strange.map(|name| format!("{at}.{name} is not documented")));
        }
        (Value::Array(documented), Value::Array(ours)) => {
            for own in ours {
                collect_differences(&format!("{at}[]"), &documented[0], own, beyond, found);
            }
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Null, Value::Null) => {}
        (documented, ours) => found.push(format!("{at} is {ours}, not as {documented}")),
    }
}

fn assert_response_matches(name: &str, example: &Value, answer: &BrowserResponse) {
    let reply = &example["reply"];
    assert_eq!(reply["status"], answer.status, "{name}: {}", answer.body);
    let Some(documented) = reply.get("body") else {
        assert!(answer.body.is_empty(), "{name}: {}", answer.body);
        return;
    };
    let (ours, mut found) = (answer.json(), Vec::new());
    let words = |key: &str| {
        example[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    collect_differences("reply", documented, &ours, &words("beyond"), &mut found);
    assert!(found.is_empty(), "{name}: {found:?}\n{}", answer.body);
    assert!(ours.as_array().is_none_or(|all| !all.is_empty()), "{name}: the list is empty");
    let first = |value: &Value, field: &str| value.get(0).unwrap_or(value)[field].clone();
    for field in words("same") {
        assert_eq!(first(&ours, field), first(documented, field), "{name}: {field}");
    }
    for (path, wanted) in example["has"].as_object().into_iter().flatten() {
        let list = path.split('.').fold(&ours, |value, name| &value[name]).as_array().unwrap();
        assert!(
            wanted.as_array().unwrap().iter().all(|item| list.contains(item)),
            "{name}: {path}: {list:?}"
        );
    }
}

async fn flinks_examples_match_documented_responses(kit: TestHub) {
    let partner = kit.partner();
    let partner_token = kit.request_client_token(&partner).await;
    let placeholder = TestClient { id: String::new(), secret: String::new(), redirect_uri: String::new() };
    let mut cast = ExampleParties {
        partner,
        recipient: placeholder,
        partner_token,
        recipient_token: String::new(),
        access: String::new(),
        refresh: String::new(),
    };
    let examples = load_examples();
    assert!(examples.len() >= 18);
    for (name, example) in &examples {
        let answer = send_example(&kit, &cast, &example["request"]).await;
        assert_response_matches(name, example, &answer);
        let body = answer.json();
        if let Some(secret) = body["client_secret"].as_str() {
            let (id, redirect_uri) =
                (body["client_id"].as_str().unwrap().to_owned(), "https://flinks.fake.com/callback".into());
            cast.recipient = TestClient { id, secret: secret.to_owned(), redirect_uri };
        }
        if name.starts_with("11_") {
            connect_recipient(&kit, &mut cast).await;
        }
    }
}

/// Activates the recipient of the examples and connects a customer.
async fn connect_recipient(kit: &TestHub, cast: &mut ExampleParties) {
    for step in ["approve", "activate"] {
        kit.complete_registration_step(&cast.recipient, step, serde_json::json!({})).await;
    }
    let tokens = kit.connect_at(1000, &cast.recipient, "alice", &["mt-alice-chequing"], SCOPE).await;
    cast.recipient_token = kit.request_client_token(&cast.recipient).await;
    (cast.access, cast.refresh) = (tokens.access, tokens.refresh);
}
