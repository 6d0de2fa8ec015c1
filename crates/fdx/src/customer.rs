//! The entities of customers, such as their names, addresses, telephone numbers and e-mail addresses.

use crate::common::{Domicile, HateoasLink};
use crate::entity::entity;
use crate::scalar::Date;

entity! {
    /// The name of a person or a business, divided into its parts.
    CustomerName { first: String, middle: String, last: String, suffix: String, prefix: String, company: String }
}
entity! {
    /// A postal address, to which mail can be sent.
    DeliveryAddress {
        r#type: String, line1: String, line2: String, line3: String, city: String, state: String, region: String,
        postal_code: String, country: String,
    }
}
entity! {
    /// A telephone number with its country code and kind, such as home or business.
    TelephoneNumber { r#type: String, country: String, number: String }
}
entity! {
    /// A reference to an account of a customer.
    CustomerAccount { account_id: String, relationship: String, links: Vec<HateoasLink> }
}
entity! {
    /// The industry of a business, as in `{"type":"NAICS","code":"321911"}`.
    IndustryCode { r#type: String, code: String }
}
entity! {
    /// The data of a customer that is a business.
    BusinessCustomer {
        name: String, registered_agents: Vec<CustomerName>, registered_id: String,
        industry_code: IndustryCode, domicile: Domicile,
    }
}
entity! {
    /// A customer. `email` is an array, although its name is singular (FDX 5.x).
    Customer {
        customer_id: String, r#type: String, name: CustomerName, date_of_birth: Date, tax_id: String,
        tax_id_country: String, government_id: String, business_customer: BusinessCustomer, email: Vec<String>, addresses: Vec<DeliveryAddress>,
        telephones: Vec<TelephoneNumber>, accounts: Vec<CustomerAccount>,
    }
}

entity! {
    /// A holder of an account: a customer with the relationship to the account.
    AccountHolder {
        relationship: String, customer_id: String, r#type: String, name: CustomerName, date_of_birth: Date,
        tax_id: String, tax_id_country: String, government_id: String, business_customer: BusinessCustomer,
        email: Vec<String>, addresses: Vec<DeliveryAddress>, telephones: Vec<TelephoneNumber>,
        accounts: Vec<CustomerAccount>,
    }
}

entity! {
    /// The contact data of an account's holders. Its e-mail field is `emails`, whereas that of `Customer` is `email`.
    AccountContact {
        holders: Vec<AccountHolder>, emails: Vec<String>, addresses: Vec<DeliveryAddress>,
        telephones: Vec<TelephoneNumber>,
    }
}
