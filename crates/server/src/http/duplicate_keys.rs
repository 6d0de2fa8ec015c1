//! Names that stand twice within a JSON value: which of the two counts nobody can know (RFC 8259 §4).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The longest part of a name that is repeated to whoever sent it, in characters.
const MAX_KEY_CHARS: usize = 64;

/// The way to the first member that is given twice within a member of an object, as in `fdx.base_url` or
/// `contacts[1].email`. Members of the object itself are nobody's here: whoever reads them sees them all.
pub(super) fn find_duplicate_key(json: &[u8]) -> Option<String> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // What is no JSON has been told by whoever reads the values.
    let _ = DuplicateKeyVisitor { path: &JsonPath::Root, found: &mut found }.deserialize(&mut deserializer);
    found
}

/// Where something stands.
enum JsonPath<'a> {
    Root,
    Member(&'a JsonPath<'a>, &'a str),
    Item(&'a JsonPath<'a>, usize),
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(above, name) => {
                above.fmt(f)?;
                if !matches!(above, Self::Root) {
                    f.write_str(".")?;
                }
                name.chars().take(MAX_KEY_CHARS).try_for_each(|c| write!(f, "{c}"))
            }
            Self::Item(above, nth) => write!(f, "{above}[{nth}]"),
        }
    }
}

/// Looks at a value and those in it.
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
        let mut nth = 0;
        while items
            .next_element_seed(DuplicateKeyVisitor {
                path: &JsonPath::Item(self.path, nth),
                found: &mut *self.found,
            })?
            .is_some()
        {
            nth += 1;
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
            let (open, close, way) = if list { ("[", "]", "[0]") } else { (r#"{"a":"#, "}", ".a") };
            let twice = format!(r#"{{"x":{value},"x":1}}"#);
            let body = format!(r#"{{"top":{}{twice}{}}}"#, open.repeat(depth), close.repeat(depth));
            prop_assert_eq!(find_duplicate_key(body.as_bytes()), Some(format!("top{}.x", way.repeat(depth))));
        }

        #[test]
        fn duplicate_key_search_never_panics(bytes: Vec<u8>, text: String) {
            let _ = (find_duplicate_key(&bytes), find_duplicate_key(text.as_bytes()));
        }
    }

    #[test]
    fn first_duplicate_key_is_reported_with_path() {
        let find = |text: &str| find_duplicate_key(text.as_bytes());
        assert_eq!(
            find(r#"{"fdx":{"base_url":"a","version":1.5e3,"base_url":"a"}}"#).as_deref(),
            Some("fdx.base_url")
        );
        assert_eq!(find(r#"{"a":[{"b":1},{"b":null,"c":{},"b":true}]}"#).as_deref(), Some("a[1].b"));
        assert_eq!(find(r#"{"a":{"\u0062":1,"b":2},"c":{"d":1,"d":2}}"#).as_deref(), Some("a.b"));
        assert_eq!(find(r#"{"a":1,"a":{"b":-1}}"#), None, "the object's own are read as they are");
        let long = "x".repeat(1000);
        let reported = find(&format!(r#"{{"a":{{"{long}":1,"{long}":2}}}}"#)).unwrap();
        assert_eq!(reported.len(), "a.".len() + MAX_KEY_CHARS);
    }
}
