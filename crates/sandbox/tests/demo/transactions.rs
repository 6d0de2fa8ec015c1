//! Tests of the search for transactions and of the spending chart of the demo app.

use serde_json::{Value, json};

use crate::support::{DemoFixture, LIST_TRANSACTIONS, transaction_json};

#[tokio::test]
async fn demo_search_sends_dates_to_hub_and_filters_words_itself() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
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
    fixture.hub.respond_once(
        LIST_TRANSACTIONS,
        200,
        &json!({"page": {"nextOffset": "c 2"}, "transactions": [coffee(1), rent(2)]}),
    );
    let page_of_matches: Vec<Value> = (0..30).map(coffee).collect();
    fixture.hub.respond_once(
        LIST_TRANSACTIONS,
        200,
        &json!({"page": {"nextOffset": "c&3"}, "transactions": page_of_matches}),
    );
    let page = browser.get("/accounts/a1?bank=1000&q=cafe+restaur&from=2026-10-01&to=2026-10-09").await;

    assert!(page.contains("Found: 31 of 32 transactions."), "{}", page.text);
    assert!(!page.contains(">RENT<") && page.contains(">CAFÉ DU COIN<"));

    let more = "?bank=1000&#38;q=cafe+restaur&#38;from=2026-10-01&#38;to=2026-10-09&#38;offset=c%263";
    assert!(page.contains(&format!(r#"href="{more}">More transactions"#)), "{}", page.text);

    fixture.hub.respond_once(LIST_TRANSACTIONS, 200, &json!({"transactions": [rent(1)]}));
    let last = browser.get(&format!("/accounts/a1{}", more.replace("&#38;", "&"))).await;

    assert!(last.contains("Found: 0 of 1 transactions.") && !last.contains("More transactions"));

    let queries: Vec<String> =
        fixture.hub.requests_to(LIST_TRANSACTIONS).iter().map(|request| request.query.clone()).collect();
    let expected = "limit=100&startTime=2026-10-01&endTime=2026-10-09";

    assert_eq!(
        queries,
        [expected.to_owned(), format!("{expected}&offset=c+2"), format!("{expected}&offset=c%263")]
    );

    fixture.hub.respond_once(LIST_TRANSACTIONS, 400, &json!({"code": 703, "message": "Invalid date range"}));
    let page = browser.get("/accounts/a1?bank=1000&from=2026-10-09&to=2026-10-01").await;

    assert!(
        page.contains("These dates or this page of the list cannot be used.")
            && page.contains("<code>703</code>")
    );
    assert!(page.contains("$1,234.50"), "the account must still be shown");
}

#[tokio::test]
async fn demo_spending_sums_are_exact_in_table_and_chart() {
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    let transaction = |id: usize, amount: &str, category: &str, memo: &str, status: &str| {
        let (day, month) = (id % 9 + 1, if id < 3 { "09" } else { "10" });
        transaction_json(
            id,
            &format!(
                r#""description":"x","amount":{amount},"category":"{category}","debitCreditMemo":"{memo}","status":"{status}","postedTimestamp":"2026-{month}-0{day}T12:00:00Z""#
            ),
        )
    };
    let mut transactions = vec![
        transaction(1, "0.1", "groceries", "DEBIT", "POSTED"),
        transaction(2, "0.2", "groceries", "DEBIT", "POSTED"),
        transaction(3, "12345678901234.005", "housing", "DEBIT", "POSTED"),
        transaction(4, "0.60", "", "DEBIT", "POSTED"),
        transaction(5, "1000", "groceries", "DEBIT", "PENDING"),
        transaction(6, "2000", "transfer", "DEBIT", "POSTED"),
        transaction(7, "3000", "groceries", "CREDIT", "POSTED"),
        transaction(8, "0.15", "Pets & co", "DEBIT", "POSTED"),
    ];
    for transaction in &mut transactions {
        transaction["depositTransaction"].as_object_mut().unwrap().remove("transactionTimestamp");
    }
    transactions
        .push(json!({"loanTransaction": {"amount": 5, "debitCreditMemo": "DEBIT", "status": "POSTED"}}));
    fixture.hub.respond_always(LIST_TRANSACTIONS, 200, &json!({"transactions": transactions}));
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

/// Returns the rows of the table below the spending chart as pairs of label and amount.
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
    let fixture = DemoFixture::new().await;
    let mut browser = fixture.connected_browser().await;
    let transaction = |id, amount, category: &str| {
        transaction_json(
            id,
            &format!(r#""amount":{amount},"category":"{category}","debitCreditMemo":"DEBIT""#),
        )
    };
    fixture.hub.respond_always(
        LIST_TRANSACTIONS,
        200,
        &json!({"transactions": [transaction(1, 30, "fees"), transaction(2, 10, "health")]}),
    );
    let page = browser.get("/accounts/a1?bank=1000").await;
    let bars: Vec<&str> =
        page.text.split("<rect x=\"0\"").skip(1).map(|r| r.split("width=\"").nth(1).unwrap()).collect();
    let lengths: Vec<&str> = bars.iter().map(|bar| bar.split('"').next().unwrap()).collect();

    assert_eq!(lengths, ["100%", "33.3%"]);
}
