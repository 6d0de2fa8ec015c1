//! RFC 6749, the OAuth 2.0 framework: the authorization server of the Flinks face.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::model::connection::Cause;
use http::Method;
use serde_json::{Value, json};

use super::{FORM, TOKEN, basic, changed, description, header, open, refusal, refused, said};
use crate::kit::{Kit, Raw, Recipient, SCOPE, parameter};

const OWN: (&str, &str) = ("grant_type", "client_credentials");
const REFRESH: (&str, &str) = ("grant_type", "refresh_token");
const CODE: (&str, &str) = ("grant_type", "authorization_code");

#[tokio::test]
async fn s2_3_a_client_uses_one_method_at_a_time() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let authorization = basic(&acme.id, &acme.secret);
    let ask = |fields: &str| {
        let body = format!("grant_type=client_credentials&{fields}");
        Raw::post(TOKEN, FORM, body).header("authorization", authorization.as_str())
    };
    let twice = kit.wire(&ask(&format!("client_secret={}", acme.secret))).await;
    assert_eq!(
        (said(&twice), description(&twice)),
        (refused("invalid_request"), { "The client secret is given in two places".to_owned() })
    );
    let other = kit.wire(&ask("client_id=dc-yours")).await;
    assert_eq!(said(&other), refused("invalid_request"));
    assert_eq!(
        kit.wire(&ask(&format!("client_id={}", acme.id))).await.status,
        200,
        "the same name is no method"
    );
}

#[tokio::test]
async fn s2_3_1_basic_credentials_are_form_decoded() {
    let kit = Kit::new().await;
    let odd = kit.recipient_with("dc-odd~1.x", "a b+c%25&:\u{fc}=/", &["https://odd.example.org/back"]).await;
    let ask = |authorization: String| {
        Raw::post(TOKEN, FORM, "grant_type=client_credentials").header("authorization", authorization)
    };
    assert_eq!(kit.wire(&ask(basic(&odd.id, &odd.secret))).await.status, 200);
    let bare = format!("Basic {}", STANDARD.encode(format!("{}:{}", odd.id, odd.secret)));
    assert_eq!(said(&kit.wire(&ask(bare)).await), refused("invalid_client"), "a plus is a space");
    for malformed in ["Basic !", "Basic QUJD", "Basic /w==", "Basic Og==x"] {
        let answer = kit.wire(&ask(malformed.to_owned())).await;
        assert_eq!(said(&answer), refused("invalid_request"), "{malformed}");
        assert_eq!(description(&answer), "The Authorization header is malformed");
    }
    let plain = [OWN, ("client_id", &*odd.id), ("client_secret", &*odd.secret)];
    assert_eq!(kit.form(TOKEN, &plain).await.status, 200, "in the body nothing is encoded twice");
    assert_eq!(kit.token(&odd, &[OWN]).await.status, 200);
}

#[tokio::test]
async fn s2_3_1_credentials_never_stand_in_the_uri() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    for name in ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"] {
        for path in ["/api/v1/token", "/api/v1/revoke"] {
            let target = format!("{path}?{name}=x&grant_type=client_credentials");
            let body =
                format!("grant_type=client_credentials&client_id={}&client_secret={}", acme.id, acme.secret);
            let answer = kit.wire(&Raw::post(target, FORM, body)).await;
            assert_eq!(said(&answer), refused("invalid_request"), "{path} {name}");
            assert!(description(&answer).starts_with(name), "the mistake is named: {}", answer.body);
        }
    }
    let target = format!("{TOKEN}?grant_type=client_credentials&client_id={}", acme.id);
    let answer = kit.wire(&Raw::post(target, FORM, "")).await;
    assert_eq!(description(&answer), "client_id is missing", "nothing is taken from the query");
}

