//! RFC 7636, PKCE: offered to recipients, always used towards banks.

use domain::rule::pkce::challenge;

use super::{connected, refusal, refused, said, watched};
use crate::kit::{Kit, Recipient, SCOPE, parameter};

/// The example of appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const METHOD: (&str, Option<&str>) = ("code_challenge_method", Some("S256"));

/// A code that is bound to a challenge, if there is one.
async fn code(kit: &Kit, recipient: &Recipient, challenge: Option<&str>) -> String {
    let method = challenge.and(METHOD.1);
    let query = super::changed(recipient, &[("code_challenge", challenge), (METHOD.0, method)]);
    let back = kit.arrive(&query, "alice", &["mt-alice-card"]).await;
    parameter(&back, "code").unwrap_or_else(|| panic!("{back}"))
}

async fn redeem(kit: &Kit, code: &str, verifier: Option<&str>) -> (u16, String) {
    let acme = kit.acme();
    let mut fields =
        vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &acme.redirect_uri)];
    fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    said(&kit.token(&acme, &fields).await)
}

#[tokio::test]
async fn s4_1_a_verifier_is_43_to_128_unreserved_characters() {
    let kit = Kit::new().await;
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
        let code = code(&kit, &kit.acme(), Some(&challenge(verifier))).await;
        let answer = redeem(&kit, &code, Some(verifier)).await;
        assert_eq!(answer.0 == 200, good, "{verifier}: {answer:?}");
        assert!(good || answer == refused("invalid_grant"), "{verifier}: {answer:?}");
    }
}

#[tokio::test]
async fn s4_2_a_challenge_is_43_characters_of_base64url() {
    let kit = Kit::new().await;
    let padded = format!("{CHALLENGE}=");
    let standard = CHALLENGE.replace('-', "+");
    // The last character has two bits of nothing, which must be zero.
    let loose = format!("{}N", &CHALLENGE[..42]);
    for wrong in ["x", &CHALLENGE[1..], &padded, &standard, &loose, VERIFIER.trim_end_matches('k')] {
        let (word, description) =
            refusal(&kit, &kit.acme(), &[("code_challenge", Some(wrong)), METHOD]).await;
        assert_eq!(word, "invalid_request", "{wrong}");
        assert_eq!(description, "code_challenge must be 43 characters of base64url");
    }
}

/// On purpose: an absent method means `plain`, which protects nothing.
#[tokio::test]
async fn s4_3_deviation_an_absent_or_plain_method_is_refused() {
    let kit = Kit::new().await;
    for method in [None, Some(""), Some("plain"), Some("s256"), Some("S512"), Some("S256 ")] {
        let change = [("code_challenge", Some(CHALLENGE)), ("code_challenge_method", method)];
        let said = refusal(&kit, &kit.acme(), &change).await;
        assert_eq!(
            said,
            ("invalid_request".into(), "code_challenge_method must be S256".into()),
            "{method:?}"
        );
    }
    let (word, description) = refusal(&kit, &kit.acme(), &[METHOD]).await;
    assert_eq!((word.as_str(), description.as_str()), ("invalid_request", "code_challenge is missing"));
}

/// On purpose: optional for those who do not use it yet; required of a recipient where that is set.
#[tokio::test]
async fn s4_4_1_a_recipient_of_whom_it_is_required_gets_nowhere_without() {
    let kit = Kit::new().await;
    let strict = kit.recipient(&[1000], SCOPE, true).await;
    let said = refusal(&kit, &strict, &[]).await;
    assert_eq!(said, ("invalid_request".into(), "code_challenge is missing".into()));
    assert!(!code(&kit, &strict, Some(CHALLENGE)).await.is_empty());
    let code = code(&kit, &kit.acme(), None).await;
    assert_eq!(redeem(&kit, &code, None).await.0, 200, "of others it is not");
}

#[tokio::test]
async fn s4_6_a_wrong_or_missing_verifier_is_invalid_grant_and_spends_nothing() {
    let kit = Kit::new().await;
    let code = code(&kit, &kit.acme(), Some(CHALLENGE)).await;
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let lower = VERIFIER.to_lowercase();
    for wrong in [None, Some(""), Some(other), Some(CHALLENGE), Some(&*lower), Some(&VERIFIER[..42])] {
        assert_eq!(redeem(&kit, &code, wrong).await, refused("invalid_grant"), "{wrong:?}");
    }
    assert_eq!(redeem(&kit, &code, Some(VERIFIER)).await.0, 200);
}

/// Listed because many servers ignore it; RFC 9700 §4.8.2 has it as a defence against a downgrade.
#[tokio::test]
async fn s4_6_a_verifier_without_a_challenge_is_invalid_grant() {
    let kit = Kit::new().await;
    let code = code(&kit, &kit.acme(), None).await;
    assert_eq!(redeem(&kit, &code, Some(VERIFIER)).await, refused("invalid_grant"));
    assert_eq!(redeem(&kit, &code, None).await.0, 200, "it was not spent");
}

#[tokio::test]
async fn s7_1_the_hub_proves_every_code_to_the_bank_with_a_verifier_of_its_own() {
    let kit = Kit::new().await;
    let mut challenges = Vec::new();
    let mut callbacks = Vec::new();
    for _ in 0..2 {
        let answer = kit.authorize(&Kit::ask(&kit.acme())).await;
        let (at, page) = kit.follow(kit.app().public_url(), answer).await;
        let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
        let yes = [("form_token", token.as_str()), ("decision", "approve")];
        let sent = bowline::cli::Sent::new(http::Method::POST, &at).form(&yes);
        let to = kit.send(sent).await.location.unwrap();
        assert_eq!(parameter(&to, "code_challenge_method").as_deref(), Some("S256"));
        challenges.push(parameter(&to, "code_challenge").unwrap());
        let state = parameter(&to, "state").unwrap();
        callbacks.push(kit.url(&format!("/callback/1000?code=c-{}&state={state}", callbacks.len())));
    }
    let bank = watched(&kit).await;
    for callback in &callbacks {
        connected(&kit, callback).await;
    }
    let calls = bank.calls();
    let of = |code: &str| calls.iter().find(|call| call.field("code").as_deref() == Some(code)).unwrap();
    let verifiers = [of("c-0"), of("c-1")].map(|call| call.field("code_verifier").unwrap());
    for (verifier, sent) in verifiers.iter().zip(&challenges) {
        assert_eq!((verifier.len(), &challenge(verifier)), (43, sent));
    }
    assert_ne!(verifiers[0], verifiers[1]);
}

#[tokio::test]
async fn s7_1_a_recipients_challenge_and_the_hubs_own_are_two() {
    let kit = Kit::new().await;
    let query = super::changed(&kit.acme(), &[("code_challenge", Some(CHALLENGE)), METHOD]);
    let answer = kit.authorize(&query).await;
    let (at, page) = kit.follow(kit.app().public_url(), answer).await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let yes = [("form_token", token.as_str()), ("decision", "approve")];
    let to = kit.send(bowline::cli::Sent::new(http::Method::POST, &at).form(&yes)).await.location.unwrap();
    assert!(!to.contains(CHALLENGE), "{to}");
}
