//! Tests of the FDX API as a recipient reads it: accounts, transactions, profiles, paging and errors.

use std::time::Duration;

use domain::model::provider::ProviderState;
use fdx::vocabulary::find_unknown_words;
use serde_json::json;

use crate::support::{EndpointStub, TestHub, json_response};

#[tokio::test]
async fn account_list_shows_consented_accounts_only() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let light = kit.read("/accounts", &tokens.access).await.json();
    assert_eq!(light["page"]["totalElements"], 2, "two of alice's four accounts");
    let account = light["accounts"][0]["depositAccount"].as_object().unwrap();
    assert!(account["accountId"].as_str().unwrap().starts_with("acc_"));
    assert!(!account.contains_key("currentBalance") && !account.contains_key("accountNumber"));
    let details = kit.read("/accounts?resultType=details", &tokens.access).await.json();
    assert!(details["accounts"][0]["depositAccount"]["currentBalance"].is_number());
    assert!(
        details["accounts"][0]["depositAccount"].get("accountNumber").is_none(),
        "needs ACCOUNT_PAYMENTS"
    );
    assert!(details["accounts"][1].get("locAccount").is_some());
    let id = account["accountId"].as_str().unwrap();
    let picked = kit.read(&format!("/accounts?accountIds={id},acc_unknown"), &tokens.access).await.json();
    assert_eq!(picked["accounts"].as_array().unwrap().len(), 1);
    let none = kit.read("/accounts?accountIds=acc_unknown", &tokens.access).await;
    assert_eq!((none.status, none.json()["accounts"].as_array().unwrap().len()), (200, 0));
    let one = kit.read(&format!("/accounts/{id}"), &tokens.access).await.json();
    assert_eq!(one["depositAccount"], details["accounts"][0]["depositAccount"]);
    for foreign in ["acc_unknown", "mt-alice-chequing", "..", "%2e%2e%2fcustomers", "acc_"] {
        let answer = kit.read(&format!("/accounts/{foreign}"), &tokens.access).await;
        assert!(answer.status == 404, "{foreign}: {}", answer.body);
    }
    let answer = kit.read("/accounts/acc_unknown/transactions", &tokens.access).await;
    assert_eq!((answer.status, &answer.json()["code"]), (404, &701.into()));
}

#[tokio::test]
async fn account_number_and_profile_require_their_clusters() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let mut query = TestHub::build_authorization_query(&acme);
    query.retain(|(name, _)| *name != "scope");
    query.push(("scope", "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS CUSTOMER_CONTACT".into()));
    let back = kit.complete_authorization(&query, "alice", &["mt-alice-chequing"]).await;
    let code = crate::support::query_parameter(&back, "code").unwrap();
    let token = kit.redeem(&acme, &code).await.json()["access_token"].as_str().unwrap().to_owned();
    let account =
        kit.read("/accounts?resultType=details", &token).await.json()["accounts"][0]["depositAccount"]
            .clone();
    assert_eq!(account["accountNumber"].as_str().unwrap().len(), 9);
    assert!(account["routingTransitNumber"].is_string());
    let profile = kit.read("/customers/current", &token).await.json();
    assert_eq!(profile["name"]["first"], "Alice");
    assert!(profile["telephones"].is_array() && profile.get("dateOfBirth").is_none());
    assert!(!profile["customerId"].as_str().unwrap().starts_with("mtc-"), "the provider's id is not shown");
    assert_eq!(
        kit.read(&format!("/accounts/{}/transactions", account["accountId"].as_str().unwrap()), &token)
            .await
            .json()["code"],
        602
    );
    let plain = kit.connect(&acme).await;
    assert_eq!(kit.read("/customers/current", &plain.access).await.json()["code"], 602);
}

