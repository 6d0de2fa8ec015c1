//! Describes JSON schemas: the type as a short text, and the list of fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::piece::{Mark, MarkedText};

/// The maximum number of fields of a type that is described where it is used. Larger types are described once, below
/// the operations.
const MAX_INLINE_FIELDS: usize = 10;

/// The condition under which a field is present in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
    /// Exactly one of several alternative fields is present.
    Choice,
}

impl Presence {
    /// Returns the CSS class with which the page shows the condition; empty for an optional field.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "",
            Self::Choice => "choice",
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Choice => "one of these",
        }
    }
}

/// A field of a schema. The name of a nested field is its path, such as `accounts[].id`.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) presence: Presence,
    pub(super) type_text: MarkedText,
    pub(super) description: MarkedText,
}

/// The OpenAPI document that contains schemas, in which their references to other components are resolved.
#[derive(Clone, Copy)]
pub(super) struct Schemas<'a>(pub(super) &'a Value);

/// The names of types that were visited on the way to a nested type. A type that contains itself ends the recursion.
type VisitedTypes<'a> = BTreeSet<&'a str>;

impl<'a> Schemas<'a> {
    /// Returns the target of a `$ref`. Any other value, or one whose target does not exist, is returned unchanged.
    pub(super) fn resolve(self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|to| self.0.pointer(to.trim_start_matches('#')));
        target.unwrap_or(value)
    }

    /// Returns the description and the fields of the type with this name, if the document has it.
    pub(super) fn find_component(self, name: &str) -> Option<(MarkedText, Vec<Field>)> {
        let (name, schema) = self.0["components"]["schemas"].as_object()?.get_key_value(name)?;
        let description = schema["description"].as_str().unwrap_or_default();
        Some((
            MarkedText::from_description(description),
            self.collect_members(schema, "", &VisitedTypes::from([name.as_str()])),
        ))
    }

    /// Returns the fields of a schema. For an array, returns the fields of its items.
    pub(super) fn list_fields(self, schema: &'a Value) -> Vec<Field> {
        let mut within: VisitedTypes<'a> = referenced_name(schema).into_iter().collect();
        let schema = self.resolve(schema);
        if let Some(items) = schema.get("items") {
            within.extend(referenced_name(items));
            return self.collect_members(self.resolve(items), "[].", &within);
        }
        self.collect_members(schema, "", &within)
    }

    /// Describes the type of a schema in a few words. A type in `in_place` appears as `object`, because its fields are
    /// listed next to it.
    pub(super) fn describe(self, schema: &'a Value, in_place: &VisitedTypes<'a>) -> MarkedText {
        let plain = |text: &str| MarkedText::default().with_piece(Mark::Plain, text);
        if let Some(name) = referenced_name(schema) {
            let target = self.resolve(schema);
            return match has_fields(target) {
                _ if in_place.contains(name) => plain("object"),
                false if referenced_name(target).is_none() => self.describe(target, in_place),
                true => MarkedText::default().with_piece(Mark::Type, name),
                false => plain(name),
            };
        }
        if let Some(value) = schema.get("const") {
            return plain("always ").with_text(code_text(value));
        }
        if let Some(values) = schema["enum"].as_array() {
            return MarkedText::join(values.iter().map(code_text), " | ");
        }
        for (key, separator) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
            if let Some(all) = schema[key].as_array() {
                let mut descriptions: Vec<MarkedText> = Vec::new();
                for text in all.iter().map(|one| self.describe(one, in_place)) {
                    if !descriptions.contains(&text) {
                        descriptions.push(text);
                    }
                }
                return MarkedText::join(descriptions, separator);
            }
        }
        let types: Vec<MarkedText> = match &schema["type"] {
            Value::Array(types) => {
                types.iter().map(|kind| self.describe_type(kind, schema, in_place)).collect()
            }
            Value::Null if schema.get("properties").is_none() => vec![plain("anything")],
            Value::Null => vec![plain("object")],
            kind => vec![self.describe_type(kind, schema, in_place)],
        };
        MarkedText::join(types, " or ").with_text(describe_limits(schema))
    }

    fn describe_type(self, kind: &Value, schema: &'a Value, in_place: &VisitedTypes<'a>) -> MarkedText {
        let container = |text: &str, inner: &'a Value| {
            MarkedText::default().with_piece(Mark::Plain, text).with_text(self.describe(inner, in_place))
        };
        match (kind.as_str().unwrap_or_default(), schema.get("items"), map_values(schema)) {
            ("array", Some(items), _) => container("array of ", items),
            ("object", _, Some(values)) => container("map to ", values),
            (name, ..) => MarkedText::default().with_piece(Mark::Plain, name),
        }
    }

    /// Returns the fields of a schema; `prefix` is prepended to their names. `within` contains the types that contain
    /// the schema.
    fn collect_members(self, schema: &'a Value, prefix: &str, within: &VisitedTypes<'a>) -> Vec<Field> {
        let mut fields = self.collect_properties(schema, prefix, within);
        fields.extend(self.collect_alternatives(schema, prefix, within));
        fields
    }

    /// Returns the properties of a schema and their nested fields, required ones first.
    fn collect_properties(self, schema: &'a Value, prefix: &str, within: &VisitedTypes<'a>) -> Vec<Field> {
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let (first, others): (Vec<_>, Vec<_>) = properties.partition(|(name, _)| required(name));
        let mut fields = Vec::new();
        for (own, property) in first.into_iter().chain(others) {
            let name = format!("{prefix}{own}");
            let (below, in_place) = self.collect_nested(property, &name, within);
            let source =
                [property, self.resolve(property)].into_iter().find_map(|p| p["description"].as_str());
            let presence = if required(own) { Presence::Required } else { Presence::Optional };
            let (type_text, description) = (
                self.describe(property, &in_place),
                MarkedText::from_description(source.unwrap_or_default()),
            );
            fields.push(Field { name, presence, type_text, description });
            fields.extend(below);
        }
        fields
    }

    /// Returns the fields of the schemas in `oneOf`, `anyOf` and `allOf`.
    fn collect_alternatives(self, schema: &'a Value, prefix: &str, within: &VisitedTypes<'a>) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let alternatives =
            ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| Some((*key, schema[key].as_array()?)));
        for (key, all) in alternatives {
            let each = all.iter().filter_map(|one| {
                let mut within = within.clone();
                let fresh = referenced_name(one).is_none_or(|name| within.insert(name));
                fresh.then(|| self.collect_members(self.resolve(one), prefix, &within))
            });
            let each: Vec<Vec<Field>> = each.collect();
            for field in each.iter().flatten() {
                // Alternatives may share a field; it is listed once.
                if fields.iter().any(|known| known.name == field.name) {
                    continue;
                }
                let everywhere =
                    key == "allOf" || each.iter().all(|one| one.iter().any(|f| f.name == field.name));
                let direct = !field.name[prefix.len()..].contains(['.', '[']);
                let presence = if direct && !everywhere { Presence::Choice } else { field.presence };
                fields.push(Field { presence, ..field.clone() });
            }
        }
        fields
    }

    /// Returns the nested fields of the field `name`, and the names of the types whose fields these are.
    fn collect_nested(
        self,
        schema: &'a Value,
        name: &str,
        within: &VisitedTypes<'a>,
    ) -> (Vec<Field>, VisitedTypes<'a>) {
        if let Some(target) = referenced_name(schema) {
            let mut deeper = within.clone();
            if !deeper.insert(target) {
                return Default::default();
            }
            let fields = self.collect_members(self.resolve(schema), &format!("{name}."), &deeper);
            let is_inline = !fields.is_empty() && fields.len() <= MAX_INLINE_FIELDS;
            return if is_inline { (fields, VisitedTypes::from([target])) } else { Default::default() };
        }
        let mut all = (self.collect_properties(schema, &format!("{name}."), within), VisitedTypes::new());
        let inner = [(schema.get("items"), "[]"), (map_values(schema), ".*")];
        let alternatives = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[key].as_array());
        let inner = inner.into_iter().filter_map(|(inner, mark)| Some((inner?, mark)));
        for (inner, mark) in inner.chain(alternatives.flatten().map(|one| (one, ""))) {
            let (fields, in_place) = self.collect_nested(inner, &format!("{name}{mark}"), within);
            let fresh =
                fields.into_iter().filter(|field| !all.0.iter().any(|known| known.name == field.name));
            let fresh: Vec<_> = fresh.collect();
            all.0.extend(fresh);
            all.1.extend(in_place);
        }
        all
    }
}

