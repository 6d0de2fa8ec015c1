//! Tests of reads from a provider whose responses are unusual: incomplete elements, pages of any form, dates that the
//! provider ignores, and errors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Response};
use serde_json::{Value, json};

use crate::matrix::callers::FULL_SCOPE;
use crate::support::{ConnectionTokens, EndpointStub, RecordedRequest, TestHub, json_response};

/// A hub with a connection of alice at Maple Trust, whose FDX API is replaced by a stub.
struct Setup {
    kit: TestHub,
    tokens: ConnectionTokens,
    /// The path of the transactions of her first account.
    transactions: String,
    bank: EndpointStub,
}

impl Setup {
    async fn new(answer: impl Fn(&RecordedRequest) -> Response<String> + Send + Sync + 'static) -> Self {
        let kit = TestHub::new().await;
        let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
        let account = kit.fetch_account_id(&tokens.access).await;
        let bank = EndpointStub::new(answer).await;
        let url = bank.url.clone();
        kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
        Self { kit, tokens, transactions: format!("/accounts/{account}/transactions"), bank }
    }

    /// Starts with a stub that always returns the same response.
    async fn with_body(body: Value) -> Self {
        Self::new(move |_| json_response(200, &body)).await
    }

    async fn read(&self, path: &str) -> bowline::cli::BrowserResponse {
        self.kit.read(path, &self.tokens.access).await
    }

    /// Follows the links of a list and returns the transaction ids of each page.
    async fn read_all_pages(&self, path: &str) -> Vec<Vec<String>> {
        let (mut pages, mut next) = (Vec::new(), path.to_owned());
        loop {
            let page = self.read(&next).await;
            assert_eq!(page.status, 200, "{}", page.body);
            pages.push(list_ids(&page.json()));
            let Some(href) = page.json()["links"]["next"]["href"].as_str().map(str::to_owned) else {
                return pages;
            };
            href.strip_prefix(&self.kit.url("/api/fdx/5")).unwrap().clone_into(&mut next);
        }
    }
}

fn transaction(id: &str, posted: &str) -> Value {
    json!({"depositTransaction": {"transactionId": id, "postedTimestamp": posted, "amount": 1}})
}

fn list_ids(page: &Value) -> Vec<String> {
    let id = |item: &Value| item["depositTransaction"]["transactionId"].as_str().unwrap().to_owned();
    page["transactions"].as_array().unwrap().iter().map(id).collect()
}

