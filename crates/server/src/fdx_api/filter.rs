//! Filters that remove from FDX data everything that the consent does not cover. They are pure functions.

use domain::{Clusters, DataCluster};
use fdx::{AccountContact, AccountHolder, Customer, FdxTime, FieldGroup, ItemRules};

use super::dates::DateRange;

/// Returns the opaque id of an account, by its id at the provider; `None` if the account must not be shown.
pub(crate) type ShowId<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// The rules by which accounts are copied: which accounts, by which ids, and which of their fields.
pub(crate) struct AccountRules<'a> {
    /// The clusters that the customer consented to.
    pub(crate) clusters: Clusters,
    /// True for `resultType=details`, false for `resultType=lightweight`.
    pub(crate) details: bool,
    /// Shows an account that the consent covers and that was requested.
    pub(crate) show_account: ShowId<'a>,
    /// Shows the parent of an account if the consent covers it.
    pub(crate) show_parent: ShowId<'a>,
}

impl ItemRules for AccountRules<'_> {
    type ShownId = String;

    fn shown_account_id(&mut self, id: Option<&str>) -> Option<String> {
        // The consent of an account without an id cannot be checked.
        (self.show_account)(id?)
    }

    fn shown_parent_id(&mut self, id: &str) -> Option<String> {
        // The parent may be an account without consent, whose id must not be revealed.
        (self.show_parent)(id).filter(|_| self.details)
    }

    fn keeps(&self, group: FieldGroup) -> bool {
        match group {
            FieldGroup::Lightweight => true,
            FieldGroup::Detail => self.details,
            FieldGroup::PaymentDetails => {
                self.details && self.clusters.contains(DataCluster::AccountPayments)
            }
            FieldGroup::Holdings => self.details && self.clusters.contains(DataCluster::Investments),
            // The ids are written by the functions above.
            FieldGroup::AccountId | FieldGroup::ParentAccountId => false,
        }
    }
}

/// The rules by which the transactions of one account are copied.
pub(super) struct TransactionRules<'a> {
    /// The id of the account at the provider.
    pub(super) account_id: &'a str,
    /// The id of the account that the recipient sees.
    pub(super) opaque_id: &'a str,
    /// The days whose transactions are shown.
    pub(super) range: DateRange,
}

impl<'a> ItemRules for TransactionRules<'a> {
    type ShownId = &'a str;

    fn shown_account_id(&mut self, id: Option<&str>) -> Option<&'a str> {
        // Some providers leave out the account id; one that differs belongs to an account without consent.
        id.is_none_or(|id| id == self.account_id).then_some(self.opaque_id)
    }

    fn shown_parent_id(&mut self, _: &str) -> Option<&'a str> {
        None
    }

    fn keeps(&self, _: FieldGroup) -> bool {
        true
    }

    fn includes(&self, time: FdxTime) -> bool {
        // The hub does not rely on the provider to apply the dates.
        self.range.includes(time)
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
    use fdx::{FilteredItem, copy_item};

    fn copy_account(clusters: Clusters, details: bool, account: &str) -> String {
        let show = |id: &str| Some(format!("opaque {id}")).filter(|_| id != "other");
        let rules = AccountRules { clusters, details, show_account: &show, show_parent: &show };
        let mut copied = Vec::new();
        let mut item = FilteredItem::account(rules);
        let mut report = fdx::DropReport::default();
        copy_item(account.as_bytes(), fdx::Version::V5, &mut item, &mut copied, &mut report).unwrap();
        String::from_utf8(copied).unwrap()
    }

    #[test]
    fn account_copy_has_only_fields_of_granted_clusters() {
        let account = r#"{"investmentAccount":{"accountId":"a","parentAccountId":"p","status":"OPEN","accountNumber":"123","balanceType":"ASSET","holdings":[{"holdingId":"h"}],"error":{"code":1,"message":"m"}}}"#;
        let copy = |details, clusters: &[DataCluster]| {
            copy_account(clusters.iter().copied().collect(), details, account)
        };

        assert_eq!(
            copy(false, DataCluster::ALL),
            r#"{"investmentAccount":{"accountId":"opaque a","status":"OPEN"}}"#
        );
        assert_eq!(
            copy(true, &[]),
            r#"{"investmentAccount":{"accountId":"opaque a","parentAccountId":"opaque p","error":{"code":1},"status":"OPEN","balanceType":"ASSET"}}"#
        );
        assert!(copy(true, &[DataCluster::AccountPayments]).contains(r#""accountNumber":"123""#));
        assert!(copy(true, &[DataCluster::Investments]).contains(r#""holdings":[{"holdingId":"h"}]"#));
    }

    #[test]
    fn account_without_consent_is_not_copied() {
        let account = r#"{"loanAccount":{"accountId":"other","status":"OPEN"}}"#;
        assert_eq!(copy_account(Clusters::NONE, true, account), "");
        let child = r#"{"loanAccount":{"accountId":"a","parentAccountId":"other"}}"#;
        assert_eq!(copy_account(Clusters::NONE, true, child), r#"{"loanAccount":{"accountId":"opaque a"}}"#);
    }

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
