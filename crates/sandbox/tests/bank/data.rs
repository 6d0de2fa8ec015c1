//! What the banks serve, read as a client reads it: every account and transaction of everybody.

use axum::http::{Method, StatusCode, header};
use fdx::vocabulary::strange_words;
use fdx::{Account, AccountContact, Accounts, Customer, PaymentNetworks, Statements, Transactions};
use sandbox::bank::Bank;
use serde_json::{Value, json};

use crate::kit::{EVERYTHING, Kit, SCOPE, VERIFIER, text};

/// The floor of required fields, by the key that names the kind.
const FLOOR: &[(&str, &[&str])] = &[
    ("depositAccount", &["currentBalance", "availableBalance"]),
    ("loanAccount", &["principalBalance", "interestRate", "interestRateType"]),
    ("locAccount", &["currentBalance"]),
    ("investmentAccount", &["availableCashBalance", "currentValue"]),
];
const EVERY_ACCOUNT: &[&str] =
    &["accountId", "accountType", "accountCategory", "productName", "status", "currency", "balanceType"];
const EVERY_TRANSACTION: &[&str] = &[
    "accountId",
    "transactionId",
    "transactionTimestamp",
    "description",
    "debitCreditMemo",
    "status",
    "amount",
];

/// What stands below the key that names the kind, and that key.
fn inner(element: &Value) -> (&str, &Value) {
    let (kind, value) = element.as_object().unwrap().iter().next().unwrap();
    (kind, value)
}

fn lacks(value: &Value, fields: &[&str]) -> Vec<String> {
    fields.iter().filter(|field| value.get(**field).is_none()).map(|field| (*field).to_owned()).collect()
}

/// Every page of a list.
async fn all(kit: &Kit, token: &str, path: &str, name: &str) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = kit.read(token, &next).await;
        assert_eq!(page.status, StatusCode::OK, "{next}: {}", page.text);
        assert_eq!(strange_words(name, &page.json()), Vec::<String>::new());
        let dropped = match name {
            "accounts" => fdx::parse::<Accounts>(page.text.as_bytes()).unwrap().dropped,
            "paymentNetworks" => fdx::parse::<PaymentNetworks>(page.text.as_bytes()).unwrap().dropped,
            "statements" => fdx::parse::<Statements>(page.text.as_bytes()).unwrap().dropped,
            _ => fdx::parse::<Transactions>(page.text.as_bytes()).unwrap().dropped,
        };
        assert_eq!(dropped, 0, "{next}: fields that the types do not know");
        let page = page.json();
        items.extend(page[name].as_array().unwrap().clone());
        match page["links"]["next"]["href"].as_str() {
            Some(href) => next = in_five_words(href.trim_start_matches(kit.base())),
            None => return items,
        }
    }
}

fn in_five_words(path: &str) -> String {
    fdx::v6::PARAMETERS.iter().fold(path.to_owned(), |path, (five, six)| path.replace(six, five))
}

async fn whole_bank(kit: &Kit) -> (Vec<Value>, usize) {
    let (mut accounts, mut transactions) = (Vec::new(), 0);
    for login in kit.bank.logins() {
        let reply = kit.granted_all(login.username, EVERYTHING).await;
        let token = text(&reply, "access_token");
        let profile = kit.read(token, "/customers/current").await;
        assert_eq!(strange_words("customer", &profile.json()), Vec::<String>::new());
        assert_eq!(fdx::parse::<Customer>(profile.text.as_bytes()).unwrap().dropped, 0);
        let profile = profile.json();
        assert_eq!(lacks(&profile, &["customerId", "type"]), Vec::<String>::new());
        assert_eq!(lacks(&profile["name"], &["first", "last"]), Vec::<String>::new());
        let address = ["line1", "city", "region", "postalCode", "country"];
        assert_eq!(lacks(&profile["addresses"][0], &address), Vec::<String>::new());
        assert_eq!(lacks(&profile["telephones"][0], &["type", "number"]), Vec::<String>::new());
        for element in all(kit, token, "/accounts?resultType=details&limit=500", "accounts").await {
            let (kind, account) = inner(&element);
            assert_eq!(lacks(account, EVERY_ACCOUNT), Vec::<String>::new(), "{account}");
            assert_eq!(lacks(&account["currency"], &["currencyCode"]), Vec::<String>::new(), "{account}");
            let floor = FLOOR.iter().find(|(floor, _)| floor == &kind).unwrap();
            assert_eq!(lacks(account, floor.1), Vec::<String>::new(), "{account}");
            for holding in account["holdings"].as_array().into_iter().flatten() {
                assert_eq!(
                    lacks(holding, &["cashAccount", "marketValue"]),
                    Vec::<String>::new(),
                    "{holding}"
                );
            }
            if account["status"] != "CLOSED" {
                transactions += every_transaction(kit, token, kind, text(account, "accountId")).await;
                networks_and_statements(kit, token, account).await;
            }
            accounts.push(element);
        }
    }
    (accounts, transactions)
}

