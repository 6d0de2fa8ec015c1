//! What time does: ends, purges, recovers.

use std::time::Duration;

use bowline::job;

use crate::kit::Kit;

#[tokio::test]
async fn what_is_old_is_purged_and_what_lives_is_not_touched() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.advance(Duration::from_hours(2));
    let ctx = job::context(kit.app(), "test").unwrap();
    assert_eq!(job::purge(&ctx).await.unwrap(), 2, "a code and a request");
    assert_eq!(job::purge(&ctx).await.unwrap(), 0);
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kit.read("/accounts", &fresh).await.status, 200);
    assert_eq!(kit.redeem(&acme, &tokens.code).await.json()["error"], "invalid_grant", "as before");
    assert_eq!(kit.cause(&tokens.id).await, None);
}
