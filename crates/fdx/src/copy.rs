//! Copies the accounts, transactions and other items of responses, without building their values.
//!
//! The values of known fields are copied from the provider's text to the result; amounts keep every digit. An item is
//! appended to the result only after the rules of the caller have accepted it.

mod page;

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::account::ACCOUNT_TYPES;
use crate::parse::{ParseError, read_document};
use crate::payment::PaymentNetwork;
use crate::read::{
    DropReason, DropReport, ElementError, FdxTime, Id, Members, Path, Reading, Slot, Step, Version,
    copy_fields, copy_value, is_unreadable, read_element, read_id, read_members, read_text, read_time,
    write_name,
};
use crate::shape::{Field, FieldGroup, Shape, Shaped};
use crate::statement::Statement;
use crate::transaction::TRANSACTION_TYPES;
pub use page::{CopiedPage, LinkDates, NextPage, PageParameter, PageWindow, copy_page};

/// Copies an item of a list, or a single object.
pub trait CopyItem {
    /// Reads an item, and appends it to `out` if it is part of the result. If it is not, `out` may contain a part of it.
    fn copy(&mut self, item: Item<'_, '_>, out: &mut Vec<u8>) -> Result<ItemOutcome, ParseError>;
}

/// An item of a response.
pub struct Item<'i, 'r> {
    json: &'i str,
    at: Path<'i>,
    reading: &'i mut Reading<'r>,
}

/// The result of copying an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    /// The item is part of the result.
    Copied,
    /// The rules exclude the item.
    Excluded,
    /// The item cannot be read.
    Unreadable {
        /// True if the rules are known to cover the item.
        is_covered: bool,
    },
    /// The item has a type that the hub does not serve.
    UnknownType {
        /// True if the rules are known to cover the item.
        is_covered: bool,
    },
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

    /// Returns whether a transaction of this time is part of the result.
    fn includes(&self, _time: FdxTime) -> bool {
        true
    }
}

/// Copies a single object to `out`. Returns false if the rules leave it out. What was left out of it is added to `report`.
pub fn copy_item(
    text: &[u8],
    version: Version,
    item: &mut impl CopyItem,
    out: &mut Vec<u8>,
    report: &mut DropReport,
) -> Result<bool, ParseError> {
    out.reserve(text.len());
    let json = read_document(text)?;
    let mut reading = Reading { version, report, keeps_internal_fields: false };
    match item.copy(Item { json, at: Path::ROOT, reading: &mut reading }, out)? {
        ItemOutcome::Copied => Ok(true),
        ItemOutcome::Excluded => Ok(false),
        ItemOutcome::Unreadable { .. } | ItemOutcome::UnknownType { .. } => Err(ParseError::WrongShape),
    }
}

/// Copies accounts or transactions according to rules.
pub struct FilteredItem<R> {
    types: &'static [Field],
    is_transaction: bool,
    rules: R,
}

impl<R: ItemRules> FilteredItem<R> {
    /// Creates a copier of accounts.
    pub const fn account(rules: R) -> Self {
        Self { types: ACCOUNT_TYPES, is_transaction: false, rules }
    }

    /// Creates a copier of transactions.
    pub const fn transaction(rules: R) -> Self {
        Self { types: TRANSACTION_TYPES, is_transaction: true, rules }
    }

    pub const fn rules(&self) -> &R {
        &self.rules
    }

