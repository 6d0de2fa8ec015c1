//! FDX 6.x, beside 5.x. The entities are the same; what differs is how they are written: elements are flat and
//! name their category instead of standing below the key of their kind, a security has a list of ids, and pages go
//! by keys. So each entity is described once, and rewritten on its way in and out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    Account, AccountContact, Accounts, Customer, ParseError, Parsed, PaymentNetworks, Statements,
    Transaction, Transactions,
};

/// How an entity is written in 6.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As in 5.x.
    Unchanged,
    /// A page of a list that stands under a name, of elements of a form.
    Page(&'static str, &'static Self),
    /// An account: flat, with `accountCategory`.
    Account,
    /// A transaction: flat, with `accountCategory`.
    Transaction,
}

/// What both versions have.
pub trait CrossVersion: Serialize + DeserializeOwned {
    /// How 6.x writes it.
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

/// The parameters of a query that have other names in 6.x: first as 5.x has it.
pub const PARAMETERS: [(&str, &str); 3] =
    [("offset", "pageKey"), ("startTime", "startDate"), ("endTime", "endDate")];

/// What a parameter of 5.x is called in 6.x.
pub fn v6_parameter_name(name: &str) -> &str {
    PARAMETERS.iter().find(|(five, _)| *five == name).map_or(name, |(_, six)| six)
}

/// Reads what a provider of 6.x wrote. Unknown fields are dropped and counted, and so are elements of a list for
/// which 5.x has no kind.
pub fn parse<T: CrossVersion>(text: &[u8]) -> Result<Parsed<T>, ParseError> {
    let mut dropped = 0;
    let value = wrap(T::FORM, serde_json::from_slice(text)?, &mut dropped).ok_or(UNKNOWN_KIND)?;
    let value = serde_ignored::deserialize(value, |_| dropped += 1)?;
    Ok(Parsed { value, dropped })
}

/// One account of a kind that 5.x does not have is no account.
const UNKNOWN_KIND: ParseError = ParseError { line: 0, column: 0 };

/// Writes what a provider of 6.x says.
pub fn write<T: CrossVersion>(value: &T) -> Result<Value, ParseError> {
    Ok(flatten(T::FORM, serde_json::to_value(value)?))
}

/// The categories: key of an account and of a transaction in 5.x, word in 6.x.
const CATEGORIES: [(&str, &str, &str); 7] = [
    ("depositAccount", "depositTransaction", "DEPOSIT_ACCOUNT"),
    ("locAccount", "locTransaction", "LOC_ACCOUNT"),
    ("loanAccount", "loanTransaction", "LOAN_ACCOUNT"),
    ("investmentAccount", "investmentTransaction", "INVESTMENT_ACCOUNT"),
    ("insuranceAccount", "insuranceTransaction", "INSURANCE_ACCOUNT"),
    ("annuityAccount", "", "ANNUITY_ACCOUNT"),
    ("commercialAccount", "commercialTransaction", "COMMERCIAL_ACCOUNT"),
];

/// The category that a commercial account has in 5.x, which has no word of its own for it.
const COMMERCIAL_CATEGORIES: [(&str, &str); 4] = [
    ("COMMERCIALDEPOSIT", "DEPOSIT_ACCOUNT"),
    ("COMMERCIALLOAN", "LOAN_ACCOUNT"),
    ("COMMERCIALLINEOFCREDIT", "LOC_ACCOUNT"),
    ("COMMERCIALINVESTMENT", "INVESTMENT_ACCOUNT"),
];

/// Types of accounts that came after 5.2, and the nearest before.
const NEWER_TYPES: [(&str, &str); 3] = [
    ("HIGHINTERESTSAVINGSACCOUNT", "SAVINGS"),
    ("FIRSTHOMESAVINGSACCOUNT", "OTHERINVESTMENT"),
    ("PREPAID", "OTHERDEPOSIT"),
];

/// The keys of a page: as 5.x has them, and as 6.x has them.
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
    let (account, transaction, word) = CATEGORIES.into_iter().find(|(.., word)| category == *word)?;
    rewrite_securities(&mut fields, flatten_security_ids);
    if form == Form::Transaction {
        // A purchase by card has no type in 5.2.
        if word == "LOC_ACCOUNT" && fields.get("transactionType").is_some_and(|kind| kind == "PURCHASE") {
            fields.remove("transactionType");
        }
        return Some(json!({ transaction: fields })).filter(|_| !transaction.is_empty());
    }
    let known = |words: &[(&str, &'static str)], kind: &Value| {
        words.iter().find(|(six, _)| kind == six).map(|(_, five)| Value::from(*five))
    };
    let kind = fields.get("accountType").cloned().unwrap_or_default();
    let commercial = known(&COMMERCIAL_CATEGORIES, &kind).filter(|_| word == "COMMERCIAL_ACCOUNT");
    fields.insert("accountCategory".into(), commercial.unwrap_or(category));
    if let Some(older) = known(&NEWER_TYPES, &kind) {
        let older =
            if word == "DEPOSIT_ACCOUNT" && older == "OTHERINVESTMENT" { "SAVINGS".into() } else { older };
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
            inner.insert("accountCategory".into(), category.map_or(Value::Null, |(.., word)| (*word).into()));
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

/// Rewrites an element, and what it holds, wherever a security is named.
fn rewrite_securities(fields: &mut Map<String, Value>, rewrite: fn(&mut Map<String, Value>)) {
    rewrite(fields);
    for list in ["holdings", "openOrders", "contribution"] {
        let items = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        items.filter_map(Value::as_object_mut).for_each(rewrite);
    }
}

/// `securityIds` to `securityId` and `securityIdType`: the first one.
fn flatten_security_ids(fields: &mut Map<String, Value>) {
    let Some(Value::Array(ids)) = fields.remove("securityIds") else { return };
    if let Some(Value::Object(mut first)) = ids.into_iter().next() {
        rename_key(&mut first, "id", "securityId");
        rename_key(&mut first, "idType", "securityIdType");
        fields.extend(first);
    }
}

/// `securityId` and `securityIdType` to `securityIds`.
fn expand_security_id(fields: &mut Map<String, Value>) {
    if let Some(id) = fields.remove("securityId") {
        let kind = fields.remove("securityIdType");
        let mut one = Map::from_iter([("id".to_owned(), id)]);
        one.extend(kind.map(|kind| ("idType".to_owned(), kind)));
        fields.insert("securityIds".into(), json!([one]));
    }
}

#[cfg(test)]
#[path = "v6_tests.rs"]
mod tests;
