//! The conversion between FDX 6.x and FDX 5.x.
//!
//! The entities are the same in both versions; only their form differs. In FDX 6.x an account or transaction is a flat
//! object with a category, whereas in FDX 5.x it is in an object whose only key names its type. A security has a list
//! of ids, and pages have keys instead of offsets. Each entity is therefore declared once, and converted when it is
//! read or written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    Account, AccountContact, Accounts, Customer, ParseError, Parsed, PaymentNetworks, Statements,
    Transaction, Transactions,
};

/// The way in which the form of an entity in FDX 6.x differs from that in FDX 5.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The same as in FDX 5.x.
    Unchanged,
    /// A page of a list, with the name of the list's field and the form of its elements.
    Page(&'static str, &'static Self),
    /// A flat account with `accountCategory`.
    Account,
    /// A flat transaction with `accountCategory`.
    Transaction,
}

/// An entity that exists in FDX 5.x and in FDX 6.x.
pub trait CrossVersion: Serialize + DeserializeOwned {
    /// The form of the entity in FDX 6.x.
    const FORM: Form;
}

macro_rules! impl_cross_version {
    ($($type:ty: $form:expr),+ $(,)?) => {$(
        impl CrossVersion for $type {
            const FORM: Form = $form;
        }
    )+};
}
impl_cross_version! {
    Account: Form::Account,
    Transaction: Form::Transaction,
    Accounts: Form::Page("accounts", &Form::Account),
    Transactions: Form::Page("transactions", &Form::Transaction),
    PaymentNetworks: Form::Page("paymentNetworks", &Form::Unchanged),
    Statements: Form::Page("statements", &Form::Unchanged),
    Customer: Form::Unchanged,
    AccountContact: Form::Unchanged,
}

/// The query parameters whose names differ between the versions, as pairs of the name in FDX 5.x and the name in FDX
/// 6.x.
pub const PARAMETERS: [(&str, &str); 3] =
    [("offset", "pageKey"), ("startTime", "startDate"), ("endTime", "endDate")];

/// Returns the name in FDX 6.x of a query parameter of FDX 5.x.
pub fn v6_parameter_name(name: &str) -> &str {
    PARAMETERS.iter().find(|(five, _)| *five == name).map_or(name, |(_, six)| six)
}

/// Parses a response of a provider with FDX 6.x. Unknown fields are dropped and counted, and so are elements of a list
/// that have no type in FDX 5.x.
pub fn parse<T: CrossVersion>(text: &[u8]) -> Result<Parsed<T>, ParseError> {
    let mut dropped = 0;
    let value = wrap(T::FORM, serde_json::from_slice(text)?, &mut dropped).ok_or(UNKNOWN_KIND)?;
    let value = serde_ignored::deserialize(value, |_| dropped += 1)?;
    Ok(Parsed { value, dropped })
}

/// Converts a response of a provider with FDX 6.x to the form of FDX 5.x. Elements of a list that have no type in FDX 5.x
/// are dropped and counted; unknown fields remain.
pub fn convert_to_v5(form: Form, text: &[u8]) -> Result<Parsed<Vec<u8>>, ParseError> {
    let mut dropped = 0;
    let value = wrap(form, serde_json::from_slice(text)?, &mut dropped).ok_or(UNKNOWN_KIND)?;
    Ok(Parsed { value: serde_json::to_vec(&value)?, dropped })
}

/// Error for a single account or transaction that has no type in FDX 5.x.
const UNKNOWN_KIND: ParseError = ParseError { line: 0, column: 0 };

/// Converts an entity to the form of FDX 6.x.
pub fn write<T: CrossVersion>(value: &T) -> Result<Value, ParseError> {
    Ok(flatten(T::FORM, serde_json::to_value(value)?))
}

/// For each category: the key of an account and the key of a transaction in FDX 5.x, and the category in FDX 6.x. The
/// key is empty if FDX 5.x has no such transaction.
const CATEGORIES: [(&str, &str, &str); 7] = [
    ("depositAccount", "depositTransaction", "DEPOSIT_ACCOUNT"),
    ("locAccount", "locTransaction", "LOC_ACCOUNT"),
    ("loanAccount", "loanTransaction", "LOAN_ACCOUNT"),
    ("investmentAccount", "investmentTransaction", "INVESTMENT_ACCOUNT"),
    ("insuranceAccount", "insuranceTransaction", "INSURANCE_ACCOUNT"),
    ("annuityAccount", "", "ANNUITY_ACCOUNT"),
    ("commercialAccount", "commercialTransaction", "COMMERCIAL_ACCOUNT"),
];

/// The account types of commercial accounts, and their category in FDX 5.x, which has no common category for commercial
/// accounts.
const COMMERCIAL_CATEGORIES: [(&str, &str); 4] = [
    ("COMMERCIALDEPOSIT", "DEPOSIT_ACCOUNT"),
    ("COMMERCIALLOAN", "LOAN_ACCOUNT"),
    ("COMMERCIALLINEOFCREDIT", "LOC_ACCOUNT"),
    ("COMMERCIALINVESTMENT", "INVESTMENT_ACCOUNT"),
];