fn parameter(call: &RecordedRequest, name: &str) -> Option<String> {
    let mut fields = form_urlencoded::parse(call.query.as_bytes());
    fields.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn page_with_omitted_elements_has_header_and_no_total() {
    let today = "2026-11-24T00:00:00Z";
    let setup = Setup::with_body(json!({"page": {"totalElements": 3}, "transactions": [
        transaction("t1", today),
        {"depositTransaction": {"transactionId": "t2", "amount": "ten"}},
        {"depositTransaction": {"transactionId": "t3", "accountId": "another-account", "amount": "ten"}},
        null,
    ]}))
    .await;

    let page = setup.read(&setup.transactions).await;

    assert_eq!(list_ids(&page.json()), ["t1"], "{}", page.body);
    assert_eq!(page.headers["bowline-omitted"], "2", "elements of another account are not counted");
    assert_eq!(page.json()["page"], json!({}));
}

#[tokio::test]
async fn complete_page_has_total_of_provider_and_no_header() {
    let list = json!([transaction("t1", "2026-11-24T00:00:00Z")]);
    let setup = Setup::with_body(json!({"page": {"totalElements": "70"}, "transactions": list})).await;

    let page = setup.read(&setup.transactions).await;

    assert_eq!(page.json()["page"], json!({"totalElements": 70}), "the total is not counted by the hub");
    assert!(!page.headers.contains_key("bowline-omitted"));
}

#[tokio::test]
async fn null_pages_are_read_and_missing_lists_are_errors() {
    let body = Arc::new(Mutex::new(Value::Null));
    let shared = Arc::clone(&body);
    let setup = Setup::new(move |_| json_response(200, &shared.lock().unwrap())).await;
    for (response, status) in [
        (json!({"page": null, "links": null, "transactions": []}), 200),
        (json!({"page": {}, "links": null, "transactions": null}), 200),
        (json!({"transactions": null}), 500),
        (json!({"page": {}, "links": {}}), 500),
        (json!({"code": 500, "message": "x"}), 500),
        (json!({"Transactions": []}), 500),
        (json!([]), 500),
    ] {
        body.lock().unwrap().clone_from(&response);
        let page = setup.read(&setup.transactions).await;
        assert_eq!(page.status, status, "{response}: {}", page.body);
        assert_eq!(page.json()["transactions"], if status == 200 { json!([]) } else { Value::Null });
    }
}

#[tokio::test]
async fn retry_after_of_unavailable_provider_is_passed_on() {
    let retry = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&retry);
    let setup = Setup::new(move |_| {
        Response::builder()
            .status(503)
            .header("retry-after", shared.lock().unwrap().as_str())
            .header("date", "Tue, 24 Nov 2026 12:00:00 GMT")
            .body(String::new())
            .unwrap()
    })
    .await;
    for (sent, passed_on) in
        [("120", "120"), ("Tue, 24 Nov 2026 12:10:00 GMT", "600"), ("999999", "3600"), ("soon", "5")]
    {
        sent.clone_into(&mut retry.lock().unwrap());
        let answer = setup.read("/accounts").await;
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!(503)));
        assert_eq!(answer.headers["retry-after"], passed_on, "{sent}");
    }
}

#[tokio::test]
async fn dates_hold_although_provider_ignores_them() {
    let setup = Setup::with_body(json!({"page": {"totalElements": 5}, "transactions": [
        transaction("before", "2026-10-31T23:59:59Z"),
        transaction("first", "2026-11-01T00:00:00Z"),
        transaction("last", "2026-11-02T23:59:59Z"),
        transaction("evening", "2026-11-02T23:00:00-05:00"),
        transaction("after", "2026-11-03T00:00:00Z"),
        {"depositTransaction": {"transactionId": "occurred", "transactionTimestamp": "2026-10-01T00:00:00Z"}},
        {"depositTransaction": {"transactionId": "undated"}},
        transaction("history", "2020-01-01T00:00:00Z"),
    ]}))
    .await;

    let range = setup.read(&format!("{}?startTime=2026-11-01&endTime=2026-11-02", setup.transactions)).await;
    let all = setup.read(&setup.transactions).await;

    assert_eq!(list_ids(&range.json()), ["first", "last", "evening", "undated"]);
    assert_eq!(range.json()["page"].get("totalElements"), None, "it includes what was left out");
    assert!(!list_ids(&all.json()).contains(&"history".to_owned()), "the history is two years");
    assert_eq!(list_ids(&all.json()).len(), 7);
}

#[tokio::test]
async fn range_outside_of_history_is_empty_without_a_call() {
    let setup = Setup::with_body(json!({"transactions": [transaction("t", "1999-01-01T00:00:00Z")]})).await;
    for query in ["startTime=1999-01-01&endTime=1999-12-31", "startTime=2999-01-01"] {
        let page = setup.read(&format!("{}?{query}", setup.transactions)).await;
        assert_eq!((page.status, page.json()["transactions"].clone()), (200, json!([])), "{query}");
    }
    assert!(setup.bank.calls().is_empty());
}

