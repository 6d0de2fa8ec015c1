//! What time does: ends, purges, recovers.

use std::time::Duration;

use bowline::job;
use domain::model::connection::{BankState, Cause};

use crate::kit::{Kit, Recipient, Tokens};

const DAY: Duration = Duration::from_hours(24);

async fn sweep(kit: &Kit) -> usize {
    job::sweep(&job::context(kit.app(), "test").unwrap()).await.unwrap()
}

/// An access token of a refresh, and how many seconds it lives.
async fn refreshed(kit: &Kit, recipient: &Recipient, tokens: &Tokens) -> (String, u64) {
    let body = kit.refresh(recipient, &tokens.refresh).await.json();
    let token = body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {body}"));
    (token.to_owned(), body["expires_in"].as_u64().unwrap())
}

/// Everything is over, and the bank learns it.
async fn ends(kit: &Kit, recipient: &Recipient, tokens: &Tokens, cause: Cause) {
    let refused = kit.refresh(recipient, &tokens.refresh).await.json();
    assert_eq!(refused["error"], "invalid_grant", "before the sweep has come by");
    sweep(kit).await;
    assert_eq!(kit.cause(&tokens.id).await, Some(cause));
    assert_eq!(kit.refresh(recipient, &tokens.refresh).await.json()["error"], "invalid_grant");
    kit.until("the bank is told", async || kit.connection(&tokens.id).await.bank == BankState::Accepted)
        .await;
    assert_eq!(kit.grants().await, ["ended"]);
    assert_eq!(sweep(kit).await, 0, "once");
}

#[tokio::test]
async fn a_consent_ends_on_its_day_to_the_second() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    for _ in 0..3 {
        kit.advance(DAY * 29);
        assert_eq!(refreshed(&kit, &acme, &tokens).await.1, 300, "it is used, so that it does not idle out");
    }
    // The recipient is registered for 90 days.
    let consent_end = kit.connection(&tokens.id).await.expires_at;
    kit.advance(consent_end.since(kit.app().now().unwrap()).saturating_sub(Duration::from_mins(1)));
    assert_eq!(sweep(&kit).await, 0);
    let (last, lives) = refreshed(&kit, &acme, &tokens).await;
    assert_eq!(lives, 60, "no token outlives the consent");
    assert_eq!(kit.read("/accounts", &last).await.status, 200);
    kit.advance(Duration::from_mins(1));
    assert_eq!(kit.read("/accounts", &last).await.status, 401);
    ends(&kit, &acme, &tokens, Cause::ConsentEnd).await;
}

#[tokio::test]
async fn a_connection_that_nobody_uses_idles_out_and_one_that_is_used_does_not() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    // A use is recorded once a day at most: what idles for 30 days ends within 31.
    kit.advance((DAY * 31).saturating_sub(Duration::from_millis(1)));
    assert_eq!(sweep(&kit).await, 0);
    let (fresh, _) = refreshed(&kit, &acme, &tokens).await;
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    kit.advance(Duration::from_millis(1));
    assert_eq!(sweep(&kit).await, 0, "it was used a moment ago");
    kit.advance(DAY * 31);
    ends(&kit, &acme, &tokens, Cause::Idle).await;
}

#[tokio::test]
async fn a_login_that_is_never_redeemed_is_abandoned_and_the_bank_is_told() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let code = kit.code(&acme).await;
    kit.advance(Duration::from_secs(59));
    assert_eq!(sweep(&kit).await, 0);
    kit.advance(Duration::from_secs(1));
    sweep(&kit).await;
    kit.until("the bank is told", async || kit.grants().await == ["ended"]).await;
    assert_eq!(kit.redeem(&acme, &code).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn what_is_old_is_purged_and_what_lives_is_not_touched() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.advance(Duration::from_hours(2));
    let ctx = job::context(kit.app(), "test").unwrap();
    let purged = |removed| job::Purged { removed, more: false };
    assert_eq!(job::purge(&ctx).await.unwrap(), purged(2), "a code and a request");
    assert_eq!(job::purge(&ctx).await.unwrap(), purged(0));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    assert_eq!(kit.redeem(&acme, &tokens.code).await.json()["error"], "invalid_grant", "as before");
    assert_eq!(kit.cause(&tokens.id).await, None);
}
