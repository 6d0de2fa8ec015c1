//! Shows how a saved response of a provider is read.

use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::copy::{
    CopyItem, FilteredItem, ItemRules, NextPage, PageWindow, StatementItem, UnchangedItem, copy_item,
    copy_page,
};
use crate::parse::{ParseError, parse_object};
use crate::read::{DropReport, Version};
use crate::shape::FieldGroup;
use crate::{AccountContact, Customer};

/// A call of the FDX API whose response can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayCall {
    /// `GET /accounts`.
    Accounts,
    /// `GET /accounts/{accountId}`.
    Account,
    /// `GET /accounts/{accountId}/transactions`.
    Transactions,
    /// `GET /accounts/{accountId}/payment-networks`.
    PaymentNetworks,
    /// `GET /accounts/{accountId}/statements`.
    Statements,
    /// `GET /accounts/{accountId}/contact`.
    Contact,
    /// `GET /customers/current`.
    Customer,
}

impl ReplayCall {
    /// Every call, with its name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("accounts", Self::Accounts),
        ("account", Self::Account),
        ("transactions", Self::Transactions),
        ("payment-networks", Self::PaymentNetworks),
        ("statements", Self::Statements),
        ("contact", Self::Contact),
        ("customer", Self::Customer),
    ];
}

impl ReplayCall {
    /// Returns the call that reads a path below the base URL of the FDX API.
    pub fn from_path(path: &[&str]) -> Option<Self> {
        match path {
            ["accounts"] => Some(Self::Accounts),
            ["accounts", _] => Some(Self::Account),
            ["accounts", _, "transactions"] => Some(Self::Transactions),
            ["accounts", _, "payment-networks"] => Some(Self::PaymentNetworks),
            ["accounts", _, "statements"] => Some(Self::Statements),
            ["accounts", _, "contact"] => Some(Self::Contact),
            ["customers", "current"] => Some(Self::Customer),
            _ => None,
        }
    }

    /// Returns the name of the call.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, call)| *call == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for ReplayCall {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, call)| call).ok_or(())
    }
}

/// The result of reading a saved response.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The items of the list, or the object, in the form in which the hub serves them.
    pub served: Value,
    /// The number of items that were left out because they cannot be read or served.
    pub omitted: usize,
    /// The number of items of the list, if the provider sent it.
    pub total: Option<u64>,
    /// The position of the next page.
    pub next: Option<NextPage>,
    /// Everything that was left out.
    pub report: DropReport,
}

/// Reads a response as the hub does, without the consent of a connection: all ids are shown as they are.
pub fn replay(call: ReplayCall, version: Version, body: &[u8]) -> Result<Replay, ParseError> {
    let mut accounts = FilteredItem::account(ShowEverything { id_if_absent: None });
    let requested = ShowEverything { id_if_absent: Some("requested") };
    match call {
        ReplayCall::Accounts => replay_page("accounts", version, body, &mut accounts),
        ReplayCall::Transactions => {
            replay_page("transactions", version, body, &mut FilteredItem::transaction(requested))
        }
        ReplayCall::PaymentNetworks => {
            replay_page("paymentNetworks", version, body, &mut UnchangedItem::payment_network())
        }
        ReplayCall::Statements => {
            replay_page("statements", version, body, &mut StatementItem::new(None, Some))
        }
        ReplayCall::Account => {
            let (mut out, mut report) = (Vec::new(), DropReport::default());
            copy_item(body, version, &mut accounts, &mut out, &mut report)?;
            Ok(Replay::from_object(&serde_json::from_slice::<Value>(&out)?, report))
        }
        ReplayCall::Contact => replay_object::<AccountContact>(version, body),
        ReplayCall::Customer => replay_object::<Customer>(version, body),
    }
}

fn replay_page(
    list: &'static str,
    version: Version,
    body: &[u8],
    items: &mut impl CopyItem,
) -> Result<Replay, ParseError> {
    let (mut out, mut report) = (vec![], DropReport::default());
    let window = PageWindow { list, skip: 0, limit: usize::MAX };
    let page = copy_page(body, version, window, items, &mut out, &mut report)?;
    let served = serde_json::from_slice(&[b"[", &*out, b"]"].concat())?;
    let total = page.total.filter(|_| page.left_out == 0);
    Ok(Replay { served, omitted: page.omitted, total, next: page.next, report })
}

fn replay_object<T: serde::de::DeserializeOwned + Serialize + crate::shape::Shaped>(
    version: Version,
    body: &[u8],
) -> Result<Replay, ParseError> {
    let mut report = DropReport::default();
    let value = parse_object::<T>(body, version, &mut report)?;
    Ok(Replay::from_object(&value, report))
}

impl Replay {
    fn from_object(value: &impl Serialize, report: DropReport) -> Self {
        let served = serde_json::to_value(value).unwrap_or_default();
        Self { served, omitted: 0, total: None, next: None, report }
    }
}

/// Rules that show every item that has an account id.
struct ShowEverything {
    /// The id of an item without one. Transactions belong to the requested account.
    id_if_absent: Option<&'static str>,
}

impl ItemRules for ShowEverything {
    type ShownId = String;

    fn shown_account_id(&mut self, id: Option<&str>) -> Option<String> {
        id.or(self.id_if_absent).map(str::to_owned)
    }

    fn shown_parent_id(&mut self, id: &str) -> Option<String> {
        Some(id.to_owned())
    }

    fn keeps(&self, _: FieldGroup) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_found_by_its_path_and_by_its_name() {
        let paths: [(&[&str], &str); 7] = [
            (&["accounts"], "accounts"),
            (&["accounts", "a-1"], "account"),
            (&["accounts", "a-1", "transactions"], "transactions"),
            (&["accounts", "a-1", "payment-networks"], "payment-networks"),
            (&["accounts", "a-1", "statements"], "statements"),
            (&["accounts", "a-1", "contact"], "contact"),
            (&["customers", "current"], "customer"),
        ];

        for (path, name) in paths {
            let call = ReplayCall::from_path(path).unwrap();
            assert_eq!(call.name(), name);
            assert_eq!(name.parse(), Ok(call));
        }
        assert_eq!(ReplayCall::from_path(&["accounts", "a-1", "other"]), None);
        assert_eq!("other".parse::<ReplayCall>(), Err(()));
    }
}
