//! Asking too often: who is told so, how, and that nobody else is.

use bowline::cli::Answer;

use crate::kit::{Kit, Raw, Recipient};
use crate::whole::errors::too_often;

fn retry_after(answer: &Answer) -> u64 {
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_recipient_that_reads_too_often_is_429_and_another_is_not() {
    let kit = Kit::with(&[("limit.recipient", "3")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let other = kit.connect(&kit.recipient(&[1000], crate::kit::SCOPE, false).await).await;
    for _ in 0..3 {
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    }
    for path in ["/accounts", "/capability"] {
        let refused = kit.read(path, &tokens.access).await;
        too_often()[0].hold(&refused, path);
        assert!((1..=20).contains(&retry_after(&refused)), "{:?}", refused.headers);
    }
    assert_eq!(kit.read("/accounts", &other.access).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204, "revoking works");
    assert_eq!(kit.read("/accounts", &tokens.access).await.json()["code"], 602, "an end is told first");
}

#[tokio::test]
async fn a_connection_has_a_limit_of_its_own() {
    let kit = Kit::with(&[("limit.connection", "2")]).await;
    let acme = kit.acme();
    let alice = kit.connect(&acme).await;
    let bob = kit.connect_at(1000, &acme, "bob", &[], crate::kit::SCOPE).await;
    for _ in 0..2 {
        assert_eq!(kit.read("/accounts", &alice.access).await.status, 200);
    }
    too_often()[0].hold(&kit.read("/accounts", &alice.access).await, "alice");
    assert_eq!(kit.read("/accounts", &bob.access).await.status, 200);
}

#[tokio::test]
async fn one_recipient_cannot_use_up_what_a_bank_is_asked_for() {
    let kit = Kit::with(&[("limit.provider", "6"), ("limit.provider_share", "50")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let other = kit.connect(&kit.recipient(&[1000, 2000], crate::kit::SCOPE, false).await).await;
    let read = async |access: &str| kit.read("/accounts", access).await;
    for _ in 0..3 {
        assert_eq!(read(&tokens.access).await.status, 200);
    }
    let refused = read(&tokens.access).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &1207.into()), "{}", refused.body);
    assert!(retry_after(&refused) >= 1);
    for _ in 0..3 {
        assert_eq!(read(&other.access).await.status, 200, "the other half is left");
    }
    assert_eq!(read(&other.access).await.status, 429);
    let metrics = kit.read("/availability", &tokens.access).await;
    assert_eq!(metrics.status, 200, "what the hub knows itself is no call to the bank");
}

#[tokio::test]
async fn token_and_revoke_are_503_and_never_429() {
    let kit = Kit::with(&[("limit.token", "3"), ("limit.revoke", "1")]).await;
    let acme = kit.acme();
    let (first, second) =
        (kit.connect(&acme).await, kit.connect_at(1000, &acme, "bob", &[], crate::kit::SCOPE).await);
    assert_eq!(kit.refresh(&acme, &first.refresh).await.status, 200);
    let refused = kit.refresh(&acme, &first.refresh).await;
    too_often()[1].hold(&refused, "token");
    assert!((1..=20).contains(&retry_after(&refused)), "{:?}", refused.headers);
    let other = kit.recipient(&[1000], crate::kit::SCOPE, false).await;
    assert!(!kit.client_token(&other).await.is_empty());
    assert_eq!(kit.revoke(&first.access).await.status, 204);
    let refused = kit.revoke(&second.access).await;
    too_often()[1].hold(&refused, "revoke");
    assert!((1..=60).contains(&retry_after(&refused)));
    assert_eq!(kit.cause(&second.id).await, None);
    assert_eq!(kit.revoke(&first.access).await.status, 204, "what has ended is said without a limit");
}

fn client_credentials(of: &Recipient, from: &str) -> Raw {
    let body = format!("grant_type=client_credentials&client_id={}&client_secret={}", of.id, of.secret);
    Raw::post("/api/v1/token", "application/x-www-form-urlencoded", body).header("x-forwarded-for", from)
}

#[tokio::test]
async fn wrong_secrets_shut_a_client_out_from_where_they_come_and_from_nowhere_else() {
    let kit = Kit::with(&[("limit.failed_authentication", "2"), ("server.trusted_proxies", "1")]).await;
    let acme = kit.acme();
    let wrong = Recipient { secret: "guess".into(), ..acme.clone() };
    let nobody = Recipient { id: "dc-nobody".into(), ..acme.clone() };
    let try_it = async |who: &Recipient, from: &str| kit.wire(&client_credentials(who, from)).await;
    for _ in 0..3 {
        let refused = try_it(&wrong, "203.0.113.9").await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &"invalid_client".into()));
    }
    for who in [&wrong, &acme] {
        let shut = try_it(who, "203.0.113.77").await;
        too_often()[1].hold(&shut, "from the same network, right or wrong");
        assert!((1..=30).contains(&retry_after(&shut)));
    }
    assert_eq!(try_it(&acme, "198.51.100.1").await.status, 200, "the rightful one is not shut out");
    assert_eq!(
        try_it(&acme, "203.0.113.9, 198.51.100.1").await.status,
        200,
        "what the caller writes is not believed"
    );
    let other = kit.recipient(&[1000], crate::kit::SCOPE, false).await;
    assert_eq!(try_it(&other, "203.0.113.9").await.status, 200, "another client there is not shut out");
    assert_eq!(try_it(&nobody, "203.0.113.9").await.json()["error"], "invalid_client");
}