#[tokio::test]
async fn s3_1_repeated_is_refused_unknown_ignored_empty_absent() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    for name in ["response_type", "scope", "state", "provider_id", "code_challenge", "code_challenge_method"]
    {
        let mut query = Kit::ask(&acme);
        query.extend([(name, "x".to_owned()), (name, "x".to_owned())]);
        let location = kit.authorize(&query).await.location.unwrap();
        assert_eq!(parameter(&location, "error").as_deref(), Some("invalid_request"), "{name}");
        let description = parameter(&location, "error_description").unwrap();
        assert!(
            description == format!("{name} is given twice") || name.starts_with("code_"),
            "{description}"
        );
    }
    let mut query = Kit::ask(&acme);
    query.extend([("nonce", "n".to_owned()), ("prompt", "x".into()), ("prompt", "y".into())]);
    assert_eq!(kit.authorize(&query).await.status, 303, "unknown ones are ignored");
    for name in ["response_type", "scope", "state"] {
        let (word, description) = refusal(&kit, &acme, &[(name, Some(""))]).await;
        assert_eq!((word.as_str(), description), ("invalid_request", format!("{name} is missing")));
    }
}

#[tokio::test]
async fn s3_1_2_2_a_registered_query_is_kept_and_the_answer_appended() {
    let kit = Kit::new().await;
    let uri = "https://odd.example.org/back?dummy1=lorem&dummy2=ipsum%20x&dummy1=again";
    let odd = kit.recipient_with("dc-query", "secret", &[uri]).await;
    let back = kit.arrive(&Kit::ask(&odd), "alice", &["mt-alice-card"]).await;
    assert!(back.starts_with(&format!("{uri}&code=")), "{back}");
    let code = parameter(&back, "code").unwrap();
    assert_eq!(kit.redeem(&odd, &code).await.status, 200);
    let (word, _) = refusal(&kit, &odd, &[("response_type", Some("token"))]).await;
    assert_eq!(word, "unsupported_response_type");
    let reordered = "https://odd.example.org/back?dummy2=ipsum%20x&dummy1=lorem&dummy1=again";
    let answer = kit.authorize(&changed(&odd, &[("redirect_uri", Some(reordered))])).await;
    assert_eq!((answer.status, answer.location), (400, None), "a query in another order is another URI");
}

#[tokio::test]
async fn s3_1_2_3_redirect_uris_are_compared_as_strings() {
    let kit = Kit::new().await;
    let uri = "https://odd.example.org/back/%7Eapp";
    let odd = kit.recipient_with("dc-exact", "secret", &[uri]).await;
    for other in [
        "https://odd.example.org/back/%7Eapp/",
        "https://odd.example.org/back/%7eapp",
        "https://odd.example.org/back/~app",
        "https://odd.example.org/back/%7Eapp?",
        "https://odd.example.org/back/%7Eapp#",
        "https://odd.example.org/back/%7Eapp%00",
        "https://ODD.example.org/back/%7Eapp",
        "https://odd.example.org:443/back/%7Eapp",
        "https://odd.example.org/x/../back/%7Eapp",
        "https://odd.example.org@evil.example.org/back/%7Eapp",
        "https://odd.example.org.evil.example.org/back/%7Eapp",
        "http://odd.example.org/back/%7Eapp",
        "https:odd.example.org/back/%7Eapp",
        " https://odd.example.org/back/%7Eapp",
    ] {
        let answer = kit.authorize(&changed(&odd, &[("redirect_uri", Some(other))])).await;
        assert_eq!((answer.status, answer.location), (400, None), "{other}");
    }
    let code = parameter(&kit.arrive(&Kit::ask(&odd), "alice", &["mt-alice-card"]).await, "code").unwrap();
    let wrong = kit.token(&odd, &[CODE, ("code", &code), ("redirect_uri", &uri.replace("%7E", "~"))]).await;
    assert_eq!(said(&wrong), refused("invalid_grant"));
    assert_eq!(kit.redeem(&odd, &code).await.status, 200);
}

#[tokio::test]
async fn s3_1_2_4_nothing_is_redirected_to_an_unknown_place() {
    let kit = Kit::new().await;
    for change in
        [("redirect_uri", Some("https://evil.example.org/")), ("redirect_uri", None), ("client_id", None)]
    {
        for also in [("response_type", Some("token")), ("scope", None), ("state", Some("x"))] {
            let answer = kit.authorize(&changed(&kit.acme(), &[change, also])).await;
            assert_eq!((answer.status, &answer.location), (400, &None), "{change:?} {also:?}");
            assert!(header(&answer, "content-type").starts_with("text/html"));
            assert!(!answer.body.contains("evil.example.org"));
        }
    }
}

