//! Tests of the OpenAPI documents: they are complete, consistent, committed, and match their own schemas.
//!
//! The test support compares every response of every test with the documents.

use std::collections::BTreeSet;
use std::path::Path;

use bowline::openapi::ApiDocument;
use bowline::router::generate_document;
use serde_json::Value;

use crate::support::build_strict_validator;

fn list_operations<'a>(document: &'a Value) -> impl Iterator<Item = (String, &'a Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let describe = move |(method, operation): (&'a String, &'a Value)| {
            (format!("{} {path}", method.to_uppercase()), operation)
        };
        methods.as_object().unwrap().iter().map(describe)
    })
}

#[test]
fn openapi_operations_have_unique_ids_and_error_examples() {
    for document in ApiDocument::ALL {
        let spec = generate_document(document);
        let tags: Vec<&Value> = spec["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let schemes = spec["components"]["securitySchemes"].as_object().unwrap();
        let mut names = BTreeSet::new();
        for (route, operation) in list_operations(&spec) {
            assert!(
                names.insert(operation["operationId"].as_str().unwrap()),
                "{route}: the operation id is used twice"
            );
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{route}");
            assert!(tags.contains(&&operation["tags"][0]), "{route}");
            let security = operation["security"].as_array().unwrap().iter();
            let scheme_names: Vec<&String> =
                security.flat_map(|one| one.as_object().unwrap().keys()).collect();
            assert!(scheme_names.iter().all(|name| schemes.contains_key(*name)), "{route}: {scheme_names:?}");
            let responses = operation["responses"].as_object().unwrap();
            for status in ["500", "503"] {
                assert!(responses.contains_key(status), "{route}: {status} is not documented");
            }
            for (status, response) in responses.iter().filter(|(status, _)| *status != "204") {
                let content = response["content"].as_object().into_iter().flatten();
                for (media, content) in content.filter(|(media, _)| media.contains("json")) {
                    let examples = content["examples"].as_object();
                    assert!(examples.is_some_and(|e| !e.is_empty()), "{route}: {status} {media}: no example");
                }
            }
        }
    }
}

/// Collects the values of all members with the name `member`, at any depth of a JSON value.
fn collect_member_values<'a>(value: &'a Value, member: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(member));
            members.values().for_each(|value| collect_member_values(value, member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_member_values(item, member, found)),
        _ => {}
    }
}

#[test]
fn openapi_references_resolve_and_schemas_are_used() {
    for document in ApiDocument::ALL {
        let spec = generate_document(document);
        let mut references = Vec::new();
        collect_member_values(&spec, "$ref", &mut references);
        let resolves = |r: &Value| spec.pointer(r.as_str().unwrap().trim_start_matches('#')).is_some();
        let unresolved: Vec<_> = references.iter().filter(|r| !resolves(r)).collect();
        assert!(unresolved.is_empty(), "{document:?}: {unresolved:?}");
        for name in spec["components"]["schemas"].as_object().unwrap().keys() {
            let reference = Value::from(format!("#/components/schemas/{name}"));
            assert!(references.contains(&&reference), "{document:?}: {name} is not used");
        }
    }
}

#[test]
fn openapi_examples_match_their_schemas() {
    for document in ApiDocument::ALL {
        let spec = generate_document(document);
        for (route, operation) in list_operations(&spec) {
            let responses = operation["responses"].as_object().unwrap().values();
            for content in
                responses.chain([&operation["requestBody"]]).filter_map(|body| body["content"].as_object())
            {
                for content in content.values().filter(|content| content["examples"].is_object()) {
                    let schema = build_strict_validator(&spec, &content["schema"]);
                    for (name, example) in content["examples"].as_object().unwrap() {
                        let errors: Vec<_> =
                            schema.iter_errors(&example["value"]).map(|e| e.to_string()).collect();
                        assert!(errors.is_empty(), "{route}: {name}: {errors:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn committed_openapi_documents_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi");
    for document in ApiDocument::ALL {
        let file = folder.join(format!("{}.json", document.name()));
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        let is_current = committed == format!("{:#}\n", generate_document(document));
        assert!(is_current, "openapi/{}.json is outdated: run `cargo xtask openapi`", document.name());
    }
}
