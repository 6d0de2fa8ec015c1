//! Finds the type of an account or transaction, in the form of FDX 5.x and of FDX 6.x.

use std::fmt::{self, Formatter};

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::members::{Members, MembersSeed, NameSeed, Slot, read_members};
use super::v6_names::{CATEGORY, COMMERCIAL_CATEGORIES, NEWER_TYPES, category_of_key};
use super::{Version, read_text};
use crate::shape::{Field, Shape};

/// An account or transaction of a known type, with the members of its content.
pub(crate) type KnownElement<'t> = (&'static Field, Members<'t>);

/// The reason why an element is not an account or transaction of a known type.
#[derive(Clone, Copy)]
pub(crate) enum ElementError<'t> {
    /// The hub does not serve the type. The text is that of the content.
    UnknownType(&'t str),
    /// The form of the other version of FDX.
    OtherVersion,
    /// No account or transaction.
    Unreadable,
}

/// Reads an account or transaction of one of these types. The text must be valid JSON.
pub(crate) fn read_element<'t>(
    types: &'static [Field],
    json: &'t str,
    version: Version,
) -> Result<KnownElement<'t>, ElementError<'t>> {
    if !json.starts_with('{') {
        return Err(ElementError::Unreadable);
    }
    match version {
        Version::V5 => read_wrapped_element(types, json),
        Version::V6 => read_flat_element(types, json),
    }
}

fn read_wrapped_element<'t>(
    types: &'static [Field],
    json: &'t str,
) -> Result<KnownElement<'t>, ElementError<'t>> {
    let element = serde_json::Deserializer::from_str(json).deserialize_map(WrapperVisitor { types });
    element.unwrap_or(Err(ElementError::Unreadable))
}

fn read_flat_element<'t>(
    types: &'static [Field],
    json: &'t str,
) -> Result<KnownElement<'t>, ElementError<'t>> {
    const HEAD: &[Field] = &[Field::new(CATEGORY, &Shape::Text)];
    let category = match read_members(json, HEAD, Version::V6).map(|head| head.slot(0)) {
        Some(Slot::Json(category)) => read_text(category),
        Some(Slot::Absent) => return read_element_without_category(types, json),
        _ => None,
    };
    let category = category.ok_or(ElementError::Unreadable)?;
    let kind = types.iter().find(|kind| category_of_key(kind.name) == Some(&*category));
    let kind = kind.ok_or(ElementError::UnknownType(json))?;
    let Shape::Object(fields) = kind.shape else { return Err(ElementError::Unreadable) };
    let mut members = read_members(json, fields, Version::V6).ok_or(ElementError::Unreadable)?;
    convert_members(&category, &mut members);
    Ok((kind, members))
}

fn read_element_without_category<'t>(
    types: &'static [Field],
    json: &'t str,
) -> Result<KnownElement<'t>, ElementError<'t>> {
    let is_wrapped = read_wrapped_element(types, json).is_ok();
    Err(if is_wrapped { ElementError::OtherVersion } else { ElementError::Unreadable })
}

/// Converts the members of an account or transaction in FDX 6.x to those of FDX 5.x.
fn convert_members(category: &str, members: &mut Members<'_>) {
    // FDX 5.2 has no transaction type for a card purchase.
    if category == "LOC_ACCOUNT" && members.find("transactionType") == Slot::Json(r#""PURCHASE""#) {
        members.set("transactionType", Slot::Absent);
    }
    let Slot::Json(kind) = members.find("accountType") else { return };
    let translate =
        |table: &[(&str, &'static str)]| table.iter().find(|(six, _)| kind == *six).map(|(_, five)| *five);
    if let Some(commercial) = translate(&COMMERCIAL_CATEGORIES).filter(|_| category == "COMMERCIAL_ACCOUNT") {
        members.set(CATEGORY, Slot::Json(commercial));
    }
    if let Some(older) = translate(&NEWER_TYPES) {
        // A FIRSTHOMESAVINGSACCOUNT is a deposit or an investment account, depending on the category.
        let is_deposit_plan = category == "DEPOSIT_ACCOUNT" && older == r#""OTHERINVESTMENT""#;
        members.set("accountType", Slot::Json(if is_deposit_plan { r#""SAVINGS""# } else { older }));
    }
}

/// Reads an element in an object whose only key names its type.
struct WrapperVisitor {
    types: &'static [Field],
}

enum WrapperName {
    Type(usize),
    Category,
    /// A name that cannot be that of a type.
    Field,
    Other,
}

/// Names of members that are not types of elements.
const NO_TYPES: [&str; 5] = ["accountId", "transactionId", "error", "code", "message"];

impl<'de> Visitor<'de> for WrapperVisitor {
    type Value = Result<KnownElement<'de>, ElementError<'de>>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose only key names the type of its content")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let find_name = |name: &str| match self.types.iter().position(|kind| kind.name == name) {
            Some(index) => WrapperName::Type(index),
            None if name == CATEGORY => WrapperName::Category,
            None if NO_TYPES.contains(&name) => WrapperName::Field,
            None => WrapperName::Other,
        };
        let (mut known, mut other, mut others, mut is_flat) = (None, None, 0, false);
        while let Some(name) = map.next_key_seed(NameSeed(find_name))? {
            match name {
                WrapperName::Type(index) => {
                    let kind = self.types.get(index).filter(|_| known.is_none());
                    let kind = kind.ok_or_else(|| Error::custom("an element has several types"))?;
                    let Shape::Object(fields) = kind.shape else { return Ok(Err(ElementError::Unreadable)) };
                    known = Some((kind, map.next_value_seed(MembersSeed { fields, version: Version::V5 })?));
                }
                WrapperName::Category => {
                    map.next_value::<IgnoredAny>()?;
                    is_flat = true;
                }
                WrapperName::Field => {
                    map.next_value::<IgnoredAny>()?;
                    others += 1;
                }
                WrapperName::Other => {
                    let value = map.next_value::<&RawValue>()?.get();
                    others += 1;
                    if value.starts_with('{') {
                        other = Some(value);
                    }
                }
            }
        }
        Ok(match (known, other) {
            (Some((kind, mut members)), _) => {
                members.unknown += others + usize::from(is_flat);
                Ok((kind, members))
            }
            _ if is_flat => Err(ElementError::OtherVersion),
            (None, Some(content)) => Err(ElementError::UnknownType(content)),
            (None, None) => Err(ElementError::Unreadable),
        })
    }
}
