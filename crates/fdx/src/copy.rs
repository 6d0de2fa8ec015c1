//! Copies responses of data providers in one pass, without building their values.
//!
//! The result is the same as if the response was parsed to the types of this crate, filtered and serialized: unknown
//! fields are dropped and counted, every value of a known field is validated, even if it is left out, and amounts keep
//! every digit. An item of a list is appended to the result only after the rules of the caller have accepted it.

mod value;

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::account::ACCOUNT_TYPES;
use crate::page::{PageLinks, PageMetadata};
use crate::parse::{ParseError, Parsed};
use crate::payment::PaymentNetwork;
use crate::shape::{Field, FieldGroup, Shape, Shaped};
use crate::transaction::TRANSACTION_TYPES;
use value::{NameSeed, ReadFields, ValueSeed, copy_member, field_index, write_json, write_name};

/// Copies an item of a list, or a single object.
pub trait CopyItem {
    /// Reads an item. Appends it to `out` and returns true if it is part of the result. Counts unknown fields in
    /// `dropped`.
    fn copy<'de, D: Deserializer<'de>>(
        &mut self,
        deserializer: D,
        out: &mut Vec<u8>,
        dropped: &mut usize,
    ) -> Result<bool, D::Error>;
}

/// The rules that decide which accounts or transactions are part of the result, and which of their fields.
pub trait ItemRules {
    /// The text of an account id.
    type ShownId: AsRef<str>;

    /// Returns the id by which the account of an item is shown; `None` if the item is left out. `id` is the account id
    /// that the provider sent, if any.
    fn shown_account_id(&mut self, id: Option<&str>) -> Option<Self::ShownId>;

    /// Returns the id by which the parent of an account is shown; `None` if it is left out.
    fn shown_parent_id(&mut self, id: &str) -> Option<Self::ShownId>;

    /// Returns whether the fields of a group are part of the result.
    fn keeps(&self, group: FieldGroup) -> bool;
}

/// The result of copying one page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CopiedPage {
    /// The position of the page in the provider's list.
    pub page: PageMetadata,
    /// The number of items that the page has at the provider.
    pub received: usize,
    /// The number of items that were copied.
    pub copied: usize,
}

/// Copies the items of the list `list` of a page to `out`, separated by commas. If `out` already contains items, those
/// of the page are appended.
pub fn copy_page(
    text: &[u8],
    list: &'static str,
    items: &mut impl CopyItem,
    out: &mut Vec<u8>,
) -> Result<Parsed<CopiedPage>, ParseError> {
    let mut dropped = 0;
    // Usually most of a response is copied.
    out.reserve(text.len());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let visitor = PageVisitor { list, items, out, dropped: &mut dropped };
    let value = deserializer.deserialize_map(visitor)?;
    // Text after the value makes the response invalid.
    deserializer.end()?;
    Ok(Parsed { value, dropped })
}

/// Copies a single object to `out`. The value is false if the rules leave it out.
pub fn copy_item(
    text: &[u8],
    item: &mut impl CopyItem,
    out: &mut Vec<u8>,
) -> Result<Parsed<bool>, ParseError> {
    let mut dropped = 0;
    out.reserve(text.len());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = item.copy(&mut deserializer, out, &mut dropped)?;
    deserializer.end()?;
    Ok(Parsed { value, dropped })
}

/// Copies accounts or transactions according to rules.
pub struct FilteredItem<R> {
    types: &'static [Field],
    rules: R,
    /// The fields of the current item. They are appended to the result when the item is accepted.
    fields: Vec<u8>,
}

impl<R: ItemRules> FilteredItem<R> {
    /// Creates a copier of accounts.
    pub const fn account(rules: R) -> Self {
        Self { types: ACCOUNT_TYPES, rules, fields: Vec::new() }
    }

    /// Creates a copier of transactions.
    pub const fn transaction(rules: R) -> Self {
        Self { types: TRANSACTION_TYPES, rules, fields: Vec::new() }
    }

    pub const fn rules(&self) -> &R {
        &self.rules
    }
}

impl<R: ItemRules> CopyItem for FilteredItem<R> {
    fn copy<'de, D: Deserializer<'de>>(
        &mut self,
        deserializer: D,
        out: &mut Vec<u8>,
        dropped: &mut usize,
    ) -> Result<bool, D::Error> {
        deserializer.deserialize_map(ItemVisitor { item: self, out, dropped })
    }
}

