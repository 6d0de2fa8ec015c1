//! Observes the forms in which a provider sends data: the version, the dates, and the members that are absent. An observation
//! contains names of the standard and numbers, but no values.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil;
use serde_json::{Map, Value};

use crate::read::Version;
use crate::replay::ReplayCall;

/// The maximum size of a response that is observed.
pub const MAX_OBSERVED_BYTES: usize = 1 << 20;
/// The maximum number of elements of a list that are observed.
const MAX_OBSERVED_ELEMENTS: usize = 100;

/// The form of a date or a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DateForm {
    /// `YYYY-MM-DD`.
    Date,
    /// A date-time with a time zone (RFC 3339).
    DateTime,
    /// A date-time without a time zone, which the hub reads as UTC.
    LocalDateTime,
    /// Another form, which the hub does not read.
    Other,
}

impl DateForm {
    /// Returns the name in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::DateTime => "date-time",
            Self::LocalDateTime => "date-time without zone",
            Self::Other => "other",
        }
    }

    fn from_value(value: &Value) -> Self {
        let Some(text) = value.as_str() else { return Self::Other };
        if text.parse::<jiff::Timestamp>().is_ok() {
            Self::DateTime
        } else if text.len() == 10 && text.parse::<civil::Date>().is_ok() {
            Self::Date
        } else if text.parse::<civil::DateTime>().is_ok() {
            Self::LocalDateTime
        } else {
            Self::Other
        }
    }
}

/// The members with dates that are observed.
const DATE_MEMBERS: [&str; 20] = [
    "balanceAsOf",
    "dateOfBirth",
    "dueDate",
    "interestRateAsOf",
    "lastActivityDate",
    "lastPaymentDate",
    "lastStmtDate",
    "maturityDate",
    "nextPaymentDate",
    "originalPurchaseDate",
    "originatingDate",
    "policyEndDate",
    "policyStartDate",
    "postedTimestamp",
    "securityMaturityDate",
    "settlementTimestamp",
    "statementDate",
    "transactionTimestamp",
    "expirationDate",
    "autoPayDate",
];

/// The forms of one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The version to which the form of accounts or transactions belongs, if the response contains any.
    pub version: Option<Version>,
    /// The number of observed elements; 1 for an object.
    pub elements: usize,
    /// True if the list has a further page.
    pub has_next_page: bool,
    /// The forms of dates, by the name of the member.
    pub dates: BTreeMap<&'static str, BTreeSet<DateForm>>,
    /// The number of elements without a member that recipients expect, by its name.
    pub absent: BTreeMap<&'static str, usize>,
}

/// Observes a response. Returns `None` if it is not a JSON object, or too large.
pub fn observe(call: ReplayCall, body: &[u8]) -> Option<Observation> {
    if body.len() > MAX_OBSERVED_BYTES {
        return None;
    }
    let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let mut observation = Observation::default();
    match list_name(call) {
        Some(list) => {
            let elements = body.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for element in elements.iter().take(MAX_OBSERVED_ELEMENTS).filter_map(Value::as_object) {
                observation.add_element(call, element);
            }
            let next = [("page", "nextOffset"), ("links", "next")];
            observation.has_next_page = next.into_iter().any(|(object, member)| {
                body.get(object).and_then(|object| object.get(member)).is_some_and(|next| !next.is_null())
            });
        }
        None => observation.add_element(call, &body),
    }
    Some(observation)
}

const fn list_name(call: ReplayCall) -> Option<&'static str> {
    match call {
        ReplayCall::Accounts => Some("accounts"),
        ReplayCall::Transactions => Some("transactions"),
        ReplayCall::PaymentNetworks => Some("paymentNetworks"),
        ReplayCall::Statements => Some("statements"),
        ReplayCall::Account | ReplayCall::Contact | ReplayCall::Customer => None,
    }
}

/// Returns the members that recipients expect in each element. FDX requires almost none.
const fn expected_members(call: ReplayCall) -> &'static [&'static str] {
    match call {
        ReplayCall::Accounts | ReplayCall::Account => &["accountId", "accountType", "status", "currency"],
        ReplayCall::Transactions => {
            &["transactionId", "transactionTimestamp", "description", "debitCreditMemo", "status", "amount"]
        }
        ReplayCall::PaymentNetworks => &["bankId", "identifier", "type"],
        ReplayCall::Statements => &["statementId", "statementDate", "links"],
        ReplayCall::Contact => &["holders", "emails", "addresses", "telephones"],
        ReplayCall::Customer => &["customerId", "name"],
    }
}

