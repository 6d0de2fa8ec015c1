//! Accounts of seven types. In FDX 5.x each account is in an object whose only key names its type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Currency, Domicile, FiAttribute};
use crate::entity::entity;
use crate::error::ErrorBody;
use crate::investment::{
    Contribution, Holding, InvestmentBalance, InvestmentLoan, OpenOrder, PensionSource, Vesting,
};
use crate::scalar::{Amount, Date, DateTime};
use crate::shape::{Field, Shape, Shaped, field};

entity! {
    /// A bill for the premium of an insurance policy.
    Bill {
        total_payment_due: Amount, minimum_payment_due: Amount, due_date: Date, auto_pay_enabled: bool,
        auto_pay_amount: Amount, auto_pay_date: Date, past_due_amount: Amount, last_payment_amount: Amount,
        last_payment_date: Date, statement_balance: Amount, statement_date: Date,
    }
}
entity! {
    /// The appearance of a card, such as the name of its design.
    // `imageUri` is omitted: the hub passes no URL of a provider on to recipients.
    CardArt { label: String }
}

/// Declares an account type with the fields that every account has and those that are given.
macro_rules! account {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        entity! {
            $(#[$meta])*
            $name {
                account_id: String,
                error: ErrorBody,
                account_category: String,
                account_type: String,
                account_number: String,
                account_number_display: String,
                product_name: String,
                nickname: String,
                status: String,
                description: String,
                currency: Currency,
                fi_attributes: Vec<FiAttribute>,
                parent_account_id: String,
                line_of_business: String,
                routing_transit_number: String,
                balance_type: String,
                interest_rate: Amount,
                interest_rate_type: String,
                interest_rate_as_of: DateTime,
                prior_interest_rate: Amount,
                transfer_in: bool,
                transfer_out: bool,
                bill_pay_status: String,
                micr_number: String,
                last_activity_date: Date,
                reward_program_id: String,
                transactions_included: bool,
                domicile: Domicile,
                balance_as_of: DateTime,
                $($field: $type),*
            }
        }
    };
}

account! {
    /// A deposit account, such as a checking or savings account.
    DepositAccount {
        current_balance: Amount, opening_day_balance: Amount, available_balance: Amount,
        annual_percentage_yield: Amount, interest_ytd: Amount, term: i64, maturity_date: Date,
    }
}
account! {
    /// A line of credit, including credit cards.
    LocAccount {
        credit_line: Amount, available_credit: Amount, next_payment_amount: Amount, next_payment_date: Date,
        principal_balance: Amount, current_balance: Amount, minimum_payment_amount: Amount,
        last_payment_amount: Amount, last_payment_date: Date, past_due_amount: Amount, last_stmt_balance: Amount,
        last_stmt_date: Date, purchases_apr: Amount, advances_apr: Amount, cash_advance_limit: Amount,
        available_cash: Amount, finance_charges: Amount, card_network: String, card_art: CardArt,
    }
}
account! {
    /// A loan, such as a mortgage.
    LoanAccount {
        principal_balance: Amount, escrow_balance: Amount, original_principal: Amount, originating_date: Date,
        loan_term: i64, total_number_of_payments: i64, next_payment_amount: Amount, next_payment_date: Date,
        payment_frequency: String, compounding_period: String, pay_off_amount: Amount,
        last_payment_amount: Amount, last_payment_date: Date, maturity_date: Date,
        interest_paid_year_to_date: Amount,
    }
}
account! {
    /// An investment account with its holdings.
    InvestmentAccount {
        allowed_check_writing: bool, allowed_option_trade: bool, current_value: Amount,
        holdings: Vec<Holding>, open_orders: Vec<OpenOrder>, contribution: Vec<Contribution>,
        vesting: Vec<Vesting>, investment_loans: Vec<InvestmentLoan>, balance_list: Vec<InvestmentBalance>,
        pension_source: Vec<PensionSource>,
        available_cash_balance: Amount, margin: bool, margin_balance: Amount, short_balance: Amount,
        rollover_amount: Amount, employer_name: String, broker_id: String, plan_id: String,
        calendar_year_for401_k: Date, daily_change: Amount, percentage_change: Amount,
    }
}
account! {
    /// An insurance policy, such as life insurance.
    InsuranceAccount {
        policy_premium: Amount, policy_premium_term: String, policy_start_date: Date, policy_status: String,
        policy_end_date: Date, policy_coverage_amount: Amount, bills: Vec<Bill>,
    }
}
account! {
    /// An annuity contract, which pays the customer regularly.
    AnnuityAccount { annuity_product_type: String, annuity_value_basis: String, payment_amount: Amount, surrender_value: Amount }
}
account! {
    /// A commercial account of a business.
    CommercialAccount {
        opening_ledger_balance: Amount, closing_ledger_balance: Amount, current_ledger_balance: Amount,
        opening_available_balance: Amount, closing_available_balance: Amount, current_available_balance: Amount,
        next_day_available_balance: Amount, two_days_plus_available_balance: Amount,
    }
}