    fn copy_known(
        &mut self,
        kind: &'static Field,
        members: &Members<'_>,
        item: Item<'_, '_>,
        out: &mut Vec<u8>,
    ) -> Result<ItemOutcome, ParseError> {
        let Item { at, reading, .. } = item;
        let at = at.then(Step::Name(kind.name));
        let Ok(id) = read_account_id(members.find(ACCOUNT_ID), &at, reading) else {
            return Ok(UNREADABLE);
        };
        // Only items that are covered are read further: nothing else about them is counted or reported.
        let Some(shown_id) = self.rules.shown_account_id(id.as_deref()) else {
            if id.is_some() {
                return Ok(ItemOutcome::Excluded);
            }
            reading.drop_field(&at.then(Step::Name(ACCOUNT_ID)), DropReason::Unreadable);
            return Ok(UNREADABLE);
        };
        if self.is_transaction {
            if has_unreadable_field(members, &at, reading) {
                return Ok(ItemOutcome::Unreadable { is_covered: true });
            }
            if find_time(members).is_some_and(|time| !self.rules.includes(time)) {
                return Ok(ItemOutcome::Excluded);
            }
        }
        out.push(b'{');
        write_name(out, out.len(), kind.name);
        out.push(b'{');
        let start = out.len();
        write_name(out, start, ACCOUNT_ID);
        serde_json::to_writer(&mut *out, shown_id.as_ref())?;
        if let Slot::Json(parent) = members.find(PARENT_ID)
            && let Some(shown) = read_text(parent).and_then(|id| self.rules.shown_parent_id(&id))
        {
            write_name(out, start, PARENT_ID);
            serde_json::to_writer(&mut *out, shown.as_ref())?;
        }
        let rules = &self.rules;
        copy_fields(members, &at, reading, out, start, |field| match field.group {
            FieldGroup::AccountId | FieldGroup::ParentAccountId => false,
            group => rules.keeps(group),
        });
        out.extend_from_slice(b"}}");
        Ok(ItemOutcome::Copied)
    }

    /// Returns whether the rules are known to cover an item of which only the account id is read.
    fn covers(&mut self, json: &str) -> bool {
        const ID: &[Field] = &[Field::new(ACCOUNT_ID, &Shape::Text)];
        let slot = read_members(json, ID, Version::V5).map_or(Slot::Absent, |members| members.slot(0));
        match slot {
            Slot::Absent => self.rules.shown_account_id(None).is_some(),
            Slot::Json(json) => match read_id(json) {
                Id::Readable(id) => self.rules.shown_account_id(Some(&id)).is_some(),
                Id::TooLong | Id::Unreadable => false,
            },
            Slot::Repeated => false,
        }
    }
}

const ACCOUNT_ID: &str = "accountId";
const PARENT_ID: &str = "parentAccountId";
const UNREADABLE: ItemOutcome = ItemOutcome::Unreadable { is_covered: false };

impl<R: ItemRules> CopyItem for FilteredItem<R> {
    fn copy(&mut self, item: Item<'_, '_>, out: &mut Vec<u8>) -> Result<ItemOutcome, ParseError> {
        match read_element(self.types, item.json, item.reading.version) {
            Ok((kind, members)) => self.copy_known(kind, &members, item, out),
            Err(ElementError::OtherVersion) => Err(ParseError::OtherVersion),
            Err(ElementError::UnknownType(content)) => {
                item.reading.drop_field(&item.at, DropReason::UnknownType);
                Ok(ItemOutcome::UnknownType { is_covered: self.covers(content) })
            }
            Err(ElementError::Unreadable) => {
                item.reading.drop_field(&item.at, DropReason::Unreadable);
                Ok(ItemOutcome::Unreadable { is_covered: self.covers(item.json) })
            }
        }
    }
}

/// The account id of an item cannot be read.
struct UnreadableId;

/// Reads the account id of an item; `None` if it has none. Reports an id that cannot be read.
fn read_account_id<'t>(
    slot: Slot<'t>,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
) -> Result<Option<Cow<'t, str>>, UnreadableId> {
    let reason = match slot {
        Slot::Absent => return Ok(None),
        Slot::Repeated => DropReason::Repeated,
        Slot::Json(json) => match read_id(json) {
            Id::Readable(id) => return Ok(Some(id)),
            Id::TooLong => DropReason::IdTooLong,
            Id::Unreadable => DropReason::Unreadable,
        },
    };
    reading.drop_field(&at.then(Step::Name(ACCOUNT_ID)), reason);
    Err(UnreadableId)
}

/// Returns whether a transaction has a field that must be readable if it is present, and is not. Reports the field.
fn has_unreadable_field(members: &Members<'_>, at: &Path<'_>, reading: &mut Reading<'_>) -> bool {
    // Without the sign or the amount, a transaction would be misunderstood.
    for name in ["transactionId", "amount", "debitCreditMemo"] {
        let reason = match members.find(name) {
            Slot::Json(json) if is_unreadable(name, json) => DropReason::Unreadable,
            Slot::Repeated => DropReason::Repeated,
            _ => continue,
        };
        reading.drop_field(&at.then(Step::Name(name)), reason);
        return true;
    }
    false
}

