//! The wire types of FDX 5.x and their form in FDX 6.x ([`v6`]).
//!
//! A data provider may omit any field, so every field is optional, and absent fields are not serialized. [`parse()`] drops
//! and counts fields that a type does not define.

mod account;
mod common;
mod copy;
mod customer;
mod entity;
mod error;
mod investment;
mod meta;
mod page;
mod parse;
mod payment;
pub mod sample;
mod scalar;
mod shape;
mod statement;
mod transaction;
pub mod v6;
pub mod vocabulary;

#[cfg(test)]
mod untrusted_input_tests;

pub use account::{
    Account, AnnuityAccount, Bill, CardArt, CommercialAccount, DepositAccount, InsuranceAccount,
    InvestmentAccount, LoanAccount, LocAccount,
};
pub use common::{Currency, Domicile, FiAttribute, HateoasLink};
pub use copy::{
    ConvertedItem, CopiedPage, CopyItem, FilteredItem, ItemRules, UnchangedItem, copy_item, copy_page,
};
pub use customer::{
    AccountContact, AccountHolder, BusinessCustomer, Customer, CustomerAccount, CustomerName,
    DeliveryAddress, IndustryCode, TelephoneNumber,
};
pub use error::{ErrorBody, ErrorCode};
pub use investment::{
    Contribution, FiPortion, Holding, InvestmentBalance, InvestmentLoan, OpenOrder, PensionSource, Portion,
    Vesting,
};
pub use meta::{Availability, AvailabilityList, Capability, CertificationMetric, CertificationMetrics};
pub use page::{Accounts, PageLinks, PageMetadata, PaymentNetworks, Statements, Transactions};
pub use parse::{ParseError, Parsed, parse};
pub use payment::PaymentNetwork;
pub use scalar::{Amount, Date, DateTime};
pub use shape::FieldGroup;
pub use statement::{DOCUMENT_TYPES, Statement};
pub use transaction::{
    CommercialCode, CommercialTransaction, DepositTransaction, InsuranceTransaction, InvestmentTransaction,
    LineItem, LoanTransaction, LocTransaction, PaymentDetails, Reward, Transaction,
};