/// Copies items without leaving anything out but unknown fields.
pub struct UnchangedItem(&'static Shape);

impl UnchangedItem {
    /// Creates a copier of payment networks.
    pub const fn payment_network() -> Self {
        Self(PaymentNetwork::SHAPE)
    }
}

impl CopyItem for UnchangedItem {
    fn copy<'de, D: Deserializer<'de>>(
        &mut self,
        deserializer: D,
        out: &mut Vec<u8>,
        dropped: &mut usize,
    ) -> Result<bool, D::Error> {
        ValueSeed { shape: self.0, out, dropped }.deserialize(deserializer)
    }
}

/// Copies items that are parsed to a type and converted, because their conversion needs several fields together.
pub struct ConvertedItem<T, F> {
    convert: F,
    item: PhantomData<fn(T)>,
}

impl<T, F: FnMut(T) -> Option<T>> ConvertedItem<T, F> {
    /// Creates a copier of items. `convert` returns `None` for an item that is left out.
    pub const fn new(convert: F) -> Self {
        Self { convert, item: PhantomData }
    }
}

impl<T: DeserializeOwned + Serialize, F: FnMut(T) -> Option<T>> CopyItem for ConvertedItem<T, F> {
    fn copy<'de, D: Deserializer<'de>>(
        &mut self,
        deserializer: D,
        out: &mut Vec<u8>,
        dropped: &mut usize,
    ) -> Result<bool, D::Error> {
        let item = serde_ignored::deserialize(deserializer, |_| *dropped += 1)?;
        match (self.convert)(item) {
            None => Ok(false),
            Some(item) => write_json(out, &item).map(|()| true),
        }
    }
}

/// Copies an account or a transaction, which is in an object whose only key names its type.
struct ItemVisitor<'c, R> {
    item: &'c mut FilteredItem<R>,
    out: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

impl<'de, R: ItemRules> Visitor<'de> for ItemVisitor<'_, R> {
    type Value = bool;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose only key names the type of its content")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let Self { item: FilteredItem { types, rules, fields }, out, dropped } = self;
        let known = members.next_key_seed(field_index(types, 0))?.flatten();
        let kind = known.and_then(|index| types.get(index)).ok_or_else(|| Error::custom("unknown type"))?;
        let Shape::Object(known_fields) = kind.shape else { return Err(Error::custom("not an object")) };
        fields.clear();
        let shown_id = members.next_value_seed(ItemFieldsSeed { known_fields, rules, fields, dropped })?;
        if members.next_key::<IgnoredAny>()?.is_some() {
            return Err(Error::custom("an item has several types"));
        }
        // Nothing of the item is in `out` before this decision.
        let Some(shown_id) = shown_id else { return Ok(false) };
        out.push(b'{');
        write_name(out, out.len(), kind.name);
        out.extend_from_slice(b"{\"accountId\":");
        write_json(out, shown_id.as_ref())?;
        if !fields.is_empty() {
            out.push(b',');
            out.extend_from_slice(fields);
        }
        out.extend_from_slice(b"}}");
        Ok(true)
    }
}

/// Copies the fields of an account or transaction, except for its account id. Returns the id by which the account is
/// shown; `None` if the item is left out.
struct ItemFieldsSeed<'c, R> {
    known_fields: &'static [Field],
    rules: &'c mut R,
    fields: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

impl<'de, R: ItemRules> DeserializeSeed<'de> for ItemFieldsSeed<'_, R> {
    type Value = Option<R::ShownId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, R: ItemRules> Visitor<'de> for ItemFieldsSeed<'_, R> {
    type Value = Option<R::ShownId>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Self { known_fields, rules, fields, dropped } = self;
        let (mut read, mut next, mut decision) = (ReadFields::default(), 0, None);
        while let Some(known) = members.next_key_seed(field_index(known_fields, next))? {
            let Some((index, field)) = known.and_then(|index| Some((index, known_fields.get(index)?))) else {
                members.next_value::<IgnoredAny>()?;
                *dropped += 1;
                continue;
            };
            read.insert(index)?;
            next = index + 1;
            let end = fields.len();
            match field.group {
                FieldGroup::AccountId => {
                    decision =
                        Some(members.next_value_seed(IdSeed(|id: Option<&str>| rules.shown_account_id(id)))?);
                }
                FieldGroup::ParentAccountId => {
                    let seed = IdSeed(|id: Option<&str>| rules.shown_parent_id(id?));
                    if let Some(shown_id) = members.next_value_seed(seed)? {
                        write_name(fields, 0, field.name);
                        write_json(fields, shown_id.as_ref())?;
                    }
                }
                group => {
                    copy_member(&mut members, field, 0, fields, dropped)?;
                    // The value was read nevertheless: a response with an invalid value is rejected, whatever the
                    // consent covers.
                    if !rules.keeps(group) {
                        fields.truncate(end);
                    }
                }
            }
        }
        Ok(decision.unwrap_or_else(|| rules.shown_account_id(None)))
    }
}