#[tokio::test]
async fn s3_2_the_token_endpoint_takes_post_alone() {
    let kit = Kit::new().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = kit.call(method.clone(), TOKEN, "x").await;
        assert_eq!(
            (said(&answer), header(&answer, "allow")),
            ((405, "invalid_request".into()), "POST"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn s3_3_the_order_of_a_scope_has_no_meaning_and_what_was_granted_is_said() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let backwards = "TRANSACTIONS  ACCOUNT_DETAILED ACCOUNT_BASIC TRANSACTIONS";
    let query = changed(&acme, &[("scope", Some(backwards))]);
    let code = parameter(&kit.arrive(&query, "alice", &["mt-alice-card"]).await, "code").unwrap();
    assert_eq!(kit.redeem(&acme, &code).await.json()["scope"], SCOPE);
    for (scope, word) in
        [("account_basic", "account_basic"), ("ACCOUNT_BASIC\tTRANSACTIONS", "ACCOUNT_BASIC.TRANSACTIONS")]
    {
        let answer = refusal(&kit, &acme, &[("scope", Some(scope))]).await;
        assert_eq!(answer, ("invalid_scope".into(), format!("scope {word} is unknown")));
    }
}

#[tokio::test]
async fn s3_3_a_scope_that_names_nothing_is_no_scope() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    for blank in [" ", "   "] {
        assert_eq!(refusal(&kit, &acme, &[("scope", Some(blank))]).await.0, "invalid_scope");
        let refresh =
            kit.token(&acme, &[REFRESH, ("refresh_token", &tokens.refresh), ("scope", blank)]).await;
        assert_eq!(said(&refresh), refused("invalid_scope"), "a token for nothing is not issued");
        assert_eq!(said(&kit.token(&acme, &[OWN, ("scope", blank)]).await), refused("invalid_scope"));
    }
}

#[tokio::test]
async fn s4_1_2_a_code_is_used_once_and_its_second_use_ends_what_came_of_it() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let again = kit.redeem(&acme, &tokens.code).await;
    assert_eq!((said(&again), header(&again, "cache-control")), (refused("invalid_grant"), "no-store"));
    assert_eq!(kit.cause(&tokens.id).await, Some(Cause::CodeReplayed));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 401);
    assert_eq!(said(&kit.refresh(&acme, &tokens.refresh).await), refused("invalid_grant"));
    kit.until("the bank is told", async || kit.grants().await == ["ended"]).await;
}

