//! The payment networks of an account, with the numbers under which it can be paid.

use crate::entity::entity;

entity! {
    /// A payment network through which an account can receive money. For `CA_ACSS` the `bankId` consists of the institution
    /// number (three digits) and the transit number (five digits), with leading zeros.
    PaymentNetwork {
        bank_id: String, identifier: String, identifier_type: String, r#type: String, transfer_in: bool,
        transfer_out: bool,
    }
}
