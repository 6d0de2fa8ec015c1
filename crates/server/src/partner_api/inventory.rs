//! The inventory of FDX fields that a provider can deliver. It is derived from sample values of the FDX types, to which
//! the same consent filter is applied as to responses. The inventory therefore cannot differ from the responses.

use std::collections::BTreeSet;

use domain::Clusters;
use domain::model::provider::ProviderSettings;
use domain::scope::DataOperation;
use fdx::sample::complete_values;
use fdx::{
    Account, Customer, DropReport, FilteredItem, HateoasLink, PageLinks, PageMetadata, PaymentNetwork,
    PaymentNetworks, Transaction, Transactions, Version,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::fdx_api::{AccountRules, filter_customer};

/// The FDX fields that a provider can deliver, as dotted paths, for each operation that reads them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Inventory {
    account: BTreeSet<String>,
    customers: BTreeSet<String>,
    detailed_accounts: BTreeSet<String>,
    lightweight_accounts: BTreeSet<String>,
    payments: BTreeSet<String>,
    transactions: BTreeSet<String>,
}

/// Returns the fields that a provider with these settings can deliver.
pub(super) fn build_inventory(settings: &ProviderSettings) -> Inventory {
    let clusters = settings.clusters();
    let has = |operation: DataOperation| operation.is_allowed_by(clusters);
    let mut inventory = Inventory::default();
    if has(DataOperation::CurrentCustomer) {
        for sample in complete_values::<Customer>() {
            add_paths(&mut inventory.customers, &filter_customer(clusters, "", sample));
        }
    }
    for account in complete_values::<Account>().iter().filter(|account| offers_account(settings, *account)) {
        let copy = |details| copy_account(clusters, details, account);
        if has(DataOperation::Account) {
            add_paths(&mut inventory.account, &copy(true));
        }
        if has(DataOperation::AccountListDetailed) {
            add_paths(&mut inventory.detailed_accounts, &single_account_page(&copy(true)));
        }
        if has(DataOperation::AccountList) {
            add_paths(&mut inventory.lightweight_accounts, &single_account_page(&copy(false)));
        }
    }
    if has(DataOperation::PaymentNetworks) {
        let (page, links) = sample_paging();
        let networks = PaymentNetworks { page, links, payment_networks: complete_values::<PaymentNetwork>() };
        add_paths(&mut inventory.payments, &networks);
    }
    if has(DataOperation::Transactions) {
        let (page, links) = sample_paging();
        add_paths(
            &mut inventory.transactions,
            &Transactions { page, links, transactions: complete_values::<Transaction>() },
        );
    }
    inventory
}

fn offers_account(settings: &ProviderSettings, account: &impl Serialize) -> bool {
    let value = serde_json::to_value(account).unwrap_or_default();
    let key = value.as_object().and_then(|object| object.keys().next());
    key.and_then(|key| key.parse().ok()).is_some_and(|kind| settings.has_account_type(kind))
}

/// Copies a sample account by the rules by which the accounts of responses are copied.
fn copy_account(clusters: Clusters, details: bool, account: &Account) -> Value {
    let show = |id: &str| Some(id.to_owned());
    let rules = AccountRules { clusters, details, show_account: &show, show_parent: &show };
    let (sample, mut copied) = (serde_json::to_vec(account).unwrap_or_default(), Vec::new());
    // Copying a sample cannot fail. If it did, its fields would be missing in the inventory, which the tests notice.
    let mut report = DropReport::default();
    let mut item = FilteredItem::account(rules);
    let _ = fdx::copy_item(&sample, Version::V5, &mut item, &mut copied, &mut report);
    serde_json::from_slice(&copied).unwrap_or_default()
}

fn single_account_page(account: &Value) -> Value {
    let (page, links) = sample_paging();
    json!({"page": page, "links": links, "accounts": [account]})
}

