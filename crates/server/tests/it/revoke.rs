//! `DELETE /api/v1/revoke`: the seed of it all.

use std::time::Duration;

use domain::model::connection::{BankState, Cause};
use http::Method;

use crate::kit::{Kit, Recipient, SCOPE, Tokens, on_both};
use bowline::cli::Sent;

on_both!(
    it_cuts_everything_and_the_bank_is_told,
    post_is_the_same_and_bodies_are_ignored,
    a_stranger_learns_nothing_and_changes_nothing,
    other_connections_of_the_customer_live_on_at_the_bank_too,
    a_newer_login_replaces_the_older_and_its_token_cannot_end_the_newer,
);

async fn is_cut(kit: &Kit, recipient: &Recipient, tokens: &Tokens) {
    for path in
        ["/accounts", "/accounts?resultType=details", "/accounts/acc_x", "/accounts/acc_x/transactions"]
    {
        let answer = kit.read(path, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &602.into()), "{path}");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    }
    assert_eq!(kit.refresh(recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    assert_eq!(kit.redeem(recipient, &tokens.code).await.json()["error"], "invalid_grant");
}

async fn it_cuts_everything_and_the_bank_is_told(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let second =
        kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    let answer = kit.revoke(&second).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    is_cut(&kit, &acme, &tokens).await;
    assert_eq!(kit.cause(&tokens.id).await, Some(Cause::Recipient));
    kit.until("the bank is told", async || kit.connection(&tokens.id).await.bank == BankState::Accepted)
        .await;
    assert_eq!(kit.grants().await, ["ended"]);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "a lost reply can be retried");
}

async fn post_is_the_same_and_bodies_are_ignored(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let mut sent = Sent::new(Method::POST, &kit.url("/api/v1/revoke"));
    sent.bearer = Some(tokens.access.clone());
    let other = sent.clone().form(&[("token", "another")]);
    assert_eq!(kit.send(other).await.json()["error"], "invalid_request");
    assert_eq!(kit.cause(&tokens.id).await, None, "a mistake ends nothing");
    sent.json = Some(serde_json::json!({"LoginId": "x", "MostRecentCached": true}));
    assert_eq!(kit.send(sent).await.status, 204);
    is_cut(&kit, &acme, &tokens).await;
}

async fn a_stranger_learns_nothing_and_changes_nothing(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let own = kit.token(&acme, &[("grant_type", "client_credentials")]).await.json();
    let client_token = own["access_token"].as_str().unwrap();
    let answer = kit.revoke(client_token).await;
    assert_eq!(answer.json()["error_description"], "This token names no connection");
    let mut altered = tokens.access.clone();
    altered.pop();
    for bad in ["", "x", "a.b.c", &altered, &tokens.refresh, &tokens.code] {
        let answer = kit.revoke(bad).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()), "{bad}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    let unsigned = {
        let payload = tokens.access.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}.")
    };
    assert_eq!(kit.revoke(&unsigned).await.status, 400);
    let without = kit.send(Sent::new(Method::DELETE, &kit.url("/api/v1/revoke"))).await;
    assert_eq!(without.status, 400);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "it lives");
    kit.advance(Duration::from_mins(5));
    assert_eq!(kit.revoke(&tokens.access).await.status, 400, "expired");
    assert_eq!(kit.cause(&tokens.id).await, None);
}

async fn other_connections_of_the_customer_live_on_at_the_bank_too(kit: Kit) {
    let other = kit.recipient(&[1000], SCOPE, false).await;
    let (first, second) = (kit.connect(&kit.acme()).await, kit.connect(&other).await);
    assert_ne!(
        kit.connection(&first.id).await.sub,
        kit.connection(&second.id).await.sub,
        "names cannot be compared"
    );
    let (of_first, of_second) = (kit.account_id(&first.access).await, kit.account_id(&second.access).await);
    assert_ne!(of_first, of_second);
    assert_eq!(kit.read(&format!("/accounts/{of_first}"), &second.access).await.json()["code"], 701);
    kit.revoke(&first.access).await;
    kit.until("the bank is told", async || kit.connection(&first.id).await.bank == BankState::Accepted).await;
    assert_eq!(kit.read("/accounts", &second.access).await.status, 200);
    assert_eq!(kit.grants().await.iter().filter(|state| *state == "active").count(), 1);
}

async fn a_newer_login_replaces_the_older_and_its_token_cannot_end_the_newer(kit: Kit) {
    let acme = kit.acme();
    let first = kit.connect(&acme).await;
    let code = kit.code(&acme).await;
    assert_eq!(kit.read("/accounts", &first.access).await.status, 200, "until the exchange");
    assert_eq!(kit.redeem(&acme, &code).await.status, 200);
    is_cut(&kit, &acme, &Tokens { code, ..first.clone() }).await;
    assert_eq!(kit.cause(&first.id).await, Some(Cause::Replaced));
    let second = kit.connect(&acme).await;
    let answer = kit.revoke(&first.access).await;
    assert_eq!(answer.status, 204, "its own successor ended with the replay above");
    let third = kit.connect(&acme).await;
    let answer = kit.revoke(&second.access).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()));
    assert!(answer.json()["error_description"].as_str().unwrap().contains("newer login"));
    assert_eq!(kit.read("/accounts", &third.access).await.status, 200);
}