/// An account in an object whose only key names its type, as in `{"depositAccount":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each variant is named after its key in the standard")]
pub enum Account {
    DepositAccount(Box<DepositAccount>),
    LocAccount(Box<LocAccount>),
    LoanAccount(Box<LoanAccount>),
    InvestmentAccount(Box<InvestmentAccount>),
    InsuranceAccount(Box<InsuranceAccount>),
    AnnuityAccount(Box<AnnuityAccount>),
    CommercialAccount(Box<CommercialAccount>),
}

/// The types of accounts, by their keys.
pub(crate) const ACCOUNT_TYPES: &[Field] = &[
    field!(DepositAccount: DepositAccount),
    field!(LocAccount: LocAccount),
    field!(LoanAccount: LoanAccount),
    field!(InvestmentAccount: InvestmentAccount),
    field!(InsuranceAccount: InsuranceAccount),
    field!(AnnuityAccount: AnnuityAccount),
    field!(CommercialAccount: CommercialAccount),
];

impl Shaped for Account {
    const SHAPE: &'static Shape = &Shape::Element(ACCOUNT_TYPES);
}

macro_rules! match_account {
    ($account:expr, $inner:ident => $body:expr) => {
        match $account {
            Account::DepositAccount($inner) => $body,
            Account::LocAccount($inner) => $body,
            Account::LoanAccount($inner) => $body,
            Account::InvestmentAccount($inner) => $body,
            Account::InsuranceAccount($inner) => $body,
            Account::AnnuityAccount($inner) => $body,
            Account::CommercialAccount($inner) => $body,
        }
    };
}

/// Creates an account of the given type that has only the fields of `resultType=lightweight`.
macro_rules! lightweight_account {
    ($name:ident, $account:expr) => {
        Box::new($name {
            account_id: $account.account_id,
            account_category: $account.account_category,
            account_type: $account.account_type,
            account_number_display: $account.account_number_display,
            product_name: $account.product_name,
            nickname: $account.nickname,
            status: $account.status,
            description: $account.description,
            currency: $account.currency,
            ..$name::default()
        })
    };
}

impl Account {
    /// Returns the id of the account, if the provider sent one.
    pub fn id(&self) -> Option<&str> {
        match_account!(self, account => account.account_id.as_deref())
    }

    /// Replaces the id of the account, for example with the opaque id that recipients see.
    pub fn set_id(&mut self, id: String) {
        match_account!(self, account => account.account_id = Some(id));
    }

    /// Returns a mutable reference to the id of the parent account, which must be replaced in the same way as the id of
    /// the account.
    pub const fn parent_id_mut(&mut self) -> &mut Option<String> {
        match_account!(self, account => &mut account.parent_account_id)
    }

    /// Keeps only the fields of `resultType=lightweight`.
    #[must_use]
    pub fn into_lightweight(self) -> Self {
        match self {
            Self::DepositAccount(a) => Self::DepositAccount(lightweight_account!(DepositAccount, a)),
            Self::LocAccount(a) => Self::LocAccount(lightweight_account!(LocAccount, a)),
            Self::LoanAccount(a) => Self::LoanAccount(lightweight_account!(LoanAccount, a)),
            Self::InvestmentAccount(a) => Self::InvestmentAccount(lightweight_account!(InvestmentAccount, a)),
            Self::InsuranceAccount(a) => Self::InsuranceAccount(lightweight_account!(InsuranceAccount, a)),
            Self::AnnuityAccount(a) => Self::AnnuityAccount(lightweight_account!(AnnuityAccount, a)),
            Self::CommercialAccount(a) => Self::CommercialAccount(lightweight_account!(CommercialAccount, a)),
        }
    }

    /// Removes the fields that allow payments: the full account number, routing number and MICR number.
    pub fn remove_payment_details(&mut self) {
        match_account!(self, account => {
            // `accountNumberDisplay` stays: it shows only the last digits.
            account.account_number = None;
            account.routing_transit_number = None;
            account.micr_number = None;
        });
    }

    /// Removes the messages of the error that an institution reported for this account. The code remains.
    pub fn remove_error_messages(&mut self) {
        match_account!(self, account => if let Some(error) = &mut account.error {
            error.message = None;
            error.debug_message = None;
        });
    }

    /// Removes the fields of the data cluster INVESTMENTS: holdings and everything related to them.
    pub fn remove_holdings(&mut self) {
        if let Self::InvestmentAccount(account) = self {
            account.holdings = None;
            account.open_orders = None;
            account.contribution = None;
            account.vesting = None;
            account.investment_loans = None;
            account.pension_source = None;
        }
    }
}
