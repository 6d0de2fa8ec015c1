//! Entities that several other entities contain, such as currencies, domiciles and links.

use crate::entity::entity;
use crate::scalar::Amount;

entity! {
    /// A currency, as in `{"currencyCode":"CAD"}` (ISO 4217). Some providers send only the code.
    Currency as Currency { currency_code: String, currency_rate: Amount, original_currency_code: String }
}
entity! {
    /// An attribute that an institution adds and the standard does not define.
    FiAttribute { name: String, value: String }
}
entity! {
    /// The region and country of an account or a business.
    Domicile { region: String, country: String }
}
entity! {
    /// A link to a related resource (HATEOAS).
    HateoasLink { href: String, action: String, rel: String, description: String, types: Vec<String> }
}
