//! Tests of ids of a provider that are as long as possible, and of longer ones.

use http::Response;
use serde_json::json;

use crate::support::{CapturedLog, EndpointStub, TestHub, json_response};

#[tokio::test]
async fn id_of_172_bytes_is_served_and_longer_one_is_logged() {
    let log = CapturedLog::start();
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], "ACCOUNT_BASIC STATEMENTS").await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let (longest, too_long) = ("x".repeat(172), "y".repeat(173));
    let document_path = format!("/statements/{longest}");
    let statements = json!({"statements": [{"statementId": longest}, {"statementId": too_long}]});
    let bank = EndpointStub::new(move |call| {
        if call.path.ends_with(&document_path) {
            let builder = Response::builder().header("content-type", "application/pdf");
            return builder.body("%PDF-".to_owned()).unwrap();
        }
        json_response(200, &statements)
    })
    .await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = bank.url.clone()).await;
    let path = format!("/accounts/{account}/statements");

    let list = kit.read(&path, &tokens.access).await;
    kit.read(&path, &tokens.access).await;

    let served = list.json()["statements"].clone();
    let id = served[0]["statementId"].as_str().unwrap();
    assert_eq!((served.as_array().unwrap().len(), id.len() <= 256), (1, true), "{served}");
    assert_eq!(list.headers["bowline-omitted"], "1");
    assert_eq!(kit.read(&format!("{path}/{id}"), &tokens.access).await.body, "%PDF-");
    let lines = log.find_lines("too long to be served");
    assert_eq!(lines.len(), 1, "one line in ten seconds: {lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("statements[1].statementId"), "{}", lines[0]);
    assert!(!log.text().contains("yyyy"), "no value of a response is logged");
}