async fn every_transaction(kit: &Kit, token: &str, kind: &str, id: &str) -> usize {
    let list = all(kit, token, &format!("/accounts/{id}/transactions?limit=500"), "transactions").await;
    assert!(!list.is_empty(), "{id}");
    for element in &list {
        let (key, row) = inner(element);
        assert_eq!(key, kind.replace("Account", "Transaction"));
        assert_eq!((row["accountId"].as_str(), lacks(row, EVERY_TRANSACTION)), (Some(id), vec![]), "{row}");
        assert_eq!(row.get("postedTimestamp").is_some(), row["status"] == "POSTED", "{row}");
        assert!(!row["amount"].to_string().starts_with('-'), "{row}");
        if key == "investmentTransaction" {
            assert_eq!(lacks(row, &["fees", "transactionType"]), Vec::<String>::new(), "{row}");
        }
    }
    list.len()
}

async fn networks_and_statements(kit: &Kit, token: &str, account: &Value) {
    let path = format!("/accounts/{}", text(account, "accountId"));
    let contact = kit.read(token, &format!("{path}/contact")).await;
    assert_eq!(strange_words("accountContact", &contact.json()), Vec::<String>::new());
    assert_eq!(fdx::parse::<AccountContact>(contact.text.as_bytes()).unwrap().dropped, 0);
    let contact = contact.json();
    assert_eq!(lacks(&contact, &["holders", "emails", "addresses", "telephones"]), Vec::<String>::new());
    assert_eq!(lacks(&contact["holders"][0], &["name", "relationship", "customerId"]), Vec::<String>::new());
    let networks = all(kit, token, &format!("{path}/payment-networks"), "paymentNetworks").await;
    let payable = account["transferIn"] == true && account["accountCategory"] == "DEPOSIT_ACCOUNT";
    assert_eq!(networks.len(), usize::from(payable), "{account}");
    for network in networks {
        assert_eq!((text(&network, "type"), text(&network, "bankId").len()), ("CA_ACSS", 8));
        assert_eq!(network["identifier"], account["accountNumber"]);
    }
    let statements = all(kit, token, &format!("{path}/statements?limit=10"), "statements").await;
    assert_eq!(statements.len(), 24, "{account}");
    let fields = ["accountId", "statementId", "statementDate", "description", "status", "links"];
    assert!(statements.iter().all(|statement| lacks(statement, &fields).is_empty()));
}

fn types(accounts: &[Value]) -> Vec<String> {
    let mut types: Vec<String> =
        accounts.iter().map(|element| text(inner(element).1, "accountType").to_owned()).collect();
    types.sort();
    types.dedup();
    types
}

#[tokio::test]
async fn everything_that_maple_serves_is_of_the_standard() {
    let (accounts, transactions) = whole_bank(&Kit::maple()).await;
    assert!(transactions > 4_000, "{transactions}");
    assert_eq!(
        types(&accounts),
        [
            "AUTOLOAN",
            "CD",
            "CHECKING",
            "COMMERCIALDEPOSIT",
            "CREDITCARD",
            "HOMELINEOFCREDIT",
            "INVESTMENTACCOUNT",
            "MORTGAGE",
            "REGISTEREDRETIREMENTSAVINGSPLAN",
            "SAVINGS",
            "TAXFREESAVINGSACCOUNT",
        ]
    );
}

