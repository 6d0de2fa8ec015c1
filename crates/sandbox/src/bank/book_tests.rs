//! What must hold for every account of every bank.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::LazyLock;

use serde_json::Value;

use super::*;

const TODAY: civil::Date = civil::date(2026, 11, 24);
const BANKS: [&Books; 3] = [&MAPLE, &RIDEAU, &PRAIRIE];

/// Worked out for one seed: ids differ from bank to bank.
static POSTING_CACHE: LazyLock<PostingCache> = LazyLock::new(PostingCache::default);

/// A book that remembers nothing.
fn with_book<T>(
    books: &'static Books,
    seed: &str,
    today: civil::Date,
    read: impl FnOnce(&Book<'_>) -> T,
) -> T {
    read(&Book { books, seed: seed.as_bytes(), today, cache: &PostingCache::default() })
}

/// What an account's transactions say, without the key of their kind.
fn transaction_rows(books: &'static Books, id: &str, today: civil::Date) -> Vec<Value> {
    let book = Book { books, seed: b"a seed", today, cache: &POSTING_CACHE };
    book.transactions(id).iter().map(|t| unwrap_entity(serde_json::to_value(t).unwrap())).collect()
}

fn account_json(books: &'static Books, ledger: &'static Ledger, today: civil::Date) -> Value {
    let book = Book { books, seed: b"a seed", today, cache: &POSTING_CACHE };
    unwrap_entity(serde_json::to_value(book.build_account(ledger)).unwrap())
}

fn unwrap_entity(value: Value) -> Value {
    let Value::Object(fields) = value else { panic!("not an object") };
    fields.into_iter().next().unwrap().1
}

fn to_decimal(value: &Value) -> Decimal {
    Decimal::from_str(&value.to_string()).unwrap()
}

/// What a transaction does to the balance in the customer's favour.
fn balance_effect(row: &Value) -> Decimal {
    let amount = match row.get("paymentDetails") {
        Some(details) => to_decimal(&details["principalAmount"]),
        None => to_decimal(&row["amount"]),
    };
    match row["debitCreditMemo"].as_str().unwrap() {
        "DEBIT" => -amount,
        "CREDIT" => amount,
        _ => Decimal::ZERO,
    }
}

fn date_field(row: &Value, field: &str) -> Option<civil::Date> {
    row.get(field).map(|at| at.as_str().unwrap()[..10].parse().unwrap())
}

fn all_ledgers() -> impl Iterator<Item = (&'static Books, &'static Ledger)> {
    BANKS.into_iter().flat_map(|books| books.ledgers.iter().map(move |ledger| (books, ledger)))
}

#[test]
fn posted_transactions_are_unchanged_on_the_next_day() {
    let mut seen = 0;
    for (books, ledger) in all_ledgers() {
        let tomorrow = TODAY.tomorrow().unwrap();
        let window = tomorrow.checked_sub(24.months()).unwrap();
        let posted = |row: &Value| row["status"] == "POSTED";
        let kept = |row: &&Value| posted(row) && date_field(row, "transactionTimestamp").unwrap() >= window;
        let today = transaction_rows(books, ledger.id, TODAY);
        let then: BTreeSet<String> =
            transaction_rows(books, ledger.id, tomorrow).iter().map(Value::to_string).collect();
        for row in today.iter().filter(kept) {
            assert!(then.contains(&row.to_string()), "{row}");
            seen += 1;
        }
        let again = with_book(books, "a seed", TODAY, |book| book.transactions(ledger.id));
        let again = again.iter().map(|t| unwrap_entity(serde_json::to_value(t).unwrap()));
        assert!(today.into_iter().eq(again), "the same day twice, {}", ledger.id);
    }
    assert!(seen > 5_000, "{seen}");
}

#[test]
fn different_seed_yields_different_transactions() {
    let of = |seed| with_book(&MAPLE, seed, TODAY, |book| book.transactions("mt-alice-card"));
    assert_ne!(of("a seed"), of("another"));
}

#[test]
fn balance_equals_previous_balance_plus_postings() {
    for (books, ledger) in all_ledgers().filter(|(_, ledger)| !ledger.closed) {
        let balance = |today: civil::Date| {
            let account = account_json(books, ledger, today);
            let field = |name: &str| account.get(name).map(to_decimal);
            field("availableCashBalance")
                .or_else(|| {
                    field("currentBalance").map(|b| if account["balanceType"] == "ASSET" { b } else { -b })
                })
                .or_else(|| field("principalBalance").map(|b| -b))
                .unwrap()
        };
        let at_once = matches!(ledger.kind, ledger::Kind::Plan(_));
        let field = if at_once { "transactionTimestamp" } else { "postedTimestamp" };
        let mut day = civil::date(2026, 9, 14);
        while day < TODAY {
            let day_after = day.tomorrow().unwrap();
            let new: Decimal = transaction_rows(books, ledger.id, day_after)
                .iter()
                .filter(|row| date_field(row, field) == Some(day_after))
                .map(balance_effect)
                .sum();
            assert_eq!(balance(day_after), balance(day) + new, "{} {day_after}", ledger.id);
            day = day.checked_add(17.days()).unwrap();
        }
    }
}

#[test]
fn pending_transaction_has_own_id_and_no_posting_time() {
    let (mut pairs, sunday) = (0, civil::date(2026, 11, 22));
    for (books, ledger) in all_ledgers() {
        let posted = transaction_rows(books, ledger.id, sunday.checked_add(4.days()).unwrap());
        for pending in
            transaction_rows(books, ledger.id, sunday).iter().filter(|row| row["status"] == "PENDING")
        {
            assert!(pending.get("postedTimestamp").is_none());
            let twin =
                posted.iter().find(|p| p["referenceTransactionId"] == pending["transactionId"]).unwrap();
            assert_eq!(twin["status"], "POSTED");
            assert!(twin.get("postedTimestamp").is_some());
            assert_ne!(twin["transactionId"], pending["transactionId"]);
            assert_eq!(
                (&twin["description"], &twin["amount"], &twin["transactionTimestamp"]),
                (&pending["description"], &pending["amount"], &pending["transactionTimestamp"])
            );
            pairs += 1;
        }
    }
    assert!(pairs > 5, "{pairs}");
}

#[test]
fn available_balance_includes_pending_transactions() {
    let mut seen = 0;
    for (books, ledger) in all_ledgers() {
        let ledger::Kind::Deposit { term: None, .. } = ledger.kind else { continue };
        for day in [22, 23, 24].map(|day| civil::date(2026, 11, day)) {
            let pending: Decimal = transaction_rows(books, ledger.id, day)
                .iter()
                .filter(|row| row["status"] == "PENDING")
                .map(balance_effect)
                .sum();
            let account = account_json(books, ledger, day);
            let (current, available) =
                (to_decimal(&account["currentBalance"]), to_decimal(&account["availableBalance"]));
            assert_eq!(available, current + pending, "{}", ledger.id);
            seen += u32::from(!pending.is_zero());
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn history_spans_two_years_newest_first_with_unique_ids() {
    let mut ids = BTreeSet::new();
    for (books, ledger) in all_ledgers() {
        let rows = transaction_rows(books, ledger.id, TODAY);
        let days: Vec<_> = rows.iter().map(|row| date_field(row, "transactionTimestamp").unwrap()).collect();
        let times: Vec<&str> = rows.iter().map(|r| r["transactionTimestamp"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{}", ledger.id);
        assert!(days.iter().all(|d| *d >= civil::date(2024, 11, 24) && *d <= TODAY));
        assert!(rows.iter().all(|row| ids.insert(row["transactionId"].to_string())));
        assert!(ledger.closed == rows.is_empty(), "{}", ledger.id);
    }
}

#[test]
fn internal_payment_is_posted_on_both_accounts() {
    let of = |id: &str, says: &str| -> BTreeSet<(String, String)> {
        let rows = transaction_rows(&MAPLE, id, TODAY);
        let them = rows.iter().filter(|row| row["description"] == says);
        them.map(|row| (row["transactionTimestamp"].to_string()[..11].to_owned(), row["amount"].to_string()))
            .collect()
    };
    let paid = of("mt-alice-chequing", "MAPLE REWARDS CARD PAYMENT");
    assert!(paid.len() > 20);
    assert_eq!(paid, of("mt-alice-card", "PAYMENT RECEIVED - THANK YOU"));
    assert_eq!(
        of("mt-alice-chequing", "TRANSFER TO RAINY DAY SAVINGS"),
        of("mt-alice-savings", "TRANSFER FROM CHEQUING")
    );
    assert_eq!(of("mt-bob-chequing", "TRANSFER TO RRSP"), of("mt-bob-rrsp", "CONTRIBUTION"));
}

#[test]
fn investment_account_value_equals_sum_of_holdings() {
    let mut seen = 0;
    for (books, ledger) in all_ledgers().filter(|(_, l)| matches!(l.kind, ledger::Kind::Plan(_))) {
        let account = account_json(books, ledger, TODAY);
        let holdings = account["holdings"].as_array().unwrap();
        let sum: Decimal = holdings.iter().map(|h| to_decimal(&h["marketValue"])).sum();
        assert_eq!(to_decimal(&account["currentValue"]), sum, "{}", ledger.id);
        for holding in holdings.iter().filter(|h| h["cashAccount"] == false) {
            let worth = to_decimal(&holding["units"]) * to_decimal(&holding["currentUnitPrice"]);
            assert!((worth - to_decimal(&holding["marketValue"])).abs() < Decimal::new(1, 2), "{holding}");
        }
        seen += holdings.len();
    }
    assert!(seen > 12, "{seen}");
}

#[test]
fn trades_and_pay_fall_on_business_days() {
    let mut seen = 0;
    for (books, ledger) in all_ledgers() {
        for row in transaction_rows(books, ledger.id, TODAY) {
            if row.get("units").is_some() || row["transactionType"] == "DIRECTDEPOSIT" {
                let weekday = date_field(&row, "transactionTimestamp").unwrap().weekday();
                assert!(weekday.to_monday_zero_offset() < 5, "{row}");
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn loan_payments_reduce_principal_until_paid() {
    let ledger = MAPLE.ledgers.iter().find(|l| l.id == "mt-alice-auto").unwrap();
    for row in transaction_rows(&MAPLE, ledger.id, TODAY) {
        let parts = &row["paymentDetails"];
        assert_eq!(
            to_decimal(&row["amount"]),
            to_decimal(&parts["principalAmount"]) + to_decimal(&parts["interestAmount"])
        );
    }
    let after = account_json(&MAPLE, ledger, civil::date(2029, 8, 1));
    assert_eq!(
        (&after["status"], to_decimal(&after["principalBalance"])),
        (&Value::from("PAID"), Decimal::ZERO)
    );
    assert!(after.get("nextPaymentDate").is_none());
    let during = account_json(&MAPLE, ledger, TODAY);
    assert_eq!((&during["status"], &during["nextPaymentDate"]), (&"OPEN".into(), &"2026-12-12".into()));
}

#[test]
fn foreign_purchase_reports_both_amounts() {
    let rows = transaction_rows(&MAPLE, "mt-alice-card", TODAY);
    let abroad: Vec<_> = rows.iter().filter(|row| row.get("foreignAmount").is_some()).collect();
    assert!(abroad.len() > 5);
    for row in abroad {
        assert_eq!(row["foreignCurrency"], "USD");
        let rate = to_decimal(&row["amount"]) / to_decimal(&row["foreignAmount"]);
        assert!((Decimal::new(132, 2)..Decimal::new(148, 2)).contains(&rate), "{row}");
        assert!(row.get("transactionType").is_none(), "FDX 5.2 has no word for a purchase");
    }
}

/// Ten years and some seeds: nobody runs dry, no card is over its line.
#[test]
fn balances_stay_within_limits_for_ten_years() {
    for seed in ["a seed", "bowline", "seed"] {
        for (books, ledger) in all_ledgers() {
            with_book(books, seed, civil::date(2032, 12, 31), |book| {
                let mut balance = ledger.opening;
                let (mut low, mut high) = (balance, balance);
                for booking in book.postings(ledger).iter() {
                    balance += booking.cents;
                    low = low.min(balance);
                    high = high.max(balance);
                }
                let floor = match ledger.kind {
                    ledger::Kind::Card { credit_limit: line, .. }
                    | ledger::Kind::Line { limit: line, .. } => -line,
                    ledger::Kind::Loan { .. } => ledger.opening,
                    _ => 0,
                };
                assert!(low >= floor && high < 20_000_000, "{seed} {}: {low} to {high}", ledger.id);
            });
        }
    }
}

#[test]
fn sandbox_customers_have_joint_and_closed_accounts() {
    for books in [&MAPLE, &RIDEAU] {
        let choices = |username: &str| {
            with_book(books, "s", TODAY, |book| book.choices(books.find_customer(username).unwrap()))
        };
        assert_eq!(books.customers().count(), 6);
        let joint = |username: &str| choices(username).into_iter().find(|c| c.joint).map(|c| c.id);
        assert!(joint("alice").is_some() && joint("alice") == joint("bob") && joint("chloe").is_none());
        assert!(choices("farid").len() == 1 && choices("farid").iter().all(|choice| choice.closed));
    }
}

#[test]
fn investment_plans_use_valid_days_and_known_securities() {
    for (_, ledger) in all_ledgers() {
        let ledger::Kind::Plan(plan) = ledger.kind else { continue };
        assert!(plan.monthly_contribution.is_none_or(|(day, ..)| (1..28).contains(&day)), "{}", ledger.id);
        let symbols = plan.positions.iter().map(|p| p.symbol).chain(plan.trades.iter().map(|t| t.2));
        for symbol in symbols.chain(plan.monthly_contribution.map(|(_, _, symbol)| symbol)) {
            assert!(securities::find_security(symbol).is_some(), "{symbol}");
        }
    }
}

#[test]
fn statements_cover_two_years_and_balances_carry_over() {
    for (books, ledger) in all_ledgers() {
        let book = Book { books, seed: b"a seed", today: TODAY, cache: &POSTING_CACHE };
        let sheets = book.statements(ledger.id);
        assert_eq!(sheets.len(), if ledger.closed { 0 } else { 24 }, "{}", ledger.id);
        for (newer, older) in sheets.iter().zip(sheets.iter().skip(1)) {
            assert_eq!((newer.opening, newer.first), (older.closing, older.last.tomorrow().unwrap()));
        }
        for sheet in &sheets {
            let sum: i64 = sheet.rows.iter().map(|row| row.cents).sum();
            assert_eq!(sheet.opening + sum, sheet.closing, "{}", sheet.id);
            assert!(sheet.rows.iter().all(|row| (sheet.first..=sheet.last).contains(&row.day)));
        }
    }
}

#[test]
fn statement_is_immutable_and_ready_after_two_days() {
    let of = |today| {
        with_book(&MAPLE, "a seed", today, |book| {
            let sheets = book.statements("mt-alice-chequing").into_iter();
            sheets.map(|sheet| (sheet.id, sheet.is_ready, sheet.rows)).collect::<Vec<_>>()
        })
    };
    let (before, after) = (of(TODAY), of(civil::date(2026, 12, 2)));
    assert_eq!((before[0].0.as_str(), before[0].1), ("mt-alice-chequing-2026-10", true));
    assert_eq!((after[0].0.as_str(), after[0].1), ("mt-alice-chequing-2026-11", false));
    assert_eq!(after[1..], before[..after.len() - 1], "a month later the oldest is gone");
    assert!(of(civil::date(2026, 12, 3))[0].1);
    assert!(before[0].2.len() > 10);
}
