//! Detection of duplicate keys in JSON.
//!
//! RFC 8259, section 4, leaves open which of two members of the same name counts. A person who reviews a body and the
//! hub could read different values, so such a body is rejected. serde rejects duplicates only in structs, not in maps.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The maximum number of characters of a key that an error message repeats.
const MAX_KEY_CHARS: usize = 64;

/// Returns the path of the first duplicate key below the top level, such as `fdx.base_url` or `contacts[1].email`.
///
/// Duplicates at the top level are not reported: the caller sees all members and reports them by name.
pub(super) fn find_duplicate_key(json: &[u8]) -> Option<String> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // Errors are ignored, because the caller has already parsed the JSON and reported invalid input.
    let _ = DuplicateKeyVisitor { path: &JsonPath::Root, found: &mut found }.deserialize(&mut deserializer);
    found
}

/// The path of a value in a JSON document.
enum JsonPath<'a> {
    Root,
    Member(&'a JsonPath<'a>, &'a str),
    Item(&'a JsonPath<'a>, usize),
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => {
                parent.fmt(f)?;
                if !matches!(parent, Self::Root) {
                    f.write_str(".")?;
                }
                name.chars().take(MAX_KEY_CHARS).try_for_each(|c| write!(f, "{c}"))
            }
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A visitor that parses a JSON value and everything in it, and records the first duplicate key.
struct DuplicateKeyVisitor<'a> {
    path: &'a JsonPath<'a>,
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for DuplicateKeyVisitor<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DuplicateKeyVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = JsonPath::Member(self.path, &name);
            if names.contains(&name) && !matches!(self.path, JsonPath::Root) && self.found.is_none() {
                *self.found = Some(path.to_string());
            }
            members.next_value_seed(DuplicateKeyVisitor { path: &path, found: &mut *self.found })?;
            names.insert(name);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while items
            .next_element_seed(DuplicateKeyVisitor {
                path: &JsonPath::Item(self.path, index),
                found: &mut *self.found,
            })?
            .is_some()
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn arbitrary_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn unique_keys_are_not_reported(value in arbitrary_json()) {
            prop_assert_eq!(find_duplicate_key(value.to_string().as_bytes()), None);
        }

        #[test]
        fn nested_duplicate_key_is_reported(depth in 1_usize..100, value in arbitrary_json(), list: bool) {
            let (open, close, step) = if list { ("[", "]", "[0]") } else { (r#"{"a":"#, "}", ".a") };
            let duplicate = format!(r#"{{"x":{value},"x":1}}"#);
            let body = format!(r#"{{"top":{}{duplicate}{}}}"#, open.repeat(depth), close.repeat(depth));
            prop_assert_eq!(find_duplicate_key(body.as_bytes()), Some(format!("top{}.x", step.repeat(depth))));
        }

        #[test]
        fn duplicate_key_search_never_panics(bytes: Vec<u8>, text: String) {
            let _ = (find_duplicate_key(&bytes), find_duplicate_key(text.as_bytes()));
        }
    }

    #[test]
    fn first_of_several_duplicate_keys_is_reported_with_path() {
        let find = |text: &str| find_duplicate_key(text.as_bytes());
        assert_eq!(
            find(r#"{"fdx":{"base_url":"a","version":1.5e3,"base_url":"a"}}"#).as_deref(),
            Some("fdx.base_url")
        );
        assert_eq!(find(r#"{"a":[{"b":1},{"b":null,"c":{},"b":true}]}"#).as_deref(), Some("a[1].b"));
        assert_eq!(find(r#"{"a":{"\u0062":1,"b":2},"c":{"d":1,"d":2}}"#).as_deref(), Some("a.b"));
        assert_eq!(
            find(r#"{"a":1,"a":{"b":-1}}"#),
            None,
            "members of the top-level object are not checked here"
        );
        let long = "x".repeat(1000);
        let reported = find(&format!(r#"{{"a":{{"{long}":1,"{long}":2}}}}"#)).unwrap();
        assert_eq!(reported.len(), "a.".len() + MAX_KEY_CHARS);
    }
}