/// Passes an optional text to a function.
struct IdSeed<F>(F);

impl<'de, T, F: FnOnce(Option<&str>) -> T> DeserializeSeed<'de> for IdSeed<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, T, F: FnOnce(Option<&str>) -> T> Visitor<'de> for IdSeed<F> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_none<E: Error>(self) -> Result<T, E> {
        Ok((self.0)(None))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok((self.0)(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(NameSeed(|id: &str| (self.0)(Some(id))))
    }
}

/// Copies the items of a page and reads its position.
struct PageVisitor<'c, I> {
    list: &'static str,
    items: &'c mut I,
    out: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

/// A member of a page.
#[derive(Clone, Copy)]
enum PageMember {
    Page,
    Links,
    Items,
}

impl<'de, I: CopyItem> Visitor<'de> for PageVisitor<'_, I> {
    type Value = CopiedPage;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a page of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<CopiedPage, A::Error> {
        let Self { list, items, out, dropped } = self;
        let member = |name: &str| match name {
            "page" => Some(PageMember::Page),
            "links" => Some(PageMember::Links),
            name if name == list => Some(PageMember::Items),
            _ => None,
        };
        let (mut copied, mut read, mut scratch) = (CopiedPage::default(), ReadFields::default(), Vec::new());
        while let Some(member) = members.next_key_seed(NameSeed(member))? {
            let Some(member) = member else {
                members.next_value::<IgnoredAny>()?;
                *dropped += 1;
                continue;
            };
            read.insert(member as usize)?;
            let (scratch, dropped) = (&mut scratch, &mut *dropped);
            match member {
                PageMember::Page => {
                    members.next_value_seed(ValueSeed {
                        shape: PageMetadata::SHAPE,
                        out: scratch,
                        dropped,
                    })?;
                    copied.page = serde_json::from_slice(scratch).map_err(Error::custom)?;
                }
                // The provider's links are validated, but not used.
                PageMember::Links => {
                    let shape = &Shape::Omitted(PageLinks::SHAPE);
                    members.next_value_seed(ValueSeed { shape, out: scratch, dropped })?;
                }
                PageMember::Items => {
                    let seed = ItemsSeed { items: &mut *items, out: &mut *out, dropped };
                    (copied.received, copied.copied) = members.next_value_seed(seed)?;
                }
            }
        }
        Ok(copied)
    }
}

/// Copies the items of a list. Returns the numbers of received and of copied items.
struct ItemsSeed<'c, I> {
    items: &'c mut I,
    out: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

impl<'de, I: CopyItem> DeserializeSeed<'de> for ItemsSeed<'_, I> {
    type Value = (usize, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(usize, usize), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, I: CopyItem> Visitor<'de> for ItemsSeed<'_, I> {
    type Value = (usize, usize);

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(usize, usize), A::Error> {
        let Self { items, out, dropped } = self;
        let (mut received, mut copied) = (0, 0);
        loop {
            let end = out.len();
            if end > 0 {
                out.push(b',');
            }
            let seed = ItemSeed { items: &mut *items, out: &mut *out, dropped: &mut *dropped };
            let Some(is_copied) = elements.next_element_seed(seed)? else {
                out.truncate(end);
                return Ok((received, copied));
            };
            received += 1;
            if is_copied {
                copied += 1;
            } else {
                out.truncate(end);
            }
        }
    }
}

struct ItemSeed<'c, I> {
    items: &'c mut I,
    out: &'c mut Vec<u8>,
    dropped: &'c mut usize,
}

impl<'de, I: CopyItem> DeserializeSeed<'de> for ItemSeed<'_, I> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        self.items.copy(deserializer, self.out, self.dropped)
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
