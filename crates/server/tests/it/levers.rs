//! What a recipient sees of each trouble that a bank can be put into, and how its connection stands after it.

use domain::model::connection::{BankState, Cause};
use serde_json::{Value, json};

use crate::kit::{Kit, on_both};
use bowline::cli::{Answer, Sent};
use http::Method;

on_both!(
    each_lever_is_a_documented_answer_and_ends_nothing_by_itself,
    a_consent_that_ends_at_the_bank_ends_the_connection,
    a_bank_that_rotates_is_followed,
    a_bank_that_refuses_every_refresh_ends_one_and_tells_why,
    what_a_bank_says_of_a_revoke_is_what_the_connection_shows,
    a_bank_whose_clock_is_off_is_served_all_the_same,
    a_bank_that_fails_now_and_then_is_tried_again_by_whoever_asks,
);

/// Status, code, words, and whether the answer says when to come back.
fn seen(answer: &Answer) -> (u16, Value, Value, bool) {
    let body = answer.json();
    (answer.status, body["code"].clone(), body["message"].clone(), answer.headers.contains_key("retry-after"))
}

async fn each_lever_is_a_documented_answer_and_ends_nothing_by_itself(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let maintenance = (503, json!(503), json!("Scheduled maintenance"), true);
    let internal = (500, json!(500), json!("Internal server error"), false);
    let limited =
        (429, json!(1207), json!("Too many requests were sent within a short period of time"), true);
    for (levers, expected) in [
        (json!({"fail": 503}), maintenance.clone()),
        (json!({"fail": 500}), internal),
        (json!({"rate_limited": true}), limited),
        (json!({"latency_ms": 5}), (200, Value::Null, Value::Null, false)),
    ] {
        kit.levers(levers.clone()).await;
        assert_eq!(seen(&kit.read("/accounts", &tokens.access).await), expected, "{levers}");
        let refresh = kit.refresh(&acme, &tokens.refresh).await;
        assert_eq!(refresh.status, 200, "our refresh never calls the bank: {levers}");
        kit.levers(json!({"fail": null, "rate_limited": false, "latency_ms": 0})).await;
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "it is over with the lever");
    }
    kit.advance(std::time::Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    kit.levers(json!({"token_endpoint": "down"})).await;
    assert_eq!(seen(&kit.read("/accounts", &fresh).await), maintenance, "the bank's token ran out");
    kit.levers(json!({"token_endpoint": "up"})).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    assert_eq!(kit.cause(&tokens.id).await, None);
}

async fn a_consent_that_ends_at_the_bank_ends_the_connection(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let mut end = Sent::new(Method::POST, &format!("{}/consents/end", kit.world.maple().levers()));
    end.json = Some(json!({"username": "alice"}));
    assert_eq!(kit.send(end).await.json()["ended"], 1);
    let expected = (401, json!(602), json!("Customer not authorized"), false);
    assert_eq!(seen(&kit.read("/accounts", &tokens.access).await), expected);
    assert_eq!(kit.cause(&tokens.id).await, Some(Cause::Provider));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking what is over has reached its goal");
}

async fn a_bank_that_rotates_is_followed(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.levers(json!({"rotate_refresh": true})).await;
    for version in 2..5 {
        kit.advance(std::time::Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        let read = kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await;
        assert_eq!(read.status, 200, "{}", read.body);
        assert_eq!(kit.connection(&tokens.id).await.credential_version, version);
    }
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(fresh["access_token"].as_str().unwrap()).await.status, 204);
    kit.until("the newest token is revoked", async || kit.grants().await == ["ended"]).await;
}

async fn a_bank_that_refuses_every_refresh_ends_one_and_tells_why(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.levers(json!({"invalid_grant_to_all": true})).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "while the bank's token lasts");
    kit.advance(std::time::Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    let expected = (401, json!(602), json!("Customer not authorized"), false);
    assert_eq!(seen(&kit.read("/accounts", &fresh).await), expected);
    assert_eq!(kit.cause(&tokens.id).await, Some(Cause::Provider));
}

async fn what_a_bank_says_of_a_revoke_is_what_the_connection_shows(kit: Kit) {
    let acme = kit.acme();
    for (lever, shown, at_the_bank) in [
        ("ok", BankState::Accepted, "ended"),
        ("refuse", BankState::Refused, "active"),
        ("already", BankState::Accepted, "active"),
    ] {
        let tokens = kit.connect(&acme).await;
        kit.levers(json!({"revoke": lever})).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204, "{lever}");
        assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602, "{lever}");
        kit.until("the bank has answered", async || kit.connection(&tokens.id).await.bank == shown).await;
        assert!(kit.grants().await.iter().any(|state| state == at_the_bank), "{lever}");
    }
}

async fn a_bank_whose_clock_is_off_is_served_all_the_same(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    for skew in [90, -90] {
        kit.levers(json!({"clock_skew_s": skew})).await;
        let read = kit.read("/accounts", &tokens.access).await;
        assert_eq!(read.status, 200, "{skew} s: {}", read.body);
    }
    kit.levers(json!({"clock_skew_s": 3600})).await;
    let read = kit.read("/accounts", &tokens.access).await;
    assert_eq!(read.status, 200, "the bank thinks the token old: it is refreshed once: {}", read.body);
    assert_eq!(kit.cause(&tokens.id).await, None);
}

async fn a_bank_that_fails_now_and_then_is_tried_again_by_whoever_asks(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.levers(json!({"fail": 503, "fail_share": 0.5})).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(kit.read("/accounts", &tokens.access).await.status);
    }
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 4, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 503).count(), 4, "{statuses:?}");
    assert_eq!(kit.cause(&tokens.id).await, None);
}
