//! Tests of the clauses of RFC 7636 (PKCE), which the hub offers to recipients and always uses with providers.

use domain::rule::pkce::compute_challenge;

use super::{
    bad_request, complete_connection, fetch_redirect_error, install_provider_stub, status_and_error,
};
use crate::support::{SCOPE, TestClient, TestHub, query_parameter};

/// The verifier of the example in RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const METHOD: (&str, Option<&str>) = ("code_challenge_method", Some("S256"));

/// Obtains a code, which is bound to a PKCE challenge if one is given.
async fn obtain_code(kit: &TestHub, recipient: &TestClient, challenge: Option<&str>) -> String {
    let method = challenge.and(METHOD.1);
    let query = super::build_authorize_query(recipient, &[("code_challenge", challenge), (METHOD.0, method)]);
    let back = kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await;
    query_parameter(&back, "code").unwrap_or_else(|| panic!("{back}"))
}

async fn redeem(kit: &TestHub, code: &str, verifier: Option<&str>) -> (u16, String) {
    let acme = kit.acme();
    let mut fields =
        vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &acme.redirect_uri)];
    fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    status_and_error(&kit.request_token(&acme, &fields).await)
}

#[tokio::test]
async fn rfc7636_s4_1_verifier_must_be_43_to_128_unreserved_chars() {
    let kit = TestHub::new().await;
    let unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    let long = unreserved.repeat(2);
    for (verifier, good) in [
        (&long[..128], true),
        (&long[..43], true),
        (&long[..129], false),
        (&long[..42], false),
        (&format!("{}+", &long[..60]), false),
        (&format!("{}=", &long[..60]), false),
        (&format!("{}\u{e9}", &long[..60]), false),
        (&format!("{} ", &long[..60]), false),
    ] {
        let code = obtain_code(&kit, &kit.acme(), Some(&compute_challenge(verifier))).await;
        let answer = redeem(&kit, &code, Some(verifier)).await;
        assert_eq!(answer.0 == 200, good, "{verifier}: {answer:?}");
        assert!(good || answer == bad_request("invalid_grant"), "{verifier}: {answer:?}");
    }
}

#[tokio::test]
async fn rfc7636_s4_2_challenge_must_be_43_base64url_characters() {
    let kit = TestHub::new().await;
    let padded = format!("{CHALLENGE}=");
    let standard = CHALLENGE.replace('-', "+");
    // The last character has two unused bits, which must be zero.
    let loose = format!("{}N", &CHALLENGE[..42]);
    for wrong in ["x", &CHALLENGE[1..], &padded, &standard, &loose, VERIFIER.trim_end_matches('k')] {
        let (error, description) =
            fetch_redirect_error(&kit, &kit.acme(), &[("code_challenge", Some(wrong)), METHOD]).await;
        assert_eq!(error, "invalid_request", "{wrong}");
        assert_eq!(description, "code_challenge must be 43 characters of base64url");
    }
}

/// Intended deviation: a missing method would mean `plain`, which protects nothing.
#[tokio::test]
async fn rfc7636_s4_3_deviation_missing_or_plain_method_is_rejected() {
    let kit = TestHub::new().await;
    for method in [None, Some(""), Some("plain"), Some("s256"), Some("S512"), Some("S256 ")] {
        let change = [("code_challenge", Some(CHALLENGE)), ("code_challenge_method", method)];
        let error = fetch_redirect_error(&kit, &kit.acme(), &change).await;
        assert_eq!(
            error,
            ("invalid_request".into(), "code_challenge_method must be S256".into()),
            "{method:?}"
        );
    }
    let (error, description) = fetch_redirect_error(&kit, &kit.acme(), &[METHOD]).await;
    assert_eq!((error.as_str(), description.as_str()), ("invalid_request", "code_challenge is missing"));
}

