//! The demo app as a browser sees it, before a hub that says what a test wants it to say.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod demo_kit;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sandbox::demo::{Demo, DemoSettings};
use serde_json::{Value, json};

use demo_kit::*;

#[tokio::test]
async fn demo_authorize_redirect_has_all_parameters_and_pkce() {
    let world = DemoFixture::new().await;
    let mut browser = world.browser();
    browser.get("/?lang=fr").await;
    let (url, state) = browser.begin_authorization(Some("2000")).await;
    assert_eq!(
        format!("{}{}", url.origin().ascii_serialization(), url.path()),
        format!("{}/api/v1/authorize", world.hub.url)
    );
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "dc-acme"),
        ("redirect_uri", "http://127.0.0.1:8401/callback"),
        ("scope", "ACCOUNT_BASIC TRANSACTIONS"),
        ("code_challenge_method", "S256"),
        ("provider_id", "2000"),
        ("ui_locales", "fr"),
    ] {
        assert_eq!(query_parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    assert!(state.len() >= 43);
    browser.get(&format!("/callback?code={CODE}&state={state}")).await;
    let sent = &world.hub.requests_to(TOKEN)[0].body;
    let verifier = sent["code_verifier"].as_str().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    assert_eq!(query_parameter(&url, "code_challenge").unwrap(), URL_SAFE_NO_PAD.encode(digest));
    let expected = json!({"grant_type": "authorization_code", "code": CODE, "redirect_uri": "http://127.0.0.1:8401/callback",
        "client_id": "dc-acme", "client_secret": SECRET, "code_verifier": verifier});
    assert_eq!(*sent, expected);
    let (other, another_state) = browser.begin_authorization(None).await;
    assert_eq!(query_parameter(&other, "provider_id"), None);
    assert_ne!(state, another_state);
    assert_ne!(query_parameter(&url, "code_challenge"), query_parameter(&other, "code_challenge"));
}

#[tokio::test]
async fn demo_connect_rejects_unoffered_bank() {
    let world = DemoFixture::new().await;
    let mut browser = world.browser();
    browser.get("/").await;
    let page = browser.post("/connect", &[("provider_id", "3000")]).await;
    assert_eq!((page.status, &*page.location), (StatusCode::BAD_REQUEST, ""));
}

#[tokio::test]
async fn demo_callback_with_bad_state_exchanges_nothing() {
    let world = DemoFixture::new().await;
    let mut browser = world.browser();
    let state = browser.begin_authorization(Some("1000")).await.1;
    for wrong in ["", "&state=", "&state=wrong", &format!("&state={state}x"), "&error=access_denied"] {
        let page = browser.get(&format!("/callback?code={CODE}{wrong}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(page.contains("does not belong to anything you asked for"), "{}", page.text);
    }
    assert!(world.hub.requests_to(TOKEN).is_empty());
    let callback_url = format!("/callback?code={CODE}&state={state}");
    assert_eq!(browser.get(&callback_url).await.status, StatusCode::SEE_OTHER, "the right one still works");
    assert_eq!(browser.get(&callback_url).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.hub.requests_to(TOKEN).len(), 1);
    let mut other = world.browser();
    let state = browser.begin_authorization(Some("1000")).await.1;
    other.begin_authorization(Some("1000")).await;
    let stolen = other.get(&format!("/callback?code={CODE}&state={state}")).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "another browser's state");
    assert_eq!(world.hub.requests_to(TOKEN).len(), 1);
}

#[tokio::test]
async fn demo_pages_never_show_secrets() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    for page in ["/accounts", "/accounts/a1?bank=1000", "/"] {
        browser.get(page).await;
    }
    world.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));
    browser.post("/refresh", &[("bank", "1000")]).await;
    browser.get("/").await;
    world.hub.end_connection();
    browser.post("/disconnect", &[("bank", "1000")]).await;
    browser.get("/").await;
    let verifier = world.hub.requests_to(TOKEN)[0].body["code_verifier"].as_str().unwrap().to_owned();
    for secret in
        [ACCESS, NEWER_ACCESS, REFRESH, CODE, SECRET, &verifier, &browser.cookie["demo_session=".len()..]]
    {
        assert!(!browser.seen_text.contains(&secret[..9]), "more than 8 characters of {secret}");
    }
    assert!(browser.seen_text.contains("access_token eyJhbGci… (39, #"), "{}", browser.seen_text);
}

