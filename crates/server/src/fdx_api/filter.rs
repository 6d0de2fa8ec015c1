//! Filters that remove from FDX data everything that the consent does not cover. They are pure functions.

use domain::rule::access::GrantedAccess;
use domain::{Clusters, DataCluster};
use fdx::{Account, AccountContact, AccountHolder, Customer};

use crate::opaque_ids::OpaqueIds;

/// Replaces the provider's ids in an account with opaque ids, and removes the fields that the consent does not cover.
/// Returns `None` if the consent does not cover the account.
pub(super) fn filter_account(
    ids: &OpaqueIds,
    access: &GrantedAccess,
    mut account: Account,
) -> Option<Account> {
    let opaque_id = account.id().filter(|id| access.covers(id)).and_then(|id| ids.seal(access, id))?;
    account.set_id(opaque_id);
    // The parent may be an account without consent, whose id must not be revealed.
    let parent_id = account.parent_id_mut().take().filter(|id| access.covers(id));
    *account.parent_id_mut() = parent_id.and_then(|id| ids.seal(access, &id));
    remove_unconsented_fields(access.clusters(), &mut account);
    Some(account)
}

/// Removes the fields of an account that the granted clusters do not cover, and the provider's error messages.
pub(crate) fn remove_unconsented_fields(clusters: Clusters, account: &mut Account) {
    // Free text of the provider may contain data that the customer did not consent to.
    account.remove_error_messages();
    if !clusters.contains(DataCluster::AccountPayments) {
        account.remove_payment_details();
    }
    if !clusters.contains(DataCluster::Investments) {
        account.remove_holdings();
    }
}

/// Removes the fields of a customer's profile that the granted clusters do not cover, and replaces the provider's
/// customer id with `sub`.
pub(crate) fn filter_customer(clusters: Clusters, sub: &str, customer: Customer) -> Customer {
    let contact = clusters.contains(DataCluster::CustomerContact);
    let personal = clusters.contains(DataCluster::CustomerPersonal);
    // Every field is named: a new field of `Customer` must be assigned to a cluster before this compiles.
    Customer {
        // The provider's id would let two recipients recognize the same customer.
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
        // Accounts are served by their own endpoint, which applies the consent.
        accounts: None,
    }
}

/// Keeps the contact data of an account's holders and removes everything else about them.
pub(super) fn filter_contact(contact: AccountContact) -> AccountContact {
    // The other holders of a joint account did not consent, and their ids at the provider are not sealed.
    let filter_holder = |holder: AccountHolder| AccountHolder {
        relationship: holder.relationship,
        r#type: holder.r#type,
        name: holder.name,
        business_customer: holder.business_customer,
        email: holder.email,
        addresses: holder.addresses,
        telephones: holder.telephones,
        ..AccountHolder::default()
    };
    let holders = contact.holders.map(|holders| holders.into_iter().map(filter_holder).collect());
    AccountContact { holders, ..contact }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_filter_keeps_contact_data_and_drops_ids() {
        let holder = AccountHolder {
            customer_id: Some("bank-id".into()),
            relationship: Some("PRIMARY_JOINT".into()),
            tax_id: Some("046454286".into()),
            government_id: Some("P123".into()),
            date_of_birth: Some(fdx::Date(jiff::civil::date(1990, 1, 1))),
            email: Some(vec!["a@example.org".into()]),
            accounts: Some(Vec::new()),
            ..AccountHolder::default()
        };

        let filtered =
            filter_contact(AccountContact { holders: Some(vec![holder]), ..AccountContact::default() });

        let filtered = serde_json::to_value(filtered).unwrap();
        let expected = serde_json::json!({"relationship": "PRIMARY_JOINT", "email": ["a@example.org"]});
        assert_eq!(filtered["holders"], serde_json::json!([expected]));
    }

    #[test]
    fn customer_filter_keeps_only_granted_clusters() {
        let customer = || Customer {
            customer_id: Some("bank-id".into()),
            date_of_birth: Some(fdx::Date(jiff::civil::date(1990, 1, 1))),
            tax_id: Some("046454286".into()),
            email: Some(vec!["a@example.org".into()]),
            ..Customer::default()
        };

        let contact =
            filter_customer(Clusters::NONE.with_cluster(DataCluster::CustomerContact), "sub", customer());
        let personal =
            filter_customer(Clusters::NONE.with_cluster(DataCluster::CustomerPersonal), "sub", customer());

        assert_eq!(contact.customer_id.as_deref(), Some("sub"));
        assert!(contact.email.is_some() && contact.tax_id.is_none() && contact.date_of_birth.is_none());
        assert!(personal.email.is_none() && personal.tax_id.is_some() && personal.date_of_birth.is_some());
    }
}
