//! Bookings as FDX shows them. A pending one and its posted form have different ids (the latter names the
//! former); a pending one has no posting time.

use fdx::{
    Amount, DateTime, DepositTransaction, InvestmentTransaction, LoanTransaction, LocTransaction,
    PaymentDetails, Transaction,
};
use jiff::civil;
use rust_decimal::Decimal;

use super::ledger::{Kind, Ledger};
use super::postings::{Detail, Posting};
use super::securities::find_security;
use super::{Book, money, noon, timestamp_at, units};

/// The fields that every kind has.
macro_rules! fdx_transaction {
    ($name:ident, $book:ident, $ledger:ident, $booking:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let pending = $booking.posted_on > $book.today;
        let draw = $book.transaction_id($ledger, $booking);
        let waited = $booking.posted_on > $booking.day;
        let (abroad, currency, memo) = foreign_amount(&$booking.detail, $ledger.currency);
        Box::new($name {
            account_id: Some($ledger.id.into()),
            reference_transaction_id: (waited && !pending).then(|| format!("p-{draw}")),
            transaction_id: Some(format!("{}-{draw}", if pending { "p" } else { "t" })),
            posted_timestamp: (!pending).then(|| posted_at($booking)),
            transaction_timestamp: Some(timestamp_at($booking.day, $booking.minute)),
            description: Some($booking.description.clone()),
            memo,
            debit_credit_memo: Some(direction($booking).into()),
            category: Some($booking.category.into()),
            status: Some(if pending { "PENDING" } else { "POSTED" }.into()),
            amount: Some(money($booking.displayed_cents.abs())),
            foreign_amount: abroad,
            foreign_currency: currency,
            transaction_type: $booking.kind.map(str::to_owned),
            $($field: $value,)*
            ..$name::default()
        })
    }};
}

impl Book<'_> {
    pub(super) fn build_transaction(&self, ledger: &Ledger, booking: &Posting) -> Transaction {
        match &ledger.kind {
            Kind::Deposit { .. } => self.build_deposit_transaction(ledger, booking),
            Kind::Card { .. } | Kind::Line { .. } => {
                Transaction::LocTransaction(fdx_transaction!(LocTransaction, self, ledger, booking {}))
            }
            Kind::Loan { .. } => Transaction::LoanTransaction(fdx_transaction!(
                LoanTransaction,
                self,
                ledger,
                booking { payment_details: payment_details(&booking.detail) }
            )),
            Kind::Plan(_) => self.build_investment_transaction(ledger, booking),
        }
    }

    fn build_deposit_transaction(&self, ledger: &Ledger, booking: &Posting) -> Transaction {
        let cheque = if let Detail::Cheque(number) = booking.detail { Some(number) } else { None };
        let says = booking.description.trim_start_matches("CHEQUE ").trim_start_matches("CHÈQUE ");
        let to = matches!(booking.kind, Some("BILLPAYMENT" | "CHECK")).then(|| says.to_owned());
        Transaction::DepositTransaction(fdx_transaction!(
            DepositTransaction,
            self,
            ledger,
            booking { payee: to, check_number: cheque }
        ))
    }

    fn build_investment_transaction(&self, ledger: &Ledger, booking: &Posting) -> Transaction {
        let draw = self.transaction_id(ledger, booking);
        let mut shown =
            fdx_transaction!(InvestmentTransaction, self, ledger, booking { fees: Some(money(0)) });
        if let Detail::Trade { symbol, units: number, price, commission } = booking.detail
            && let Some(security) = find_security(symbol)
        {
            shown.symbol = Some(symbol.into());
            shown.security_id = Some(security.cusip.into());
            shown.security_id_type = Some("CUSIP".into());
            shown.security_type = Some(security.kind.into());
            shown.units = Some(units(number.abs()));
            shown.shares = Some(units(number));
            shown.unit_type = Some("SHARES".into());
            shown.unit_price = Some(money(price));
            shown.price = Some(money(price));
            shown.commission = Some(money(commission));
            shown.confirmation_number = Some(draw[..8].to_uppercase());
            shown.settlement_timestamp = Some(noon(booking.posted_on));
        }
        Transaction::InvestmentTransaction(shown)
    }

    fn transaction_id(&self, ledger: &Ledger, booking: &Posting) -> String {
        let label = format!("{}/{}/{}", ledger.id, booking.day, booking.nth);
        crate::random::derive_text(self.seed, &label)[..20].to_owned()
    }
}

fn direction(booking: &Posting) -> &'static str {
    match booking.cents {
        0 => "MEMO",
        cents if cents < 0 => "DEBIT",
        _ => "CREDIT",
    }
}

fn posted_at(booking: &Posting) -> DateTime {
    if booking.posted_on == booking.day {
        timestamp_at(booking.day, booking.minute)
    } else {
        timestamp_at(booking.posted_on, 510)
    }
}

fn payment_details(detail: &Detail) -> Option<PaymentDetails> {
    let Detail::Split { principal, interest } = detail else { return None };
    Some(PaymentDetails {
        principal_amount: Some(money(*principal)),
        interest_amount: Some(money(*interest)),
        ..PaymentDetails::default()
    })
}

/// The amount in another currency, that currency, and a line that says both.
fn foreign_amount(detail: &Detail, own: &str) -> (Option<Amount>, Option<String>, Option<String>) {
    let Detail::ForeignCurrency { cents, currency, rate } = detail else { return (None, None, None) };
    let (amount, rate) = (money(*cents), Decimal::new(*rate, 4));
    let memo = format!("{currency} {} @ {rate} {own}", amount.0);
    (Some(amount), Some((*currency).to_owned()), Some(memo))
}

/// When a transaction happened, for the date filter.
pub(in crate::bank) fn transaction_date(transaction: &Transaction) -> Option<civil::Date> {
    let at = match transaction {
        Transaction::DepositTransaction(t) => t.transaction_timestamp,
        Transaction::LocTransaction(t) => t.transaction_timestamp,
        Transaction::LoanTransaction(t) => t.transaction_timestamp,
        Transaction::InvestmentTransaction(t) => t.transaction_timestamp,
        Transaction::InsuranceTransaction(t) => t.transaction_timestamp,
        Transaction::CommercialTransaction(t) => t.transaction_timestamp,
    };
    at.map(|at| at.0.to_zoned(jiff::tz::TimeZone::UTC).date())
}
