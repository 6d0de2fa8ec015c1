//! Parsing of request bodies: the members of a JSON object, or the fields of a form, are deserialized into a type.
//!
//! An error names the field and the expected value. The hub has its own deserializer, because the errors of
//! `serde_json` are plain text, from which the two cannot be separated.

use std::collections::BTreeSet;
use std::fmt;

use domain::rule::validation::ValidationError;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, Deserialize, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// The message for a field that occurs more than once.
pub(crate) const DUPLICATE_FIELD: &str = "is given twice";

/// The maximum number of characters of a field's path that an error repeats. Unknown names are untrusted input.
const MAX_PATH_CHARS: usize = 64;

/// A type into which the body of a request is parsed. Its required members have no default.
pub trait RequestBody: DeserializeOwned {
    /// True if an absent body is an error. If this is false, an absent body is parsed as `{}`.
    const REQUIRED: bool = true;
}

/// The body of an operation that takes no input.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyRequest {}

impl RequestBody for EmptyRequest {
    const REQUIRED: bool = false;
}

/// Deserializes the members of a JSON object. A known member that is `null` or an empty string counts as absent.
pub(crate) fn parse_members<T: DeserializeOwned>(
    members: Vec<(String, Value)>,
) -> Result<T, ValidationError> {
    parse_root(RootDeserializer { members, drops_empty_text: true })
}

/// Deserializes the fields of a form. Unlike in JSON, an empty field does not count as absent.
pub(crate) fn parse_form<T: DeserializeOwned>(fields: Vec<(String, String)>) -> Result<T, ValidationError> {
    let members = fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    parse_root(RootDeserializer { members, drops_empty_text: false })
}

fn parse_root<T: DeserializeOwned>(root: RootDeserializer) -> Result<T, ValidationError> {
    // serde reports a repeated member only if the type has a field of this name. An unknown member must not be repeated
    // either, because the sender may have meant another member.
    let mut names = BTreeSet::new();
    if let Some((name, _)) = root.members.iter().find(|(name, _)| !names.insert(name)) {
        return Err(ValidationError::new(truncate_path(name), DUPLICATE_FIELD));
    }
    serde_path_to_error::deserialize(root).map_err(|error| {
        let path = error.path().to_string();
        let FieldError { missing, expected } = error.into_inner();
        let field = match missing {
            None => truncate_path(&path),
            Some(name) if path == "." => name.to_owned(),
            Some(name) => format!("{path}.{name}"),
        };
        ValidationError { field, expected }
    })
}

fn truncate_path(path: &str) -> String {
    path.chars().take(MAX_PATH_CHARS).collect()
}

/// Returns the message for an unknown name where only `known` names are accepted.
pub(crate) fn expected_one_of(known: &[&str]) -> String {
    match known {
        [] => "is not accepted here".to_owned(),
        known => format!("expected one of {}", known.join(", ")),
    }
}

/// Deserializes a member of a request body as a whole. The error for an invalid value names the member and not a part
/// of it. `expected` describes valid values.
pub(crate) fn read_as<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
    expected: &str,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    T::deserialize(FieldValue(value)).map_err(|_| de::Error::custom(format_args!("must be {expected}")))
}

/// An array of strings in a request body.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(transparent)]
pub struct StringList(pub Vec<String>);

impl<'de> Deserialize<'de> for StringList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_as(deserializer, "an array of strings").map(Self)
    }
}

/// An array of integers in a request body.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(transparent)]
pub struct IntegerList(pub Vec<i64>);

impl<'de> Deserialize<'de> for IntegerList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_as(deserializer, "an array of integers").map(Self)
    }
}

/// A member of a request body that is an array of strings, or one space-delimited string (RFC 6749 §3.3).
#[derive(Clone, Debug, Default)]
pub struct SpaceDelimitedList(pub Vec<String>);

impl<'de> Deserialize<'de> for SpaceDelimitedList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum StringOrList {
            Text(String),
            List(Vec<String>),
        }
        Ok(Self(match read_as(deserializer, "a string or an array of strings")? {
            StringOrList::Text(text) => {
                text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect()
            }
            StringOrList::List(list) => list,
        }))
    }
}

/// An error of one field of a request body. `serde_path_to_error` adds the path of the field.
#[derive(Debug)]
struct FieldError {
    /// The name of a missing member, which the path from `serde_path_to_error` does not contain.
    missing: Option<&'static str>,
    expected: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expected)
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { missing: None, expected: message.to_string() }
    }

    // The unexpected value is not repeated: it may be a secret.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(match expected.to_string().as_str() {
            "u16" | "u64" | "i64" => "must be a whole number".to_owned(),
            "a boolean" => "must be true or false".to_owned(),
            "a sequence" => "must be an array".to_owned(),
            "a map" => "must be an object".to_owned(),
            // This is the error for an empty object where serde expects the name of a variant.
            "enum" => "must be one of the documented values".to_owned(),
            text => format!("must be {text}"),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("must be one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(expected_one_of(expected))
    }

    fn missing_field(name: &'static str) -> Self {
        Self { missing: Some(name), expected: "is missing".to_owned() }
    }
}

/// A deserializer for the members of a request body. They are in a vector, because a map would hide that a name occurs
/// twice.
struct RootDeserializer {
    members: Vec<(String, Value)>,
    drops_empty_text: bool,
}

