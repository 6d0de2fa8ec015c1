//! The consent over FDX types: pure.

use domain::rule::access::Access;
use domain::{Clusters, DataCluster};
use fdx::{Account, Customer};

use super::ids::OpaqueIds;

/// An account as its recipient may see it, with our ids; none if the consent does not cover it.
pub(super) fn account(ids: &OpaqueIds, access: &Access, mut account: Account) -> Option<Account> {
    let opaque = account.id().filter(|id| access.covers(id)).and_then(|id| ids.seal(access, id))?;
    account.set_id(opaque);
    let parent = account.parent_id_mut().take().filter(|id| access.covers(id));
    *account.parent_id_mut() = parent.and_then(|id| ids.seal(access, &id));
    narrow(access.clusters(), &mut account);
    Some(account)
}

/// Takes away what clusters do not cover, and what nobody is shown.
pub(crate) fn narrow(clusters: Clusters, account: &mut Account) {
    account.remove_error_words();
    if !clusters.contains(DataCluster::AccountPayments) {
        account.remove_payment_details();
    }
    if !clusters.contains(DataCluster::Investments) {
        account.remove_holdings();
    }
}

/// A customer's profile: the fields of the clusters that were granted, under the id that the recipient knows.
pub(crate) fn customer(clusters: Clusters, sub: &str, customer: Customer) -> Customer {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_shows_the_fields_of_the_granted_clusters_alone() {
        let whole = || Customer {
            customer_id: Some("bank-id".into()),
            date_of_birth: Some(fdx::Date(jiff::civil::date(1990, 1, 1))),
            tax_id: Some("046454286".into()),
            email: Some(vec!["a@example.org".into()]),
            ..Customer::default()
        };
        let contact = customer(Clusters::NONE.with(DataCluster::CustomerContact), "sub", whole());
        assert_eq!(contact.customer_id.as_deref(), Some("sub"));
        assert!(contact.email.is_some() && contact.tax_id.is_none() && contact.date_of_birth.is_none());
        let personal = customer(Clusters::NONE.with(DataCluster::CustomerPersonal), "sub", whole());
        assert!(personal.email.is_none() && personal.tax_id.is_some() && personal.date_of_birth.is_some());
    }
}
