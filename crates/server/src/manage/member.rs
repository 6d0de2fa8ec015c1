//! The members of a request's object: texts, and lists that may come as one text.

use std::collections::BTreeSet;

use domain::rule::recipient::Invalid;
use serde_json::Value;

/// What is said of a member that stands there twice.
pub(crate) const GIVEN_TWICE: &str = "is given twice";

/// A request's members. Those that nobody asks for are ignored; `null` and an empty text are absent.
#[derive(Debug, Default)]
pub struct Members(Vec<(String, Value)>);

impl Members {
    /// From an object's members in order. One that is given twice is refused and named.
    pub fn new(members: Vec<(String, Value)>) -> Result<Self, Invalid> {
        let mut names = BTreeSet::new();
        match members.iter().find(|(name, _)| !names.insert(name)) {
            Some((twice, _)) => Err(Invalid::new(shortened(twice), GIVEN_TWICE)),
            None => Ok(Self(members)),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        value.filter(|v| !v.is_null() && v.as_str() != Some(""))
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Invalid::new(name, "must be a string")),
        }
    }

    /// A text that must be there.
    pub(crate) fn needed(&self, name: &str) -> Result<String, Invalid> {
        self.text(name)?.ok_or_else(|| Invalid::missing(name))
    }

    /// Refuses members that are not known, by their names.
    pub(crate) fn known(self, known: &[&str]) -> Result<Self, Invalid> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Invalid::new(shortened(name), one_of(known))),
            None => Ok(self),
        }
    }

    /// Everything that was given.
    pub(crate) fn given(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().filter(|(_, value)| !value.is_null())
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Invalid> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        self.items(name, "must be an array of strings", text)
    }

    /// A list of whole numbers.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<i64>, Invalid> {
        self.items(name, "must be an array of integers", Value::as_i64)
    }

    fn items<T>(&self, name: &str, told: &str, read: fn(&Value) -> Option<T>) -> Result<Vec<T>, Invalid> {
        let expected = || Invalid::new(name, told);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| read(item).ok_or_else(expected)).collect(),
            Some(_) => Err(expected()),
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Invalid> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| Invalid::new(name, "must be true or false"));
        self.get(name).map(flag).transpose()
    }

    /// A whole number, not below zero.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Invalid> {
        let number =
            |value: &Value| value.as_u64().ok_or_else(|| Invalid::new(name, "must be a whole number"));
        self.get(name).map(number).transpose()
    }

    /// Words: a list of texts, or one text in which spaces part them.
    pub(super) fn words(&self, name: &str) -> Result<Vec<String>, Invalid> {
        let expected = || Invalid::new(name, "must be a string or an array of strings");
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
    pub(super) fn each(&self, name: &str, member: &str) -> Result<Vec<String>, Invalid> {
        let expected = || Invalid::new(name, format_args!("must be an array of objects with {member}"));
        let text = |item: &Value| item.get(member).and_then(Value::as_str).map(str::to_owned);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| text(item).ok_or_else(expected)).collect(),
            Some(_) => Err(expected()),
        }
    }
}

/// What is told of a name that is not known.
pub(crate) fn one_of(known: &[&str]) -> String {
    match known {
        [] => "expected nothing of the kind here".to_owned(),
        known => format!("expected one of {}", known.join(", ")),
    }
}

/// A name that somebody made up, as it is told back.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(object: &Value) -> Members {
        let object = object.as_object().unwrap();
        Members::new(object.iter().map(|(name, value)| (name.clone(), value.clone())).collect()).unwrap()
    }

    #[test]
    fn lists_come_as_texts_or_arrays() {
        let words =
            |value: Value| members(&json!({"scope": value})).words("scope").map_err(|e| e.to_string());
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
    fn objects_in_a_list_have_their_member() {
        let each = |value: Value| members(&json!({"contacts": value})).each("contacts", "email");
        assert_eq!(each(json!([{"email": "a@b.example", "name": "x"}])).unwrap(), ["a@b.example"]);
        for bad in
            [json!("a@b.example"), json!(["a@b.example"]), json!([{}]), json!([{"email": 5}]), json!({})]
        {
            let said = each(bad).unwrap_err().to_string();
            assert_eq!(said, "contacts must be an array of objects with email");
        }
    }

    #[test]
    fn lists_numbers_and_truth_are_of_their_kind_alone() {
        let of = |value: Value| members(&json!({"x": value}));
        assert_eq!(of(json!(["a", "b c"])).texts("x").unwrap(), ["a", "b c"]);
        assert_eq!(of(json!([1, 2])).numbers("x").unwrap(), [1, 2]);
        assert_eq!(of(json!(90)).number("x").unwrap(), Some(90));
        assert_eq!(of(json!(true)).flag("x").unwrap(), Some(true));
        for absent in [json!(null), json!("")] {
            let none = of(absent);
            assert!(none.texts("x").unwrap().is_empty() && none.numbers("x").unwrap().is_empty());
            assert!(none.flag("x").unwrap().is_none() && none.number("x").unwrap().is_none());
        }
        for bad in [json!("a"), json!(["a", 5]), json!([null]), json!({}), json!(-1), json!(1.5)] {
            let bad = of(bad);
            assert!(bad.texts("x").is_err() && bad.numbers("x").is_err());
            assert!(bad.flag("x").is_err() && bad.number("x").is_err());
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let told = members(&json!({"name": 1, "colour": 2})).known(&["name", "scope"]).unwrap_err();
        assert_eq!(told.to_string(), "colour expected one of name, scope");
    }

    #[test]
    fn a_member_that_is_given_twice_is_named() {
        let twice = vec![("name".to_owned(), json!("a")), ("name".to_owned(), json!("b"))];
        assert_eq!(Members::new(twice).unwrap_err().to_string(), "name is given twice");
    }
}