impl<'de> Deserializer<'de> for RootDeserializer {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor
            .visit_map(MapDeserializer::new(self.members.into_iter().map(|(name, v)| (name, FieldValue(v)))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        let is_absent =
            |value: &Value| value.is_null() || self.drops_empty_text && value.as_str() == Some("");
        // An unknown member stays, whatever its value: the type decides whether it is rejected.
        self.members.retain(|(name, value)| !known.contains(&name.as_str()) || !is_absent(value));
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A deserializer for a value within a request body.
struct FieldValue(Value);

impl IntoDeserializer<'_, FieldError> for FieldValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for FieldValue {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::String(text) => visitor.visit_string(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            Value::Object(members) => {
                visitor.visit_map(MapDeserializer::new(members.into_iter().map(|(name, v)| (name, Self(v)))))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        // Derived `Deserialize` implementations would also accept an array with the fields in their order.
        if self.0.is_object() {
            self.deserialize_any(visitor)
        } else {
            Err(de::Error::custom("must be an object"))
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.into_deserializer()),
            Value::Object(members) => {
                let members = MapDeserializer::new(members.into_iter().map(|(name, v)| (name, Self(v))));
                visitor.visit_enum(MapAccessDeserializer::new(members))
            }
            _ => Err(de::Error::custom("must be a string or an object")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct StrictRequest {
        name: String,
        flag: Option<bool>,
        count: Option<u64>,
        nested: Option<NestedRequest>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct NestedRequest {
        kind: Kind,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        Named(String),
    }

    #[derive(Debug, serde::Deserialize)]
    struct ListRequest {
        strings: Option<StringList>,
        integers: Option<IntegerList>,
        words: Option<SpaceDelimitedList>,
    }

    fn parse<T: DeserializeOwned>(object: Value) -> Result<T, String> {
        let Value::Object(members) = object else { panic!("{object} is not an object") };
        parse_members(members.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn invalid_member_error_names_member_and_expected_value() {
        for (body, message) in [
            (json!({}), "name is missing"),
            (json!({"name": 5}), "name must be a string"),
            (json!({"name": "a", "flag": "true"}), "flag must be true or false"),
            (json!({"name": "a", "count": -1}), "count must be a whole number"),
            (json!({"name": "a", "count": 1.5}), "count must be a whole number"),
            (json!({"name": "a", "nested": []}), "nested must be an object"),
            (json!({"name": "a", "nested": {}}), "nested.kind is missing"),
            (json!({"name": "a", "nested": {"kind": "x"}}), "nested.kind must be one of plain, named"),
            (json!({"name": "a", "nested": {"kind": {"named": 5}}}), "nested.kind.named must be a string"),
            (json!({"name": "a", "colour": null}), "colour expected one of name, flag, count, nested"),
        ] {
            assert_eq!(parse::<StrictRequest>(body.clone()), Err(message.to_owned()), "{body}");
        }
    }

    #[test]
    fn null_and_empty_members_count_as_absent() {
        let body = json!({"name": "a", "flag": null, "count": "", "nested": {"kind": {"named": "b"}}});
        let nested = Some(NestedRequest { kind: Kind::Named("b".into()) });

        let request: StrictRequest = parse(body).unwrap();

        assert_eq!(request, StrictRequest { name: "a".into(), flag: None, count: None, nested });
        assert_eq!(parse::<StrictRequest>(json!({"name": ""})).unwrap_err(), "name is missing");
        assert_eq!(parse::<EmptyRequest>(json!({"x": null})).unwrap_err(), "x is not accepted here");
    }

    #[test]
    fn empty_form_field_is_not_absent() {
        let parse =
            |value: &str| parse_form::<StrictRequest>(vec![("name".into(), value.into())]).unwrap().name;

        assert_eq!((parse("a"), parse("")), ("a".to_owned(), String::new()));
    }

    #[test]
    fn duplicate_member_is_rejected_by_name() {
        for name in ["name", "colour"] {
            let members = vec![(name.to_owned(), json!("a")), (name.to_owned(), json!("a"))];

            let error = parse_members::<ListRequest>(members).unwrap_err();

            assert_eq!(error.to_string(), format!("{name} is given twice"));
        }
    }

    #[test]
    fn unknown_name_in_error_is_truncated() {
        let error = parse::<EmptyRequest>(json!({"x".repeat(1000): 1})).unwrap_err();

        assert_eq!(error.split(' ').next().map(str::len), Some(MAX_PATH_CHARS));
    }

    #[test]
    fn invalid_list_member_error_names_whole_list() {
        let body = json!({"strings": ["a", "b c"], "integers": [1, 2], "words": "A  B "});
        let request: ListRequest = parse(body).unwrap();
        assert_eq!(request.strings.unwrap().0, ["a", "b c"]);
        assert_eq!(request.integers.unwrap().0, [1, 2]);
        assert_eq!(request.words.unwrap().0, ["A", "B"]);
        assert_eq!(parse::<ListRequest>(json!({"words": ["A", "B"]})).unwrap().words.unwrap().0, ["A", "B"]);

        for bad in [json!(5), json!({}), json!(["A", 5]), json!([["A"]]), json!(true), json!([null])] {
            for (name, expected) in [
                ("strings", "an array of strings"),
                ("integers", "an array of integers"),
                ("words", "a string or an array of strings"),
            ] {
                let error = parse::<ListRequest>(json!({name: bad})).unwrap_err();
                assert_eq!(error, format!("{name} must be {expected}"), "{bad}");
            }
        }
        assert!(parse::<ListRequest>(json!({"strings": "a"})).is_err(), "a string is not an array");
    }
}
