//! Converts accounts of the ledger to FDX format, with their balances as of today.

use fdx::{
    Account, Amount, Currency, Date, DepositAccount, Domicile, Holding, InvestmentAccount, LoanAccount,
    LocAccount, Portion,
};
use jiff::ToSpan;
use jiff::civil;
use rust_decimal::Decimal;

use super::account_spec::{AccountKind, AccountSpec, DepositTerm, InvestmentPlan, LoanTerms};
use super::customers::CUSTOMERS;
use super::fdx_values::{money, noon, percent, units};
use super::investment::{PositionBalance, compute_position_balances};
use super::posting::Posting;
use super::posting_generator::months_between;
use super::securities::{find_security, last_business_day};
use super::snapshot::{Ledger, mask_number};

/// Builds an FDX account of any kind from the fields that all kinds have and those that only one kind has.
macro_rules! fdx_account {
    ($name:ident, $ledger:ident, $spec:ident, $category:literal, $account_type:expr, $balance_type:literal { $($field:ident: $value:expr),* $(,)? }) => {
        Box::new($name {
            account_id: Some($spec.id.into()),
            account_category: Some($category.into()),
            account_type: Some($account_type.into()),
            account_number_display: Some(mask_number(&$ledger.number($spec))),
            account_number: Some($ledger.number($spec)),
            product_name: Some($spec.name.into()),
            nickname: $spec.nickname.map(str::to_owned),
            status: Some($ledger.status($spec).into()),
            currency: Some($ledger.currency($spec)),
            line_of_business: Some($spec.line_of_business().into()),
            balance_type: Some($balance_type.into()),
            interest_rate: $spec.displayed_rate().map(percent),
            interest_rate_type: $spec.displayed_rate().map(|_| $spec.rate_type().into()),
            last_activity_date: $ledger.postings($spec).last().map(|posting| Date(posting.day)),
            balance_as_of: Some(noon($ledger.today)),
            transactions_included: Some(false),
            domicile: domicile($spec),
            $($field: $value,)*
            ..$name::default()
        })
    };
}

/// The balances of an account in cents.
struct Balances {
    /// The balance including pending postings.
    total: i64,
    posted: i64,
    posted_before_today: i64,
}

/// A holding with its value and the change of that value since yesterday, in cents.
struct ValuedHolding {
    holding: Holding,
    value: i64,
    daily_change: i64,
}

