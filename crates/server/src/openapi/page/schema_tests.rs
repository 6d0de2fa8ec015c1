//! What schemas are told as.

use serde_json::json;

use super::*;

fn document() -> Value {
    let large: serde_json::Map<String, Value> =
        (0..=SMALL).map(|n| (format!("field{n:02}"), json!({"type": "string"}))).collect();
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

fn told(schema: &Value) -> Vec<String> {
    let document = document();
    let fields = Schemas(&document).fields(schema);
    let line = |f: &Field| {
        let told = format!("{} {} {}", f.name, f.presence.as_str(), f.words.plain());
        if f.description.is_empty() { told } else { format!("{told}: {}", f.description.plain()) }
    };
    fields.iter().map(line).collect()
}

fn to(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn in_words(schema: &Value) -> String {
    let document = document();
    Schemas(&document).words(schema, &Within::new()).plain()
}

#[test]
fn what_is_required_comes_first_and_a_small_type_is_told_in_place() {
    assert_eq!(told(&to("Small")), ["b required integer, 1 or more: Its b.", "a optional string"]);
    let outer = json!({"properties": {"s": to("Small"), "many": {"type": "array", "items": to("Small")}}});
    assert_eq!(
        told(&outer),
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
fn a_large_type_is_named_and_told_when_it_is_asked_for_itself() {
    assert_eq!(told(&json!({"properties": {"l": to("Large")}})), ["l optional Large"]);
    assert_eq!(told(&to("Large")).len(), SMALL + 1);
    assert_eq!(
        told(&json!({"type": "array", "items": to("Small")})).len(),
        2,
        "a list has its items' fields"
    );
}

#[test]
fn a_type_within_itself_is_named_and_does_not_go_on_for_ever() {
    assert_eq!(told(&to("Tree")), ["below optional array of Tree", "leaf optional string"]);
    let outer = json!({"properties": {"t": to("Tree")}});
    assert_eq!(
        told(&outer),
        ["t optional object", "t.below optional array of Tree", "t.leaf optional string"]
    );
}

#[test]
fn of_alternatives_each_is_told_and_called_one_of_these() {
    let either = ["one one of these Large", "two one of these object: A small one."];
    assert_eq!(told(&to("Either"))[..2], either);
    let outer = json!({"properties": {"e": to("Either")}});
    assert!(told(&outer).contains(&"e.one one of these Large".to_owned()), "{:?}", told(&outer));
    let inline = json!({"properties": {"x": {"oneOf": [{"type": "string"}, {"type": "array", "items": to("Small")}]}}});
    assert_eq!(
        told(&inline)[..2],
        [
            "x optional string or array of object".to_owned(),
            "x[].b required integer, 1 or more: Its b.".to_owned(),
        ]
    );
}

#[test]
fn objects_without_a_name_are_told_by_dotted_names() {
    let outer = json!({"properties": {"o": {"type": "object", "required": ["p"], "properties": {
        "p": {"type": "object", "additionalProperties": {"type": "object", "properties": {"q": {"type": "null"}}}}}}}});
    assert_eq!(told(&outer), ["o optional object", "o.p required map to object", "o.p.*.q optional null"]);
}

#[test]
fn schemas_read_as_words() {
    for (schema, words) in [
        (json!({}), "anything"),
        (json!({"type": ["string", "null"], "maxLength": 9}), "string or null, at most 9 characters"),
        (json!({"type": "string", "minLength": 1}), "string, not empty"),
        (json!({"type": "string", "minLength": 2, "maxLength": 4}), "string, 2 to 4 characters"),
        (json!({"type": "integer", "minimum": 0, "maximum": 65_535}), "integer, 0 to 65535"),
        (json!({"type": "string", "format": "date"}), "string, date"),
        (json!({"type": "string", "enum": ["a", "", null]}), "a | \"\" | null"),
        (json!({"const": 1}), "always 1"),
        (json!({"anyOf": [to("Large"), to("Id"), to("Large")]}), "Large or string, matching ^x$"),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true, "contains": {"const": "a"}}),
            "array of string, at least 1 items, no two alike, a among them",
        ),
        (json!({"type": "object", "additionalProperties": {"type": "string"}}), "map to string"),
        (json!({"type": "string", "examples": ["a/b", "c/d"]}), "string, such as a/b, c/d"),
        (json!({"properties": {}}), "object"),
        (to("Nowhere"), "Nowhere"),
    ] {
        assert_eq!(in_words(&schema), words, "{schema}");
    }
}