#[tokio::test]
async fn paging_returns_each_item_once_and_rejects_foreign_cursor() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let id = kit.fetch_account_id(&tokens.access).await;
    let range = "startTime=2026-09-01&endTime=2026-10-31";
    let path = format!("/accounts/{id}/transactions");
    let full_page = kit.read(&format!("{path}?{range}&limit=500"), &tokens.access).await.json();
    let all = full_page["transactions"].as_array().unwrap().clone();
    assert!(
        all.len() > 20
            && full_page["page"].get("nextOffset").is_none()
            && full_page["links"].get("next").is_none()
    );
    assert!(all.iter().all(|t| t["depositTransaction"]["accountId"] == id.as_str()));
    let (mut seen, mut next, mut cursor) = (Vec::new(), format!("{path}?{range}&limit=7"), String::new());
    loop {
        let page = kit.read(&next, &tokens.access).await.json();
        assert_eq!(page["page"]["totalElements"], all.len());
        seen.extend(page["transactions"].as_array().unwrap().clone());
        let Some(href) = page["links"]["next"]["href"].as_str() else { break };
        assert!(href.starts_with(kit.app().public_url()));
        next = href.strip_prefix(&kit.url("/api/fdx/5")).unwrap().to_owned();
        page["page"]["nextOffset"].as_str().unwrap().clone_into(&mut cursor);
    }
    assert_eq!(seen, all);
    let bad = |query: String| {
        let (kit, tokens, path) = (&kit, &tokens, &path);
        async move { kit.read(&format!("{path}?{query}"), &tokens.access).await.json()["code"].clone() }
    };
    assert_eq!(bad(format!("{range}&limit=8&offset={cursor}")).await, 401, "a cursor of another query");
    let other = if cursor.starts_with('A') { 'B' } else { 'A' };
    let altered = format!("{other}{}", &cursor[1..]);
    assert_eq!(bad(format!("{range}&limit=7&offset={altered}")).await, 401);
    assert_eq!(bad(format!("{range}&limit=7&offset=%00")).await, 401);
    assert_eq!(bad("limit=0".into()).await, 401);
    kit.advance(Duration::from_hours(1));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    let stale = kit.read(&format!("{path}?{range}&limit=7&offset={cursor}"), &fresh).await;
    assert_eq!((stale.status, &stale.json()["code"]), (400, &401.into()));
}

#[tokio::test]
async fn invalid_dates_and_reversed_ranges_have_own_codes() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let id = kit.fetch_account_id(&tokens.access).await;
    for (query, status, code) in [
        ("startTime=2026-02-30", 400, 702),
        ("endTime=tomorrow", 400, 702),
        ("startTime=2026-03-02&endTime=2026-03-01", 400, 703),
        ("startTime=2026-03-02&startTime=2026-03-02", 400, 401),
        ("limit=ten", 400, 401),
    ] {
        let answer = kit.read(&format!("/accounts/{id}/transactions?{query}"), &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()), "{query}");
        assert!(
            answer.json()["debugMessage"].is_string() && answer.headers.contains_key("ob-correlation-id")
        );
    }
    let empty = kit
        .read(&format!("/accounts/{id}/transactions?startTime=1990-01-01&endTime=1990-02-01"), &tokens.access)
        .await;
    assert_eq!(empty.status, 200, "dates beyond the history are clamped");
    assert_eq!(kit.read("/accounts?resultType=everything", &tokens.access).await.json()["code"], 401);
}

#[tokio::test]
async fn pause_and_suspension_block_data_but_not_revoke() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.set_provider_state(1000, ProviderState::Paused).await;
    let paused = kit.read("/accounts", &tokens.access).await;
    assert_eq!((paused.status, &paused.json()["code"]), (503, &503.into()));
    assert!(paused.headers.contains_key("retry-after"));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.status, 200, "tokens are still issued");
    kit.set_provider_state(1000, ProviderState::Active).await;
    kit.suspend(&acme).await;
    let suspended = kit.read("/accounts", &tokens.access).await;
    assert_eq!((suspended.status, &suspended.json()["code"]), (403, &403.into()));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["error"], "unauthorized_client");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602);
}

