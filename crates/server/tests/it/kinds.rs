//! Every account of every customer at both banks, as a recipient sees it: fields of the golden texts, the standard's
//! words.

use std::collections::BTreeSet;

use fdx::vocabulary::strange_words;
use serde_json::{Value, json};

use crate::kit::{Kit, Tokens};

const EVERYTHING: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS INVESTMENTS TRANSACTIONS \
                          CUSTOMER_CONTACT CUSTOMER_PERSONAL";
const CUSTOMERS: [&str; 6] = ["alice", "bob", "chloe", "david", "emma", "farid"];

/// The one key of a wrapped entity, and what is below it.
fn wrapped(value: &Value) -> (&str, &Value) {
    let (key, inside) = value.as_object().unwrap().iter().next().unwrap();
    (key, inside)
}

fn has(entity: &Value, fields: &[&str]) {
    for field in fields {
        assert!(!entity[*field].is_null(), "{field} is missing in {entity}");
    }
}

/// The places of all fields within an entity, whichever element of a list they stand in.
fn places(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = format!("{at}.{name}");
                places(value, &at, found);
                found.insert(at);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| places(item, at, found)),
        _ => {}
    }
}

/// The golden text of a kind: every field that we know of it.
fn golden(kind: &str) -> Value {
    let file = format!("{}/../fdx/tests/golden/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Fails if an answer has a field that its golden text has not.
fn is_golden(kind: &str, answer: &Value) {
    let (mut known, mut shown) = (BTreeSet::new(), BTreeSet::new());
    places(&golden(kind), "", &mut known);
    places(answer, "", &mut shown);
    let unknown: Vec<&String> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "{kind}: {unknown:?} in {answer}");
}

/// Fails if a list's page and links have a field that the golden list has not.
fn is_a_golden_list(name: &str, answer: &Value) {
    let frame = json!({"page": answer["page"], "links": answer["links"]});
    is_golden(name, &frame);
    assert_eq!(answer.as_object().unwrap().len(), 3, "{answer}");
}

/// The fields that recipients need of each kind, the reference's floor.
fn floor(kind: &str) -> &'static [&'static str] {
    match kind {
        "depositAccount" => &["currentBalance", "availableBalance"],
        "locAccount" => &["currentBalance"],
        "loanAccount" => &["principalBalance", "interestRate", "interestRateType"],
        "investmentAccount" => &["availableCashBalance", "currentValue"],
        other => panic!("no bank of the sandbox has a {other}"),
    }
}

async fn account(kit: &Kit, tokens: &Tokens, listed: &Value, seen: &mut BTreeSet<String>) -> String {
    let (kind, light) = wrapped(listed);
    is_golden(kind, listed);
    has(light, &["accountId", "accountType", "accountNumberDisplay", "productName", "status", "currency"]);
    let id = light["accountId"].as_str().unwrap();
    let answer = kit.read(&format!("/accounts/{id}"), &tokens.access).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let whole = answer.json();
    assert_eq!(strange_words("account", &whole), Vec::<String>::new());
    let (same, details) = wrapped(&whole);
    is_golden(kind, &whole);
    assert_eq!((same, &details["accountId"]), (kind, &light["accountId"]));
    has(details, floor(kind));
    assert!(details.get("transactions").is_none(), "transactions are never embedded");
    transactions(kit, tokens, id, details["status"] == "CLOSED", seen).await;
    seen.insert(kind.to_owned());
    details["accountType"].as_str().unwrap().to_owned()
}

async fn transactions(kit: &Kit, tokens: &Tokens, id: &str, closed: bool, seen: &mut BTreeSet<String>) {
    let answer = kit.read(&format!("/accounts/{id}/transactions?limit=500"), &tokens.access).await;
    let body = answer.json();
    if closed {
        assert_eq!((answer.status, &body["code"]), (409, &705.into()), "{body}");
        is_golden("error", &body);
        seen.insert("error".into());
        return;
    }
    assert_eq!(answer.status, 200, "{body}");
    let list = body["transactions"].as_array().unwrap();
    assert!(!list.is_empty());
    is_a_golden_list("transactions", &body);
    for transaction in list {
        assert_eq!(strange_words("transaction", transaction), Vec::<String>::new(), "{transaction}");
        let (kind, inside) = wrapped(transaction);
        is_golden(kind, transaction);
        seen.insert(kind.to_owned());
        has(
            inside,
            &["transactionId", "transactionTimestamp", "description", "debitCreditMemo", "status", "amount"],
        );
        assert_eq!(inside["accountId"], id, "the recipient's own name of the account");
        assert_eq!(inside["postedTimestamp"].is_null(), inside["status"] == "PENDING", "{inside}");
        assert!(!inside["amount"].to_string().starts_with('-'), "the sign is in debitCreditMemo: {inside}");
    }
}

