//! The OpenAPI documents: they are whole, they are what is committed, and they keep to their own schemas. That
//! answers keep to them is seen to by the kit, for every answer that it hears.

use std::collections::BTreeSet;
use std::path::Path;

use bowline::openapi::Document;
use bowline::web::{Face, table};
use serde_json::Value;

use crate::kit::validator;

fn operations<'a>(document: &'a Value) -> impl Iterator<Item = (String, &'a Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let of = move |(method, operation): (&'a String, &'a Value)| {
            (format!("{} {path}", method.to_uppercase()), operation)
        };
        methods.as_object().unwrap().iter().map(of)
    })
}

#[test]
fn every_route_is_documented_and_every_documented_operation_is_a_route() {
    let faces =
        [(Document::Flinks, Face::Flinks), (Document::Fdx, Face::Fdx), (Document::Admin, Face::Admin)];
    for (document, face) in faces {
        let told = document.generate();
        let told: BTreeSet<String> = operations(&told).map(|(name, _)| name).collect();
        let served = table().into_iter().filter(|route| route.face == face);
        let served: BTreeSet<String> =
            served.map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(told, served, "{document:?}");
    }
}

#[test]
fn operations_have_names_of_their_own_summaries_tags_and_errors() {
    for document in Document::ALL {
        let told = document.generate();
        let tags: Vec<&Value> = told["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let schemes = told["components"]["securitySchemes"].as_object().unwrap();
        let mut names = BTreeSet::new();
        for (what, operation) in operations(&told) {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{what}: the name is taken");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
            assert!(tags.contains(&&operation["tags"][0]), "{what}");
            let asked = operation["security"].as_array().unwrap().iter();
            let asked: Vec<&String> = asked.flat_map(|one| one.as_object().unwrap().keys()).collect();
            assert!(asked.iter().all(|name| schemes.contains_key(*name)), "{what}: {asked:?}");
            let told = operation["responses"].as_object().unwrap();
            for status in ["500", "503"] {
                assert!(told.contains_key(status), "{what}: {status} is not told");
            }
            for (status, told) in told.iter().filter(|(status, _)| *status != "204") {
                let content = told["content"].as_object().into_iter().flatten();
                for (media, content) in content.filter(|(media, _)| media.contains("json")) {
                    let examples = content["examples"].as_object();
                    assert!(examples.is_some_and(|e| !e.is_empty()), "{what}: {status} {media}: no example");
                }
            }
        }
    }
}

/// The places of a document that have a member, with its value.
fn places<'a>(value: &'a Value, member: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(member));
            members.values().for_each(|value| places(value, member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| places(item, member, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    for document in Document::ALL {
        let told = document.generate();
        let mut references = Vec::new();
        places(&told, "$ref", &mut references);
        let leads = |r: &Value| told.pointer(r.as_str().unwrap().trim_start_matches('#')).is_some();
        let lost: Vec<_> = references.iter().filter(|r| !leads(r)).collect();
        assert!(lost.is_empty(), "{document:?}: {lost:?}");
        for name in told["components"]["schemas"].as_object().unwrap().keys() {
            let own = Value::from(format!("#/components/schemas/{name}"));
            assert!(references.contains(&&own), "{document:?}: {name} is not used");
        }
    }
}

#[test]
fn every_example_keeps_to_its_schema() {
    for document in Document::ALL {
        let told = document.generate();
        for (what, operation) in operations(&told) {
            let answers = operation["responses"].as_object().unwrap().values();
            for content in
                answers.chain([&operation["requestBody"]]).filter_map(|told| told["content"].as_object())
            {
                for content in content.values().filter(|content| content["examples"].is_object()) {
                    let schema = validator(&told, &content["schema"]);
                    for (name, example) in content["examples"].as_object().unwrap() {
                        let wrong: Vec<_> =
                            schema.iter_errors(&example["value"]).map(|e| e.to_string()).collect();
                        assert!(wrong.is_empty(), "{what}: {name}: {wrong:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_committed_is_what_the_code_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi");
    for document in Document::ALL {
        let file = folder.join(format!("{}.json", document.name()));
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        let fresh = committed == format!("{}\n", document.text());
        assert!(fresh, "openapi/{}.json is stale: run `cargo xtask openapi`", document.name());
    }
}
