//! Validates each response that the test support receives against the OpenAPI documents: status, type, body and headers
//! must be documented, and no other member may exist.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bowline::cli::BrowserResponse;
use bowline::openapi::ApiDocument;
use bowline::router::generate_document;
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// The documented responses of an operation, by status.
type DocumentedResponses = BTreeMap<u16, DocumentedResponse>;

struct DocumentedResponse {
    /// The names of the required headers of the response.
    headers: Vec<String>,
    /// The schema of each media type; none if any content is allowed.
    content: BTreeMap<String, Option<Validator>>,
}

static OPERATIONS: LazyLock<Vec<(String, Vec<String>, DocumentedResponses)>> = LazyLock::new(|| {
    ApiDocument::ALL
        .into_iter()
        .flat_map(|document| collect_operations(&generate_document(document)))
        .collect()
});

fn collect_operations(document: &Value) -> Vec<(String, Vec<String>, DocumentedResponses)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let statuses = responses
                .iter()
                .map(|(status, told)| (status.parse().unwrap(), parse_response_spec(document, told)));
            let segments = path.split('/').map(str::to_owned).collect();
            all.push((method.to_uppercase(), segments, statuses.collect()));
        }
    }
    all
}

fn parse_response_spec(document: &Value, spec: &Value) -> DocumentedResponse {
    let none = serde_json::Map::new();
    let content = spec["content"].as_object().unwrap_or(&none);
    let schema = |media: &Value| {
        let schema = &media["schema"];
        (*schema != json!({})).then(|| build_strict_validator(document, schema))
    };
    let required = |name: &&String| document["components"]["headers"][name.as_str()]["required"] == true;
    DocumentedResponse {
        headers: spec["headers"].as_object().unwrap().keys().filter(required).cloned().collect(),
        content: content.iter().map(|(kind, media)| (kind.clone(), schema(media))).collect(),
    }
}

/// Builds a validator that rejects members that the schema does not document.
pub(crate) fn build_strict_validator(document: &Value, schema: &Value) -> Validator {
    let mut closed_schema = schema.clone();
    closed_schema["components"] = json!({"schemas": document["components"]["schemas"]});
    forbid_additional_properties(&mut closed_schema);
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(&closed_schema)
        .unwrap()
}

fn forbid_additional_properties(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object) && members.get("type").is_some() {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(forbid_additional_properties);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_additional_properties),
        _ => {}
    }
}

/// Finds the operation of a request. A literal path takes precedence over one with parameters.
fn find_operation(method: &str, path: &str) -> Option<&'static DocumentedResponses> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |known: &[String]| {
        known.len() == segments.len()
            && known
                .iter()
                .zip(&segments)
                .all(|(known, is)| known == is || known.starts_with('{') && !is.is_empty())
    };
    let all = || OPERATIONS.iter().filter(|(_, segments, _)| fits(segments));
    let parameters = |segments: &[String]| segments.iter().filter(|s| s.starts_with('{')).count();
    let path = all().map(|(_, segments, _)| segments).min_by_key(|segments| parameters(segments))?;
    all().find(|(known, segments, _)| known == method && segments == path).map(|(.., statuses)| statuses)
}

/// Asserts that a response is documented if its operation is. Responses without a correlation id do not come from a
/// route and are skipped.
pub(crate) fn assert_documented(method: &str, target: &str, answer: &BrowserResponse) {
    let path = target.split('?').next().unwrap_or_default();
    if !answer.headers.contains_key("ob-correlation-id") {
        return;
    }
    // A request with a foreign host is rejected before its operation is known.
    if answer.status == 421 {
        return;
    }
    let Some(statuses) = find_operation(method, path) else { return };
    let what = format!("{method} {path}: {} {:?} {}", answer.status, answer.headers, answer.body);
    let status =
        statuses.get(&answer.status).unwrap_or_else(|| panic!("the status is not documented: {what}"));
    for header in &status.headers {
        assert!(answer.headers.contains_key(header), "the documented header {header} is missing: {what}");
    }
    let kind = answer.headers.get("content-type").map(|kind| kind.to_str().unwrap());
    let kind = kind.map(|kind| kind.split(';').next().unwrap());
    let Some(kind) = kind else {
        return assert!(status.content.is_empty() && answer.body.is_empty(), "no content: {what}");
    };
    let schema = status.content.get(kind);
    let schema = schema.unwrap_or_else(|| panic!("{kind} is not documented: {what}"));
    if let Some(schema) = schema {
        let body = serde_json::from_str(&answer.body).unwrap();
        let wrong: Vec<String> =
            schema.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{}\n{what}", wrong.join("\n"));
    }
}
