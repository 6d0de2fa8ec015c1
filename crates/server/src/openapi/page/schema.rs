//! Schemas in words and as lists of fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::piece::{Mark, Text};

/// A type with at most so many fields is told where it is used; a larger one once, below the operations.
const SMALL: usize = 10;

/// Whether a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Always.
    Required,
    /// It may be absent.
    Optional,
    /// It is one of several, of which one is there.
    Choice,
}

impl Presence {
    /// Its word in the stylesheet.
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

/// A field, by its dotted name.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) presence: Presence,
    pub(super) words: Text,
    pub(super) description: Text,
}

/// A document, for its schemas.
#[derive(Clone, Copy)]
pub(super) struct Schemas<'a>(pub(super) &'a Value);

/// The types that one stands within, so that none is told within itself.
type Within<'a> = BTreeSet<&'a str>;

impl<'a> Schemas<'a> {
    /// What a reference leads to.
    pub(super) fn resolved(self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|to| self.0.pointer(to.trim_start_matches('#')));
        target.unwrap_or(value)
    }

    /// What a type is, and its fields.
    pub(super) fn component(self, name: &str) -> Option<(Text, Vec<Field>)> {
        let (name, schema) = self.0["components"]["schemas"].as_object()?.get_key_value(name)?;
        let told = schema["description"].as_str().unwrap_or_default();
        Some((Text::sentence(told), self.members(schema, "", &Within::from([name.as_str()]))))
    }

    /// The fields of a schema.
    pub(super) fn fields(self, schema: &'a Value) -> Vec<Field> {
        let mut within: Within<'a> = named(schema).into_iter().collect();
        let schema = self.resolved(schema);
        if let Some(items) = schema.get("items") {
            within.extend(named(items));
            return self.members(self.resolved(items), "[].", &within);
        }
        self.members(schema, "", &within)
    }

    /// A schema in words. Types that are told in place have no words of their own.
    pub(super) fn words(self, schema: &'a Value, in_place: &Within<'a>) -> Text {
        let plain = |text: &str| Text::default().with(Mark::Plain, text);
        if let Some(name) = named(schema) {
            let target = self.resolved(schema);
            return match has_fields(target) {
                _ if in_place.contains(name) => plain("object"),
                false if named(target).is_none() => self.words(target, in_place),
                true => Text::default().with(Mark::Type, name),
                false => plain(name),
            };
        }
        if let Some(value) = schema.get("const") {
            return plain("always ").and(code(value));
        }
        if let Some(words) = schema["enum"].as_array() {
            return Text::joined(words.iter().map(code), " | ");
        }
        for (key, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
            if let Some(all) = schema[key].as_array() {
                let mut told: Vec<Text> = Vec::new();
                for text in all.iter().map(|one| self.words(one, in_place)) {
                    if !told.contains(&text) {
                        told.push(text);
                    }
                }
                return Text::joined(told, between);
            }
        }
        let types: Vec<Text> = match &schema["type"] {
            Value::Array(types) => types.iter().map(|kind| self.kind(kind, schema, in_place)).collect(),
            Value::Null if schema.get("properties").is_none() => vec![plain("anything")],
            Value::Null => vec![plain("object")],
            kind => vec![self.kind(kind, schema, in_place)],
        };
        Text::joined(types, " or ").and(limits(schema))
    }

    fn kind(self, kind: &Value, schema: &'a Value, in_place: &Within<'a>) -> Text {
        let of = |text: &str, inner: &'a Value| {
            Text::default().with(Mark::Plain, text).and(self.words(inner, in_place))
        };
        match (kind.as_str().unwrap_or_default(), schema.get("items"), map_of(schema)) {
            ("array", Some(items), _) => of("array of ", items),
            ("object", _, Some(values)) => of("map to ", values),
            (word, ..) => Text::default().with(Mark::Plain, word),
        }
    }

    /// The fields of a schema, with this before their names.
    fn members(self, schema: &'a Value, prefix: &str, within: &Within<'a>) -> Vec<Field> {
        let mut fields = self.properties(schema, prefix, within);
        fields.extend(self.alternatives(schema, prefix, within));
        fields
    }

    /// The properties of a schema, those that are required first, each with what is below it.
    fn properties(self, schema: &'a Value, prefix: &str, within: &Within<'a>) -> Vec<Field> {
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let (first, others): (Vec<_>, Vec<_>) = properties.partition(|(name, _)| required(name));
        let mut fields = Vec::new();
        for (own, property) in first.into_iter().chain(others) {
            let name = format!("{prefix}{own}");
            let (below, in_place) = self.below(property, &name, within);
            let told =
                [property, self.resolved(property)].into_iter().find_map(|p| p["description"].as_str());
            let presence = if required(own) { Presence::Required } else { Presence::Optional };
            let (words, description) =
                (self.words(property, &in_place), Text::sentence(told.unwrap_or_default()));
            fields.push(Field { name, presence, words, description });
            fields.extend(below);
        }
        fields
    }

    /// The fields of the schemas that one may be instead, or is as well.
    fn alternatives(self, schema: &'a Value, prefix: &str, within: &Within<'a>) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let alternatives =
            ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| Some((*key, schema[key].as_array()?)));
        for (key, all) in alternatives {
            let each = all.iter().filter_map(|one| {
                let mut within = within.clone();
                let fresh = named(one).is_none_or(|name| within.insert(name));
                fresh.then(|| self.members(self.resolved(one), prefix, &within))
            });
            let each: Vec<Vec<Field>> = each.collect();
            for field in each.iter().flatten() {
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

    /// What is told below a field, and the types that are told in place with that.
    fn below(self, schema: &'a Value, name: &str, within: &Within<'a>) -> (Vec<Field>, Within<'a>) {
        if let Some(target) = named(schema) {
            let mut deeper = within.clone();
            if !deeper.insert(target) {
                return Default::default();
            }
            let fields = self.members(self.resolved(schema), &format!("{name}."), &deeper);
            let told = !fields.is_empty() && fields.len() <= SMALL;
            return if told { (fields, Within::from([target])) } else { Default::default() };
        }
        let mut all = (self.properties(schema, &format!("{name}."), within), Within::new());
        let inner = [(schema.get("items"), "[]"), (map_of(schema), ".*")];
        let alternatives = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[key].as_array());
        let inner = inner.into_iter().filter_map(|(inner, mark)| Some((inner?, mark)));
        for (inner, mark) in inner.chain(alternatives.flatten().map(|one| (one, ""))) {
            let (fields, in_place) = self.below(inner, &format!("{name}{mark}"), within);
            let fresh =
                fields.into_iter().filter(|field| !all.0.iter().any(|known| known.name == field.name));
            let fresh: Vec<_> = fresh.collect();
            all.0.extend(fresh);
            all.1.extend(in_place);
        }
        all
    }
}

