//! Tests every account of every customer at both banks, as a recipient sees it: the fields of the golden files and the
//! enum values of FDX.

use std::collections::{BTreeMap, BTreeSet};

use domain::model::provider::FdxVersion;
use fdx::vocabulary::find_unknown_words;
use serde_json::{Value, json};

use crate::support::{ConnectionTokens, EndpointStub, RawRequest, TestHub, json_response};

const ALL_SCOPES: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS INVESTMENTS TRANSACTIONS \
                          STATEMENTS CUSTOMER_CONTACT CUSTOMER_PERSONAL";
const CUSTOMERS: [&str; 6] = ["alice", "bob", "chloe", "david", "emma", "farid"];

/// Fields that accounts of only one bank have: nicknames that customers chose, and data of bonds.
const OPTIONAL_FIELDS: [&str; 4] = ["nickname", "faceValue", "rate", "expirationDate"];

/// The fields that responses contained, by kind of account.
type FieldsByKind = BTreeMap<String, BTreeSet<String>>;

fn record_fields(shapes: &mut FieldsByKind, kind: &str, entity: &Value) {
    let fields = entity
        .as_object()
        .unwrap()
        .keys()
        .filter(|field| !OPTIONAL_FIELDS.contains(&field.as_str()))
        .cloned();
    shapes.entry(kind.to_owned()).or_default().extend(fields);
}

/// Returns the only key of a JSON object, which names the kind of an FDX entity, and the entity.
fn unwrap_entity(value: &Value) -> (&str, &Value) {
    let (key, inside) = value.as_object().unwrap().iter().next().unwrap();
    (key, inside)
}

fn assert_has_fields(entity: &Value, fields: &[&str]) {
    for field in fields {
        assert!(!entity[*field].is_null(), "{field} is missing in {entity}");
    }
}

/// Collects the paths of all fields of an entity. The elements of a list share one path.
fn collect_paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = format!("{at}.{name}");
                collect_paths(value, &at, found);
                found.insert(at);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_paths(item, at, found)),
        _ => {}
    }
}

/// Returns the golden file of a kind of account, which contains every field that the hub's FDX types have.
fn load_golden(kind: &str) -> Value {
    let file = format!("{}/../fdx/tests/golden/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Fails if an account in a response has a field that the golden file of its kind lacks.
fn assert_fields_golden(kind: &str, answer: &Value) {
    let (mut known, mut shown) = (BTreeSet::new(), BTreeSet::new());
    collect_paths(&load_golden(kind), "", &mut known);
    collect_paths(answer, "", &mut shown);
    let unknown: Vec<&String> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "{kind}: {unknown:?} in {answer}");
}

/// Fails if the page or links of a list have a field that the golden file lacks.
fn assert_list_golden(name: &str, answer: &Value) {
    let frame = json!({"page": answer["page"], "links": answer["links"]});
    assert_fields_golden(name, &frame);
    assert_eq!(answer.as_object().unwrap().len(), 3, "{answer}");
}

/// Returns the fields that the Flinks documentation requires for a kind of account.
fn required_fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "depositAccount" => &["currentBalance", "availableBalance"],
        "locAccount" => &["currentBalance"],
        "loanAccount" => &["principalBalance", "interestRate", "interestRateType"],
        "investmentAccount" => &["availableCashBalance", "currentValue"],
        other => panic!("no bank of the sandbox has a {other}"),
    }
}

