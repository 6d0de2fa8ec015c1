//! The wire types of FDX 5.x, how 6.x writes the same ([`v6`]), and nothing else.
//!
//! A producer may leave any field out: every field is optional, an absent one is not written. What a type
//! does not know is dropped and counted by [`parse()`].

mod account;
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
mod statement;
mod transaction;
pub mod v6;
pub mod vocabulary;

#[cfg(test)]
mod strangers_tests;

pub use account::{
    Account, AnnuityAccount, Bill, CardArt, CommercialAccount, Currency, DepositAccount, Domicile,
    FiAttribute, InsuranceAccount, InvestmentAccount, LoanAccount, LocAccount,
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
pub use page::{Accounts, HateoasLink, PageLinks, PageMetadata, PaymentNetworks, Statements, Transactions};
pub use parse::{ParseError, Parsed, parse};
pub use payment::PaymentNetwork;
pub use scalar::{Amount, Date, DateTime};
pub use statement::{DOCUMENT_TYPES, Statement};
pub use transaction::{
    CommercialCode, CommercialTransaction, DepositTransaction, InsuranceTransaction, InvestmentTransaction,
    LineItem, LoanTransaction, LocTransaction, PaymentDetails, Reward, Transaction,
};
