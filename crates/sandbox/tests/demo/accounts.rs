//! Tests of the demo app's account pages: balances, masked numbers, paging, and errors of the hub.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    ACCESS, DemoFixture, GET_ACCOUNT, LIST_ACCOUNTS, LIST_TRANSACTIONS, NEWER_ACCESS, REFRESH, TOKEN,
    transaction_json,
};

#[tokio::test]
async fn demo_each_account_kind_shows_balance_and_masked_number() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    let account = |key: &str, id: &str, field: &str, amount: &str| -> Value {
        let text = format!(
            r#"{{"{key}":{{"accountId":"{id}","accountNumberDisplay":"99988877{id}","accountNumber":"12345670{id}","{field}":{amount}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let kinds = [
        account("depositAccount", "dep1", "currentBalance", "12345678901234567.89"),
        account("locAccount", "loc1", "currentBalance", "0.1"),
        account("loanAccount", "lon1", "principalBalance", "250000"),
        account("investmentAccount", "inv1", "currentValue", "1.005"),
        account("insuranceAccount", "ins1", "policyCoverageAmount", "5"),
        account("annuityAccount", "ann1", "surrenderValue", "6"),
        account("commercialAccount", "com1", "currentLedgerBalance", "-7.25"),
    ];
    fixture.hub.respond_always(LIST_ACCOUNTS, 200, &json!({"accounts": kinds}));
    let page = browser.get("/accounts").await;

    for (kind, number, balance) in [
        ("Deposit account", "•••• dep1", "$12,345,678,901,234,567.89"),
        ("Line of credit or card", "•••• loc1", "$0.10"),
        ("Loan", "•••• lon1", "$250,000.00"),
        ("Investments", "•••• inv1", "$1.005"),
        ("Insurance", "•••• ins1", "$5.00"),
        ("Annuity", "•••• ann1", "$6.00"),
        ("Business account", "•••• com1", "\u{2212}$7.25"),
    ] {
        assert!(page.contains(&format!("{kind} · {number}</p>")), "{kind}: {}", page.text);
        assert!(page.contains(&format!("<strong>{balance}</strong>")), "{kind}: {}", page.text);
    }
    assert!(
        !page.contains("9998887") && !page.contains("1234567"),
        "only the last four characters of a number may be shown"
    );
    assert!(
        browser
            .get("/accounts?lang=fr")
            .await
            .contains("12\u{a0}345\u{a0}678\u{a0}901\u{a0}234\u{a0}567,89\u{a0}$")
    );
}

#[tokio::test]
async fn demo_accounts_are_paged_and_shown_without_details() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    let account = |id: &str| json!({"depositAccount": {"accountId": id, "nickname": format!("Name {id}")}});
    fixture.hub.respond_once(
        LIST_ACCOUNTS,
        200,
        &json!({"page": {"nextOffset": "n/2"}, "accounts": [account("a1")]}),
    );
    fixture.hub.respond_once(LIST_ACCOUNTS, 200, &json!({"accounts": [account("a2")]}));
    fixture.hub.respond_once(
        LIST_ACCOUNTS,
        401,
        &json!({"code": "602", "message": "Customer not authorized"}),
    );
    let page = browser.get("/accounts").await;

    assert!(page.contains("Name a1") && page.contains("Name a2"), "{}", page.text);
    assert!(page.contains("not their balances") && !page.contains("This connection has ended"));

    let queries: Vec<String> =
        fixture.hub.requests_to(LIST_ACCOUNTS).iter().map(|request| request.query.clone()).collect();
    assert_eq!(
        queries,
        ["resultType=lightweight", "resultType=lightweight&offset=n%2F2", "resultType=details"]
    );
}

#[tokio::test]
async fn demo_expired_access_token_is_refreshed_and_call_retried() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    fixture.hub.respond_once(
        LIST_ACCOUNTS,
        401,
        &json!({"message": "The access token is missing, malformed or expired"}),
    );
    fixture.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));

    assert!(browser.get("/accounts").await.contains("$1,234.50"));

    let bearers: Vec<String> =
        fixture.hub.requests_to(LIST_ACCOUNTS).iter().map(|request| request.bearer.clone()).collect();
    assert_eq!(bearers, [ACCESS, NEWER_ACCESS, NEWER_ACCESS]);

    let refresh_request = &fixture.hub.requests_to(TOKEN)[1].body;
    assert_eq!(
        (&refresh_request["grant_type"], &refresh_request["refresh_token"]),
        (&json!("refresh_token"), &json!(REFRESH))
    );

    browser.get("/accounts").await;
    assert_eq!(
        fixture.hub.requests_to(LIST_ACCOUNTS)[3].bearer,
        NEWER_ACCESS,
        "the session must keep the newer token"
    );
}

