//! The conversion between FDX 6.x and FDX 5.x.
//!
//! The entities are the same in both versions; only their form differs. In FDX 6.x an account or transaction is a flat
//! object with a category, whereas in FDX 5.x it is in an object whose only key names its type. A security has a list
//! of ids, and pages have keys instead of offsets. Each entity is therefore declared once, and converted when it is
//! read or written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::parse::parse_version;
use crate::read::{CATEGORIES, PAGE_KEYS, Version};
use crate::shape::Shaped;
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
pub trait CrossVersion: Serialize + DeserializeOwned + Shaped {
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

/// Parses a response of a provider with FDX 6.x, as [`crate::parse()`] does for FDX 5.x.
pub fn parse<T: CrossVersion>(text: &[u8]) -> Result<Parsed<T>, ParseError> {
    parse_version(text, Version::V6)
}

/// Converts an entity to the form of FDX 6.x.
pub fn write<T: CrossVersion>(value: &T) -> Result<Value, ParseError> {
    Ok(flatten(T::FORM, serde_json::to_value(value)?))
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
            // FDX 6.x defines check numbers as texts.
            let items = inner.get_mut("lineItem").and_then(Value::as_array_mut).into_iter().flatten();
            items.filter_map(Value::as_object_mut).for_each(write_check_number_as_text);
            write_check_number_as_text(&mut inner);
            return inner.into();
        }
    }
    fields.into()
}

fn write_check_number_as_text(fields: &mut Map<String, Value>) {
    if let Some(number) = fields.get_mut("checkNumber").filter(|number| number.is_number()) {
        *number = number.to_string().into();
    }
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