/// On purpose: only a rightful second use ends anything; what is found in a log is of no use.
#[tokio::test]
async fn s4_1_2_deviation_a_second_use_that_is_not_rightful_ends_nothing() {
    let kit = Kit::new().await;
    let (acme, other) = (kit.acme(), kit.recipient(&[1000], SCOPE, false).await);
    let tokens = kit.connect(&acme).await;
    let code = ("code", tokens.code.as_str());
    assert_eq!(said(&kit.redeem(&other, &tokens.code).await), refused("invalid_grant"));
    let elsewhere = [CODE, code, ("redirect_uri", "https://elsewhere.example.org/")];
    assert_eq!(said(&kit.token(&acme, &elsewhere).await), refused("invalid_grant"));
    kit.advance(Duration::from_mins(1));
    assert_eq!(said(&kit.redeem(&acme, &tokens.code).await), refused("invalid_grant"));
    assert_eq!(
        (kit.cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
}

#[tokio::test]
async fn s4_1_2_a_code_lives_for_a_minute() {
    let kit = Kit::new().await;
    let (early, late) = (kit.code(&kit.acme()).await, kit.code(&kit.acme()).await);
    kit.advance(Duration::from_millis(59_999));
    assert_eq!(kit.redeem(&kit.acme(), &early).await.status, 200);
    kit.advance(Duration::from_millis(1));
    assert_eq!(said(&kit.redeem(&kit.acme(), &late).await), refused("invalid_grant"));
}

#[tokio::test]
async fn s4_1_2_state_comes_back_byte_for_byte() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let every: String = (0x20..=0x7e_u8).map(char::from).collect();
    for state in [every.repeat(16), "a+b%20c%2525".into(), "%00%0d%0a".into(), "\u{e9}\u{fffe}".into()] {
        let back = kit.arrive(&changed(&acme, &[("state", Some(&state))]), "alice", &["mt-alice-card"]).await;
        assert!(parameter(&back, "code").is_some() && back.is_ascii());
        assert_eq!(parameter(&back, "state").as_ref(), Some(&state), "with a code");
        let error = kit.authorize(&changed(&acme, &[("state", Some(&state)), ("scope", None)])).await;
        assert_eq!(parameter(&error.location.unwrap(), "state").as_ref(), Some(&state), "with an error");
    }
}

/// What is not text cannot come back as it was sent, and a control character in it is nobody's state.
#[tokio::test]
async fn s4_1_2_a_state_that_is_no_text_is_refused() {
    for kit in [Kit::new().await, Kit::on(Some(crate::kit::fresh_database().await)).await] {
        let acme = kit.acme();
        let without = changed(&acme, &[("state", None)]);
        let url = crate::kit::authorize_url("", &without);
        for state in ["%00", "a%00b", "%0D%0Ab", "%FF", "%C0%AE", "a%E9", "%7F", "%C2%85"] {
            let answer = kit.wire(&Raw::get(format!("{url}&state={state}"))).await;
            assert_eq!(answer.status, 302, "{state}: {}", answer.body);
            let location = answer.location.unwrap();
            assert!(location.starts_with(&acme.redirect_uri));
            assert_eq!(parameter(&location, "error").as_deref(), Some("invalid_request"), "{state}");
            assert_eq!(
                parameter(&location, "error_description").as_deref(),
                Some("state must be printable text")
            );
            assert_eq!(parameter(&location, "state"), None, "it is not echoed as something else");
        }
    }
}

#[tokio::test]
async fn s4_1_2_1_an_error_carries_the_state_that_was_sent_and_no_other() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let with = kit.authorize(&changed(&acme, &[("response_type", Some("token"))])).await.location.unwrap();
    assert_eq!(parameter(&with, "state").as_deref(), Some("a state/with=odd&chars"));
    assert_eq!(parameter(&with, "code"), None);
    let without = kit.authorize(&changed(&acme, &[("state", None)])).await.location.unwrap();
    assert!(!without.contains("state="), "{without}");
    for (change, word) in [
        (("response_type", Some("code token")), "unsupported_response_type"),
        (("response_type", Some("id_token")), "unsupported_response_type"),
        (("scope", Some("ACCOUNT_BASIC openid")), "invalid_scope"),
        (("provider_id", Some("9999")), "invalid_request"),
    ] {
        assert_eq!(refusal(&kit, &acme, &[change]).await.0, word, "{change:?}");
    }
    let elsewhere = kit.recipient(&[2000], SCOPE, false).await;
    assert_eq!(refusal(&kit, &elsewhere, &[]).await.0, "unauthorized_client");
    kit.suspend(&acme).await;
    assert_eq!(refusal(&kit, &acme, &[]).await.0, "unauthorized_client");
}

/// On purpose: Flinks has `state` and `scope` as required.
#[tokio::test]
async fn s4_1_1_deviation_state_and_scope_are_required() {
    let kit = Kit::new().await;
    for name in ["state", "scope"] {
        let said = refusal(&kit, &kit.acme(), &[(name, None)]).await;
        assert_eq!(said, ("invalid_request".into(), format!("{name} is missing")));
    }
}

#[tokio::test]
async fn s4_1_3_a_code_is_bound_to_its_client_and_redirect_uri() {
    let kit = Kit::new().await;
    let two = ["https://odd.example.org/one", "https://odd.example.org/two"];
    let (odd, other) = (kit.recipient_with("dc-two", "secret", &two).await, kit.acme());
    let code = parameter(&kit.arrive(&Kit::ask(&odd), "alice", &["mt-alice-card"]).await, "code").unwrap();
    let two = [CODE, ("code", &*code), ("redirect_uri", two[1])];
    let answer = kit.token(&odd, &two).await;
    assert_eq!(said(&answer), refused("invalid_grant"), "registered, and not the one of the request");
    assert_eq!(description(&kit.token(&odd, &two[..2]).await), "redirect_uri is missing");
    let foreign = Recipient { redirect_uri: odd.redirect_uri.clone(), ..other };
    assert_eq!(said(&kit.redeem(&foreign, &code).await), refused("invalid_grant"));
    assert_eq!(kit.redeem(&odd, &code).await.status, 200, "none of these used it up");
}

