//! Converts postings to transactions in FDX format.
//!
//! A pending transaction and its posted form have different ids, and the posted one refers to the pending one. A
//! pending transaction has no posting time.

use fdx::{
    Amount, DateTime, DepositTransaction, InvestmentTransaction, LoanTransaction, LocTransaction,
    PaymentDetails, Transaction,
};
use jiff::civil;
use rust_decimal::Decimal;

use super::account_spec::{AccountKind, AccountSpec};
use super::fdx_values::{money, noon, timestamp_at, units};
use super::posting::{Posting, PostingDetail};
use super::securities::find_security;
use super::snapshot::Ledger;

/// Builds an FDX transaction of any kind from the fields that all kinds have and those that only one kind has.
macro_rules! fdx_transaction {
    ($name:ident, $ledger:ident, $spec:ident, $posting:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let is_pending = $posting.posted_on > $ledger.today;
        let was_pending = $posting.posted_on > $posting.day;
        let id = $ledger.transaction_id($spec, $posting);
        let (foreign_amount, foreign_currency, memo) = foreign_amount(&$posting.detail, $spec.currency);
        Box::new($name {
            account_id: Some($spec.id.into()),
            reference_transaction_id: (was_pending && !is_pending).then(|| format!("p-{id}")),
            transaction_id: Some(format!("{}-{id}", if is_pending { "p" } else { "t" })),
            posted_timestamp: (!is_pending).then(|| posted_at($posting)),
            transaction_timestamp: Some(timestamp_at($posting.day, $posting.minute)),
            description: Some($posting.description.clone()),
            memo,
            debit_credit_memo: Some(debit_credit_memo($posting).into()),
            category: Some($posting.category.into()),
            status: Some(if is_pending { "PENDING" } else { "POSTED" }.into()),
            amount: Some(money($posting.displayed_cents.abs())),
            foreign_amount,
            foreign_currency,
            transaction_type: $posting.kind.map(str::to_owned),
            $($field: $value,)*
            ..$name::default()
        })
    }};
}

impl Ledger<'_> {
    pub(super) fn build_transaction(&self, spec: &AccountSpec, posting: &Posting) -> Transaction {
        match &spec.kind {
            AccountKind::Deposit { .. } => self.build_deposit_transaction(spec, posting),
            AccountKind::Card { .. } | AccountKind::CreditLine { .. } => {
                Transaction::LocTransaction(fdx_transaction!(LocTransaction, self, spec, posting {}))
            }
            AccountKind::Loan { .. } => Transaction::LoanTransaction(fdx_transaction!(
                LoanTransaction,
                self,
                spec,
                posting { payment_details: payment_details(&posting.detail) }
            )),
            AccountKind::Investment(_) => self.build_investment_transaction(spec, posting),
        }
    }

    fn build_deposit_transaction(&self, spec: &AccountSpec, posting: &Posting) -> Transaction {
        let check_number =
            if let PostingDetail::Cheque(number) = posting.detail { Some(number) } else { None };
        // The descriptions of bill payments and cheques name the payee.
        let payee = posting.description.trim_start_matches("CHEQUE ").trim_start_matches("CHÈQUE ");
        let payee = matches!(posting.kind, Some("BILLPAYMENT" | "CHECK")).then(|| payee.to_owned());
        Transaction::DepositTransaction(fdx_transaction!(
            DepositTransaction,
            self,
            spec,
            posting { payee: payee, check_number: check_number }
        ))
    }

    fn build_investment_transaction(&self, spec: &AccountSpec, posting: &Posting) -> Transaction {
        let id = self.transaction_id(spec, posting);
        let mut transaction =
            fdx_transaction!(InvestmentTransaction, self, spec, posting { fees: Some(money(0)) });
        if let PostingDetail::Trade { symbol, units: traded, price, commission } = posting.detail
            && let Some(security) = find_security(symbol)
        {
            transaction.symbol = Some(symbol.into());
            transaction.security_id = Some(security.cusip.into());
            transaction.security_id_type = Some("CUSIP".into());
            transaction.security_type = Some(security.kind.into());
            // FDX states the number of units without a sign, and the change of the position with one.
            transaction.units = Some(units(traded.abs()));
            transaction.shares = Some(units(traded));
            transaction.unit_type = Some("SHARES".into());
            transaction.unit_price = Some(money(price));
            transaction.price = Some(money(price));
            transaction.commission = Some(money(commission));
            transaction.confirmation_number = Some(id[..8].to_uppercase());
            transaction.settlement_timestamp = Some(noon(posting.posted_on));
        }
        Transaction::InvestmentTransaction(transaction)
    }

    fn transaction_id(&self, spec: &AccountSpec, posting: &Posting) -> String {
        let label = format!("{}/{}/{}", spec.id, posting.day, posting.nth);
        crate::random::derive_text(self.seed, &label)[..20].to_owned()
    }
}

fn debit_credit_memo(posting: &Posting) -> &'static str {
    match posting.cents {
        0 => "MEMO",
        cents if cents < 0 => "DEBIT",
        _ => "CREDIT",
    }
}

fn posted_at(posting: &Posting) -> DateTime {
    if posting.posted_on == posting.day {
        timestamp_at(posting.day, posting.minute)
    } else {
        // Pending postings are settled at 08:30.
        timestamp_at(posting.posted_on, 510)
    }
}

fn payment_details(detail: &PostingDetail) -> Option<PaymentDetails> {
    let PostingDetail::Split { principal, interest } = detail else { return None };
    Some(PaymentDetails {
        principal_amount: Some(money(*principal)),
        interest_amount: Some(money(*interest)),
        ..PaymentDetails::default()
    })
}

/// Returns the foreign amount and currency of a posting, and a memo with the exchange rate.
fn foreign_amount(
    detail: &PostingDetail,
    account_currency: &str,
) -> (Option<Amount>, Option<String>, Option<String>) {
    let PostingDetail::ForeignCurrency { cents, currency, rate } = detail else { return (None, None, None) };
    let (amount, rate) = (money(*cents), Decimal::new(*rate, 4));
    let memo = format!("{currency} {} @ {rate} {account_currency}", amount.0);
    (Some(amount), Some((*currency).to_owned()), Some(memo))
}

/// Returns the day with which the date filter of the FDX API compares a transaction: the day on which it was posted, or
/// else on which it occurred.
pub(crate) fn transaction_date(transaction: &Transaction) -> Option<civil::Date> {
    let (posted, occurred) = match transaction {
        Transaction::DepositTransaction(t) => (t.posted_timestamp, t.transaction_timestamp),
        Transaction::LocTransaction(t) => (t.posted_timestamp, t.transaction_timestamp),
        Transaction::LoanTransaction(t) => (t.posted_timestamp, t.transaction_timestamp),
        Transaction::InvestmentTransaction(t) => (t.posted_timestamp, t.transaction_timestamp),
        Transaction::InsuranceTransaction(t) => (t.posted_timestamp, t.transaction_timestamp),
        Transaction::CommercialTransaction(t) => (t.posted_timestamp, t.transaction_timestamp),
    };
    posted.or(occurred).map(|at| at.0.to_zoned(jiff::tz::TimeZone::UTC).date())
}