/// The name of the type that a schema refers to.
fn named(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// Whether there may be fields to tell of.
fn has_fields(schema: &Value) -> bool {
    let alternatives = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
    schema.get("properties").is_some()
        || alternatives.into_iter().any(|one| named(one).is_some() || has_fields(one))
}

/// What the members of a map are.
fn map_of(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|values| values.is_object())
}

/// A value as code.
fn code(value: &Value) -> Text {
    let text =
        value.as_str().filter(|text| !text.is_empty()).map_or_else(|| value.to_string(), str::to_owned);
    Text::default().with(Mark::Code, &text)
}

/// What else a value must be.
fn limits(schema: &Value) -> Text {
    let mut told = Text::default();
    let mut say = |text: Text| {
        told = std::mem::take(&mut told).with(Mark::Plain, ", ").and(text);
    };
    let plain = |text: String| Text::default().with(Mark::Plain, &text);
    if let Some(format) = schema["format"].as_str() {
        say(plain(format.to_owned()));
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
        say(plain(text));
    }
    if schema["uniqueItems"] == true {
        say(plain("no two alike".to_owned()));
    }
    if let Some(value) = schema["contains"].get("const") {
        say(code(value).and(plain(" among them".to_owned())));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        say(plain("matching ".to_owned()).with(Mark::Code, pattern));
    }
    if let Some(examples) = schema["examples"].as_array() {
        say(plain("such as ".to_owned()).and(Text::joined(examples.iter().map(code), ", ")));
    }
    told
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
