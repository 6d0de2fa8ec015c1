//! RFC 6750, bearer tokens: the hub as a resource server, and as a client of one.

use std::time::Duration;

use bowline::cli::Answer;
use http::{Method, Response};

use super::{ACCOUNTS, FORM, REVOKE, connected, description, header, refused, said, watched};
use crate::kit::{Call, Kit, Raw, StandIn};
use crate::recovery::callback;

const INVALID: &str = r#"Bearer error="invalid_token""#;

/// 401, a message alone, with the challenge.
fn is_no_token(answer: &Answer) {
    let body = answer.json();
    assert_eq!((answer.status, header(answer, "www-authenticate")), (401, INVALID), "{body}");
    assert_eq!((body["message"].is_string(), body.as_object().unwrap().len()), (true, 1), "{body}");
}

#[tokio::test]
async fn s2_1_the_scheme_is_read_in_any_case() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let with = |raw: Raw, scheme: &str| raw.header("authorization", format!("{scheme} {}", tokens.access));
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(kit.wire(&with(Raw::get(ACCOUNTS), scheme)).await.status, 200, "{scheme}");
    }
    for scheme in ["Basic", "DPoP", "Token", "Bearer:", "xBearer"] {
        is_no_token(&kit.wire(&with(Raw::get(ACCOUNTS), scheme)).await);
        let revoke = kit.wire(&with(Raw::new("DELETE", REVOKE), scheme)).await;
        assert_eq!(said(&revoke), refused("invalid_request"), "{scheme}");
    }
    assert_eq!(kit.wire(&with(Raw::new("DELETE", REVOKE), "bEARER")).await.status, 204);
}

#[tokio::test]
async fn s2_1_one_header_with_one_token() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let access = tokens.access.as_str();
    for value in [
        "Bearer".to_owned(),
        format!("Bearer {access},{access}"),
        format!("Bearer \"{access}\""),
        access.to_owned(),
    ] {
        is_no_token(&kit.wire(&Raw::get(ACCOUNTS).header("authorization", value)).await);
    }
    is_no_token(&kit.wire(&Raw::get(ACCOUNTS).bearer(access).bearer(access)).await);
    let revoke = kit.wire(&Raw::new("DELETE", REVOKE).bearer(access).bearer(access)).await;
    assert_eq!(said(&revoke), refused("invalid_request"));
    assert_eq!(kit.cause(&tokens.id).await, None);
}

#[tokio::test]
async fn s2_2_s2_3_a_token_in_a_body_or_a_query_is_none() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    is_no_token(&kit.get(&format!("{ACCOUNTS}?access_token={}", tokens.access)).await);
    let field = format!("access_token={}", tokens.access);
    let body = kit.wire(&Raw::post(REVOKE, FORM, field.clone())).await;
    assert_eq!(said(&body), refused("invalid_request"));
    let query = kit.wire(&Raw::new("DELETE", format!("{REVOKE}?{field}")).bearer(&tokens.access)).await;
    assert_eq!(said(&query), refused("invalid_request"), "even beside the header: the mistake is seen");
    assert!(description(&query).starts_with("access_token must not stand in the query"));
    assert_eq!(kit.cause(&tokens.id).await, None);
}

#[tokio::test]
async fn s3_every_401_carries_a_challenge() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let narrow = kit.narrowed(&acme, &tokens, "ACCOUNT_BASIC").await;
    let beyond = kit.read("/accounts?resultType=details", &narrow).await;
    assert_eq!((beyond.status, &beyond.json()["code"]), (401, &602.into()));
    assert_eq!(header(&beyond, "www-authenticate"), r#"Bearer error="insufficient_scope""#);
    kit.revoke(&tokens.access).await;
    let ended = kit.read("/accounts", &tokens.access).await;
    assert_eq!((ended.status, header(&ended, "www-authenticate")), (401, INVALID));
    is_no_token(&kit.read("/accounts", "x").await);
}

/// On purpose: a request without credentials is answered like one with bad ones.
#[tokio::test]
async fn s3_deviation_no_credentials_are_as_bad_as_wrong_ones() {
    let kit = Kit::new().await;
    let (none, wrong) = (kit.get(ACCOUNTS).await, kit.read("/accounts", "a.b.c").await);
    is_no_token(&none);
    assert_eq!((none.body, none.status), (wrong.body, wrong.status));
    let none = kit.wire(&Raw::new("DELETE", REVOKE)).await;
    let wrong = kit.revoke("a.b.c").await;
    assert_eq!((none.status, &none.body, header(&none, "www-authenticate")), (400, &wrong.body, INVALID));
}

#[tokio::test]
async fn s3_1_an_invalid_token_is_401_on_the_data_face() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let own = kit.client_token(&kit.acme()).await;
    for token in ["x", "", &tokens.refresh, &tokens.code, &own, &tokens.access[1..]] {
        is_no_token(&kit.read("/accounts", token).await);
    }
    kit.advance(Duration::from_secs(299));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    kit.advance(Duration::from_secs(1));
    is_no_token(&kit.read("/accounts", &tokens.access).await);
}

