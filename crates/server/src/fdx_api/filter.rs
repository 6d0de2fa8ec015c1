//! The consent over FDX types: pure.

use domain::rule::access::GrantedAccess;
use domain::{Clusters, DataCluster};
use fdx::{Account, AccountContact, AccountHolder, Customer};

use crate::opaque_ids::OpaqueIds;

/// An account as its recipient may see it, with our ids; none if the consent does not cover it.
pub(super) fn filter_account(
    ids: &OpaqueIds,
    access: &GrantedAccess,
    mut account: Account,
) -> Option<Account> {
    let opaque = account.id().filter(|id| access.covers(id)).and_then(|id| ids.seal(access, id))?;
    account.set_id(opaque);
    let parent = account.parent_id_mut().take().filter(|id| access.covers(id));
    *account.parent_id_mut() = parent.and_then(|id| ids.seal(access, &id));
    remove_unconsented_fields(access.clusters(), &mut account);
    Some(account)
}

/// Takes away what clusters do not cover, and what nobody is shown.
pub(crate) fn remove_unconsented_fields(clusters: Clusters, account: &mut Account) {
    account.remove_error_messages();
    if !clusters.contains(DataCluster::AccountPayments) {
        account.remove_payment_details();
    }
    if !clusters.contains(DataCluster::Investments) {
        account.remove_holdings();
    }
}

/// A customer's profile: the fields of the clusters that were granted, under the id that the recipient knows.
pub(crate) fn filter_customer(clusters: Clusters, sub: &str, customer: Customer) -> Customer {
    let contact = clusters.contains(DataCluster::CustomerContact);
    let personal = clusters.contains(DataCluster::CustomerPersonal);
    Customer {
        customer_id: Some(sub.to_owned()),
        r#type: customer.r#type,
        name: customer.name.filter(|_| contact || personal),
        business_customer: customer.business_customer.filter(|_| contact || personal),
        email: customer.email.filter(|_| contact),
        addresses: customer.addresses.filter(|_| contact),
        telephones: customer.telephones.filter(|_| contact),
        date_of_birth: customer.date_of_birth.filter(|_| personal),
        tax_id: customer.tax_id.filter(|_| personal),
        tax_id_country: customer.tax_id_country.filter(|_| personal),
        government_id: customer.government_id.filter(|_| personal),
        // Accounts come from the accounts' own endpoint, where the consent is applied.
        accounts: None,
    }
}

/// How those who hold an account are reached, and no more of them: others than the customer may be among them,
/// under ids of the provider's.
pub(super) fn filter_contact(contact: AccountContact) -> AccountContact {
    let holder = |holder: AccountHolder| AccountHolder {
        relationship: holder.relationship,
        r#type: holder.r#type,
        name: holder.name,
        business_customer: holder.business_customer,
        email: holder.email,
        addresses: holder.addresses,
        telephones: holder.telephones,
        ..AccountHolder::default()
    };
    let holders = contact.holders.map(|holders| holders.into_iter().map(holder).collect());
    AccountContact { holders, ..contact }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_filter_keeps_contact_data_and_drops_ids() {
        let whole = AccountHolder {
            customer_id: Some("bank-id".into()),
            relationship: Some("PRIMARY_JOINT".into()),
            tax_id: Some("046454286".into()),
            government_id: Some("P123".into()),
            date_of_birth: Some(fdx::Date(jiff::civil::date(1990, 1, 1))),
            email: Some(vec!["a@example.org".into()]),
            accounts: Some(Vec::new()),
            ..AccountHolder::default()
        };
        let shown =
            filter_contact(AccountContact { holders: Some(vec![whole]), ..AccountContact::default() });
        let shown = serde_json::to_value(shown).unwrap();
        let reached = serde_json::json!({"relationship": "PRIMARY_JOINT", "email": ["a@example.org"]});
        assert_eq!(shown["holders"], serde_json::json!([reached]));
    }

    #[test]
    fn customer_filter_keeps_only_granted_clusters() {
        let whole = || Customer {
            customer_id: Some("bank-id".into()),
            date_of_birth: Some(fdx::Date(jiff::civil::date(1990, 1, 1))),
            tax_id: Some("046454286".into()),
            email: Some(vec!["a@example.org".into()]),
            ..Customer::default()
        };
        let contact =
            filter_customer(Clusters::NONE.with_cluster(DataCluster::CustomerContact), "sub", whole());
        assert_eq!(contact.customer_id.as_deref(), Some("sub"));
        assert!(contact.email.is_some() && contact.tax_id.is_none() && contact.date_of_birth.is_none());
        let personal =
            filter_customer(Clusters::NONE.with_cluster(DataCluster::CustomerPersonal), "sub", whole());
        assert!(personal.email.is_none() && personal.tax_id.is_some() && personal.date_of_birth.is_some());
    }
}