#[tokio::test]
async fn provider_with_shorter_history_is_not_asked_for_more() {
    let setup = Setup::with_body(json!({"transactions": []})).await;
    let settings = |settings: &mut domain::model::provider::ProviderSettings| {
        settings.history = Some("90 days".into());
        settings.fdx.date_parameters = Some(domain::model::provider::DateParameters::Date);
    };
    setup.kit.update_provider_settings(1000, settings).await;

    let all = setup.read(&setup.transactions).await;
    let earlier = setup.read(&format!("{}?endTime=2026-01-01", setup.transactions)).await;

    assert_eq!((all.status, earlier.json()["transactions"].clone()), (200, json!([])));
    let calls = setup.bank.calls();
    assert_eq!(calls.len(), 1, "the earlier range is not requested");
    let day = |name| parameter(&calls[0], name).map(|day| day.parse::<jiff::civil::Date>().unwrap());
    let (start, end) = (day("startDate").unwrap(), day("endDate").unwrap());
    assert_eq!((end - start).get_days(), 90);
    assert_eq!((day("startTime"), day("endTime")), (None, None));
}

#[tokio::test]
async fn limit_holds_although_provider_ignores_it() {
    let list: Vec<Value> =
        (0..7).map(|nth| transaction(&format!("t{nth}"), "2026-11-20T00:00:00Z")).collect();
    let setup = Setup::with_body(json!({"page": {"totalElements": 7}, "transactions": list})).await;

    let pages = setup.read_all_pages(&format!("{}?limit=3", setup.transactions)).await;

    assert_eq!(pages.concat(), (0..7).map(|nth| format!("t{nth}")).collect::<Vec<_>>());
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
}

#[tokio::test]
async fn list_continues_by_parameter_that_provider_uses() {
    let setup = Setup::new(|call| {
        let page = parameter(call, "pageKey").or_else(|| parameter(call, "offset")).unwrap_or_default();
        let (position, next) = match page.as_str() {
            "" => (json!({"page": {"nextPageKey": "k1"}}), "t1"),
            "k1" => {
                (json!({"links": {"next": {"href": "https://elsewhere.example/x?offset=o2&limit=9"}}}), "t2")
            }
            _ => (json!({"page": {"nextOffset": null}, "links": null}), "t3"),
        };
        let mut body = position;
        body["transactions"] = json!([transaction(next, "2026-11-20T00:00:00Z")]);
        json_response(200, &body)
    })
    .await;

    let pages = setup.read_all_pages(&format!("{}?limit=1", setup.transactions)).await;

    assert_eq!(pages.concat(), ["t1", "t2", "t3"]);
    let positions: Vec<_> = setup
        .bank
        .calls()
        .iter()
        .map(|call| (parameter(call, "pageKey"), parameter(call, "offset")))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(positions, [(None, None), (text("k1"), None), (None, text("o2"))]);
}

#[tokio::test]
async fn cycle_of_provider_pages_is_an_error() {
    let setup = Setup::new(|call| {
        let next = if parameter(call, "offset").as_deref() == Some("A") { "B" } else { "A" };
        let list = json!([transaction(next, "2026-11-20T00:00:00Z")]);
        json_response(200, &json!({"page": {"nextOffset": next}, "transactions": list}))
    })
    .await;
    let mut path = format!("{}?limit=1", setup.transactions);
    let mut pages = 0;

    let answer = loop {
        let page = setup.read(&path).await;
        let Some(href) = page.json()["links"]["next"]["href"].as_str().map(str::to_owned) else { break page };
        href.strip_prefix(&setup.kit.url("/api/fdx/5")).unwrap().clone_into(&mut path);
        pages += 1;
        assert!(pages < 5, "the pages A, B, A were not noticed");
    };

    assert_eq!((pages, answer.status), (2, 500), "{}", answer.body);
}

#[tokio::test]
async fn list_without_known_next_position_is_an_error() {
    let link = json!({"next": {"href": "/transactions?page=2"}});
    let setup = Setup::with_body(json!({"links": link, "transactions": []})).await;

    let page = setup.read(&setup.transactions).await;

    assert_eq!((page.status, &page.json()["code"]), (500, &json!(500)), "it would look complete");
}

