//! Finds the members of an object and the elements of a list, without reading their values.

use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Version;
use super::v6_names::{CATEGORY, v5_page_key};
use crate::shape::{Field, Shape};

/// The maximum number of fields of an entity. A test compares it with all entities.
pub(crate) const MAX_FIELDS: usize = 80;

/// The text of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot<'t> {
    /// The member is absent or null.
    Absent,
    /// The JSON text of the value.
    Json(&'t str),
    /// The member occurs more than once. The provider and the hub could mean different ones.
    Repeated,
}

/// The members of an object, by the index of their field.
pub(crate) struct Members<'t> {
    /// The known fields of the object.
    pub(crate) fields: &'static [Field],
    slots: [Slot<'t>; MAX_FIELDS],
    /// The number of members that are not among the fields.
    pub(crate) unknown: usize,
}

impl<'t> Members<'t> {
    pub(crate) fn slot(&self, index: usize) -> Slot<'t> {
        match self.slots.get(index) {
            Some(Slot::Json("null")) | None => Slot::Absent,
            Some(slot) => *slot,
        }
    }

    /// Returns the text of the field with this name.
    pub(crate) fn find(&self, name: &str) -> Slot<'t> {
        let index = self.fields.iter().position(|field| field.name == name);
        index.map_or(Slot::Absent, |index| self.slot(index))
    }

    pub(super) fn set(&mut self, name: &str, slot: Slot<'t>) {
        let index = self.fields.iter().position(|field| field.name == name);
        if let Some(place) = index.and_then(|index| self.slots.get_mut(index)) {
            *place = slot;
        }
    }
}

/// Returns the members of an object; `None` if the text is not an object. The text must be valid JSON.
pub(crate) fn read_members<'t>(
    json: &'t str,
    fields: &'static [Field],
    version: Version,
) -> Option<Members<'t>> {
    // Other values are recognized by their first byte, so that no error is created for them.
    let json = Some(json).filter(|json| json.starts_with('{'))?;
    MembersSeed { fields, version }.deserialize(&mut serde_json::Deserializer::from_str(json)).ok()
}

/// Reads the members of an object with these fields.
#[derive(Clone, Copy)]
pub(super) struct MembersSeed {
    pub(super) fields: &'static [Field],
    pub(super) version: Version,
}

impl<'de> DeserializeSeed<'de> for MembersSeed {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// The meaning of a member's name.
enum Name {
    Field(usize),
    SecurityIds,
    /// The member belongs to the form of the version, and not to the entity.
    Form,
    Unknown,
}

impl<'de> Visitor<'de> for MembersSeed {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { fields: self.fields, slots: [Slot::Absent; MAX_FIELDS], unknown: 0 };
        let (mut next, mut security_ids) = (0, None);
        while let Some(name) = map.next_key_seed(NameSeed(|name: &str| self.find_name(name, next)))? {
            match name {
                Name::Field(index) => {
                    next = index + 1;
                    let value = map.next_value::<&RawValue>()?.get();
                    let Some(slot) = members.slots.get_mut(index) else { continue };
                    *slot = if *slot == Slot::Absent { Slot::Json(value) } else { Slot::Repeated };
                }
                Name::SecurityIds => security_ids = Some(map.next_value::<&RawValue>()?.get()),
                Name::Form => drop(map.next_value::<IgnoredAny>()?),
                Name::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    members.unknown += 1;
                }
            }
        }
        if let Some(ids) = security_ids {
            flatten_security_ids(ids, &mut members);
        }
        Ok(members)
    }
}

impl MembersSeed {
    /// Finds the field with a name. Fields usually have the order of the standard, so the search begins at `next`.
    fn find_name(&self, name: &str, next: usize) -> Name {
        let (before, after) = self.fields.split_at_checked(next).unwrap_or((self.fields, &[]));
        let find = |fields: &[Field], name: &str| fields.iter().position(|field| field.name == name);
        let index = find(after, name).map(|index| index + before.len()).or_else(|| find(before, name));
        match index {
            Some(index) => Name::Field(index),
            None if self.version == Version::V6 => self.find_v6_name(name),
            None => Name::Unknown,
        }
    }

    fn find_v6_name(&self, name: &str) -> Name {
        let find = |name: &str| self.fields.iter().position(|field| field.name == name);
        match name {
            "securityIds" if find("securityId").is_some() => Name::SecurityIds,
            // A transaction has no such field in FDX 5.x, where its key names the type.
            CATEGORY if find("transactionId").is_some() => Name::Form,
            name => v5_page_key(name).and_then(find).map_or(Name::Unknown, Name::Field),
        }
    }
}

/// Replaces `securityIds` with `securityId` and `securityIdType`, from the first id: FDX 5.x has only one.
fn flatten_security_ids<'t>(ids: &'t str, members: &mut Members<'t>) {
    const ID: &[Field] = &[Field::new("id", &Shape::Text), Field::new("idType", &Shape::Text)];
    let mut first = None;
    for_each_element(ids, |index, element| {
        if index == 0 {
            first = read_members(element, ID, Version::V5);
        }
    });
    if let Some(first) = first {
        members.set("securityId", first.slot(0));
        members.set("securityIdType", first.slot(1));
    }
}

/// Maps a text, such as the name of a member, without allocating it.
pub(crate) struct NameSeed<F>(pub(crate) F);

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

/// Calls `act` with the index and the text of each element of a list. Returns false if the text is not a list. The text
/// must be valid JSON.
pub(crate) fn for_each_element<'t>(json: &'t str, act: impl FnMut(usize, &'t str)) -> bool {
    json.starts_with('[')
        && serde_json::Deserializer::from_str(json).deserialize_seq(ElementVisitor(act)).is_ok()
}

struct ElementVisitor<F>(F);

impl<'de, F: FnMut(usize, &'de str)> Visitor<'de> for ElementVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(element) = elements.next_element::<&RawValue>()? {
            (self.0)(index, element.get());
            index += 1;
        }
        Ok(())
    }
}
