//! The members of a request's object: texts, and lists that may come as one text.

use std::collections::BTreeSet;

use domain::rule::recipient::Invalid;
use serde_json::Value;

/// A request's members. Those that nobody asks for are ignored; `null` and an empty text are absent.
#[derive(Debug, Default)]
pub struct Members(Vec<(String, Value)>);

impl Members {
    /// From an object's members in order. One that is given twice is refused and named.
    pub fn new(members: Vec<(String, Value)>) -> Result<Self, Invalid> {
        let mut names = BTreeSet::new();
        match members.iter().find(|(name, _)| !names.insert(name)) {
            Some((twice, _)) => Err(Invalid::new(twice, "is given twice")),
            None => Ok(Self(members)),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let value = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        value.filter(|v| !v.is_null() && v.as_str() != Some(""))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Invalid::new(name, "must be a string")),
        }
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
    fn a_member_that_is_given_twice_is_named() {
        let twice = vec![("name".to_owned(), json!("a")), ("name".to_owned(), json!("b"))];
        assert_eq!(Members::new(twice).unwrap_err().to_string(), "name is given twice");
    }
}