impl Ledger<'_> {
    pub(super) fn build_account(&self, spec: &AccountSpec) -> Account {
        match &spec.kind {
            AccountKind::Deposit { account_type, term } => {
                Account::DepositAccount(self.build_deposit(spec, account_type, *term))
            }
            AccountKind::Card { network, credit_limit, .. } => {
                let mut card = self.build_credit(spec, "CREDITCARD", *credit_limit);
                card.card_network = Some((*network).into());
                Account::LocAccount(card)
            }
            AccountKind::CreditLine { account_type, credit_limit } => {
                Account::LocAccount(self.build_credit(spec, account_type, *credit_limit))
            }
            AccountKind::Loan { account_type, terms } => {
                Account::LoanAccount(self.build_loan(spec, account_type, terms))
            }
            AccountKind::Investment(plan) => Account::InvestmentAccount(self.build_investment(spec, plan)),
        }
    }

    fn build_deposit(
        &self,
        spec: &AccountSpec,
        account_type: &str,
        term: Option<DepositTerm>,
    ) -> Box<DepositAccount> {
        let balances = self.compute_balances(spec);
        let is_payable = spec.is_payable();
        let new_year = civil::date(self.today.year(), 1, 1);
        let postings = self.postings(spec);
        let interest = postings.iter().filter(|p| p.kind == Some("INTEREST") && p.day >= new_year);
        fdx_account!(DepositAccount, self, spec, "DEPOSIT_ACCOUNT", account_type, "ASSET" {
            routing_transit_number: Some(self.catalog.routing_number.into()),
            transfer_in: Some(is_payable),
            transfer_out: Some(is_payable),
            bill_pay_status: Some(if is_payable { "ACTIVE" } else { "NOT_AVAILABLE" }.into()),
            current_balance: Some(money(balances.posted)),
            // The money of a term deposit is not available before maturity.
            available_balance: Some(money(if term.is_some() { 0 } else { balances.total })),
            opening_day_balance: Some(money(balances.posted_before_today)),
            annual_percentage_yield: spec.displayed_rate().map(percent),
            interest_ytd: spec.displayed_rate().map(|_| money(interest.map(|p| p.cents).sum())),
            term: term.map(|term| term.months),
            maturity_date: term.map(|term| Date(next_due_date(term.start_date, term.months, self.today))),
        })
    }

    fn build_credit(&self, spec: &AccountSpec, account_type: &str, credit_limit: i64) -> Box<LocAccount> {
        let balances = self.compute_balances(spec);
        let postings = self.postings(spec);
        let last_payment = postings.iter().rev().find(|p| p.kind == Some("PAYMENT"));
        let statement_day = last_monthly_date(25, self.today);
        let statement_debt = -(spec.opening + sum_cents(&postings, |p| p.day <= statement_day));
        let paid = sum_cents(&postings, |p| p.day > statement_day && p.kind == Some("PAYMENT"));
        let due = (statement_debt - paid).max(0);
        let minimum = due.min((due / 20).max(1_000));
        let is_card = matches!(spec.kind, AccountKind::Card { .. });
        // The same days as in `PostingGenerator`: cards are paid on the 20th, credit lines on the 15th.
        let due_day = next_monthly_date(if is_card { 20 } else { 15 }, self.today);
        let cash_limit = credit_limit / 5;
        fdx_account!(LocAccount, self, spec, "LOC_ACCOUNT", account_type, "LIABILITY" {
            transfer_in: Some(false),
            transfer_out: Some(!is_card),
            credit_line: Some(money(credit_limit)),
            available_credit: Some(money((credit_limit + balances.total).max(0))),
            // A debt is a negative balance in the ledger and a positive one in FDX.
            principal_balance: Some(money(-balances.posted)),
            current_balance: Some(money(-balances.posted)),
            next_payment_amount: Some(money(minimum)),
            next_payment_date: Some(Date(due_day)),
            minimum_payment_amount: Some(money(minimum)),
            last_payment_amount: last_payment.map(|p| money(p.displayed_cents)),
            last_payment_date: last_payment.map(|p| Date(p.day)),
            past_due_amount: Some(money(0)),
            last_stmt_balance: Some(money(statement_debt)),
            last_stmt_date: Some(Date(statement_day)),
            purchases_apr: Some(percent(spec.rate)),
            advances_apr: is_card.then(|| percent(2_299)),
            cash_advance_limit: is_card.then(|| money(cash_limit)),
            available_cash: is_card.then(|| money((credit_limit + balances.total).clamp(0, cash_limit))),
            finance_charges: Some(money(0)),
        })
    }

    fn build_loan(&self, spec: &AccountSpec, account_type: &str, terms: &LoanTerms) -> Box<LoanAccount> {
        let debt = -self.compute_balances(spec).posted;
        let postings = self.postings(spec);
        let last_payment = postings.last();
        let next_payment_day = next_due_date(terms.start_date, 1, self.today);
        let monthly_interest = debt * terms.monthly_rate_billionths / 1_000_000_000;
        let new_year = civil::date(self.today.year(), 1, 1);
        let interest_paid: i64 =
            postings.iter().filter(|p| p.day >= new_year).map(|p| p.displayed_cents - p.cents).sum();
        let end = terms.start_date.saturating_add(terms.months.months());
        let renewal = terms.renewal_months.map(|months| next_due_date(terms.start_date, months, self.today));
        let accrued_interest = i64::from(self.today.day()) * monthly_interest / 30;
        let payment = (debt > 0).then_some((debt + monthly_interest).min(terms.payment));
        fdx_account!(LoanAccount, self, spec, "LOAN_ACCOUNT", account_type, "LIABILITY" {
            transfer_in: Some(false),
            transfer_out: Some(false),
            principal_balance: Some(money(debt)),
            original_principal: Some(money(terms.original_principal)),
            originating_date: Some(Date(terms.start_date)),
            loan_term: Some(terms.months),
            total_number_of_payments: Some(terms.months),
            next_payment_amount: payment.map(money),
            next_payment_date: payment.map(|_| Date(next_payment_day)),
            payment_frequency: Some("MONTHLY".into()),
            compounding_period: Some(terms.compounding.into()),
            pay_off_amount: Some(money(debt + accrued_interest)),
            last_payment_amount: last_payment.map(|p| money(p.displayed_cents)),
            last_payment_date: last_payment.map(|p| Date(p.day)),
            maturity_date: Some(Date(renewal.unwrap_or(end))),
            interest_paid_year_to_date: Some(money(interest_paid)),
        })
    }

    fn build_investment(&self, spec: &AccountSpec, plan: &InvestmentPlan) -> Box<InvestmentAccount> {
        let cash = self.compute_balances(spec).total;
        let postings = self.postings(spec);
        let mut holdings = Vec::new();
        let (mut value, mut change) = (cash, 0);
        for (symbol, balance) in compute_position_balances(plan, &postings) {
            if let Some(valued) = self.build_holding(spec, plan, symbol, balance) {
                holdings.push(valued.holding);
                value += valued.value;
                change += valued.daily_change;
            }
        }
        // FDX lists cash as one of the holdings, so that their sum is the value of the account.
        holdings.push(cash_holding(spec, cash));
        // The change is relative to yesterday's value, which must not be zero because it is the divisor.
        let change_percent =
            Decimal::from(change) * Decimal::ONE_HUNDRED / Decimal::from((value - change).max(1));
        fdx_account!(InvestmentAccount, self, spec, "INVESTMENT_ACCOUNT", plan.account_type, "ASSET" {
            transfer_in: Some(true),
            transfer_out: Some(false),
            allowed_check_writing: Some(false),
            allowed_option_trade: Some(false),
            current_value: Some(money(value)),
            available_cash_balance: Some(money(cash)),
            margin: Some(false),
            daily_change: Some(money(change)),
            percentage_change: Some(Amount(change_percent.round_dp(2))),
            holdings: Some(holdings),
        })
    }

    /// Builds the holding of a security, or returns `None` if all its units have been sold.
    fn build_holding(
        &self,
        spec: &AccountSpec,
        plan: &InvestmentPlan,
        symbol: &str,
        balance: PositionBalance,
    ) -> Option<ValuedHolding> {
        let security = find_security(symbol).filter(|_| balance.units > 0)?;
        let market = self.market();
        let yesterday = self.today.yesterday().unwrap_or(self.today);
        let (price, previous_price) = (market.price(security, self.today), market.price(security, yesterday));
        let value = balance.units * price / 10_000;
        let first = plan.positions.iter().find(|position| position.symbol == symbol);
        let is_bond = security.kind == "BOND";
        let text = |text: &str| Some(text.to_owned());
        let holding = Holding {
            holding_id: Some(format!("{}-{}", spec.id, symbol.to_lowercase())),
            security_id: text(security.cusip),
            security_id_type: text("CUSIP"),
            holding_name: text(security.name),
            holding_type: text(security.kind),
            position_type: text("LONG"),
            held_in_account: text("CASH"),
            symbol: text(symbol),
            original_purchase_date: first.map(|position| Date(position.acquired_on)),
            purchased_price: Some(money(balance.cost * 10_000 / balance.units)),
            current_unit_price: Some(money(price)),
            change_in_price: Some(money(price - previous_price)),
            current_unit_price_date: Some(Date(last_business_day(self.today))),
            units: Some(units(balance.units)),
            market_value: Some(money(value)),
            // One unit of a bond has a face value of 100 dollars.
            face_value: is_bond.then(|| money(balance.units / 10_000 * 10_000)),
            average_cost: Some(true),
            cash_account: Some(false),
            rate: is_bond.then(|| percent(310)),
            expiration_date: is_bond.then(|| Date(civil::date(2033, 6, 1))),
            currency: Some(self.currency(spec)),
            asset_classes: Some(vec![Portion {
                asset_class: text(security.asset_class),
                percent: Some(Amount(Decimal::ONE_HUNDRED)),
            }]),
            ..Holding::default()
        };
        let daily_change = balance.units * (price - previous_price) / 10_000;
        Some(ValuedHolding { holding, value, daily_change })
    }

    fn compute_balances(&self, spec: &AccountSpec) -> Balances {
        let postings = self.postings(spec);
        let opening = if spec.closed { 0 } else { spec.opening };
        Balances {
            total: opening + sum_cents(&postings, |_| true),
            posted: opening + sum_cents(&postings, |p| p.posted_on <= self.today),
            posted_before_today: opening + sum_cents(&postings, |p| p.posted_on < self.today),
        }
    }

    fn status(&self, spec: &AccountSpec) -> &'static str {
        match &spec.kind {
            _ if spec.closed => "CLOSED",
            AccountKind::Loan { .. } if self.compute_balances(spec).posted == 0 => "PAID",
            _ => "OPEN",
        }
    }

    /// Returns the account's currency, with today's exchange rate to the Canadian dollar if it is a foreign currency.
    fn currency(&self, spec: &AccountSpec) -> Currency {
        let is_foreign = spec.currency != "CAD";
        Currency {
            currency_code: Some(spec.currency.into()),
            currency_rate: is_foreign.then(|| units(self.market().rate(spec.currency, self.today))),
            original_currency_code: is_foreign.then(|| "CAD".into()),
        }
    }
}

