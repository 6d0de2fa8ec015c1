//! Transactions of six types. In FDX 5.x each transaction is in an object whose only key names its type. `amount` is an
//! absolute value; its sign is in `debitCreditMemo`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::FiAttribute;
use crate::entity::entity;
use crate::scalar::{Amount, Date, DateTime};
use crate::shape::{Field, Shape, Shaped, field};

entity! {
    /// One of the items of which a transaction consists.
    LineItem {
        description: String, amount: Amount, check_number: i64, memo: String, reference: String,
        image_ids: Vec<String>,
    }
}
entity! {
    /// An institution's code for a commercial transaction.
    CommercialCode { r#type: String, code: String }
}
entity! {
    /// The rewards of a transaction in a reward program.
    Reward { category_id: String, accrued: Amount, adjusted: Amount }
}
entity! {
    /// The parts of a payment on a debt, such as principal and interest.
    PaymentDetails {
        principal_amount: Amount, interest_amount: Amount, insurance_amount: Amount, escrow_amount: Amount,
        pmi_amount: Amount, fees_amount: Amount,
    }
}

/// Declares a transaction type with the fields that every transaction has and those that are given.
// `links` is omitted: the hub passes no URL of a provider on to recipients.
macro_rules! transaction {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        entity! {
            $(#[$meta])*
            $name {
                account_id: String,
                transaction_id: String,
                reference_transaction_id: String,
                posted_timestamp: DateTime,
                transaction_timestamp: DateTime,
                description: String,
                memo: String,
                debit_credit_memo: String,
                category: String,
                sub_category: String,
                reference: String,
                status: String,
                amount: Amount,
                foreign_amount: Amount,
                foreign_currency: String,
                image_ids: Vec<String>,
                line_item: Vec<LineItem>,
                reward: Reward,
                fi_attributes: Vec<FiAttribute>,
                transaction_type: String,
                $($field: $type),*
            }
        }
    };
}

transaction! {
    /// A transaction of a deposit account.
    DepositTransaction { payee: String, check_number: i64 }
}
transaction! {
    /// A transaction of a line of credit.
    LocTransaction { check_number: i64, payment_details: PaymentDetails }
}
transaction! {
    /// A transaction of a loan.
    LoanTransaction { payment_details: PaymentDetails }
}
transaction! {
    /// A transaction of an investment account.
    InvestmentTransaction {
        shares: Amount, face_value: Amount, price: Amount, security_id: String, security_id_type: String,
        security_type: String, symbol: String, markup: Amount, commission: Amount, taxes: Amount, fees: Amount,
        load: Amount, inv401k_source: String, confirmation_number: String, fractional_cash: Amount,
        income_type: String, old_units: Amount, split_ratio_numerator: Amount,
        split_ratio_denominator: Amount, new_units: Amount, sub_account_sec: String,
        sub_account_fund: String, loan_id: String, loan_principal: Amount, loan_interest: Amount,
        payroll_date: Date, prior_year_contrib: bool, withholding: Amount, tax_exempt: bool, gain: Amount,
        state_withholding: Amount, penalty: Amount, running_balance: Amount, unit_price: Amount,
        units: Amount, unit_type: String, transaction_reason: String, accrued_interest: Amount,
        transfer_action: String, position_type: String, digital_units: String,
        settlement_timestamp: DateTime,
    }
}
transaction! {
    /// A transaction of an insurance policy.
    InsuranceTransaction {}
}
transaction! {
    /// A transaction of a commercial account.
    CommercialTransaction {
        immediate_available_balance: Amount, next_day_available_balance: Amount,
        two_days_plus_available_balance: Amount, reference_bank_id: String, reference_branch_id: String,
        reference_customer_id: String, commercial_code: CommercialCode,
    }
}

/// A transaction in an object whose only key names its type, as in `{"depositTransaction":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each variant is named after its key in the standard")]
pub enum Transaction {
    DepositTransaction(Box<DepositTransaction>),
    LocTransaction(Box<LocTransaction>),
    LoanTransaction(Box<LoanTransaction>),
    InvestmentTransaction(Box<InvestmentTransaction>),
    InsuranceTransaction(Box<InsuranceTransaction>),
    CommercialTransaction(Box<CommercialTransaction>),
}

/// The types of transactions, by their keys.
pub(crate) const TRANSACTION_TYPES: &[Field] = &[
    field!(DepositTransaction: DepositTransaction),
    field!(LocTransaction: LocTransaction),
    field!(LoanTransaction: LoanTransaction),
    field!(InvestmentTransaction: InvestmentTransaction),
    field!(InsuranceTransaction: InsuranceTransaction),
    field!(CommercialTransaction: CommercialTransaction),
];

impl Shaped for Transaction {
    const SHAPE: &'static Shape = &Shape::Element(TRANSACTION_TYPES);
}

macro_rules! match_transaction {
    ($transaction:expr, $inner:ident => $body:expr) => {
        match $transaction {
            Transaction::DepositTransaction($inner) => $body,
            Transaction::LocTransaction($inner) => $body,
            Transaction::LoanTransaction($inner) => $body,
            Transaction::InvestmentTransaction($inner) => $body,
            Transaction::InsuranceTransaction($inner) => $body,
            Transaction::CommercialTransaction($inner) => $body,
        }
    };
}

impl Transaction {
    /// Returns the id of the transaction, if the provider sent one.
    pub fn id(&self) -> Option<&str> {
        match_transaction!(self, transaction => transaction.transaction_id.as_deref())
    }

    /// Returns the id of the transaction's account.
    pub fn account_id(&self) -> Option<&str> {
        match_transaction!(self, transaction => transaction.account_id.as_deref())
    }

    /// Replaces the id of the transaction's account.
    pub fn set_account_id(&mut self, id: String) {
        match_transaction!(self, transaction => transaction.account_id = Some(id));
    }
}
