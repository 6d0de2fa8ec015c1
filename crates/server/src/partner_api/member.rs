//! The members of a request's object: texts, and lists that may come as one text.

use std::collections::BTreeSet;

use domain::rule::validation::ValidationError;
use serde_json::Value;

/// What is said of a member that stands there twice.
pub(crate) const DUPLICATE_FIELD: &str = "is given twice";

/// A request's members. Those that nobody asks for are ignored; `null` and an empty text are absent.
#[derive(Debug, Default)]
pub struct JsonMembers(Vec<(String, Value)>);

impl JsonMembers {
    /// From an object's members in order. One that is given twice is refused and named.
    pub fn new(members: Vec<(String, Value)>) -> Result<Self, ValidationError> {
        let mut names = BTreeSet::new();
        match members.iter().find(|(name, _)| !names.insert(name)) {
            Some((twice, _)) => Err(ValidationError::new(truncate_name(twice), DUPLICATE_FIELD)),
            None => Ok(Self(members)),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        value.filter(|v| !v.is_null() && v.as_str() != Some(""))
    }

    /// A text.
    pub(crate) fn optional_string(&self, name: &str) -> Result<Option<String>, ValidationError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(ValidationError::new(name, "must be a string")),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_string(&self, name: &str) -> Result<String, ValidationError> {
        self.optional_string(name)?.ok_or_else(|| ValidationError::for_missing_field(name))
    }

    /// Refuses members that are not known, by their names.
    pub(crate) fn reject_unknown(self, known: &[&str]) -> Result<Self, ValidationError> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(ValidationError::new(truncate_name(name), expected_one_of(known))),
            None => Ok(self),
        }
    }

    /// Everything that was given.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().filter(|(_, value)| !value.is_null())
    }

    /// A list of texts.
    pub(crate) fn string_list(&self, name: &str) -> Result<Vec<String>, ValidationError> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        self.parse_list(name, "must be an array of strings", text)
    }

    /// A list of whole numbers.
    pub(crate) fn integer_list(&self, name: &str) -> Result<Vec<i64>, ValidationError> {
        self.parse_list(name, "must be an array of integers", Value::as_i64)
    }

    fn parse_list<T>(
        &self,
        name: &str,
        message: &str,
        read: fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, ValidationError> {
        let expected = || ValidationError::new(name, message);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| read(item).ok_or_else(expected)).collect(),
            Some(_) => Err(expected()),
        }
    }

    /// Yes or no.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ValidationError> {
        let flag = |value: &Value| {
            value.as_bool().ok_or_else(|| ValidationError::new(name, "must be true or false"))
        };
        self.get(name).map(flag).transpose()
    }

    /// A whole number, not below zero.
    pub(crate) fn unsigned_integer(&self, name: &str) -> Result<Option<u64>, ValidationError> {
        let number = |value: &Value| {
            value.as_u64().ok_or_else(|| ValidationError::new(name, "must be a whole number"))
        };
        self.get(name).map(number).transpose()
    }

    /// Words: a list of texts, or one text in which spaces part them.
    pub(super) fn space_delimited_list(&self, name: &str) -> Result<Vec<String>, ValidationError> {
        let expected = || ValidationError::new(name, "must be a string or an array of strings");
        let split = |text: &str| text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(split(text)),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(expected)).collect()
            }
            Some(_) => Err(expected()),
        }
    }

    /// One text of each object in a list.
    pub(super) fn object_list_field(&self, name: &str, member: &str) -> Result<Vec<String>, ValidationError> {
        let expected =
            || ValidationError::new(name, format_args!("must be an array of objects with {member}"));
        let text = |item: &Value| item.get(member).and_then(Value::as_str).map(str::to_owned);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| text(item).ok_or_else(expected)).collect(),
            Some(_) => Err(expected()),
        }
    }
}

/// What is told of a name that is not known.
pub(crate) fn expected_one_of(known: &[&str]) -> String {
    match known {
        [] => "expected nothing of the kind here".to_owned(),
        known => format!("expected one of {}", known.join(", ")),
    }
}

/// A name that somebody made up, as it is told back.
fn truncate_name(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members_from(object: &Value) -> JsonMembers {
        let object = object.as_object().unwrap();
        JsonMembers::new(object.iter().map(|(name, value)| (name.clone(), value.clone())).collect()).unwrap()
    }

    #[test]
    fn space_delimited_list_accepts_string_or_array() {
        let words = |value: Value| {
            members_from(&json!({"scope": value})).space_delimited_list("scope").map_err(|e| e.to_string())
        };
        let both = vec!["A".to_owned(), "B".to_owned()];
        assert_eq!(words(json!("A  B ")), Ok(both.clone()));
        assert_eq!(words(json!(["A", "B"])), Ok(both));
        for absent in [json!(null), json!(""), json!([])] {
            assert_eq!(words(absent), Ok(vec![]));
        }
        for bad in [json!(5), json!({}), json!(["A", 5]), json!([["A"]]), json!(true)] {
            assert_eq!(words(bad), Err("scope must be a string or an array of strings".into()));
        }
    }

    #[test]
    fn object_list_field_requires_member_in_each_object() {
        let read_emails =
            |value: Value| members_from(&json!({"contacts": value})).object_list_field("contacts", "email");
        assert_eq!(read_emails(json!([{"email": "a@b.example", "name": "x"}])).unwrap(), ["a@b.example"]);
        for bad in
            [json!("a@b.example"), json!(["a@b.example"]), json!([{}]), json!([{"email": 5}]), json!({})]
        {
            let message = read_emails(bad).unwrap_err().to_string();
            assert_eq!(message, "contacts must be an array of objects with email");
        }
    }

    #[test]
    fn typed_members_reject_other_json_types() {
        let members_with = |value: Value| members_from(&json!({"x": value}));
        assert_eq!(members_with(json!(["a", "b c"])).string_list("x").unwrap(), ["a", "b c"]);
        assert_eq!(members_with(json!([1, 2])).integer_list("x").unwrap(), [1, 2]);
        assert_eq!(members_with(json!(90)).unsigned_integer("x").unwrap(), Some(90));
        assert_eq!(members_with(json!(true)).boolean("x").unwrap(), Some(true));
        for absent in [json!(null), json!("")] {
            let none = members_with(absent);
            assert!(none.string_list("x").unwrap().is_empty() && none.integer_list("x").unwrap().is_empty());
            assert!(none.boolean("x").unwrap().is_none() && none.unsigned_integer("x").unwrap().is_none());
        }
        for bad in [json!("a"), json!(["a", 5]), json!([null]), json!({}), json!(-1), json!(1.5)] {
            let bad = members_with(bad);
            assert!(bad.string_list("x").is_err() && bad.integer_list("x").is_err());
            assert!(bad.boolean("x").is_err() && bad.unsigned_integer("x").is_err());
        }
    }

    #[test]
    fn unknown_member_is_rejected_by_name() {
        let error =
            members_from(&json!({"name": 1, "colour": 2})).reject_unknown(&["name", "scope"]).unwrap_err();
        assert_eq!(error.to_string(), "colour expected one of name, scope");
    }

    #[test]
    fn duplicate_member_is_rejected_by_name() {
        let twice = vec![("name".to_owned(), json!("a")), ("name".to_owned(), json!("b"))];
        assert_eq!(JsonMembers::new(twice).unwrap_err().to_string(), "name is given twice");
    }
}
