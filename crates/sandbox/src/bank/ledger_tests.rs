//! Tests of the generated ledgers: properties that every account of every bank must have.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil;
use rust_decimal::Decimal;
use serde_json::Value;

use super::account_spec::AccountKind;
use super::*;

const TODAY: civil::Date = civil::date(2026, 11, 24);
const BANKS: [&AccountCatalog; 3] = [&MAPLE, &RIDEAU, &PRAIRIE];

/// A cache that all tests with the seed `a seed` share. Account ids are unique among the banks.
static POSTING_CACHE: LazyLock<PostingCache> = LazyLock::new(PostingCache::default);

/// Calls a function with a ledger that has an empty cache.
fn with_ledger<T>(
    catalog: &'static AccountCatalog,
    seed: &str,
    today: civil::Date,
    read: impl FnOnce(&Ledger<'_>) -> T,
) -> T {
    read(&Ledger { catalog, seed: seed.as_bytes(), today, cache: &PostingCache::default() })
}

/// Returns the transactions of an account as JSON, without the key that names their kind.
fn transaction_rows(catalog: &'static AccountCatalog, id: &str, today: civil::Date) -> Vec<Value> {
    let ledger = Ledger { catalog, seed: b"a seed", today, cache: &POSTING_CACHE };
    ledger.transactions(id).iter().map(|t| unwrap_entity(serde_json::to_value(t).unwrap())).collect()
}

fn account_json(catalog: &'static AccountCatalog, spec: &'static AccountSpec, today: civil::Date) -> Value {
    let ledger = Ledger { catalog, seed: b"a seed", today, cache: &POSTING_CACHE };
    unwrap_entity(serde_json::to_value(ledger.build_account(spec)).unwrap())
}

fn unwrap_entity(value: Value) -> Value {
    let Value::Object(fields) = value else { panic!("not an object") };
    fields.into_iter().next().unwrap().1
}

fn to_decimal(value: &Value) -> Decimal {
    Decimal::from_str(&value.to_string()).unwrap()
}

/// Returns the amount by which a transaction changes the balance, positive in the customer's favour.
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

fn all_specs() -> impl Iterator<Item = (&'static AccountCatalog, &'static AccountSpec)> {
    BANKS.into_iter().flat_map(|catalog| catalog.accounts.iter().map(move |spec| (catalog, spec)))
}

#[test]
fn posted_transactions_are_unchanged_on_the_next_day() {
    let mut seen = 0;
    for (catalog, spec) in all_specs() {
        let tomorrow = TODAY.tomorrow().unwrap();
        let window = tomorrow.checked_sub(24.months()).unwrap();
        let is_posted = |row: &Value| row["status"] == "POSTED";
        let is_kept =
            |row: &&Value| is_posted(row) && date_field(row, "transactionTimestamp").unwrap() >= window;

        let today = transaction_rows(catalog, spec.id, TODAY);
        let next_day: BTreeSet<String> =
            transaction_rows(catalog, spec.id, tomorrow).iter().map(Value::to_string).collect();
        let uncached = with_ledger(catalog, "a seed", TODAY, |ledger| ledger.transactions(spec.id));
        let uncached = uncached.iter().map(|t| unwrap_entity(serde_json::to_value(t).unwrap()));

        for row in today.iter().filter(is_kept) {
            assert!(next_day.contains(&row.to_string()), "{row}");
            seen += 1;
        }
        assert!(today.into_iter().eq(uncached), "the same day must give the same result: {}", spec.id);
    }
    assert!(seen > 5_000, "{seen}");
}

#[test]
fn different_seed_yields_different_transactions() {
    let transactions = |seed| with_ledger(&MAPLE, seed, TODAY, |ledger| ledger.transactions("mt-alice-card"));

    assert_ne!(transactions("a seed"), transactions("another"));
}

#[test]
fn balance_equals_previous_balance_plus_postings() {
    for (catalog, spec) in all_specs().filter(|(_, spec)| !spec.closed) {
        let balance = |today: civil::Date| {
            let account = account_json(catalog, spec, today);
            let field = |name: &str| account.get(name).map(to_decimal);
            field("availableCashBalance")
                .or_else(|| {
                    field("currentBalance").map(|b| if account["balanceType"] == "ASSET" { b } else { -b })
                })
                .or_else(|| field("principalBalance").map(|b| -b))
                .unwrap()
        };
        // The cash of an investment account includes pending trades.
        let includes_pending = matches!(spec.kind, AccountKind::Investment(_));
        let field = if includes_pending { "transactionTimestamp" } else { "postedTimestamp" };
        let mut day = civil::date(2026, 9, 14);
        while day < TODAY {
            let day_after = day.tomorrow().unwrap();
            let new: Decimal = transaction_rows(catalog, spec.id, day_after)
                .iter()
                .filter(|row| date_field(row, field) == Some(day_after))
                .map(balance_effect)
                .sum();
            assert_eq!(balance(day_after), balance(day) + new, "{} {day_after}", spec.id);
            day = day.checked_add(17.days()).unwrap();
        }
    }
}

#[test]
fn pending_transaction_has_own_id_and_no_posting_time() {
    let (mut pairs, sunday) = (0, civil::date(2026, 11, 22));
    for (catalog, spec) in all_specs() {
        let posted = transaction_rows(catalog, spec.id, sunday.checked_add(4.days()).unwrap());
        for pending in
            transaction_rows(catalog, spec.id, sunday).iter().filter(|row| row["status"] == "PENDING")
        {
            assert!(pending.get("postedTimestamp").is_none());
            let settled =
                posted.iter().find(|p| p["referenceTransactionId"] == pending["transactionId"]).unwrap();
            assert_eq!(settled["status"], "POSTED");
            assert!(settled.get("postedTimestamp").is_some());
            assert_ne!(settled["transactionId"], pending["transactionId"]);
            assert_eq!(
                (&settled["description"], &settled["amount"], &settled["transactionTimestamp"]),
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
    for (catalog, spec) in all_specs() {
        let AccountKind::Deposit { term: None, .. } = spec.kind else { continue };
        for day in [22, 23, 24].map(|day| civil::date(2026, 11, day)) {
            let pending: Decimal = transaction_rows(catalog, spec.id, day)
                .iter()
                .filter(|row| row["status"] == "PENDING")
                .map(balance_effect)
                .sum();
            let account = account_json(catalog, spec, day);
            let (current, available) =
                (to_decimal(&account["currentBalance"]), to_decimal(&account["availableBalance"]));
            assert_eq!(available, current + pending, "{}", spec.id);
            seen += u32::from(!pending.is_zero());
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn history_spans_two_years_newest_first_with_unique_ids() {
    let mut ids = BTreeSet::new();
    for (catalog, spec) in all_specs() {
        let rows = transaction_rows(catalog, spec.id, TODAY);
        let days: Vec<_> = rows.iter().map(|row| date_field(row, "transactionTimestamp").unwrap()).collect();
        let times: Vec<&str> = rows.iter().map(|r| r["transactionTimestamp"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{}", spec.id);
        assert!(days.iter().all(|d| *d >= civil::date(2024, 11, 24) && *d <= TODAY));
        assert!(rows.iter().all(|row| ids.insert(row["transactionId"].to_string())));
        assert!(spec.closed == rows.is_empty(), "{}", spec.id);
    }
}

#[test]
fn internal_payment_is_posted_on_both_accounts() {
    let payments = |id: &str, description: &str| -> BTreeSet<(String, String)> {
        let rows = transaction_rows(&MAPLE, id, TODAY);
        let rows = rows.iter().filter(|row| row["description"] == description);
        rows.map(|row| (row["transactionTimestamp"].to_string()[..11].to_owned(), row["amount"].to_string()))
            .collect()
    };

    let card_payments = payments("mt-alice-chequing", "MAPLE REWARDS CARD PAYMENT");

    assert!(card_payments.len() > 20);
    assert_eq!(card_payments, payments("mt-alice-card", "PAYMENT RECEIVED - THANK YOU"));
    assert_eq!(
        payments("mt-alice-chequing", "TRANSFER TO RAINY DAY SAVINGS"),
        payments("mt-alice-savings", "TRANSFER FROM CHEQUING")
    );
    assert_eq!(payments("mt-bob-chequing", "TRANSFER TO RRSP"), payments("mt-bob-rrsp", "CONTRIBUTION"));
}

#[test]
fn investment_account_value_equals_sum_of_holdings() {
    let mut seen = 0;
    for (catalog, spec) in all_specs().filter(|(_, l)| matches!(l.kind, AccountKind::Investment(_))) {
        let account = account_json(catalog, spec, TODAY);
        let holdings = account["holdings"].as_array().unwrap();

        let sum: Decimal = holdings.iter().map(|h| to_decimal(&h["marketValue"])).sum();

        assert_eq!(to_decimal(&account["currentValue"]), sum, "{}", spec.id);
        for holding in holdings.iter().filter(|h| h["cashAccount"] == false) {
            let value = to_decimal(&holding["units"]) * to_decimal(&holding["currentUnitPrice"]);
            assert!((value - to_decimal(&holding["marketValue"])).abs() < Decimal::new(1, 2), "{holding}");
        }
        seen += holdings.len();
    }
    assert!(seen > 12, "{seen}");
}

#[test]
fn trades_and_pay_fall_on_business_days() {
    let mut seen = 0;
    for (catalog, spec) in all_specs() {
        for row in transaction_rows(catalog, spec.id, TODAY) {
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
    let spec = MAPLE.accounts.iter().find(|spec| spec.id == "mt-alice-auto").unwrap();

    for row in transaction_rows(&MAPLE, spec.id, TODAY) {
        let parts = &row["paymentDetails"];
        assert_eq!(
            to_decimal(&row["amount"]),
            to_decimal(&parts["principalAmount"]) + to_decimal(&parts["interestAmount"])
        );
    }

    let after = account_json(&MAPLE, spec, civil::date(2029, 8, 1));
    assert_eq!(
        (&after["status"], to_decimal(&after["principalBalance"])),
        (&Value::from("PAID"), Decimal::ZERO)
    );
    assert!(after.get("nextPaymentDate").is_none());

    let during = account_json(&MAPLE, spec, TODAY);
    assert_eq!((&during["status"], &during["nextPaymentDate"]), (&"OPEN".into(), &"2026-12-12".into()));
}

#[test]
fn foreign_purchase_reports_both_amounts() {
    let rows = transaction_rows(&MAPLE, "mt-alice-card", TODAY);

    let foreign: Vec<_> = rows.iter().filter(|row| row.get("foreignAmount").is_some()).collect();

    assert!(foreign.len() > 5);
    for row in foreign {
        assert_eq!(row["foreignCurrency"], "USD");
        let rate = to_decimal(&row["amount"]) / to_decimal(&row["foreignAmount"]);
        assert!((Decimal::new(132, 2)..Decimal::new(148, 2)).contains(&rate), "{row}");
        assert!(row.get("transactionType").is_none(), "FDX 5.2 has no transaction type for a purchase");
    }
}

#[test]
fn balances_stay_within_limits_for_ten_years() {
    for seed in ["a seed", "bowline", "seed"] {
        for (catalog, spec) in all_specs() {
            with_ledger(catalog, seed, civil::date(2032, 12, 31), |ledger| {
                let mut balance = spec.opening;
                let (mut low, mut high) = (balance, balance);
                for posting in ledger.postings(spec).iter() {
                    balance += posting.cents;
                    low = low.min(balance);
                    high = high.max(balance);
                }
                let floor = match spec.kind {
                    AccountKind::Card { credit_limit, .. } | AccountKind::CreditLine { credit_limit, .. } => {
                        -credit_limit
                    }
                    AccountKind::Loan { .. } => spec.opening,
                    _ => 0,
                };
                assert!(low >= floor && high < 20_000_000, "{seed} {}: {low} to {high}", spec.id);
            });
        }
    }
}

#[test]
fn sandbox_customers_have_joint_and_closed_accounts() {
    for catalog in [&MAPLE, &RIDEAU] {
        let choices = |username: &str| {
            with_ledger(catalog, "s", TODAY, |ledger| {
                ledger.choices(catalog.find_customer(username).unwrap())
            })
        };
        let joint = |username: &str| choices(username).into_iter().find(|c| c.joint).map(|c| c.id);

        assert_eq!(catalog.customers().count(), 6);
        assert!(joint("alice").is_some() && joint("alice") == joint("bob") && joint("chloe").is_none());
        assert!(choices("farid").len() == 1 && choices("farid").iter().all(|choice| choice.closed));
    }
}

#[test]
fn investment_plans_use_valid_days_and_known_securities() {
    for (_, spec) in all_specs() {
        let AccountKind::Investment(plan) = spec.kind else { continue };
        assert!(plan.monthly_contribution.is_none_or(|(day, ..)| (1..28).contains(&day)), "{}", spec.id);
        let symbols = plan.positions.iter().map(|p| p.symbol).chain(plan.trades.iter().map(|t| t.2));
        for symbol in symbols.chain(plan.monthly_contribution.map(|(_, _, symbol)| symbol)) {
            assert!(securities::find_security(symbol).is_some(), "{symbol}");
        }
    }
}

#[test]
fn statements_cover_two_years_and_balances_carry_over() {
    for (catalog, spec) in all_specs() {
        let ledger = Ledger { catalog, seed: b"a seed", today: TODAY, cache: &POSTING_CACHE };

        let statements = ledger.statements(spec.id);

        assert_eq!(statements.len(), if spec.closed { 0 } else { 24 }, "{}", spec.id);
        for (newer, older) in statements.iter().zip(statements.iter().skip(1)) {
            assert_eq!((newer.opening, newer.first_day), (older.closing, older.last_day.tomorrow().unwrap()));
        }
        for statement in &statements {
            let sum: i64 = statement.rows.iter().map(|row| row.cents).sum();
            assert_eq!(statement.opening + sum, statement.closing, "{}", statement.id);
            let month = statement.first_day..=statement.last_day;
            assert!(statement.rows.iter().all(|row| month.contains(&row.day)));
        }
    }
}

#[test]
fn statement_is_immutable_and_ready_after_two_days() {
    let statements = |today| {
        with_ledger(&MAPLE, "a seed", today, |ledger| {
            let statements = ledger.statements("mt-alice-chequing").into_iter();
            statements.map(|s| (s.id, s.is_ready, s.rows)).collect::<Vec<_>>()
        })
    };

    let (before, after) = (statements(TODAY), statements(civil::date(2026, 12, 2)));

    assert_eq!((before[0].0.as_str(), before[0].1), ("mt-alice-chequing-2026-10", true));
    assert_eq!((after[0].0.as_str(), after[0].1), ("mt-alice-chequing-2026-11", false));
    assert_eq!(after[1..], before[..after.len() - 1], "a month later only the oldest is missing");
    assert!(statements(civil::date(2026, 12, 3))[0].1);
    assert!(before[0].2.len() > 10);
}