impl Observation {
    fn add_element(&mut self, call: ReplayCall, element: &Map<String, Value>) {
        self.elements += 1;
        let members = match call {
            ReplayCall::Accounts | ReplayCall::Account => self.unwrap_element(element, "Account"),
            ReplayCall::Transactions => self.unwrap_element(element, "Transaction"),
            _ => element,
        };
        for name in expected_members(call) {
            if members.get(*name).is_none_or(Value::is_null) {
                *self.absent.entry(name).or_default() += 1;
            }
        }
        self.add_dates(members);
    }

    /// Returns the members of an account or transaction, and notes its version: FDX 5 wraps the members in an object that names
    /// the type, and FDX 6 does not.
    fn unwrap_element<'e>(
        &mut self,
        element: &'e Map<String, Value>,
        suffix: &str,
    ) -> &'e Map<String, Value> {
        let wrapped = element.iter().find(|(name, value)| name.ends_with(suffix) && value.is_object());
        let (version, members) = match wrapped.and_then(|(_, value)| value.as_object()) {
            Some(members) => (Version::V5, members),
            None => (Version::V6, element),
        };
        self.version = self.version.or(Some(version));
        members
    }

    fn add_dates(&mut self, members: &Map<String, Value>) {
        for (name, value) in members {
            let known = DATE_MEMBERS.into_iter().find(|known| known == name);
            match (known, value) {
                (_, Value::Null) => {}
                (Some(name), value) => {
                    self.dates.entry(name).or_default().insert(DateForm::from_value(value));
                }
                (None, Value::Object(members)) => self.add_dates(members),
                (None, Value::Array(elements)) => {
                    for members in elements.iter().take(MAX_OBSERVED_ELEMENTS).filter_map(Value::as_object) {
                        self.add_dates(members);
                    }
                }
                (None, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_dates_and_absent_members_are_observed() {
        let body = br#"{"page":{"nextOffset":"2"},"transactions":[
            {"depositTransaction":{"transactionId":"secret-1","status":"POSTED","amount":1,"debitCreditMemo":"DEBIT",
                "transactionTimestamp":"2026-11-01","postedTimestamp":"2026-11-01T10:00:00Z","description":"Rent"}},
            {"depositTransaction":{"transactionId":"secret-2","status":"POSTED","debitCreditMemo":"DEBIT",
                "transactionTimestamp":"2026-11-01T10:00:00","postedTimestamp":"01/11/2026","mineDate":"x"}}]}"#;

        let seen = observe(ReplayCall::Transactions, body).unwrap();

        assert_eq!((seen.version, seen.elements, seen.has_next_page), (Some(Version::V5), 2, true));
        assert_eq!(seen.absent, BTreeMap::from([("amount", 1), ("description", 1)]));
        let dates = BTreeMap::from([
            ("transactionTimestamp", BTreeSet::from([DateForm::Date, DateForm::LocalDateTime])),
            ("postedTimestamp", BTreeSet::from([DateForm::DateTime, DateForm::Other])),
        ]);
        assert_eq!(seen.dates, dates);
        let text = format!("{seen:?}");
        assert!(!text.contains("secret") && !text.contains("mineDate") && !text.contains("2026"), "{text}");
    }

    #[test]
    fn date_forms_have_their_names_of_the_admin_api() {
        let forms = [DateForm::Date, DateForm::DateTime, DateForm::LocalDateTime, DateForm::Other];

        assert_eq!(forms.map(DateForm::as_str), ["date", "date-time", "date-time without zone", "other"]);
        assert_eq!(DateForm::from_value(&Value::from("2026-11-01")), DateForm::Date);
        assert_eq!(DateForm::from_value(&Value::from("2026-11-01T10:00:00")), DateForm::LocalDateTime);
    }

    #[test]
    fn flat_account_is_of_version_6() {
        let account = r#"{"accountId":"a","accountType":"LOAN","status":"OPEN","currency":null,"dueDate":7,
            "contact":{"name":"x"},"parentAccount":"y"}"#;

        let list =
            observe(ReplayCall::Accounts, format!(r#"{{"accounts":[{account}]}}"#).as_bytes()).unwrap();
        let single = observe(ReplayCall::Account, account.as_bytes()).unwrap();

        assert_eq!(list, single);
        assert_eq!(list.version, Some(Version::V6));
        assert_eq!(list.absent, BTreeMap::from([("currency", 1)]));
        assert_eq!(list.dates["dueDate"], BTreeSet::from([DateForm::Other]));
    }

    #[test]
    fn large_or_unreadable_response_is_not_observed() {
        assert_eq!(observe(ReplayCall::Accounts, b"[]"), None);
        let padded = |bytes: usize| [&b"{}"[..], &vec![b' '; bytes - 2]].concat();
        assert_eq!(observe(ReplayCall::Accounts, &padded(MAX_OBSERVED_BYTES + 1)), None);
        assert_eq!(observe(ReplayCall::Accounts, &padded(MAX_OBSERVED_BYTES)), Some(Observation::default()));
    }
}