/// On purpose: Flinks has 400 `invalid_request` on its own face, and does not know `invalid_token`.
#[tokio::test]
async fn s3_1_deviation_an_invalid_token_is_400_on_the_flinks_face() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    kit.advance(Duration::from_mins(5));
    for token in ["x", "", &tokens.refresh, &tokens.access] {
        let answer = kit.revoke(token).await;
        assert_eq!(
            (said(&answer), header(&answer, "www-authenticate")),
            (refused("invalid_request"), INVALID)
        );
        assert_eq!(description(&answer), "The access token is missing, malformed or expired");
    }
}

/// On purpose: Flinks has code 602 with 401 where the standard has 403.
#[tokio::test]
async fn s3_1_deviation_insufficient_scope_is_602_with_401() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let narrow = kit.narrowed(&acme, &tokens, "TRANSACTIONS").await;
    for path in ["/accounts", "/accounts?resultType=details", "/accounts/acc_x", "/customers/current"] {
        let answer = kit.read(path, &narrow).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &602.into()), "{path}");
        assert_eq!(answer.json()["debugMessage"], "The customer did not consent to this data");
    }
}

#[tokio::test]
async fn s5_2_a_token_of_another_hub_is_none() {
    let (kit, other) = (Kit::new().await, Kit::new().await);
    let tokens = other.connect(&other.acme()).await;
    is_no_token(&kit.read("/accounts", &tokens.access).await);
    assert_eq!(said(&kit.revoke(&tokens.access).await), refused("invalid_request"));
    assert_eq!(other.read("/accounts", &tokens.access).await.status, 200);
}

#[tokio::test]
async fn s5_3_the_hub_sends_a_banks_token_in_the_header_alone() {
    let kit = Kit::new().await;
    let callback = callback(&kit).await;
    let bank = watched(&kit).await;
    let tokens = connected(&kit, &callback).await;
    assert_eq!(kit.read("/accounts?resultType=details", &tokens.access).await.status, 200);
    let call = bank.calls().pop().unwrap();
    assert_eq!(
        (call.path.as_str(), &call.headers["authorization"]),
        ("/fdx/accounts", &"Bearer at-1".parse().unwrap())
    );
    assert!(!call.query.contains("at-1") && call.body.is_empty());
    let sent = format!("{:?}", bank.calls());
    assert!(!sent.contains(&tokens.access) && !sent.contains(&tokens.refresh), "ours never leave the hub");
}

/// Sends whoever asks to another place, with every kind of redirect in turn.
async fn redirecting(to: &StandIn) -> StandIn {
    let (to, turn) = (to.url.clone(), std::sync::atomic::AtomicUsize::new(0));
    StandIn::new(move |_: &Call| {
        let kinds = [301, 302, 303, 307, 308];
        let status = kinds[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % kinds.len()];
        Response::builder()
            .status(status)
            .header("location", format!("{to}/stolen"))
            .body(String::new())
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn s5_3_no_redirect_is_followed_with_a_bearer() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let thief = StandIn::new(|_| Response::new("{}".to_owned())).await;
    let bank = redirecting(&thief).await;
    let url = bank.url.clone();
    kit.set_up(1000, |settings| settings.fdx.base_url = url).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(kit.read("/accounts", &tokens.access).await);
    }
    assert_eq!((bank.calls().len(), thief.calls().len()), (5, 0), "a bearer was sent on");
    for answer in answers {
        assert_eq!((answer.status, &answer.json()["code"]), (500, &500.into()));
        assert!(!answer.body.contains(&thief.url) && answer.location.is_none());
    }
}

#[tokio::test]
async fn s5_3_no_redirect_is_followed_with_a_code_or_a_refresh_token() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let thief = StandIn::new(|_| Response::new("{}".to_owned())).await;
    let bank = redirecting(&thief).await;
    let callback = callback(&kit).await;
    let url = bank.url.clone();
    kit.set_up(1000, |settings| {
        settings.token_endpoint = format!("{url}/token");
        settings.revocation_endpoint = Some(format!("{url}/revoke"));
    })
    .await;
    let location = super::open(&kit, &callback).await.location.unwrap();
    assert_eq!(crate::kit::parameter(&location, "error").as_deref(), Some("server_error"));
    kit.advance(Duration::from_mins(10));
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    let fresh = fresh["access_token"].as_str().unwrap();
    assert_eq!(kit.read("/accounts", fresh).await.status, 500);
    assert_eq!(kit.call(Method::POST, REVOKE, fresh).await.status, 204);
    kit.until("the bank is told", async || bank.calls().iter().any(|call| call.path == "/revoke")).await;
    assert!(thief.calls().is_empty(), "{:?}", thief.calls());
}
