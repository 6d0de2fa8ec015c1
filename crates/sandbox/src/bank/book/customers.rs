//! Who may sign in: the same six people at every bank.

use fdx::{
    AccountContact, AccountHolder, BusinessCustomer, Customer, CustomerAccount, CustomerName, Date,
    DeliveryAddress, Domicile, IndustryCode, TelephoneNumber,
};
use jiff::civil;

use super::Book;
use super::ledger::{Kind, Ledger};

/// A customer of the bank.
pub(in crate::bank) struct Person {
    pub(in crate::bank) username: &'static str,
    pub(in crate::bank) first: &'static str,
    last: &'static str,
    born: civil::Date,
    line1: &'static str,
    city: &'static str,
    region: &'static str,
    postal_code: &'static str,
    telephone: &'static str,
    /// A number that no one was given: those that begin with 0 are not handed out.
    tax_id: &'static str,
    business: Option<Business>,
}

/// What somebody runs.
struct Business {
    name: &'static str,
    registered_id: &'static str,
    industry: &'static str,
}

macro_rules! person {
    ($username:literal $first:literal $last:literal, $born:expr, $line1:literal $city:literal $region:literal $postal:literal, $tel:literal $tax:literal, $business:expr) => {
        Person {
            username: $username,
            first: $first,
            last: $last,
            born: civil::date($born.0, $born.1, $born.2),
            line1: $line1,
            city: $city,
            region: $region,
            postal_code: $postal,
            telephone: $tel,
            tax_id: $tax,
            business: $business,
        }
    };
}

const MILLWORK: Business =
    Business { name: "Singh Millwork Ltd.", registered_id: "1002847-3", industry: "321911" };

/// Everybody.
pub(super) static PEOPLE: [Person; 6] = [
    person!("alice" "Alice" "Tremblay", (1987, 4, 12),
        "12 rue des Lilas" "Montréal" "QC" "H2X 1Y4", "5145550101" "046454286", None),
    person!("bob" "Bob" "Tremblay", (1985, 9, 30),
        "12 rue des Lilas" "Montréal" "QC" "H2X 1Y4", "5145550102" "012345674", None),
    person!("chloe" "Chloé" "Gagnon", (1993, 1, 5),
        "845, av. Cartier" "Québec" "QC" "G1R 2S6", "4185550103" "023456783", None),
    person!("david" "David" "Singh", (1972, 11, 21),
        "77 King Street West" "Toronto" "ON" "M5K 1A1", "4165550104" "034567892", Some(MILLWORK)),
    person!("emma" "Emma" "MacLeod", (2004, 6, 17),
        "3 Water Street" "Halifax" "NS" "B3J 1S3", "9025550105" "045678901", None),
    person!("farid" "Farid" "Haddad", (1990, 2, 28),
        "1500 Robson Street" "Vancouver" "BC" "V6E 1C2", "6045550106" "056789013", None),
];

impl Book<'_> {
    /// A customer's profile, with those accounts that are named.
    pub(in crate::bank) fn customer_profile(&self, person: &Person, ids: &[String]) -> Customer {
        let named = self.books.ledgers_of(person).filter(|ledger| ids.iter().any(|id| id == ledger.id));
        Customer {
            customer_id: Some(self.customer_id(person.username)),
            r#type: Some(if person.business.is_some() { "BUSINESS" } else { "CONSUMER" }.into()),
            name: Some(person.name()),
            date_of_birth: Some(Date(person.born)),
            tax_id: Some(person.tax_id.into()),
            tax_id_country: Some("CA".into()),
            business_customer: person.business.as_ref().map(|business| business.to_business_customer(person)),
            email: Some(vec![format!("{}@example.org", person.username)]),
            addresses: Some(vec![person.address()]),
            telephones: Some(vec![person.telephone()]),
            accounts: Some(named.map(|ledger| person.customer_account(ledger)).collect()),
            ..Customer::default()
        }
    }

    /// Those who hold an account.
    pub(in crate::bank) fn account_contact(&self, account: &str) -> Option<AccountContact> {
        let ledger = self.find_ledger(account)?;
        let holders = ledger.owners.iter().filter_map(|username| self.books.find_customer(username));
        let holders: Vec<AccountHolder> = holders.map(|person| self.account_holder(person, ledger)).collect();
        Some(AccountContact {
            emails: Some(holders.iter().filter_map(|holder| holder.email.clone()).flatten().collect()),
            addresses: holders.first().and_then(|holder| holder.addresses.clone()),
            telephones: Some(
                holders.iter().filter_map(|holder| holder.telephones.clone()).flatten().collect(),
            ),
            holders: Some(holders),
        })
    }

    fn account_holder(&self, person: &Person, ledger: &Ledger) -> AccountHolder {
        let customer = self.customer_profile(person, &[]);
        AccountHolder {
            relationship: person.customer_account(ledger).relationship,
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

    /// The bank's stable id of a customer.
    pub(in crate::bank) fn customer_id(&self, username: &str) -> String {
        let drawn = crate::random::derive_text(self.seed, &format!("{}/{username}", self.books.label));
        format!("{}{}", self.books.prefix, &drawn[..12])
    }
}

impl Person {
    fn name(&self) -> CustomerName {
        CustomerName {
            first: Some(self.first.into()),
            last: Some(self.last.into()),
            company: self.business.as_ref().map(|business| business.name.into()),
            ..CustomerName::default()
        }
    }

    /// As it stands on paper.
    pub(in crate::bank) fn full_name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    fn address(&self) -> DeliveryAddress {
        DeliveryAddress {
            r#type: Some(if self.business.is_some() { "BUSINESS" } else { "HOME" }.into()),
            line1: Some(self.line1.into()),
            city: Some(self.city.into()),
            region: Some(self.region.into()),
            postal_code: Some(self.postal_code.into()),
            country: Some("CA".into()),
            ..DeliveryAddress::default()
        }
    }

    fn telephone(&self) -> TelephoneNumber {
        TelephoneNumber {
            r#type: Some(if self.business.is_some() { "BUSINESS" } else { "CELL" }.into()),
            country: Some("1".into()),
            number: Some(self.telephone.into()),
        }
    }

    fn customer_account(&self, ledger: &Ledger) -> CustomerAccount {
        let joint = ledger.owners.len() > 1;
        let relationship = match (&ledger.kind, ledger.owners.first() == Some(&self.username)) {
            (_, true) if joint => "PRIMARY_JOINT",
            (_, false) => "SECONDARY_JOINT",
            (Kind::Loan { .. }, true) => "PRIMARY_BORROWER",
            (Kind::Deposit { account_type: "COMMERCIALDEPOSIT", .. }, true) => "BUSINESS",
            _ => "SOLE_OWNER",
        };
        CustomerAccount {
            account_id: Some(ledger.id.into()),
            relationship: Some(relationship.into()),
            ..CustomerAccount::default()
        }
    }

    pub(super) const fn region(&self) -> &'static str {
        self.region
    }
}

impl Business {
    fn to_business_customer(&self, agent: &Person) -> BusinessCustomer {
        let text = |text: &str| Some(text.to_owned());
        BusinessCustomer {
            name: text(self.name),
            registered_agents: Some(vec![CustomerName {
                first: text(agent.first),
                last: text(agent.last),
                ..CustomerName::default()
            }]),
            registered_id: text(self.registered_id),
            industry_code: Some(IndustryCode { r#type: text("NAICS"), code: text(self.industry) }),
            domicile: Some(Domicile { region: text(agent.region), country: text("CA") }),
        }
    }
}