async fn check_account(
    kit: &TestHub,
    tokens: &ConnectionTokens,
    listed: &Value,
    shapes: &mut FieldsByKind,
) -> (String, String) {
    let (kind, light) = unwrap_entity(listed);
    assert_fields_golden(kind, listed);
    assert_has_fields(
        light,
        &["accountId", "accountType", "accountNumberDisplay", "productName", "status", "currency"],
    );
    let id = light["accountId"].as_str().unwrap();
    let answer = kit.read(&format!("/accounts/{id}"), &tokens.access).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let account_json = answer.json();
    assert_eq!(find_unknown_words("account", &account_json), Vec::<String>::new());
    let (same, details) = unwrap_entity(&account_json);
    assert_fields_golden(kind, &account_json);
    assert_eq!((same, &details["accountId"]), (kind, &light["accountId"]));
    assert_has_fields(details, required_fields(kind));
    assert!(details.get("transactions").is_none(), "transactions are never embedded");
    record_fields(shapes, kind, details);
    details["holdings"]
        .as_array()
        .into_iter()
        .flatten()
        .for_each(|holding| record_fields(shapes, "holding", holding));
    check_transactions(kit, tokens, id, details["status"] == "CLOSED", shapes).await;
    for (list, name, entity) in
        [("payment-networks", "paymentNetworks", "paymentNetwork"), ("statements", "statements", "statement")]
    {
        let page = kit.read(&format!("/accounts/{id}/{list}?limit=500"), &tokens.access).await.json();
        assert_eq!(find_unknown_words(name, &page), Vec::<String>::new());
        page[name].as_array().unwrap().iter().for_each(|item| record_fields(shapes, entity, item));
    }
    let contact = kit.read(&format!("/accounts/{id}/contact"), &tokens.access).await.json();
    assert_eq!(find_unknown_words("accountContact", &contact), Vec::<String>::new());
    contact["holders"].as_array().unwrap().iter().for_each(|holder| record_fields(shapes, "holder", holder));
    (kind.to_owned(), details["accountType"].as_str().unwrap().to_owned())
}

async fn check_transactions(
    kit: &TestHub,
    tokens: &ConnectionTokens,
    id: &str,
    closed: bool,
    shapes: &mut FieldsByKind,
) {
    let answer = kit.read(&format!("/accounts/{id}/transactions?limit=500"), &tokens.access).await;
    let body = answer.json();
    if closed {
        assert_eq!((answer.status, &body["code"]), (409, &705.into()), "{body}");
        assert_fields_golden("error", &body);
        return;
    }
    assert_eq!(answer.status, 200, "{body}");
    let list = body["transactions"].as_array().unwrap();
    assert!(!list.is_empty());
    assert_list_golden("transactions", &body);
    for transaction in list {
        assert_eq!(find_unknown_words("transaction", transaction), Vec::<String>::new(), "{transaction}");
        let (kind, inside) = unwrap_entity(transaction);
        assert_fields_golden(kind, transaction);
        record_fields(shapes, kind, inside);
        assert_has_fields(
            inside,
            &["transactionId", "transactionTimestamp", "description", "debitCreditMemo", "status", "amount"],
        );
        assert_eq!(inside["accountId"], id, "the account id of this recipient");
        assert_eq!(inside["postedTimestamp"].is_null(), inside["status"] == "PENDING", "{inside}");
        assert!(!inside["amount"].to_string().starts_with('-'), "the sign is in debitCreditMemo: {inside}");
    }
}