#[tokio::test]
async fn everything_that_rideau_serves_is_of_the_standard() {
    let (accounts, transactions) = whole_bank(&Kit::rideau()).await;
    assert!(transactions > 2_500, "{transactions}");
    assert_eq!(
        types(&accounts),
        [
            "CD",
            "CHECKING",
            "COMMERCIALDEPOSIT",
            "COMMERCIALLINEOFCREDIT",
            "CREDITCARD",
            "LINEOFCREDIT",
            "MORTGAGE",
            "PERSONALLOAN",
            "REGISTEREDEDUCATIONSAVINGSPLAN",
            "SAVINGS",
            "TAXFREESAVINGSACCOUNT",
        ]
    );
}

#[tokio::test]
async fn everything_that_prairie_serves_is_of_the_standard() {
    assert!(whole_bank(&Kit::prairie()).await.1 > 400);
}

#[tokio::test]
async fn alice_has_her_four_accounts_first() {
    let kit = Kit::maple();
    let reply = kit.granted_all("alice", SCOPE).await;
    let list = kit.read(text(&reply, "access_token"), "/accounts").await.json();
    let ids: Vec<&str> =
        list["accounts"].as_array().unwrap().iter().map(|a| text(inner(a).1, "accountId")).collect();
    assert_eq!(
        ids,
        [
            "mt-alice-chequing",
            "mt-alice-savings",
            "mt-alice-card",
            "mt-joint-savings",
            "mt-alice-tfsa",
            "mt-alice-auto",
        ]
    );
    assert!(list["accounts"][0].get("depositAccount").is_some());
}

#[tokio::test]
async fn a_closed_account_is_shown_as_closed_and_its_transactions_are_not_read() {
    for (kit, id) in [(Kit::maple(), "mt-farid-chequing"), (Kit::rideau(), "cr-farid-courant")] {
        let code = kit.code("farid", &[id], SCOPE).await;
        let reply = kit.redeem(&code, VERIFIER).await.json();
        let token = text(&reply, "access_token");
        let account = kit.read(token, &format!("/accounts/{id}")).await.json();
        assert_eq!(account["depositAccount"]["status"], "CLOSED");
        let transactions = kit.read(token, &format!("/accounts/{id}/transactions")).await;
        assert_eq!((transactions.status, &transactions.json()["code"]), (StatusCode::CONFLICT, &json!(705)));
        let bad = kit.read(token, &format!("/accounts/{id}/transactions?startTime=x")).await;
        assert_eq!(bad.json()["code"], 702, "what is wrong with the question comes first");
    }
}

#[tokio::test]
async fn a_business_is_named_as_one() {
    for kit in [Kit::maple(), Kit::rideau()] {
        let reply = kit.granted_all("david", EVERYTHING).await;
        let profile = kit.read(text(&reply, "access_token"), "/customers/current").await.json();
        assert_eq!(profile["type"], "BUSINESS");
        assert_eq!(profile["businessCustomer"]["name"], "Singh Millwork Ltd.");
        let relationships: Vec<&str> =
            profile["accounts"].as_array().unwrap().iter().map(|a| text(a, "relationship")).collect();
        assert!(relationships.contains(&"BUSINESS"), "{relationships:?}");
        let alice = kit.granted_all("alice", EVERYTHING).await;
        let alice = kit.read(text(&alice, "access_token"), "/customers/current").await.json();
        assert_eq!((&alice["type"], alice.get("businessCustomer")), (&json!("CONSUMER"), None));
    }
}

