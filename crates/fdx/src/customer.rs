//! The customer's profile.

use crate::Date;
use crate::entity::entity;
use crate::page::HateoasLink;

entity! {
    /// A person's or a business's name.
    CustomerName { first: String, middle: String, last: String, suffix: String, prefix: String, company: String }
}
entity! {
    /// An address.
    DeliveryAddress {
        r#type: String, line1: String, line2: String, line3: String, city: String, region: String,
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
    /// A customer. `email` is an array under a singular name (FDX 5.x).
    Customer {
        customer_id: String, r#type: String, name: CustomerName, date_of_birth: Date, tax_id: String,
        tax_id_country: String, government_id: String, email: Vec<String>, addresses: Vec<DeliveryAddress>,
        telephones: Vec<TelephoneNumber>, accounts: Vec<CustomerAccount>,
    }
}
