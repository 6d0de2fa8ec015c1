//! Tests of the FDX endpoints for availability, capability and certification metrics.

use domain::model::provider::ProviderState;
use fdx::vocabulary::find_unknown_words;
use serde_json::{Value, json};

use crate::support::{EndpointStub, TestHub, json_response};

fn list_items<'a>(list: &'a Value, name: &str) -> Vec<&'a Value> {
    list[name].as_array().unwrap().iter().collect()
}

#[tokio::test]
async fn certification_metrics_count_served_responses() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let began = kit.read("/certification-metrics", &tokens.access).await.json();
    assert_eq!(began, json!({"metrics": []}), "no operation was called yet");
    for path in ["/accounts", "/accounts", "/accounts?limit=0", "/accounts/acc_x"] {
        kit.read(path, &tokens.access).await;
    }
    let bank = EndpointStub::new(|_| json_response(500, &json!({}))).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url.clone_from(&bank.url)).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 500);
    let metrics = kit.read("/certification-metrics", &tokens.access).await.json();
    assert_eq!(find_unknown_words("certificationMetrics", &metrics), Vec::<String>::new());
    let operations: Vec<&Value> =
        list_items(&metrics, "metrics").into_iter().map(|m| &m["operationIds"][0]).collect();
    assert_eq!(operations, ["getAccount", "getCertificationMetrics", "searchForAccounts"]);
    let accounts =
        kit.read("/certification-metrics?operationId=searchForAccounts", &tokens.access).await.json();
    let metric = &accounts["metrics"][0];
    assert_eq!(
        (list_items(&accounts, "metrics").len(), metric["averageUpTime"].to_string()),
        (1, "75".to_owned())
    );
    let average: rust_decimal::Decimal = metric["responseTimeAverage"].to_string().parse().unwrap();
    assert!(average > rust_decimal::Decimal::ZERO, "{metric}");
    assert_eq!(metric["reportStartTimestamp"], metric["reportEndTimestamp"], "the clock is fixed");
}

#[tokio::test]
async fn availability_reflects_provider_of_connection() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let own = kit.request_client_token(&acme).await;
    let status = async |bearer: &str| {
        let list = kit.read("/availability?operationId=getAccount", bearer).await.json();
        assert_eq!(find_unknown_words("availabilityList", &list), Vec::<String>::new());
        assert_eq!(
            (list_items(&list, "availability").len(), &list["availability"][0]["operationId"]),
            (1, &json!("getAccount"))
        );
        list["availability"][0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&tokens.access).await, "ALIVE");
    for (state, word) in [
        (ProviderState::Paused, "MAINTENANCE"),
        (ProviderState::Retired, "DOWN"),
        (ProviderState::Active, "ALIVE"),
    ] {
        kit.set_provider_state(1000, state).await;
        assert_eq!(status(&tokens.access).await, word);
    }
    let bank = EndpointStub::new(|_| json_response(503, &json!({}))).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url.clone_from(&bank.url)).await;
    for _ in 0..kit.app().config().upstream.breaker_failures {
        kit.read("/accounts", &tokens.access).await;
    }
    assert_eq!((status(&tokens.access).await, status(&own).await), ("DOWN".into(), "ALIVE".into()));
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    assert_eq!(kit.read("/availability", &tokens.access).await.json()["code"], 602);
}

#[tokio::test]
async fn capability_lists_fdx_version_and_operations() {
    let kit = TestHub::new().await;
    let own = kit.request_client_token(&kit.acme()).await;
    let capability = kit.read("/capability", &own).await.json();
    assert_eq!(find_unknown_words("capability", &capability), Vec::<String>::new());
    assert_eq!(
        (&capability["fdxVersions"], &capability["messageFormat"]),
        (&json!(["V5.2"]), &json!("JSON"))
    );
    let operations = list_items(&capability, "operations");
    assert_eq!(operations.len(), 11);
    let operation = json!({"id": "getAccount", "fdxVersions": ["V5.2"]});
    assert!(operations.contains(&&operation), "{capability}");
}