#[tokio::test]
async fn a_strict_bank_leaves_out_what_the_scope_does_not_name() {
    let details = |kit: Kit, scope: &'static str| async move {
        let reply = kit.granted_all("alice", scope).await;
        let list = kit.read(text(&reply, "access_token"), "/accounts?resultType=details").await.json();
        let has = |field: &str| {
            list["accounts"].as_array().unwrap().iter().any(|a| inner(a).1.get(field).is_some())
        };
        (has("holdings"), has("accountNumber"))
    };
    assert_eq!(details(Kit::rideau(), SCOPE).await, (false, false));
    assert_eq!(details(Kit::rideau(), EVERYTHING).await, (true, true));
    assert_eq!(details(Kit::maple(), SCOPE).await, (true, true), "the hub has to do it");
}

#[tokio::test]
async fn what_may_be_read_follows_the_scope() {
    let kit = Kit::maple();
    for (scope, path, covered) in [
        ("fdx:accountbasic:read", "/accounts", true),
        ("fdx:accountbasic:read", "/accounts?resultType=details", false),
        ("fdx:accountbasic:read", "/accounts/mt-alice-card", false),
        ("fdx:accountdetailed:read", "/accounts?resultType=details", true),
        ("fdx:accountdetailed:read", "/accounts/mt-alice-card/transactions", false),
        ("fdx:transactions:read", "/accounts/mt-alice-card/transactions", true),
        ("fdx:transactions:read", "/customers/current", false),
        ("fdx:customercontact:read", "/customers/current", true),
    ] {
        let code = kit.code("alice", &["mt-alice-card"], scope).await;
        let reply = kit.redeem(&code, VERIFIER).await.json();
        let answer = kit.read(text(&reply, "access_token"), path).await;
        assert_eq!(answer.status == StatusCode::OK, covered, "{scope} {path}: {}", answer.text);
        assert!(covered || answer.json()["code"] == 602);
    }
}