/// Returns the paging members of a page that is not the last one, so that they contain every field.
fn sample_paging() -> (PageMetadata, PageLinks) {
    let text = || Some(String::new());
    let next = HateoasLink { href: text(), action: text(), description: text(), ..HateoasLink::default() };
    let page = PageMetadata { next_offset: text(), total_elements: Some(1), ..PageMetadata::default() };
    (page, PageLinks { next: Some(next), prev: None })
}

fn add_paths(paths: &mut BTreeSet<String>, value: &impl Serialize) {
    collect_paths("", &serde_json::to_value(value).unwrap_or_default(), paths);
}

fn collect_paths(at: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                collect_paths(&path, value, paths);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_paths(at, item, paths)),
        _ => drop(paths.insert(at.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inventory_for(scopes: &[&str], kinds: &[&str]) -> Inventory {
        let scopes: serde_json::Map<String, Value> =
            scopes.iter().map(|word| ((*word).to_owned(), json!(word))).collect();
        let settings = json!({
            "name": "Maple", "country": "CA", "authorization_endpoint": "https://b/a", "token_endpoint": "https://b/t",
            "client_id": "hub", "client_secret": {"env": "X"}, "fdx": {"base_url": "https://b/fdx", "version": "5"},
            "scopes": scopes, "account_types": kinds,
        });
        build_inventory(&serde_json::from_value(settings).unwrap())
    }

    #[test]
    fn inventory_lists_only_fields_of_offered_clusters() {
        let basic = inventory_for(&["ACCOUNT_BASIC"], &["depositAccount"]);
        let light: Vec<&str> = basic.lightweight_accounts.iter().map(String::as_str).collect();
        assert_eq!(
            light,
            [
                "accounts.depositAccount.accountCategory",
                "accounts.depositAccount.accountId",
                "accounts.depositAccount.accountNumberDisplay",
                "accounts.depositAccount.accountType",
                "accounts.depositAccount.currency.currencyCode",
                "accounts.depositAccount.currency.currencyRate",
                "accounts.depositAccount.currency.originalCurrencyCode",
                "accounts.depositAccount.description",
                "accounts.depositAccount.nickname",
                "accounts.depositAccount.productName",
                "accounts.depositAccount.status",
                "links.next.action",
                "links.next.description",
                "links.next.href",
                "page.nextOffset",
                "page.totalElements",
            ]
        );
        let rest = [&basic.account, &basic.customers, &basic.detailed_accounts, &basic.transactions];
        assert!(rest.iter().all(|paths| paths.is_empty()));
    }

    #[test]
    fn inventory_depends_on_clusters_and_account_types() {
        let detailed = inventory_for(&["ACCOUNT_BASIC", "ACCOUNT_DETAILED", "TRANSACTIONS"], &[]);
        let all = inventory_for(
            &[
                "ACCOUNT_BASIC",
                "ACCOUNT_DETAILED",
                "ACCOUNT_PAYMENTS",
                "INVESTMENTS",
                "TRANSACTIONS",
                "CUSTOMER_CONTACT",
                "CUSTOMER_PERSONAL",
            ],
            &[],
        );
        for (path, paid) in [
            ("depositAccount.currentBalance", false),
            ("depositAccount.routingTransitNumber", true),
            ("depositAccount.accountNumber", true),
            ("investmentAccount.holdings.units", true),
        ] {
            assert_eq!(detailed.account.contains(path), !paid, "{path}");
            assert!(all.account.contains(path), "{path}");
            assert!(all.detailed_accounts.contains(&format!("accounts.{path}")), "{path}");
        }
        assert!(all.transactions.contains("transactions.depositTransaction.amount"));
        for path in ["customerId", "name.first", "email", "telephones.number", "dateOfBirth"] {
            assert!(all.customers.contains(path), "{path}");
        }
        assert!(all.payments.contains("paymentNetworks.bankId"));
        assert!(detailed.customers.is_empty() && detailed.payments.is_empty());
        let deposits = inventory_for(&["ACCOUNT_BASIC", "ACCOUNT_DETAILED"], &["depositAccount"]);
        assert!(deposits.account.iter().all(|path| path.starts_with("depositAccount.")));
    }
}
