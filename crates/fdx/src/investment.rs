//! The entities of an investment account, such as its holdings.

use crate::common::{Currency, FiAttribute};
use crate::entity::entity;
use crate::scalar::{Amount, Date};

entity! {
    /// The percentage of a holding that belongs to an asset class of the standard.
    Portion { asset_class: String, percent: Amount }
}
entity! {
    /// The percentage of a holding that belongs to an asset class of the institution.
    FiPortion { asset_class: String, percent: Amount }
}
entity! {
    /// A holding: a position in one security. `averageCost` is true if the cost is an average of all purchases.
    Holding {
        holding_id: String, security_id: String, security_id_type: String, holding_name: String,
        holding_type: String, holding_sub_type: String, position_type: String, held_in_account: String,
        description: String, symbol: String, original_purchase_date: Date, purchased_price: Amount,
        current_unit_price: Amount, change_in_price: Amount, current_unit_price_date: Date, units: Amount,
        market_value: Amount, face_value: Amount, average_cost: bool, cash_account: bool, rate: Amount,
        expiration_date: Date, inv401k_source: String, currency: Currency, asset_classes: Vec<Portion>,
        fi_asset_classes: Vec<FiPortion>, fi_attributes: Vec<FiAttribute>, digital_units: String,
    }
}
entity! {
    /// An order that is not filled yet.
    OpenOrder {
        order_id: String, security_id: String, security_id_type: String, symbol: String, description: String,
        units: Amount, order_type: String, order_date: Date, unit_price: Amount, unit_type: String,
        order_duration: String, sub_account: String, limit_price: Amount, stop_price: Amount,
        inv401k_source: String,
    }
}
entity! {
    /// The allocation of new contributions to a security.
    Contribution {
        security_id: String, security_id_type: String, employer_match_percentage: Amount,
        employer_match_amount: Amount, employee_pre_tax_amount: Amount, employee_pre_tax_percentage: Amount,
        employee_after_tax_amount: Amount, employee_after_tax_percentage: Amount,
        employee_defer_pre_tax_amount: Amount, employee_defer_pre_tax_percentage: Amount,
        employee_year_to_date: Amount, employer_year_to_date: Amount,
        rollover_contribution_percentage: Amount, rollover_contribution_amount: Amount,
    }
}
entity! {
    /// The vesting of an employer's contributions: the part that already belongs to the employee.
    Vesting {
        vesting_date: Date, symbol: String, strike_price: Amount, vesting_percentage: Amount,
        other_vest_amount: Amount, other_vest_percentage: Amount, vested_balance: Amount,
        un_vested_balance: Amount, vested_quantity: Amount, un_vested_quantity: Amount,
    }
}
entity! {
    /// A loan that the customer took from an investment account, such as a pension plan.
    InvestmentLoan {
        loan_id: String, loan_description: String, initial_loan_balance: Amount, loan_start_date: Date,
        current_loan_balance: Amount, date_as_of: Date, loan_rate: Amount, loan_payment_amount: Amount,
        loan_payment_frequency: String, loan_payments_remaining: i64, loan_maturity_date: Date,
        loan_interest_to_date: Amount, loan_total_projected_interest: Amount, loan_next_payment_date: Date,
    }
}
entity! {
    /// A balance of an investment account, with a name that the institution chooses.
    InvestmentBalance {
        balance_name: String, balance_description: String, balance_type: String, balance_value: Amount,
        balance_date: Date, currency: Currency,
    }
}
entity! {
    /// A source from which a pension is paid, with its amount and date.
    PensionSource {
        display_name: String, amount: Amount, payment_option: String, as_of_date: Date, frequency: String,
        start_date: Date,
    }
}
