//! Lesson 6: FDX in the words of a reader. Seven kinds of account, six kinds of transaction, one way to show each.

use fdx::{Account, Amount, Date, Transaction};
use serde::Deserialize;

use super::words::day_of;
use crate::text::Text;

/// An account as it is shown. `facts` has what is worth knowing, the main balance first.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) number: String,
    pub(super) kind: &'static str,
    pub(super) closed: bool,
    pub(super) currency: String,
    pub(super) facts: Vec<(&'static str, String)>,
}

macro_rules! card {
    ($text:ident, $account:expr, $kind:literal, money [$($balance:literal $amount:ident),*], days [$($due:literal $day:ident),*]) => {{
        let (account, text) = ($account, $text);
        let currency = account.currency.as_ref().and_then(|c| c.currency_code.clone());
        let currency = currency.unwrap_or_else(|| "CAD".to_owned());
        let money: &[(&'static str, Option<Amount>)] = &[$(($balance, account.$amount)),*];
        let days: &[(&'static str, Option<Date>)] = &[$(($due, account.$day)),*];
        let mut facts: Vec<(&'static str, String)> = Vec::new();
        facts.extend(money.iter().filter_map(|(key, amount)| Some((*key, text.money((*amount)?, &currency)))));
        facts.extend(account.interest_rate.map(|rate| ("demo-interest", text.rate(rate))));
        facts.extend(days.iter().filter_map(|(key, day)| Some((*key, text.day((*day)?)))));
        let name = account.nickname.as_ref().or(account.product_name.as_ref()).cloned();
        Card {
            id: account.account_id.clone().unwrap_or_default(),
            name: name.unwrap_or_else(|| text.t($kind)),
            number: masked(account.account_number_display.as_deref().unwrap_or_default()),
            kind: $kind,
            closed: account.status.as_deref() == Some("CLOSED"),
            currency,
            facts,
        }
    }};
}

impl Card {
    pub(super) fn of(text: Text, account: &Account) -> Self {
        match account {
            Account::DepositAccount(a) => card!(text, a, "demo-deposit",
                money ["demo-balance" current_balance, "demo-available" available_balance],
                days ["demo-maturity" maturity_date]),
            Account::LocAccount(a) => card!(text, a, "demo-loc",
                money ["demo-owed" current_balance, "demo-credit" available_credit, "demo-limit" credit_line,
                    "demo-minimum" minimum_payment_amount, "demo-next-payment" next_payment_amount],
                days ["demo-due" next_payment_date]),
            Account::LoanAccount(a) => card!(text, a, "demo-loan",
                money ["demo-principal" principal_balance, "demo-next-payment" next_payment_amount,
                    "demo-original" original_principal],
                days ["demo-due" next_payment_date, "demo-maturity" maturity_date]),
            Account::InvestmentAccount(a) => card!(text, a, "demo-investment",
                money ["demo-value" current_value, "demo-cash" available_cash_balance],
                days []),
            Account::InsuranceAccount(a) => card!(text, a, "demo-insurance",
                money ["demo-coverage" policy_coverage_amount, "demo-premium" policy_premium],
                days ["demo-until" policy_end_date]),
            Account::AnnuityAccount(a) => card!(text, a, "demo-annuity",
                money ["demo-surrender" surrender_value, "demo-payment" payment_amount],
                days []),
            Account::CommercialAccount(a) => card!(text, a, "demo-commercial",
                money ["demo-balance" current_ledger_balance, "demo-available" current_available_balance],
                days []),
        }
    }
}

/// The last four characters, whatever a provider sends.
fn masked(display: &str) -> String {
    let known: Vec<char> = display.chars().filter(char::is_ascii_alphanumeric).collect();
    let last: String = known[known.len().saturating_sub(4)..].iter().collect();
    if last.is_empty() { last } else { format!("•••• {last}") }
}

/// What an investment account holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holding {
    #[serde(rename = "holdingName")]
    name: Option<String>,
    symbol: Option<String>,
    units: Option<Amount>,
    current_unit_price: Option<Amount>,
    market_value: Option<Amount>,
}

/// The holdings within an account's answer.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Holdings {
    investment_account: HoldingList,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HoldingList {
    holdings: Vec<Holding>,
}

impl Holdings {
    /// Name, units, price and value of each.
    pub(super) fn rows(&self, text: Text, currency: &str) -> Vec<[String; 4]> {
        let money = |amount: Option<Amount>| amount.map(|a| text.money(a, currency)).unwrap_or_default();
        let row = |holding: &Holding| {
            let name = [holding.name.as_deref(), holding.symbol.as_deref()];
            let name = name.into_iter().flatten().collect::<Vec<_>>().join(" · ");
            let units = holding.units.map(|units| text.number(units)).unwrap_or_default();
            [name, units, money(holding.current_unit_price), money(holding.market_value)]
        };
        self.investment_account.holdings.iter().map(row).collect()
    }
}

/// A transaction as it is shown.
pub(super) struct Row {
    pub(super) day: Option<Date>,
    pub(super) what: String,
    pub(super) category: String,
    /// Signed: what goes out is negative.
    pub(super) amount: Amount,
    pub(super) foreign: Option<(Amount, String)>,
    pub(super) pending: bool,
    /// Whether it is of an account that one spends from.
    pub(super) everyday: bool,
}

macro_rules! row {
    ($transaction:expr, $payee:expr, $everyday:literal) => {{
        let t = $transaction;
        let payee: Option<&String> = $payee;
        let out = t.debit_credit_memo.as_deref() == Some("DEBIT");
        let amount = t.amount.map_or_else(Default::default, |amount| amount.0);
        let mut what: Vec<&str> = [t.description.as_ref(), payee, t.memo.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        what.dedup();
        Row {
            day: t.transaction_timestamp.or(t.posted_timestamp).map(day_of),
            what: what.join(" · "),
            category: t.category.clone().unwrap_or_default(),
            amount: Amount(if out { -amount } else { amount }),
            foreign: t.foreign_amount.zip(t.foreign_currency.clone()),
            pending: t.status.as_deref() == Some("PENDING"),
            everyday: $everyday,
        }
    }};
}

impl Row {
    pub(super) fn of(transaction: &Transaction) -> Self {
        match transaction {
            Transaction::DepositTransaction(t) => row!(t, t.payee.as_ref(), true),
            Transaction::LocTransaction(t) => row!(t, None, true),
            Transaction::CommercialTransaction(t) => row!(t, None, true),
            Transaction::LoanTransaction(t) => row!(t, None, false),
            Transaction::InvestmentTransaction(t) => row!(t, t.symbol.as_ref(), false),
            Transaction::InsuranceTransaction(t) => row!(t, None, false),
        }
    }

    /// Whether every word of a search stands in it, whatever the case and the accents.
    pub(super) fn has(&self, text: Text, search: &str) -> bool {
        let whole = plain(&format!("{} {} {}", self.what, self.category, category(text, &self.category)));
        plain(search).split_whitespace().all(|word| whole.contains(word))
    }
}

fn plain(text: &str) -> String {
    let letter = |c| match c {
        'à' | 'â' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' => 'i',
        'ô' | 'ö' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        other => other,
    };
    text.to_lowercase().chars().map(letter).collect()
}

const CATEGORIES: [&str; 20] = [
    "cash",
    "entertainment",
    "family",
    "fees",
    "groceries",
    "health",
    "housing",
    "income",
    "interest",
    "investment",
    "other",
    "restaurants",
    "shopping",
    "supplies",
    "taxes",
    "transfer",
    "transport",
    "travel",
    "utilities",
    "wages",
];

/// A category in the reader's language, where it is a word that we know.
pub(super) fn category(text: Text, word: &str) -> String {
    let known = CATEGORIES.iter().find(|known| known.eq_ignore_ascii_case(word));
    known.map_or_else(|| word.to_owned(), |known| text.t(&format!("demo-category-{known}")))
}