/// Returns the time of a transaction: when it was posted, or else when it occurred.
fn find_time(members: &Members<'_>) -> Option<FdxTime> {
    ["postedTimestamp", "transactionTimestamp"].iter().find_map(|name| match members.find(name) {
        Slot::Json(json) => read_time(json),
        Slot::Absent | Slot::Repeated => None,
    })
}

/// Copies items without leaving anything out but unknown and unreadable fields.
pub struct UnchangedItem(&'static Shape);

impl UnchangedItem {
    /// Creates a copier of payment networks.
    pub const fn payment_network() -> Self {
        Self(PaymentNetwork::SHAPE)
    }
}

impl CopyItem for UnchangedItem {
    fn copy(&mut self, item: Item<'_, '_>, out: &mut Vec<u8>) -> Result<ItemOutcome, ParseError> {
        let start = out.len();
        let is_copied = copy_value(self.0, item.json, &item.at, item.reading, out);
        if is_copied && out.get(start..) != Some(b"{}") {
            return Ok(ItemOutcome::Copied);
        }
        item.reading.drop_field(&item.at, DropReason::Unreadable);
        Ok(ItemOutcome::Unreadable { is_covered: true })
    }
}

/// Copies the statements of an account. They are parsed and converted, because their links need several fields together.
pub struct StatementItem<'a, F> {
    account_id: Option<&'a str>,
    convert: F,
}

impl<'a, F: FnMut(Statement) -> Option<Statement>> StatementItem<'a, F> {
    /// Creates a copier of the statements of an account; without its id, of any account. `convert` returns `None` for a
    /// statement that is left out.
    pub const fn new(account_id: Option<&'a str>, convert: F) -> Self {
        Self { account_id, convert }
    }
}

impl<F: FnMut(Statement) -> Option<Statement>> CopyItem for StatementItem<'_, F> {
    fn copy(&mut self, item: Item<'_, '_>, out: &mut Vec<u8>) -> Result<ItemOutcome, ParseError> {
        const IDS: &[Field] = &[Field::new(ACCOUNT_ID, &Shape::Text), Field::new(STATEMENT_ID, &Shape::Text)];
        const STATEMENT_ID: &str = "statementId";
        let Item { json, at, reading } = item;
        let Some(ids) = read_members(json, IDS, reading.version) else {
            reading.drop_field(&at, DropReason::Unreadable);
            return Ok(ItemOutcome::Unreadable { is_covered: true });
        };
        let Ok(account_id) = read_account_id(ids.slot(0), &at, reading) else { return Ok(UNREADABLE) };
        if account_id.is_some_and(|id| self.account_id.is_some_and(|account_id| account_id != id)) {
            return Ok(ItemOutcome::Excluded);
        }
        let reason = match ids.slot(1) {
            Slot::Json(id) => match read_id(id) {
                Id::Readable(_) => None,
                Id::TooLong => Some(DropReason::IdTooLong),
                Id::Unreadable => Some(DropReason::Unreadable),
            },
            // A recipient could not request the document of a statement without an id.
            Slot::Absent => Some(DropReason::Unreadable),
            Slot::Repeated => Some(DropReason::Repeated),
        };
        if let Some(reason) = reason {
            reading.drop_field(&at.then(Step::Name(STATEMENT_ID)), reason);
            return Ok(ItemOutcome::Unreadable { is_covered: true });
        }
        let statement = parse_copy(json, &at, reading).ok_or(ParseError::WrongShape)?;
        match (self.convert)(statement) {
            None => Ok(ItemOutcome::Excluded),
            Some(statement) => {
                serde_json::to_writer(out, &statement)?;
                Ok(ItemOutcome::Copied)
            }
        }
    }
}

fn parse_copy<T: DeserializeOwned + Serialize + Shaped>(
    json: &str,
    at: &Path<'_>,
    reading: &mut Reading<'_>,
) -> Option<T> {
    let mut normal = Vec::with_capacity(json.len());
    let is_copied = copy_value(T::SHAPE, json, at, reading, &mut normal);
    // The copy contains only values that the type accepts.
    serde_json::from_slice(&normal).ok().filter(|_| is_copied)
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
