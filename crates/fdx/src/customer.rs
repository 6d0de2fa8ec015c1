//! The customer's profile.

use crate::Date;
use crate::account::Domicile;
use crate::entity::entity;
use crate::page::HateoasLink;

entity! {
    /// A person's or a business's name.
    CustomerName { first: String, middle: String, last: String, suffix: String, prefix: String, company: String }
}
entity! {
    /// An address.
    DeliveryAddress {
        r#type: String, line1: String, line2: String, line3: String, city: String, state: String, region: String,
        postal_code: String, country: String,
    }
}
entity! {
    /// A telephone number.
    TelephoneNumber { r#type: String, country: String, number: String }
}
entity! {
    /// An account of a customer, by reference.
    CustomerAccount { account_id: String, relationship: String, links: Vec<HateoasLink> }
}
entity! {
    /// What a business does, as in `{"type":"NAICS","code":"321911"}`.
    IndustryCode { r#type: String, code: String }
}
entity! {
    /// What a business is beside its people.
    BusinessCustomer {
        name: String, registered_agents: Vec<CustomerName>, registered_id: String,
        industry_code: IndustryCode, domicile: Domicile,
    }
}
entity! {
    /// A customer. `email` is an array under a singular name (FDX 5.x).
    Customer {
        customer_id: String, r#type: String, name: CustomerName, date_of_birth: Date, tax_id: String,
        tax_id_country: String, government_id: String, business_customer: BusinessCustomer, email: Vec<String>, addresses: Vec<DeliveryAddress>,
        telephones: Vec<TelephoneNumber>, accounts: Vec<CustomerAccount>,
    }
}

entity! {
    /// Somebody who holds an account: a customer, and what it is to the account.
    AccountHolder {
        relationship: String, customer_id: String, r#type: String, name: CustomerName, date_of_birth: Date,
        tax_id: String, tax_id_country: String, government_id: String, business_customer: BusinessCustomer,
        email: Vec<String>, addresses: Vec<DeliveryAddress>, telephones: Vec<TelephoneNumber>,
        accounts: Vec<CustomerAccount>,
    }
}

entity! {
    /// How those who hold an account are reached. `emails` is plural here.
    AccountContact {
        holders: Vec<AccountHolder>, emails: Vec<String>, addresses: Vec<DeliveryAddress>,
        telephones: Vec<TelephoneNumber>,
    }
}
