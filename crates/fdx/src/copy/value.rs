//! Copies values of known shapes.

use std::borrow::Cow;
use std::fmt::{self, Formatter};
use std::io::Write;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::number_or_text;
use crate::scalar::{Date, DateTime};
use crate::shape::{Field, Shape};

pub(super) fn write_json<E: Error>(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), E> {
    serde_json::to_writer(out, value).map_err(E::custom)
}

/// Writes the name of a member, after a comma if it is not the first one since `start`.
pub(super) fn write_name(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() > start {
        out.push(b',');
    }
    // The names of the standard need no escapes.
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// The fields of an object that were read. A field that occurs twice makes the response invalid, because the provider
/// and the hub could mean different ones.
#[derive(Default)]
pub(super) struct ReadFields(u128);

impl ReadFields {
    pub(super) fn insert<E: Error>(&mut self, index: usize) -> Result<(), E> {
        let bit = u32::try_from(index).ok().and_then(|index| 1_u128.checked_shl(index));
        match bit {
            Some(bit) if self.0 & bit == 0 => {
                self.0 |= bit;
                Ok(())
            }
            _ => Err(E::custom("a field is given twice")),
        }
    }
}

/// Maps the name of a member without allocating it.
pub(super) struct NameSeed<F>(pub(super) F);

impl<'de, K, F: FnOnce(&str) -> K> DeserializeSeed<'de> for NameSeed<F> {
    type Value = K;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<K, F: FnOnce(&str) -> K> Visitor<'_> for NameSeed<F> {
    type Value = K;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<K, E> {
        Ok((self.0)(name))
    }
}

/// Creates the seed that finds the index of a member in `fields`. Fields usually have the order of the standard, so the
/// search begins at `next`.
pub(super) fn field_index(fields: &[Field], next: usize) -> NameSeed<impl FnOnce(&str) -> Option<usize>> {
    NameSeed(move |name: &str| {
        let (before, after) = fields.split_at_checked(next).unwrap_or((fields, &[]));
        let find = |fields: &[Field]| fields.iter().position(|field| field.name == name);
        find(after).map(|index| index + before.len()).or_else(|| find(before))
    })
}

/// Copies a value. Returns false if it is left out.
pub(super) struct ValueSeed<'c> {
    pub(super) shape: &'static Shape,
    pub(super) out: &'c mut Vec<u8>,
    pub(super) dropped: &'c mut usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { shape, out, dropped } = self;
        match shape {
            Shape::Text => deserializer.deserialize_str(TextVisitor(out)),
            Shape::Boolean => write_json(out, &bool::deserialize(deserializer)?).map(|()| true),
            Shape::Integer => write_json(out, &i64::deserialize(deserializer)?).map(|()| true),
            Shape::Count => write_json(out, &u64::deserialize(deserializer)?).map(|()| true),
            Shape::Date => write_json(out, &Date::deserialize(deserializer)?).map(|()| true),
            Shape::DateTime => write_json(out, &DateTime::deserialize(deserializer)?).map(|()| true),
            Shape::Amount => {
                // `serde_json` would allocate each number twice: once to read it and once to write it.
                let text = <&RawValue>::deserialize(deserializer)?.get();
                let amount = parse_amount(text).ok_or_else(|| Error::custom("expected an amount"))?;
                write!(out, "{amount}").map_err(Error::custom).map(|()| true)
            }
            Shape::ErrorCode => match number_or_text(deserializer)? {
                None => Ok(false),
                Some(code) => write_json(out, &code).map(|()| true),
            },
            Shape::Omitted(shape) => {
                let start = out.len();
                ValueSeed { shape, out: &mut *out, dropped }.deserialize(deserializer)?;
                out.truncate(start);
                Ok(false)
            }
            Shape::List(shape) => deserializer.deserialize_seq(ListVisitor { shape, out, dropped }),
            Shape::Object(fields) => deserializer.deserialize_map(ObjectVisitor { fields, out, dropped }),
        }
    }
}

/// Parses an amount, which providers send as a number or as a text.
fn parse_amount(json: &str) -> Option<Decimal> {
    let parse = |text: &str| Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok();
    match json.as_bytes().first()? {
        b'"' => parse(&serde_json::from_str::<Cow<'_, str>>(json).ok()?),
        b'-' | b'0'..=b'9' => parse(json),
        _ => None,
    }
}

/// Copies the value of an optional field. Returns false if it is left out, as `null` is.
struct OptionalSeed<'c>(ValueSeed<'c>);

impl<'de> DeserializeSeed<'de> for OptionalSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OptionalSeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        self.0.deserialize(deserializer)
    }
}

struct TextVisitor<'c>(&'c mut Vec<u8>);

impl Visitor<'_> for TextVisitor<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        write_json(self.0, text).map(|()| true)
    }
}

struct ListVisitor<'c> {
    shape: &'static Shape,
    out: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let Self { shape, out, dropped } = self;
        out.push(b'[');
        let start = out.len();
        loop {
            let end = out.len();
            if end > start {
                out.push(b',');
            }
            let seed = ValueSeed { shape, out: &mut *out, dropped: &mut *dropped };
            if elements.next_element_seed(seed)?.is_none() {
                out.truncate(end);
                out.push(b']');
                return Ok(true);
            }
        }
    }
}

struct ObjectVisitor<'c> {
    fields: &'static [Field],
    out: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let Self { fields, out, dropped } = self;
        out.push(b'{');
        let start = out.len();
        let (mut read, mut next) = (ReadFields::default(), 0);
        while let Some(known) = members.next_key_seed(field_index(fields, next))? {
            let Some((index, field)) = known.and_then(|index| Some((index, fields.get(index)?))) else {
                members.next_value::<IgnoredAny>()?;
                *dropped += 1;
                continue;
            };
            read.insert(index)?;
            next = index + 1;
            copy_member(&mut members, field, start, out, dropped)?;
        }
        out.push(b'}');
        Ok(true)
    }
}

/// Copies a member with its name. Returns false if it is left out.
pub(super) fn copy_member<'de, A: MapAccess<'de>>(
    members: &mut A,
    field: &Field,
    start: usize,
    out: &mut Vec<u8>,
    dropped: &mut usize,
) -> Result<(), A::Error> {
    let end = out.len();
    write_name(out, start, field.name);
    let seed = OptionalSeed(ValueSeed { shape: field.shape, out: &mut *out, dropped });
    if !members.next_value_seed(seed)? {
        out.truncate(end);
    }
    Ok(())
}
