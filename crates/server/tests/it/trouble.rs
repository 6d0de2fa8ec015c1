//! A bank that is slow, broken, full, forgetful, or gone.

use std::time::Duration;

use domain::model::connection::{BankState, Cause};
use serde_json::json;

use crate::kit::{Kit, on_both, parameter};

on_both!(
    each_trouble_of_the_bank_is_a_documented_answer_and_ends_nothing,
    a_failing_bank_is_left_alone_for_a_while,
    what_ends_while_the_bank_answers_is_not_served,
    a_refused_token_is_refreshed_once_and_an_end_at_the_bank_ends_the_connection,
    many_reads_refresh_once,
    a_bank_that_refuses_or_is_down_is_told_later_or_seen,
    a_token_that_comes_after_the_end_is_revoked_and_not_called_so_before,
    an_exchange_that_fails_is_answered_and_leaves_no_grant_behind,
);

async fn each_trouble_of_the_bank_is_a_documented_answer_and_ends_nothing(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    for (levers, status, code) in [
        (json!({"fail": 500}), 500, 500),
        (json!({"fail": 503}), 503, 503),
        (json!({"fail": null, "rate_limited": true}), 429, 1207),
    ] {
        kit.levers(levers.clone()).await;
        let answer = kit.read("/accounts", &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()), "{levers}");
        assert_eq!(answer.headers.contains_key("retry-after"), status != 500, "{levers}");
    }
    kit.levers(json!({"rate_limited": false})).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.cause(&tokens.id).await, None);
}

async fn a_failing_bank_is_left_alone_for_a_while(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.levers(json!({"fail": 500})).await;
    for _ in 0..5 {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 500);
    }
    kit.levers(json!({"fail": null})).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 503, "the breaker is open");
    kit.advance(Duration::from_secs(30));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
}

async fn what_ends_while_the_bank_answers_is_not_served(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    kit.levers(json!({"hold": true})).await;
    let (read, ()) = tokio::join!(kit.read("/accounts", &tokens.access), async {
        kit.until("the bank has the request", async || {
            let url = format!("{}/grants", kit.world.maple().levers());
            let listed = kit.send(bowline::cli::Sent::new(http::Method::GET, &url)).await.json();
            !listed[0]["last_used_at"].is_null()
        })
        .await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204);
        kit.levers(json!({"hold": false})).await;
    });
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()), "{}", read.body);
}

async fn a_refused_token_is_refreshed_once_and_an_end_at_the_bank_ends_the_connection(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.levers(json!({"rotate_refresh": true})).await;
    kit.advance(Duration::from_mins(4) + Duration::from_secs(45));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "refreshed before it expired");
    assert_eq!(kit.connection(&tokens.id).await.credential_version, 2);
    kit.advance(Duration::from_mins(6));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    kit.levers(json!({"token_endpoint": "down"})).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 503);
    assert_eq!(kit.cause(&tokens.id).await, None, "a bank that is down ends nothing");
    kit.levers(json!({"token_endpoint": "up"})).await;
    let mut end =
        bowline::cli::Sent::new(http::Method::POST, &format!("{}/consents/end", kit.world.maple().levers()));
    end.json = Some(json!({"username": "alice"}));
    kit.send(end).await;
    let read = kit.read("/accounts", &fresh).await;
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()));
    assert_eq!(kit.cause(&tokens.id).await, Some(Cause::Provider));
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["error"], "invalid_grant");
}

async fn many_reads_refresh_once(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.levers(json!({"rotate_refresh": true})).await;
    kit.advance(Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    let reads = (0..8).map(|_| kit.read("/accounts", &fresh));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.status, 200, "{}", read.body);
    }
    assert_eq!(kit.connection(&tokens.id).await.credential_version, 2);
}

async fn a_bank_that_refuses_or_is_down_is_told_later_or_seen(kit: Kit) {
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.levers(json!({"revoke": "refuse"})).await;
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "the reply does not wait for the bank");
    kit.until("the refusal is seen", async || kit.connection(&tokens.id).await.bank == BankState::Refused)
        .await;
    kit.levers(json!({"revoke": "ok"})).await;
    let second = kit.connect(&acme).await;
    kit.levers(json!({"fail": 503})).await;
    assert_eq!(kit.revoke(&second.access).await.status, 204);
    assert_eq!(kit.read("/accounts", &second.access).await.json()["code"], 602);
    kit.levers(json!({"fail": null})).await;
    assert_eq!(kit.connection(&second.id).await.bank, BankState::Pending);
    kit.advance(Duration::from_secs(10));
    kit.app().jobs().notify_one();
    kit.until("the bank is told", async || kit.connection(&second.id).await.bank == BankState::Accepted)
        .await;
    assert_eq!(kit.grants().await.iter().filter(|state| *state == "ended").count(), 1);
}

async fn a_token_that_comes_after_the_end_is_revoked_and_not_called_so_before(kit: Kit) {
    let tokens = kit.connect(&kit.acme()).await;
    let leased = "SELECT lease_id FROM upstream_credentials WHERE lease_id IS NOT NULL";
    kit.behind("UPDATE upstream_credentials SET access_expires_at = 0").await;
    kit.levers(json!({"rotate_refresh": true, "latency_ms": 250})).await;
    let (read, ()) = tokio::join!(kit.read("/accounts", &tokens.access), async {
        kit.until("the refresh is on its way", async || !kit.behind(leased).await.is_empty()).await;
        assert_eq!(kit.revoke(&tokens.access).await.status, 204, "the reply does not wait for the bank");
        kit.until("the bank is told of the token that came late", async || {
            let bank = kit.connection(&tokens.id).await.bank;
            let ended = kit.grants().await == ["ended"];
            assert!(ended || bank != BankState::Accepted, "called accepted while the grant lives");
            ended && bank == BankState::Accepted
        })
        .await;
    });
    assert_eq!((read.status, &read.json()["code"]), (401, &602.into()), "{}", read.body);
    let jobs = kit.behind("SELECT COUNT(*) FROM jobs WHERE state = 'done' AND token IS NULL").await;
    assert_eq!(jobs, ["2"], "one for the token that was in hand, one for the late one");
}

async fn an_exchange_that_fails_is_answered_and_leaves_no_grant_behind(kit: Kit) {
    let acme = kit.acme();
    let (at, page) = kit.up_to_accounts(&Kit::ask(&acme), "alice").await;
    kit.levers(json!({"token_endpoint": "down"})).await;
    let (back, _) = kit.submit(&at, &page, &[("accounts", "mt-alice-card"), ("decision", "approve")]).await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("temporarily_unavailable"));
    kit.levers(json!({"token_endpoint": "up"})).await;
    let code = kit.code(&acme).await;
    kit.advance(Duration::from_mins(1));
    let ctx = bowline::job::context(kit.app(), "test").unwrap();
    bowline::job::sweep(&ctx).await.unwrap();
    assert_eq!(kit.redeem(&acme, &code).await.json()["error"], "invalid_grant");
    kit.until("the bank is told", async || kit.grants().await == ["ended"]).await;
}
