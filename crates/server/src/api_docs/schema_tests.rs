//! Tests of the type descriptions and the field lists of schemas.

use serde_json::json;

use super::*;

fn document() -> Value {
    let large: serde_json::Map<String, Value> =
        (0..=MAX_INLINE_FIELDS).map(|n| (format!("field{n:02}"), json!({"type": "string"}))).collect();
    json!({"components": {"schemas": {
        "Small": {"type": "object", "required": ["b"], "description": "A small one.", "properties": {
            "a": {"type": "string"}, "b": {"type": "integer", "minimum": 1, "description": "Its `b`."}}},
        "Large": {"type": "object", "properties": large},
        "Tree": {"type": "object", "properties": {
            "leaf": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}},
        "Id": {"type": "string", "pattern": "^x$"},
        "Either": {"oneOf": [
            {"type": "object", "required": ["one"], "properties": {"one": {"$ref": "#/components/schemas/Large"}}},
            {"type": "object", "required": ["two"], "properties": {"two": {"$ref": "#/components/schemas/Small"}}},
        ]},
    }}})
}

fn describe_fields(schema: &Value) -> Vec<String> {
    let document = document();
    let fields = Schemas(&document).list_fields(schema);
    let line = |f: &Field| {
        let described = format!("{} {} {}", f.name, f.presence.as_str(), f.type_text.to_plain_text());
        if f.description.is_empty() {
            described
        } else {
            format!("{described}: {}", f.description.to_plain_text())
        }
    };
    fields.iter().map(line).collect()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn describe_schema(schema: &Value) -> String {
    let document = document();
    Schemas(&document).describe(schema, &VisitedTypes::new()).to_plain_text()
}

#[test]
fn required_fields_come_first_and_small_types_are_inlined() {
    assert_eq!(
        describe_fields(&reference("Small")),
        ["b required integer, 1 or more: Its b.", "a optional string"]
    );
    let outer = json!({"properties": {"s": reference("Small"), "many": {"type": "array", "items": reference("Small")}}});
    assert_eq!(
        describe_fields(&outer),
        [
            "many optional array of object",
            "many[].b required integer, 1 or more: Its b.",
            "many[].a optional string",
            "s optional object: A small one.",
            "s.b required integer, 1 or more: Its b.",
            "s.a optional string",
        ]
    );
}

#[test]
fn large_type_is_referenced_by_name_unless_it_is_the_root() {
    assert_eq!(describe_fields(&json!({"properties": {"l": reference("Large")}})), ["l optional Large"]);
    assert_eq!(describe_fields(&reference("Large")).len(), MAX_INLINE_FIELDS + 1);
    assert_eq!(
        describe_fields(&json!({"type": "array", "items": reference("Small")})).len(),
        2,
        "a list has its items' fields"
    );
}

#[test]
fn recursive_type_is_referenced_by_name() {
    assert_eq!(describe_fields(&reference("Tree")), ["below optional array of Tree", "leaf optional string"]);
    let outer = json!({"properties": {"t": reference("Tree")}});
    assert_eq!(
        describe_fields(&outer),
        ["t optional object", "t.below optional array of Tree", "t.leaf optional string"]
    );
}

#[test]
fn schema_alternatives_are_listed_as_choices() {
    let either = ["one one of these Large", "two one of these object: A small one."];
    assert_eq!(describe_fields(&reference("Either"))[..2], either);
    let outer = json!({"properties": {"e": reference("Either")}});
    assert!(
        describe_fields(&outer).contains(&"e.one one of these Large".to_owned()),
        "{:?}",
        describe_fields(&outer)
    );
    let inline = json!({"properties": {"x": {"oneOf": [{"type": "string"}, {"type": "array", "items": reference("Small")}]}}});
    assert_eq!(
        describe_fields(&inline)[..2],
        [
            "x optional string or array of object".to_owned(),
            "x[].b required integer, 1 or more: Its b.".to_owned(),
        ]
    );
}

#[test]
fn anonymous_objects_are_listed_with_dotted_names() {
    let outer = json!({"properties": {"o": {"type": "object", "required": ["p"], "properties": {
        "p": {"type": "object", "additionalProperties": {"type": "object", "properties": {"q": {"type": "null"}}}}}}}});
    assert_eq!(
        describe_fields(&outer),
        ["o optional object", "o.p required map to object", "o.p.*.q optional null"]
    );
}

#[test]
fn schema_description_states_type_and_constraints() {
    for (schema, type_text) in [
        (json!({}), "anything"),
        (json!({"type": ["string", "null"], "maxLength": 9}), "string or null, at most 9 characters"),
        (json!({"type": "string", "minLength": 1}), "string, not empty"),
        (json!({"type": "string", "minLength": 2, "maxLength": 4}), "string, 2 to 4 characters"),
        (json!({"type": "integer", "minimum": 0, "maximum": 65_535}), "integer, 0 to 65535"),
        (json!({"type": "string", "format": "date"}), "string, date"),
        (json!({"type": "string", "enum": ["a", "", null]}), "a | \"\" | null"),
        (json!({"const": 1}), "always 1"),
        (
            json!({"anyOf": [reference("Large"), reference("Id"), reference("Large")]}),
            "Large or string, matching ^x$",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true, "contains": {"const": "a"}}),
            "array of string, at least 1 items, unique items, including a",
        ),
        (json!({"type": "object", "additionalProperties": {"type": "string"}}), "map to string"),
        (json!({"type": "string", "examples": ["a/b", "c/d"]}), "string, such as a/b, c/d"),
        (json!({"properties": {}}), "object"),
        (reference("Nowhere"), "Nowhere"),
    ] {
        assert_eq!(describe_schema(&schema), type_text, "{schema}");
    }
}