#[tokio::test]
async fn expired_or_invalid_token_returns_401_without_code() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    kit.advance(Duration::from_mins(5));
    for bad in [tokens.access.as_str(), "x", ""] {
        let answer = kit.read("/accounts", bad).await;
        let body = answer.json();
        assert_eq!((answer.status, body.get("code")), (401, None), "{bad}");
        assert!(body["message"].is_string() && answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn payment_networks_are_listed_for_deposit_accounts_only() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let scope = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS";
    let accounts = ["mt-alice-chequing", "mt-alice-card"];
    let tokens = kit.connect_at(1000, &acme, "alice", &accounts, scope).await;
    let details = kit.read("/accounts?resultType=details", &tokens.access).await.json();
    let (deposit, card) = (&details["accounts"][0]["depositAccount"], &details["accounts"][1]["locAccount"]);
    let path = |account: &serde_json::Value| {
        format!("/accounts/{}/payment-networks", account["accountId"].as_str().unwrap())
    };
    let networks = kit.read(&path(deposit), &tokens.access).await.json();
    assert_eq!(find_unknown_words("paymentNetworks", &networks), Vec::<String>::new());
    assert_eq!(networks["page"]["totalElements"], 1);
    assert_eq!(
        networks["paymentNetworks"],
        json!([{
            "bankId": "98700114", "identifier": deposit["accountNumber"], "identifierType": "ACCOUNT_NUMBER",
            "type": "CA_ACSS", "transferIn": true, "transferOut": true,
        }])
    );
    let none = kit.read(&path(card), &tokens.access).await;
    assert_eq!((none.status, &none.json()["paymentNetworks"]), (200, &json!([])), "{}", none.body);
    let narrow = kit.request_narrowed_token(&acme, &tokens, "ACCOUNT_DETAILED").await;
    assert_eq!(kit.read(&path(deposit), &narrow).await.json()["code"], 602);
}

#[tokio::test]
async fn unsupported_payment_networks_return_405() {
    let kit = TestHub::new().await;
    let scope = "ACCOUNT_BASIC ACCOUNT_DETAILED ACCOUNT_PAYMENTS";
    let tokens = kit.connect_at(1000, &kit.acme(), "alice", &[], scope).await;
    let id = kit.fetch_account_id(&tokens.access).await;
    let bank = EndpointStub::new(|_| json_response(501, &json!({"code": "1106"}))).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url.clone_from(&bank.url)).await;
    for _ in 0..6 {
        let answer = kit.read(&format!("/accounts/{id}/payment-networks"), &tokens.access).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (405, &json!(501)),
            "an unsupported feature is no failure"
        );
        assert_eq!(answer.headers["allow"], "OPTIONS");
    }
    assert_eq!(bank.calls().len(), 6);
}

#[tokio::test]
async fn joint_account_contact_lists_both_holders() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let scope = "ACCOUNT_BASIC CUSTOMER_CONTACT CUSTOMER_PERSONAL";
    let tokens = kit.connect_at(1000, &acme, "bob", &["mt-joint-savings"], scope).await;
    let path = format!("/accounts/{}/contact", kit.fetch_account_id(&tokens.access).await);
    let contact = kit.read(&path, &tokens.access).await.json();
    assert_eq!(find_unknown_words("accountContact", &contact), Vec::<String>::new());
    let holders: Vec<_> = contact["holders"].as_array().unwrap().iter().collect();
    let named = holders.iter().map(|holder| (&holder["name"]["first"], &holder["relationship"]));
    assert!(
        named.eq([(&json!("Alice"), &json!("PRIMARY_JOINT")), (&json!("Bob"), &json!("SECONDARY_JOINT"))])
    );
    assert_eq!(contact["emails"], json!(["alice@example.org", "bob@example.org"]));
    for hidden in ["customerId", "taxId", "dateOfBirth", "mtc-"] {
        assert!(!contact.to_string().contains(hidden), "{hidden}: {contact}");
    }
    let narrow = kit.request_narrowed_token(&acme, &tokens, "CUSTOMER_PERSONAL").await;
    assert_eq!(kit.read(&path, &narrow).await.json()["code"], 602);
}
