//! Bookings as FDX shows them. A pending one and its posted form have different ids (the latter names the
//! former); a pending one has no posting time.

use fdx::{
    Amount, DepositTransaction, InvestmentTransaction, LoanTransaction, LocTransaction, PaymentDetails,
    Timestamp, Transaction,
};
use jiff::civil;
use rust_decimal::Decimal;

use super::bookings::{Booking, Detail};
use super::ledger::{Kind, Ledger};
use super::market::security;
use super::{Book, at, money, noon, units};

/// The fields that every kind has.
macro_rules! common {
    ($name:ident, $book:ident, $ledger:ident, $booking:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let pending = $booking.posts > $book.today;
        let draw = $book.transaction_id($ledger, $booking);
        let waited = $booking.posts > $booking.day;
        let (abroad, currency, memo) = abroad(&$booking.detail, $ledger.currency);
        Box::new($name {
            account_id: Some($ledger.id.into()),
            reference_transaction_id: (waited && !pending).then(|| format!("p-{draw}")),
            transaction_id: Some(format!("{}-{draw}", if pending { "p" } else { "t" })),
            posted_timestamp: (!pending).then(|| posted_at($booking)),
            transaction_timestamp: Some(at($booking.day, $booking.minute)),
            description: Some($booking.says.clone()),
            memo,
            debit_credit_memo: Some(direction($booking).into()),
            category: Some($booking.category.into()),
            status: Some(if pending { "PENDING" } else { "POSTED" }.into()),
            amount: Some(money($booking.shown.abs())),
            foreign_amount: abroad,
            foreign_currency: currency,
            transaction_type: $booking.kind.map(str::to_owned),
            $($field: $value,)*
            ..$name::default()
        })
    }};
}

impl Book<'_> {
    pub(super) fn transaction(&self, ledger: &Ledger, booking: &Booking) -> Transaction {
        match &ledger.kind {
            Kind::Deposit { .. } => self.of_deposit(ledger, booking),
            Kind::Card { .. } | Kind::Line { .. } => {
                Transaction::LocTransaction(common!(LocTransaction, self, ledger, booking {}))
            }
            Kind::Loan { .. } => Transaction::LoanTransaction(common!(
                LoanTransaction,
                self,
                ledger,
                booking { payment_details: split(&booking.detail) }
            )),
            Kind::Plan(_) => self.of_plan(ledger, booking),
        }
    }

    fn of_deposit(&self, ledger: &Ledger, booking: &Booking) -> Transaction {
        let cheque = if let Detail::Cheque(number) = booking.detail { Some(number) } else { None };
        let says = booking.says.trim_start_matches("CHEQUE ").trim_start_matches("CHÈQUE ");
        let to = matches!(booking.kind, Some("BILLPAYMENT" | "CHECK")).then(|| says.to_owned());
        Transaction::DepositTransaction(common!(
            DepositTransaction,
            self,
            ledger,
            booking { payee: to, check_number: cheque }
        ))
    }

    fn of_plan(&self, ledger: &Ledger, booking: &Booking) -> Transaction {
        let draw = self.transaction_id(ledger, booking);
        let mut shown = common!(InvestmentTransaction, self, ledger, booking { fees: Some(money(0)) });
        if let Detail::Trade { symbol, units: number, price, commission } = booking.detail
            && let Some(security) = security(symbol)
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
            shown.settlement_timestamp = Some(noon(booking.posts));
        }
        Transaction::InvestmentTransaction(shown)
    }

    fn transaction_id(&self, ledger: &Ledger, booking: &Booking) -> String {
        let label = format!("{}/{}/{}", ledger.id, booking.day, booking.nth);
        crate::random::derived(self.seed, &label)[..20].to_owned()
    }
}

fn direction(booking: &Booking) -> &'static str {
    match booking.cents {
        0 => "MEMO",
        cents if cents < 0 => "DEBIT",
        _ => "CREDIT",
    }
}

fn posted_at(booking: &Booking) -> Timestamp {
    if booking.posts == booking.day { at(booking.day, booking.minute) } else { at(booking.posts, 510) }
}

fn split(detail: &Detail) -> Option<PaymentDetails> {
    let Detail::Split { principal, interest } = detail else { return None };
    Some(PaymentDetails {
        principal_amount: Some(money(*principal)),
        interest_amount: Some(money(*interest)),
        ..PaymentDetails::default()
    })
}

/// The amount in another currency, that currency, and a line that says both.
fn abroad(detail: &Detail, own: &str) -> (Option<Amount>, Option<String>, Option<String>) {
    let Detail::Abroad { cents, currency, rate } = detail else { return (None, None, None) };
    let (amount, rate) = (money(*cents), Decimal::new(*rate, 4));
    let memo = format!("{currency} {} @ {rate} {own}", amount.0);
    (Some(amount), Some((*currency).to_owned()), Some(memo))
}

/// When a transaction happened, for the date filter.
pub(in crate::bank) fn happened_on(transaction: &Transaction) -> Option<civil::Date> {
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