/// The kinds of account and transaction that a bank has, and its types of account.
async fn every_account_at(provider_id: i64) -> (BTreeSet<String>, BTreeSet<String>) {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let (mut kinds, mut types) = (BTreeSet::new(), BTreeSet::new());
    for username in CUSTOMERS {
        let tokens = kit.connect_at(provider_id, &acme, username, &[], EVERYTHING).await;
        let customer = kit.read("/customers/current", &tokens.access).await;
        assert_eq!(customer.status, 200, "{}", customer.body);
        assert_eq!(strange_words("customer", &customer.json()), Vec::<String>::new());
        is_golden("customer", &customer.json());
        let list = kit.read("/accounts", &tokens.access).await.json();
        assert_eq!(strange_words("accounts", &list), Vec::<String>::new());
        is_a_golden_list("accounts", &list);
        for listed in list["accounts"].as_array().unwrap() {
            types.insert(account(&kit, &tokens, listed, &mut kinds).await);
        }
    }
    (kinds, types)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_banks_together_have_every_kind_and_each_keeps_to_the_standard() {
    let (maple, rideau) = tokio::join!(every_account_at(1000), every_account_at(2000));
    let types: BTreeSet<&str> = maple.1.union(&rideau.1).map(String::as_str).collect();
    for wanted in [
        "CHECKING",
        "SAVINGS",
        "CD",
        "COMMERCIALDEPOSIT",
        "CREDITCARD",
        "LINEOFCREDIT",
        "MORTGAGE",
        "INVESTMENTACCOUNT",
        "TAXFREESAVINGSACCOUNT",
        "REGISTEREDRETIREMENTSAVINGSPLAN",
        "REGISTEREDEDUCATIONSAVINGSPLAN",
    ] {
        assert!(types.contains(wanted), "no {wanted} among {types:?}");
    }
    assert!(types.contains("AUTOLOAN") || types.contains("PERSONALLOAN"), "{types:?}");
    // Neither bank sells policies or annuities, or keeps commercial accounts of that kind.
    let elsewhere = [
        "insuranceAccount",
        "annuityAccount",
        "commercialAccount",
        "insuranceTransaction",
        "commercialTransaction",
    ];
    for (kinds, _) in [maple, rideau] {
        let golden = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fdx/tests/golden")).unwrap();
        let golden = golden.map(|file| file.unwrap().file_name().into_string().unwrap());
        let golden = golden.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let wanted = golden.filter(|kind| kind.ends_with("Account") || kind.ends_with("Transaction"));
        let wanted: BTreeSet<String> = wanted.filter(|kind| !elsewhere.contains(&&**kind)).collect();
        let seen: BTreeSet<String> = kinds.into_iter().filter(|kind| kind != "error").collect();
        assert_eq!(seen, wanted);
    }
}

#[tokio::test]
async fn clusters_hide_holdings_numbers_and_parts_of_the_profile() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let accounts = ["mt-david-invest", "mt-david-chequing"];
    let whole = kit.connect_at(1000, &acme, "david", &accounts, EVERYTHING).await;
    let seen = |json: &Value, field: &str| json.to_string().contains(&format!("\"{field}\""));
    let list = kit.read("/accounts?resultType=details", &whole.access).await.json();
    for field in ["holdings", "accountNumber", "routingTransitNumber"] {
        assert!(seen(&list, field), "{field} is not in {list}");
    }
    let customer = kit.read("/customers/current", &whole.access).await.json();
    assert!(seen(&customer, "addresses"), "{customer}");
    let narrow = kit
        .connect_at(1000, &acme, "david", &accounts, "ACCOUNT_BASIC ACCOUNT_DETAILED CUSTOMER_PERSONAL")
        .await;
    let list = kit.read("/accounts?resultType=details", &narrow.access).await.json();
    for field in ["holdings", "accountNumber", "routingTransitNumber"] {
        assert!(!seen(&list, field), "{field} is in {list}");
    }
    let customer = kit.read("/customers/current", &narrow.access).await.json();
    assert!(!seen(&customer, "addresses") && seen(&customer, "customerId"), "{customer}");
}

#[tokio::test]
async fn two_holders_of_a_joint_account_see_the_same_money_under_names_of_their_own() {
    let kit = Kit::new().await;
    let (acme, other) = (kit.acme(), kit.recipient(&[1000], crate::kit::SCOPE, false).await);
    let mut seen = Vec::new();
    for (recipient, username) in [(&acme, "alice"), (&acme, "bob"), (&other, "bob")] {
        let tokens =
            kit.connect_at(1000, recipient, username, &["mt-joint-savings"], crate::kit::SCOPE).await;
        let list = kit.read("/accounts?resultType=details", &tokens.access).await.json();
        let account = &list["accounts"][0]["depositAccount"];
        seen.push((account["accountId"].clone(), account["currentBalance"].clone()));
    }
    assert_eq!(seen[0].1, seen[1].1);
    assert_eq!(seen[0].0, seen[1].0, "one recipient, one account");
    assert_ne!(seen[1].0, seen[2].0, "two recipients cannot compare");
}
