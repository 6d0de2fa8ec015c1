//! Tests of the banks' FDX data as an API client reads it: every account and transaction of every customer.

use axum::http::{Method, StatusCode, header};
use fdx::vocabulary::find_unknown_words;
use fdx::{Account, AccountContact, Accounts, Customer, PaymentNetworks, Statements, Transactions};
use sandbox::bank::Bank;
use serde_json::{Value, json};

use crate::support::{FULL_SCOPE, SCOPE, TestBank, VERIFIER, text_member};

/// The required fields of each kind of account, by the key that names the kind.
const REQUIRED_FIELDS: &[(&str, &[&str])] = &[
    ("depositAccount", &["currentBalance", "availableBalance"]),
    ("loanAccount", &["principalBalance", "interestRate", "interestRateType"]),
    ("locAccount", &["currentBalance"]),
    ("investmentAccount", &["availableCashBalance", "currentValue"]),
];
const REQUIRED_ACCOUNT_FIELDS: &[&str] =
    &["accountId", "accountType", "accountCategory", "productName", "status", "currency", "balanceType"];
const REQUIRED_TRANSACTION_FIELDS: &[&str] = &[
    "accountId",
    "transactionId",
    "transactionTimestamp",
    "description",
    "debitCreditMemo",
    "status",
    "amount",
];

/// Returns the key that names the kind of an entity, and the entity.
fn unwrap_entity(element: &Value) -> (&str, &Value) {
    let (kind, value) = element.as_object().unwrap().iter().next().unwrap();
    (kind, value)
}

fn missing_fields(value: &Value, fields: &[&str]) -> Vec<String> {
    fields.iter().filter(|field| value.get(**field).is_none()).map(|field| (*field).to_owned()).collect()
}

/// Reads all pages of a list in FDX 5 and returns their elements. `name` is the field that contains them.
async fn list_all(bank: &TestBank, token: &str, path: &str, name: &str) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = bank.read(token, &next).await;
        assert_eq!(page.status, StatusCode::OK, "{next}: {}", page.text);
        assert_eq!(find_unknown_words(name, &page.json()), Vec::<String>::new());
        let dropped = match name {
            "accounts" => fdx::parse::<Accounts>(page.text.as_bytes()).unwrap().dropped,
            "paymentNetworks" => fdx::parse::<PaymentNetworks>(page.text.as_bytes()).unwrap().dropped,
            "statements" => fdx::parse::<Statements>(page.text.as_bytes()).unwrap().dropped,
            _ => fdx::parse::<Transactions>(page.text.as_bytes()).unwrap().dropped,
        };
        assert_eq!(dropped, 0, "{next}: the types must know every field");
        let page = page.json();
        items.extend(page[name].as_array().unwrap().clone());
        match page["links"]["next"]["href"].as_str() {
            Some(href) => next = to_v5_parameters(href.trim_start_matches(bank.base_path())),
            None => return items,
        }
    }
}

fn to_v5_parameters(path: &str) -> String {
    fdx::v6::PARAMETERS.iter().fold(path.to_owned(), |path, (five, six)| path.replace(six, five))
}

async fn check_bank(bank: &TestBank) -> (Vec<Value>, usize) {
    let (mut accounts, mut transactions) = (Vec::new(), 0);
    for login in bank.inner.logins() {
        let tokens = bank.grant_all_accounts(login.username, FULL_SCOPE).await;
        let token = text_member(&tokens, "access_token");
        let profile = bank.read(token, "/customers/current").await;
        assert_eq!(find_unknown_words("customer", &profile.json()), Vec::<String>::new());
        assert_eq!(fdx::parse::<Customer>(profile.text.as_bytes()).unwrap().dropped, 0);
        let profile = profile.json();
        assert_eq!(missing_fields(&profile, &["customerId", "type"]), Vec::<String>::new());
        assert_eq!(missing_fields(&profile["name"], &["first", "last"]), Vec::<String>::new());
        let address = ["line1", "city", "region", "postalCode", "country"];
        assert_eq!(missing_fields(&profile["addresses"][0], &address), Vec::<String>::new());
        assert_eq!(missing_fields(&profile["telephones"][0], &["type", "number"]), Vec::<String>::new());
        for element in list_all(bank, token, "/accounts?resultType=details&limit=500", "accounts").await {
            let (kind, account) = unwrap_entity(&element);
            assert_eq!(missing_fields(account, REQUIRED_ACCOUNT_FIELDS), Vec::<String>::new(), "{account}");
            assert_eq!(
                missing_fields(&account["currency"], &["currencyCode"]),
                Vec::<String>::new(),
                "{account}"
            );
            let required = REQUIRED_FIELDS.iter().find(|(known, _)| known == &kind).unwrap();
            assert_eq!(missing_fields(account, required.1), Vec::<String>::new(), "{account}");
            for holding in account["holdings"].as_array().into_iter().flatten() {
                assert_eq!(
                    missing_fields(holding, &["cashAccount", "marketValue"]),
                    Vec::<String>::new(),
                    "{holding}"
                );
            }
            if account["status"] != "CLOSED" {
                transactions +=
                    check_transactions(bank, token, kind, text_member(account, "accountId")).await;
                check_networks_and_statements(bank, token, account).await;
            }
            accounts.push(element);
        }
    }
    (accounts, transactions)
}

