//! Tests of how the content of a page is built from an OpenAPI document.

use serde_json::json;

use super::*;

fn document() -> Value {
    let large: serde_json::Map<String, Value> =
        (0..12).map(|n| (format!("f{n}"), json!({"$ref": "#/components/schemas/Other"}))).collect();
    let other: serde_json::Map<String, Value> = (0..12).map(|n| (format!("o{n}"), json!({}))).collect();
    json!({
        "info": {"title": "Bowline: data of `x`", "version": "1", "description": "All of `it`."},
        "servers": [{"url": "{there}", "variables": {"there": {"default": "https://there.example.org"}}}],
        "tags": [{"name": "Second", "description": "2"}, {"name": "First thing"}, {"name": "Nothing"}],
        "security": [{"own": []}],
        "paths": {"/a/{id}": {
            "parameters": [{"in": "path", "name": "id", "required": true, "schema": {"type": "string"}}],
            "get": {"operationId": "getA", "tags": ["First thing"], "summary": "Get A",
                "parameters": [{"$ref": "#/components/parameters/Limit"}],
                "responses": {
                    "200": {"description": "A", "headers": {"x-known": {}, "x-other": {}}, "content": {
                        "application/pdf": {"schema": {}}, "image/png": {"schema": {}},
                        "application/json": {"schema": {"$ref": "#/components/schemas/A"}, "examples": {
                            "example": {"value": {"a": 1}}, "example-2": {"value": {"a": 2}}}}}},
                    "400": {"description": "No", "content": {"application/json": {"example": {"error": "x"}}}},
                    "404": {"$ref": "#/components/responses/Gone"}}},
            "post": {"tags": ["Second"], "security": [{"own": ["reader", "writer"]}, {"basic": []}, {}],
                "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            "delete": {"security": []},
        }},
        "components": {
            "parameters": {"Limit": {"in": "query", "name": "limit", "schema": {"type": "integer"}}},
            "responses": {"Gone": {"description": "Gone", "content": {"application/json": {"examples": {
                "gone": {"value": 1}, "gone-2": {"value": 2}, "lost-7": {"value": 3}}}}}},
            "headers": {"x-known": {"description": "K", "schema": {"type": "string"}}},
            "schemas": {
                "A": {"type": "object", "properties": {"large": {"$ref": "#/components/schemas/Large"}}},
                "Large": {"type": "object", "description": "Large.", "properties": large},
                "Other": {"type": "object", "properties": other},
                "Unused": {"type": "object"},
            },
            "securitySchemes": {"own": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"}},
        },
    })
}

fn first_operation<'a>(reference: &'a Reference, group: &str) -> &'a OperationView {
    &reference.groups.iter().find(|known| known.id == group).unwrap().operations[0]
}

#[test]
fn groups_follow_tag_order_and_untagged_come_last() {
    let reference = Reference::from_document(&document());
    let groups: Vec<_> =
        reference.groups.iter().map(|g| (&*g.id, &*g.name, g.description.to_plain_text())).collect();
    assert_eq!(
        groups,
        [
            ("group-second", "Second", "2".to_owned()),
            ("group-first-thing", "First thing", String::new()),
            ("group-", "Others", String::new()),
        ]
    );
    assert_eq!((&*reference.title, reference.operations()), ("Data of x", 3));
    assert_eq!(first_operation(&reference, "group-").id, "DELETE--a--id-");
    assert_eq!(["$ID", "$HUB"].map(|name| reference.has_variable(name)), [true, false]);
    assert!(reference.has_variable("$THERE"));
    assert_eq!(reference.server, Some(("THERE".into(), "https://there.example.org".into())));
}

#[test]
fn operation_security_replaces_document_security() {
    let reference = Reference::from_document(&document());
    let callers = |group| {
        let operation = first_operation(&reference, group);
        let caller = |caller: &CallerView| format!("{}{:?}", caller.name, caller.roles);
        (operation.callers.iter().map(caller).collect::<Vec<_>>(), operation.allows_anonymous)
    };
    assert_eq!(callers("group-first-thing"), (vec!["own[]".to_owned()], false));
    assert_eq!(
        callers("group-second"),
        (vec![r#"own["reader", "writer"]"#.to_owned(), "basic[]".to_owned()], true)
    );
    assert_eq!(callers("group-"), (vec![], true));
}

#[test]
fn operation_includes_path_item_and_referenced_parameters() {
    let reference = Reference::from_document(&document());
    let get = first_operation(&reference, "group-first-thing");
    let parameters: Vec<_> = get
        .parameters
        .iter()
        .map(|p| (&*p.location, &*p.name, p.required, p.type_text.to_plain_text()))
        .collect();
    assert_eq!(
        parameters,
        [("path", "id", true, "string".to_owned()), ("query", "limit", false, "integer".to_owned())]
    );
    assert!(get.curl.to_plain_text().contains("\"$THERE/a/$ID\""), "{}", get.curl.to_plain_text());
}

#[test]
fn responses_have_headers_contents_and_examples() {
    let reference = Reference::from_document(&document());
    let get = first_operation(&reference, "group-first-thing");
    let [good, bad, gone] = &get.responses[..] else { panic!() };
    assert_eq!((good.is_success(), bad.is_success(), good.class(), good.reason), (true, false, "2", "OK"));
    assert_eq!(
        (&*good.headers[0], reference.describes_header("x-known"), reference.describes_header("x-other")),
        ("x-known", true, false)
    );
    let media: Vec<_> =
        good.contents.iter().map(|c| (c.media.join(" "), c.kind.clone(), c.examples.len())).collect();
    let json = ("application/json".to_owned(), Some("A".to_owned()), 2);
    assert_eq!(media, [json, ("application/pdf image/png".to_owned(), None, 0)].map(|m| m));
    assert_eq!(bad.contents[0].examples[0].json.to_plain_text(), "{\n  \"error\": \"x\"\n}");
    assert_eq!((gone.codes(), gone.contents[0].examples.len()), (vec!["gone", "lost"], 3));
    assert_eq!((good.codes().len(), get.successes_with_examples().count()), (0, 1));
}

#[test]
fn page_types_include_directly_and_indirectly_referenced_types() {
    let reference = Reference::from_document(&document());
    let types: Vec<_> =
        reference.types.iter().map(|t| (&*t.name, t.description.to_plain_text(), t.fields.len())).collect();
    assert_eq!(types, [("Large", "Large.".to_owned(), 12), ("Other", String::new(), 12)]);
}