#[tokio::test]
async fn demo_callback_error_is_shown_in_both_languages() {
    let world = DemoFixture::new().await;
    for (error, en, fr) in [
        ("access_denied", "You said no, and nothing was shared.", "Vous avez refusé"),
        (
            "temporarily_unavailable",
            "Your bank cannot answer at present.",
            "Votre banque ne peut pas répondre",
        ),
        ("server_error", "Something went wrong", "Un problème est survenu"),
        ("invalid_scope", "Acme Budget asked for this in the wrong way.", "Acme Budget a mal formulé"),
        ("%3Cb%3E", "Something went wrong", "Un problème est survenu"),
    ] {
        for (lang, words) in [("en", en), ("fr", fr)] {
            let mut browser = world.browser();
            browser.get(&format!("/?lang={lang}")).await;
            let page = browser.complete_authorization(Some("1000"), &format!("error={error}")).await;
            assert_eq!((page.status, &*page.location), (StatusCode::SEE_OTHER, "/"));
            let page = browser.get("/").await;
            assert!(
                page.contains(words) && page.contains(&format!(r#"<html lang="{lang}">"#)),
                "{}",
                page.text
            );
            assert!(page.contains(&format!("<code>{error}</code>")) != (error == "%3Cb%3E"), "{}", page.text);
            assert!(!page.contains("<b>"));
            assert!(!browser.get("/").await.contains(words), "a notice is shown once");
        }
    }
    assert!(world.hub.requests_to(TOKEN).is_empty());
}

#[tokio::test]
async fn demo_language_comes_from_query_session_or_browser() {
    let world = DemoFixture::new().await;
    let mut browser = world.browser();
    let request = Request::get("/").header(header::ACCEPT_LANGUAGE, "fr-CA,fr;q=0.9").body(Body::empty());
    assert!(browser.send(request.unwrap()).await.contains(r#"<html lang="fr">"#));
    assert!(browser.get("/").await.contains(r#"<html lang="en">"#), "nothing was chosen");
    let page = browser.get("/accounts/a%201?bank=1000&q=x&lang=fr").await;
    assert_eq!(page.location, "/accounts");
    assert!(browser.get("/").await.contains(r#"<html lang="fr">"#));
    let page = browser.get("/accounts?a=1&lang=en").await;
    assert!(page.contains(r#"href="/accounts?a=1&#38;lang=fr""#), "{}", page.text);
}

#[tokio::test]
async fn demo_token_endpoint_error_is_shown_without_connecting() {
    let world = DemoFixture::new().await;
    let mut browser = world.browser();
    for (status, body, words) in [
        (400, json!({"error": "invalid_grant"}), "This connection has ended."),
        (400, json!({"error": "invalid_client"}), "in the wrong way"),
        (200, json!({"access_token": ACCESS}), "<code>refresh_token</code>"),
        (200, json!("no tokens"), "<code>unreadable</code>"),
        (502, json!("<html>"), "<code>HTTP-502</code>"),
    ] {
        world.hub.respond_once(TOKEN, status, &body);
        browser.complete_authorization(Some("1000"), &format!("code={CODE}")).await;
        let page = browser.get("/").await;
        assert!(page.contains(words), "{words}: {}", page.text);
        assert!(!page.contains("Connected banks"));
    }
    world.hub.respond_once_with(
        TOKEN,
        503,
        &[("retry-after", "7")],
        &json!({"error": "temporarily_unavailable"}),
    );
    browser.complete_authorization(Some("1000"), &format!("code={CODE}")).await;
    assert!(browser.get("/").await.contains("Please try again in 7 seconds."));
}

#[tokio::test]
async fn demo_unreachable_hub_is_reported() {
    let mut settings = DemoSettings {
        origin: ORIGIN.into(),
        hub: String::new(),
        client_id: "dc-acme".into(),
        client_secret: SECRET.into(),
        redirect_uri: format!("{ORIGIN}/callback"),
        scope: "ACCOUNT_BASIC".into(),
        providers: Vec::new(),
        clock: Arc::new(|| NOW),
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings.hub = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let router = Demo::new(settings).unwrap().router();
    let mut browser =
        DemoBrowser { router, cookie: String::new(), csrf_token: String::new(), seen_text: String::new() };
    browser.complete_authorization(None, &format!("code={CODE}")).await;
    let page = browser.get("/").await;
    assert!(
        page.contains("The connection service cannot be reached.") && page.contains("no answer"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn demo_account_kinds_show_balance_and_masked_number() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
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
    world.hub.respond_always(LIST_ACCOUNTS, 200, &json!({"accounts": kinds}));
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
    assert!(!page.contains("9998887") && !page.contains("1234567"), "a whole number is shown");
    assert!(
        browser
            .get("/accounts?lang=fr")
            .await
            .contains("12\u{a0}345\u{a0}678\u{a0}901\u{a0}234\u{a0}567,89\u{a0}$")
    );
}

#[tokio::test]
async fn demo_accounts_are_paged_and_shown_without_details() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    let light = |id: &str| json!({"depositAccount": {"accountId": id, "nickname": format!("Name {id}")}});
    world.hub.respond_once(
        LIST_ACCOUNTS,
        200,
        &json!({"page": {"nextOffset": "n/2"}, "accounts": [light("a1")]}),
    );
    world.hub.respond_once(LIST_ACCOUNTS, 200, &json!({"accounts": [light("a2")]}));
    world.hub.respond_once(LIST_ACCOUNTS, 401, &json!({"code": "602", "message": "Customer not authorized"}));
    let page = browser.get("/accounts").await;
    assert!(page.contains("Name a1") && page.contains("Name a2"), "{}", page.text);
    assert!(page.contains("not their balances") && !page.contains("This connection has ended"));
    let queries: Vec<String> =
        world.hub.requests_to(LIST_ACCOUNTS).iter().map(|seen| seen.query.clone()).collect();
    assert_eq!(
        queries,
        ["resultType=lightweight", "resultType=lightweight&offset=n%2F2", "resultType=details"]
    );
}

#[tokio::test]
async fn demo_expired_access_token_is_refreshed_and_call_retried() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    world.hub.respond_once(
        LIST_ACCOUNTS,
        401,
        &json!({"message": "The access token is missing, malformed or expired"}),
    );
    world.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));
    assert!(browser.get("/accounts").await.contains("$1,234.50"));
    let bearers: Vec<String> =
        world.hub.requests_to(LIST_ACCOUNTS).iter().map(|seen| seen.bearer.clone()).collect();
    assert_eq!(bearers, [ACCESS, NEWER_ACCESS, NEWER_ACCESS]);
    let sent = &world.hub.requests_to(TOKEN)[1].body;
    assert_eq!((&sent["grant_type"], &sent["refresh_token"]), (&json!("refresh_token"), &json!(REFRESH)));
    browser.get("/accounts").await;
    assert_eq!(world.hub.requests_to(LIST_ACCOUNTS)[3].bearer, NEWER_ACCESS, "the newer one is kept");
}

#[tokio::test]
async fn demo_ended_connection_offers_reconnect() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    world.hub.end_connection();
    let page = browser.get("/accounts").await;
    assert!(
        page.contains("This connection has ended.") && page.contains("<code>602</code>"),
        "{}",
        page.text
    );
    assert!(page.contains(r#"name="provider_id" value="1000">Connect again"#), "{}", page.text);
    assert_eq!(world.hub.requests_to(TOKEN).len(), 1, "602 is not a token that ran out");
    world.hub.respond_always(GET_ACCOUNT, 401, &json!({"code": 602}));
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
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    for (status, code) in [(503, 503), (429, 1207)] {
        world.hub.respond_once_with(LIST_ACCOUNTS, status, &[("retry-after", "42")], &json!({"code": code}));
        let page = browser.get("/accounts?lang=fr").await;
        assert!(page.contains("Veuillez réessayer dans 42 secondes."), "{}", page.text);
        assert!(page.contains(&format!("<code>{code}</code>")));
    }
    world.hub.respond_once(LIST_ACCOUNTS, 503, &json!({"code": 503}));
    assert!(browser.get("/accounts?lang=en").await.contains("try again in a few minutes"));
    for (status, code, answered) in
        [(404, 701, 404), (409, 705, 502), (400, 401, 400), (500, 500, 502), (403, 403, 502)]
    {
        world.hub.respond_once(GET_ACCOUNT, status, &json!({"code": code}));
        let page = browser.get("/accounts/a1?bank=1000").await;
        assert_eq!(page.status.as_u16(), answered, "{code}");
        assert!(page.contains(&format!("<code>{code}</code>")), "{}", page.text);
    }
}

fn transaction_json(id: usize, more: &str) -> Value {
    let text = format!(
        r#"{{"depositTransaction":{{"transactionId":"t{id}","transactionTimestamp":"2026-10-0{}T12:00:00Z",{more}}}}}"#,
        id % 9 + 1
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn demo_search_forwards_dates_and_filters_words_over_pages() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    let coffee = |id| {
        transaction_json(
            id,
            r#""description":"CAFÉ DU COIN","debitCreditMemo":"DEBIT","amount":4.25,"category":"restaurants""#,
        )
    };
    let rent = |id| {
        transaction_json(
            id,
            r#""description":"RENT","debitCreditMemo":"DEBIT","amount":900,"category":"housing""#,
        )
    };
    world.hub.respond_once(
        LIST_TRANSACTIONS,
        200,
        &json!({"page": {"nextOffset": "c 2"}, "transactions": [coffee(1), rent(2)]}),
    );
    let many: Vec<Value> = (0..30).map(coffee).collect();
    world.hub.respond_once(
        LIST_TRANSACTIONS,
        200,
        &json!({"page": {"nextOffset": "c&3"}, "transactions": many}),
    );
    let page = browser.get("/accounts/a1?bank=1000&q=cafe+restaur&from=2026-10-01&to=2026-10-09").await;
    assert!(page.contains("Found: 31 of 32 transactions looked at."), "{}", page.text);
    assert!(!page.contains(">RENT<") && page.contains(">CAFÉ DU COIN<"));
    let more = "?bank=1000&#38;q=cafe+restaur&#38;from=2026-10-01&#38;to=2026-10-09&#38;offset=c%263";
    assert!(page.contains(&format!(r#"href="{more}">More transactions"#)), "{}", page.text);
    world.hub.respond_once(LIST_TRANSACTIONS, 200, &json!({"transactions": [rent(1)]}));
    let last = browser.get(&format!("/accounts/a1{}", more.replace("&#38;", "&"))).await;
    assert!(last.contains("Found: 0 of 1 transactions looked at.") && !last.contains("More transactions"));
    let queries: Vec<String> =
        world.hub.requests_to(LIST_TRANSACTIONS).iter().map(|seen| seen.query.clone()).collect();
    let asked = "limit=100&startTime=2026-10-01&endTime=2026-10-09";
    assert_eq!(queries, [asked.to_owned(), format!("{asked}&offset=c+2"), format!("{asked}&offset=c%263")]);
    world.hub.respond_once(LIST_TRANSACTIONS, 400, &json!({"code": 703, "message": "Invalid date range"}));
    let page = browser.get("/accounts/a1?bank=1000&from=2026-10-09&to=2026-10-01").await;
    assert!(
        page.contains("These dates or this page of the list cannot be used.")
            && page.contains("<code>703</code>")
    );
    assert!(page.contains("$1,234.50"), "the account is still shown");
}

#[tokio::test]
async fn demo_spending_sums_are_exact_in_table_and_chart() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    let of = |id: usize, amount: &str, category: &str, memo: &str, status: &str| {
        let (day, month) = (id % 9 + 1, if id < 3 { "09" } else { "10" });
        transaction_json(
            id,
            &format!(
                r#""description":"x","amount":{amount},"category":"{category}","debitCreditMemo":"{memo}","status":"{status}","postedTimestamp":"2026-{month}-0{day}T12:00:00Z""#
            ),
        )
    };
    let mut lines = vec![
        of(1, "0.1", "groceries", "DEBIT", "POSTED"),
        of(2, "0.2", "groceries", "DEBIT", "POSTED"),
        of(3, "12345678901234.005", "housing", "DEBIT", "POSTED"),
        of(4, "0.60", "", "DEBIT", "POSTED"),
        of(5, "1000", "groceries", "DEBIT", "PENDING"),
        of(6, "2000", "transfer", "DEBIT", "POSTED"),
        of(7, "3000", "groceries", "CREDIT", "POSTED"),
        of(8, "0.15", "Pets & co", "DEBIT", "POSTED"),
    ];
    for transaction in &mut lines {
        transaction["depositTransaction"].as_object_mut().unwrap().remove("transactionTimestamp");
    }
    lines.push(json!({"loanTransaction": {"amount": 5, "debitCreditMemo": "DEBIT", "status": "POSTED"}}));
    world.hub.respond_always(LIST_TRANSACTIONS, 200, &json!({"transactions": lines}));
    let page = browser.get("/accounts/a1?bank=1000").await;
    let table: Vec<(&str, &str)> = spending_table(&page.text);
    assert_eq!(
        table,
        [
            ("Housing", "$12,345,678,901,234.005"),
            ("Other", "$0.60"),
            ("Groceries", "$0.30"),
            ("Pets &#38; co", "$0.15"),
            ("Total", "$12,345,678,901,235.055"),
        ]
    );
    let chart = page
        .text
        .split_once("<svg class=\"chart\" role=\"img\" aria-labelledby=\"chart-title chart-text\"")
        .unwrap()
        .1;
    let chart = chart.split_once("</svg>").unwrap().0;
    assert!(chart.contains(r#"<title id="chart-title">Spending</title><desc id="chart-text">Housing $12,345,678,901,234.005. Other"#));
    let by_month = browser.get("/accounts/a1?bank=1000&by=month").await;
    let expected = [
        ("September 2026", "$0.30"),
        ("October 2026", "$12,345,678,901,234.755"),
        ("Total", "$12,345,678,901,235.055"),
    ];
    assert_eq!(spending_table(&by_month.text), expected);
}

/// The rows of the spending table: label and amount.
fn spending_table(page: &str) -> Vec<(&str, &str)> {
    let details = page.split_once("<details>").unwrap().1.split_once("</details>").unwrap().0;
    let rows = details.split(r#"<th scope="row">"#).skip(1);
    rows.map(|row| {
        let (label, rest) = row.split_once("</th>").unwrap();
        (label, rest.split_once(r#"<td class="number">"#).unwrap().1.split_once("</td>").unwrap().0)
    })
    .collect()
}

#[tokio::test]
async fn demo_chart_bar_length_is_relative_to_longest() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    let of = |id, amount, category: &str| {
        transaction_json(
            id,
            &format!(r#""amount":{amount},"category":"{category}","debitCreditMemo":"DEBIT""#),
        )
    };
    world.hub.respond_always(
        LIST_TRANSACTIONS,
        200,
        &json!({"transactions": [of(1, 30, "fees"), of(2, 10, "health")]}),
    );
    let page = browser.get("/accounts/a1?bank=1000").await;
    let bars: Vec<&str> =
        page.text.split("<rect x=\"0\"").skip(1).map(|r| r.split("width=\"").nth(1).unwrap()).collect();
    let lengths: Vec<&str> = bars.iter().map(|bar| bar.split('"').next().unwrap()).collect();
    assert_eq!(lengths, ["100%", "33.3%"]);
}

#[tokio::test]
async fn demo_account_shows_holdings_pending_and_foreign_amounts() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    let account = json!({"investmentAccount": {"accountId": "a1", "nickname": "TFSA", "currentValue": 2500,
        "currency": {"currencyCode": "USD"}, "holdings": [{"holdingName": "Broad Index", "symbol": "XIX",
        "units": 12.125, "currentUnitPrice": 206.1856, "marketValue": 2500}]}});
    world.hub.respond_once(GET_ACCOUNT, 200, &account);
    let page = browser.get("/accounts/a1?bank=1000").await;
    for cell in ["Broad Index · XIX", "12.125", "US$206.1856", "US$2,500.00"] {
        assert!(page.contains(&format!(">{cell}</t")), "{cell}: {}", page.text);
    }
    assert!(!browser.get("/accounts/a1?bank=1000").await.contains("Holdings"));
    let bought = transaction_json(
        1,
        r#""description":"HOTEL","amount":150.10,"debitCreditMemo":"DEBIT","status":"PENDING","foreignAmount":101.5,"foreignCurrency":"EUR""#,
    );
    world.hub.respond_once(LIST_TRANSACTIONS, 200, &json!({"transactions": [bought]}));
    let page = browser.get("/accounts/a1?bank=1000").await;
    assert!(page.contains("\u{2212}$150.10 <span class=\"quiet\">EUR\u{a0}101.50</span>"), "{}", page.text);
    assert!(
        page.contains(r#"<li class="pending">"#)
            && page.contains(">Pending</span>")
            && page.contains("Oct 2, 2026")
    );
    assert!(!page.contains("<svg class=\"chart\""), "what is pending is not spent yet");
}

#[tokio::test]
async fn demo_refresh_shows_different_token_fingerprint() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    browser.get("/").await;
    world.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));
    assert_eq!(browser.post("/refresh", &[("bank", "1000")]).await.status, StatusCode::SEE_OTHER);
    let page = browser.get("/").await;
    let prints: Vec<&str> = page.text.split("eyJhbGci… (39, #").skip(1).map(|rest| &rest[..6]).collect();
    assert_eq!(prints.len(), 3, "before, after, and the call");
    assert!(prints[0] != prints[1] && prints[1] == prints[2], "{prints:?}");
    world.hub.end_connection();
    browser.post("/refresh", &[("bank", "1000")]).await;
    assert!(browser.get("/").await.contains("This connection has ended."));
}

#[tokio::test]
async fn demo_disconnect_probes_all_endpoints() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    browser.get("/").await;
    world.hub.end_connection();
    let page = browser.post("/disconnect", &[("bank", "1000")]).await;
    assert_eq!((page.status, &*page.location), (StatusCode::SEE_OTHER, "/"));
    let page = browser.get("/").await;
    assert!(page.contains("Disconnected.") && !page.contains("Connected banks"), "{}", page.text);
    for (door, word) in [
        ("Your accounts, with the access token", "401 602</code> closed"),
        ("A new access token, with the refresh token", "400 invalid_grant</code> closed"),
        ("The first code, used once more", "400 invalid_grant</code> closed"),
        ("Ending it once more", "204 </code> it is over already"),
    ] {
        let shown =
            page.text.split_once(&format!("<li class=\"held\"><strong>{door}</strong>\n<span><code>{word}"));
        assert!(shown.is_some(), "{door}: {}", page.text);
    }
    let (tokens, ends) = (world.hub.requests_to(TOKEN), world.hub.requests_to(REVOKE));
    assert_eq!((&tokens[1].body["refresh_token"], &tokens[2].body["code"]), (&json!(REFRESH), &json!(CODE)));
    assert_eq!((ends.len(), &*ends[0].bearer, &*ends[1].bearer), (2, ACCESS, ACCESS));
    assert_eq!(
        browser.get("/accounts/a1?bank=1000").await.location,
        "/accounts",
        "the app has let go as well"
    );
    assert!(browser.get("/accounts").await.contains("No bank is connected yet."));
}

#[tokio::test]
async fn demo_disconnect_reports_endpoint_that_still_works() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    browser.get("/").await;
    browser.post("/disconnect", &[("bank", "1000")]).await;
    let page = browser.get("/").await;
    assert_eq!(page.text.matches("not closed as it should be").count(), 3, "{}", page.text);
    assert_eq!(page.text.matches(r#"<li class="open">"#).count(), 3);
}

#[tokio::test]
async fn demo_unacknowledged_disconnect_keeps_connection() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    browser.get("/").await;
    let unavailable = json!({"error": "temporarily_unavailable"});
    world.hub.respond_once_with(REVOKE, 503, &[("retry-after", "3")], &unavailable);
    browser.post("/disconnect", &[("bank", "1000")]).await;
    let page = browser.get("/").await;
    assert!(
        page.contains("Please try again in 3 seconds.") && page.contains("Connected banks"),
        "{}",
        page.text
    );
    assert!(!page.contains("Every door was tried"));
    world.hub.respond_once(REVOKE, 400, &json!({"error": "invalid_request"}));
    world.hub.respond_once(TOKEN, 200, &json!({"access_token": NEWER_ACCESS, "expires_in": 300}));
    browser.post("/disconnect", &[("bank", "1000")]).await;
    let ends: Vec<String> =
        world.hub.requests_to(REVOKE).iter().skip(1).map(|seen| seen.bearer.clone()).collect();
    assert_eq!(
        ends,
        [ACCESS, NEWER_ACCESS, NEWER_ACCESS],
        "one that ran out is refreshed, the newer one ends it"
    );
    assert!(!browser.get("/").await.contains("Connected banks"));
}

#[tokio::test]
async fn demo_reconnect_ends_previous_connection() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    world.hub.respond_once(
        TOKEN,
        200,
        &json!({"access_token": NEWER_ACCESS, "refresh_token": "rt-newer-refresh-token"}),
    );
    browser.complete_authorization(Some("1000"), "code=cd-newer-code").await;
    assert_eq!(world.hub.requests_to(REVOKE)[0].bearer, ACCESS);
    browser.get("/accounts").await;
    assert_eq!(world.hub.requests_to(LIST_ACCOUNTS)[0].bearer, NEWER_ACCESS);
    browser.complete_authorization(Some("2000"), "code=cd-third-code").await;
    let page = browser.get("/accounts").await;
    assert!(page.contains(">Maple Trust</h2>") && page.contains(">Caisse Rideau</h2>"), "{}", page.text);
    assert_eq!(world.hub.requests_to(REVOKE).len(), 1, "another bank's connection ends nothing");
}

#[tokio::test]
async fn demo_foreign_form_is_rejected() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    browser.get("/").await;
    let token = browser.csrf_token.clone();
    for path in ["/connect", "/refresh", "/disconnect"] {
        let bank = ("bank", "1000");
        let right = [bank, ("csrf_token", &*token)];
        for (headers, fields) in [
            (&[][..], &[bank][..]),
            (&[], &[bank, ("csrf_token", "wrong")]),
            (&[("sec-fetch-site", "cross-site")], &right),
            (&[("sec-fetch-site", "same-site")], &right),
            (&[("origin", "http://127.0.0.1:8402")], &right),
            (&[("origin", "null")], &right),
        ] {
            let page = browser.post_with(path, headers, fields).await;
            assert_eq!((page.status, &*page.location), (StatusCode::FORBIDDEN, ""), "{path} {headers:?}");
            assert!(page.contains("This did not come from a page of ours."));
        }
    }
    assert_eq!((world.hub.requests_to(TOKEN).len(), world.hub.requests_to(REVOKE).len()), (1, 0));
    for headers in [[("sec-fetch-site", "same-origin")], [("origin", ORIGIN)]] {
        let page = browser.post_with("/refresh", &headers, &[("bank", "1000"), ("csrf_token", &token)]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
    }
    let mut other = world.browser();
    other.get("/").await;
    other.csrf_token = token;
    assert_eq!(other.post("/connect", &[]).await.status, StatusCode::FORBIDDEN, "another session's token");
}

#[tokio::test]
async fn demo_session_cookie_is_http_only_and_rotated() {
    let world = DemoFixture::new().await;
    let mut browser = world.browser();
    let page = browser.get("/").await;
    let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
    let (pair, flags) = cookie.split_once("; ").unwrap();
    assert_eq!(flags, "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600");
    assert!(pair.starts_with("demo_session=") && pair.len() >= "demo_session=".len() + 43);
    let planted = browser.cookie.clone();
    let state = browser.begin_authorization(Some("1000")).await.1;
    let during_authorization = browser.cookie.clone();
    browser.get(&format!("/callback?code={CODE}&state={state}")).await;
    assert!(planted != during_authorization && during_authorization != browser.cookie);
    assert!(browser.get("/").await.contains("Connected banks"));
    for older in [planted, during_authorization, "demo_session=".into(), "demo_session=made-up".into()] {
        let mut thief = world.browser();
        thief.cookie.clone_from(&older);
        assert!(!thief.get("/").await.contains("Connected banks"));
        assert_ne!(thief.cookie, older, "an id is never taken over");
    }
}

#[tokio::test]
async fn demo_sessions_of_two_browsers_are_isolated() {
    let world = DemoFixture::new().await;
    let mut one = world.connected_browser().await;
    let mut two = world.browser();
    assert!(!two.get("/").await.contains("Connected banks"));
    assert!(two.get("/accounts").await.contains("No bank is connected yet."));
    assert_eq!(two.get("/accounts/a1?bank=1000").await.location, "/accounts");
    two.post("/disconnect", &[("bank", "1000")]).await;
    assert!(world.hub.requests_to(REVOKE).is_empty() && world.hub.requests_to(LIST_ACCOUNTS).is_empty());
    assert!(one.get("/accounts").await.contains("$1,234.50"));
    assert!(!two.get("/").await.contains("accounts 1"), "nor what the other's panel says");
}

#[tokio::test]
async fn demo_session_expires_after_idle_hour_or_eviction() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    for minutes in [59, 59] {
        world.clock.fetch_add(minutes * 60_000, Ordering::Relaxed);
        assert!(browser.get("/").await.contains("Connected banks"));
    }
    let cookie = browser.cookie.clone();
    world.clock.fetch_add(3_600_000, Ordering::Relaxed);
    assert!(!browser.get("/").await.contains("Connected banks"));
    assert_ne!(browser.cookie, cookie);
    world.clock.fetch_add(1, Ordering::Relaxed);
    let mut kept = world.connected_browser().await;
    world.clock.fetch_add(1, Ordering::Relaxed);
    for _ in 0..999 {
        world.browser().get("/").await;
    }
    assert!(kept.get("/").await.contains("Connected banks"), "there is room for a thousand");
    world.clock.fetch_add(1, Ordering::Relaxed);
    for _ in 0..1_000 {
        world.browser().get("/").await;
    }
    assert!(!kept.get("/").await.contains("Connected banks"));
}

#[tokio::test]
async fn demo_pages_send_security_headers() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    for (path, form_action) in [
        ("/", "form-action https: http://127.0.0.1:* http://localhost:*;"),
        ("/accounts", "form-action https: http://127.0.0.1:* http://localhost:*;"),
        ("/accounts/a1?bank=1000", "form-action 'self';"),
        ("/callback", "form-action 'self';"),
        ("/nothing", "form-action 'self';"),
        ("/static/demo.css", "form-action 'self';"),
    ] {
        let page = browser.get(path).await;
        let header = |name: &str| page.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(
            policy.contains(form_action) && policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'; base-uri 'none'") && !policy.contains("unsafe"));
        assert_eq!((header("referrer-policy"), header("x-content-type-options")), ("same-origin", "nosniff"));
        assert_eq!(header("cache-control") == "no-store", path != "/static/demo.css", "{path}");
    }
    assert_eq!(browser.get("/nothing").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/connect").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn demo_account_id_is_encoded_in_hub_url() {
    let world = DemoFixture::new().await;
    let mut browser = world.connected_browser().await;
    for id in ["..%2F..%2Fv1%2Frecipients", "a%3Fx%3D1%23y", "%2e%2e"] {
        browser.get(&format!("/accounts/{id}?bank=1000")).await;
    }
    let seen = world.hub.received.lock().unwrap().clone();
    let asked: Vec<&str> = seen.iter().skip(1).map(|seen| seen.target.as_str()).collect();
    assert_eq!(
        asked,
        [
            "GET /api/fdx/5/accounts/..%2F..%2Fv1%2Frecipients",
            "GET /api/fdx/5/accounts/a%3Fx=1%23y",
            "GET /api/fdx/5/accounts",
        ]
    );
}

/// Words that begin with `demo-` in a text, and only those that could be keys.
fn text_keys(text: &str) -> impl Iterator<Item = &str> {
    let part_of_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split(move |c: char| !part_of_key(c)).filter(|word| word.starts_with("demo-"))
}

#[test]
fn demo_text_keys_match_locale_file() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = String::new();
    for folder in ["src/demo", "templates/demo"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            named.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
            named.push(' ');
        }
    }
    let texts = std::fs::read_to_string(root.join("locales/en/demo.ftl")).unwrap();
    let known: Vec<&str> = texts.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    for key in text_keys(&named) {
        let family = key.ends_with('-');
        assert!(
            known.iter().any(|known| *known == key || family && known.starts_with(key)),
            "{key} has no text"
        );
    }
    for key in known {
        let notice = key.strip_suffix("-do").unwrap_or(key);
        let used =
            text_keys(&named).any(|name| name == notice || name.ends_with('-') && key.starts_with(name));
        assert!(used, "{key} is named nowhere");
    }
}