#[tokio::test]
async fn demo_ended_connection_offers_reconnect() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    fixture.hub.end_connection();
    let page = browser.get("/accounts").await;

    assert!(
        page.contains("This connection has ended.") && page.contains("<code>602</code>"),
        "{}",
        page.text
    );
    assert!(page.contains(r#"name="provider_id" value="1000">Connect again"#), "{}", page.text);
    assert_eq!(fixture.hub.requests_to(TOKEN).len(), 1, "602 must not trigger a refresh");

    fixture.hub.respond_always(GET_ACCOUNT, 401, &json!({"code": 602}));
    let page = browser.get("/accounts/a1?bank=1000").await;

    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(
        page.contains("<h1>This connection has ended.</h1>") && page.contains("<code>602</code>"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn demo_read_error_shows_retry_time_and_code() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    for (status, code) in [(503, 503), (429, 1207)] {
        fixture.hub.respond_once_with(
            LIST_ACCOUNTS,
            status,
            &[("retry-after", "42")],
            &json!({"code": code}),
        );
        let page = browser.get("/accounts?lang=fr").await;
        assert!(page.contains("Veuillez réessayer dans 42 secondes."), "{}", page.text);
        assert!(page.contains(&format!("<code>{code}</code>")));
    }
    fixture.hub.respond_once(LIST_ACCOUNTS, 503, &json!({"code": 503}));

    assert!(browser.get("/accounts?lang=en").await.contains("try again in a few minutes"));

    for (status, code, expected) in
        [(404, 701, 404), (409, 705, 502), (400, 401, 400), (500, 500, 502), (403, 403, 502)]
    {
        fixture.hub.respond_once(GET_ACCOUNT, status, &json!({"code": code}));
        let page = browser.get("/accounts/a1?bank=1000").await;
        assert_eq!(page.status.as_u16(), expected, "{code}");
        assert!(page.contains(&format!("<code>{code}</code>")), "{}", page.text);
    }
}

#[tokio::test]
async fn demo_account_shows_holdings_pending_and_foreign_amounts() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    let account = json!({"investmentAccount": {"accountId": "a1", "nickname": "TFSA", "currentValue": 2500,
        "currency": {"currencyCode": "USD"}, "holdings": [{"holdingName": "Broad Index", "symbol": "XIX",
        "units": 12.125, "currentUnitPrice": 206.1856, "marketValue": 2500}]}});
    fixture.hub.respond_once(GET_ACCOUNT, 200, &account);
    let page = browser.get("/accounts/a1?bank=1000").await;

    for cell in ["Broad Index · XIX", "12.125", "US$206.1856", "US$2,500.00"] {
        assert!(page.contains(&format!(">{cell}</t")), "{cell}: {}", page.text);
    }
    assert!(!browser.get("/accounts/a1?bank=1000").await.contains("Holdings"));

    let transaction = transaction_json(
        1,
        r#""description":"HOTEL","amount":150.10,"debitCreditMemo":"DEBIT","status":"PENDING","foreignAmount":101.5,"foreignCurrency":"EUR""#,
    );
    fixture.hub.respond_once(LIST_TRANSACTIONS, 200, &json!({"transactions": [transaction]}));
    let page = browser.get("/accounts/a1?bank=1000").await;

    assert!(page.contains("\u{2212}$150.10 <span class=\"quiet\">EUR\u{a0}101.50</span>"), "{}", page.text);
    assert!(
        page.contains(r#"<li class="pending">"#)
            && page.contains(">Pending</span>")
            && page.contains("Oct 2, 2026")
    );
    assert!(!page.contains("<svg class=\"chart\""), "pending transactions must not count as spending");
}

#[tokio::test]
async fn demo_account_id_is_encoded_in_hub_url() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    for id in ["..%2F..%2Fv1%2Frecipients", "a%3Fx%3D1%23y", "%2e%2e"] {
        browser.get(&format!("/accounts/{id}?bank=1000")).await;
    }
    let requests = fixture.hub.received.lock().unwrap().clone();
    let targets: Vec<&str> = requests.iter().skip(1).map(|request| request.target.as_str()).collect();

    assert_eq!(
        targets,
        [
            "GET /api/fdx/5/accounts/..%2F..%2Fv1%2Frecipients",
            "GET /api/fdx/5/accounts/a%3Fx=1%23y",
            "GET /api/fdx/5/accounts",
        ]
    );
}