async fn check_all_accounts(provider_id: i64) -> (BTreeSet<(String, String)>, FieldsByKind) {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let (mut kinds, mut shapes) = (BTreeSet::new(), FieldsByKind::new());
    for username in CUSTOMERS {
        let tokens = kit.connect_at(provider_id, &acme, username, &[], ALL_SCOPES).await;
        let customer = kit.read("/customers/current", &tokens.access).await;
        assert_eq!(customer.status, 200, "{}", customer.body);
        assert_eq!(find_unknown_words("customer", &customer.json()), Vec::<String>::new());
        assert_fields_golden("customer", &customer.json());
        let list = kit.read("/accounts", &tokens.access).await.json();
        assert_eq!(find_unknown_words("accounts", &list), Vec::<String>::new());
        assert_list_golden("accounts", &list);
        for listed in list["accounts"].as_array().unwrap() {
            kinds.insert(check_account(&kit, &tokens, listed, &mut shapes).await);
        }
    }
    (kinds, shapes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banks_cover_every_account_type_and_conform_to_fdx() {
    let ((maple, five), (rideau, six)) = tokio::join!(check_all_accounts(1000), check_all_accounts(2000));
    // One bank uses FDX 5, the other FDX 6; a recipient cannot tell which.
    assert_eq!(five, six);
    let types: BTreeSet<&str> = maple.union(&rideau).map(|(_, kind)| kind.as_str()).collect();
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
    // Neither bank offers insurance, annuities, or commercial accounts.
    let elsewhere = [
        "insuranceAccount",
        "annuityAccount",
        "commercialAccount",
        "insuranceTransaction",
        "commercialTransaction",
    ];
    for shapes in [five, six] {
        let golden = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fdx/tests/golden")).unwrap();
        let golden = golden.map(|file| file.unwrap().file_name().into_string().unwrap());
        let golden = golden.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let is_wrapper = |kind: &String| kind.ends_with("Account") || kind.ends_with("Transaction");
        let wanted = golden.filter(is_wrapper).filter(|kind| !elsewhere.contains(&&**kind));
        let wanted: BTreeSet<String> = wanted.collect();
        let seen: BTreeSet<String> = shapes.into_keys().filter(is_wrapper).collect();
        assert_eq!(seen, wanted);
    }
}

#[tokio::test]
async fn missing_clusters_hide_holdings_and_account_numbers() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let accounts = ["mt-david-invest", "mt-david-chequing"];
    let full_scope = kit.connect_at(1000, &acme, "david", &accounts, ALL_SCOPES).await;
    let seen = |json: &Value, field: &str| json.to_string().contains(&format!("\"{field}\""));
    let list = kit.read("/accounts?resultType=details", &full_scope.access).await.json();
    for field in ["holdings", "accountNumber", "routingTransitNumber"] {
        assert!(seen(&list, field), "{field} is not in {list}");
    }
    let customer = kit.read("/customers/current", &full_scope.access).await.json();
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
async fn joint_account_ids_differ_between_recipients() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], crate::support::SCOPE, false).await);
    let mut seen = Vec::new();
    for (recipient, username) in [(&acme, "alice"), (&acme, "bob"), (&other, "bob")] {
        let tokens =
            kit.connect_at(1000, recipient, username, &["mt-joint-savings"], crate::support::SCOPE).await;
        let list = kit.read("/accounts?resultType=details", &tokens.access).await.json();
        let account = &list["accounts"][0]["depositAccount"];
        seen.push((account["accountId"].clone(), account["currentBalance"].clone()));
    }
    assert_eq!(seen[0].1, seen[1].1);
    assert_eq!(seen[0].0, seen[1].0, "the id is stable for one recipient");
    assert_ne!(seen[1].0, seen[2].0, "two recipients get different ids");
}

#[tokio::test]
async fn fdx6_provider_receives_fdx6_parameters() {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], ALL_SCOPES).await;
    let id = kit.fetch_account_id(&tokens.access).await;
    let bank = EndpointStub::new(|call| {
        let first = json!({"accountCategory": "DEPOSIT_ACCOUNT", "transactionId": "1"});
        let second = json!({"accountCategory": "LOAN_ACCOUNT", "transactionId": "2"});
        if call.query.contains("pageKey") {
            json_response(200, &json!({"transactions": [{"accountCategory": "DIGITAL_WALLET"}, second]}))
        } else {
            json_response(206, &json!({"page": {"nextPageKey": "second"}, "transactions": [first]}))
        }
    })
    .await;
    kit.update_provider_settings(1000, |settings| {
        settings.fdx.base_url.clone_from(&bank.url);
        settings.fdx.version = FdxVersion::V6;
    })
    .await;
    let path = format!("/api/fdx/5/accounts/{id}/transactions?startTime=2026-10-01&limit=2");
    let sent = RawRequest::get(path).bearer(&tokens.access).header("correlation_id", "my-own-words");
    let page = kit.send_raw(&sent).await.json();
    let ids: Vec<&Value> = page["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &unwrap_entity(t).1["transactionId"])
        .collect();
    assert_eq!(ids, ["1", "2"], "{page}");
    let calls = bank.calls();
    assert_eq!(calls[0].query, "limit=2&startDate=2026-10-01&endDate=2026-11-24");
    assert_eq!(calls[1].query, "limit=1&startDate=2026-10-01&endDate=2026-11-24&pageKey=second");
    let interaction = |nth: usize| calls[nth].headers["x-fapi-interaction-id"].to_str().unwrap().to_owned();
    assert!(interaction(0).len() == 36 && interaction(0) == interaction(1), "{}", interaction(0));
}
