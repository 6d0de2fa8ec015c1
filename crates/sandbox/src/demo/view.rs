//! Lesson 6 of the demo app's tutorial, after `entity`: the functions with which templates show accounts and
//! transactions.

use super::entity::{Entity, EntityList, category_name};
use super::page::DemoPageFrame;

/// The account fields that the demo shows, the main balance first. A field is shown only for those kinds of account for
/// which the texts contain a label.
const ACCOUNT_FACT_FIELDS: &str = "currentBalance currentValue principalBalance policyCoverageAmount surrenderValue \
    currentLedgerBalance availableBalance availableCredit availableCashBalance currentAvailableBalance \
    creditLine minimumPaymentAmount paymentAmount policyPremium nextPaymentAmount originalPrincipal interestRate \
    nextPaymentDate maturityDate policyEndDate";

/// The functions that the HTML templates call to show accounts and transactions.
impl DemoPageFrame {
    pub(super) fn account_name(&self, account: &Entity) -> String {
        let name = account.texts(&["nickname", "productName"]).first().map(|name| (*name).to_owned());
        name.unwrap_or_else(|| self.account_kind(account))
    }

    pub(super) fn account_kind(&self, account: &Entity) -> String {
        self.t(&format!("demo-kind-{}", account.kind))
    }

    /// Returns the fields of an account that the page shows, as pairs of label and value.
    pub(super) fn account_facts(&self, account: &Entity) -> Vec<(String, String)> {
        let label = |field: &str| self.language.texts().find(&format!("demo-fact-{}-{field}", account.kind));
        let fact = |field| Some((label(field)?, self.format_field(account, field, account.currency())));
        let facts = ACCOUNT_FACT_FIELDS.split_whitespace().filter_map(fact);
        facts.filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Formats a field of an account or transaction as a date, a rate, a number of units or money; empty if the field
    /// is missing.
    pub(super) fn format_field(&self, entity: &Entity, field: &str, currency: &str) -> String {
        match (field, entity.amount(field)) {
            (_, None) => entity.date(field).map(|day| self.language.format_day(day)).unwrap_or_default(),
            ("interestRate", Some(rate)) => self.language.format_rate(rate),
            ("units", Some(units)) => self.language.format_number(units),
            (_, Some(amount)) => self.language.format_money(amount, currency),
        }
    }

    pub(super) fn transaction_category(&self, transaction: &Entity) -> String {
        category_name(self.language, transaction.text("category"))
    }

    pub(super) fn transaction_day(&self, transaction: &Entity) -> String {
        transaction.day().map(|day| self.language.format_day(day)).unwrap_or_default()
    }

    /// Returns a sentence that states how many transactions match the search.
    pub(super) fn match_count(&self, matches: &EntityList) -> String {
        let (found, examined) = (matches.items.len().to_string(), matches.examined.to_string());
        self.language.texts().format("demo-found", &[("found", &found), ("examined", &examined)])
    }
}