async fn check_transactions(bank: &TestBank, token: &str, kind: &str, id: &str) -> usize {
    let list = list_all(bank, token, &format!("/accounts/{id}/transactions?limit=500"), "transactions").await;
    assert!(!list.is_empty(), "{id}");
    for element in &list {
        let (key, row) = unwrap_entity(element);
        assert_eq!(key, kind.replace("Account", "Transaction"));
        assert_eq!(
            (row["accountId"].as_str(), missing_fields(row, REQUIRED_TRANSACTION_FIELDS)),
            (Some(id), vec![]),
            "{row}"
        );
        assert_eq!(row.get("postedTimestamp").is_some(), row["status"] == "POSTED", "{row}");
        assert!(!row["amount"].to_string().starts_with('-'), "{row}");
        if key == "investmentTransaction" {
            assert_eq!(missing_fields(row, &["fees", "transactionType"]), Vec::<String>::new(), "{row}");
        }
    }
    list.len()
}

async fn check_networks_and_statements(bank: &TestBank, token: &str, account: &Value) {
    let path = format!("/accounts/{}", text_member(account, "accountId"));
    let contact = bank.read(token, &format!("{path}/contact")).await;
    assert_eq!(find_unknown_words("accountContact", &contact.json()), Vec::<String>::new());
    assert_eq!(fdx::parse::<AccountContact>(contact.text.as_bytes()).unwrap().dropped, 0);
    let contact = contact.json();
    assert_eq!(
        missing_fields(&contact, &["holders", "emails", "addresses", "telephones"]),
        Vec::<String>::new()
    );
    assert_eq!(
        missing_fields(&contact["holders"][0], &["name", "relationship", "customerId"]),
        Vec::<String>::new()
    );
    let networks = list_all(bank, token, &format!("{path}/payment-networks"), "paymentNetworks").await;
    let payable = account["transferIn"] == true && account["accountCategory"] == "DEPOSIT_ACCOUNT";
    assert_eq!(networks.len(), usize::from(payable), "{account}");
    for network in networks {
        assert_eq!((text_member(&network, "type"), text_member(&network, "bankId").len()), ("CA_ACSS", 8));
        assert_eq!(network["identifier"], account["accountNumber"]);
    }
    let statements = list_all(bank, token, &format!("{path}/statements?limit=10"), "statements").await;
    assert_eq!(statements.len(), 24, "{account}");
    let fields = ["accountId", "statementId", "statementDate", "description", "status", "links"];
    assert!(statements.iter().all(|statement| missing_fields(statement, &fields).is_empty()));
}

fn account_types(accounts: &[Value]) -> Vec<String> {
    let mut types: Vec<String> = accounts
        .iter()
        .map(|element| text_member(unwrap_entity(element).1, "accountType").to_owned())
        .collect();
    types.sort();
    types.dedup();
    types
}

