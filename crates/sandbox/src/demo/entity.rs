//! Lesson 6 of the demo app's tutorial: FDX entities. An entity is wrapped in a key that names its kind, so one type
//! reads all seven kinds of accounts and all six kinds of transactions.

use std::collections::BTreeMap;

use fdx::{Amount, Date, DateTime, PageMetadata};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use crate::format::fold_for_search;
use crate::language::SandboxLanguage;

/// An account, a transaction or a holding.
#[derive(Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub(super) struct Entity {
    pub(super) kind: String,
    fields: Value,
}

/// The FDX entities on one page of a list, or the matching ones from several pages.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct EntityList {
    #[serde(alias = "accounts", alias = "transactions")]
    pub(super) items: Vec<Entity>,
    pub(super) page: PageMetadata,
    /// The number of entities that were checked for a match.
    #[serde(skip)]
    pub(super) examined: usize,
}

impl TryFrom<BTreeMap<String, Value>> for Entity {
    type Error = &'static str;

    fn try_from(wrapped: BTreeMap<String, Value>) -> Result<Self, Self::Error> {
        let (kind, fields) = wrapped.into_iter().next().unwrap_or_default();
        let is_account = SandboxLanguage::En.texts().find(&format!("demo-kind-{kind}")).is_some();
        if is_account || kind.ends_with("Transaction") {
            Ok(Self { kind, fields })
        } else {
            Err("the kind of the entity is unknown")
        }
    }
}

impl Entity {
    /// Returns a text field; empty if the field is missing.
    pub(super) fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    /// Returns the text fields that are not empty, without repetitions.
    pub(super) fn texts(&self, fields: &[&str]) -> Vec<&str> {
        let mut texts: Vec<_> = fields.iter().map(|field| self.text(field)).collect();
        texts.retain(|text| !text.is_empty());
        texts.dedup();
        texts
    }

    pub(super) fn amount(&self, field: &str) -> Option<Amount> {
        Amount::deserialize(&self.fields[field]).ok()
    }

    pub(super) fn date(&self, field: &str) -> Option<Date> {
        Date::deserialize(&self.fields[field]).ok()
    }

    /// Returns the last four characters of the account number.
    pub(super) fn short_number(&self) -> String {
        // Providers should send a masked number. The app does not rely on it and never shows more.
        let number = self.text("accountNumberDisplay").chars().filter(char::is_ascii_alphanumeric);
        let number: Vec<char> = number.collect();
        number[number.len().saturating_sub(4)..].iter().collect()
    }

    pub(super) fn currency(&self) -> &str {
        self.fields["currency"]["currencyCode"].as_str().unwrap_or("CAD")
    }

    pub(super) fn is_closed(&self) -> bool {
        self.text("status") == "CLOSED"
    }

    pub(super) fn holdings(&self) -> Vec<Self> {
        let holdings = self.fields["holdings"].as_array().into_iter().flatten();
        holdings.map(|fields| Self { kind: "holding".into(), fields: fields.clone() }).collect()
    }

    /// Returns the description of a transaction as the bank sent it.
    pub(super) fn description(&self) -> String {
        self.texts(&["description", "payee", "symbol", "memo"]).join(" · ")
    }

    /// Returns the day of a transaction in UTC, which the date filter of the hub uses too.
    pub(super) fn day(&self) -> Option<Date> {
        let time = |field: &str| DateTime::deserialize(&self.fields[field]).ok();
        let DateTime(at) = time("transactionTimestamp").or_else(|| time("postedTimestamp"))?;
        Some(Date(at.to_zoned(jiff::tz::TimeZone::UTC).date()))
    }

    /// Returns the amount of a transaction, negative for a debit.
    pub(super) fn signed_amount(&self) -> Amount {
        let amount = self.amount("amount").map_or(Decimal::ZERO, |Amount(amount)| amount);
        Amount(if self.text("debitCreditMemo") == "DEBIT" { -amount } else { amount })
    }

    pub(super) fn is_pending(&self) -> bool {
        self.text("status") == "PENDING"
    }

    /// Returns the amount that a transaction adds to the spending; `None` if it is no spending, such as a credit.
    pub(super) fn spending_amount(&self) -> Option<Decimal> {
        // Payments of loans and trades of securities are not spending, nor are transfers between own accounts. A
        // pending amount can still change.
        let spending_kinds = ["depositTransaction", "locTransaction", "commercialTransaction"];
        let is_counted = spending_kinds.contains(&&*self.kind)
            && !self.is_pending()
            && self.text("category") != "transfer";
        let Amount(amount) = self.signed_amount();
        (is_counted && amount < Decimal::ZERO).then_some(-amount)
    }

    /// Returns true if the description or the category contains every search word, ignoring case and accents.
    pub(super) fn matches_search(&self, language: SandboxLanguage, search: &str) -> bool {
        let category = self.text("category");
        let searched = format!("{} {category} {}", self.description(), category_name(language, category));
        let searched = fold_for_search(&searched);
        fold_for_search(search).split_whitespace().all(|word| searched.contains(word))
    }
}

/// Returns the name of a category; an unknown category is shown as the bank sent it.
pub(super) fn category_name(language: SandboxLanguage, category: &str) -> String {
    let key = format!("demo-category-{}", category.to_ascii_lowercase());
    language.texts().find(&key).unwrap_or_else(|| category.to_owned())
}