/// Returns the name of the type to which a schema refers with `$ref`.
fn referenced_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// Returns whether a schema has properties, itself or in an alternative.
fn has_fields(schema: &Value) -> bool {
    let alternatives = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
    schema.get("properties").is_some()
        || alternatives.into_iter().any(|one| referenced_name(one).is_some() || has_fields(one))
}

/// Returns the schema of the values of a map (`additionalProperties`).
fn map_values(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|values| values.is_object())
}

fn code_text(value: &Value) -> MarkedText {
    let text =
        value.as_str().filter(|text| !text.is_empty()).map_or_else(|| value.to_string(), str::to_owned);
    MarkedText::default().with_piece(Mark::Code, &text)
}

/// Describes the constraints of a schema, such as lengths and patterns, as a text that begins with a comma.
fn describe_limits(schema: &Value) -> MarkedText {
    let mut described = MarkedText::default();
    let mut add = |text: MarkedText| {
        described = std::mem::take(&mut described).with_piece(Mark::Plain, ", ").with_text(text);
    };
    let plain = |text: String| MarkedText::default().with_piece(Mark::Plain, &text);
    if let Some(format) = schema["format"].as_str() {
        add(plain(format.to_owned()));
    }
    let between = |least: &Value, most: &Value, of: &str| match (least.as_number(), most.as_number()) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{of}")),
        (Some(least), None) if of.is_empty() => Some(format!("{least} or more")),
        (Some(least), None) => Some(format!("at least {least}{of}")),
        (None, Some(most)) => Some(format!("at most {most}{of}")),
        (None, None) => None,
    };
    let length = match (schema["minLength"].as_u64(), schema.get("maxLength")) {
        (Some(1), None) => Some("not empty".to_owned()),
        _ => between(&schema["minLength"], &schema["maxLength"], " characters"),
    };
    let range = between(&schema["minimum"], &schema["maximum"], "");
    let items = between(&schema["minItems"], &schema["maxItems"], " items");
    for text in [length, range, items].into_iter().flatten() {
        add(plain(text));
    }
    if schema["uniqueItems"] == true {
        add(plain("unique items".to_owned()));
    }
    if let Some(value) = schema["contains"].get("const") {
        add(plain("including ".to_owned()).with_text(code_text(value)));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        add(plain("matching ".to_owned()).with_piece(Mark::Code, pattern));
    }
    if let Some(examples) = schema["examples"].as_array() {
        add(plain("such as ".to_owned()).with_text(MarkedText::join(examples.iter().map(code_text), ", ")));
    }
    described
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