/// On purpose: Flinks documents JSON, libraries send forms.
#[tokio::test]
async fn s4_1_3_deviation_json_is_taken_beside_the_form() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let credentials = [("client_id", &*acme.id), ("client_secret", &*acme.secret)];
    let code = kit.code(&acme).await;
    let fields =
        [CODE, ("code", &code), ("redirect_uri", &acme.redirect_uri), credentials[0], credentials[1]];
    assert_eq!(kit.form(TOKEN, &fields).await.status, 200);
    let code = kit.code(&acme).await;
    assert_eq!(kit.redeem(&acme, &code).await.status, 200);
    let json = |more: &Value| {
        let mut body =
            json!({"grant_type": "client_credentials", "client_id": acme.id, "client_secret": acme.secret});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Raw::post(TOKEN, "application/json", body.to_string())
    };
    let unknown = json!({"LoginId": 5, "MostRecentCached": true, "nested": {"scope": []}, "none": null});
    assert_eq!(
        kit.wire(&json(&unknown)).await.status,
        200,
        "unknown members are ignored, whatever they hold"
    );
    let answer = kit.wire(&json(&json!({"scope": ["providers:read"]}))).await;
    assert_eq!(description(&answer), "scope must be a string");
}

#[tokio::test]
async fn s4_2_s4_3_there_is_no_implicit_grant_and_no_password_grant() {
    let kit = Kit::new().await;
    for kind in ["token", "id_token", "code token", "token code", "none", "CODE"] {
        assert_eq!(
            refusal(&kit, &kit.acme(), &[("response_type", Some(kind))]).await.0,
            "unsupported_response_type"
        );
    }
    let password = [("grant_type", "password"), ("username", "alice"), ("password", &*kit.password("alice"))];
    let answer = kit.token(&kit.acme(), &password).await;
    assert_eq!(said(&answer), refused("unsupported_grant_type"));
    for grant in ["urn:ietf:params:oauth:grant-type:jwt-bearer", "device_code", "Refresh_Token"] {
        assert_eq!(
            said(&kit.token(&kit.acme(), &[("grant_type", grant)]).await),
            refused("unsupported_grant_type")
        );
    }
}

#[tokio::test]
async fn s4_4_3_a_clients_own_token_comes_without_a_refresh_token() {
    let kit = Kit::new().await;
    let own = kit.token(&kit.acme(), &[OWN]).await.json();
    assert_eq!((own.get("refresh_token"), &own["scope"]), (None, &json!("providers:read")));
}

#[tokio::test]
async fn s5_1_every_token_answer_is_json_that_nobody_keeps() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let code = kit.code(&acme).await;
    let fresh = kit.redeem(&acme, &code).await;
    let refresh = fresh.json()["refresh_token"].as_str().unwrap().to_owned();
    let narrow = [REFRESH, ("refresh_token", &*refresh), ("scope", "ACCOUNT_BASIC")];
    for answer in [
        fresh,
        kit.refresh(&acme, &refresh).await,
        kit.token(&acme, &narrow).await,
        kit.token(&acme, &[OWN]).await,
    ] {
        let body = answer.json();
        assert_eq!((answer.status, header(&answer, "content-type")), (200, "application/json"), "{body}");
        assert_eq!((header(&answer, "cache-control"), header(&answer, "pragma")), ("no-store", "no-cache"));
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert!(body["scope"].is_string(), "what was granted is always said: {body}");
    }
    let wrong = kit.refresh(&acme, "x").await;
    assert_eq!(
        (header(&wrong, "content-type"), header(&wrong, "cache-control")),
        ("application/json", "no-store")
    );
}