#[tokio::test]
async fn cursor_survives_midnight_and_link_repeats_query() {
    let setup = Setup::new(|call| {
        let body = match parameter(call, "offset") {
            None => json!({"page": {"nextOffset": "n"}, "transactions": [transaction("t1", "2026-11-20T00:00:00Z")]}),
            Some(_) => json!({"transactions": [transaction("t2", "2026-11-20T00:00:00Z")]}),
        };
        json_response(200, &body)
    })
    .await;

    let first = setup.read(&format!("{}?limit=1", setup.transactions)).await.json();
    let href = first["links"]["next"]["href"].as_str().unwrap().to_owned();
    // The cursor and the token stay valid for minutes, so the day ends between the two pages at most once.
    let now = setup.kit.app().now().unwrap().millis();
    let to_midnight = 86_400_000 - now % 86_400_000;
    let connection = setup.tokens.id.clone();
    setup.kit.advance(Duration::from_millis(u64::try_from(to_midnight).unwrap() - 60_000));
    let fresh = setup.kit.refresh(&setup.kit.acme(), &setup.tokens.refresh).await.json();
    let access = fresh["access_token"].as_str().unwrap_or_else(|| panic!("{connection}: {fresh}"));
    let path = format!("{}?limit=1", setup.transactions);
    let before = setup.kit.read(&path, access).await.json();
    let next = before["links"]["next"]["href"].as_str().unwrap();
    setup.kit.advance(Duration::from_mins(2));
    let second = setup.kit.read(next.strip_prefix(&setup.kit.url("/api/fdx/5")).unwrap(), access).await;

    assert_eq!(list_ids(&second.json()), ["t2"], "{}", second.body);
    let query = href.split_once('?').unwrap().1;
    assert!(query.starts_with("limit=1&offset="), "the dates are not added: {query}");
    let ends: Vec<_> =
        setup.bank.calls().iter().rev().take(2).map(|call| parameter(call, "endTime")).collect();
    assert_eq!(ends[0], ends[1], "all pages of a list cover the same days");
}

#[tokio::test]
async fn encoded_response_is_rejected() {
    let setup = Setup::new(|_| {
        let builder = Response::builder().header("content-encoding", "deflate");
        builder.body(json!({"accounts": []}).to_string()).unwrap()
    })
    .await;

    assert_eq!(setup.read("/accounts").await.status, 500);
}

#[tokio::test]
async fn binary_document_is_recognized_by_its_first_bytes() {
    let content = Arc::new(Mutex::new(("application/octet-stream", String::new(), "identity")));
    let shared = Arc::clone(&content);
    let setup = Setup::new(move |call| {
        let (kind, body, encoding) = shared.lock().unwrap().clone();
        if call.path.ends_with("/statements") {
            return json_response(200, &json!({"statements": [{"statementId": "s"}]}));
        }
        let builder = Response::builder().header("content-type", kind).header("content-encoding", encoding);
        builder.body(body).unwrap()
    })
    .await;
    let statements = setup.transactions.replace("/transactions", "/statements");
    let list = setup.read(&statements).await.json();
    let document = format!("{statements}/{}", list["statements"][0]["statementId"].as_str().unwrap());
    for (kind, body, encoding, status) in [
        ("application/octet-stream", "%PDF-1.7 x", "identity", 200),
        ("application/octet-stream", "<html>", "identity", 500),
        ("text/html", "%PDF-1.7", "identity", 500),
        ("application/pdf", "%PDF-1.7", "deflate", 500),
    ] {
        *content.lock().unwrap() = (kind, body.to_owned(), encoding);
        let answer = setup.read(&document).await;
        assert_eq!(answer.status, status, "{kind} {body} {encoding}");
        if status == 200 {
            assert_eq!(
                (answer.headers["content-type"].to_str().unwrap(), &*answer.body),
                ("application/pdf", body)
            );
        }
    }
}

