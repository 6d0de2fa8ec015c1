//! How money reaches an account.

use crate::entity::entity;

entity! {
    /// A network that an account can be paid by. For `CA_ACSS` the `bankId` is the institution (three digits) and
    /// the transit (five), leading zeroes kept.
    PaymentNetwork {
        bank_id: String, identifier: String, identifier_type: String, r#type: String, transfer_in: bool,
        transfer_out: bool,
    }
}