#[tokio::test]
async fn s5_2_an_error_body_keeps_to_its_characters() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let nasty = "\"\\\r\n\t\u{0}\u{7f}\u{e9}\u{2019}<script>\u{1f600}";
    let refresh = [REFRESH, ("refresh_token", &*tokens.refresh), ("scope", nasty)];
    let body = format!("{}=1&{0}=2", form_urlencoded::byte_serialize(nasty.as_bytes()).collect::<String>());
    for answer in [
        kit.token(&acme, &refresh).await,
        kit.token(&acme, &[OWN, ("scope", nasty)]).await,
        kit.token(&acme, &[("grant_type", nasty)]).await,
        kit.wire(&Raw::post(TOKEN, FORM, body)).await,
        kit.wire(&Raw::post(TOKEN, "application/json", format!("{{{}:5}}", json!(nasty)))).await,
        kit.wire(&Raw::post(TOKEN, "application/json", "{\u{2019}")).await,
    ] {
        assert_eq!(
            (answer.status, header(&answer, "content-type")),
            (400, "application/json"),
            "{}",
            answer.body
        );
        for text in [said(&answer).1, description(&answer)] {
            let allowed = |c| matches!(c, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5B}' | '\u{5D}'..='\u{7E}');
            assert!(!text.is_empty() && text.chars().all(allowed), "{text:?}");
        }
        assert_eq!(answer.json().as_object().unwrap().len(), 2, "{}", answer.body);
    }
    let query = changed(&acme, &[("scope", Some(nasty))]);
    let description = parameter(&kit.authorize(&query).await.location.unwrap(), "error_description").unwrap();
    assert_eq!(description, "scope .........<script>. is unknown");
}

/// On purpose: Flinks has 400 for `invalid_client`, whichever way the credentials came.
#[tokio::test]
async fn s5_2_deviation_invalid_client_is_400_without_a_challenge() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let body = "grant_type=client_credentials";
    let header = Raw::post(TOKEN, FORM, body).header("authorization", basic(&acme.id, "wrong"));
    let by_header = kit.wire(&header).await;
    let by_body = kit.token(&Recipient { secret: "wrong".into(), ..acme }, &[OWN]).await;
    for answer in [by_header, by_body] {
        assert_eq!(said(&answer), refused("invalid_client"));
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn s6_a_refresh_is_authenticated_bound_to_its_client_and_never_wider() {
    let kit = Kit::new().await;
    let (acme, other) = (kit.acme(), kit.recipient(&[1000], SCOPE, false).await);
    let tokens = kit.connect(&acme).await;
    assert_eq!(said(&kit.refresh(&other, &tokens.refresh).await), refused("invalid_grant"));
    let nobody = Recipient { secret: "wrong".into(), ..acme.clone() };
    assert_eq!(said(&kit.refresh(&nobody, &tokens.refresh).await), refused("invalid_client"));
    let fields = [REFRESH, ("refresh_token", &*tokens.refresh)];
    assert_eq!(description(&kit.form(TOKEN, &fields).await), "client_id is missing");
    let with = |scope| [fields[0], fields[1], ("scope", scope)];
    for wider in ["CUSTOMER_CONTACT", "ACCOUNT_BASIC ACCOUNT_PAYMENTS"] {
        assert_eq!(said(&kit.token(&acme, &with(wider)).await), refused("invalid_scope"), "{wider}");
    }
    let narrow = kit.token(&acme, &with("ACCOUNT_BASIC")).await.json();
    assert_eq!(narrow["scope"], "ACCOUNT_BASIC");
    let read = kit.read("/accounts?resultType=details", narrow["access_token"].as_str().unwrap()).await;
    assert_eq!(read.status, 401, "the token is as narrow as it says");
    assert_eq!(kit.refresh(&acme, &tokens.refresh).await.json()["scope"], SCOPE, "the grant is not narrowed");
}

#[tokio::test]
async fn s10_5_s10_10_codes_and_tokens_cannot_be_guessed() {
    let kit = Kit::new().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let tokens = kit.connect(&kit.acme()).await;
        seen.extend([tokens.code, tokens.refresh]);
    }
    for secret in &seen {
        assert_eq!(secret.len(), 43, "256 bits of base64url");
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')));
        let kinds = secret.chars().collect::<std::collections::BTreeSet<_>>().len();
        assert!(kinds > 16, "{kinds} kinds of characters");
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
}

#[tokio::test]
async fn s10_12_the_browser_that_comes_back_is_the_one_that_began() {
    let kit = Kit::new().await;
    let callback = crate::recovery::callback(&kit).await;
    let stranger = bowline::cli::Browser::new().unwrap();
    let stolen = stranger.send(bowline::cli::Sent::new(Method::GET, &callback)).await.unwrap();
    assert_eq!((stolen.status, stolen.location), (400, None));
    assert_eq!(open(&kit, &callback).await.status, 302, "the rightful one goes on");
}