#[tokio::test]
async fn dropped_fields_are_shown_by_provider() {
    let setup = Setup::with_body(json!({"accounts": [
        {"depositAccount": {"accountId": "mt-alice-chequing", "status": {}, "loyaltyTier": "gold"}},
        {"digitalWallet": {"accountId": "w"}},
    ]}))
    .await;

    for _ in 0..2 {
        assert_eq!(setup.read("/accounts").await.status, 200);
    }

    let shown = setup.kit.send_admin_request(Method::GET, "/providers/1000").await.json();
    assert_eq!(
        shown["dropped_fields"],
        json!([
            {"path": "accounts[]", "reason": "unknown_type", "count": 2},
            {"path": "accounts[].depositAccount.*", "reason": "unknown", "count": 2},
            {"path": "accounts[].depositAccount.status", "reason": "unreadable", "count": 2},
        ]),
        "{shown}"
    );
    let metrics = setup.kit.app().telemetry().render();
    assert!(metrics.contains("bowline_fdx_dropped_fields_total{provider=\"1000\"} 6\n"), "{metrics}");
}

#[tokio::test]
async fn failed_reads_are_counted_by_reason() {
    let responses = Arc::new(Mutex::new((200, json!({"code": 500}))));
    let shared = Arc::clone(&responses);
    let setup = Setup::new(move |_| {
        let (status, body) = shared.lock().unwrap().clone();
        json_response(status, &body)
    })
    .await;

    for (status, body) in [(200, json!({"code": 500})), (200, json!([])), (403, json!({})), (302, json!({}))]
    {
        *responses.lock().unwrap() = (status, body);
        setup.read("/accounts").await;
    }

    let metrics = setup.kit.app().telemetry().render();
    for (reason, count) in [("unreadable", 2), ("resource_refused", 1), ("redirected", 1)] {
        let labels = format!("provider=\"1000\",call=\"data\",reason=\"{reason}\"");
        let line = format!("bowline_provider_call_failures_total{{{labels}}} {count}\n");
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
}

/// Loads the cases of `tests/corpus/data`: the call, the response of the provider, and what the recipient gets.
fn load_error_cases() -> BTreeMap<String, Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/data");
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let files = list(&folder).into_iter().flat_map(|kind| list(&kind));
    let load = |file: PathBuf| {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        (name, serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
    };
    files.map(load).collect()
}

#[tokio::test]
async fn corpus_of_error_responses_has_documented_meaning() {
    let response = Arc::new(Mutex::new(Value::Null));
    let shared = Arc::clone(&response);
    let setup = Setup::new(move |_| {
        let response = shared.lock().unwrap().clone();
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let headers = response["headers"].as_object().unwrap().iter();
        let builder = headers.fold(Response::builder().status(status), |builder, (name, value)| {
            builder.header(name, value.as_str().unwrap())
        });
        builder.body(response["body"].as_str().unwrap().to_owned()).unwrap()
    })
    .await;
    let account = setup.transactions.strip_suffix("/transactions").unwrap();
    let healthy = json!({"status": 200, "headers": {}, "body": "{\"accounts\":[]}"});
    let cases = load_error_cases();

    for (name, case) in &cases {
        let path = match case["call"].as_str().unwrap() {
            "accounts" => "/accounts".to_owned(),
            "customer" => "/customers/current".to_owned(),
            "account" => account.to_owned(),
            call => format!("{account}/{call}"),
        };
        response.lock().unwrap().clone_from(&case["response"]);
        let answer = setup.read(&path).await;
        let retry_after = answer.headers.get("retry-after").map(|value| value.to_str().unwrap());
        let found =
            json!({"status": answer.status, "code": answer.json()["code"], "retry_after": retry_after});
        let mut expected = json!({"status": 200, "code": null, "retry_after": null});
        expected.as_object_mut().unwrap().extend(case["expected"].as_object().unwrap().clone());
        assert_eq!(found, expected, "{name}: {}", answer.body);
        // Server errors would otherwise open the circuit breaker.
        response.lock().unwrap().clone_from(&healthy);
        assert_eq!(setup.read("/accounts").await.status, 200, "{name}");
    }

    assert!(cases.len() >= 50, "{}", cases.len());
    assert_eq!(setup.kit.load_end_cause(&setup.tokens.id).await, None, "a read ends no connection");
}