#[tokio::test]
async fn paging_shows_everything_once() {
    let kit = Kit::maple();
    let reply = kit.granted(&["mt-alice-chequing"]).await;
    let token = text(&reply, "access_token");
    let path = "/accounts/mt-alice-chequing/transactions?startTime=2026-01-01&endTime=2026-06-30";
    let whole = kit.read(token, &format!("{path}&limit=500")).await.json();
    assert!(whole["links"].get("next").is_none());
    let paged = all(&kit, token, &format!("{path}&limit=7"), "transactions").await;
    assert!(paged.len() > 100);
    assert_eq!(Value::from(paged), whole["transactions"]);
    for (query, code) in [
        ("startTime=2026-02-30", 702),
        ("startTime=2026-03-02&endTime=2026-03-01", 703),
        ("limit=ten", 401),
        ("offset=nowhere", 401),
    ] {
        let answer = kit.read(token, &format!("/accounts/mt-alice-chequing/transactions?{query}")).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (StatusCode::BAD_REQUEST, &json!(code)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn account_ids_pick_within_the_grant() {
    let kit = Kit::rideau();
    let reply = kit.granted(&["cr-alice-courant", "cr-alice-celi"]).await;
    let picked =
        kit.read(text(&reply, "access_token"), "/accounts?accountIds=cr-alice-celi,cr-alice-epargne").await;
    let picked = fdx::parse::<Accounts>(picked.text.as_bytes()).unwrap().value.accounts;
    assert_eq!(picked.iter().map(Account::id).collect::<Vec<_>>(), [Some("cr-alice-celi")]);
}

#[tokio::test]
async fn the_same_seed_and_day_are_the_same_bytes() {
    for open in [Bank::maple, Bank::rideau] {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let kit = Kit::new(open);
            let reply = kit.granted_all("chloe", EVERYTHING).await;
            let token = text(&reply, "access_token").to_owned();
            let mut texts = vec![kit.read(&token, "/accounts?resultType=details").await.text];
            for id in reply.as_object().unwrap().values().find_map(Value::as_array).unwrap() {
                let path = format!("/accounts/{}/transactions?limit=500", id.as_str().unwrap());
                texts.push(kit.read(&token, &path).await.text);
            }
            seen.push(texts);
        }
        assert!(seen[0].len() > 3);
        assert_eq!(seen[0], seen[1]);
    }
}

#[tokio::test]
async fn a_statement_is_a_pdf_where_the_bank_keeps_it() {
    for (kit, account, apart) in
        [(Kit::maple(), "mt-alice-chequing", false), (Kit::rideau(), "cr-alice-courant", true)]
    {
        let reply = kit.granted_all("alice", EVERYTHING).await;
        let token = text(&reply, "access_token");
        let path = format!("/accounts/{account}/statements/{account}-2026-10");
        let mut pdf = kit.read(token, &path).await;
        if apart {
            assert_eq!((pdf.status, pdf.text.as_str()), (StatusCode::FOUND, ""));
            let place = pdf.location.trim_start_matches(kit.base()).to_owned();
            assert_eq!(kit.read("stranger", &place).await.status, StatusCode::UNAUTHORIZED);
            pdf = kit.read(token, &place).await;
        }
        assert_eq!(
            (pdf.status, &pdf.headers["content-type"]),
            (StatusCode::OK, &"application/pdf".parse().unwrap())
        );
        assert!(pdf.text.starts_with("%PDF-1.") && pdf.text.trim_end().ends_with("%%EOF"));
        assert!(kit.read(token, &path).await.text == pdf.text || apart, "the same bytes at every use");
        let unknown = kit.read(token, &format!("/accounts/{account}/statements/other-2026-10")).await;
        assert_eq!((unknown.status, &unknown.json()["code"]), (StatusCode::NOT_FOUND, &json!(1107)));
        kit.advance(8 * 86_400_000);
        let reply = kit.granted_all("alice", EVERYTHING).await;
        let path = format!("/accounts/{account}/statements/{account}-2026-11");
        let unready = kit.read(text(&reply, "access_token"), &path).await;
        assert_eq!((unready.status, &unready.json()["code"]), (StatusCode::BAD_REQUEST, &json!(1300)));
    }
}

#[tokio::test]
async fn rideau_speaks_fdx_6_and_nothing_of_5() {
    let kit = Kit::rideau();
    let reply = kit.granted_all("alice", EVERYTHING).await;
    let token = text(&reply, "access_token");
    let list = kit.read_raw(token, "/accounts?resultType=details&limit=2").await.json();
    let account = &list["accounts"][0];
    assert_eq!(
        (&account["accountCategory"], &account["accountId"]),
        (&json!("DEPOSIT_ACCOUNT"), &json!("cr-alice-courant"))
    );
    assert_eq!(list["accounts"][1]["accountType"], "HIGHINTERESTSAVINGSACCOUNT");
    assert!(list["page"]["nextPageKey"].is_string() && list["page"].get("nextOffset").is_none());
    assert!(list["links"]["next"]["href"].as_str().unwrap().contains("pageKey="));
    let plan = kit.read_raw(token, "/accounts/cr-alice-celi").await.json();
    assert_eq!(plan["holdings"][0]["securityIds"][0]["idType"], "CUSIP");
    let path = "/accounts/cr-alice-courant/transactions";
    for (query, code) in [
        ("startDate=2026-10-01", 703),
        ("endDate=2026-10-01", 703),
        ("startDate=x&endDate=2026-10-01", 702),
        ("pageKey=nowhere", 401),
    ] {
        let answer = kit.read_raw(token, &format!("{path}?{query}")).await;
        assert_eq!(answer.json()["code"], code, "{query}");
    }
    let day = kit
        .read_raw(token, &format!("{path}?startTime=2026-10-02&endTime=2026-10-02&limit=500"))
        .await
        .json();
    assert!(day["transactions"].as_array().unwrap().len() > 100, "names of 5.x mean nothing");
    let bearer = format!("Bearer {token}");
    let headers = [(header::AUTHORIZATION, &*bearer)];
    let bare = kit.send(Method::GET, "/fdx/v6/accounts", &headers, String::new()).await;
    assert_eq!((bare.status, &bare.json()["code"]), (StatusCode::BAD_REQUEST, &json!(401)));
    assert_eq!(kit.get("/fdx/v5/accounts").await.status, StatusCode::NOT_FOUND);
}