/// Account types that were added after FDX 5.2, and the closest type of FDX 5.2.
const NEWER_TYPES: [(&str, &str); 3] = [
    ("HIGHINTERESTSAVINGSACCOUNT", "SAVINGS"),
    ("FIRSTHOMESAVINGSACCOUNT", "OTHERINVESTMENT"),
    ("PREPAID", "OTHERDEPOSIT"),
];

/// The fields of a page whose names differ, as pairs of the name in FDX 5.x and the name in FDX 6.x.
const PAGE_KEYS: [(&str, &str); 2] = [("nextOffset", "nextPageKey"), ("prevOffset", "previousPageKey")];

fn wrap(form: Form, value: Value, dropped: &mut usize) -> Option<Value> {
    let Value::Object(mut fields) = value else { return Some(value) };
    match form {
        Form::Unchanged => {}
        Form::Page(list, element) => {
            if let Some(Value::Object(page)) = fields.get_mut("page") {
                for (five, six) in PAGE_KEYS {
                    rename_key(page, six, five);
                }
            }
            if let Some(Value::Array(items)) = fields.get_mut(list) {
                let before = items.len();
                let read = std::mem::take(items).into_iter();
                items.extend(read.filter_map(|item| wrap(*element, item, dropped)));
                *dropped += before - items.len();
            }
        }
        Form::Account | Form::Transaction => return wrap_element(form, fields),
    }
    Some(fields.into())
}

fn wrap_element(form: Form, mut fields: Map<String, Value>) -> Option<Value> {
    let category = fields.remove("accountCategory")?;
    let (account, transaction, name) = CATEGORIES.into_iter().find(|(.., name)| category == *name)?;
    rewrite_securities(&mut fields, flatten_security_ids);
    if form == Form::Transaction {
        // FDX 5.2 has no transaction type for a card purchase.
        if name == "LOC_ACCOUNT" && fields.get("transactionType").is_some_and(|kind| kind == "PURCHASE") {
            fields.remove("transactionType");
        }
        // FDX 5.x has no transaction type for annuities.
        return Some(json!({ transaction: fields })).filter(|_| !transaction.is_empty());
    }
    let translate = |table: &[(&str, &'static str)], kind: &Value| {
        table.iter().find(|(six, _)| kind == six).map(|(_, five)| Value::from(*five))
    };
    let kind = fields.get("accountType").cloned().unwrap_or_default();
    let commercial = translate(&COMMERCIAL_CATEGORIES, &kind).filter(|_| name == "COMMERCIAL_ACCOUNT");
    fields.insert("accountCategory".into(), commercial.unwrap_or(category));
    if let Some(older) = translate(&NEWER_TYPES, &kind) {
        // A FIRSTHOMESAVINGSACCOUNT is a deposit or an investment account, depending on the category.
        let older =
            if name == "DEPOSIT_ACCOUNT" && older == "OTHERINVESTMENT" { "SAVINGS".into() } else { older };
        fields.insert("accountType".into(), older);
    }
    Some(json!({ account: fields }))
}

fn flatten(form: Form, value: Value) -> Value {
    let Value::Object(mut fields) = value else { return value };
    match form {
        Form::Unchanged => {}
        Form::Page(list, element) => {
            if let Some(Value::Object(page)) = fields.get_mut("page") {
                for (five, six) in PAGE_KEYS {
                    rename_key(page, five, six);
                }
            }
            if let Some(Value::Array(items)) = fields.get_mut(list) {
                let written = std::mem::take(items).into_iter();
                items.extend(written.map(|item| flatten(*element, item)));
            }
        }
        Form::Account | Form::Transaction => {
            let Some((key, Value::Object(mut inner))) = fields.into_iter().next() else { return Value::Null };
            let category =
                CATEGORIES.iter().find(|(account, transaction, _)| key == *account || key == *transaction);
            inner.insert("accountCategory".into(), category.map_or(Value::Null, |(.., name)| (*name).into()));
            rewrite_securities(&mut inner, expand_security_id);
            return inner.into();
        }
    }
    fields.into()
}

fn rename_key(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

/// Rewrites the security ids of an account or transaction, and of the entities in its lists, with `rewrite`.
fn rewrite_securities(fields: &mut Map<String, Value>, rewrite: fn(&mut Map<String, Value>)) {
    rewrite(fields);
    for list in ["holdings", "openOrders", "contribution"] {
        let items = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        items.filter_map(Value::as_object_mut).for_each(rewrite);
    }
}

/// Replaces `securityIds` with `securityId` and `securityIdType`, from the first id: FDX 5.x has only one.
fn flatten_security_ids(fields: &mut Map<String, Value>) {
    let Some(Value::Array(ids)) = fields.remove("securityIds") else { return };
    if let Some(Value::Object(mut first)) = ids.into_iter().next() {
        rename_key(&mut first, "id", "securityId");
        rename_key(&mut first, "idType", "securityIdType");
        fields.extend(first);
    }
}

/// Replaces `securityId` and `securityIdType` with `securityIds`.
fn expand_security_id(fields: &mut Map<String, Value>) {
    if let Some(id) = fields.remove("securityId") {
        let kind = fields.remove("securityIdType");
        let mut first = Map::from_iter([("id".to_owned(), id)]);
        first.extend(kind.map(|kind| ("idType".to_owned(), kind)));
        fields.insert("securityIds".into(), json!([first]));
    }
}

#[cfg(test)]
#[path = "v6_tests.rs"]
mod tests;
