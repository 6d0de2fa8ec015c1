//! RFC 6749, the OAuth 2.0 framework: the hub as a client of banks.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::model::provider::{ClientAuthentication, SecretSource};
use http::Method;
use serde_json::json;

use super::{connected, open, reply, watched};
use crate::kit::{Kit, StandIn, parameter, says};
use crate::recovery::callback;

#[tokio::test]
async fn s2_3_1_the_hub_form_encodes_its_own_credentials() {
    let kit = Kit::new().await;
    let secret = "s p+a%25:\u{e9}&=/~";
    let file = kit.data_folder().join("odd.secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let callback = callback(&kit).await;
    let bank = watched(&kit).await;
    kit.set_up(1000, |settings| {
        settings.client_id = "hub +:\u{e9}".into();
        settings.client_secret = SecretSource::File(file.display().to_string());
        settings.auth = ClientAuthentication::ClientSecretBasic;
    })
    .await;
    connected(&kit, &callback).await;
    let call = bank.calls()[0].clone();
    let sent = call.headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(STANDARD.decode(sent).unwrap()).unwrap();
    assert_eq!(pair, "hub+%2B%3A%C3%A9:s+p%2Ba%2525%3A%C3%A9%26%3D%2F%7E");
    assert_eq!((call.field("client_id"), call.field("client_secret")), (None, None), "one way at a time");
    assert_eq!(call.query, "", "credentials never stand in the URI");
}

#[tokio::test]
async fn s2_3_1_where_a_bank_wants_the_secret_in_the_body_no_header_is_sent() {
    let kit = Kit::new().await;
    let callback = callback(&kit).await;
    let bank = watched(&kit).await;
    kit.set_up(1000, |settings| settings.auth = ClientAuthentication::ClientSecretPost).await;
    connected(&kit, &callback).await;
    let call = bank.calls()[0].clone();
    assert!(!call.headers.contains_key("authorization") && call.query.is_empty());
    assert_eq!(call.field("client_id").as_deref(), Some("bowline"));
    assert_eq!(call.field("client_secret").unwrap().len(), 43);
}

#[tokio::test]
async fn s3_3_what_a_bank_grants_less_is_what_the_recipient_gets() {
    let kit = Kit::new().await;
    for (granted, shown) in [
        (json!("fdx:accountbasic:read fdx:unknown:read"), Some("ACCOUNT_BASIC")),
        (json!("fdx:transactions:read fdx:accountbasic:read"), Some("ACCOUNT_BASIC TRANSACTIONS")),
        (json!("fdx:accountbasic:read fdx:customerpersonal:read"), Some("ACCOUNT_BASIC")),
        (json!(null), Some("ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS")),
        (json!("fdx:transactions:read"), None),
        (json!(""), None),
    ] {
        let callback = callback(&kit).await;
        let mut body = reply(1);
        body["scope"] = granted.clone();
        let bank = StandIn::new(move |_| says(200, &body)).await;
        let (real, url) = (format!("{}/token", kit.world.maple().url), format!("{}/token", bank.url));
        kit.set_up(1000, |settings| settings.token_endpoint = url).await;
        let location = open(&kit, &callback).await.location.unwrap();
        kit.set_up(1000, |settings| settings.token_endpoint = real).await;
        match (shown, parameter(&location, "code")) {
            (Some(scope), Some(code)) => {
                assert_eq!(kit.redeem(&kit.acme(), &code).await.json()["scope"], scope, "{granted}");
            }
            (None, None) => assert_eq!(parameter(&location, "error").as_deref(), Some("access_denied")),
            other => panic!("{granted}: {other:?} {location}"),
        }
    }
}

#[tokio::test]
async fn s4_1_1_the_request_at_the_bank_is_the_hubs_own() {
    let kit = Kit::new().await;
    let mut states = Vec::new();
    for _ in 0..2 {
        let began = kit.authorize(&Kit::ask(&kit.acme())).await;
        let (at, page) = kit.follow(kit.app().public_url(), began).await;
        let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
        let yes = [("form_token", token.as_str()), ("decision", "approve")];
        let answer = kit.send(bowline::cli::Sent::new(Method::POST, &at).form(&yes)).await;
        assert_eq!(answer.status, 303);
        let to = answer.location.unwrap();
        assert!(to.starts_with(&format!("{}/authorize?", kit.world.maple().url)), "{to}");
        let of = |name| parameter(&to, name).unwrap();
        assert_eq!((of("response_type"), of("client_id")), ("code".into(), "bowline".into()));
        assert_eq!(of("redirect_uri"), kit.url("/callback/1000"));
        assert_eq!(of("scope"), "fdx:accountbasic:read fdx:accountdetailed:read fdx:transactions:read");
        assert_eq!(of("state").len(), 43, "256 bits of its own");
        for of_the_recipient in [kit.acme().id, kit.acme().redirect_uri, "odd".into()] {
            assert!(!to.contains(&of_the_recipient), "{of_the_recipient} is the bank's business: {to}");
        }
        states.push(of("state"));
    }
    assert_ne!(states[0], states[1]);
}

#[tokio::test]
async fn s4_1_2_1_each_error_of_a_bank_is_a_word_of_ours() {
    let kit = Kit::new().await;
    for (word, told) in [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("invalid_scope", "server_error"),
        ("%3Cscript%3E%0d%0aSet-Cookie:x", "server_error"),
    ] {
        let callback = callback(&kit).await;
        let state = parameter(&callback, "state").unwrap();
        let url = kit
            .url(&format!("/callback/1000?error={word}&error_description=mine&error_uri=mine&state={state}"));
        let answer = open(&kit, &url).await;
        let location = answer.location.unwrap();
        assert_eq!(parameter(&location, "error").as_deref(), Some(told), "{word}");
        assert!(!location.contains("mine") && !location.contains("script%3E"), "{location}");
        assert_eq!(open(&kit, &callback).await.status, 400, "the request is over");
    }
    assert!(kit.grants().await.is_empty());
}

#[tokio::test]
async fn s4_1_3_the_code_goes_to_the_token_endpoint_with_what_it_is_bound_to() {
    let kit = Kit::new().await;
    let callback = callback(&kit).await;
    let bank = watched(&kit).await;
    connected(&kit, &callback).await;
    let call = bank.calls()[0].clone();
    assert_eq!(
        (call.path.as_str(), call.field("grant_type").as_deref()),
        ("/token", Some("authorization_code"))
    );
    assert_eq!(call.field("code"), parameter(&callback, "code"));
    assert_eq!(call.field("redirect_uri"), Some(kit.url("/callback/1000")));
    assert_eq!(call.headers["content-type"], "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn s5_2_a_bank_that_refuses_a_code_leaves_nothing_behind() {
    let kit = Kit::new().await;
    for (status, body, told) in [
        (400, json!({"error": "invalid_grant"}), "server_error"),
        (401, json!({"error": "invalid_client"}), "server_error"),
        (200, json!({"token_type": "Bearer"}), "server_error"),
        (200, json!({"access_token": "a b", "refresh_token": "x"}), "server_error"),
        (200, json!({"access_token": "a\r\nb"}), "server_error"),
        (200, json!(["access_token"]), "server_error"),
        (503, json!({}), "temporarily_unavailable"),
        (429, json!({}), "temporarily_unavailable"),
    ] {
        let callback = callback(&kit).await;
        let said = body.clone();
        let bank = StandIn::new(move |_| says(status, &body)).await;
        let (real, url) = (format!("{}/token", kit.world.maple().url), format!("{}/token", bank.url));
        kit.set_up(1000, |settings| settings.token_endpoint = url).await;
        let location = open(&kit, &callback).await.location.unwrap();
        assert_eq!(parameter(&location, "error").as_deref(), Some(told), "{status} {said}");
        assert_eq!(bank.calls().len(), 1, "a code is sent once: {said}");
        kit.set_up(1000, |settings| settings.token_endpoint = real).await;
    }
}

#[tokio::test]
async fn s6_a_rotated_refresh_token_takes_the_place_of_the_old_one() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let callback = callback(&kit).await;
    let bank = watched(&kit).await;
    let tokens = connected(&kit, &callback).await;
    for round in 2..5 {
        kit.advance(Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        let read = kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await;
        assert_eq!(read.status, 200, "{}", read.body);
        let calls = bank.calls();
        let refresh = calls.iter().rfind(|call| call.path == "/token").unwrap();
        assert_eq!(refresh.field("refresh_token"), Some(format!("rt-{}", round - 1)), "the newest is sent");
        assert_eq!(calls.last().unwrap().headers["authorization"], format!("Bearer at-{round}"));
    }
    let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
    assert_eq!(kit.revoke(fresh["access_token"].as_str().unwrap()).await.status, 204);
    kit.until("the bank is told", async || bank.calls().iter().any(|call| call.path == "/revoke")).await;
    let told = bank.calls().into_iter().find(|call| call.path == "/revoke").unwrap();
    assert_eq!(told.field("token").as_deref(), Some("rt-4"), "of the grant that lives");
}

#[tokio::test]
async fn s6_a_refresh_that_brings_no_new_token_keeps_the_old_one() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let callback = callback(&kit).await;
    let bank = StandIn::new(|call| {
        let mut body = reply(1);
        if call.field("grant_type").as_deref() == Some("refresh_token") {
            body.as_object_mut().unwrap().remove("refresh_token");
        }
        if call.path == "/token" { says(200, &body) } else { says(200, &json!({"accounts": []})) }
    })
    .await;
    let url = bank.url.clone();
    kit.set_up(1000, |settings| {
        settings.token_endpoint = format!("{url}/token");
        settings.fdx.base_url = format!("{url}/fdx");
    })
    .await;
    let tokens = connected(&kit, &callback).await;
    for _ in 0..2 {
        kit.advance(Duration::from_mins(10));
        let fresh = kit.refresh(&acme, &tokens.refresh).await.json();
        assert_eq!(kit.read("/accounts", fresh["access_token"].as_str().unwrap()).await.status, 200);
    }
    let sent: Vec<_> = bank.calls().iter().filter_map(|call| call.field("refresh_token")).collect();
    assert_eq!(sent, ["rt-1", "rt-1"]);
}

#[tokio::test]
async fn s10_12_the_hubs_state_is_used_once() {
    let kit = Kit::new().await;
    let callback = callback(&kit).await;
    assert_eq!(open(&kit, &callback).await.status, 302);
    let again = open(&kit, &callback).await;
    assert_eq!((again.status, again.location), (400, None));
    let other_code = callback.replace("code=", "code=x");
    assert_eq!(open(&kit, &other_code).await.status, 400);
    assert_eq!(
        kit.grants().await,
        ["active"],
        "the second was not sent to the bank, which would have ended it"
    );
}
