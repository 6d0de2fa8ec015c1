//! The wire types of FDX 5.x and their form in FDX 6.x ([`v6`]).
//!
//! A data provider may omit any field, so every field is optional, and absent fields are not serialized. Fields that a
//! type does not define, and values that cannot be read, are dropped and counted.

mod account;
mod common;
mod copy;
mod customer;
mod entity;
mod error;
mod investment;
mod meta;
mod observe;
mod page;
mod parse;
mod payment;
mod read;
mod replay;
pub mod sample;
mod scalar;
mod shape;
mod statement;
mod transaction;
pub mod v6;
pub mod vocabulary;

#[cfg(test)]
mod field_loss_tests;
#[cfg(test)]
mod untrusted_input_tests;

pub use account::{
    Account, AnnuityAccount, Bill, CardArt, CommercialAccount, DepositAccount, InsuranceAccount,
    InvestmentAccount, LoanAccount, LocAccount,
};
pub use common::{Currency, Domicile, FiAttribute, HateoasLink};
pub use copy::{
    CopiedPage, CopyItem, FilteredItem, Item, ItemOutcome, ItemRules, LinkDates, NextPage, PageParameter,
    PageWindow, StatementItem, UnchangedItem, copy_item, copy_page,
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
pub use meta::{
    Availability, AvailabilityList, Capability, CertificationMetric, CertificationMetrics, Operation,
};
pub use observe::{DateForm, MAX_OBSERVED_BYTES, Observation, observe};
pub use page::{Accounts, PageLinks, PageMetadata, PaymentNetworks, Statements, Transactions};
pub use parse::{ParseError, Parsed, parse, parse_object};
pub use payment::PaymentNetwork;
pub use read::{DropReason, DropReport, DroppedField, FdxTime, MAX_ID_BYTES, MAX_REPORTED_FIELDS, Version};
pub use replay::{Replay, ReplayCall, replay};
pub use scalar::{Amount, Date, DateTime};
pub use shape::{FieldGroup, Shaped};
pub use statement::{DOCUMENT_TYPES, Statement};
pub use transaction::{
    CommercialCode, CommercialTransaction, DepositTransaction, InsuranceTransaction, InvestmentTransaction,
    LineItem, LoanTransaction, LocTransaction, PaymentDetails, Reward, Transaction,
};