#[tokio::test]
async fn maple_data_conforms_to_fdx() {
    let (accounts, transactions) = check_bank(&TestBank::maple()).await;
    assert!(transactions > 4_000, "{transactions}");
    assert_eq!(
        account_types(&accounts),
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
async fn rideau_data_conforms_to_fdx() {
    let (accounts, transactions) = check_bank(&TestBank::rideau()).await;
    assert!(transactions > 2_500, "{transactions}");
    assert_eq!(
        account_types(&accounts),
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
async fn prairie_data_conforms_to_fdx() {
    assert!(check_bank(&TestBank::prairie()).await.1 > 400);
}

#[tokio::test]
async fn maple_lists_accounts_of_alice_in_fixed_order() {
    let bank = TestBank::maple();
    let tokens = bank.grant_all_accounts("alice", SCOPE).await;
    let list = bank.read(text_member(&tokens, "access_token"), "/accounts").await.json();
    let ids: Vec<&str> = list["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| text_member(unwrap_entity(a).1, "accountId"))
        .collect();

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
async fn closed_account_transactions_return_705() {
    for (bank, id) in [(TestBank::maple(), "mt-farid-chequing"), (TestBank::rideau(), "cr-farid-courant")] {
        let code = bank.obtain_code("farid", &[id], SCOPE).await;
        let tokens = bank.redeem_code(&code, VERIFIER).await.json();
        let token = text_member(&tokens, "access_token");
        let account = bank.read(token, &format!("/accounts/{id}")).await.json();
        assert_eq!(account["depositAccount"]["status"], "CLOSED");
        let transactions = bank.read(token, &format!("/accounts/{id}/transactions")).await;
        assert_eq!((transactions.status, &transactions.json()["code"]), (StatusCode::CONFLICT, &json!(705)));
        let bad = bank.read(token, &format!("/accounts/{id}/transactions?startTime=x")).await;
        assert_eq!(bad.json()["code"], 702, "an invalid parameter must be reported first");
    }
}

#[tokio::test]
async fn business_customer_profile_has_business_type() {
    for bank in [TestBank::maple(), TestBank::rideau()] {
        let tokens = bank.grant_all_accounts("david", FULL_SCOPE).await;
        let profile = bank.read(text_member(&tokens, "access_token"), "/customers/current").await.json();
        assert_eq!(profile["type"], "BUSINESS");
        assert_eq!(profile["businessCustomer"]["name"], "Singh Millwork Ltd.");
        let relationships: Vec<&str> =
            profile["accounts"].as_array().unwrap().iter().map(|a| text_member(a, "relationship")).collect();
        assert!(relationships.contains(&"BUSINESS"), "{relationships:?}");
        let alice = bank.grant_all_accounts("alice", FULL_SCOPE).await;
        let alice = bank.read(text_member(&alice, "access_token"), "/customers/current").await.json();
        assert_eq!((&alice["type"], alice.get("businessCustomer")), (&json!("CONSUMER"), None));
    }
}

#[tokio::test]
async fn rideau_omits_fields_outside_granted_scope() {
    let details = |bank: TestBank, scope: &'static str| async move {
        let tokens = bank.grant_all_accounts("alice", scope).await;
        let list =
            bank.read(text_member(&tokens, "access_token"), "/accounts?resultType=details").await.json();
        let has = |field: &str| {
            list["accounts"].as_array().unwrap().iter().any(|a| unwrap_entity(a).1.get(field).is_some())
        };
        (has("holdings"), has("accountNumber"))
    };
    assert_eq!(details(TestBank::rideau(), SCOPE).await, (false, false));
    assert_eq!(details(TestBank::rideau(), FULL_SCOPE).await, (true, true));
    assert_eq!(details(TestBank::maple(), SCOPE).await, (true, true), "the hub has to filter");
}

#[tokio::test]
async fn bank_scope_limits_readable_resources() {
    let bank = TestBank::maple();
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
        let code = bank.obtain_code("alice", &["mt-alice-card"], scope).await;
        let tokens = bank.redeem_code(&code, VERIFIER).await.json();
        let response = bank.read(text_member(&tokens, "access_token"), path).await;
        assert_eq!(response.status == StatusCode::OK, covered, "{scope} {path}: {}", response.text);
        assert!(covered || response.json()["code"] == 602);
    }
}

#[tokio::test]
async fn bank_paging_returns_each_item_once() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing"]).await;
    let token = text_member(&tokens, "access_token");
    let path = "/accounts/mt-alice-chequing/transactions?startTime=2026-01-01&endTime=2026-06-30";
    let single_page = bank.read(token, &format!("{path}&limit=500")).await.json();

    assert!(single_page["links"].get("next").is_none());

    let paged = list_all(&bank, token, &format!("{path}&limit=7"), "transactions").await;
    assert!(paged.len() > 100);
    assert_eq!(Value::from(paged), single_page["transactions"]);

    for (query, code) in [
        ("startTime=2026-02-30", 702),
        ("startTime=2026-03-02&endTime=2026-03-01", 703),
        ("limit=ten", 401),
        ("offset=nowhere", 401),
    ] {
        let response = bank.read(token, &format!("/accounts/mt-alice-chequing/transactions?{query}")).await;
        assert_eq!(
            (response.status, &response.json()["code"]),
            (StatusCode::BAD_REQUEST, &json!(code)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn bank_account_ids_filter_stays_within_grant() {
    let bank = TestBank::rideau();
    let tokens = bank.grant_accounts(&["cr-alice-courant", "cr-alice-celi"]).await;
    let filtered = bank
        .read(text_member(&tokens, "access_token"), "/accounts?accountIds=cr-alice-celi,cr-alice-epargne")
        .await;
    let filtered = fdx::parse::<Accounts>(filtered.text.as_bytes()).unwrap().value.accounts;

    assert_eq!(filtered.iter().map(Account::id).collect::<Vec<_>>(), [Some("cr-alice-celi")]);
}

#[tokio::test]
async fn bank_data_is_equal_for_same_seed_and_day() {
    for open in [Bank::maple, Bank::rideau] {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let bank = TestBank::new(open);
            let tokens = bank.grant_all_accounts("chloe", FULL_SCOPE).await;
            let token = text_member(&tokens, "access_token").to_owned();
            let mut texts = vec![bank.read(&token, "/accounts?resultType=details").await.text];
            for id in tokens.as_object().unwrap().values().find_map(Value::as_array).unwrap() {
                let path = format!("/accounts/{}/transactions?limit=500", id.as_str().unwrap());
                texts.push(bank.read(&token, &path).await.text);
            }
            seen.push(texts);
        }
        assert!(seen[0].len() > 3);
        assert_eq!(seen[0], seen[1]);
    }
}

#[tokio::test]
async fn bank_statement_is_served_as_pdf() {
    for (bank, account, has_document_endpoint) in
        [(TestBank::maple(), "mt-alice-chequing", false), (TestBank::rideau(), "cr-alice-courant", true)]
    {
        let tokens = bank.grant_all_accounts("alice", FULL_SCOPE).await;
        let token = text_member(&tokens, "access_token");
        let path = format!("/accounts/{account}/statements/{account}-2026-10");
        let mut pdf = bank.read(token, &path).await;
        if has_document_endpoint {
            assert_eq!((pdf.status, pdf.text.as_str()), (StatusCode::FOUND, ""));
            let location = pdf.location.trim_start_matches(bank.base_path()).to_owned();
            assert_eq!(bank.read("unknown-token", &location).await.status, StatusCode::UNAUTHORIZED);
            pdf = bank.read(token, &location).await;
        }
        assert_eq!(
            (pdf.status, &pdf.headers["content-type"]),
            (StatusCode::OK, &"application/pdf".parse().unwrap())
        );
        assert!(pdf.text.starts_with("%PDF-1.") && pdf.text.trim_end().ends_with("%%EOF"));
        assert!(
            bank.read(token, &path).await.text == pdf.text || has_document_endpoint,
            "the document must be the same at every request"
        );
        let unknown = bank.read(token, &format!("/accounts/{account}/statements/other-2026-10")).await;
        assert_eq!((unknown.status, &unknown.json()["code"]), (StatusCode::NOT_FOUND, &json!(1107)));
        bank.advance(8 * 86_400_000);
        let tokens = bank.grant_all_accounts("alice", FULL_SCOPE).await;
        let path = format!("/accounts/{account}/statements/{account}-2026-11");
        let unready = bank.read(text_member(&tokens, "access_token"), &path).await;
        assert_eq!((unready.status, &unready.json()["code"]), (StatusCode::BAD_REQUEST, &json!(1300)));
    }
}

#[tokio::test]
async fn rideau_serves_fdx_6_only() {
    let bank = TestBank::rideau();
    let tokens = bank.grant_all_accounts("alice", FULL_SCOPE).await;
    let token = text_member(&tokens, "access_token");
    let list = bank.read_raw(token, "/accounts?resultType=details&limit=2").await.json();
    let account = &list["accounts"][0];

    assert_eq!(
        (&account["accountCategory"], &account["accountId"]),
        (&json!("DEPOSIT_ACCOUNT"), &json!("cr-alice-courant"))
    );
    assert_eq!(list["accounts"][1]["accountType"], "HIGHINTERESTSAVINGSACCOUNT");
    assert!(list["page"]["nextPageKey"].is_string() && list["page"].get("nextOffset").is_none());
    assert!(list["links"]["next"]["href"].as_str().unwrap().contains("pageKey="));

    let plan = bank.read_raw(token, "/accounts/cr-alice-celi").await.json();
    assert_eq!(plan["holdings"][0]["securityIds"][0]["idType"], "CUSIP");

    let path = "/accounts/cr-alice-courant/transactions";
    for (query, code) in [
        ("startDate=2026-10-01", 703),
        ("endDate=2026-10-01", 703),
        ("startDate=x&endDate=2026-10-01", 702),
        ("pageKey=nowhere", 401),
    ] {
        let response = bank.read_raw(token, &format!("{path}?{query}")).await;
        assert_eq!(response.json()["code"], code, "{query}");
    }
    let day = bank
        .read_raw(token, &format!("{path}?startTime=2026-10-02&endTime=2026-10-02&limit=500"))
        .await
        .json();

    assert!(day["transactions"].as_array().unwrap().len() > 100, "parameter names of FDX 5 must be ignored");

    let bearer = format!("Bearer {token}");
    let headers = [(header::AUTHORIZATION, &*bearer)];
    let without_id = bank.send(Method::GET, "/fdx/v6/accounts", &headers, String::new()).await;

    assert_eq!((without_id.status, &without_id.json()["code"]), (StatusCode::BAD_REQUEST, &json!(401)));
    assert_eq!(bank.get("/fdx/v5/accounts").await.status, StatusCode::NOT_FOUND);
}
