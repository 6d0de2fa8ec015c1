//! The wire types of FDX 5.x, and nothing else.
//!
//! A producer may leave any field out: every field is optional, an absent one is not written. What a type
//! does not know is dropped and counted by [`parse`].

mod account;
mod customer;
mod entity;
mod error;
mod page;
mod parse;
mod scalar;
mod transaction;

pub use account::{
    Account, AnnuityAccount, CommercialAccount, Currency, DepositAccount, InsuranceAccount,
    InvestmentAccount, LoanAccount, LocAccount,
};
pub use customer::{Customer, CustomerAccount, CustomerName, DeliveryAddress, TelephoneNumber};
pub use error::{ErrorBody, ErrorCode};
pub use page::{Accounts, HateoasLink, PageLinks, PageMetadata, Transactions};
pub use parse::{ParseError, Parsed, parse};
pub use scalar::{Amount, Date, Timestamp};
pub use transaction::{
    CommercialTransaction, DepositTransaction, InsuranceTransaction, InvestmentTransaction, LoanTransaction,
    LocTransaction, PaymentDetails, Transaction,
};
