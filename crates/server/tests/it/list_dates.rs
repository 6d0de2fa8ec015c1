//! Tests of the date parameters with which a provider is asked: those of the setting, or those that its own links show.

use domain::model::provider::DateParameters;
use http::Method;
use serde_json::{Value, json};

use crate::matrix::callers::FULL_SCOPE;
use crate::support::{EndpointStub, TestHub, json_response};

/// Reads two pages of transactions from a provider whose links have `startDate` and `endDate`. Returns the queries that the
/// provider got, and the check of its date parameters.
async fn read_from_provider_with_date_links(setting: Option<DateParameters>) -> (Vec<String>, Value) {
    let kit = TestHub::new().await;
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], FULL_SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    let bank = EndpointStub::new(|call| {
        let is_first = !call.query.contains("offset");
        let href = "/x?startDate=2026-11-01&endDate=2026-11-20&offset=1";
        let links = if is_first { json!({"next": {"href": href}}) } else { json!({}) };
        let id = if is_first { "t1" } else { "t2" };
        let item = json!({"transactionId": id, "postedTimestamp": "2026-11-10T00:00:00Z"});
        json_response(
            200,
            &json!({"page": {}, "links": links, "transactions": [{"depositTransaction": item}]}),
        )
    })
    .await;
    kit.update_provider_settings(1000, |settings| {
        bank.url.clone_into(&mut settings.fdx.base_url);
        settings.fdx.date_parameters = setting;
    })
    .await;

    let path = format!("/accounts/{account}/transactions?startTime=2026-11-01&endTime=2026-11-20");
    let page = kit.read(&path, &tokens.access).await;

    assert_eq!(page.json()["transactions"].as_array().unwrap().len(), 2, "{}", page.body);
    let report = kit.run_admin_operation(Method::POST, "/providers/1000/test", None).await;
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "date_parameters").cloned();
    let queries = bank.calls().into_iter().map(|call| call.query).filter(|query| !query.is_empty()).collect();
    (queries, check.unwrap_or_default())
}

#[tokio::test]
async fn date_parameters_of_provider_links_are_used() {
    let (queries, check) = read_from_provider_with_date_links(None).await;

    assert!(queries[0].contains("startTime=2026-11-01&endTime=2026-11-20"), "{queries:?}");
    assert!(queries[1].contains("startDate=2026-11-01&endDate=2026-11-20"), "{queries:?}");
    assert!(!queries[1].contains("Time"), "{queries:?}");
    assert_eq!(check["ok"], true, "{check}");
}

#[tokio::test]
async fn wrong_setting_of_date_parameters_fails_provider_test() {
    let (queries, check) = read_from_provider_with_date_links(Some(DateParameters::Time)).await;

    assert!(queries[1].contains("startTime=2026-11-01"), "the setting is obeyed: {queries:?}");
    assert_eq!(check["ok"], false, "{check}");
    assert_eq!(check["change"], "set fdx.date_parameters = \"startDate\"", "{check}");
}

#[tokio::test]
async fn right_setting_of_date_parameters_is_not_contradicted() {
    let (queries, check) = read_from_provider_with_date_links(Some(DateParameters::Date)).await;

    assert!(queries.iter().all(|query| query.contains("startDate=")), "{queries:?}");
    assert_eq!(check["verdict"], "undetermined", "nothing was found that differs: {check}");
}
