//! What a provider can deliver through its connector, field by field: read off the types that answers are made of,
//! narrowed by the filter that answers go through.

use std::collections::BTreeSet;

use domain::model::provider::{AccountType, ProviderSettings};
use domain::scope::Operation;
use fdx::sample::whole;
use fdx::{
    Account, Accounts, Customer, HateoasLink, PageLinks, PageMetadata, PaymentNetwork, PaymentNetworks,
    Transaction, Transactions,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::filter::{customer, narrow};

/// Dotted paths of FDX by what they are read with.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Inventory {
    account: BTreeSet<String>,
    customers: BTreeSet<String>,
    detailed_accounts: BTreeSet<String>,
    lightweight_accounts: BTreeSet<String>,
    payments: BTreeSet<String>,
    transactions: BTreeSet<String>,
}

/// What a provider of these settings delivers.
pub(super) fn inventory(settings: &ProviderSettings) -> Inventory {
    let clusters = settings.clusters();
    let has = |operation: Operation| operation.allowed(clusters);
    let mut inventory = Inventory::default();
    if has(Operation::CurrentCustomer) {
        for whole in whole::<Customer>() {
            add(&mut inventory.customers, &customer(clusters, "", whole));
        }
    }
    for mut account in whole::<Account>().into_iter().filter(|account| offers(settings, account)) {
        narrow(clusters, &mut account);
        if has(Operation::Account) {
            add(&mut inventory.account, &account);
        }
        if has(Operation::AccountListDetailed) {
            add(&mut inventory.detailed_accounts, &page(account.clone()));
        }
        if has(Operation::AccountList) {
            add(&mut inventory.lightweight_accounts, &page(account.lightweight()));
        }
    }
    if has(Operation::PaymentNetworks) {
        let (page, links) = paging();
        let networks = PaymentNetworks { page, links, payment_networks: whole::<PaymentNetwork>() };
        add(&mut inventory.payments, &networks);
    }
    if has(Operation::Transactions) {
        let (page, links) = paging();
        add(&mut inventory.transactions, &Transactions { page, links, transactions: whole::<Transaction>() });
    }
    inventory
}

fn offers(settings: &ProviderSettings, account: &impl Serialize) -> bool {
    let value = serde_json::to_value(account).unwrap_or_default();
    let key = value.as_object().and_then(|object| object.keys().next());
    key.and_then(|key| AccountType::from_word(key)).is_some_and(|kind| settings.has(kind))
}

fn page(account: Account) -> Accounts {
    let (page, links) = paging();
    Accounts { page, links, accounts: vec![account] }
}

/// What a page of ours says of the next one.
fn paging() -> (PageMetadata, PageLinks) {
    let text = || Some(String::new());
    let next = HateoasLink { href: text(), action: text(), description: text(), ..HateoasLink::default() };
    let page = PageMetadata { next_offset: text(), total_elements: Some(1), ..PageMetadata::default() };
    (page, PageLinks { next: Some(next), prev: None })
}

fn add(paths: &mut BTreeSet<String>, value: &impl Serialize) {
    collect("", &serde_json::to_value(value).unwrap_or_default(), paths);
}

fn collect(at: &str, value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                collect(&path, value, paths);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(at, item, paths)),
        _ => drop(paths.insert(at.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(scopes: &[&str], kinds: &[&str]) -> Inventory {
        let scopes: serde_json::Map<String, Value> =
            scopes.iter().map(|word| ((*word).to_owned(), json!(word))).collect();
        let settings = json!({
            "name": "Maple", "country": "CA", "authorization_endpoint": "https://b/a", "token_endpoint": "https://b/t",
            "client_id": "hub", "client_secret": {"env": "X"}, "fdx": {"base_url": "https://b/fdx", "version": "5"},
            "scopes": scopes, "account_types": kinds,
        });
        inventory(&serde_json::from_value(settings).unwrap())
    }

    #[test]
    fn it_is_what_the_clusters_open_and_no_more() {
        let basic = of(&["ACCOUNT_BASIC"], &["depositAccount"]);
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
    fn what_a_cluster_covers_comes_with_it() {
        let detailed = of(&["ACCOUNT_BASIC", "ACCOUNT_DETAILED", "TRANSACTIONS"], &[]);
        let all = of(
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
        let deposits = of(&["ACCOUNT_BASIC", "ACCOUNT_DETAILED"], &["depositAccount"]);
        assert!(deposits.account.iter().all(|path| path.starts_with("depositAccount.")));
    }
}
