//! Converts the customers of the sandbox to customers and account holders in FDX format.

use fdx::{
    AccountContact, AccountHolder, BusinessCustomer, Customer, CustomerAccount, CustomerName, Date,
    DeliveryAddress, Domicile, IndustryCode, TelephoneNumber,
};

use super::account_spec::{AccountKind, AccountSpec};
use super::customers::{BankCustomer, Business};
use super::snapshot::Ledger;

impl Ledger<'_> {
    /// Returns a customer's profile, which lists only the accounts whose ids are given.
    pub(crate) fn customer_profile(&self, customer: &BankCustomer, ids: &[String]) -> Customer {
        let granted = self.catalog.accounts_of(customer).filter(|spec| ids.iter().any(|id| id == spec.id));
        Customer {
            customer_id: Some(self.customer_id(customer.username)),
            r#type: Some(if customer.business.is_some() { "BUSINESS" } else { "CONSUMER" }.into()),
            name: Some(customer.name()),
            date_of_birth: Some(Date(customer.date_of_birth)),
            tax_id: Some(customer.tax_id.into()),
            tax_id_country: Some("CA".into()),
            business_customer: customer.business.as_ref().map(|b| b.to_business_customer(customer)),
            email: Some(vec![format!("{}@example.org", customer.username)]),
            addresses: Some(vec![customer.address()]),
            telephones: Some(vec![customer.telephone_number()]),
            accounts: Some(granted.map(|spec| customer.customer_account(spec)).collect()),
            ..Customer::default()
        }
    }

    /// Returns the holders of an account with their contact data.
    pub(crate) fn account_contact(&self, account: &str) -> Option<AccountContact> {
        let spec = self.find_spec(account)?;
        let owners = spec.owners.iter().filter_map(|username| self.catalog.find_customer(username));
        let holders: Vec<AccountHolder> = owners.map(|owner| self.account_holder(owner, spec)).collect();
        Some(AccountContact {
            emails: Some(holders.iter().filter_map(|holder| holder.email.clone()).flatten().collect()),
            // An account has one address: that of the primary holder.
            addresses: holders.first().and_then(|holder| holder.addresses.clone()),
            telephones: Some(
                holders.iter().filter_map(|holder| holder.telephones.clone()).flatten().collect(),
            ),
            holders: Some(holders),
        })
    }

    fn account_holder(&self, owner: &BankCustomer, spec: &AccountSpec) -> AccountHolder {
        let customer = self.customer_profile(owner, &[]);
        AccountHolder {
            relationship: owner.customer_account(spec).relationship,
            customer_id: customer.customer_id,
            r#type: customer.r#type,
            name: customer.name,
            business_customer: customer.business_customer,
            email: customer.email,
            addresses: customer.addresses,
            telephones: customer.telephones,
            ..AccountHolder::default()
        }
    }

    /// Returns the bank's identifier of a customer, which stays the same across restarts and consents.
    pub(crate) fn customer_id(&self, username: &str) -> String {
        let label = format!("{}/{username}", self.catalog.customer_id_label);
        let derived = crate::random::derive_text(self.seed, &label);
        format!("{}{}", self.catalog.customer_id_prefix, &derived[..12])
    }
}

impl BankCustomer {
    fn name(&self) -> CustomerName {
        CustomerName {
            first: Some(self.first_name.into()),
            last: Some(self.last_name.into()),
            company: self.business.as_ref().map(|business| business.name.into()),
            ..CustomerName::default()
        }
    }

    fn address(&self) -> DeliveryAddress {
        DeliveryAddress {
            r#type: Some(if self.business.is_some() { "BUSINESS" } else { "HOME" }.into()),
            line1: Some(self.address_line.into()),
            city: Some(self.city.into()),
            region: Some(self.region.into()),
            postal_code: Some(self.postal_code.into()),
            country: Some("CA".into()),
            ..DeliveryAddress::default()
        }
    }

    fn telephone_number(&self) -> TelephoneNumber {
        TelephoneNumber {
            r#type: Some(if self.business.is_some() { "BUSINESS" } else { "CELL" }.into()),
            country: Some("1".into()),
            number: Some(self.telephone.into()),
        }
    }

    fn customer_account(&self, spec: &AccountSpec) -> CustomerAccount {
        let is_joint = spec.owners.len() > 1;
        let relationship = match (&spec.kind, spec.owners.first() == Some(&self.username)) {
            (_, true) if is_joint => "PRIMARY_JOINT",
            (_, false) => "SECONDARY_JOINT",
            (AccountKind::Loan { .. }, true) => "PRIMARY_BORROWER",
            (AccountKind::Deposit { account_type: "COMMERCIALDEPOSIT", .. }, true) => "BUSINESS",
            _ => "SOLE_OWNER",
        };
        CustomerAccount {
            account_id: Some(spec.id.into()),
            relationship: Some(relationship.into()),
            ..CustomerAccount::default()
        }
    }
}

impl Business {
    fn to_business_customer(&self, agent: &BankCustomer) -> BusinessCustomer {
        let text = |text: &str| Some(text.to_owned());
        BusinessCustomer {
            name: text(self.name),
            registered_agents: Some(vec![CustomerName {
                first: text(agent.first_name),
                last: text(agent.last_name),
                ..CustomerName::default()
            }]),
            registered_id: text(self.registered_id),
            industry_code: Some(IndustryCode { r#type: text("NAICS"), code: text(self.industry) }),
            domicile: Some(Domicile { region: text(agent.region), country: text("CA") }),
        }
    }
}