impl AccountSpec {
    fn line_of_business(&self) -> &'static str {
        match self.kind {
            AccountKind::Deposit { account_type, .. } | AccountKind::CreditLine { account_type, .. }
                if account_type.starts_with("COMMERCIAL") =>
            {
                "COMMERCIAL"
            }
            AccountKind::Investment(_) => "WEALTH",
            _ => "RETAIL",
        }
    }

    /// Returns the account's interest rate, or `None` if it is zero.
    fn displayed_rate(&self) -> Option<i64> {
        Some(self.rate).filter(|rate| *rate > 0)
    }

    const fn rate_type(&self) -> &'static str {
        match self.kind {
            AccountKind::Deposit { term: None, .. } | AccountKind::CreditLine { .. } => "VARIABLE",
            _ => "FIXED",
        }
    }
}

fn cash_holding(spec: &AccountSpec, cash: i64) -> Holding {
    Holding {
        holding_id: Some(format!("{}-cash", spec.id)),
        holding_name: Some(spec.currency.into()),
        holding_type: Some("OTHER".into()),
        holding_sub_type: Some("CASH".into()),
        position_type: Some("LONG".into()),
        held_in_account: Some("CASH".into()),
        current_unit_price: Some(money(100)),
        units: Some(money(cash)),
        market_value: Some(money(cash)),
        cash_account: Some(true),
        currency: Some(Currency { currency_code: Some(spec.currency.into()), ..Currency::default() }),
        ..Holding::default()
    }
}

fn domicile(spec: &AccountSpec) -> Option<Domicile> {
    let owner = CUSTOMERS.iter().find(|customer| spec.owners.first() == Some(&customer.username))?;
    Some(Domicile { region: Some(owner.region.into()), country: Some("CA".into()) })
}

fn sum_cents(postings: &[Posting], is_counted: impl Fn(&Posting) -> bool) -> i64 {
    postings.iter().filter(|posting| is_counted(posting)).map(|posting| posting.cents).sum()
}

/// Returns the first due date after today, if something is due every `months` months from the day `first` on.
fn next_due_date(first: civil::Date, months: i64, today: civil::Date) -> civil::Date {
    let periods = (months_between(first, today) / months).max(0);
    let nth = |n: i64| first.saturating_add((n * months).months());
    let day = nth(periods);
    if day > today { day } else { nth(periods + 1) }
}

fn last_monthly_date(number: i8, today: civil::Date) -> civil::Date {
    let month = if today.day() >= number { today } else { today.saturating_sub(1.month()) };
    civil::date(month.year(), month.month(), number)
}

fn next_monthly_date(number: i8, today: civil::Date) -> civil::Date {
    last_monthly_date(number, today).saturating_add(1.month())
}
