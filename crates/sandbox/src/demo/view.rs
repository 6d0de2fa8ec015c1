//! Lesson 6: FDX in the words of a reader. An entity stands below a key that names its kind; seven kinds of
//! account and six kinds of transaction are read in one way each.

use std::collections::BTreeMap;

use fdx::{Amount, Date, DateTime};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::pages::Frame;
use crate::format::fold_for_search;
use crate::text::SandboxLanguage;

/// The fields worth showing of an account, the main balance first. Those of its kind have a name in the texts.
const ACCOUNT_FACT_FIELDS: &str = "currentBalance currentValue principalBalance policyCoverageAmount surrenderValue \
    currentLedgerBalance availableBalance availableCredit availableCashBalance currentAvailableBalance \
    creditLine minimumPaymentAmount paymentAmount policyPremium nextPaymentAmount originalPrincipal interestRate \
    nextPaymentDate maturityDate policyEndDate";

/// An account, a transaction or a holding.
#[derive(Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub(super) struct Entity {
    pub(super) kind: String,
    fields: Value,
}

impl TryFrom<BTreeMap<String, Value>> for Entity {
    type Error = &'static str;

    fn try_from(wrapped: BTreeMap<String, Value>) -> Result<Self, Self::Error> {
        let (kind, fields) = wrapped.into_iter().next().unwrap_or_default();
        let known =
            kind.ends_with("Transaction") || SandboxLanguage::En.find(&format!("demo-kind-{kind}")).is_some();
        if known { Ok(Self { kind, fields }) } else { Err("an unknown kind") }
    }
}

impl Entity {
    /// A text, empty if there is none.
    pub(super) fn word(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    /// The texts of some fields, each once.
    pub(super) fn words(&self, fields: &[&str]) -> Vec<&str> {
        let mut words: Vec<_> = fields.iter().map(|field| self.word(field)).collect();
        words.retain(|word| !word.is_empty());
        words.dedup();
        words
    }

    fn amount(&self, field: &str) -> Option<Amount> {
        Amount::deserialize(&self.fields[field]).ok()
    }

    /// The last four characters of an account's number, whatever a provider sends.
    pub(super) fn number(&self) -> String {
        let shown = self.word("accountNumberDisplay").chars().filter(char::is_ascii_alphanumeric);
        let known: Vec<char> = shown.collect();
        known[known.len().saturating_sub(4)..].iter().collect()
    }

    pub(super) fn currency(&self) -> &str {
        self.fields["currency"]["currencyCode"].as_str().unwrap_or("CAD")
    }

    pub(super) fn holdings(&self) -> Vec<Self> {
        let holdings = self.fields["holdings"].as_array().into_iter().flatten();
        holdings.map(|fields| Self { kind: "holding".into(), fields: fields.clone() }).collect()
    }

    /// What a transaction was.
    pub(super) fn what(&self) -> String {
        self.words(&["description", "payee", "symbol", "memo"]).join(" · ")
    }

    /// The day of a transaction, as the hub counts days.
    pub(super) fn day(&self) -> Option<Date> {
        let time = |field: &str| DateTime::deserialize(&self.fields[field]).ok();
        let DateTime(at) = time("transactionTimestamp").or_else(|| time("postedTimestamp"))?;
        Some(Date(at.to_zoned(jiff::tz::TimeZone::UTC).date()))
    }

    /// The amount of a transaction: what goes out is negative.
    pub(super) fn signed(&self) -> Amount {
        let amount = self.amount("amount").map_or(Decimal::ZERO, |Amount(amount)| amount);
        Amount(if self.word("debitCreditMemo") == "DEBIT" { -amount } else { amount })
    }

    pub(super) fn pending(&self) -> bool {
        self.word("status") == "PENDING"
    }

    /// What went out and is booked, of an account that one spends from. Moving money between one's own accounts
    /// is not spending.
    pub(super) fn spending_amount(&self) -> Option<Decimal> {
        let everyday = ["depositTransaction", "locTransaction", "commercialTransaction"];
        let counts =
            everyday.contains(&&*self.kind) && !self.pending() && self.word("category") != "transfer";
        let Amount(amount) = self.signed();
        (counts && amount < Decimal::ZERO).then_some(-amount)
    }

    /// Whether every word of a search stands in it, whatever the case and the accents.
    pub(super) fn matches_search(&self, text: SandboxLanguage, search: &str) -> bool {
        let category = self.word("category");
        let whole = fold_for_search(&format!("{} {category} {}", self.what(), category_name(text, category)));
        fold_for_search(search).split_whitespace().all(|word| whole.contains(word))
    }
}

/// A category in the reader's language, where it is a word that we know.
pub(super) fn category_name(text: SandboxLanguage, word: &str) -> String {
    text.find(&format!("demo-category-{}", word.to_ascii_lowercase())).unwrap_or_else(|| word.to_owned())
}

/// What the templates show of them.
impl Frame {
    pub(super) fn name(&self, account: &Entity) -> String {
        let name = account.words(&["nickname", "productName"]).first().map(|name| (*name).to_owned());
        name.unwrap_or_else(|| self.kind(account))
    }

    pub(super) fn kind(&self, account: &Entity) -> String {
        self.text.t(&format!("demo-kind-{}", account.kind))
    }

    /// What is worth knowing: its name and its value.
    pub(super) fn facts(&self, account: &Entity) -> Vec<(String, String)> {
        let name = |field: &str| self.text.find(&format!("demo-fact-{}-{field}", account.kind));
        let fact = |field| Some((name(field)?, self.fact(account, field, account.currency())));
        let facts = ACCOUNT_FACT_FIELDS.split_whitespace().filter_map(fact);
        facts.filter(|(_, fact)| !fact.is_empty()).collect()
    }

    /// A field, empty if it is not there: a day, a rate, a number of units, or money.
    pub(super) fn fact(&self, entity: &Entity, field: &str, currency: &str) -> String {
        let day = Date::deserialize(&entity.fields[field]).map(|day| self.text.format_day(day));
        match (field, entity.amount(field)) {
            (_, None) => day.unwrap_or_default(),
            ("interestRate", Some(rate)) => self.text.format_rate(rate),
            ("units", Some(units)) => self.text.format_number(units),
            (_, Some(amount)) => self.text.money(amount, currency),
        }
    }

    pub(super) fn category(&self, transaction: &Entity) -> String {
        category_name(self.text, transaction.word("category"))
    }

    pub(super) fn day(&self, transaction: &Entity) -> String {
        transaction.day().map(|day| self.text.format_day(day)).unwrap_or_default()
    }
}