/// Intended deviation: PKCE is optional unless the recipient is registered with `require_pkce`.
#[tokio::test]
async fn rfc7636_s4_4_1_required_challenge_missing_is_rejected() {
    let kit = TestHub::new().await;
    let strict = kit.register_recipient(&[1000], SCOPE, true).await;
    let error = fetch_redirect_error(&kit, &strict, &[]).await;
    assert_eq!(error, ("invalid_request".into(), "code_challenge is missing".into()));
    assert!(!obtain_code(&kit, &strict, Some(CHALLENGE)).await.is_empty());
    let code = obtain_code(&kit, &kit.acme(), None).await;
    assert_eq!(redeem(&kit, &code, None).await.0, 200, "PKCE is optional for other recipients");
}

#[tokio::test]
async fn rfc7636_s4_6_wrong_verifier_does_not_consume_the_code() {
    let kit = TestHub::new().await;
    let code = obtain_code(&kit, &kit.acme(), Some(CHALLENGE)).await;
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let lower = VERIFIER.to_lowercase();
    for wrong in [None, Some(""), Some(other), Some(CHALLENGE), Some(&*lower), Some(&VERIFIER[..42])] {
        assert_eq!(redeem(&kit, &code, wrong).await, bad_request("invalid_grant"), "{wrong:?}");
    }
    assert_eq!(redeem(&kit, &code, Some(VERIFIER)).await.0, 200);
}

/// Many servers ignore this clause; RFC 9700 §4.8.2 requires it against a downgrade.
#[tokio::test]
async fn rfc7636_s4_6_verifier_without_challenge_is_invalid_grant() {
    let kit = TestHub::new().await;
    let code = obtain_code(&kit, &kit.acme(), None).await;
    assert_eq!(redeem(&kit, &code, Some(VERIFIER)).await, bad_request("invalid_grant"));
    assert_eq!(redeem(&kit, &code, None).await.0, 200, "the code was not used up");
}

#[tokio::test]
async fn rfc7636_s7_1_hub_uses_fresh_verifier_for_each_upstream_code() {
    let kit = TestHub::new().await;
    let mut challenges = Vec::new();
    let mut callbacks = Vec::new();
    for _ in 0..2 {
        let answer = kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await;
        let (at, page) = kit.follow(kit.app().public_url(), answer).await;
        let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
        let yes = [("csrf_token", token.as_str()), ("decision", "approve")];
        let sent = bowline::cli::BrowserRequest::new(http::Method::POST, &at).form(&yes);
        let to = kit.send(sent).await.location.unwrap();
        assert_eq!(query_parameter(&to, "code_challenge_method").as_deref(), Some("S256"));
        challenges.push(query_parameter(&to, "code_challenge").unwrap());
        let state = query_parameter(&to, "state").unwrap();
        callbacks.push(kit.url(&format!("/callback/1000?code=c-{}&state={state}", callbacks.len())));
    }
    let bank = install_provider_stub(&kit).await;
    for callback in &callbacks {
        complete_connection(&kit, callback).await;
    }
    let calls = bank.calls();
    let find_call =
        |code: &str| calls.iter().find(|call| call.field("code").as_deref() == Some(code)).unwrap();
    let verifiers = [find_call("c-0"), find_call("c-1")].map(|call| call.field("code_verifier").unwrap());
    for (verifier, sent) in verifiers.iter().zip(&challenges) {
        assert_eq!((verifier.len(), &compute_challenge(verifier)), (43, sent));
    }
    assert_ne!(verifiers[0], verifiers[1]);
}

#[tokio::test]
async fn rfc7636_s7_1_upstream_challenge_differs_from_recipients() {
    let kit = TestHub::new().await;
    let query = super::build_authorize_query(&kit.acme(), &[("code_challenge", Some(CHALLENGE)), METHOD]);
    let answer = kit.authorize(&query).await;
    let (at, page) = kit.follow(kit.app().public_url(), answer).await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let yes = [("csrf_token", token.as_str()), ("decision", "approve")];
    let to = kit
        .send(bowline::cli::BrowserRequest::new(http::Method::POST, &at).form(&yes))
        .await
        .location
        .unwrap();
    assert!(!to.contains(CHALLENGE), "{to}");
}
